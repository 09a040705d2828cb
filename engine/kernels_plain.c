/* kernels_plain.c: the plain C path. It explains the vector paths and is what other processors run. */
#include "engine/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/half.h"
#include "engine/kernels_blocks.h"
#include "engine/kernels_divergence.h"

/* exp(x) to 1 or 2 ulp where the result is a normal float, 0 below, largest finite above.
 * x = n ln 2 + r, |r| <= ln 2 / 2: 2^n times a polynomial in r (coefficients: Moshier, Cephes, expf). ln 2 is taken off in
 * two parts, the first of which has few bits, so that n * part is exact. */
static inline float exp_one(float x) {
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float bounded = x > -87.33f ? x < 88.37f ? x : 88.37f : -87.33f; /* a NaN too becomes a number: see softmax_row */
    float n = (bounded * 1.44269504088896341f + shift) - shift;
    float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    int32_t exponent = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &exponent, sizeof power);
    return x < -87.33f ? 0.0f : p * power;
}

static void exp_row(const float *x, size_t n, float *y) {
    for (size_t j = 0; j < n; j++) y[j] = exp_one(x[j]);
}

/* Four floats, as nearly every processor holds them in a register: the compiler's own vectors, no intrinsics. */
typedef float quad __attribute__((vector_size(16)));
enum { QUADS = PANEL / 4, TILE_ROWS = 2 };

/* Two rows by one panel at a time: the sums stay in registers. */
static inline __attribute__((always_inline)) void multiply_tile(const struct product *p, size_t row, size_t panel, const size_t rows) {
    const float *a = p->a + row * p->a_stride, *b = p->b + panel * p->b_panel_stride;
    quad sum[TILE_ROWS][QUADS] = {{{0}}};
    for (size_t d = 0; d < p->depth; d++, b += PANEL) {
        quad column[QUADS];
        memcpy(column, b, sizeof column);
#pragma GCC unroll 2
        for (size_t r = 0; r < rows; r++) {
            float x = a[r * p->a_stride + d];
#pragma GCC unroll 4
            for (size_t i = 0; i < QUADS; i++) sum[r][i] += x * column[i];
        }
    }
    for (size_t r = 0; r < rows; r++) {
        float *c = p->c + (row + r) * p->c_stride + panel * p->c_panel_stride, to[PANEL];
        memcpy(to, sum[r], sizeof to);
        for (size_t i = 0; i < PANEL; i++) c[i] = p->scale * to[i] + (p->accumulate ? c[i] : 0.0f);
    }
}

static void multiply(const struct product *p) {
    for (size_t panel = 0; panel < p->panels; panel++) {
        size_t row = 0;
        for (; row + 2 <= p->rows; row += 2) multiply_tile(p, row, panel, 2);
        if (row < p->rows) multiply_tile(p, row, panel, 1);
    }
}

static void softmax_row(float *s, size_t n, struct softmax_sums *sums) {
    float max = s[0];
    for (size_t j = 1; j < n; j++)
        if (s[j] > max) max = s[j];
    double sum = 0, weighted = 0, squares = 0;
    size_t argmax = 0;
    for (size_t j = 0; j < n; j++) {
        float below = s[j] - max, e = exp_one(below);
        if (s[j] == max) argmax = j;
        sum += (double)e;
        weighted += (double)(e * below);
        squares += (double)(e * e);
        s[j] = e;
    }
    *sums = (struct softmax_sums){max, sum, weighted, squares, argmax};
}

static void weights_row(const float *s, size_t n, float max, float scale, float *w) {
    for (size_t j = 0; j < n; j++) w[j] = exp_one(s[j] - max) * scale;
}

static double exp_sum(const float *s, size_t n, float max) {
    double sum = 0;
    for (size_t j = 0; j < n; j++) sum += (double)exp_one(s[j] - max);
    return sum;
}

static void column_sweep(const float *e, size_t stride, size_t rows, const float *scale, size_t n, float *sum, float *max) {
    for (size_t j = 0; j < n; j++) sum[j] = max[j] = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n; j++) {
            float a = e[r * stride + j] * scale[r];
            sum[j] += a;
            max[j] = a > max[j] ? a : max[j];
        }
}

static void diagonal_sweep(const float *e, size_t stride, size_t rows, const float *scale, size_t n, float *sum) {
    for (size_t t = 0; t < n; t++) sum[t] = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < n; t++) sum[t] += e[r * (stride + 1) + t] * scale[r];
}

static void add_to_double(double *total, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) total[i] += (double)x[i];
}

