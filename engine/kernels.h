/*
 * kernels.h: the inner loops, one table of functions a vector path. All paths compute the same formulas; sums may be
 * taken in another order, so results agree within rounding, not bit for bit (unpacking, in weights.h, does).
 *
 * Panels    A matrix whose rows are long and whose columns are few (the keys of a text, the outputs of a linear
 *           layer) lies in panels of PANEL columns: element (d, column) of panel p is b[p * panel_stride + d * PANEL +
 *           column]. A vector register holds 4, 8 or 16 columns of one d; no path has to transpose anything later.
 * Blocks    A row block of scores has a left margin of zeros, BLOCK_MARGIN wide, and at least PANEL zeros to the right of
 *           the last key: sweeps along diagonals read over both edges.
 * Threads   Kernels keep no state and may run on any thread. Nothing here allocates or fails.
 */
#ifndef HEADSCOPE_ENGINE_KERNELS_H
#define HEADSCOPE_ENGINE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PANEL = 16, BLOCK_MARGIN = 64 };

/* Masked scores: far below any real one, and finite, so that no inf - inf can arise. */
#define MASKED_SCORE (-1e30f)

/* c[r, p, column] = scale * sum_d a[r, d] b[p, d, column]  (+ c[r, p, column] if accumulate)
 * a: [rows, depth], row stride a_stride. b: [panels, depth, PANEL]. c: element (r, p, column) at
 * c[r * c_stride + p * c_panel_stride + column]: c_panel_stride = PANEL makes c row-major. */
struct product {
    size_t rows, panels, depth;
    const float *a;
    size_t a_stride;
    const float *b;
    size_t b_panel_stride;
    float *c;
    size_t c_stride, c_panel_stride;
    float scale;
    bool accumulate;
};

/* What one row of scores s gives while it turns into e_j = exp(s_j - m), m = max_j s_j. The weights are A_j = e_j / sum. */
struct softmax_sums {
    float max;       /* m */
    double sum;      /* sum_j e_j; lse = m + ln(sum) */
    double weighted; /* sum_j e_j (s_j - m): H = ln(sum) - weighted / sum needs no logarithm per weight. Not finite where
                        a score is not: the one sum by which NaNs and infinities are noticed */
    double squares;  /* sum_j e_j^2 */
    size_t argmax;   /* the last j with s_j = m: the nearest key of a causal row */
};

/* Two sums over the keys that match: of e_j, and of e_j keep_j. */
struct kept_sums {
    double all, kept;
};

struct kernels {
    const char *name; /* "plain", "avx2", "avx512" */
    bool own_linear;  /* linear layers by `multiply` (measured faster), else by OpenBLAS */

    void (*multiply)(const struct product *product);

    /* s[n] -> e[n] in place; n a multiple of PANEL, masked places become exactly 0. */
    void (*softmax_row)(float *s, size_t n, struct softmax_sums *sums);
    /* w_j = exp(s_j - max) * scale, for a row whose softmax_sums are known; n a multiple of PANEL. */
    void (*weights_row)(const float *s, size_t n, float max, float scale, float *w);
    /* sum_j exp(s_j - max), where the weights themselves are not wanted; n a multiple of PANEL, masked places give 0. */
    double (*exp_sum)(const float *s, size_t n, float max);
    void (*exp_row)(const float *x, size_t n, float *y); /* n a multiple of PANEL; for tests */

    /* Rows r of e, r * stride apart, times scale[r]: per column the sum and the largest. n a multiple of PANEL. */
    void (*column_sweep)(const float *e, size_t stride, size_t rows, const float *scale, size_t n, float *sum, float *max);
    /* Sums along diagonals: sum[t] = sum_r scale[r] e[r * (stride + 1) + t]; n a multiple of PANEL. */
    void (*diagonal_sweep)(const float *e, size_t stride, size_t rows, const float *scale, size_t n, float *sum);
    void (*add_to_double)(double *total, const float *x, size_t n);
    /* Sum of sum[0..n) and largest of max[0..n), any n: one pooling cell of a column sweep. */
    void (*pool_cell)(const float *sum, const float *max, size_t n, double *cell_sum, float *cell_max);
    double (*dot)(const float *x, const float *y, size_t n); /* any n */
    /* Keys j < n with ids[j] == id, any n. */
    void (*match_sums)(const float *e, const float *keep, const int32_t *ids, size_t n, int32_t id, struct kept_sums *sums);
    /* Jensen-Shannon divergence of two rows that sum to 1, in nats; n a multiple of PANEL. See kernels_divergence.h. */
    double (*divergence)(const float *p, const float *q, size_t n);

    /* y = x / sqrt(mean(x^2) + epsilon) * weight (Zhang & Sennrich 2019), any n. Returns sum(x^2): not finite where x is not. */
    double (*rms_norm)(const float *x, const float *weight, size_t n, float epsilon, float *y);
    /* gate = silu(gate) * up, silu(x) = x / (1 + exp(-x)) (Shazeer 2020); n a multiple of PANEL. */
    void (*swiglu)(float *gate, const float *up, size_t n);

    /* n floats from quantised blocks or halves; weights.h says what each format is. n a multiple of the block. */
    void (*unpack_f16)(const void *source, size_t n, float *x);
    void (*unpack_bf16)(const void *source, size_t n, float *x);
    void (*unpack_q4_0)(const void *source, size_t n, float *x);
    void (*unpack_q4_1)(const void *source, size_t n, float *x);
    void (*unpack_q8_0)(const void *source, size_t n, float *x);
    /* These are kernels_blocks.h's, on every path. */
    void (*unpack_q5_0)(const void *source, size_t n, float *x);
    void (*unpack_q5_1)(const void *source, size_t n, float *x);
    void (*unpack_q2_k)(const void *source, size_t n, float *x);
    void (*unpack_q3_k)(const void *source, size_t n, float *x);
    void (*unpack_q4_k)(const void *source, size_t n, float *x);
    void (*unpack_q5_k)(const void *source, size_t n, float *x);
    void (*unpack_q6_k)(const void *source, size_t n, float *x);
    /* PANEL rows of n floats, `stride` apart, turned into one panel [n, PANEL]; n a multiple of PANEL. */
    void (*transpose_panel)(const float *rows, size_t stride, size_t n, float *panel);
};

extern const struct kernels kernels_plain;
/* NULL where the processor or the build has no such path. */
const struct kernels *kernels_avx2(void);
const struct kernels *kernels_avx512(void);
/* The fastest path of this machine. */
const struct kernels *kernels_best(void);

/* n rounded up to whole panels. */
static inline size_t whole_panels(size_t n) {
    return (n + PANEL - 1) / PANEL * PANEL;
}

#endif
