#include "server/similarities.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 8

struct similarities {
    pthread_mutex_t lock;
    struct similarity_entry entry[KEPT]; /* the latest first; without a matrix: free */
};

struct similarities *similarities_create(void) {
    struct similarities *similarities = calloc(1, sizeof *similarities);
    if (similarities && pthread_mutex_init(&similarities->lock, NULL) == 0) return similarities;
    free(similarities);
    return NULL;
}

void similarities_destroy(struct similarities *similarities) {
    if (!similarities) return;
    for (size_t i = 0; i < KEPT; i++) free(similarities->entry[i].matrix);
    pthread_mutex_destroy(&similarities->lock);
    free(similarities);
}

static bool copy_entry(const struct similarity_entry *from, struct similarity_entry *to) {
    size_t bytes = from->heads * from->heads * sizeof *from->matrix;
    float *matrix = malloc(bytes);
    if (!matrix) return false;
    memcpy(matrix, from->matrix, bytes);
    *to = *from;
    to->matrix = matrix;
    return true;
}

static bool same(const struct similarity_entry *a, const struct similarity_entry *b) {
    return a->kind == b->kind && !strcmp(a->section, b->section) && !strcmp(a->id, b->id);
}

static size_t find(const struct similarities *similarities, const struct similarity_entry *entry) {
    size_t i = 0;
    while (i < KEPT && !(similarities->entry[i].matrix && same(&similarities->entry[i], entry))) i++;
    return i;
}

static void to_the_front(struct similarities *similarities, size_t i) {
    struct similarity_entry entry = similarities->entry[i];
    memmove(similarities->entry + 1, similarities->entry, i * sizeof entry);
    similarities->entry[0] = entry;
}

bool similarities_get(struct similarities *similarities, struct similarity_entry *entry) {
    pthread_mutex_lock(&similarities->lock);
    size_t i = find(similarities, entry);
    bool there = i < KEPT && copy_entry(&similarities->entry[i], entry);
    if (there) to_the_front(similarities, i);
    pthread_mutex_unlock(&similarities->lock);
    return there;
}

void similarities_put(struct similarities *similarities, const struct similarity_entry *entry) {
    struct similarity_entry kept;
    if (!copy_entry(entry, &kept)) return;
    pthread_mutex_lock(&similarities->lock);
    size_t i = find(similarities, entry);
    if (i == KEPT) i = KEPT - 1;
    free(similarities->entry[i].matrix);
    similarities->entry[i] = kept;
    to_the_front(similarities, i);
    pthread_mutex_unlock(&similarities->lock);
}
