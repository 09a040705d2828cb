/*
 * check_forward.c: a whole run of the real model against the reference implementation, on every vector path of this machine:
 * statistics, rows, thumbnails, tiles, series; then prefix reuse, cancelling, limits and failing allocations.
 */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/model.h"
#include "tests/failing_malloc.h"
#include "tests/models.h"
#include "tests/naive_statistics.h"
#include "tests/tiny_model.h"

static const char *const golden_names[] = {"cat", "chat", "code", "gpl", "names", "repeat", "world"};

#define HEAD(layer, head) (struct head_address){SECTION_DECODER, (layer), (head)}

static struct model *open_smollm2(void) {
    char path[1024], error[256];
    struct model *model = NULL;
    models_path(path, sizeof path, SMOLLM2_FILE);
    ck_assert_msg(model_open(path, &model, error, sizeof error) == ENGINE_OK, "%s", error);
    model->config.layers = SMOLLM2_LAYERS;
    return model;
}

static size_t kernel_paths(const struct kernels *paths[3]) {
    size_t n = 0;
    paths[n++] = &kernels_plain;
    if (kernels_avx2()) paths[n++] = kernels_avx2();
    if (kernels_avx512()) paths[n++] = kernels_avx512();
    return n;
}

static struct engine *engine_with(const struct kernels *kernels) {
    char error[256];
    struct engine *engine = NULL;
    ck_assert_int_eq(engine_create_with(&(struct engine_options){0}, kernels, &engine, error, sizeof error), ENGINE_OK);
    return engine;
}

/* ---- one run, with everything that it hands out kept ------------------------------------------------------------ */

struct kept_run {
    int layers, heads, bins, cancel_at;
    struct head_statistics *statistics;           /* [layers, heads] */
    uint8_t *max, *mean, *excluded;
    uint32_t *sinks;
    size_t sink_count;
    struct activations *activations;
};

static bool keep_layer(void *context, const struct layer_result *result) {
    struct kept_run *kept = context;
    size_t heads = (size_t)result->heads, cells = heads * (size_t)result->rows * (size_t)result->cols, layer = (size_t)result->layer;
    if (result->layer == kept->cancel_at) return false;
    kept->bins = result->rows;
    memcpy(kept->statistics + layer * heads, result->statistics, heads * sizeof *result->statistics);
    memcpy(kept->max + layer * cells, result->max, cells);
    memcpy(kept->mean + layer * cells, result->mean, cells);
    memcpy(kept->excluded + layer * heads * (size_t)result->rows, result->excluded, heads * (size_t)result->rows);
    return true;
}

static struct kept_run kept_for(const struct model *model) {
    size_t all = (size_t)model->config.layers * (size_t)model->config.heads;
    struct kept_run kept = {.layers = model->config.layers, .heads = model->config.heads, .cancel_at = -1};
    kept.statistics = calloc(all, sizeof *kept.statistics);
    kept.max = calloc(all, 48 * 48);
    kept.mean = calloc(all, 48 * 48);
    kept.excluded = calloc(all, 48);
    return kept;
}

static void forget(struct kept_run *kept) {
    free(kept->statistics);
    free(kept->max);
    free(kept->mean);
    free(kept->excluded);
    free(kept->sinks);
    activations_destroy(kept->activations);
}

static struct kept_run run(struct engine *engine, const struct model *model, const int32_t *ids, size_t n,
                           const struct activations *prefix) {
    uint32_t *excluded = malloc(n * sizeof *excluded);
    char error[256] = "";
    struct kept_run kept = kept_for(model);
    struct analysis_input input = {.model = model, .ids = ids, .n = n, .excluded = excluded};
    input.excluded_count = analysis_default_exclusions(model, ids, n, excluded);
    struct analysis_observer observer = {&kept, keep_layer, NULL};
    enum engine_status status = analysis_run(engine, &input, prefix, &observer, &kept.sinks, &kept.sink_count, &kept.activations,
                                             error, sizeof error);
    ck_assert_msg(status == ENGINE_OK, "%s", error);
    free(excluded);
    return kept;
}

/* ---- golden facts ------------------------------------------------------------------------------------------------ */

static json_t *golden(const char *name) {
    char path[1024], file[128];
    snprintf(file, sizeof file, "tests/golden/smollm2/%s.json", name);
    source_path(path, sizeof path, file);
    json_error_t error;
    json_t *facts = json_load_file(path, 0, &error);
    ck_assert_msg(facts != NULL, "%s: %s", path, error.text);
    return facts;
}

