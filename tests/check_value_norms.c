/*
 * check_value_norms.c: value_sink_share and output_ratio of every head of SmolLM2 and of tiny models of several families, against
 * what transformers' own modules give (tests/golden/make_values.py); the value-weighted map, its largest cell and its tiles.
 */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/activations.h"
#include "engine/engine_internal.h"
#include "tests/models.h"

static const double tolerance = 1e-5;

struct kept {
    int heads;
    struct head_statistics *statistics;
};

static bool keep(void *context, const struct layer_result *result) {
    struct kept *kept = context;
    memcpy(kept->statistics + result->layer * kept->heads, result->statistics, (size_t)kept->heads * sizeof *kept->statistics);
    return true;
}

static json_t *load(const char *file) {
    char path[1024];
    json_error_t error;
    source_path(path, sizeof path, file);
    json_t *facts = json_load_file(path, 0, &error);
    ck_assert_msg(facts != NULL, "%s: %s", path, error.text);
    return facts;
}

static double cell(const json_t *facts, const char *name, size_t layer, size_t head) {
    return json_number_value(json_array_get(json_array_get(json_object_get(facts, name), layer), head));
}

static void raise_to(double *worst, double difference) {
    if (!(difference <= *worst)) *worst = difference; /* a NaN, too */
}

/* Norms of one head, and its map: what attention_read gives times the norm, in tiles scaled by the largest. */
static void check_map(struct engine *engine, const struct activations *a, const json_t *facts, double *worst) {
    size_t n;
    char error[256];
    struct head_address at = {model_section(a->model), 0, 0};
    activations_ids(a, &n);
    const float *norm = activations_value_norms(a, at);
    float *weights = malloc(n * n * sizeof *weights), *values = malloc(n * n * sizeof *values), largest = 0, most = 0;
    double sum = 0;
    struct rectangle all = {0, n, 0, n};
    ck_assert_int_eq(attention_read(engine, a, at, &all, weights, error, sizeof error), ENGINE_OK);
    ck_assert_int_eq(attention_read_values(engine, a, at, &all, values, error, sizeof error), ENGINE_OK);
    ck_assert_int_eq(attention_largest_value(engine, a, at, &largest, error, sizeof error), ENGINE_OK);
    for (size_t j = 0; j < n; j++) {
        double want = json_number_value(json_array_get(json_object_get(facts, "value_norm"), j));
        raise_to(worst, fabs((double)norm[j] - want) / fmax(1, want));
    }
    for (size_t i = 0; i < n * n; i++) {
        ck_assert(values[i] == weights[i] * norm[i % n]);
        sum += (double)values[i];
        most = values[i] > most ? values[i] : most;
    }
    raise_to(worst, fabs(sum / json_number_value(json_object_get(facts, "map_sum")) - 1));
    ck_assert(most == largest && most > 0);
    uint8_t *pixels = malloc(65536);
    int width, height;
    ck_assert_int_eq(attention_tile(engine, a, at, 0, 0, 0, POOL_MAX, WEIGHTING_VALUE, pixels, &width, &height, error, sizeof error),
                     ENGINE_OK);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double want = 255 * sqrt((double)(values[(size_t)y * n + (size_t)x] / largest));
            ck_assert(fabs(want - pixels[y * width + x]) <= 0.5 + 1e-3);
        }
    free(pixels);
    free(weights);
    free(values);
}

/* Runs the ids and compares every head. reuse: once more, on the first third of a run of the same text. */
static double worst_of(struct engine *engine, const struct model *model, const int32_t *ids, size_t n, const uint32_t *excluded,
                       size_t excluded_count, const json_t *facts, bool reuse) {
    size_t heads = (size_t)model->config.heads, layers = (size_t)model->config.layers, sink_count = 0;
    struct kept kept = {(int)heads, calloc(layers * heads, sizeof *kept.statistics)};
    struct analysis_observer observer = {&kept, keep, NULL};
    struct activations *a = NULL, *prefix = NULL;
    uint32_t *sinks = NULL;
    char error[256] = "";
    double worst = 0;
    if (reuse) {
        struct analysis_input first = {.model = model, .ids = ids, .n = n / 3};
        ck_assert_int_eq(analysis_run(engine, &first, NULL, NULL, &sinks, &sink_count, &prefix, error, sizeof error), ENGINE_OK);
        free(sinks);
    }
    struct analysis_input input = {.model = model, .ids = ids, .n = n, .excluded = excluded, .excluded_count = excluded_count};
    enum engine_status status = analysis_run(engine, &input, prefix, &observer, &sinks, &sink_count, &a, error, sizeof error);
    ck_assert_msg(status == ENGINE_OK, "%s", error);
    for (size_t i = 0; i < layers * heads; i++) {
        const double *value = kept.statistics[i].value;
        raise_to(&worst, fabs(value[STAT_VALUE_SINK_SHARE] - cell(facts, "value_sink_share", i / heads, i % heads)));
        raise_to(&worst, fabs(value[STAT_OUTPUT_RATIO] - cell(facts, "output_ratio", i / heads, i % heads)));
    }
    check_map(engine, a, facts, &worst);
    activations_destroy(a);
    activations_destroy(prefix);
    free(sinks);
    free(kept.statistics);
    return worst;
}

