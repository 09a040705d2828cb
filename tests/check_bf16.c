/* check_bf16.c: products in bfloat16: the vector path against the plain C twin, rounding against its definition, and whole runs with
 * both against each other and against float32. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/bf16.h"
#include "engine/engine_internal.h"
#include "engine/half.h"
#include "engine/kernels.h"
#include "tests/tiny_model.h"

static float uniform(void) {
    return (float)rand() / (float)RAND_MAX * 2 - 1;
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

static float rounded(const struct bf16 *bf16, float x) {
    float row[PANEL] = {x};
    uint32_t pairs[PANEL / 2];
    bf16->round(row, PANEL, pairs);
    return bfloat_to_float((uint16_t)pairs[0]);
}

static const struct bf16 *path(int i) {
    return i == 0 ? &bf16_plain : bf16_avx512();
}

START_TEST(rounds_to_the_nearest) {
    const struct bf16 *bf16 = path(_i);
    if (!bf16) return;
    ck_assert(rounded(bf16, 1.0f) == 1.0f && rounded(bf16, -3.5f) == -3.5f);
    ck_assert(rounded(bf16, 1.0f + 0x1p-8f) == 1.0f);            /* half-way: the even one */
    ck_assert(rounded(bf16, 1.0f + 3 * 0x1p-8f) == 1.0f + 0x1p-6f);
    ck_assert(rounded(bf16, 1.0f + 0x1.001p-8f) == 1.0f + 0x1p-7f);
    ck_assert(isinf(rounded(bf16, INFINITY)) && isinf(rounded(bf16, 3.4e38f)) && isnan(rounded(bf16, NAN)));
    for (int i = 0; i < 10000; i++) {
        float x = ldexpf(uniform(), rand() % 60 - 30), y = rounded(bf16, x);
        ck_assert_msg(fabsf(y - x) <= fabsf(x) * 0x1p-8f && y == rounded(&bf16_plain, x), "%a becomes %a", (double)x, (double)y);
    }
}
END_TEST

/* Every number of rows up to two tiles, of panels, and some of pairs. */
START_TEST(products_equal_the_plain_twin) {
    const struct bf16 *bf16 = bf16_avx512();
    if (!bf16) return;
    double worst = 0;
    for (size_t rows = 1; rows <= 17; rows++)
        for (size_t panels = 1; panels <= 7; panels++)
            for (size_t pairs = 16; pairs <= 304; pairs += 96) {
                size_t a_size = rows * pairs, b_size = panels * pairs * PANEL, c_size = rows * panels * PANEL;
                float *x = malloc(2 * (a_size + b_size) * sizeof *x), *c = malloc(2 * c_size * sizeof *c), *d = c + c_size;
                uint32_t *a = malloc((a_size + b_size) * sizeof *a);
                for (size_t i = 0; i < 2 * (a_size + b_size); i++) x[i] = uniform();
                bf16_plain.round(x, 2 * (a_size + b_size), a);
                for (size_t i = 0; i < c_size; i++) c[i] = d[i] = uniform();
                struct bf16_product product = {.rows = rows, .panels = panels, .pairs = pairs, .a = a, .a_stride = pairs, .b = a + a_size,
                                               .c = c, .c_stride = panels * PANEL, .accumulate = rows % 2 == 0};
                bf16->multiply(&product);
                product.c = d;
                bf16_plain.multiply(&product);
                for (size_t i = 0; i < c_size; i++) worst = larger(worst, fabs((double)c[i] - (double)d[i]) / sqrt((double)pairs));
                free(x);
                free(c);
                free(a);
            }
    printf("bf16: products differ from the plain twin's by at most %.1e (allowed 1e-6)\n", worst);
    ck_assert_double_le(worst, 1e-6);
}
END_TEST

/* ---- whole runs ------------------------------------------------------------------------------------------------------ */

static struct model *open_tiny(void) {
    char error[256];
    struct model *model = NULL;
    const char *file = "check_bf16_tiny.gguf";
    struct tiny_model tiny = tiny_model_default;
    tiny.layers = 3;
    ck_assert(tiny_model_write(file, &tiny));
    ck_assert_msg(model_open(file, &model, error, sizeof error) == ENGINE_OK, "%s", error);
    remove(file);
    return model;
}

enum { TOKENS = 70 };

static struct activations *run(struct engine *engine, struct model *model, enum precision precision, size_t n,
                               const struct activations *prefix) {
    int32_t ids[TOKENS];
    char error[256] = "";
    uint32_t *sinks = NULL;
    size_t count;
    struct activations *activations = NULL;
    for (int i = 0; i < TOKENS; i++) ids[i] = i * 7 % 50;
    struct analysis_input input = {.model = model, .ids = ids, .n = n, .precision = precision};
    ck_assert_msg(analysis_run(engine, &input, prefix, NULL, &sinks, &count, &activations, error, sizeof error) == ENGINE_OK, "%s", error);
    free(sinks);
    return activations;
}

