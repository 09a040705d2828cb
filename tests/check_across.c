/* check_across.c: questions across heads and two texts, where no server is needed to ask them: every allocation failing, bad input,
 * expectations from an offset profile, alignments and divergences against their definitions. The numbers themselves: test_across.py. */
#include <check.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "engine/model.h"
#include "engine/reading.h"
#include "tests/failing_malloc.h"
#include "tests/tiny_model.h"

enum { N = 60, LAYERS = 2, HEADS = 4 };

static struct engine *engine;
static struct model *model;
static struct activations *text, *other;
static int32_t ids[N], other_ids[N];
static const uint32_t excluded[] = {0, 7, 20, 21};
static char error[256];

static struct activations *run(const int32_t *of) {
    uint32_t *sinks = NULL;
    size_t count = 0;
    struct activations *made = NULL;
    ck_assert_int_eq(analysis_run(engine, &(struct analysis_input){.model = model, .ids = of, .n = N}, NULL, NULL, &sinks, &count, &made,
                                  error, sizeof error), ENGINE_OK);
    free(sinks);
    return made;
}

static void set_up(void) {
    char path[] = "/tmp/check_across.XXXXXX";
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
    ck_assert(tiny_model_write(path, NULL));
    ck_assert_int_eq(model_open(path, &model, error, sizeof error), ENGINE_OK);
    unlink(path);
    ck_assert_int_eq(engine_create(&(struct engine_options){.threads = 1}, &engine, error, sizeof error), ENGINE_OK);
    for (int i = 0; i < N; i++) {
        ids[i] = i * 7 % 50;
        other_ids[i] = i < 30 ? ids[i] : ids[i - 3];
    }
    text = run(ids);
    other = run(other_ids);
}

static void tear_down(void) {
    activations_destroy(text);
    activations_destroy(other);
    engine_destroy(engine);
    model_release(model);
}

static struct head_address head(int layer, int number) {
    return (struct head_address){SECTION_DECODER, layer, number};
}

/* ---- failures (no assertions within the questions: Check allocates, too) -------------------------------------------- */

static const struct parsed_word words[] = {{1, 3, 0, 1, 0}, {3, 4, 0, 1, 1}, {4, 6, 0, 1, 0}, {6, 7, 1, 4, 1}, {7, 9, 1, 4, 1}};

static enum engine_status ask_between(void) {
    static double profile[2 * N - 1];
    struct between_sums sums = {0};
    return attention_between(engine, text, head(0, 1), &(struct rectangle){3, 50, 2, 40}, excluded, 4, profile, &sums, error, sizeof error);
}

static enum engine_status ask_between_heads(void) {
    static float weight[LAYERS * HEADS * N];
    const struct offset_profile profile = {.weight = weight, .reach = N, .offsets = N};
    struct between_sums sums[3] = {0};
    return attention_between_heads(engine, text, SECTION_DECODER, 2, 3, &(struct rectangle){3, 50, 2, 40}, excluded, 4, &profile, sums, error,
                                   sizeof error);
}

static enum engine_status ask_dilution(void) {
    struct dilution_sums sums = {0};
    return attention_dilution(engine, text, head(1, 1), 10, 20, excluded, 4, &sums, error, sizeof error);
}

static enum engine_status ask_similarity(enum similarity_kind kind) {
    struct similarity *similarity = NULL;
    struct similarity_map map;
    size_t heads = 0;
    bool done = false;
    enum engine_status status = similarity_create(text, SECTION_DECODER, kind, excluded, 4, &similarity, error, sizeof error);
    while (status == ENGINE_OK && !done) status = similarity_step(engine, similarity, &done, error, sizeof error);
    if (status == ENGINE_OK) {
        const float *matrix = similarity_matrix(similarity, &heads);
        status = similarity_map_make(matrix, heads, kind, &map, error, sizeof error);
        if (status == ENGINE_OK) similarity_map_clear(&map);
    }
    similarity_destroy(similarity);
    return status;
}

static enum engine_status ask_js(void) {
    return ask_similarity(SIMILARITY_JS);
}

static enum engine_status ask_cka(void) {
    return ask_similarity(SIMILARITY_CKA);
}

