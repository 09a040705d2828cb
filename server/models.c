#include "server/models.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/model_entry.h"
#include "server/wait.h"

#define DEFAULT_MODEL "smollm2-135m-instruct"
#define STORES_FRESH_S 2.0
#define OPEN_MAX 16 /* models: each takes descriptors and a tokenizer */
/* Closes what was not used for longest, until the rest fits; the latest stays. Leases keep their own references. Lock held. */
static void models_close_some(struct models *models) {
    for (;;) {
        size_t open = 0;
        uint64_t bytes = 0;
        struct entry *oldest = NULL;
        for (struct entry *e = models->entries; e; e = e->next) {
            if (e->busy || !e->model) continue;
            open++;
            bytes += e->identity.size;
            if (!oldest || e->used < oldest->used) oldest = e;
        }
        if (open <= 1 || (open <= OPEN_MAX && (models->memory_max == 0 || bytes <= models->memory_max))) return;
        model_release(oldest->model);
        oldest->model = NULL;
    }
}

/* ---- looking through the folders -------------------------------------------------------------------------------- */

static bool models_is_path(const char *name) {
    return strchr(name, '/') || model_file_is_gguf(name);
}

/* Marks the entry of this file as there, made anew if the file is new or changed. What is found a second time, in a store or by
 * --model, is one model. */
static bool models_note(struct models *models, const struct model_file *file, size_t named) {
    struct entry **at = &models->entries;
    for (; *at; at = &(*at)->next) {
        struct entry *e = *at;
        if (!model_identity_equal(&e->identity, &file->identity)) continue;
        bool same_path = strcmp(e->path, file->path) == 0, again = file->source != MODEL_SOURCE_FOLDER;
        if (!same_path && !(again && e->listed && file->identity.inode)) continue;
        e->listed = true;
        if (named && (!e->named || same_path)) e->named = named;
        return true;
    }
    struct entry *entry = entry_create(models, file, named);
    if (!entry) return false;
    entry->listed = true;
    *at = entry;
    return true;
}

static bool models_note_named(struct models *models, size_t i) {
    struct model_file file = {.path = models->named[i], .id = model_file_id(models->named[i]), .source = MODEL_SOURCE_NAMED};
    model_identity_of(file.path, &file.identity); /* a missing one is listed, with its error */
    bool fine = file.id && models_note(models, &file, i + 1);
    free(file.id);
    return fine;
}

static bool models_share_id(const struct entry *a, const struct entry *b) {
    return a != b && !a->twin && !b->twin && strcmp(a->base_id, b->base_id) == 0;
}

/* Whether another one goes by this id; before `end` (NULL: anywhere), and with the same content if `same`. */
static bool models_collide(const struct models *models, const struct entry *entry, const struct entry *end, bool same) {
    for (const struct entry *other = models->entries; other != end; other = other->next)
        if (models_share_id(other, entry) && (!same || (entry->digest[0] && strcmp(other->digest, entry->digest) == 0))) return true;
    return false;
}

/* Two files with one id: both get the start of their digest; a copy of one that is there already is left out. Making a digest lets
 * go of the lock, so begin again then. */
static bool models_resolve_collisions(struct models *models) {
    for (struct entry *e = models->entries, *next; e; e = next) {
        next = e->next;
        e->twin = false;
        if (!models_collide(models, e, NULL, false) || (!e->busy && (e->digest[0] || e->undigestible))) continue;
        struct problem ignored;
        e->references++;
        if (!entry_ensure_digest(e, &ignored)) e->undigestible = true;
        entry_release(e);
        next = models->entries;
    }
    for (struct entry *e = models->entries; e; e = e->next) e->twin = models_collide(models, e, e, true);
    for (struct entry *e = models->entries; e; e = e->next) {
        char *id = NULL;
        if (e->digest[0] && models_collide(models, e, NULL, false)) {
            if (asprintf(&id, "%s-%.8s", e->base_id, e->digest) < 0) return false;
        } else if (!(id = strdup(e->base_id))) {
            return false;
        }
        free(e->id);
        e->id = id;
    }
    return true;
}