static struct engine *engine_of(int i) {
    const struct kernels *paths[] = {&kernels_plain, kernels_avx2(), kernels_avx512()};
    struct engine *engine = NULL;
    char error[256];
    if (!paths[i]) return NULL; /* this machine has no such path */
    ck_assert_int_eq(engine_create_with(&(struct engine_options){.threads = 2}, paths[i], &engine, error, sizeof error), ENGINE_OK);
    return engine;
}

START_TEST(families) {
    struct engine *engine = engine_of(_i);
    if (!engine) return;
    json_t *all = load("tests/golden/zoo_values.json"), *facts;
    const char *family;
    double worst = 0;
    json_object_foreach(all, family, facts) {
        char path[1024], file[128], error[512] = "";
        int32_t head[3], ids[256];
        const uint32_t excluded[] = {0, 7, 21};
        struct model *model = NULL;
        snprintf(file, sizeof file, "tests/golden/zoo/%s", family);
        source_path(path, sizeof path, file);
        ck_assert_msg(model_open(path, &model, error, sizeof error) == ENGINE_OK, "%s", error);
        strcat(path, "/expected.bin");
        FILE *in = fopen(path, "rb");
        ck_assert(in && fread(head, sizeof *head, 3, in) == 3 && head[2] <= 256);
        ck_assert(fread(ids, sizeof *ids, (size_t)head[2], in) == (size_t)head[2]);
        fclose(in);
        double difference = worst_of(engine, model, ids, (size_t)head[2], excluded, 3, facts, model->config.causal);
        printf("  %-20s %.1e\n", family, difference);
        raise_to(&worst, difference);
        model_release(model);
    }
    printf("%s, values of tiny models, largest difference %.1e (allowed %.0e)\n", engine_kernels(engine), worst, tolerance);
    fflush(stdout);
    ck_assert(worst <= tolerance);
    json_decref(all);
    engine_destroy(engine);
}
END_TEST

START_TEST(smollm2) {
    struct engine *engine = engine_of(_i);
    if (!engine) return;
    char path[1024], error[256];
    struct model *model = NULL;
    models_path(path, sizeof path, SMOLLM2_FILE);
    ck_assert_msg(model_open(path, &model, error, sizeof error) == ENGINE_OK, "%s", error);
    model->config.layers = SMOLLM2_LAYERS;
    json_t *all = load("tests/golden/smollm2/values.json"), *facts;
    const char *name;
    double worst = 0;
    json_object_foreach(all, name, facts) {
        char file[128];
        snprintf(file, sizeof file, "tests/golden/smollm2/%s.json", name);
        json_t *text = load(file), *array = json_object_get(text, "ids");
        size_t n = json_array_size(array);
        int32_t *ids = malloc(n * sizeof *ids);
        uint32_t *excluded = malloc(n * sizeof *excluded);
        for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
        size_t count = analysis_default_exclusions(model, ids, n, excluded);
        raise_to(&worst, worst_of(engine, model, ids, n, excluded, count, facts, false));
        free(ids);
        free(excluded);
        json_decref(text);
    }
    printf("%s, values of SmolLM2, largest difference %.1e (allowed %.0e)\n", engine_kernels(engine), worst, tolerance);
    fflush(stdout);
    ck_assert(worst <= tolerance);
    json_decref(all);
    model_release(model);
    engine_destroy(engine);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("value norms");
    TCase *c = tcase_create("reference");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, families, 0, 3);
    tcase_add_loop_test(c, smollm2, 0, 3);
    suite_add_tcase(s, c);
    return s;
}

#include "tests/check_main.h"