static enum engine_status ask_compare(void) {
    static float difference[N * N];
    struct token_pair *pairs = NULL;
    size_t count = 0;
    double change = 0;
    struct text_side a = {text, excluded, 4}, b = {other, excluded, 1};
    enum engine_status status = tokens_align(ids, N, other_ids, N, &pairs, &count, error, sizeof error);
    if (status != ENGINE_OK) return status;
    status = attention_change(engine, &a, &b, head(1, 3), pairs, count, 1, count, &change, error, sizeof error);
    if (status == ENGINE_OK)
        status = attention_difference(engine, text, other, head(0, 0), pairs, count, &(struct rectangle){0, count, 0, count}, difference, error,
                                      sizeof error);
    free(pairs);
    return status;
}

static enum engine_status ask_syntax(void) {
    struct syntax_baseline baselines[4];
    uint32_t right[4] = {0};
    enum engine_status status = syntax_baselines(text, words, 5, 2, baselines, error, sizeof error);
    return status == ENGINE_OK ? syntax_right(engine, text, head(0, 2), words, 0, 5, right, error, sizeof error) : status;
}

static enum engine_status (*const questions[])(void) = {ask_between, ask_between_heads, ask_dilution, ask_js, ask_cka, ask_compare, ask_syntax};

START_TEST(every_allocation_fails_in_turn) {
    long turn = 0;
    for (;; turn++) {
        failing_malloc_after(turn);
        enum engine_status status = questions[_i]();
        bool failed = failing_malloc_stop();
        ck_assert_msg(status == (failed ? ENGINE_NO_MEMORY : ENGINE_OK), "question %d, allocation %ld: %d, %s", _i, turn, status, error);
        if (!failed) break;
    }
    ck_assert_int_gt(turn, 0);
}
END_TEST

START_TEST(bad_input_is_refused) {
    static const uint32_t descending[] = {5, 4}, outside[] = {N};
    static const struct token_pair crossed[] = {{3, 3}, {2, 4}}, beyond[] = {{0, N}};
    struct between_sums sums = {0};
    struct dilution_sums dilution = {0};
    struct similarity *similarity = NULL;
    struct parsed_word wrong[5];
    struct syntax_baseline baselines[4];
    double change = 0;
    struct text_side side = {text, NULL, 0};
    const struct rectangle fine = {3, 5, 2, 4}, far = {3, 5, 2, N + 1}, empty = {3, 5, 4, 4};
#define REFUSED(call) ck_assert_int_eq(call, ENGINE_INVALID)
    REFUSED(attention_between_heads(engine, text, SECTION_DECODER, 0, LAYERS * HEADS + 1, &fine, NULL, 0, NULL, &sums, error, sizeof error));
    REFUSED(attention_between_heads(engine, text, SECTION_DECODER, LAYERS * HEADS + 1, 0, &fine, NULL, 0, NULL, &sums, error, sizeof error));
    REFUSED(attention_between(engine, text, head(2, 0), &fine, NULL, 0, NULL, &sums, error, sizeof error));
    REFUSED(attention_between(engine, text, head(0, HEADS), &fine, NULL, 0, NULL, &sums, error, sizeof error));
    REFUSED(attention_between(engine, text, (struct head_address){SECTION_CROSS, 0, 0}, &fine, NULL, 0, NULL, &sums, error, sizeof error));
    REFUSED(attention_between(engine, text, head(0, 0), &far, NULL, 0, NULL, &sums, error, sizeof error));
    REFUSED(attention_between(engine, text, head(0, 0), &empty, NULL, 0, NULL, &sums, error, sizeof error));
    REFUSED(attention_between(engine, text, head(0, 0), &fine, descending, 2, NULL, &sums, error, sizeof error));
    REFUSED(attention_dilution(engine, text, head(0, 0), 0, 49, NULL, 0, &dilution, error, sizeof error));
    REFUSED(attention_dilution(engine, text, head(0, 0), N, 1, NULL, 0, &dilution, error, sizeof error));
    REFUSED(similarity_create(text, SECTION_DECODER, SIMILARITY_JS, outside, 1, &similarity, error, sizeof error));
    REFUSED(similarity_create(text, SECTION_ENCODER, SIMILARITY_JS, NULL, 0, &similarity, error, sizeof error));
    REFUSED(attention_change(engine, &side, &side, head(0, 0), crossed, 2, 0, 2, &change, error, sizeof error));
    REFUSED(attention_change(engine, &side, &side, head(0, 0), beyond, 1, 0, 1, &change, error, sizeof error));
    REFUSED(attention_change(engine, &side, &side, head(0, 0), crossed, 1, 0, 2, &change, error, sizeof error));
    for (size_t i = 0; i < 5; i++) {
        memcpy(wrong, words, sizeof wrong);
        if (i == 0) wrong[2].token1 = N + 1;
        if (i == 1) wrong[2].head = 5;
        if (i == 2) wrong[2].head = 4; /* of another sentence */
        if (i == 3) wrong[2].relation = 2;
        if (i == 4) wrong[2].token0 = wrong[2].token1;
        REFUSED(syntax_baselines(text, wrong, 5, 2, baselines, error, sizeof error));
    }
}
END_TEST

