/* check_quants.c: blocks of every quantised type against what the gguf package makes of them, bit for bit, on every path. */
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights.h"
#include "tests/models.h"

static const struct {
    const char *name;
    enum tensor_type type;
    size_t block, block_bytes;
} types[] = {
    {"Q4_0", TENSOR_Q4_0, 32, 18},   {"Q4_1", TENSOR_Q4_1, 32, 20},   {"Q5_0", TENSOR_Q5_0, 32, 22},
    {"Q5_1", TENSOR_Q5_1, 32, 24},   {"Q8_0", TENSOR_Q8_0, 32, 34},   {"Q2_K", TENSOR_Q2_K, 256, 84},
    {"Q3_K", TENSOR_Q3_K, 256, 110}, {"Q4_K", TENSOR_Q4_K, 256, 144}, {"Q5_K", TENSOR_Q5_K, 256, 176},
    {"Q6_K", TENSOR_Q6_K, 256, 210},
};
enum { TYPES = sizeof types / sizeof types[0], BLOCKS = 8 };

static void *load(const char *name, const char *suffix, size_t size) {
    char path[1024], file[128];
    snprintf(file, sizeof file, "tests/golden/quants/%s.%s", name, suffix);
    source_path(path, sizeof path, file);
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s is missing", path);
    char *bytes = malloc(size + 1);
    ck_assert_uint_eq(fread(bytes, 1, size + 1, f), size);
    fclose(f);
    return bytes;
}

START_TEST(same_bits_as_gguf) {
    const struct kernels *paths[] = {&kernels_plain, kernels_avx2(), kernels_avx512()};
    size_t n = types[_i].block * BLOCKS, bytes = types[_i].block_bytes * BLOCKS;
    uint8_t *blocks = load(types[_i].name, "blocks", bytes);
    float *want = load(types[_i].name, "f32", n * sizeof *want), *got = malloc(n * sizeof *got);
    struct tensor tensor = {.type = types[_i].type, .data = blocks, .rows = 1, .cols = n, .row_bytes = bytes};
    for (size_t p = 0; p < 3; p++) {
        if (!paths[p]) continue;
        weights_row(paths[p], &tensor, 0, got);
        for (size_t i = 0; i < n; i++)
            ck_assert_msg(memcmp(&got[i], &want[i], sizeof got[i]) == 0, "%s, %s: number %zu is %.9g, not %.9g", types[_i].name,
                          paths[p]->name, i, (double)got[i], (double)want[i]);
    }
    free(blocks);
    free(want);
    free(got);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("quants");
    TCase *c = tcase_create("blocks");
    tcase_add_loop_test(c, same_bits_as_gguf, 0, TYPES);
    suite_add_tcase(s, c);
    return s;
}

#include "tests/check_main.h"