static double difference(struct engine *engine, const struct activations *a, const struct activations *b, size_t n) {
    const struct model_info *info = model_describe(activations_model(a));
    double worst = 0;
    char error[256];
    static float x[TOKENS * TOKENS], y[TOKENS * TOKENS];
    for (int i = 0; i < info->layers * info->heads; i++) {
        const struct head_address at = {SECTION_DECODER, i / info->heads, i % info->heads};
        const struct rectangle all = {0, n, 0, n};
        ck_assert_int_eq(attention_read(engine, a, at, &all, x, error, sizeof error), ENGINE_OK);
        ck_assert_int_eq(attention_read(engine, b, at, &all, y, error, sizeof error), ENGINE_OK);
        for (size_t c = 0; c < n * n; c++) worst = larger(worst, fabs((double)x[c] - (double)y[c]));
    }
    return worst;
}

static struct engine *engine_of(const struct kernels *kernels, const struct bf16 *bf16) {
    char error[256];
    struct engine *engine = NULL;
    ck_assert_int_eq(engine_create_with(&(struct engine_options){.threads = 2}, kernels, &engine, error, sizeof error), ENGINE_OK);
    engine->bf16 = bf16;
    return engine;
}

/* The plain twin runs everywhere; the vector path, where there is one, must give the same. */
START_TEST(runs_in_bf16) {
    struct model *model = open_tiny();
    struct engine *plain = engine_of(&kernels_plain, &bf16_plain), *vector = engine_of(kernels_best(), bf16_avx512());
    struct activations *exact = run(plain, model, PRECISION_FLOAT32, TOKENS, NULL), *twin = run(plain, model, PRECISION_BF16, TOKENS, NULL);
    double error_of_bf16 = difference(plain, exact, twin, TOKENS), measured = 0;
    printf("bf16: weights of a tiny model differ from float32's by at most %.1e\n", error_of_bf16);
    ck_assert(error_of_bf16 > 1e-6 && error_of_bf16 < 0.1); /* it is another precision, and the same model */
    if (bf16_avx512()) {
        struct activations *fast = run(vector, model, PRECISION_BF16, TOKENS, NULL);
        double between = difference(plain, twin, fast, TOKENS);
        printf("bf16: weights on the vector path differ from the plain twin's by at most %.1e\n", between);
        ck_assert_double_le(between, error_of_bf16 / 2); /* sums in another order round some activations the other way */
        activations_destroy(fast);
    }
    char error[256];
    ck_assert_int_eq(analysis_precision_error(plain, model, PRECISION_FLOAT32, &measured, error, sizeof error), ENGINE_OK);
    ck_assert(measured == 0);
    ck_assert_int_eq(analysis_precision_error(plain, model, PRECISION_BF16, &measured, error, sizeof error), ENGINE_OK);
    ck_assert(measured > 1e-6 && measured < 0.1);
    double again = 0;
    engine_destroy(plain);
    plain = engine_of(&kernels_plain, NULL); /* remembered: nothing is run */
    ck_assert_int_eq(analysis_precision_error(plain, model, PRECISION_BF16, &again, error, sizeof error), ENGINE_OK);
    ck_assert(again == measured);
    activations_destroy(exact);
    activations_destroy(twin);
    engine_destroy(plain);
    engine_destroy(vector);
    model_release(model);
}
END_TEST

/* What was computed in one precision is not the beginning of a run in the other. */
START_TEST(prefixes_stay_in_their_precision) {
    struct model *model = open_tiny();
    struct engine *engine = engine_of(&kernels_plain, &bf16_plain);
    struct activations *exact = run(engine, model, PRECISION_FLOAT32, TOKENS, NULL), *half = run(engine, model, PRECISION_BF16, 40, NULL);
    struct activations *mixed = run(engine, model, PRECISION_FLOAT32, TOKENS, half), *whole = run(engine, model, PRECISION_BF16, TOKENS, NULL);
    struct activations *grown = run(engine, model, PRECISION_BF16, TOKENS, half);
    ck_assert_double_le(difference(engine, exact, mixed, TOKENS), 1e-7);
    ck_assert_double_le(difference(engine, whole, grown, TOKENS), 1e-7);
    activations_destroy(exact);
    activations_destroy(half);
    activations_destroy(mixed);
    activations_destroy(whole);
    activations_destroy(grown);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

START_TEST(is_refused_where_the_processor_lacks_it) {
    struct model *model = open_tiny();
    struct engine *engine = engine_of(&kernels_plain, NULL);
    int32_t id = 1;
    char error[256];
    struct analysis_estimate estimate;
    struct analysis_input input = {.model = model, .ids = &id, .n = 1, .precision = PRECISION_BF16};
    ck_assert_int_eq(analysis_estimate(engine, &input, &estimate, error, sizeof error), ENGINE_UNSUPPORTED);
    ck_assert_msg(strstr(error, "AVX512_BF16") && strstr(error, "float32"), "%s", error);
    ck_assert_int_eq(analysis_run(engine, &input, NULL, NULL, NULL, NULL, NULL, error, sizeof error), ENGINE_UNSUPPORTED);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("bf16");
    TCase *c = tcase_create("bf16");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, rounds_to_the_nearest, 0, 2);
    tcase_add_test(c, products_equal_the_plain_twin);
    tcase_add_test(c, runs_in_bf16);
    tcase_add_test(c, prefixes_stay_in_their_precision);
    tcase_add_test(c, is_refused_where_the_processor_lacks_it);
    suite_add_tcase(suite, c);
    return suite;
}

#include "tests/check_main.h"