/* ---- definitions ------------------------------------------------------------------------------------------------- */

/* Each row's weight outside S, spread by the profile over the visible keys outside S. */
START_TEST(expectations_follow_the_profile) {
    double profile[2 * N - 1];
    float weights[N * N];
    for (int d = 0; d < 2 * N - 1; d++) profile[d] = (d * 37 % 11) / 100.0 + (d == N ? 0.5 : 0); /* N: the previous token */
    const struct rectangle cut = {2, 55, 5, 31};
    bool kept[N];
    for (size_t j = 0; j < N; j++) kept[j] = j != 0 && j != 7 && j != 20 && j != 21;
    for (int h = 0; h < LAYERS * HEADS; h++) {
        struct between_sums sums = {0};
        double expected = 0, observed = 0;
        ck_assert_int_eq(attention_between(engine, text, head(h / HEADS, h % HEADS), &cut, excluded, 4, profile, &sums, error, sizeof error),
                         ENGINE_OK);
        attention_read(engine, text, head(h / HEADS, h % HEADS), &(struct rectangle){0, N, 0, N}, weights, error, sizeof error);
        for (size_t i = cut.query0; i < cut.query1; i++) {
            double outside = 0, here = 0, all = 0;
            for (size_t j = 0; j <= i; j++) {
                if (!kept[j]) continue;
                outside += (double)weights[i * N + j];
                all += profile[N - 1 + i - j];
                if (j < cut.key0 || j >= cut.key1) continue;
                here += profile[N - 1 + i - j];
                observed += (double)weights[i * N + j];
            }
            if (all > 0) expected += outside * here / all;
        }
        ck_assert_double_eq_tol(sums.expected, expected, 1e-5);
        ck_assert_double_eq_tol(sums.kept, observed, 1e-5);
    }
}
END_TEST

/* Side by side on several threads or one after the other: the same numbers, with a profile and without. */
START_TEST(heads_side_by_side) {
    static float weight[LAYERS * HEADS * N];
    const struct offset_profile profile = {.weight = weight, .reach = N, .offsets = N};
    const struct rectangle cut = {2, 55, 5, 31};
    struct engine *team;
    ck_assert_int_eq(engine_create(&(struct engine_options){.threads = 3}, &team, error, sizeof error), ENGINE_OK);
    for (int k = 0; k < LAYERS * HEADS * N; k++) weight[k] = (float)(k * 31 % 17) / 160;
    for (int with = 0; with < 2; with++) {
        struct between_sums all[LAYERS * HEADS - 2] = {0};
        ck_assert_int_eq(attention_between_heads(team, text, SECTION_DECODER, 1, LAYERS * HEADS - 2, &cut, excluded, 4,
                                                 with ? &profile : NULL, all, error, sizeof error), ENGINE_OK);
        for (int h = 1; h < LAYERS * HEADS - 1; h++) {
            double extended[2 * N - 1];
            struct between_sums one = {0};
            offset_profile_extend(&profile, (size_t)h, N, N, extended);
            ck_assert_int_eq(attention_between(engine, text, head(h / HEADS, h % HEADS), &cut, excluded, 4, with ? extended : NULL, &one, error,
                                               sizeof error), ENGINE_OK);
            ck_assert_double_eq(all[h - 1].weight, one.weight);
            ck_assert_double_eq(all[h - 1].uniform, one.uniform);
            ck_assert_double_eq(all[h - 1].kept, one.kept);
            ck_assert_double_eq(all[h - 1].expected, one.expected);
            ck_assert_uint_eq(all[h - 1].rows, one.rows);
            ck_assert(one.weight > 0 && (with ? one.expected > 0 : one.expected == 0));
        }
    }
    engine_destroy(team);
}
END_TEST

