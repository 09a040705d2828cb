/*
 * kernels_divergence.h: the Jensen-Shannon divergence of two rows, in C that every vector path compiles for itself (kernels_plain.c,
 * kernels_vector.h). With m = (p + q) / 2 and t = (p - q) / (p + q)
 *
 *   JS(p, q) = sum_j [p ln(p / m) + q ln(q / m)] / 2 = sum_j m phi(t),   phi(t) = [(1 + t) ln(1 + t) + (1 - t) ln(1 - t)] / 2
 *
 * where every term is 0 or more, so that nothing cancels between rows that are nearly equal.
 */
#ifndef HEADSCOPE_ENGINE_KERNELS_DIVERGENCE_H
#define HEADSCOPE_ENGINE_KERNELS_DIVERGENCE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/kernels.h"

/* ln x for x >= 0 to about 1e-7, finite at 0; the polynomial is that of Cephes' logf (Moshier 1989). */
static inline float divergence_ln(float x) {
    int32_t bits, exponent;
    float f, p, mantissa;
    memcpy(&bits, &x, sizeof bits);
    exponent = (bits - 0x3f3504f3) >> 23; /* mantissa from sqrt(1/2) to sqrt(2) */
    bits -= (int32_t)((uint32_t)exponent << 23);
    memcpy(&mantissa, &bits, sizeof mantissa);
    f = mantissa - 1.0f;
    p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    return p * f * f * f - 0.5f * f * f + f + (float)exponent * 0.69314718056f;
}

static inline float divergence_term(float p, float q) {
    float sum = p + q, t = (p - q) / (sum + 1e-30f), u = t * t;
    /* near 0 the series sum_k t^2k / (2k (2k - 1)), where the logarithms would cancel */
    float series = u * (0.5f + u * (1.0f / 12 + u * (1.0f / 30 + u * (1.0f / 56 + u * (1.0f / 90 + u * (1.0f / 132))))));
    float logs = 0.5f * ((1.0f + t) * divergence_ln(1.0f + t) + (1.0f - t) * divergence_ln(1.0f - t));
    int32_t bits;
    memcpy(&bits, &u, sizeof bits);
    float near = (float)((int32_t)((uint32_t)(bits - 0x3db851ec) >> 31)); /* u < 0.09 without a branch, so that compilers make vectors of it */
    return 0.5f * sum * (near * series + (1.0f - near) * logs);
}

/* In nats; p and q each 0 or more with sum 1, n a multiple of PANEL. */
static double divergence(const float *p, const float *q, size_t n) {
    double total = 0;
    for (size_t start = 0; start < n; start += 512) { /* float32 lanes add 32 numbers, the rest is double */
        const size_t end = n - start < 512 ? n : start + 512;
        float term[512], lane[PANEL] = {0};
        for (size_t j = start; j < end; j++) term[j - start] = divergence_term(p[j], q[j]);
        for (size_t j = 0; j < end - start; j += PANEL)
            for (size_t k = 0; k < PANEL; k++) lane[k] += term[j + k];
        for (size_t k = 0; k < PANEL; k++) total += (double)lane[k];
    }
    return total;
}

#endif
