/*
 * models.h: the catalogue: every model in the models folder, in the stores of other programs (model_stores.h) and every --model, by
 * id, and which of them are open.
 *
 * An id is the file's or folder's lower-case name without ".gguf" and without a trailing quantisation mark; ids that collide get "-"
 * and the start of their digest. A request names an id, never a path. The folder is looked through again at each call, so a file that
 * appears, changes or goes is noticed; one that was replaced is opened anew, while leases keep the old one alive.
 *
 * Open      Models stay open, the latest used first, as long as their files together fit memory_max.
 * Threads   All calls may come from any thread. Opening and digesting happen on the thread that first needs them; others that
 *           want the same model wait for it, others do not. Digests that only a list would show are made by a thread of this
 *           module, which the first such list starts.
 */
#ifndef HEADSCOPE_SERVER_MODELS_H
#define HEADSCOPE_SERVER_MODELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/cache.h"
#include "engine/engine.h"
#include "server/log.h"
#include "server/model_stores.h"
#include "server/problem.h"

struct models;

struct models_options {
    const char *folder;          /* NULL or missing: none */
    const char *const *named;    /* --model: an id of the folder, or a path (holds '/' or ends in .gguf) */
    size_t named_count;
    struct model_stores stores;  /* folders that are NULL or missing: none */
    struct cache *cache;         /* remembers digests; NULL: they are computed in each process */
    struct log *log;             /* may be NULL */
    uint64_t memory_max;         /* of the files of open models together; 0: no limit */
};

/* Copies the options' strings. NULL when out of memory. */
struct models *models_create(const struct models_options *options);
/* Gives up digests that are being made; models_acquire then fails where it needs one. */
void models_stop(struct models *models);
void models_destroy(struct models *models); /* NULL is fine; leases must have been released */

/* What is known of one model, without keeping it open. `error` NULL: usable. Borrowed from the list. */
struct models_item {
    const char *id, *path, *digest; /* digest "" where the file cannot be read */
    const char *error;
    enum model_source source;
    bool is_default;                /* what models_acquire takes when asked for none by name */
    bool open;                      /* mapped now */
    bool loading;                   /* being opened or read for its digest, which is "" until then */
    uint64_t loaded;                /* bytes read so far */
    struct model_info info;         /* all zero with `error`, or while it is being opened; bytes is always there */
};
struct models_list {
    struct models_item *items; /* by id */
    size_t count;
    void *memory;
};
/* wait_ms: how long to wait for models that are being read; -1: until they all have been. */
bool models_list(struct models *models, int wait_ms, struct models_list *list);
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
/* Whether models_acquire of the default model has nothing left to wait for; else a problem (503), and it is being seen to. */
bool models_ready(struct models *models, struct problem *problem);
/* The model with this content, whatever its id today: 409 when it is gone. */
bool models_acquire_digest(struct models *models, const char *digest, struct model_lease *lease, struct problem *problem);
/* A second lease on the same model. False when out of memory. */
bool models_lease_copy(const struct model_lease *lease, struct model_lease *copy);
/* False when the file is no longer the one that was opened: what was computed with it must not be kept. */
bool models_lease_current(const struct model_lease *lease);
void models_release(struct model_lease *lease); /* an empty lease is fine */

#endif