START_TEST(profiles_go_on_beyond_their_reach) {
    float weight[2 * 79];
    double to[199], tail = 0, tail_ahead = 0;
    for (int k = 0; k < 2 * 79; k++) weight[k] = (float)(k * 31 % 17) / 16;
    const float *zero = weight + 79 + 39; /* of the second head: reach 40, both ways */
    for (int k = 0; k < 32; k++) tail += (double)zero[-(39 - k)] / 32, tail_ahead += (double)zero[39 - k] / 32;
    offset_profile_extend(&(struct offset_profile){40, 79, weight}, 1, 100, 100, to);
    for (int d = -99; d <= 99; d++)
        ck_assert_double_eq_tol(to[d + 99], d <= -40 ? tail_ahead : d >= 40 ? tail : (double)zero[-d], 1e-12);
    offset_profile_extend(&(struct offset_profile){40, 40, weight}, 1, 100, 100, to); /* causal: nothing ahead */
    for (int d = -99; d < 0; d++) ck_assert(to[d + 99] == 0.0);
    for (int d = 0; d < 40; d++) ck_assert_double_eq(to[d + 99], (double)weight[40 + 39 - d]);
}
END_TEST

static size_t common_length(const int32_t *a, size_t a_n, const int32_t *b, size_t b_n) {
    static size_t best[301][301];
    for (size_t i = 0; i < a_n; i++)
        for (size_t j = 0; j < b_n; j++)
            best[i + 1][j + 1] = a[i] == b[j] ? best[i][j] + 1 : best[i][j + 1] > best[i + 1][j] ? best[i][j + 1] : best[i + 1][j];
    return a_n > 0 && b_n > 0 ? best[a_n][b_n] : 0;
}

START_TEST(alignments_are_longest) {
    int32_t a[300], b[300];
    uint32_t state = 1;
    for (int round = 0; round < 60; round++) {
        size_t a_n = (size_t)(round * 53 % 300), b_n = (size_t)(round * 97 % 300), count = 0;
        int kinds = 2 + round % 7 * 9;
        for (size_t i = 0; i < 300; i++) {
            a[i] = (int32_t)((state = state * 1664525u + 1013904223u) >> 16) % kinds;
            b[i] = (int32_t)((state = state * 1664525u + 1013904223u) >> 16) % kinds;
        }
        struct token_pair *pairs = NULL;
        ck_assert_int_eq(tokens_align(a, a_n, b, b_n, &pairs, &count, error, sizeof error), ENGINE_OK);
        ck_assert_uint_eq(count, common_length(a, a_n, b, b_n));
        for (size_t k = 0; k < count; k++) {
            ck_assert(pairs[k].a < a_n && pairs[k].b < b_n && a[pairs[k].a] == b[pairs[k].b]);
            ck_assert(k == 0 || (pairs[k].a > pairs[k - 1].a && pairs[k].b > pairs[k - 1].b));
        }
        free(pairs);
    }
}
END_TEST

