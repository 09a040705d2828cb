/*
 * kernels_blocks.h: blocks of quantised weights as float32, with the operations in the order of the gguf package's `dequantize`, so
 * that the bits are the same. Included by each vector path, whose compiler flags make of these loops what its registers can: the
 * inner ones go over 16 or 32 numbers with nothing but shifts, masks and one multiplication.
 *
 * Layouts (ggml's; d, m, dmin are halves, every shift counts bits from the low end; n is a multiple of the block):
 *   Q5_0  22 bytes, 32 numbers: d, 4 bytes h, 16 bytes q. x = d (q5 - 16); bit 4 of q5 number i is bit i of h; byte i of q holds
 *         number i low and number 16 + i high.
 *   Q5_1  24 bytes, 32 numbers: d, m, 4 bytes h, 16 bytes q. x = d q5 + m.
 * K-quants: blocks of 256 numbers in groups of 16 or 32 that have scales of their own.
 *   Q2_K  84 bytes: 16 scales (low half s, high half t), 64 bytes q, d, dmin. x = (d s) q2 - (dmin t).
 *   Q3_K 110 bytes: 32 bytes h, 64 bytes q, 12 bytes of 6-bit scales, d. x = d (s - 32) (q2 - 4 (1 - h1)).
 *   Q4_K 144 bytes: d, dmin, 12 bytes of 6-bit scales s and t, 128 bytes q. x = (d s) q4 - (dmin t).
 *   Q5_K 176 bytes: d, dmin, 12 bytes of scales, 32 bytes h, 128 bytes q. x = (d s) q5 - (dmin t).
 *   Q6_K 210 bytes: 128 bytes low, 64 bytes high, 16 signed scales, d. x = (d s) (q6 - 32).
 * Two bits of number i (Q2_K, Q3_K, the high ones of Q6_K): 32 bytes hold 128 numbers, 32 at each shift.
 */
#ifndef HEADSCOPE_ENGINE_KERNELS_BLOCKS_H
#define HEADSCOPE_ENGINE_KERNELS_BLOCKS_H

#include <stddef.h>

#ifdef __F16C__
#include <immintrin.h>
#endif

#include "engine/half.h"

enum { BLOCK_5 = 32, BLOCK_K = 256 };

/* Of blocks' scales: the same number for every half that is one (a signalling NaN comes out quiet either way). */
#ifdef __F16C__
static inline float read_half(const uint8_t *p) {
    return _cvtsh_ss(read_u16(p));
}
#else
static inline float read_half(const uint8_t *p) {
    return half_to_float(read_u16(p));
}
#endif

