/* visibility.h: which keys a query may see: those from `before` behind it to `after` ahead of it, within the text. */
#ifndef HEADSCOPE_ENGINE_VISIBILITY_H
#define HEADSCOPE_ENGINE_VISIBILITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct visibility {
    size_t before, after; /* SIZE_MAX: all */
};

static const struct visibility visibility_causal = {SIZE_MAX, 0};

static inline bool visibility_is_causal(struct visibility v) {
    return v.after == 0;
}

/* Causal, and nothing earlier is out of sight: the case with the fast ways. */
static inline bool visibility_is_plain(struct visibility v) {
    return v.after == 0 && v.before == SIZE_MAX;
}

static inline size_t visible_first(struct visibility v, size_t i) {
    return i > v.before ? i - v.before : 0;
}

/* One behind the last. */
static inline size_t visible_end(struct visibility v, size_t n, size_t i) {
    return v.after < n - 1 - i ? i + v.after + 1 : n;
}

/* How many other queries see key j. */
static inline size_t visible_receivers(struct visibility v, size_t n, size_t j) {
    size_t first = j > v.after ? j - v.after : 0, last = v.before < n - 1 - j ? j + v.before : n - 1;
    return last - first;
}

#endif
