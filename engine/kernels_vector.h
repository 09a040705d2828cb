/*
 * kernels_vector.h: the vector kernels, written once; kernels_avx2.c and kernels_avx512.c say what a `vector` is, define the
 * v_ operations, and include this file. Formulas and shapes: kernels.h; the plain twin: kernels_plain.c.
 *
 * To be defined before: vector, WIDTH, v_load, v_store, v_set1, v_zero, v_add, v_sub, v_mul, v_div, v_fma (a b + c), v_max,
 * v_min, v_round, v_power (p 2^n, or 0 where x is below the limit), v_sum (to double), v_largest, v_equal (bit mask),
 * v_keep_equal (e where ids are id, else 0), v_add_to_double, and the tile shape ROW_TILE, PANEL_TILE.
 */
#include "engine/kernels_divergence.h"

enum { PANEL_VECTORS = PANEL / WIDTH, CHUNK = 512 };

#define UNROLL _Pragma("GCC unroll 16")
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* ---- exp: see exp_one in kernels_plain.c --------------------------------------------------------------------- */

ALWAYS_INLINE vector v_exp(vector x) {
    vector bounded = v_min(v_max(x, v_set1(-87.33f)), v_set1(88.37f));
    vector n = v_round(v_mul(bounded, v_set1(1.44269504088896341f)));
    vector r = v_fma(n, v_set1(-0.693359375f), bounded);
    r = v_fma(n, v_set1(2.12194440e-4f), r);
    vector p = v_set1(1.9875691500e-4f);
    p = v_fma(p, r, v_set1(1.3981999507e-3f));
    p = v_fma(p, r, v_set1(8.3334519073e-3f));
    p = v_fma(p, r, v_set1(4.1665795894e-2f));
    p = v_fma(p, r, v_set1(1.6666665459e-1f));
    p = v_fma(p, r, v_set1(5.0000001201e-1f));
    p = v_add(v_fma(p, v_mul(r, r), r), v_set1(1.0f));
    return v_power(p, n, x);
}

static void exp_row(const float *x, size_t n, float *y) {
    for (size_t j = 0; j < n; j += WIDTH) v_store(y + j, v_exp(v_load(x + j)));
}

/* ---- products: a tile of `rows` by `panels` sums stays in registers over the whole depth ------------------------ */

ALWAYS_INLINE void multiply_tile(const int rows, const int panels, const struct product *p, size_t row, size_t panel) {
    const int vectors = panels * PANEL_VECTORS;
    const float *a = p->a + row * p->a_stride, *b = p->b + panel * p->b_panel_stride;
    float *c = p->c + row * p->c_stride + panel * p->c_panel_stride;
    const size_t a_stride = p->a_stride, b_stride = p->b_panel_stride, depth = p->depth;
    vector sum[ROW_TILE][PANEL_TILE * PANEL_VECTORS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v_zero();
    }
    for (size_t d = 0; d < depth; d++) {
        vector column[PANEL_TILE * PANEL_VECTORS];
        UNROLL for (int v = 0; v < vectors; v++)
            column[v] = v_load(b + (size_t)(v / PANEL_VECTORS) * b_stride + d * PANEL + (size_t)(v % PANEL_VECTORS) * WIDTH);
        UNROLL for (int r = 0; r < rows; r++) {
            vector x = v_set1(a[(size_t)r * a_stride + d]);
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v_fma(x, column[v], sum[r][v]);
        }
    }
    const vector scale = v_set1(p->scale);
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            float *to = c + (size_t)r * p->c_stride + (size_t)(v / PANEL_VECTORS) * p->c_panel_stride +
                        (size_t)(v % PANEL_VECTORS) * WIDTH;
            v_store(to, p->accumulate ? v_fma(scale, sum[r][v], v_load(to)) : v_mul(scale, sum[r][v]));
        }
    }
}

/* All rows by `panels` panels. ROW_TILE is 6 or 8: what is left goes in fours, twos and ones. */
ALWAYS_INLINE void multiply_rows(const int row_tile, const int panels, const struct product *p, size_t panel) {
    size_t row = 0;
    for (; row + (size_t)row_tile <= p->rows; row += (size_t)row_tile) multiply_tile(row_tile, panels, p, row, panel);
    if (row + 4 <= p->rows) multiply_tile(4, panels, p, row, panel), row += 4;
    if (row + 2 <= p->rows) multiply_tile(2, panels, p, row, panel), row += 2;
    if (row < p->rows) multiply_tile(1, panels, p, row, panel);
}

