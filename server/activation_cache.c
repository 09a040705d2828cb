#include "server/activation_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct activation_entry {
    struct activation_entry *newer, *older;
    int references; /* the cache's own, and the leases' */
    struct activations *activations;
    uint32_t *excluded;
    size_t excluded_count, target_excluded_count; /* the target's lie behind the others */
    uint64_t bytes;
    char id[65], model_digest[65];
};

struct activation_cache {
    pthread_mutex_t lock;
    struct activation_entry *newest, *oldest; /* by last use */
    uint64_t bytes, max_bytes;
};

struct activation_cache *activation_cache_create(uint64_t max_bytes) {
    struct activation_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return NULL;
    if (pthread_mutex_init(&cache->lock, NULL) != 0) {
        free(cache);
        return NULL;
    }
    cache->max_bytes = max_bytes;
    return cache;
}

static void activation_entry_release(struct activation_entry *entry) {
    if (--entry->references > 0) return;
    activations_destroy(entry->activations);
    free(entry->excluded);
    free(entry);
}

static void activation_cache_unlink(struct activation_cache *cache, struct activation_entry *entry) {
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    entry->newer = entry->older = NULL;
}

static void activation_cache_to_front(struct activation_cache *cache, struct activation_entry *entry) {
    entry->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void activation_cache_drop(struct activation_cache *cache, struct activation_entry *entry) {
    activation_cache_unlink(cache, entry);
    cache->bytes -= entry->bytes;
    activation_entry_release(entry);
}

static struct activation_entry *activation_cache_find(const struct activation_cache *cache, const char *id) {
    struct activation_entry *entry = cache->newest;
    while (entry && strcmp(entry->id, id) != 0) entry = entry->older;
    return entry;
}

void activation_cache_destroy(struct activation_cache *cache) {
    if (!cache) return;
    while (cache->newest) activation_cache_drop(cache, cache->newest);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

bool activation_cache_put(struct activation_cache *cache, const char *id, const char *model_digest,
                          struct activations *activations, const struct analysis_input *input) {
    size_t count = input->excluded_count, target_count = input->target_excluded_count;
    struct activation_entry *entry = calloc(1, sizeof *entry);
    if (!entry) return false;
    entry->excluded = malloc((count + target_count + 1) * sizeof *entry->excluded);
    if (!entry->excluded) {
        free(entry);
        return false;
    }
    if (count) memcpy(entry->excluded, input->excluded, count * sizeof *entry->excluded);
    if (target_count) memcpy(entry->excluded + count, input->target_excluded, target_count * sizeof *entry->excluded);
    entry->excluded_count = count;
    entry->target_excluded_count = target_count;
    entry->references = 1;
    entry->activations = activations;
    entry->bytes = activations_bytes(activations);
    strncpy(entry->id, id, sizeof entry->id - 1);
    strncpy(entry->model_digest, model_digest, sizeof entry->model_digest - 1);

    pthread_mutex_lock(&cache->lock);
    struct activation_entry *before = activation_cache_find(cache, id);
    if (before) activation_cache_drop(cache, before);
    activation_cache_to_front(cache, entry);
    cache->bytes += entry->bytes;
    while (cache->max_bytes && cache->bytes > cache->max_bytes && cache->oldest != entry)
        activation_cache_drop(cache, cache->oldest);
    pthread_mutex_unlock(&cache->lock);
    return true;
}

/* Lock held. */
static void activation_cache_lend(struct activation_cache *cache, struct activation_entry *entry,
                                  struct activation_lease *lease) {
    activation_cache_unlink(cache, entry);
    activation_cache_to_front(cache, entry);
    entry->references++;
    *lease = (struct activation_lease){
        .activations = entry->activations,
        .excluded = entry->excluded,
        .excluded_count = entry->excluded_count,
        .section = model_section(activations_model(entry->activations)),
        .target_excluded = entry->excluded + entry->excluded_count,
        .target_excluded_count = entry->target_excluded_count,
        .model_digest = entry->model_digest,
        .entry = entry,
    };
}

bool activation_cache_get(struct activation_cache *cache, const char *id, struct activation_lease *lease) {
    *lease = (struct activation_lease){0};
    pthread_mutex_lock(&cache->lock);
    struct activation_entry *entry = activation_cache_find(cache, id);
    if (entry) activation_cache_lend(cache, entry, lease);
    pthread_mutex_unlock(&cache->lock);
    return entry != NULL;
}

bool activation_cache_best_prefix(struct activation_cache *cache, const struct model *model, const int32_t *ids, size_t n,
                                  size_t least, struct activation_lease *lease) {
    *lease = (struct activation_lease){0};
    pthread_mutex_lock(&cache->lock);
    struct activation_entry *best = NULL;
    size_t longest = least > 0 ? least - 1 : 0;
    for (struct activation_entry *entry = cache->newest; entry; entry = entry->older) {
        if (activations_model(entry->activations) != model) continue;
        size_t count, shared = 0;
        const int32_t *other = activations_ids(entry->activations, &count);
        while (shared < n && shared < count && other[shared] == ids[shared]) shared++;
        if (shared > longest) {
            longest = shared;
            best = entry;
        }
    }
    if (best) activation_cache_lend(cache, best, lease);
    pthread_mutex_unlock(&cache->lock);
    return best != NULL;
}

void activation_cache_release(struct activation_cache *cache, struct activation_lease *lease) {
    if (!lease->entry) return;
    pthread_mutex_lock(&cache->lock);
    activation_entry_release(lease->entry);
    pthread_mutex_unlock(&cache->lock);
    *lease = (struct activation_lease){0};
}

void activation_cache_remove(struct activation_cache *cache, const char *id) {
    pthread_mutex_lock(&cache->lock);
    struct activation_entry *entry = activation_cache_find(cache, id);
    if (entry) activation_cache_drop(cache, entry);
    pthread_mutex_unlock(&cache->lock);
}

void activation_cache_shrink(struct activation_cache *cache, uint64_t bytes) {
    pthread_mutex_lock(&cache->lock);
    while (cache->oldest && cache->bytes > bytes) activation_cache_drop(cache, cache->oldest);
    pthread_mutex_unlock(&cache->lock);
}

uint64_t activation_cache_bytes(struct activation_cache *cache) {
    pthread_mutex_lock(&cache->lock);
    uint64_t bytes = cache->bytes;
    pthread_mutex_unlock(&cache->lock);
    return bytes;
}