/* The stores are looked through every now and then only: what they hold does not change under its name. */
static bool models_look_through_stores(struct models *models) {
    if (models->stores_looked > 0 && wait_now() - models->stores_looked < STORES_FRESH_S) return true;
    model_files_clear(&models->in_stores);
    models->stores_looked = wait_now();
    return model_stores_find(&models->stores, &models->in_stores);
}

/* Lock held, but let go while digests are made. */
static bool models_scan(struct models *models) {
    struct model_files files = {0};
    bool fine = (!models->folder || model_files_of_folder(models->folder, &files)) && models_look_through_stores(models);
    for (struct entry *e = models->entries; e; e = e->next) e->listed = false;
    for (size_t i = 0; i < files.count && fine; i++) fine = models_note(models, &files.items[i], 0);
    for (size_t i = 0; i < models->in_stores.count && fine; i++) fine = models_note(models, &models->in_stores.items[i], 0);
    model_files_clear(&files);
    for (size_t i = 0; i < models->named_count && fine; i++)
        if (models_is_path(models->named[i])) fine = models_note_named(models, i);
    for (struct entry **at = &models->entries; *at;) {
        struct entry *e = *at;
        if (e->listed || !fine) { at = &e->next; continue; }
        *at = e->next;
        e->next = NULL;
        entry_release(e);
    }
    return fine && models_resolve_collisions(models);
}

/* ---- what is there ---------------------------------------------------------------------------------------------- */

struct entry_list {
    struct entry **entries;
    size_t count;
};

/* All entries as of now, each referenced. Lock held. */
static bool models_collect(struct models *models, struct entry_list *list) {
    *list = (struct entry_list){0};
    if (!models_scan(models)) return false;
    size_t count = 0;
    for (struct entry *e = models->entries; e; e = e->next) count++;
    list->entries = calloc(count + 1, sizeof *list->entries);
    if (!list->entries) return false;
    for (struct entry *e = models->entries; e; e = e->next) {
        if (e->twin) continue;
        e->references++;
        list->entries[list->count++] = e;
    }
    return true;
}

static void entry_list_clear(struct entry_list *list) {
    for (size_t i = 0; i < list->count; i++) entry_release(list->entries[i]);
    free(list->entries);
}

static struct entry *models_by_id(const struct entry_list *list, const char *id) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->entries[i]->id, id) == 0) return list->entries[i];
    return NULL;
}

/* The first --model, else DEFAULT_MODEL (or one of several that share its name), else the first usable one. */
static struct entry *models_default(struct models *models, const struct entry_list *list) {
    if (models->named_count > 0) {
        if (!models_is_path(models->named[0])) return models_by_id(list, models->named[0]);
        for (size_t i = 0; i < list->count; i++)
            if (list->entries[i]->named == 1) return list->entries[i];
    }
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->entries[i]->base_id, DEFAULT_MODEL) == 0) return list->entries[i];
    for (size_t i = 0; i < list->count; i++) {
        struct problem ignored;
        if (entry_ensure_open(list->entries[i], &ignored) && !list->entries[i]->error) return list->entries[i];
    }
    return NULL;
}

/* ---- the thread that reads -------------------------------------------------------------------------------------- */

static struct entry *models_without_digest(struct models *models) {
    for (struct entry *e = models->entries; e; e = e->next)
        if (!e->busy && !e->error && !e->undigestible && !e->digest[0]) return e;
    return NULL;
}

static void *models_reader(void *context) {
    struct models *models = context;
    struct problem ignored;
    pthread_mutex_lock(&models->lock);
    while (!atomic_load(&models->stopping)) {
        struct entry *entry = models->digests_wanted ? models_without_digest(models) : NULL;
        if (!entry) {
            models->digests_wanted = false;
            pthread_cond_wait(&models->wanted, &models->lock);
            continue;
        }
        entry->references++;
        if (!entry_ensure_digest(entry, &ignored)) entry->undigestible = true;
        entry_release(entry);
    }
    pthread_mutex_unlock(&models->lock);
    return NULL;
}

