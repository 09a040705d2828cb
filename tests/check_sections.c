/*
 * check_sections.c: what goes wrong in a run over an encoder and a decoder: every allocation failing in turn, cancelling at every
 * layer and every breath; and what runs of all kinds of models take, against what they are said to take at most.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "engine/model.h"
#include "tests/failing_malloc.h"
#include "tests/models.h"

enum { SOURCE = 31, TARGET = 22, LONG_SOURCE = 190, LONG_TARGET = 150 };

#ifdef __SANITIZE_ADDRESS__
enum { STRIDE = 3 }; /* every third breath */
#else
enum { STRIDE = 1 };
#endif

static struct model *open_from(const char *zoo, const char *name) {
    char file[256], path[1024], error[512] = "";
    struct model *model = NULL;
    snprintf(file, sizeof file, "tests/golden/%s/%s", zoo, name);
    source_path(path, sizeof path, file);
    ck_assert_msg(model_open(path, &model, error, sizeof error) == ENGINE_OK, "%s: %s", name, error);
    return model;
}

static struct engine *new_engine(void) {
    char error[256];
    struct engine *engine = NULL;
    ck_assert_int_eq(engine_create(&(struct engine_options){.threads = 2}, &engine, error, sizeof error), ENGINE_OK);
    return engine;
}

static struct analysis_input input_of(const struct model *model, const int32_t *ids, size_t n, size_t target_n) {
    struct analysis_input input = {.model = model, .ids = ids, .n = n};
    if (model->encoder) {
        input.target_ids = ids;
        input.target_n = target_n;
    }
    return input;
}

static void fill(int32_t *ids, size_t n) {
    for (size_t i = 0; i < n; i++) ids[i] = 3 + (int32_t)(i * 7 % 37);
}

/* What a run returned; nothing is left of one that failed. */
struct outcome {
    enum engine_status status;
    uint32_t *sinks;
    size_t sink_count;
    struct activations *activations;
    char error[256];
};

static void run(struct engine *engine, const struct analysis_input *input, const struct analysis_observer *observer, struct outcome *out) {
    *out = (struct outcome){.status = ENGINE_IO};
    out->status = analysis_run(engine, input, NULL, observer, &out->sinks, &out->sink_count, &out->activations, out->error, sizeof out->error);
    if (out->status == ENGINE_OK) return;
    ck_assert_ptr_null(out->activations);
    ck_assert_ptr_null(out->sinks);
    ck_assert_int_eq(atomic_load(&input->model->references), 1);
    ck_assert_int_eq(atomic_load(&input->model->encoder->references), 1);
}

static void forget(struct outcome *out) {
    free(out->sinks);
    activations_destroy(out->activations);
}

/* ---- memory that there is not ------------------------------------------------------------------------------------------ */

static const char *const both[] = {"bart", "t5_long"};