static int32_t *golden_ids(const json_t *facts, size_t *n) {
    json_t *array = json_object_get(facts, "ids");
    *n = json_array_size(array);
    int32_t *ids = malloc(*n * sizeof *ids);
    for (size_t i = 0; i < *n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return ids;
}

static double tolerance_of(int statistic) {
    switch (statistic) {
    case STAT_ENTROPY:
    case STAT_ENTROPY_NORMALISED:
    case STAT_EFFECTIVE_KEYS: /* relative */
    case STAT_MEAN_DISTANCE:  /* relative */
    case STAT_OFFSET_R2: return 1e-4;
    default: return 1e-5;
    }
}

static void compare_statistics(const json_t *facts, const struct kept_run *kept, double worst[STAT_COUNT]) {
    for (int l = 0; l < kept->layers; l++)
        for (int h = 0; h < kept->heads; h++)
            for (int s = 0; s < STAT_VALUE_SINK_SHARE; s++) { /* check_value_norms.c has the rest */
                json_t *want = json_object_get(json_array_get(json_array_get(json_object_get(facts, "layers"), (size_t)l), (size_t)h),
                                               statistic_fields[s].name);
                double got = kept->statistics[l * kept->heads + h].value[s];
                if (!want || json_is_null(want)) {
                    ck_assert_msg(isnan(got), "%d.%d %s: %g, not null", l, h, statistic_fields[s].name, got);
                    continue;
                }
                double value = json_number_value(want), difference = fabs(got - value);
                ck_assert_msg(isfinite(got), "%d.%d %s: null, not %g", l, h, statistic_fields[s].name, value);
                bool relative = s == STAT_MEAN_DISTANCE || s == STAT_EFFECTIVE_KEYS;
                if (relative) difference /= fabs(value) > 1 ? fabs(value) : 1;
                if (difference > worst[s]) worst[s] = difference;
            }
}

static void compare_rows(struct engine *engine, const json_t *facts, size_t n, const struct kept_run *kept, double *worst_weight,
                         double *worst_sum) {
    float *row = malloc(n * sizeof *row);
    size_t index;
    json_t *sample;
    json_array_foreach(json_object_get(facts, "rows"), index, sample) {
        char error[256];
        size_t i = (size_t)json_integer_value(json_object_get(sample, "query"));
        int layer = (int)json_integer_value(json_object_get(sample, "layer")), head = (int)json_integer_value(json_object_get(sample, "head"));
        if (layer >= kept->layers) continue;
        ck_assert_int_eq(attention_read(engine, kept->activations, HEAD(layer, head), &(struct rectangle){i, i + 1, 0, n}, row, error,
                                        sizeof error), ENGINE_OK);
        json_t *weights = json_object_get(sample, "weights");
        double sum = 0;
        for (size_t j = 0; j < n; j++) {
            double difference = fabs((double)row[j] - json_number_value(json_array_get(weights, j)));
            if (difference > *worst_weight) *worst_weight = difference;
            sum += (double)row[j];
            if (j > i) ck_assert(row[j] == 0);
        }
        if (fabs(sum - 1) > *worst_sum) *worst_sum = fabs(sum - 1);
    }
    free(row);
}

static void print_differences(const char *title, const double worst[STAT_COUNT], double worst_weight, double worst_sum) {
    printf("%s, largest differences from the reference:\n", title);
    printf("  %-32s %.1e (allowed %.0e)\n  %-32s %.1e (allowed %.0e)\n", "weights of sampled rows", worst_weight, 2e-5,
           "their sums from 1", worst_sum, 3e-6);
    for (int s = 0; s < STAT_COUNT; s++)
        if (!statistic_fields[s].encoder_only)
            printf("  %-32s %.1e (allowed %.0e)\n", statistic_fields[s].name, worst[s], tolerance_of(s));
    fflush(stdout);
}

static void check_differences(const double worst[STAT_COUNT], double worst_weight, double worst_sum) {
    ck_assert(worst_weight <= 2e-5 && worst_sum <= 3e-6);
    for (int s = 0; s < STAT_COUNT; s++)
        if (s != STAT_OFFSET_MODE && s != STAT_OFFSET_RATE) /* where weights tie, either may win */
            ck_assert_msg(worst[s] <= tolerance_of(s), "%s: %g", statistic_fields[s].name, worst[s]);
}

START_TEST(parity) {
    const struct kernels *paths[3];
    ck_assert_uint_lt((size_t)_i, sizeof paths / sizeof paths[0]);
    if ((size_t)_i >= kernel_paths(paths)) return; /* this machine has no such path */
    struct model *model = open_smollm2();
    struct engine *engine = engine_with(paths[_i]);
    double worst[STAT_COUNT] = {0}, worst_weight = 0, worst_sum = 0;
    for (size_t g = 0; g < sizeof golden_names / sizeof golden_names[0]; g++) {
        json_t *facts = golden(golden_names[g]);
        size_t n;
        int32_t *ids = golden_ids(facts, &n);
        struct kept_run kept = run(engine, model, ids, n, NULL);
        compare_statistics(facts, &kept, worst);
        compare_rows(engine, facts, n, &kept, &worst_weight, &worst_sum);
        forget(&kept);
        free(ids);
        json_decref(facts);
    }
    print_differences(engine_kernels(engine), worst, worst_weight, worst_sum);
    check_differences(worst, worst_weight, worst_sum);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* The first 2048 tokens of the GNU GPL 3; numbers made with transformers 5 in float32, eager attention, a layer at a time. Rows
 * have only their visible keys. */
START_TEST(parity_of_a_long_text) {
    struct model *model = open_smollm2();
    struct engine *engine = engine_with(kernels_best());
    double worst[STAT_COUNT] = {0}, worst_weight = 0, worst_sum = 0;
    json_t *facts = golden("gpl2048");
    size_t n;
    int32_t *ids = golden_ids(facts, &n);
    struct kept_run kept = run(engine, model, ids, n, NULL);
    compare_statistics(facts, &kept, worst);
    compare_rows(engine, facts, n, &kept, &worst_weight, &worst_sum);
    print_differences("2048 tokens", worst, worst_weight, worst_sum);
    check_differences(worst, worst_weight, worst_sum);
    forget(&kept);
    free(ids);
    json_decref(facts);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* ---- what is handed out beside the statistics, against whole maps ------------------------------------------------ */

static void compare_bytes(const uint8_t *got, const double *want, size_t n) {
    for (size_t i = 0; i < n; i++) ck_assert_double_le(fabs(got[i] - 255 * sqrt(want[i])), 0.51);
}

static void check_tile(struct engine *engine, const struct kept_run *kept, const double *map, size_t n, int layer, int head, int zoom) {
    uint8_t pixels[65536];
    char error[256];
    int width, height;
    size_t pixel = (size_t)1 << zoom;
    ck_assert_int_eq(attention_tile(engine, kept->activations, HEAD(layer, head), zoom, 0, 0, POOL_MAX, WEIGHTING_NONE, pixels, &width, &height, error,
                                    sizeof error), ENGINE_OK);
    for (size_t p = 0; p < (size_t)(width * height); p++) {
        double max = 0;
        for (size_t i = p / (size_t)width * pixel; i < (p / (size_t)width + 1) * pixel && i < n; i++)
            for (size_t j = p % (size_t)width * pixel; j < (p % (size_t)width + 1) * pixel && j < n; j++)
                max = map[i * n + j] > max ? map[i * n + j] : max;
        compare_bytes(&pixels[p], &max, 1);
    }
}

/* The sinks of the text, from the series of every head. */
static void check_sinks(struct engine *engine, const struct kept_run *kept, size_t n, double *received) {
    int *receiving = calloc(n, sizeof *receiving), heads = kept->layers * kept->heads;
    char error[256];
    for (int h = 0; h < heads; h++) {
        attention_series(engine, kept->activations, HEAD(h / kept->heads, h % kept->heads), NULL, 0,
                         &(struct head_series){.received = received},
                         error, sizeof error);
        for (size_t j = 0; j + 8 < n; j++) receiving[j] += received[j] > 0.3;
    }
    for (size_t j = 0, s = 0; j < n; j++) {
        bool sink = receiving[j] * 10 >= heads;
        ck_assert(sink == (s < kept->sink_count && kept->sinks[s] == j));
        s += sink;
    }
    free(receiving);
}

START_TEST(pictures) {
    struct model *model = open_smollm2();
    struct engine *engine = engine_with(kernels_best());
    for (size_t g = 0; g < sizeof golden_names / sizeof golden_names[0]; g++) {
        json_t *facts = golden(golden_names[g]);
        size_t n, excluded_count;
        int32_t *ids = golden_ids(facts, &n);
        struct kept_run kept = run(engine, model, ids, n, NULL);
        uint32_t *excluded = malloc(n * sizeof *excluded);
        excluded_count = analysis_default_exclusions(model, ids, n, excluded);
        float *weights = malloc(n * n * sizeof *weights);
        double *map = malloc(n * n * sizeof *map), max[48 * 48], mean[48 * 48], on_excluded[48], *received = malloc(n * sizeof *received);
        char error[256];
        for (int layer = 0; layer < kept.layers; layer += (SMOLLM2_LAYERS + 3) / 4) {
            int head = layer % kept.heads;
            size_t at = (size_t)(layer * kept.heads + head), bins = (size_t)kept.bins;
            ck_assert_int_eq(attention_read(engine, kept.activations, HEAD(layer, head), &(struct rectangle){0, n, 0, n}, weights, error,
                                            sizeof error), ENGINE_OK);
            for (size_t i = 0; i < n * n; i++) map[i] = (double)weights[i];
            naive_thumbnail(map, visibility_causal, n, excluded, excluded_count, max, mean, on_excluded);
            compare_bytes(kept.max + at * bins * bins, max, bins * bins);
            compare_bytes(kept.mean + at * bins * bins, mean, bins * bins);
            compare_bytes(kept.excluded + at * bins, on_excluded, bins);
            for (int zoom = 0; zoom < 4 && n >> zoom > 1; zoom++) check_tile(engine, &kept, map, n, layer, head, zoom);
            ck_assert_int_eq(attention_series(engine, kept.activations, HEAD(layer, head), excluded, excluded_count,
                                              &(struct head_series){.received = received}, error, sizeof error), ENGINE_OK);
            for (size_t j = 0; j + 1 < n; j++) ck_assert_double_eq_tol(received[j], naive_received(map, visibility_causal, n, j), 1e-5);
        }
        check_sinks(engine, &kept, n, received);
        free(excluded);
        free(weights);
        free(map);
        free(received);
        forget(&kept);
        free(ids);
        json_decref(facts);
    }
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* ---- prefix reuse -------------------------------------------------------------------------------------------------- */

static double largest_difference(const struct kept_run *a, const struct kept_run *b) {
    double worst = 0;
    for (int i = 0; i < a->layers * a->heads; i++)
        for (int s = 0; s < STAT_COUNT; s++) {
            double x = a->statistics[i].value[s], y = b->statistics[i].value[s];
            ck_assert(isnan(x) == isnan(y));
            bool may_tie = s == STAT_OFFSET_MODE || s == STAT_OFFSET_RATE;
            if (!isnan(x) && !may_tie) worst = fmax(worst, fabs(x - y) / fmax(1, fabs(x)));
        }
    return worst;
}

START_TEST(prefix_reuse) {
    const struct kernels *paths[3];
    if ((size_t)_i >= kernel_paths(paths)) return;
    struct model *model = open_smollm2();
    struct engine *engine = engine_with(paths[_i]);
    json_t *facts = golden("gpl");
    size_t all;
    int32_t *ids = golden_ids(facts, &all);
    size_t n = 150;
    struct kept_run fresh = run(engine, model, ids, n, NULL);
    static const size_t shared[] = {0, 1, 15, 16, 17, 48, 100, 149, 150, 200};
    double worst = 0;
    for (size_t s = 0; s < sizeof shared / sizeof shared[0]; s++) {
        size_t m = shared[s] + 5; /* the other text: `shared` tokens in common, then five of its own */
        int32_t *other = malloc(m * sizeof *other);
        for (size_t i = 0; i < m; i++) other[i] = i < shared[s] ? ids[i] : ids[i] + 1;
        struct kept_run before = run(engine, model, other, m, NULL), reused = run(engine, model, ids, n, before.activations);
        worst = fmax(worst, largest_difference(&fresh, &reused));
        ck_assert_uint_eq(fresh.sink_count, reused.sink_count);
        float a[150], b[150];
        char error[256];
        for (int layer = 0; layer < SMOLLM2_LAYERS; layer += SMOLLM2_LAYERS - 1) {
            attention_read(engine, fresh.activations, HEAD(layer, 4), &(struct rectangle){n - 1, n, 0, n}, a, error, sizeof error);
            attention_read(engine, reused.activations, HEAD(layer, 4), &(struct rectangle){n - 1, n, 0, n}, b, error, sizeof error);
            for (size_t j = 0; j < n; j++) ck_assert_double_eq_tol(a[j], b[j], 2e-5);
        }
        forget(&before);
        forget(&reused);
        free(other);
    }
    printf("%s: reusing a prefix changes statistics by at most %.1e\n", engine_kernels(engine), worst);
    ck_assert_double_le(worst, 1e-5);
    forget(&fresh);
    free(ids);
    json_decref(facts);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* ---- faults: a tiny model, so that every layer and every allocation can have its turn ------------------------------- */

static struct model *open_tiny(void) {
    char error[256];
    struct model *model = NULL;
    const char *path = "check_forward_tiny.gguf";
    struct tiny_model tiny = tiny_model_default;
    tiny.layers = 5;
    ck_assert(tiny_model_write(path, &tiny));
    ck_assert_msg(model_open(path, &model, error, sizeof error) == ENGINE_OK, "%s", error);
    remove(path);
    return model;
}

struct counted {
    int breaths, stop_at;
};

static bool count_breaths(void *context) {
    struct counted *counted = context;
    return counted->breaths++ != counted->stop_at;
}

START_TEST(cancel_at_every_layer) {
    struct model *model = open_tiny();
    struct engine *engine = engine_with(kernels_best());
    int32_t ids[100];
    char error[256];
    for (int i = 0; i < 100; i++) ids[i] = i * 7 % 100;
    for (int layer = 0; layer < model->config.layers; layer++) {
        struct kept_run kept = kept_for(model);
        kept.cancel_at = layer;
        struct analysis_observer observer = {&kept, keep_layer, NULL};
        struct analysis_input input = {.model = model, .ids = ids, .n = 100};
        ck_assert_int_eq(analysis_run(engine, &input, NULL, &observer, &kept.sinks, &kept.sink_count, &kept.activations, error,
                                      sizeof error), ENGINE_CANCELLED);
        ck_assert_ptr_null(kept.activations);
        ck_assert_ptr_null(kept.sinks);
        forget(&kept);
    }
    ck_assert_int_eq(atomic_load(&model->references), 1);
    struct kept_run kept = run(engine, model, ids, 100, NULL); /* the next one works */
    forget(&kept);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* Cancelled between pieces of work of a long run, at different places. */
START_TEST(cancel_by_breath) {
    struct model *model = open_smollm2();
    struct engine *engine = engine_with(kernels_best());
    int32_t ids[700];
    char error[256];
    for (int i = 0; i < 700; i++) ids[i] = i * 31 % 49000;
    for (int stop = 0; stop < 40; stop += 3) {
        struct counted counted = {0, stop};
        uint32_t *sinks = NULL;
        size_t count = 0;
        struct activations *activations = NULL;
        ck_assert_int_eq(analysis_run(engine, &(struct analysis_input){.model = model, .ids = ids, .n = 700}, NULL,
                                      &(struct analysis_observer){&counted, NULL, count_breaths}, &sinks, &count, &activations, error,
                                      sizeof error), ENGINE_CANCELLED);
        ck_assert_int_eq(counted.breaths, stop + 1);
        ck_assert_ptr_null(activations);
    }
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* Small reads in the middle of a run, as the worker does them. */
struct reader {
    struct engine *engine;
    const struct activations *activations;
    const float *want;
    int reads;
};

static bool read_while_running(void *context) {
    struct reader *reader = context;
    float weights[40 * 40];
    char error[256];
    uint8_t pixels[65536];
    int width, height;
    ck_assert_int_eq(attention_read(reader->engine, reader->activations, HEAD(1, 2), &(struct rectangle){0, 40, 0, 40}, weights, error,
                                    sizeof error), ENGINE_OK);
    ck_assert_mem_eq(weights, reader->want, sizeof weights);
    ck_assert_int_eq(attention_tile(reader->engine, reader->activations, HEAD(1, 2), 0, 0, 0, POOL_MEAN, WEIGHTING_NONE, pixels, &width, &height, error,
                                    sizeof error), ENGINE_OK);
    reader->reads++;
    return true;
}

START_TEST(reads_while_running) {
    struct model *model = open_smollm2();
    struct engine *engine = engine_with(kernels_best());
    int32_t ids[500];
    char error[256];
    for (int i = 0; i < 500; i++) ids[i] = i * 31 % 49000;
    struct kept_run small = run(engine, model, ids, 40, NULL);
    float want[40 * 40];
    attention_read(engine, small.activations, HEAD(1, 2), &(struct rectangle){0, 40, 0, 40}, want, error, sizeof error);
    struct reader reader = {engine, small.activations, want, 0};
    struct kept_run alone = run(engine, model, ids, 500, NULL), kept = kept_for(model);
    uint32_t zero = 0;
    struct analysis_observer observer = {&reader, NULL, read_while_running};
    struct analysis_input input = {.model = model, .ids = ids, .n = 500, .excluded = &zero, .excluded_count = 1};
    ck_assert_int_eq(analysis_run(engine, &input, NULL, &observer, &kept.sinks,
                                  &kept.sink_count, &kept.activations, error, sizeof error), ENGINE_OK);
    ck_assert_int_gt(reader.reads, 10);
    ck_assert_uint_eq(kept.sink_count, alone.sink_count);
    size_t n = 500;
    float *a = malloc(2 * n * sizeof *a), *b = a + n;
    attention_read(engine, alone.activations, HEAD(SMOLLM2_LAYERS - 1, 1), &(struct rectangle){499, 500, 0, 500}, a, error, sizeof error);
    attention_read(engine, kept.activations, HEAD(SMOLLM2_LAYERS - 1, 1), &(struct rectangle){499, 500, 0, 500}, b, error, sizeof error);
    ck_assert_mem_eq(a, b, n * sizeof *a); /* whoever computed which piece */
    free(a);
    forget(&kept);
    forget(&alone);
    forget(&small);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

START_TEST(every_allocation_fails_in_turn) {
    struct model *model = open_tiny();
    struct engine *engine = NULL;
    char error[256];
    int32_t ids[60];
    for (int i = 0; i < 60; i++) ids[i] = i * 7 % 50;
    for (long turn = 0;; turn++) {
        failing_malloc_after(turn);
        enum engine_status status = engine_create(&(struct engine_options){.threads = 2}, &engine, error, sizeof error);
        if (!failing_malloc_stop()) break;
        ck_assert_int_eq(status, ENGINE_NO_MEMORY);
    }
    long turn = 0;
    for (;; turn++) {
        uint32_t *sinks = NULL;
        size_t count = 0;
        struct activations *activations = NULL;
        failing_malloc_after(turn);
        enum engine_status status = analysis_run(engine, &(struct analysis_input){.model = model, .ids = ids, .n = 60}, NULL, NULL, &sinks,
                                                 &count, &activations, error, sizeof error);
        bool failed = failing_malloc_stop();
        ck_assert_int_eq(status, failed ? ENGINE_NO_MEMORY : ENGINE_OK);
        ck_assert_int_eq(atomic_load(&model->references), failed ? 1 : 2);
        if (failed) continue;
        float weights[60];
        uint8_t pixels[65536];
        int width, height;
        double series[60];
        failing_malloc_after(0);
        ck_assert_int_eq(attention_read(engine, activations, HEAD(0, 0), &(struct rectangle){5, 6, 0, 60}, weights, error, sizeof error),
                         ENGINE_NO_MEMORY);
        failing_malloc_after(0);
        ck_assert_int_eq(attention_tile(engine, activations, HEAD(0, 0), 0, 0, 0, POOL_MAX, WEIGHTING_NONE, pixels, &width, &height, error, sizeof error),
                         ENGINE_NO_MEMORY);
        for (long i = 0; i < 2; i++) {
            failing_malloc_after(i);
            ck_assert_int_eq(attention_series(engine, activations, HEAD(0, 0), NULL, 0, &(struct head_series){.received = series}, error,
                                              sizeof error), ENGINE_NO_MEMORY);
        }
        failing_malloc_stop();
        free(sinks);
        activations_destroy(activations);
        break;
    }
    ck_assert_int_gt(turn, 10);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* ---- limits ---------------------------------------------------------------------------------------------------------- */

START_TEST(limits) {
    struct model *model = open_tiny();
    struct engine *engine = engine_with(&kernels_plain), *small;
    char error[256];
    int32_t *ids = calloc(1000, sizeof *ids);
    uint32_t out[2] = {3, 3};
    struct analysis_estimate one, many;
    struct analysis_input input = {.model = model, .ids = ids, .n = 0};
    ck_assert_int_eq(analysis_estimate(engine, &input, &one, error, sizeof error), ENGINE_INVALID);
    input.n = 257;
    ck_assert_int_eq(analysis_estimate(engine, &input, &one, error, sizeof error), ENGINE_TOO_LARGE);
    ck_assert(strstr(error, "257") && strstr(error, "256"));
    input.n = 256;
    ck_assert_int_eq(analysis_estimate(engine, &input, &many, error, sizeof error), ENGINE_OK);
    input.n = 1;
    ck_assert_int_eq(analysis_estimate(engine, &input, &one, error, sizeof error), ENGINE_OK);
    ck_assert(one.bytes > 0 && many.bytes > one.bytes && one.seconds > 0);
    ids[0] = model->config.vocabulary;
    ck_assert_int_eq(analysis_estimate(engine, &input, &one, error, sizeof error), ENGINE_INVALID);
    ids[0] = -1;
    ck_assert_int_eq(analysis_estimate(engine, &input, &one, error, sizeof error), ENGINE_INVALID);
    ids[0] = 0;
    input = (struct analysis_input){.model = model, .ids = ids, .n = 20, .excluded = out, .excluded_count = 2};
    ck_assert_int_eq(analysis_estimate(engine, &input, &one, error, sizeof error), ENGINE_INVALID);
    out[0] = 2;
    ck_assert_int_eq(analysis_estimate(engine, &input, &one, error, sizeof error), ENGINE_OK);
    out[1] = 20;
    ck_assert_int_eq(analysis_estimate(engine, &input, &one, error, sizeof error), ENGINE_INVALID);
    input.excluded_count = 0;
    input.n = 256;
    ck_assert_int_eq(engine_create(&(struct engine_options){.threads = 1, .memory_max = 100000}, &small, error, sizeof error), ENGINE_OK);
    ck_assert_int_eq(analysis_run(small, &input, NULL, NULL, NULL, NULL, NULL, error, sizeof error), ENGINE_TOO_LARGE);
    ck_assert_msg(strstr(error, "0.1 MB") && strstr(error, "256"), "%s", error);
    ck_assert_int_eq(engine_create(&(struct engine_options){.threads = -1}, &small, error, sizeof error), ENGINE_INVALID);
    engine_destroy(small);
    engine_destroy(engine);
    engine_destroy(NULL);
    activations_destroy(NULL);
    free(ids);
    model_release(model);
}
END_TEST

/* One token, and one token all along. */
START_TEST(degenerate_texts) {
    struct model *model = open_smollm2();
    struct engine *engine = engine_with(kernels_best());
    int32_t ids[64];
    for (int i = 0; i < 64; i++) ids[i] = 28;
    struct kept_run one = run(engine, model, ids, 1, NULL), same = run(engine, model, ids, 64, NULL);
    for (int i = 0; i < one.layers * one.heads; i++) {
        for (int s = 0; s < STAT_COUNT; s++) {
            bool count = s == STAT_DUPLICATE_ROWS || s == STAT_INDUCTION_ROWS;
            ck_assert(count ? one.statistics[i].value[s] == 0 : isnan(one.statistics[i].value[s]));
        }
        ck_assert(one.bins == 1 && one.excluded[i] == 255 && one.max[i] == 0);
        ck_assert(same.statistics[i].value[STAT_DUPLICATE_ROWS] == 63);
        ck_assert(same.statistics[i].value[STAT_INDUCTION_ROWS] == 62);
    }
    forget(&one);
    forget(&same);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("forward");
    TCase *c = tcase_create("reference");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, parity, 0, 3);
    tcase_add_test(c, parity_of_a_long_text);
    tcase_add_test(c, pictures);
    tcase_add_loop_test(c, prefix_reuse, 0, 3);
    suite_add_tcase(suite, c);
    TCase *f = tcase_create("faults and limits");
    tcase_set_timeout(f, 120);
    tcase_add_test(f, cancel_at_every_layer);
    tcase_add_test(f, cancel_by_breath);
    tcase_add_test(f, reads_while_running);
    tcase_add_test(f, every_allocation_fails_in_turn);
    tcase_add_test(f, limits);
    tcase_add_test(f, degenerate_texts);
    suite_add_tcase(suite, f);
    return suite;
}

#include "tests/check_main.h"