/* ---- softmax ----------------------------------------------------------------------------------------------- */

ALWAYS_INLINE float row_max(const float *s, size_t n) {
    vector max0 = v_load(s), max1 = max0, max2 = max0, max3 = max0;
    size_t j = 0;
    for (; j + 4 * WIDTH <= n; j += 4 * WIDTH) {
        max0 = v_max(max0, v_load(s + j));
        max1 = v_max(max1, v_load(s + j + WIDTH));
        max2 = v_max(max2, v_load(s + j + 2 * WIDTH));
        max3 = v_max(max3, v_load(s + j + 3 * WIDTH));
    }
    for (; j < n; j += WIDTH) max0 = v_max(max0, v_load(s + j));
    return v_largest(v_max(v_max(max0, max1), v_max(max2, max3)));
}

static void softmax_row(float *s, size_t n, struct softmax_sums *sums) {
    const float max = row_max(s, n);
    const vector vmax = v_set1(max);
    double sum = 0, weighted = 0, squares = 0;
    size_t argmax = 0;
    for (size_t start = 0; start < n; start += CHUNK) { /* float32 lanes add at most CHUNK / WIDTH numbers, the rest is double */
        const size_t end = n - start < CHUNK ? n : start + CHUNK;
        vector lane_sum = v_zero(), lane_weighted = v_zero(), lane_squares = v_zero();
        for (size_t j = start; j < end; j += WIDTH) {
            vector below = v_sub(v_load(s + j), vmax), e = v_exp(below);
            unsigned at_max = v_equal(below, v_zero());
            v_store(s + j, e);
            lane_sum = v_add(lane_sum, e);
            lane_weighted = v_fma(e, below, lane_weighted);
            lane_squares = v_fma(e, e, lane_squares);
            if (__builtin_expect(at_max != 0, 0)) argmax = j + 31 - (size_t)__builtin_clz(at_max);
        }
        sum += v_sum(lane_sum);
        weighted += v_sum(lane_weighted);
        squares += v_sum(lane_squares);
    }
    *sums = (struct softmax_sums){max, sum, weighted, squares, argmax};
}

static void weights_row(const float *s, size_t n, float max, float scale, float *w) {
    const vector vmax = v_set1(max), vscale = v_set1(scale);
    for (size_t j = 0; j < n; j += WIDTH) v_store(w + j, v_mul(v_exp(v_sub(v_load(s + j), vmax)), vscale));
}

static double exp_sum(const float *s, size_t n, float max) {
    const vector vmax = v_set1(max);
    double sum = 0;
    for (size_t start = 0; start < n; start += CHUNK) {
        const size_t end = n - start < CHUNK ? n : start + CHUNK;
        vector even = v_zero(), odd = v_zero();
        size_t j = start;
        for (; j + 2 * WIDTH <= end; j += 2 * WIDTH) {
            even = v_add(even, v_exp(v_sub(v_load(s + j), vmax)));
            odd = v_add(odd, v_exp(v_sub(v_load(s + j + WIDTH), vmax)));
        }
        if (j < end) even = v_add(even, v_exp(v_sub(v_load(s + j), vmax)));
        sum += v_sum(v_add(even, odd));
    }
    return sum;
}

/* ---- sweeps over a block that lies in cache --------------------------------------------------------------------- */

static void column_sweep(const float *e, size_t stride, size_t rows, const float *scale, size_t n, float *sum, float *max) {
    size_t j = 0;
    for (; j + 4 * WIDTH <= n; j += 4 * WIDTH) {
        vector s[4], m[4];
        UNROLL for (int v = 0; v < 4; v++) s[v] = m[v] = v_zero();
        for (size_t r = 0; r < rows; r++) {
            vector x = v_set1(scale[r]);
            UNROLL for (int v = 0; v < 4; v++) {
                vector a = v_mul(v_load(e + r * stride + j + (size_t)v * WIDTH), x);
                s[v] = v_add(s[v], a);
                m[v] = v_max(m[v], a);
            }
        }
        UNROLL for (int v = 0; v < 4; v++) {
            v_store(sum + j + (size_t)v * WIDTH, s[v]);
            v_store(max + j + (size_t)v * WIDTH, m[v]);
        }
    }
    for (; j < n; j += WIDTH) {
        vector s = v_zero(), m = v_zero();
        for (size_t r = 0; r < rows; r++) {
            vector a = v_mul(v_load(e + r * stride + j), v_set1(scale[r]));
            s = v_add(s, a);
            m = v_max(m, a);
        }
        v_store(sum + j, s);
        v_store(max + j, m);
    }
}

