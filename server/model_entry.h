/*
 * model_entry.h: inside models.h: one model file as it was when found, and what is known of it. Only models.c and model_entry.c
 * include it.
 */
#ifndef HEADSCOPE_SERVER_MODEL_ENTRY_H
#define HEADSCOPE_SERVER_MODEL_ENTRY_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/model_stores.h"
#include "server/models.h"

/* One file as it was when found: a changed file is another entry. Fields after `busy` are filled in by whoever set it, without
 * the lock; nobody else looks at them meanwhile. */
struct entry {
    struct models *models;
    struct entry *next;
    int references; /* the catalogue's own, and the leases' */
    char *path, *base_id, *id;
    struct model_identity identity;
    enum model_source source;
    size_t named; /* 1-based place among --model; 0: found */
    bool listed, busy;
    bool examined, undigestible;
    bool twin; /* another place of a model that is listed: left out */
    struct model *model; /* NULL: not open now */
    uint64_t used;
    struct model_info info; /* strings in info_strings */
    char *info_strings;
    char *error;
    char digest[65];
    _Atomic uint64_t read; /* bytes, while the digest is being made */
};

struct models {
    pthread_mutex_t lock;
    pthread_cond_t idle; /* an entry is no longer busy */
    char *folder;
    struct model_stores stores;
    char *store_paths[2 + OLLAMA_STORES_MAX]; /* what `stores` points to */
    struct model_files in_stores; /* as of stores_looked */
    double stores_looked;
    char **named;
    size_t named_count;
    struct cache *cache;
    struct log *log;
    uint64_t memory_max;
    struct entry *entries; /* the folder's by path, then the stores', named ones last */
    uint64_t clock;
    pthread_t reader;      /* makes the digests that lists lack */
    pthread_cond_t wanted; /* there are such digests, or the end has come */
    bool reads, digests_wanted;
    atomic_bool stopping;
};

/* All of these with models->lock held. Those that may fail leave a problem. */
struct entry *entry_create(struct models *models, const struct model_file *file, size_t named);
void entry_release(struct entry *entry);
void entry_wait_idle(struct entry *entry);
/* These let go of the lock while they work; the caller holds a reference. After entry_ensure_open the entry has a model or an
 * error. */
bool entry_ensure_digest(struct entry *entry, struct problem *problem);
bool entry_ensure_open(struct entry *entry, struct problem *problem);

#endif
