/* kernels_avx512.c: kernels_vector.h on 16 lanes. Compiled with the AVX-512 flags, called only where the processor has them. */
#include "engine/kernels.h"

#include "engine/half.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include <immintrin.h>
#include <math.h>

#include "engine/kernels_blocks.h"

typedef __m512 vector;
enum { WIDTH = 16, ROW_TILE = 8, PANEL_TILE = 4 }; /* 8 rows x 3 panels or 6 x 4: 24 of the 32 registers hold sums */

#define v_load(p) _mm512_loadu_ps(p)
#define v_store(p, x) _mm512_storeu_ps(p, x)
#define v_set1(x) _mm512_set1_ps(x)
#define v_zero() _mm512_setzero_ps()
#define v_add(a, b) _mm512_add_ps(a, b)
#define v_sub(a, b) _mm512_sub_ps(a, b)
#define v_mul(a, b) _mm512_mul_ps(a, b)
#define v_div(a, b) _mm512_div_ps(a, b)
#define v_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define v_max(a, b) _mm512_max_ps(a, b)
#define v_min(a, b) _mm512_min_ps(a, b)
#define v_round(x) _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define v_power(p, n, x) _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.33f), _CMP_NLT_UQ), p, n)
#define v_largest(x) _mm512_reduce_max_ps(x)
#define v_equal(a, b) ((unsigned)_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ))
#define v_keep_equal(e, p, id) \
    _mm512_maskz_mov_ps(_mm512_cmpeq_epi32_mask(_mm512_loadu_si512(p), _mm512_set1_epi32(id)), e)

static inline double v_sum(vector x) {
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(x)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}

static inline void v_add_to_double(double *total, vector x) {
    _mm512_storeu_pd(total, _mm512_add_pd(_mm512_loadu_pd(total), _mm512_cvtps_pd(_mm512_castps512_ps256(x))));
    _mm512_storeu_pd(total + 8, _mm512_add_pd(_mm512_loadu_pd(total + 8), _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1))));
}

#include "engine/kernels_vector.h"

static void multiply(const struct product *p) {
    for (size_t panel = 0; panel < p->panels;) {
        switch (p->panels - panel) {
        case 1: multiply_rows(8, 1, p, panel), panel += 1; break;
        case 2: multiply_rows(8, 2, p, panel), panel += 2; break;
        case 4: multiply_rows(6, 4, p, panel), panel += 4; break;
        default: multiply_rows(8, 3, p, panel), panel += 3; break;
        }
    }
}

static void unpack_f16(const void *source, size_t n, float *x) {
    const uint8_t *p = source;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) _mm512_storeu_ps(x + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(p + 2 * i))));
    for (; i < n; i++) x[i] = half_to_float(read_u16(p + 2 * i));
}

static void unpack_bf16(const void *source, size_t n, float *x) {
    const uint8_t *p = source;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(p + 2 * i)));
        _mm512_storeu_ps(x + i, _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)));
    }
    for (; i < n; i++) x[i] = bfloat_to_float(read_u16(p + 2 * i));
}

/* The 16 low and the 16 high nibbles of a block's 16 bytes, as floats. */
static inline void nibbles(const uint8_t *p, __m512 *low, __m512 *high) {
    __m128i bytes = _mm_loadu_si128((const void *)p), mask = _mm_set1_epi8(15);
    *low = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_and_si128(bytes, mask)));
    *high = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_and_si128(_mm_srli_epi16(bytes, 4), mask)));
}

static void unpack_q4_0(const void *source, size_t n, float *x) {
    for (const uint8_t *p = source; n > 0; n -= 32, p += 18, x += 32) {
        __m512 d = _mm512_set1_ps(_cvtsh_ss(read_u16(p))), eight = _mm512_set1_ps(8.0f), low, high;
        nibbles(p + 2, &low, &high);
        _mm512_storeu_ps(x, _mm512_mul_ps(_mm512_sub_ps(low, eight), d));
        _mm512_storeu_ps(x + 16, _mm512_mul_ps(_mm512_sub_ps(high, eight), d));
    }
}

/* A block has only 16 values: they are computed once and then looked up, low four bits by low four bits. */
static void unpack_q4_1(const void *source, size_t n, float *x) {
    const __m512 numbers = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (const uint8_t *p = source; n > 0; n -= 32, p += 20, x += 32) {
        __m512 d = _mm512_set1_ps(_cvtsh_ss(read_u16(p))), m = _mm512_set1_ps(_cvtsh_ss(read_u16(p + 2)));
        __m512 values = _mm512_add_ps(_mm512_mul_ps(numbers, d), m); /* two roundings, as the plain twin */
        __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(p + 4)));
        _mm512_storeu_ps(x, _mm512_permutexvar_ps(bytes, values));
        _mm512_storeu_ps(x + 16, _mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), values));
    }
}

