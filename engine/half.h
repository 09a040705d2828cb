/* half.h: 16-bit floats read from unaligned little-endian bytes, exactly. */
#ifndef HEADSCOPE_ENGINE_HALF_H
#define HEADSCOPE_ENGINE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint16_t read_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline float float_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* IEEE binary16, every value: subnormals, infinities and NaNs too (a signalling NaN comes out quiet, as processors do). */
static inline float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 1023;
    if (exponent == 31) return float_from_bits(sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0));
    if (exponent) return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float subnormal = (float)fraction * 0x1p-24f;
    return sign ? -subnormal : subnormal;
}

static inline float bfloat_to_float(uint16_t b) {
    return float_from_bits((uint32_t)b << 16);
}

#endif
