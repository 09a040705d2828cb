/* kernels_avx2.c: kernels_vector.h on 8 lanes. Compiled with AVX2, FMA and F16C, called only where the processor has them. */
#include "engine/kernels.h"

#include "engine/half.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <math.h>

#include "engine/kernels_blocks.h"

typedef __m256 vector;
enum { WIDTH = 8, ROW_TILE = 6, PANEL_TILE = 1 }; /* 6 rows x 1 panel: 12 of the 16 registers hold sums */

#define v_load(p) _mm256_loadu_ps(p)
#define v_store(p, x) _mm256_storeu_ps(p, x)
#define v_set1(x) _mm256_set1_ps(x)
#define v_zero() _mm256_setzero_ps()
#define v_add(a, b) _mm256_add_ps(a, b)
#define v_sub(a, b) _mm256_sub_ps(a, b)
#define v_mul(a, b) _mm256_mul_ps(a, b)
#define v_div(a, b) _mm256_div_ps(a, b)
#define v_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define v_max(a, b) _mm256_max_ps(a, b)
#define v_min(a, b) _mm256_min_ps(a, b)
#define v_round(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define v_equal(a, b) ((unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)))

static inline vector v_power(vector p, vector n, vector x) {
    __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    vector whole = _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
    return _mm256_and_ps(whole, _mm256_cmp_ps(x, _mm256_set1_ps(-87.33f), _CMP_NLT_UQ));
}

static inline vector v_keep_equal(vector e, const int32_t *ids, int32_t id) {
    __m256i same = _mm256_cmpeq_epi32(_mm256_loadu_si256((const void *)ids), _mm256_set1_epi32(id));
    return _mm256_and_ps(e, _mm256_castsi256_ps(same));
}

static inline float v_largest(vector x) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

static inline double v_sum(vector x) {
    __m256d sum = _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
    __m128d half = _mm_add_pd(_mm256_castpd256_pd128(sum), _mm256_extractf128_pd(sum, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
}

static inline void v_add_to_double(double *total, vector x) {
    _mm256_storeu_pd(total, _mm256_add_pd(_mm256_loadu_pd(total), _mm256_cvtps_pd(_mm256_castps256_ps128(x))));
    _mm256_storeu_pd(total + 4, _mm256_add_pd(_mm256_loadu_pd(total + 4), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))));
}

#include "engine/kernels_vector.h"

static void multiply(const struct product *p) {
    for (size_t panel = 0; panel < p->panels; panel++) multiply_rows(6, 1, p, panel);
}

static void unpack_f16(const void *source, size_t n, float *x) {
    const uint8_t *p = source;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(x + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(p + 2 * i))));
    for (; i < n; i++) x[i] = half_to_float(read_u16(p + 2 * i));
}

static void unpack_bf16(const void *source, size_t n, float *x) {
    const uint8_t *p = source;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(p + 2 * i)));
        _mm256_storeu_ps(x + i, _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)));
    }
    for (; i < n; i++) x[i] = bfloat_to_float(read_u16(p + 2 * i));
}

/* The 16 bytes at p as two vectors of 8 floats. */
static inline void bytes_to_floats(__m128i bytes, __m256 *first, __m256 *second) {
    *first = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    *second = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)));
}

static inline void nibbles(const uint8_t *p, __m256 x[4]) {
    __m128i bytes = _mm_loadu_si128((const void *)p), mask = _mm_set1_epi8(15);
    bytes_to_floats(_mm_and_si128(bytes, mask), &x[0], &x[1]);
    bytes_to_floats(_mm_and_si128(_mm_srli_epi16(bytes, 4), mask), &x[2], &x[3]);
}

static void unpack_q4_0(const void *source, size_t n, float *x) {
    for (const uint8_t *p = source; n > 0; n -= 32, p += 18, x += 32) {
        __m256 d = _mm256_set1_ps(_cvtsh_ss(read_u16(p))), eight = _mm256_set1_ps(8.0f), y[4];
        nibbles(p + 2, y);
        for (int i = 0; i < 4; i++) _mm256_storeu_ps(x + 8 * i, _mm256_mul_ps(_mm256_sub_ps(y[i], eight), d));
    }
}

static void unpack_q4_1(const void *source, size_t n, float *x) {
    for (const uint8_t *p = source; n > 0; n -= 32, p += 20, x += 32) {
        __m256 d = _mm256_set1_ps(_cvtsh_ss(read_u16(p))), m = _mm256_set1_ps(_cvtsh_ss(read_u16(p + 2))), y[4];
        nibbles(p + 4, y);
        for (int i = 0; i < 4; i++) _mm256_storeu_ps(x + 8 * i, _mm256_add_ps(_mm256_mul_ps(y[i], d), m));
    }
}

static void unpack_q8_0(const void *source, size_t n, float *x) {
    for (const uint8_t *p = source; n > 0; n -= 32, p += 34, x += 32) {
        __m256 d = _mm256_set1_ps(_cvtsh_ss(read_u16(p)));
        for (int i = 0; i < 4; i++) {
            __m256i whole = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(p + 2 + 8 * i)));
            _mm256_storeu_ps(x + 8 * i, _mm256_mul_ps(_mm256_cvtepi32_ps(whole), d));
        }
    }
}

/* 8 x 8 floats at a time: pairs, then fours, then halves of registers change places. */
static void transpose_panel(const float *rows, size_t stride, size_t n, float *panel) {
    for (size_t d = 0; d < n; d += 8)
        for (size_t group = 0; group < PANEL; group += 8) {
            __m256 x[8], y[8];
            UNROLL for (int r = 0; r < 8; r++) x[r] = _mm256_loadu_ps(rows + (group + (size_t)r) * stride + d);
            UNROLL for (int r = 0; r < 8; r += 2) {
                y[r] = _mm256_unpacklo_ps(x[r], x[r + 1]);
                y[r + 1] = _mm256_unpackhi_ps(x[r], x[r + 1]);
            }
            UNROLL for (int r = 0; r < 8; r += 4) {
                x[r] = _mm256_shuffle_ps(y[r], y[r + 2], 0x44);
                x[r + 1] = _mm256_shuffle_ps(y[r], y[r + 2], 0xee);
                x[r + 2] = _mm256_shuffle_ps(y[r + 1], y[r + 3], 0x44);
                x[r + 3] = _mm256_shuffle_ps(y[r + 1], y[r + 3], 0xee);
            }
            UNROLL for (int c = 0; c < 4; c++) {
                float *to = panel + (d + (size_t)c) * PANEL + group;
                _mm256_storeu_ps(to, _mm256_permute2f128_ps(x[c], x[4 + c], 0x20));
                _mm256_storeu_ps(to + 4 * PANEL, _mm256_permute2f128_ps(x[c], x[4 + c], 0x31));
            }
        }
}

static const struct kernels table = {
    .name = "avx2",
    .own_linear = true,
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

/* Clang 14 does not know the name; every processor with AVX2 has it. */
#ifdef __clang__
#define HAS_F16C true
#else
#define HAS_F16C __builtin_cpu_supports("f16c")
#endif

const struct kernels *kernels_avx2(void) {
    bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HAS_F16C;
    return has ? &table : NULL;
}

#else

const struct kernels *kernels_avx2(void) {
    return NULL;
}

#endif
