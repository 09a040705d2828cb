#include "server/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/model_entry.h"

#define DEFAULT_MODEL "smollm2-135m-instruct"
#define OPEN_MAX 4 /* models that stay open though nobody has a lease on them */

/* Closes what was not used for longest, beyond OPEN_MAX. Leases keep their own references. Lock held. */
static void models_close_some(struct models *models) {
    for (;;) {
        size_t open = 0;
        struct entry *oldest = NULL;
        for (struct entry *e = models->entries; e; e = e->next) {
            if (e->busy || !e->model) continue;
            open++;
            if (!oldest || e->used < oldest->used) oldest = e;
        }
        if (open <= OPEN_MAX) return;
        model_release(oldest->model);
        oldest->model = NULL;
    }
}

/* ---- looking through the folder --------------------------------------------------------------------------------- */

static bool models_is_path(const char *name) {
    return strchr(name, '/') || model_file_is_gguf(name);
}

/* Marks the entry of this file as there, made anew if the file is new or changed. */
static bool models_note(struct models *models, const char *path, const struct model_identity *identity, size_t named) {
    struct entry **at = &models->entries;
    for (; *at; at = &(*at)->next) {
        struct entry *e = *at;
        if (!model_identity_equal(&e->identity, identity)) continue;
        bool same_path = strcmp(e->path, path) == 0;
        if (!same_path && !(named && e->listed && identity->inode)) continue; /* --model names a file of the folder */
        e->listed = true;
        if (named && (!e->named || same_path)) e->named = named;
        return true;
    }
    struct entry *entry = entry_create(models, path, identity, named);
    if (!entry) return false;
    entry->listed = true;
    *at = entry;
    return true;
}

static bool models_collide(const struct models *models, const struct entry *entry) {
    for (const struct entry *other = models->entries; other; other = other->next)
        if (other != entry && strcmp(other->base_id, entry->base_id) == 0) return true;
    return false;
}

/* Two files with one id: both get the start of their digest. Making a digest lets go of the lock, so begin again then. */
static bool models_resolve_collisions(struct models *models) {
again:
    for (struct entry *e = models->entries; e; e = e->next) {
        bool collides = models_collide(models, e);
        if (collides && (e->busy || !(e->digest[0] || e->undigestible))) {
            struct problem ignored;
            e->references++;
            if (!entry_ensure_digest(e, &ignored)) e->undigestible = true;
            entry_release(e);
            goto again;
        }
        char *id = NULL;
        if (collides && e->digest[0]) {
            if (asprintf(&id, "%s-%.8s", e->base_id, e->digest) < 0) return false;
        } else if (!(id = strdup(e->base_id))) {
            return false;
        }
        free(e->id);
        e->id = id;
    }
    return true;
}

/* Lock held, but let go while digests are made. */
static bool models_scan(struct models *models) {
    struct model_file *files = NULL;
    size_t count = 0;
    if (models->folder && !model_files_of_folder(models->folder, &files, &count)) return false;
    bool fine = true;
    for (struct entry *e = models->entries; e; e = e->next) e->listed = false;
    for (size_t i = 0; i < count; i++) {
        fine = fine && models_note(models, files[i].path, &files[i].identity, 0);
        free(files[i].path);
    }
    free(files);
    for (size_t i = 0; i < models->named_count && fine; i++) {
        struct model_identity identity;
        if (!models_is_path(models->named[i])) continue;
        model_identity_of(models->named[i], &identity); /* a missing one is listed, with its error */
        fine = models_note(models, models->named[i], &identity, i + 1);
    }
    for (struct entry **at = &models->entries; *at;) {
        struct entry *e = *at;
        if (e->listed || !fine) { at = &e->next; continue; }
        *at = e->next;
        e->next = NULL;
        entry_release(e);
    }
    return fine && models_resolve_collisions(models);
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

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
        e->references++;
        list->entries[list->count++] = e;
    }
    return true;
}

static void entry_list_clear(struct entry_list *list) {
    for (size_t i = 0; i < list->count; i++) entry_release(list->entries[i]);
    free(list->entries);
}

struct list_memory {
    struct models *models;
    struct entry_list entries;
};

/* Lock held. What cannot be told (being written, no memory) is an item with an error too. */
static bool models_item_fill(struct models_item *item, struct entry *entry) {
    struct problem problem = {0};
    const char *error = NULL;
    entry_wait_idle(entry);
    if (!entry->examined && !entry_ensure_open(entry, &problem)) error = problem.detail;
    else if (entry->error) error = entry->error;
    else if (!entry_ensure_digest(entry, &problem)) error = problem.detail;
    item->id = strdup(entry->id);
    item->path = entry->path;
    item->digest = error ? "" : entry->digest;
    item->error = error ? strdup(error) : NULL;
    item->info = error ? (struct model_info){.bytes = entry->identity.size} : entry->info;
    return item->id && (!error || item->error);
}

static int models_item_compare(const void *a, const void *b) {
    return strcmp(((const struct models_item *)a)->id, ((const struct models_item *)b)->id);
}

bool models_list(struct models *models, struct models_list *list) {
    *list = (struct models_list){0};
    struct list_memory *memory = calloc(1, sizeof *memory);
    if (!memory) return false;
    memory->models = models;
    pthread_mutex_lock(&models->lock);
    bool fine = models_collect(models, &memory->entries);
    list->items = fine ? calloc(memory->entries.count + 1, sizeof *list->items) : NULL;
    list->memory = memory;
    fine = list->items != NULL;
    for (size_t i = 0; fine && i < memory->entries.count; i++) {
        fine = models_item_fill(&list->items[list->count++], memory->entries.entries[i]);
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

struct models *models_create(const struct models_options *options) {
    struct models *models = calloc(1, sizeof *models);
    if (!models) return NULL;
    if (pthread_mutex_init(&models->lock, NULL) != 0) goto no_lock;
    if (pthread_cond_init(&models->idle, NULL) != 0) goto no_condition;
    models->cache = options->cache;
    models->log = options->log;
    if (options->folder && !(models->folder = strdup(options->folder))) goto no_memory;
    models->named = calloc(options->named_count + 1, sizeof *models->named);
    if (!models->named) goto no_memory;
    for (; models->named_count < options->named_count; models->named_count++)
        if (!(models->named[models->named_count] = strdup(options->named[models->named_count]))) goto no_memory;
    return models;

no_memory:
    models_destroy(models);
    return NULL;
no_condition:
    pthread_mutex_destroy(&models->lock);
no_lock:
    free(models);
    return NULL;
}

void models_destroy(struct models *models) {
    if (!models) return;
    while (models->entries) {
        struct entry *entry = models->entries;
        models->entries = entry->next;
        entry_release(entry);
    }
    for (size_t i = 0; i < models->named_count; i++) free(models->named[i]);
    free(models->named);
    free(models->folder);
    pthread_cond_destroy(&models->idle);
    pthread_mutex_destroy(&models->lock);
    free(models);
}