START_TEST(texts_too_long_to_be_aligned) {
    enum { LONG = 40000 };
    int32_t *a = malloc(LONG * sizeof *a), *b = malloc(LONG * sizeof *b);
    struct token_pair *pairs = NULL;
    size_t count = 0;
    for (int32_t i = 0; i < LONG; i++) a[i] = i, b[i] = LONG - i;
    ck_assert_int_eq(tokens_align(a, LONG, b, LONG, &pairs, &count, error, sizeof error), ENGINE_TOO_LARGE);
    for (int32_t i = 0; i < LONG; i++) b[i] = i == 777 ? -1 : i; /* long, but alike at both ends */
    ck_assert_int_eq(tokens_align(a, LONG, b, LONG, &pairs, &count, error, sizeof error), ENGINE_OK);
    ck_assert_uint_eq(count, LONG - 1);
    free(pairs);
    free(a);
    free(b);
}
END_TEST

/* All vector paths against the definition in float64, from rows that are nearly the same to rows that share nothing. */
START_TEST(divergences) {
    const struct kernels *paths[] = {&kernels_plain, kernels_avx2(), kernels_avx512()};
    enum { WIDE = 1040 };
    static float p[WIDE], q[WIDE];
    double worst = 0;
    for (int round = 0; round < 24; round++) {
        double p_sum = 0, q_sum = 0, want = 0;
        for (int j = 0; j < WIDE; j++) {
            double x = exp(-(double)((j * 7919 + round) % 97) / 6), y = exp(-(double)((j * 104729 + 3 * round) % 89) / 5);
            p[j] = (float)(j % 5 == 1 ? 0 : x);
            q[j] = (float)(round < 12 ? (double)p[j] * (1 + y * pow(10, -round / 2.0)) : j % 3 == 0 || round > 20 ? (p[j] > 0 ? 0 : y) : y);
            p_sum += (double)p[j];
            q_sum += (double)q[j];
        }
        for (int j = 0; j < WIDE; j++) {
            p[j] = (float)((double)p[j] / p_sum);
            q[j] = (float)((double)q[j] / q_sum);
            double m = ((double)p[j] + (double)q[j]) / 2;
            if (p[j] > 0) want += (double)p[j] * log((double)p[j] / m) / 2;
            if (q[j] > 0) want += (double)q[j] * log((double)q[j] / m) / 2;
        }
        for (int k = 0; k < 3; k++)
            if (paths[k]) worst = fmax(worst, fabs(sqrt(paths[k]->divergence(p, q, WIDE)) - sqrt(fmax(want, 0))));
    }
    printf("across: largest difference of a Jensen-Shannon distance %.2g\n", worst);
    ck_assert_double_le(worst, 1e-6);
    ck_assert(kernels_plain.divergence(p, p, WIDE) == 0.0);
}
END_TEST

START_TEST(samples) {
    uint32_t place[1024];
    ck_assert_uint_eq(reading_sample(1, 32, 32, 1, place), 32);
    ck_assert(place[0] == 1 && place[31] == 32);
    ck_assert_uint_eq(reading_sample(1, 8191, 32, 1, place), 32);
    ck_assert(place[0] == 1 && place[31] == 8191);
    ck_assert_uint_eq(reading_sample(0, 1025, 1024, 16, place), 1024);
    ck_assert_uint_eq(reading_sample(0, 8192, 1024, 16, place), 1024);
    ck_assert(place[0] == 0 && place[1023] == 8191);
    for (size_t k = 1; k < 1024; k++) ck_assert_uint_gt(place[k], place[k - 1]);
    ck_assert_uint_eq(reading_sample(0, 100, 16, 16, place), 16);
    ck_assert(place[15] < 100 && place[0] + 15 == place[15]);
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("across");
    TCase *tests = tcase_create("across");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, every_allocation_fails_in_turn, 0, (int)(sizeof questions / sizeof questions[0]));
    tcase_add_test(tests, bad_input_is_refused);
    tcase_add_test(tests, expectations_follow_the_profile);
    tcase_add_test(tests, heads_side_by_side);
    suite_add_tcase(suite, tests);
    TCase *plain = tcase_create("definitions");
    tcase_set_timeout(plain, 60);
    tcase_add_test(plain, alignments_are_longest);
    tcase_add_test(plain, texts_too_long_to_be_aligned);
    tcase_add_test(plain, divergences);
    tcase_add_test(plain, profiles_go_on_beyond_their_reach);
    tcase_add_test(plain, samples);
    suite_add_tcase(suite, plain);
    return suite;
}

#include "tests/check_main.h"
