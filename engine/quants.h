/*
 * quants.h: blocks of quantised weights as float32, in plain C, with the operations in the order of the gguf package's
 * `dequantize`, so that the bits are the same.
 *
 * Layouts (ggml's; d, m, dmin are halves, every shift counts bits from the low end):
 *   Q5_0  22 bytes, 32 numbers: d, 4 bytes h, 16 bytes q. x = d (q5 - 16); bit 4 of q5 number i is bit i of h.
 *   Q5_1  24 bytes, 32 numbers: d, m, 4 bytes h, 16 bytes q. x = d q5 + m.
 * K-quants: blocks of 256 numbers in groups of 16 or 32 that have scales of their own.
 *   Q2_K  84 bytes: 16 scales (low half s, high half t), 64 bytes q, d, dmin. x = (d s) q2 - (dmin t).
 *   Q3_K 110 bytes: 32 bytes h, 64 bytes q, 12 bytes of 6-bit scales, d. x = d (s - 32) (q2 - 4 (1 - h1)).
 *   Q4_K 144 bytes: d, dmin, 12 bytes of 6-bit scales s and t, 128 bytes q. x = (d s) q4 - (dmin t).
 *   Q5_K 176 bytes: d, dmin, 12 bytes of scales, 32 bytes h, 128 bytes q. x = (d s) q5 - (dmin t).
 *   Q6_K 210 bytes: 128 bytes low, 64 bytes high, 16 signed scales, d. x = (d s) (q6 - 32).
 */
#ifndef HEADSCOPE_ENGINE_QUANTS_H
#define HEADSCOPE_ENGINE_QUANTS_H

#include <stddef.h>
#include <stdint.h>

/* n numbers, a multiple of the block, from `source` at any alignment. */
void unpack_q5_0(const uint8_t *source, size_t n, float *x);
void unpack_q5_1(const uint8_t *source, size_t n, float *x);
void unpack_q2_k(const uint8_t *source, size_t n, float *x);
void unpack_q3_k(const uint8_t *source, size_t n, float *x);
void unpack_q4_k(const uint8_t *source, size_t n, float *x);
void unpack_q5_k(const uint8_t *source, size_t n, float *x);
void unpack_q6_k(const uint8_t *source, size_t n, float *x);

#endif
