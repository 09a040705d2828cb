/*
 * check_lifts.c: what probes and lifts give for SmolLM2, against NumPy over transformers' maps (tests/golden/make_probes.py): the drawn
 * ids, stripes, losses, copying, lifts and their intervals. Lifts in steps are lifts at once.
 */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "tests/models.h"

static char error[512];
static struct model *model;
static struct engine *engine;
static json_t *facts;
static size_t heads, all;

static json_t *load(const char *file) {
    char path[1024];
    json_error_t why;
    source_path(path, sizeof path, file);
    json_t *loaded = json_load_file(path, 0, &why);
    ck_assert_msg(loaded != NULL, "%s: %s", path, why.text);
    return loaded;
}

static void start(void) {
    char path[1024];
    models_path(path, sizeof path, SMOLLM2_FILE);
    ck_assert_msg(model_open(path, &model, error, sizeof error) == ENGINE_OK, "%s", error);
    ck_assert_int_eq(engine_create(&(struct engine_options){.threads = 2}, &engine, error, sizeof error), ENGINE_OK);
    facts = load("tests/golden/smollm2/probes.json");
    heads = (size_t)model_describe(model)->heads;
    all = (size_t)model_describe(model)->layers * heads;
}

static void finish(void) {
    json_decref(facts);
    engine_destroy(engine);
    model_release(model);
}

static void raise_to(double *worst, double difference) {
    if (!(difference <= *worst)) *worst = difference; /* a NaN, too */
}

static void check_ids(enum probe probe, const json_t *want) {
    int32_t *ids;
    size_t n;
    ck_assert_int_eq(probe_step_ids(model, probe, 0, &ids, &n, error, sizeof error), ENGINE_OK);
    ck_assert_uint_eq(n, json_array_size(want));
    for (size_t i = 0; i < n; i++) ck_assert_int_eq(ids[i], json_integer_value(json_array_get(want, i)));
    free(ids);
}

/* One step of a probe, as if it were all of it. */
static struct atlas_head *one_step(enum probe probe, double losses[2]) {
    struct probe_plan plan;
    const double *values[PROBES] = {0};
    ck_assert_int_eq(probe_plan(model, probe, &plan, error, sizeof error), ENGINE_OK);
    double *found = calloc(plan.values, sizeof *found);
    ck_assert_msg(probe_step(engine, model, probe, 0, NULL, NULL, found, error, sizeof error) == ENGINE_OK, "%s", error);
    struct atlas_head *atlas = calloc(all, sizeof *atlas);
    values[probe] = found;
    atlas_heads(model, values, atlas);
    if (losses) atlas_losses(found, losses);
    free(found);
    return atlas;
}

static double worst_score(const struct atlas_head *atlas, int score, const json_t *want) {
    double worst = 0;
    for (size_t h = 0; h < all; h++)
        raise_to(&worst, fabs(atlas[h].score[score] - json_number_value(json_array_get(json_array_get(want, h / heads), h % heads))));
    return worst;
}

static void check(const char *what, double worst, double allowed) {
    printf("  %-28s %.1e (allowed %.0e)\n", what, worst, allowed);
    fflush(stdout);
    ck_assert(worst <= allowed);
}

START_TEST(repeat) {
    const json_t *want = json_object_get(facts, "repeat");
    double losses[2];
    check_ids(PROBE_REPEAT, json_object_get(want, "ids"));
    struct atlas_head *atlas = one_step(PROBE_REPEAT, losses);
    check("repeat.previous", worst_score(atlas, SCORE_REPEAT_PREVIOUS, json_object_get(want, "previous")), 1e-5);
    check("repeat.duplicate", worst_score(atlas, SCORE_REPEAT_DUPLICATE, json_object_get(want, "duplicate")), 1e-5);
    check("repeat.induction", worst_score(atlas, SCORE_REPEAT_INDUCTION, json_object_get(want, "induction")), 1e-5);
    for (size_t i = 0; i < 2; i++)
        check("loss", fabs(losses[i] - json_number_value(json_array_get(json_object_get(want, "losses"), i))), 1e-4);
    free(atlas);
}
END_TEST