/* Lock held. Without the thread (there is none to be had) digests are made when they are needed. */
static void models_want_digests(struct models *models) {
    if (!models->reads) models->reads = !pthread_create(&models->reader, NULL, models_reader, models);
    models->digests_wanted = true;
    pthread_cond_signal(&models->wanted);
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

struct list_memory {
    struct models *models;
    struct entry_list entries;
};

/* Waits for whoever is at work on the entry, and for its digest. False: the time was over. Lock held. */
static bool models_wait_for(struct models *models, struct entry *entry, const struct timespec *until) {
    while (entry->busy || (!entry->digest[0] && !entry->error && !entry->undigestible)) {
        if (atomic_load(&models->stopping)) return false;
        if (!entry->busy) models_want_digests(models);
        if (pthread_cond_timedwait(&models->idle, &models->lock, until) != 0) return !entry->busy;
    }
    return true;
}

/* Lock held. What cannot be told (being written, no memory) is an item with an error too. `until` NULL: for ever. */
static bool models_item_fill(struct models_item *item, struct entry *entry, const struct timespec *until) {
    struct problem problem = {0};
    const char *error = NULL;
    bool told = !until || !entry->busy || models_wait_for(entry->models, entry, until);
    if (told && !entry->examined && !entry_ensure_open(entry, &problem)) error = problem.detail;
    else if (told && entry->error) error = entry->error;
    else if (!until && !entry_ensure_digest(entry, &problem)) error = problem.detail;
    else if (until) models_wait_for(entry->models, entry, until);
    if (!error && entry->undigestible && !entry->digest[0]) error = "its file could not be read to the end; look at the disk it is on";
    item->id = strdup(entry->id);
    item->path = entry->path;
    item->source = entry->source;
    item->loading = !error && (entry->busy || !entry->digest[0]);
    item->loaded = atomic_load(&entry->read);
    item->digest = error || item->loading ? "" : entry->digest;
    item->error = error ? strdup(error) : NULL;
    if (!error && entry->examined) item->info = entry->info;
    item->open = entry->model;
    item->info.bytes = error || !entry->examined ? entry->identity.size : entry->info.bytes;
    return item->id && (!error || item->error);
}

static int models_item_compare(const void *a, const void *b) {
    return strcmp(((const struct models_item *)a)->id, ((const struct models_item *)b)->id);
}

bool models_list(struct models *models, int wait_ms, struct models_list *list) {
    *list = (struct models_list){0};
    struct list_memory *memory = calloc(1, sizeof *memory);
    struct timespec until = wait_until(wait_ms < 0 ? 0 : wait_ms);
    if (!memory) return false;
    memory->models = models;
    pthread_mutex_lock(&models->lock);
    bool fine = models_collect(models, &memory->entries);
    list->items = fine ? calloc(memory->entries.count + 1, sizeof *list->items) : NULL;
    list->memory = memory;
    fine = list->items != NULL;
    const struct entry *chosen = fine ? models_default(models, &memory->entries) : NULL;
    for (size_t i = 0; fine && i < memory->entries.count; i++) {
        struct entry *entry = memory->entries.entries[i];
        list->items[list->count].is_default = entry == chosen;
        fine = models_item_fill(&list->items[list->count++], entry, wait_ms < 0 ? NULL : &until);
        models_close_some(models);
    }
    pthread_mutex_unlock(&models->lock);
    if (!fine) {
        models_list_clear(list);
        return false;
    }
    qsort(list->items, list->count, sizeof *list->items, models_item_compare);
    return true;
}

void models_list_clear(struct models_list *list) {
    struct list_memory *memory = list->memory;
    for (size_t i = 0; i < list->count; i++) {
        free((char *)list->items[i].id);
        free((char *)list->items[i].error);
    }
    free(list->items);
    if (memory) {
        pthread_mutex_lock(&memory->models->lock);
        entry_list_clear(&memory->entries);
        pthread_mutex_unlock(&memory->models->lock);
        free(memory);
    }
    *list = (struct models_list){0};
}

/* ---- leases ----------------------------------------------------------------------------------------------------- */

/* Lock held, entry referenced. */
static bool models_lease(struct entry *entry, struct model_lease *lease, struct problem *problem) {
    if (!entry_ensure_open(entry, problem)) return false;
    if (!entry->error && !entry_ensure_digest(entry, problem)) return false;
    while (!entry->error && !entry->model) /* closed again while the digest was made */
        if (!entry_ensure_open(entry, problem)) return false;
    if (entry->error)
        return problem_at(problem, 422, "/model", "model '%s' cannot be used: %s", entry->id, entry->error);
    char *id = strdup(entry->id);
    if (!id) return problem_memory(problem);
    *lease = (struct model_lease){.model = model_retain(entry->model), .id = id, .entry = entry};
    memcpy(lease->digest, entry->digest, sizeof lease->digest);
    entry->references++;
    entry->used = ++entry->models->clock;
    models_close_some(entry->models);
    return true;
}

static bool models_no_such(const struct entry_list *list, const char *id, struct problem *problem) {
    if (list->count == 0)
        return problem_at(problem, 422, "/model", "there is no model yet; scripts/fetch_model %s gets one", DEFAULT_MODEL);
    return problem_at(problem, 422, "/model",
                      "there is no model '%.100s' here; ask GET /api/v1/models, or run headscope models, "
                      "for the ids that are", id ? id : DEFAULT_MODEL);
}

bool models_acquire(struct models *models, const char *id, struct model_lease *lease, struct problem *problem) {
    struct entry_list list;
    *lease = (struct model_lease){0};
    pthread_mutex_lock(&models->lock);
    bool fine = models_collect(models, &list);
    if (fine) {
        struct entry *entry = id ? models_by_id(&list, id) : models_default(models, &list);
        if (!id && !entry && models->named_count > 0) id = models->named[0];
        fine = entry ? models_lease(entry, lease, problem) : models_no_such(&list, id, problem);
    } else {
        problem_memory(problem);
    }
    entry_list_clear(&list);
    pthread_mutex_unlock(&models->lock);
    return fine;
}

bool models_ready(struct models *models, struct problem *problem) {
    struct entry_list list;
    pthread_mutex_lock(&models->lock);
    bool fine = models_collect(models, &list);
    if (!fine) problem_memory(problem);
    struct entry *entry = fine ? models_default(models, &list) : NULL;
    if (fine && !entry) fine = models_no_such(&list, models->named_count ? models->named[0] : NULL, problem);
    if (entry && !entry->busy && !entry->model) fine = entry_ensure_open(entry, problem);
    if (entry && entry->error) fine = problem_set(problem, 503, "model '%s' cannot be used: %s", entry->id, entry->error);
    if (entry && !entry->error && (entry->busy || !entry->digest[0])) {
        if (!entry->busy) models_want_digests(models);
        fine = problem_set(problem, 503, "model '%s' is being read, %" PRIu64 " of %" PRIu64 " bytes; try again in a moment", entry->id,
                           atomic_load(&entry->read), entry->identity.size);
    }
    entry_list_clear(&list);
    pthread_mutex_unlock(&models->lock);
    return fine;
}

bool models_acquire_digest(struct models *models, const char *digest, struct model_lease *lease, struct problem *problem) {
    struct entry_list list;
    *lease = (struct model_lease){0};
    pthread_mutex_lock(&models->lock);
    bool fine = models_collect(models, &list), found = false;
    if (!fine) problem_memory(problem);
    for (size_t i = 0; fine && !found && i < list.count; i++) {
        struct problem ignored;
        struct entry *entry = list.entries[i];
        if (!entry->identity.inode || !entry_ensure_digest(entry, &ignored)) continue;
        found = strcmp(entry->digest, digest) == 0 && models_lease(entry, lease, problem);
    }
    if (fine && !found)
        fine = problem_set(problem, 409,
                           "the model that made this analysis (file with SHA-256 %.12s...) is not in the models "
                           "folder any more, and its maps are computed from it; put the file back. The statistics and "
                           "thumbnails need no model", digest);
    entry_list_clear(&list);
    pthread_mutex_unlock(&models->lock);
    return fine;
}

bool models_lease_copy(const struct model_lease *lease, struct model_lease *copy) {
    struct entry *entry = lease->entry;
    char *id = strdup(lease->id);
    if (!id) return false;
    *copy = *lease;
    copy->id = id;
    model_retain(copy->model);
    pthread_mutex_lock(&entry->models->lock);
    entry->references++;
    pthread_mutex_unlock(&entry->models->lock);
    return true;
}

bool models_lease_current(const struct model_lease *lease) {
    const struct entry *entry = lease->entry;
    struct model_identity now;
    /* A file that was removed or renamed over lives on, unchanged, in the mapping; one written into does not. */
    if (!model_identity_of(entry->path, &now)) return true;
    if (now.inode != entry->identity.inode || now.device != entry->identity.device) return true;
    return model_identity_equal(&now, &entry->identity);
}

void models_release(struct model_lease *lease) {
    struct entry *entry = lease->entry;
    if (!entry) return;
    struct models *models = entry->models;
    model_release(lease->model);
    free(lease->id);
    pthread_mutex_lock(&models->lock);
    entry_release(entry);
    pthread_mutex_unlock(&models->lock);
    *lease = (struct model_lease){0};
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

/* Keeps a copy of the stores' paths. */
static bool models_keep_stores(struct models *models, const struct model_stores *stores) {
    const char *const given[] = {stores->hub, stores->llama_cache, stores->ollama[0], stores->ollama[1]};
    const char **const kept[] = {&models->stores.hub, &models->stores.llama_cache, &models->stores.ollama[0], &models->stores.ollama[1]};
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        if (!given[i]) continue;
        if (!(models->store_paths[i] = strdup(given[i]))) return false;
        *kept[i] = models->store_paths[i];
    }
    return true;
}

static bool models_init_locks(struct models *models) {
    if (pthread_mutex_init(&models->lock, NULL) != 0) return false;
    if (wait_condition_init(&models->idle)) {
        if (wait_condition_init(&models->wanted)) return true;
        pthread_cond_destroy(&models->idle);
    }
    pthread_mutex_destroy(&models->lock);
    return false;
}

struct models *models_create(const struct models_options *options) {
    struct models *models = calloc(1, sizeof *models);
    if (!models || !models_init_locks(models)) {
        free(models);
        return NULL;
    }
    models->cache = options->cache;
    models->log = options->log;
    models->memory_max = options->memory_max;
    models->named = calloc(options->named_count + 1, sizeof *models->named);
    bool fine = models->named && models_keep_stores(models, &options->stores);
    if (fine && options->folder) fine = (models->folder = strdup(options->folder)) != NULL;
    for (size_t i = 0; fine && i < options->named_count; models->named_count = ++i)
        fine = (models->named[i] = strdup(options->named[i])) != NULL;
    if (fine) return models;
    models_destroy(models);
    return NULL;
}

void models_stop(struct models *models) {
    if (!models) return;
    pthread_mutex_lock(&models->lock);
    atomic_store(&models->stopping, true);
    pthread_cond_broadcast(&models->wanted);
    pthread_cond_broadcast(&models->idle);
    pthread_mutex_unlock(&models->lock);
}

void models_destroy(struct models *models) {
    if (!models) return;
    models_stop(models);
    if (models->reads) pthread_join(models->reader, NULL);
    while (models->entries) {
        struct entry *entry = models->entries;
        models->entries = entry->next;
        entry_release(entry);
    }
    model_files_clear(&models->in_stores);
    for (size_t i = 0; i < models->named_count; i++) free(models->named[i]);
    for (size_t i = 0; i < sizeof models->store_paths / sizeof models->store_paths[0]; i++) free(models->store_paths[i]);
    free(models->named);
    free(models->folder);
    pthread_cond_destroy(&models->wanted);
    pthread_cond_destroy(&models->idle);
    pthread_mutex_destroy(&models->lock);
    free(models);
}
