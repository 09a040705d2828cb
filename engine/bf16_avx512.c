/* bf16_avx512.c: bf16.h with AVX512_BF16. Compiled with its flag, called only where the processor has it. */
#include "engine/bf16.h"

#include "engine/kernels.h"

#if defined(__AVX512BF16__) && defined(__AVX512F__)

#include <immintrin.h>

enum { ROW_TILE = 8, PANEL_TILE = 3 }; /* 24 of the 32 registers hold sums */

#define UNROLL _Pragma("GCC unroll 8")

static void round_row(const float *x, size_t n, uint32_t *pairs) {
    for (size_t i = 0; i < n; i += 16) {
        __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
        _mm256_storeu_si256((void *)(pairs + i / 2), (__m256i)rounded);
    }
}

static inline __attribute__((always_inline)) void multiply_tile(const int rows, const int panels, const struct bf16_product *p, size_t row,
                                                                size_t panel) {
    __m512 sum[ROW_TILE][PANEL_TILE];
    const uint32_t *a = p->a + row * p->a_stride, *b = p->b + panel * p->pairs * PANEL;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int q = 0; q < panels; q++) sum[r][q] = _mm512_setzero_ps();
    for (size_t d = 0; d < p->pairs; d++) {
        __m512bh weight[PANEL_TILE];
        UNROLL for (int q = 0; q < panels; q++)
            weight[q] = (__m512bh)_mm512_loadu_si512(b + ((size_t)q * p->pairs + d) * PANEL);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[(size_t)r * p->a_stride + d]);
            UNROLL for (int q = 0; q < panels; q++) sum[r][q] = _mm512_dpbf16_ps(sum[r][q], x, weight[q]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int q = 0; q < panels; q++) {
            float *c = p->c + (row + (size_t)r) * p->c_stride + (panel + (size_t)q) * PANEL;
            _mm512_storeu_ps(c, p->accumulate ? _mm512_add_ps(_mm512_loadu_ps(c), sum[r][q]) : sum[r][q]);
        }
}

static inline __attribute__((always_inline)) void multiply_rows(const int panels, const struct bf16_product *p, size_t panel) {
    size_t row = 0;
    for (; row + ROW_TILE <= p->rows; row += ROW_TILE) multiply_tile(ROW_TILE, panels, p, row, panel);
    if (row + 4 <= p->rows) multiply_tile(4, panels, p, row, panel), row += 4;
    if (row + 2 <= p->rows) multiply_tile(2, panels, p, row, panel), row += 2;
    if (row < p->rows) multiply_tile(1, panels, p, row, panel);
}

static void multiply(const struct bf16_product *p) {
    size_t panel = 0;
    for (; panel + 3 <= p->panels; panel += 3) multiply_rows(3, p, panel);
    if (panel + 2 <= p->panels) multiply_rows(2, p, panel), panel += 2;
    if (panel < p->panels) multiply_rows(1, p, panel);
}

static const struct bf16 table = {round_row, multiply};

const struct bf16 *bf16_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16") ? &table : NULL;
}

#else

const struct bf16 *bf16_avx512(void) {
    return NULL;
}

#endif