START_TEST(every_allocation_fails_in_turn) {
    struct engine *engine = new_engine();
    int32_t ids[SOURCE];
    fill(ids, SOURCE);
    long turn = 0;
    struct outcome out;
    struct model *model = open_from("zoo_shapes", both[_i]);
    struct analysis_input input = input_of(model, ids, SOURCE, TARGET);
    for (;; turn++) {
        failing_malloc_after(turn);
        run(engine, &input, NULL, &out);
        if (!failing_malloc_stop()) break;
        ck_assert_int_eq(out.status, ENGINE_NO_MEMORY);
    }
    ck_assert_int_eq(out.status, ENGINE_OK);
    ck_assert_int_gt(turn, 40);
    float row[SOURCE];
    for (enum section section = 0; section < SECTIONS; section++) {
        failing_malloc_after(0);
        ck_assert_int_eq(attention_read(engine, out.activations, (struct head_address){section, 0, 1}, &(struct rectangle){5, 6, 0, TARGET}, row,
                                        out.error, sizeof out.error), ENGINE_NO_MEMORY);
        failing_malloc_stop();
    }
    forget(&out);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* ---- cancelling -------------------------------------------------------------------------------------------------------- */

struct counted {
    int layers, breaths, stop_layer, stop_breath; /* -1: never */
};

static bool count_layer(void *context, const struct layer_result *result) {
    (void)result;
    struct counted *counted = context;
    return counted->layers++ != counted->stop_layer;
}

static bool count_breath(void *context) {
    struct counted *counted = context;
    return counted->breaths++ != counted->stop_breath;
}

START_TEST(cancel_anywhere) {
    struct model *model = open_from("zoo_shapes", both[_i]);
    struct engine *engine = new_engine();
    int32_t ids[SOURCE];
    fill(ids, SOURCE);
    struct analysis_input input = input_of(model, ids, SOURCE, TARGET);
    int layers = model->info.encoder_layers + 2 * model->info.layers;
    struct outcome out;
    for (int stop = 0; stop < layers; stop++) {
        struct counted counted = {.stop_layer = stop, .stop_breath = -1};
        run(engine, &input, &(struct analysis_observer){&counted, count_layer, count_breath}, &out);
        ck_assert_int_eq(out.status, ENGINE_CANCELLED);
        ck_assert_int_eq(counted.layers, stop + 1);
    }
    for (int stop = 0;; stop += STRIDE) { /* breaths come by the clock: how many there are differs */
        struct counted counted = {.stop_layer = -1, .stop_breath = stop};
        run(engine, &input, &(struct analysis_observer){&counted, count_layer, count_breath}, &out);
        if (counted.breaths <= stop) break;
        ck_assert_int_eq(out.status, ENGINE_CANCELLED);
        ck_assert_int_eq(counted.breaths, stop + 1);
    }
    ck_assert_int_eq(out.status, ENGINE_OK); /* nothing is left over from those that were cancelled */
    forget(&out);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* ---- how much ---------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *zoo, *name;
    size_t n, target_n;
} sizes[] = {
    {"zoo_shapes", "bart", SOURCE, TARGET},        {"zoo_shapes", "bart", TARGET, SOURCE}, {"zoo_shapes", "t5_long", LONG_SOURCE, LONG_TARGET},
    {"zoo_shapes", "t5_long", 1, LONG_SOURCE},     {"zoo_shapes", "t5_long", LONG_SOURCE, 1}, {"zoo_shapes", "mt5", LONG_SOURCE, LONG_SOURCE},
    {"zoo_shapes", "marian", SOURCE, SOURCE},      {"zoo_shapes", "gpt_oss", 70, 0},        {"zoo_shapes", "bert_types", 70, 0},
    {"zoo_shapes", "deberta_v2", 70, 0},           {"zoo_shapes", "gemma3_text", 70, 0},    {"zoo_shapes", "bloom", LONG_SOURCE, 0},
    {"zoo", "mixtral", 40, 0},                     {"zoo", "llama", 40, 0},
};

START_TEST(estimate_is_an_upper_bound) {
    struct engine *engine = new_engine();
    int32_t ids[LONG_SOURCE];
    fill(ids, LONG_SOURCE);
    struct model *model = open_from(sizes[_i].zoo, sizes[_i].name);
    struct analysis_input input = input_of(model, ids, sizes[_i].n, sizes[_i].target_n);
    struct analysis_estimate estimate;
    struct outcome out;
    ck_assert_int_eq(analysis_estimate(engine, &input, &estimate, out.error, sizeof out.error), ENGINE_OK);
    ck_assert_msg(estimate.bytes < 20 << 20, "%s: blocks may come from mmap", sizes[_i].name);
    failing_malloc_count();
    run(engine, &input, NULL, &out);
    size_t peak = failing_malloc_peak();
    ck_assert_msg(out.status == ENGINE_OK, "%s: %s", sizes[_i].name, out.error);
    printf("  %-12s %3zu %3zu: %8zu bytes of at most %8llu (%.0f %%), %8llu kept\n", sizes[_i].name, sizes[_i].n, sizes[_i].target_n, peak,
           (unsigned long long)estimate.bytes, 100 * (double)peak / (double)estimate.bytes, (unsigned long long)activations_bytes(out.activations));
    fflush(stdout);
    ck_assert_uint_le(peak, estimate.bytes);
    ck_assert_uint_le(activations_bytes(out.activations), estimate.bytes);
    ck_assert_uint_gt(peak, activations_bytes(out.activations));
    forget(&out);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("sections");
    TCase *c = tcase_create("faults");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, every_allocation_fails_in_turn, 0, 2);
    tcase_add_loop_test(c, cancel_anywhere, 0, 2);
    tcase_add_loop_test(c, estimate_is_an_upper_bound, 0, (int)(sizeof sizes / sizeof sizes[0]));
    suite_add_tcase(s, c);
    return s;
}

#include "tests/check_main.h"
