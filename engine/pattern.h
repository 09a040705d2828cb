/*
 * pattern.h: regular expressions as tokenizer files write them (Oniguruma's syntax), run by PCRE2 under limits.
 *
 * What the two understand differently is translated (\s, \w, \h, ^, $); what cannot be is refused by name.
 */
#ifndef HEADSCOPE_ENGINE_PATTERN_H
#define HEADSCOPE_ENGINE_PATTERN_H

#include "engine/engine.h"

struct pattern; /* immutable: one for all threads */

/* `expression`: UTF-8. ENGINE_UNSUPPORTED for what is not understood. */
enum engine_status pattern_create(const char *expression, size_t size, struct pattern **pattern, char *error,
                                  size_t error_size);
/* One that matches exactly this text, which is not empty. */
enum engine_status pattern_create_plain(const char *text, size_t size, struct pattern **pattern, char *error,
                                        size_t error_size);
void pattern_destroy(struct pattern *pattern); /* NULL is fine */

/* What one thread needs to match with any pattern. NULL without memory. */
struct matcher;
struct matcher *matcher_create(void);
void matcher_destroy(struct matcher *matcher); /* NULL is fine */

/* A search from left to right for all matches that do not overlap. An empty match counts, but not where the match before it ended. */
struct search {
    const struct pattern *pattern;
    const char *text;
    size_t size, at;
    bool any;
    size_t last_end;
};
struct search search_start(const struct pattern *pattern, const char *text, size_t size);

/* *found is false once there are no more. ENGINE_NO_MEMORY, or ENGINE_INVALID where the pattern's limits are reached (*start says
 * where); writes no message. */
enum engine_status search_next(struct search *search, struct matcher *matcher, bool *found, size_t *start, size_t *end);

#endif
