/*
 * check_forward.c: a whole run of the real model against the reference implementation, on every vector path of this machine:
 * statistics, rows, thumbnails, tiles, series; then prefix reuse, cancelling, limits and failing allocations.
 */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/model.h"
#include "tests/models.h"

static const char *const golden_names[] = {"cat", "chat", "code", "gpl", "names", "repeat", "world"};

static struct model *open_smollm2(void) {
    char path[1024], error[256];
    struct model *model = NULL;
    models_path(path, sizeof path, SMOLLM2_FILE);
    ck_assert_msg(model_open(path, &model, error, sizeof error) == ENGINE_OK, "%s", error);
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
    bool too_many;
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
            for (int s = 0; s < STAT_COUNT; s++) {
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
        ck_assert_int_eq(attention_read(engine, kept->activations, (int)json_integer_value(json_object_get(sample, "layer")),
                                        (int)json_integer_value(json_object_get(sample, "head")), &(struct rectangle){i, i + 1, 0, n},
                                        row, error, sizeof error), ENGINE_OK);
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
    printf("%s, largest differences from the reference:\n", engine_kernels(engine));
    printf("  %-32s %.1e (allowed %.0e)\n  %-32s %.1e (allowed %.0e)\n", "weights of sampled rows", worst_weight, 2e-5, "their sums from 1",
           worst_sum, 3e-6);
    for (int s = 0; s < STAT_COUNT; s++)
        if (!statistic_fields[s].encoder_only)
            printf("  %-32s %.1e (allowed %.0e)\n", statistic_fields[s].name, worst[s], tolerance_of(s));
    fflush(stdout);
    ck_assert(worst_weight <= 2e-5 && worst_sum <= 3e-6);
    for (int s = 0; s < STAT_COUNT; s++)
        if (s != STAT_OFFSET_MODE && s != STAT_OFFSET_RATE) /* where weights tie, either may win */
            ck_assert_msg(worst[s] <= tolerance_of(s), "%s: %g", statistic_fields[s].name, worst[s]);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("forward");
    TCase *c = tcase_create("reference");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, parity, 0, 3);
    suite_add_tcase(suite, c);
    return suite;
}

#include "tests/check_main.h"
