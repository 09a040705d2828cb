/*
 * models.h: the catalogue: every .gguf in the models folder and every --model, by id, and which of them are open.
 *
 * An id is the file's lower-case name without ".gguf" and without a trailing quantisation mark; ids that collide get "-" and the
 * start of their digest. A request names an id, never a path. The folder is looked through again at each call, so a file that
 * appears, changes or goes is noticed; one that was replaced is opened anew, while leases keep the old one alive.
 *
 * Threads   All calls may come from any thread. Opening and digesting happen on the thread that first needs them; others that
 *           want the same model wait for it, others do not.
 */
#ifndef HEADSCOPE_SERVER_MODELS_H
#define HEADSCOPE_SERVER_MODELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/cache.h"
#include "engine/engine.h"
#include "server/log.h"
#include "server/problem.h"

struct models;

struct models_options {
    const char *folder;          /* NULL or missing: none */
    const char *const *named;    /* --model: an id of the folder, or a path (holds '/' or ends in .gguf) */
    size_t named_count;
    struct cache *cache;         /* remembers digests; NULL: they are computed in each process */
    struct log *log;             /* may be NULL */
};

/* Copies the options' strings. NULL when out of memory. */
struct models *models_create(const struct models_options *options);
void models_destroy(struct models *models); /* NULL is fine; leases must have been released */

/* What is known of one model, without keeping it open. `error` NULL: usable. Borrowed from the list. */
struct models_item {
    const char *id, *path, *digest; /* digest "" where the file cannot be read */
    const char *error;
    struct model_info info;         /* all zero with `error` */
};
struct models_list {
    struct models_item *items; /* by id */
    size_t count;
    void *memory;
};
bool models_list(struct models *models, struct models_list *list);
void models_list_clear(struct models_list *list);

/* An open model that stays as it is until released, whatever becomes of its file. */
struct model_lease {
    struct model *model;
    char *id;
    char digest[65];
    void *entry;
};

/* id NULL: the default (the first --model, else smollm2-135m-instruct, else the first usable one). On failure false and a
 * problem: 422 for an id that is not there or a file that is not usable. */
bool models_acquire(struct models *models, const char *id, struct model_lease *lease, struct problem *problem);
/* The model with this content, whatever its id today: 409 when it is gone. */
bool models_acquire_digest(struct models *models, const char *digest, struct model_lease *lease, struct problem *problem);
/* A second lease on the same model. False when out of memory. */
bool models_lease_copy(const struct model_lease *lease, struct model_lease *copy);
/* False when the file is no longer the one that was opened: what was computed with it must not be kept. */
bool models_lease_current(const struct model_lease *lease);
void models_release(struct model_lease *lease); /* an empty lease is fine */

#endif