static void diagonal_sweep(const float *e, size_t stride, size_t rows, const float *scale, size_t n, float *sum) {
    size_t t = 0;
    for (; t + 4 * WIDTH <= n; t += 4 * WIDTH) {
        vector s[4];
        UNROLL for (int v = 0; v < 4; v++) s[v] = v_zero();
        for (size_t r = 0; r < rows; r++) {
            vector x = v_set1(scale[r]);
            UNROLL for (int v = 0; v < 4; v++) s[v] = v_fma(v_load(e + r * (stride + 1) + t + (size_t)v * WIDTH), x, s[v]);
        }
        UNROLL for (int v = 0; v < 4; v++) v_store(sum + t + (size_t)v * WIDTH, s[v]);
    }
    for (; t < n; t += WIDTH) {
        vector s = v_zero();
        for (size_t r = 0; r < rows; r++) s = v_fma(v_load(e + r * (stride + 1) + t), v_set1(scale[r]), s);
        v_store(sum + t, s);
    }
}

static void add_to_double(double *total, const float *x, size_t n) {
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) v_add_to_double(total + i, v_load(x + i));
    for (; i < n; i++) total[i] += (double)x[i];
}

static void pool_cell(const float *sum, const float *max, size_t n, double *cell_sum, float *cell_max) {
    vector s = v_zero(), m = v_zero();
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        s = v_add(s, v_load(sum + i));
        m = v_max(m, v_load(max + i));
    }
    double total = v_sum(s);
    float largest = v_largest(m);
    for (; i < n; i++) {
        total += (double)sum[i];
        largest = max[i] > largest ? max[i] : largest;
    }
    *cell_sum = total;
    *cell_max = largest;
}

static double dot(const float *x, const float *y, size_t n) {
    double sum = 0;
    size_t i = 0;
    while (i + WIDTH <= n) {
        size_t end = n - i < CHUNK ? n : i + CHUNK;
        vector lanes = v_zero();
        for (; i + WIDTH <= end; i += WIDTH) lanes = v_fma(v_load(x + i), v_load(y + i), lanes);
        sum += v_sum(lanes);
    }
    for (; i < n; i++) sum += (double)(x[i] * y[i]);
    return sum;
}

static void match_sums(const float *e, const float *keep, const int32_t *ids, size_t n, int32_t id, struct kept_sums *sums) {
    double all = 0, kept = 0;
    size_t j = 0;
    while (j + WIDTH <= n) {
        size_t end = n - j < CHUNK ? n : j + CHUNK;
        vector lane_all = v_zero(), lane_kept = v_zero();
        for (; j + WIDTH <= end; j += WIDTH) {
            vector x = v_keep_equal(v_load(e + j), ids + j, id);
            lane_all = v_add(lane_all, x);
            lane_kept = v_fma(x, v_load(keep + j), lane_kept);
        }
        all += v_sum(lane_all);
        kept += v_sum(lane_kept);
    }
    for (; j < n; j++)
        if (ids[j] == id) {
            all += (double)e[j];
            kept += (double)(e[j] * keep[j]);
        }
    *sums = (struct kept_sums){all, kept};
}

/* ---- rows of the residual stream ------------------------------------------------------------------------------- */

static double rms_norm(const float *x, const float *weight, size_t n, float epsilon, float *y) {
    double squares = dot(x, x, n);
    float scale = (float)(1.0 / sqrt(squares / (double)n + (double)epsilon));
    vector vscale = v_set1(scale);
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) v_store(y + i, v_mul(v_load(weight + i), v_mul(v_load(x + i), vscale)));
    for (; i < n; i++) y[i] = weight[i] * (x[i] * scale);
    return squares;
}

static void swiglu(float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i += WIDTH) {
        vector x = v_load(gate + i);
        vector silu = v_div(x, v_add(v_set1(1.0f), v_exp(v_sub(v_zero(), x))));
        v_store(gate + i, v_mul(silu, v_load(up + i)));
    }
}
