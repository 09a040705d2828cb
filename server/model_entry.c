#include "server/model_entry.h"

#include <stdlib.h>
#include <string.h>

static void entry_free(struct entry *entry) {
    model_release(entry->model);
    free(entry->path);
    free(entry->base_id);
    free(entry->id);
    free(entry->info_strings);
    free(entry->error);
    free(entry);
}

/* With the lock held. */
void entry_release(struct entry *entry) {
    if (--entry->references == 0) entry_free(entry);
}

struct entry *entry_create(struct models *models, const struct model_file *file, size_t named) {
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry) return NULL;
    entry->models = models;
    entry->references = 1;
    entry->identity = file->identity;
    entry->source = file->source;
    entry->named = named;
    entry->path = strdup(file->path);
    entry->base_id = strdup(file->id);
    entry->id = strdup(file->id);
    if (file->error) {
        entry->error = strdup(file->error);
        entry->examined = true;
    }
    if (entry->path && entry->base_id && entry->id && (!file->error || entry->error)) return entry;
    entry_free(entry);
    return NULL;
}

void entry_wait_idle(struct entry *entry) {
    while (entry->busy) pthread_cond_wait(&entry->models->idle, &entry->models->lock);
}

/* Runs `work` on the entry without the lock, as the only one. The entry must be referenced by the caller. */
static bool entry_alone(struct entry *entry, bool (*work)(struct entry *entry, struct problem *problem),
                        struct problem *problem) {
    entry->busy = true;
    pthread_mutex_unlock(&entry->models->lock);
    bool fine = work(entry, problem);
    pthread_mutex_lock(&entry->models->lock);
    entry->busy = false;
    pthread_cond_broadcast(&entry->models->idle);
    return fine;
}

/* Keeps a copy of what the model says of itself, for lists, after the model is closed. Made once: lists borrow it. */
static bool entry_copy_info(struct entry *entry, const struct model_info *info) {
    const char *texts[] = {info->name, info->architecture, info->licence, info->format, info->dtype, info->tokenizer,
                           info->tokenizer_error};
    const char **fields[] = {&entry->info.name,   &entry->info.architecture, &entry->info.licence,
                             &entry->info.format, &entry->info.dtype,        &entry->info.tokenizer,
                             &entry->info.tokenizer_error};
    size_t size = 0, count = sizeof texts / sizeof texts[0];
    for (size_t i = 0; i < count; i++) size += strlen(texts[i]) + 1;
    char *block = malloc(size);
    if (!block) return false;
    entry->info = *info;
    entry->info_strings = block;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(texts[i]) + 1;
        *fields[i] = memcpy(block, texts[i], length);
        block += length;
    }
    return true;
}

static bool entry_same_file(const struct entry *entry) {
    struct model_identity now;
    model_identity_of(entry->path, &now);
    return model_identity_equal(&now, &entry->identity);
}

static bool entry_being_written(const struct entry *entry, struct problem *problem) {
    return problem_set(problem, 503, "the file of model '%s' is being written right now; try again in a moment",
                       entry->base_id);
}

/* Opens the model; an unusable file is an answer too (entry->error), a failure is not remembered. */
static bool entry_open(struct entry *entry, struct problem *problem) {
    char error[512] = "";
    struct model *model = NULL;
    enum engine_status status = model_open(entry->path, &model, error, sizeof error);
    if (!entry_same_file(entry)) {
        model_release(model);
        return entry_being_written(entry, problem);
    }
    if (status == ENGINE_NO_MEMORY) return problem_memory(problem);
    if (status == ENGINE_OK && !entry->examined && !entry_copy_info(entry, model_describe(model))) {
        model_release(model);
        return problem_memory(problem);
    }
    if (status != ENGINE_OK) {
        entry->error = strdup(error[0] ? error : "this file could not be opened");
        if (!entry->error) return problem_memory(problem);
        log_write(entry->models->log, LEVEL_DEBUG, "models", "%s: %s", entry->path, entry->error);
    }
    entry->model = model;
    entry->examined = true;
    return true;
}

static bool entry_reading(void *context, uint64_t bytes) {
    struct entry *entry = context;
    atomic_store(&entry->read, bytes);
    return !atomic_load(&entry->models->stopping);
}

static bool entry_digest(struct entry *entry, struct problem *problem) {
    struct cache *cache = entry->models->cache;
    struct file_identity file = {
        .path = entry->path,
        .size = entry->identity.size,
        .inode = entry->identity.inode,
        .device = entry->identity.device,
        .modified_ns = entry->identity.modified_ns,
    };
    char digest[65], error[512] = "";
    if (cache && cache_get_digest(cache, &file, digest) == CACHE_OK) {
        memcpy(entry->digest, digest, sizeof digest);
        return true;
    }
    enum engine_status status = model_file_digest(entry->path, &(struct digest_observer){entry, entry_reading}, digest, error, sizeof error);
    if (status == ENGINE_OK && !entry_same_file(entry)) return entry_being_written(entry, problem);
    if (status == ENGINE_CANCELLED) return problem_set(problem, 503, "the server is stopping; ask again when it is back");
    if (status != ENGINE_OK) return problem_engine(problem, status, error);
    memcpy(entry->digest, digest, sizeof digest);
    if (cache) cache_put_digest(cache, &file, digest);
    return true;
}

/* Lock held, entry referenced. */
bool entry_ensure_digest(struct entry *entry, struct problem *problem) {
    entry_wait_idle(entry);
    return entry->digest[0] || entry_alone(entry, entry_digest, problem);
}

bool entry_ensure_open(struct entry *entry, struct problem *problem) {
    entry_wait_idle(entry);
    if (entry->error || entry->model) return true;
    return entry_alone(entry, entry_open, problem);
}
