/*
 * activation_cache.h: activations of recent analyses, by id, bounded in bytes, least recently used ones go first. What a
 * lease holds stays until released, even when it has left the cache.
 *
 * Threads   All calls from any thread. Activations are only read on the worker's thread.
 */
#ifndef HEADSCOPE_SERVER_ACTIVATION_CACHE_H
#define HEADSCOPE_SERVER_ACTIVATION_CACHE_H

#include "engine/engine.h"

struct activation_cache;

struct activation_lease {
    const struct activations *activations;
    const uint32_t *excluded; /* the analysis' excluded keys */
    size_t excluded_count;
    enum section section;     /* that was asked for; of it are the excluded keys. Set by analyses_activations */
    const uint32_t *target_excluded;
    size_t target_excluded_count;
    const char *model_digest; /* of the model's file */
    void *entry;
};

struct activation_cache *activation_cache_create(uint64_t max_bytes); /* 0: no limit; NULL: out of memory */
void activation_cache_destroy(struct activation_cache *cache);        /* leases must have been released; NULL is fine */

/* Takes the activations; the excluded keys of `input` and the model's digest are copied. The newest entry stays even when it alone is over the limit. On false (out of
 * memory) they stay the caller's. */
bool activation_cache_put(struct activation_cache *cache, const char *id, const char *model_digest,
                          struct activations *activations, const struct analysis_input *input);
bool activation_cache_get(struct activation_cache *cache, const char *id, struct activation_lease *lease);
/* The entry of the same model whose ids share the longest beginning with ids, at least `least` tokens. */
bool activation_cache_best_prefix(struct activation_cache *cache, const struct model *model, const int32_t *ids, size_t n,
                                  size_t least, struct activation_lease *lease);
void activation_cache_release(struct activation_cache *cache, struct activation_lease *lease); /* an empty one is fine */
void activation_cache_remove(struct activation_cache *cache, const char *id);
/* Lets the oldest go until `bytes` are in use at most. */
void activation_cache_shrink(struct activation_cache *cache, uint64_t bytes);
uint64_t activation_cache_bytes(struct activation_cache *cache);

#endif
