#include "engine/bf16.h"

#include <string.h>

#include "engine/half.h"
#include "engine/kernels.h"

/* To nearest, ties to even: half of the last bit that stays, less one where it is even, carries over. A NaN stays one. */
static uint32_t round_one(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return bits >> 16 | 0x40;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static void round_row(const float *x, size_t n, uint32_t *pairs) {
    for (size_t i = 0; i < n / 2; i++) pairs[i] = round_one(x[2 * i]) | round_one(x[2 * i + 1]) << 16;
}

static float low(uint32_t pair) {
    return bfloat_to_float((uint16_t)pair);
}

static float high(uint32_t pair) {
    return bfloat_to_float((uint16_t)(pair >> 16));
}

static void multiply(const struct bf16_product *p) {
    for (size_t r = 0; r < p->rows; r++)
        for (size_t o = 0; o < p->panels * PANEL; o++) {
            const uint32_t *a = p->a + r * p->a_stride, *b = p->b + o / PANEL * p->pairs * PANEL + o % PANEL;
            float sum = 0, *c = p->c + r * p->c_stride + o;
            for (size_t d = 0; d < p->pairs; d++) {
                sum += high(a[d]) * high(b[d * PANEL]);
                sum += low(a[d]) * low(b[d * PANEL]);
            }
            *c = p->accumulate ? *c + sum : sum;
        }
}

const struct bf16 bf16_plain = {round_row, multiply};
