#include "server/tiles.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tiles {
    pthread_mutex_t lock;
    size_t most;
    struct kept_tile tile[]; /* [most] the latest first; without pixels: free */
};

struct tiles *tiles_create(size_t most) {
    struct tiles *tiles = calloc(1, sizeof *tiles + most * sizeof tiles->tile[0]);
    if (!tiles) return NULL;
    tiles->most = most;
    if (pthread_mutex_init(&tiles->lock, NULL) == 0) return tiles;
    free(tiles);
    return NULL;
}

void tiles_destroy(struct tiles *tiles) {
    if (!tiles) return;
    for (size_t i = 0; i < tiles->most; i++) free(tiles->tile[i].pixels);
    pthread_mutex_destroy(&tiles->lock);
    free(tiles);
}

static bool copy_tile(const struct kept_tile *from, struct kept_tile *to) {
    uint8_t *pixels = malloc(from->size);
    if (!pixels) return false;
    memcpy(pixels, from->pixels, from->size);
    *to = *from;
    to->pixels = pixels;
    return true;
}

/* Where it is, or tiles->most. */
static size_t find(const struct tiles *tiles, const char *name) {
    size_t i = 0;
    while (i < tiles->most && tiles->tile[i].pixels && strcmp(tiles->tile[i].name, name) != 0) i++;
    return i < tiles->most && tiles->tile[i].pixels ? i : tiles->most;
}

static void to_the_front(struct tiles *tiles, size_t i) {
    struct kept_tile tile = tiles->tile[i];
    memmove(tiles->tile + 1, tiles->tile, i * sizeof tile);
    tiles->tile[0] = tile;
}

bool tiles_get(struct tiles *tiles, const char *name, struct kept_tile *tile) {
    pthread_mutex_lock(&tiles->lock);
    size_t i = find(tiles, name);
    bool there = i < tiles->most && copy_tile(&tiles->tile[i], tile);
    if (there) to_the_front(tiles, i);
    pthread_mutex_unlock(&tiles->lock);
    return there;
}

void tiles_put(struct tiles *tiles, const struct kept_tile *tile) {
    struct kept_tile kept;
    if (tiles->most == 0 || !copy_tile(tile, &kept)) return;
    pthread_mutex_lock(&tiles->lock);
    size_t i = find(tiles, tile->name);
    if (i == tiles->most) i = tiles->most - 1;
    free(tiles->tile[i].pixels);
    tiles->tile[i] = kept;
    to_the_front(tiles, i);
    pthread_mutex_unlock(&tiles->lock);
}