static void pool_cell(const float *sum, const float *max, size_t n, double *cell_sum, float *cell_max) {
    double total = 0;
    float largest = 0;
    for (size_t i = 0; i < n; i++) {
        total += (double)sum[i];
        largest = max[i] > largest ? max[i] : largest;
    }
    *cell_sum = total;
    *cell_max = largest;
}

static double dot(const float *x, const float *y, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)(x[i] * y[i]);
    return sum;
}

static void match_sums(const float *e, const float *keep, const int32_t *ids, size_t n, int32_t id, struct kept_sums *sums) {
    double all = 0, kept = 0;
    for (size_t j = 0; j < n; j++)
        if (ids[j] == id) {
            all += (double)e[j];
            kept += (double)(e[j] * keep[j]);
        }
    *sums = (struct kept_sums){all, kept};
}

static double rms_norm(const float *x, const float *weight, size_t n, float epsilon, float *y) {
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
    float scale = (float)(1.0 / sqrt(squares / (double)n + (double)epsilon));
    for (size_t i = 0; i < n; i++) y[i] = weight[i] * (x[i] * scale);
    return squares;
}

static void swiglu(float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + exp_one(-gate[i])) * up[i];
}

static void unpack_f16(const void *source, size_t n, float *x) {
    const uint8_t *p = source;
    for (size_t i = 0; i < n; i++) x[i] = half_to_float(read_u16(p + 2 * i));
}

static void unpack_bf16(const void *source, size_t n, float *x) {
    const uint8_t *p = source;
    for (size_t i = 0; i < n; i++) x[i] = bfloat_to_float(read_u16(p + 2 * i));
}

static void unpack_q4_0(const void *source, size_t n, float *x) {
    for (const uint8_t *p = source; n > 0; n -= 32, p += 18, x += 32) {
        float d = half_to_float(read_u16(p));
        for (int i = 0; i < 16; i++) {
            x[i] = (float)((p[2 + i] & 15) - 8) * d;
            x[16 + i] = (float)((p[2 + i] >> 4) - 8) * d;
        }
    }
}

static void unpack_q4_1(const void *source, size_t n, float *x) {
    for (const uint8_t *p = source; n > 0; n -= 32, p += 20, x += 32) {
        float d = half_to_float(read_u16(p)), m = half_to_float(read_u16(p + 2));
        for (int i = 0; i < 16; i++) {
            x[i] = (float)(p[4 + i] & 15) * d + m;
            x[16 + i] = (float)(p[4 + i] >> 4) * d + m;
        }
    }
}

static void unpack_q8_0(const void *source, size_t n, float *x) {
    for (const uint8_t *p = source; n > 0; n -= 32, p += 34, x += 32) {
        float d = half_to_float(read_u16(p));
        for (int i = 0; i < 32; i++) x[i] = (float)(int8_t)p[2 + i] * d;
    }
}

static void transpose_panel(const float *rows, size_t stride, size_t n, float *panel) {
    for (size_t d = 0; d < n; d++)
        for (size_t r = 0; r < PANEL; r++) panel[d * PANEL + r] = rows[r * stride + d];
}

const struct kernels kernels_plain = {
    .name = "plain",
    .own_linear = false,
    .multiply = multiply,
    .softmax_row = softmax_row,
    .weights_row = weights_row,
    .exp_sum = exp_sum,
    .exp_row = exp_row,
    .column_sweep = column_sweep,
    .diagonal_sweep = diagonal_sweep,
    .add_to_double = add_to_double,
    .pool_cell = pool_cell,
    .dot = dot,
    .match_sums = match_sums,
    .divergence = divergence,
    .rms_norm = rms_norm,
    .swiglu = swiglu,
    .unpack_f16 = unpack_f16,
    .unpack_bf16 = unpack_bf16,
    .unpack_q4_0 = unpack_q4_0,
    .unpack_q4_1 = unpack_q4_1,
    .unpack_q8_0 = unpack_q8_0,
    .unpack_q5_0 = unpack_q5_0,
    .unpack_q5_1 = unpack_q5_1,
    .unpack_q2_k = unpack_q2_k,
    .unpack_q3_k = unpack_q3_k,
    .unpack_q4_k = unpack_q4_k,
    .unpack_q5_k = unpack_q5_k,
    .unpack_q6_k = unpack_q6_k,
    .transpose_panel = transpose_panel,
};

const struct kernels *kernels_best(void) {
    const struct kernels *best = kernels_avx512();
    if (!best) best = kernels_avx2();
    return best ? best : &kernels_plain;
}
