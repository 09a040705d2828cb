/*
 * model_entry.h: inside models.h: one model file as it was when found, and what is known of it. Only models.c and model_entry.c
 * include it.
 */
#ifndef HEADSCOPE_SERVER_MODEL_ENTRY_H
#define HEADSCOPE_SERVER_MODEL_ENTRY_H

#include <pthread.h>

#include "server/model_file.h"
#include "server/models.h"

/* One file as it was when found: a changed file is another entry. Fields after `busy` are filled in by whoever set it, without
 * the lock; nobody else looks at them meanwhile. */
struct entry {
    struct models *models;
    struct entry *next;
    int references; /* the catalogue's own, and the leases' */
    char *path, *base_id, *id;
    struct model_identity identity;
    size_t named; /* 1-based place among --model; 0: found in the folder */
    bool listed, busy;
    bool examined, undigestible;
    struct model *model; /* NULL: not open now */
    uint64_t used;
    struct model_info info; /* strings in info_strings */
    char *info_strings;
    char *error;
    char digest[65];
};

struct models {
    pthread_mutex_t lock;
    pthread_cond_t idle; /* an entry is no longer busy */
    char *folder;
    char **named;
    size_t named_count;
    struct cache *cache;
    struct log *log;
    struct entry *entries; /* by path, named ones last */
    uint64_t clock;
};

/* All of these with models->lock held. Those that may fail leave a problem. */
struct entry *entry_create(struct models *models, const char *path, const struct model_identity *identity, size_t named);
void entry_release(struct entry *entry);
void entry_wait_idle(struct entry *entry);
/* These let go of the lock while they work; the caller holds a reference. After entry_ensure_open the entry has a model or an
 * error. */
bool entry_ensure_digest(struct entry *entry, struct problem *problem);
bool entry_ensure_open(struct entry *entry, struct problem *problem);

#endif