/* Where the fifth bit is not set, 16 less. */
static void unpack_q5_0_wide(const void *source, size_t n, float *x) {
    const __m512i sixteen = _mm512_set1_epi32(16);
    for (const uint8_t *p = source; n > 0; n -= 32, p += 22, x += 32) {
        const __m512 d = _mm512_set1_ps(read_half(p));
        const uint32_t below = ~read_high_bits(p + 2);
        const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(p + 6)));
        const __m512i low = _mm512_and_si512(bytes, _mm512_set1_epi32(15)), high = _mm512_srli_epi32(bytes, 4);
        _mm512_storeu_ps(x, _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_mask_sub_epi32(low, (__mmask16)below, low, sixteen))));
        _mm512_storeu_ps(x + 16, _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_mask_sub_epi32(high, (__mmask16)(below >> 16), high, sixteen))));
    }
}

static void unpack_q8_0(const void *source, size_t n, float *x) {
    for (const uint8_t *p = source; n > 0; n -= 32, p += 34, x += 32) {
        __m512 d = _mm512_set1_ps(_cvtsh_ss(read_u16(p)));
        for (int half = 0; half < 2; half++) {
            __m128i bytes = _mm_loadu_si128((const void *)(p + 2 + 16 * half));
            _mm512_storeu_ps(x + 16 * half, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), d));
        }
    }
}

/* 16 x 16 floats: pairs, then fours, then quarters of registers change places. */
static void transpose_panel(const float *rows, size_t stride, size_t n, float *panel) {
    for (size_t d = 0; d < n; d += 16) {
        __m512 x[16], y[16];
        UNROLL for (int r = 0; r < 16; r++) x[r] = _mm512_loadu_ps(rows + (size_t)r * stride + d);
        UNROLL for (int r = 0; r < 16; r += 2) {
            y[r] = _mm512_unpacklo_ps(x[r], x[r + 1]);
            y[r + 1] = _mm512_unpackhi_ps(x[r], x[r + 1]);
        }
        UNROLL for (int r = 0; r < 16; r += 4) {
            x[r] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(y[r]), _mm512_castps_pd(y[r + 2])));
            x[r + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(y[r]), _mm512_castps_pd(y[r + 2])));
            x[r + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(y[r + 1]), _mm512_castps_pd(y[r + 3])));
            x[r + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(y[r + 1]), _mm512_castps_pd(y[r + 3])));
        }
        UNROLL for (int c = 0; c < 4; c++) { /* x[4g + c] holds columns c, 4 + c, 8 + c, 12 + c of rows 4g .. 4g + 3 */
            __m512 a = _mm512_shuffle_f32x4(x[c], x[4 + c], 0x88), b = _mm512_shuffle_f32x4(x[8 + c], x[12 + c], 0x88);
            __m512 e = _mm512_shuffle_f32x4(x[c], x[4 + c], 0xdd), f = _mm512_shuffle_f32x4(x[8 + c], x[12 + c], 0xdd);
            _mm512_storeu_ps(panel + (d + (size_t)c) * PANEL, _mm512_shuffle_f32x4(a, b, 0x88));
            _mm512_storeu_ps(panel + (d + 8 + (size_t)c) * PANEL, _mm512_shuffle_f32x4(a, b, 0xdd));
            _mm512_storeu_ps(panel + (d + 4 + (size_t)c) * PANEL, _mm512_shuffle_f32x4(e, f, 0x88));
            _mm512_storeu_ps(panel + (d + 12 + (size_t)c) * PANEL, _mm512_shuffle_f32x4(e, f, 0xdd));
        }
    }
}

static const struct kernels table = {
    .name = "avx512",
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
    .unpack_q5_0 = unpack_q5_0_wide,
    .unpack_q5_1 = unpack_q5_1,
    .unpack_q2_k = unpack_q2_k,
    .unpack_q3_k = unpack_q3_k,
    .unpack_q4_k = unpack_q4_k,
    .unpack_q5_k = unpack_q5_k,
    .unpack_q6_k = unpack_q6_k,
    .transpose_panel = transpose_panel,
};

const struct kernels *kernels_avx512(void) {
    bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
    return has ? &table : NULL;
}

#else

const struct kernels *kernels_avx512(void) {
    return NULL;
}

#endif
