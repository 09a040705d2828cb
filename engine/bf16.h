/*
 * bf16.h: products of linear layers in bfloat16, the upper half of a float32: both factors are rounded to eight bits of precision (to
 * nearest, ties to even), sums are float32. AVX512_BF16 does two products a lane and instruction, which is twice as fast as float32.
 *
 * Pairs     Numbers 2i and 2i + 1 of a row lie in one uint32_t, 2i in its low half. A panel of weights is one of kernels.h with pairs
 *           for numbers: element (pair d, column) is b[d * PANEL + column].
 */
#ifndef HEADSCOPE_ENGINE_BF16_H
#define HEADSCOPE_ENGINE_BF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* c[r, p, column] = sum_d a[r, d]_low b[p, d, column]_low + a[r, d]_high b[p, d, column]_high  (+ c[r, p, column] if accumulate) */
struct bf16_product {
    size_t rows, panels, pairs;
    const uint32_t *a; /* [rows, pairs], row stride a_stride */
    size_t a_stride;
    const uint32_t *b; /* [panels, pairs, PANEL] */
    float *c;          /* element (r, p, column) at c[r * c_stride + p * PANEL + column] */
    size_t c_stride;
    bool accumulate;
};

struct bf16 {
    /* n numbers, a multiple of PANEL, to n / 2 pairs. */
    void (*round)(const float *x, size_t n, uint32_t *pairs);
    void (*multiply)(const struct bf16_product *product);
};

extern const struct bf16 bf16_plain; /* the same formulas in plain C: what the tests compare with, far slower than float32 */
/* NULL where the processor or the build has no AVX512_BF16. */
const struct bf16 *bf16_avx512(void);

#endif
