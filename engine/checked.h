/*
 * checked.h: arithmetic on numbers that come from files and callers. Each function returns false instead of wrapping, and
 * then leaves *result alone.
 */
#ifndef HEADSCOPE_ENGINE_CHECKED_H
#define HEADSCOPE_ENGINE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add(size_t a, size_t b, size_t *result) {
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *result = sum;
    return true;
}

static inline bool checked_multiply(size_t a, size_t b, size_t *result) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *result = product;
    return true;
}

/* Rounds up to a multiple of `alignment`, a power of two. */
static inline bool checked_align(size_t a, size_t alignment, size_t *result) {
    size_t sum;
    if (!checked_add(a, alignment - 1, &sum)) return false;
    *result = sum & ~(alignment - 1);
    return true;
}

#endif
