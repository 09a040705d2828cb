#include "engine/quants.h"

#include "engine/half.h"

enum { BLOCK_5 = 32, BLOCK_K = 256 };

static float read_half(const uint8_t *p) {
    return half_to_float(read_u16(p));
}

/* Number i of the lower four bits: byte i holds number i low and number 16 + i high. */
static int nibble(const uint8_t *q, int i) {
    return i < 16 ? q[i] & 15 : q[i - 16] >> 4;
}

void unpack_q5_0(const uint8_t *source, size_t n, float *x) {
    for (; n >= BLOCK_5; n -= BLOCK_5, source += 22, x += BLOCK_5) {
        float d = read_half(source);
        const uint8_t *high = source + 2, *q = source + 6;
        for (int i = 0; i < BLOCK_5; i++) x[i] = d * (float)((nibble(q, i) | (high[i / 8] >> i % 8 & 1) << 4) - 16);
    }
}

void unpack_q5_1(const uint8_t *source, size_t n, float *x) {
    for (; n >= BLOCK_5; n -= BLOCK_5, source += 24, x += BLOCK_5) {
        float d = read_half(source), m = read_half(source + 2);
        const uint8_t *high = source + 4, *q = source + 8;
        for (int i = 0; i < BLOCK_5; i++) x[i] = d * (float)(nibble(q, i) | (high[i / 8] >> i % 8 & 1) << 4) + m;
    }
}

/* Two bits of number i: 32 bytes hold 128 numbers, 32 at each shift. */
static int two_bits(const uint8_t *q, int i) {
    return q[i / 128 * 32 + i % 32] >> 2 * (i / 32 % 4) & 3;
}

void unpack_q2_k(const uint8_t *source, size_t n, float *x) {
    for (; n >= BLOCK_K; n -= BLOCK_K, source += 84, x += BLOCK_K) {
        const uint8_t *scales = source, *q = source + 16;
        float d = read_half(source + 80), dmin = read_half(source + 82);
        for (int g = 0; g < 16; g++) {
            float scale = d * (float)(scales[g] & 15), least = dmin * (float)(scales[g] >> 4);
            for (int i = 16 * g; i < 16 * g + 16; i++) x[i] = scale * (float)two_bits(q, i) - least;
        }
    }
}

void unpack_q3_k(const uint8_t *source, size_t n, float *x) {
    for (; n >= BLOCK_K; n -= BLOCK_K, source += 110, x += BLOCK_K) {
        const uint8_t *high = source, *q = source + 32, *scales = source + 96;
        float d = read_half(source + 108);
        for (int g = 0; g < 16; g++) {
            int low = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4, top = scales[8 + g % 4] >> 2 * (g / 4) & 3;
            float scale = d * (float)((low | top << 4) - 32);
            for (int i = 16 * g; i < 16 * g + 16; i++)
                x[i] = scale * (float)(two_bits(q, i) - (high[i % 32] >> i / 32 & 1 ? 0 : 4));
        }
    }
}

/* The eight 6-bit scales and minima that Q4_K and Q5_K pack into 12 bytes. */
static void six_bit_scale(const uint8_t *packed, int g, int *scale, int *least) {
    if (g < 4) {
        *scale = packed[g] & 63;
        *least = packed[4 + g] & 63;
    } else {
        *scale = (packed[4 + g] & 15) | (packed[g - 4] >> 2 & 48);
        *least = packed[4 + g] >> 4 | (packed[g] >> 2 & 48);
    }
}

/* high NULL: no fifth bit. */
static void unpack_4_or_5(const uint8_t *block, const uint8_t *high, const uint8_t *q, float *x) {
    float d = read_half(block), dmin = read_half(block + 2);
    for (int g = 0; g < 8; g++) {
        int scale, least;
        six_bit_scale(block + 4, g, &scale, &least);
        float factor = d * (float)scale, offset = dmin * (float)least;
        for (int i = 0; i < 32; i++) {
            int value = q[g / 2 * 32 + i] >> 4 * (g % 2) & 15;
            if (high) value |= (high[i] >> g & 1) << 4;
            x[32 * g + i] = factor * (float)value - offset;
        }
    }
}

void unpack_q4_k(const uint8_t *source, size_t n, float *x) {
    for (; n >= BLOCK_K; n -= BLOCK_K, source += 144, x += BLOCK_K) unpack_4_or_5(source, NULL, source + 16, x);
}

void unpack_q5_k(const uint8_t *source, size_t n, float *x) {
    for (; n >= BLOCK_K; n -= BLOCK_K, source += 176, x += BLOCK_K) unpack_4_or_5(source, source + 16, source + 48, x);
}

void unpack_q6_k(const uint8_t *source, size_t n, float *x) {
    for (; n >= BLOCK_K; n -= BLOCK_K, source += 210, x += BLOCK_K) {
        const uint8_t *low = source, *high = source + 128, *scales = source + 192;
        float d = read_half(source + 208);
        for (int g = 0; g < 16; g++) {
            float scale = d * (float)(int8_t)scales[g];
            for (int i = 16 * g; i < 16 * g + 16; i++) {
                int four = low[i / 128 * 64 + i % 64] >> 4 * (i / 64 % 2) & 15, two = two_bits(high, i);
                x[i] = scale * (float)((four | two << 4) - 32);
            }
        }
    }
}
