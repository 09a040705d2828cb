/*
 * tiles.h: tiles that took long, the latest few: a coarse one looks at every weight of a long text's map. Kept as finished pixels, so
 * that the next who asks need not wait, nor have the model run again where the activations have gone.
 *
 * Threads   All calls from any thread.
 */
#ifndef HEADSCOPE_SERVER_TILES_H
#define HEADSCOPE_SERVER_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tiles;

struct kept_tile {
    char name[256]; /* the analysis and what of it: the tag of its address */
    uint8_t *pixels;
    size_t size;
    float largest;  /* of a value-weighted map */
};

struct tiles *tiles_create(size_t most); /* keeps at most so many tiles of up to 64 KB; NULL: out of memory */
void tiles_destroy(struct tiles *tiles); /* NULL is fine */

/* A copy of the tile with this name, whose pixels the caller frees. False: not there, or no memory for it. */
bool tiles_get(struct tiles *tiles, const char *name, struct kept_tile *tile);
/* Keeps a copy in place of the one that has not been asked for longest; where there is no memory for it, it is not kept. */
void tiles_put(struct tiles *tiles, const struct kept_tile *tile);

#endif