static inline uint32_t read_high_bits(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void unpack_q5_0(const void *source, size_t n, float *restrict x) {
    for (const uint8_t *p = source; n >= BLOCK_5; n -= BLOCK_5, p += 22, x += BLOCK_5) {
        const float d = read_half(p);
        const uint32_t high = read_high_bits(p + 2);
        const uint8_t *q = p + 6;
        for (int i = 0; i < 16; i++) x[i] = d * (float)((int)((q[i] & 15u) | (high >> i & 1) << 4) - 16);
        for (int i = 0; i < 16; i++) x[16 + i] = d * (float)((int)((uint32_t)q[i] >> 4 | (high >> (16 + i) & 1) << 4) - 16);
    }
}

static inline void unpack_q5_1(const void *source, size_t n, float *restrict x) {
    for (const uint8_t *p = source; n >= BLOCK_5; n -= BLOCK_5, p += 24, x += BLOCK_5) {
        const float d = read_half(p), m = read_half(p + 2);
        const uint32_t high = read_high_bits(p + 4);
        const uint8_t *q = p + 8;
        for (int i = 0; i < 16; i++) x[i] = d * (float)(int)((q[i] & 15u) | (high >> i & 1) << 4) + m;
        for (int i = 0; i < 16; i++) x[16 + i] = d * (float)(int)((uint32_t)q[i] >> 4 | (high >> (16 + i) & 1) << 4) + m;
    }
}

static inline void unpack_q2_k(const void *source, size_t n, float *restrict x) {
    for (const uint8_t *p = source; n >= BLOCK_K; n -= BLOCK_K, p += 84, x += BLOCK_K) {
        const float d = read_half(p + 80), dmin = read_half(p + 82);
        for (int g = 0; g < 16; g++) {
            const float scale = d * (float)(p[g] & 15), least = dmin * (float)(p[g] >> 4);
            const uint8_t *q = p + 16 + g / 8 * 32 + g % 2 * 16;
            const int shift = g / 2 % 4 * 2;
            for (int i = 0; i < 16; i++) x[16 * g + i] = scale * (float)(q[i] >> shift & 3) - least;
        }
    }
}

static inline void unpack_q3_k(const void *source, size_t n, float *restrict x) {
    for (const uint8_t *p = source; n >= BLOCK_K; n -= BLOCK_K, p += 110, x += BLOCK_K) {
        const uint8_t *scales = p + 96;
        const float d = read_half(p + 108);
        for (int g = 0; g < 16; g++) {
            const int low = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4, top = scales[8 + g % 4] >> 2 * (g / 4) & 3;
            const float scale = d * (float)((low | top << 4) - 32);
            const uint8_t *q = p + 32 + g / 8 * 32 + g % 2 * 16, *high = p + g % 2 * 16;
            const int shift = g / 2 % 4 * 2, bit = g / 2;
            for (int i = 0; i < 16; i++) x[16 * g + i] = scale * (float)((q[i] >> shift & 3) + (high[i] >> bit & 1) * 4 - 4);
        }
    }
}

/* The eight 6-bit scales and minima that Q4_K and Q5_K pack into 12 bytes. */
static inline void six_bit_scale(const uint8_t *packed, int g, int *scale, int *least) {
    if (g < 4) {
        *scale = packed[g] & 63;
        *least = packed[4 + g] & 63;
    } else {
        *scale = (packed[4 + g] & 15) | (packed[g - 4] >> 2 & 48);
        *least = packed[4 + g] >> 4 | (packed[g] >> 2 & 48);
    }
}

static inline void unpack_q4_k(const void *source, size_t n, float *restrict x) {
    for (const uint8_t *p = source; n >= BLOCK_K; n -= BLOCK_K, p += 144, x += BLOCK_K) {
        const float d = read_half(p), dmin = read_half(p + 2);
        for (int g = 0; g < 8; g++) {
            int scale, least;
            six_bit_scale(p + 4, g, &scale, &least);
            const float factor = d * (float)scale, offset = dmin * (float)least;
            const uint8_t *q = p + 16 + g / 2 * 32;
            const int shift = g % 2 * 4;
            for (int i = 0; i < 32; i++) x[32 * g + i] = factor * (float)(q[i] >> shift & 15) - offset;
        }
    }
}

static inline void unpack_q5_k(const void *source, size_t n, float *restrict x) {
    for (const uint8_t *p = source; n >= BLOCK_K; n -= BLOCK_K, p += 176, x += BLOCK_K) {
        const float d = read_half(p), dmin = read_half(p + 2);
        for (int g = 0; g < 8; g++) {
            int scale, least;
            six_bit_scale(p + 4, g, &scale, &least);
            const float factor = d * (float)scale, offset = dmin * (float)least;
            const uint8_t *high = p + 16, *q = p + 48 + g / 2 * 32;
            const int shift = g % 2 * 4;
            for (int i = 0; i < 32; i++) x[32 * g + i] = factor * (float)((q[i] >> shift & 15) | (high[i] >> g & 1) << 4) - offset;
        }
    }
}

static inline void unpack_q6_k(const void *source, size_t n, float *restrict x) {
    for (const uint8_t *p = source; n >= BLOCK_K; n -= BLOCK_K, p += 210, x += BLOCK_K) {
        const float d = read_half(p + 208);
        for (int g = 0; g < 16; g++) {
            const float scale = d * (float)(int8_t)p[192 + g];
            const uint8_t *low = p + g / 8 * 64 + g % 4 * 16, *high = p + 128 + g / 8 * 32 + g % 2 * 16;
            const int low_shift = g / 4 % 2 * 4, high_shift = g / 2 % 4 * 2;
            for (int i = 0; i < 16; i++) x[16 * g + i] = scale * (float)(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
        }
    }
}

#endif
