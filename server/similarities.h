/*
 * similarities.h: matrices between heads that have been computed, the latest few, so that the .npy and the .json of one cost one
 * computation.
 *
 * Threads   All calls from any thread.
 */
#ifndef HEADSCOPE_SERVER_SIMILARITIES_H
#define HEADSCOPE_SERVER_SIMILARITIES_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/engine.h"

struct similarities;

struct similarity_entry {
    char id[65];                /* of the analysis */
    enum similarity_kind kind;
    char section[16];           /* as the request names it; "" where it does not */
    float *matrix;              /* [heads, heads] */
    size_t heads, queries;
};

struct similarities *similarities_create(void); /* NULL: out of memory */
void similarities_destroy(struct similarities *similarities); /* NULL is fine */

/* Fills in the rest of an entry whose id, kind and section are set; the caller frees the matrix. False: not there, or no memory for it. */
bool similarities_get(struct similarities *similarities, struct similarity_entry *entry);
/* Keeps a copy; where there is no memory for it, it is not kept. */
void similarities_put(struct similarities *similarities, const struct similarity_entry *entry);

#endif