/* Where two weights or two logits nearly tie, another token may win: a rank of one query is a hundredth. */
START_TEST(random_tokens) {
    const json_t *want = json_object_get(facts, "random");
    check_ids(PROBE_RANDOM, json_object_get(want, "ids"));
    struct atlas_head *atlas = one_step(PROBE_RANDOM, NULL);
    check("random.sink_mass", worst_score(atlas, SCORE_RANDOM_SINK_MASS, json_object_get(want, "sink_mass")), 1e-5);
    check("random.copying", worst_score(atlas, SCORE_RANDOM_COPYING, json_object_get(want, "copying")), 1e-3);
    free(atlas);
}
END_TEST

static struct activations *run(const int32_t *ids, size_t n, uint32_t *excluded, size_t *excluded_count) {
    struct activations *activations = NULL;
    uint32_t *sinks = NULL;
    size_t sink_count;
    *excluded_count = analysis_default_exclusions(model, ids, n, excluded);
    struct analysis_input input = {.model = model, .ids = ids, .n = n, .excluded = excluded, .excluded_count = *excluded_count};
    ck_assert_int_eq(analysis_run(engine, &input, NULL, NULL, &sinks, &sink_count, &activations, error, sizeof error), ENGINE_OK);
    free(sinks);
    return activations;
}

static void compare_lift(const struct head_lifts *found, int lift, const json_t *want) {
    static const char *const keys[] = {"observed", "expected", "lift", "low", "high"};
    double worst = 0;
    for (size_t h = 0; h < all; h++) {
        const struct lift_result *r = &found[h].lift[lift];
        const double got[] = {r->observed, r->expected, r->lift, r->low, r->high};
        ck_assert_uint_eq(r->rows, (size_t)json_integer_value(json_object_get(want, "rows")));
        raise_to(&worst, fabs(r->uniform - json_number_value(json_object_get(want, "uniform"))));
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            raise_to(&worst, fabs(got[k] - json_number_value(json_array_get(json_object_get(want, keys[k]), h))));
    }
    check(lift_names[lift], worst, 1e-5);
}

START_TEST(lifts) {
    json_t *text = load("tests/golden/smollm2/code.json"), *array = json_object_get(text, "ids");
    size_t n = json_array_size(array), excluded_count;
    int32_t *ids = malloc(n * sizeof *ids);
    uint32_t *excluded = malloc(n * sizeof *excluded);
    float *weight = malloc(all * n * sizeof *weight);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
    for (size_t h = 0; h < all; h++)
        for (size_t d = 0; d < n; d++) weight[h * n + n - 1 - d] = (float)(1 / (1 + (double)d));
    struct offset_profile profile = {.reach = n, .offsets = n, .weight = weight};
    struct activations *activations = run(ids, n, excluded, &excluded_count);
    struct lifts *steps = NULL;
    ck_assert_int_eq(lifts_create(engine, activations, excluded, excluded_count, &profile, LIFT_RESAMPLES, &steps, error, sizeof error),
                     ENGINE_OK);
    while (lifts_step(steps, engine)) continue;
    for (int lift = 0; lift < LIFTS; lift++)
        if (lift != LIFT_NEXT) compare_lift(lifts_heads(steps), lift, json_object_get(json_object_get(facts, "lifts"), lift_names[lift]));
    struct head_lifts *at_once = calloc(all, sizeof *at_once);
    ck_assert_int_eq(lifts_compute(engine, activations, excluded, excluded_count, &profile, NULL, NULL, at_once, error, sizeof error),
                     ENGINE_OK);
    for (size_t h = 0; h < all; h++)
        for (int lift = 0; lift < LIFTS; lift++)
            ck_assert(lift == LIFT_NEXT || at_once[h].lift[lift].lift == lifts_heads(steps)[h].lift[lift].lift);
    free(at_once);
    lifts_destroy(steps);
    activations_destroy(activations);
    free(weight);
    free(ids);
    free(excluded);
    json_decref(text);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("lifts");
    TCase *c = tcase_create("reference");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, start, finish);
    tcase_add_test(c, repeat);
    tcase_add_test(c, random_tokens);
    tcase_add_test(c, lifts);
    suite_add_tcase(s, c);
    return s;
}

#include "tests/check_main.h"
