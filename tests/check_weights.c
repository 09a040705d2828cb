/* check_weights.c: rows and panels of weights as float32, every format and path, bit for bit. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/half.h"
#include "engine/weights.h"

static const struct kernels *path(int i) {
    return i == 0 ? &kernels_plain : i == 1 ? kernels_avx2() : kernels_avx512();
}

/* binary16 from its definition. */
static double half_value(uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double value = exponent == 31 ? (fraction ? NAN : INFINITY)
                   : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                  : ldexp(fraction, -24);
    return h & 0x8000 ? -value : value;
}

START_TEST(every_half) {
    const struct kernels *k = path(_i);
    if (!k) return;
    uint16_t halves[65536];
    float *x = malloc(65536 * sizeof *x);
    for (int h = 0; h < 65536; h++) halves[h] = (uint16_t)h;
    k->unpack_f16(halves, 65536, x);
    for (int h = 0; h < 65536; h++) {
        double want = half_value((uint16_t)h);
        bool equal = isnan(want) ? isnan(x[h]) : x[h] == (float)want && !!signbit(x[h]) == !!(h & 0x8000);
        if (!equal) ck_abort_msg("half %#x: %g, not %g", h, (double)x[h], want);
    }
    k->unpack_bf16(halves, 65536, x);
    for (int h = 0; h < 65536; h++) {
        uint32_t bits;
        memcpy(&bits, &x[h], 4);
        if (bits != (uint32_t)h << 16) ck_abort_msg("bfloat %#x: bits %#x", h, bits);
    }
    free(x);
}
END_TEST

/* The formats as weights.h states them. */
static float block_value(enum tensor_type type, const uint8_t *block, int i) {
    float d = (float)half_value(read_u16(block)), m = (float)half_value(read_u16(block + 2));
    const uint8_t *q = block + (type == TENSOR_Q4_1 ? 4 : 2);
    int nibble = i < 16 ? q[i] & 15 : q[i - 16] >> 4;
    switch (type) {
    case TENSOR_Q4_0: return (float)(nibble - 8) * d;
    case TENSOR_Q4_1: return (float)nibble * d + m;
    default: return (float)(int8_t)q[i] * d;
    }
}

static size_t row_bytes(enum tensor_type type, size_t n) {
    switch (type) {
    case TENSOR_F32: return n * 4;
    case TENSOR_Q4_0: return n / 32 * 18;
    case TENSOR_Q4_1: return n / 32 * 20;
    case TENSOR_Q8_0: return n / 32 * 34;
    default: return n * 2;
    }
}

START_TEST(rows_and_panels) {
    const struct kernels *k = path(_i);
    if (!k) return;
    static const enum tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_Q4_0, TENSOR_Q4_1, TENSOR_Q8_0};
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (size_t cols = 32; cols <= 576; cols += 32) {
            size_t rows = 19, bytes = row_bytes(types[t], cols);
            uint8_t *data = malloc(rows * bytes + 1);
            for (size_t i = 0; i < rows * bytes + 1; i++) data[i] = (uint8_t)rand();
            const uint8_t *odd = data + 1; /* nothing promises alignment */
            if (types[t] == TENSOR_F32) {
                for (size_t i = 0; i < rows * cols; i++) {
                    float x = (float)rand() / 1000;
                    memcpy(data + 1 + 4 * i, &x, 4);
                }
            }
            struct tensor tensor = {.type = types[t], .data = odd, .rows = rows, .cols = cols, .row_bytes = bytes};
            float *row = malloc(cols * sizeof *row), *plain = malloc(cols * sizeof *plain);
            float *panel = malloc(PANEL * cols * sizeof *panel), *scratch = malloc(PANEL * cols * sizeof *scratch);
            for (size_t r = 0; r < rows; r++) {
                weights_row(k, &tensor, r, row);
                weights_row(&kernels_plain, &tensor, r, plain);
                for (size_t i = 0; i < cols; i++) {
                    /* a random half may be a NaN */
                    if (isnan(plain[i]) ? !isnan(row[i]) : memcmp(&row[i], &plain[i], sizeof row[i]) != 0)
                        ck_abort_msg("type %d, row %zu, column %zu: %g, not %g", types[t], r, i, (double)row[i], (double)plain[i]);
                    if (types[t] == TENSOR_Q4_0 || types[t] == TENSOR_Q4_1 || types[t] == TENSOR_Q8_0) {
                        const uint8_t *block = odd + r * bytes + i / 32 * (bytes / (cols / 32));
                        float want = block_value(types[t], block, (int)(i % 32));
                        if (!(row[i] == want || isnan(want))) ck_abort_msg("type %d: %g, not %g", types[t], (double)row[i], (double)want);
                    }
                }
            }
            weights_panel(k, &tensor, 16, 3, scratch, panel);
            for (size_t r = 0; r < PANEL; r++) {
                if (r < 3) weights_row(k, &tensor, 16 + r, row);
                for (size_t d = 0; d < cols; d++) {
                    float want = r < 3 ? row[d] : 0;
                    if (memcmp(&panel[d * PANEL + r], &want, sizeof want) != 0) ck_abort_msg("panel row %zu, column %zu", r, d);
                }
            }
            free(data);
            free(row);
            free(plain);
            free(panel);
            free(scratch);
        }
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("weights");
    TCase *c = tcase_create("every path");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, every_half, 0, 3);
    tcase_add_loop_test(c, rows_and_panels, 0, 3);
    suite_add_tcase(suite, c);
    return suite;
}

#include "tests/check_main.h"
