/*
 * check_statistics.c: attention, statistics, thumbnails, rectangles, tiles and series of small random heads against the
 * definitions in float64, on every vector path, at every awkward length.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/attention.h"
#include "engine/engine_internal.h"
#include "tests/naive_statistics.h"

static const struct kernels *path(int i) {
    return i == 0 ? &kernels_plain : i == 1 ? kernels_avx2() : kernels_avx512();
}

static float uniform(void) {
    return (float)rand() / (float)RAND_MAX * 2 - 1;
}

/* A model that is nothing but its shape. */
static void shape(struct model *model, int head_dim) {
    memset(model, 0, sizeof *model);
    model->config = (struct model_config){.layers = 1, .heads = 4, .kv_heads = 2, .head_dim = head_dim, .d_model = 4 * head_dim,
                                          .d_ff = 32, .vocabulary = 100, .context = 8192, .causal = true,
                                          .attention_scale = 1.0f / sqrtf((float)head_dim)};
    model->references = 1;
}

struct example {
    struct model model;
    struct activations *activations;
    int32_t *ids;
    size_t n;
    float *q, *k, *v; /* [n, 4 head_dim], [n, 2 head_dim] */
    double *a;        /* [n, n] of one head */
    uint32_t *excluded;
    size_t excluded_count;
};

/* spread: how peaked the rows are. vocabulary 1: one token all along; 0: no token twice. */
static void example_init(struct example *x, size_t n, int head_dim, float spread, int vocabulary, int exclusions) {
    shape(&x->model, head_dim);
    size_t q_width = 4 * (size_t)head_dim, kv_width = 2 * (size_t)head_dim;
    x->n = n;
    x->ids = malloc(n * sizeof *x->ids);
    x->q = malloc(n * q_width * sizeof *x->q);
    x->k = malloc(n * kv_width * sizeof *x->k);
    x->v = malloc(n * kv_width * sizeof *x->v);
    x->a = malloc(n * n * sizeof *x->a);
    x->excluded = malloc(n * sizeof *x->excluded);
    x->excluded_count = 0;
    for (size_t i = 0; i < n; i++) {
        x->ids[i] = vocabulary ? rand() % vocabulary : (int32_t)i;
        bool out = exclusions == 1 ? i == 0 : exclusions == 2 ? i % 3 != 1 : exclusions == 3;
        if (out) x->excluded[x->excluded_count++] = (uint32_t)i;
    }
    for (size_t i = 0; i < n * q_width; i++) x->q[i] = uniform() * spread;
    for (size_t i = 0; i < n * kv_width; i++) x->k[i] = uniform() * spread, x->v[i] = uniform();
    struct reserve *reserve = reserve_create(0);
    ck_assert_ptr_nonnull(reserve);
    x->activations = activations_create(&x->model, model_section(&x->model), x->ids, n, n, reserve);
    ck_assert_ptr_nonnull(x->activations);
    reserve_release(reserve); /* the activations hold it */
    for (size_t i = 0; i < n; i++) {
        memcpy(x->activations->layer[0].q + i * x->activations->q_stride, x->q + i * q_width, q_width * sizeof(float));
        activations_store_row(x->activations, 0, i, x->k + i * kv_width, x->v + i * kv_width);
    }
    activations_clear_tail(x->activations, 0);
}

static void example_finish(struct example *x) {
    activations_destroy(x->activations);
    free(x->ids);
    free(x->q);
    free(x->k);
    free(x->v);
    free(x->a);
    free(x->excluded);
}

/* x->a = softmax(q k^T / sqrt(head_dim)) of a head, from the definition. */
static void naive_map(struct example *x, size_t head) {
    size_t dim = (size_t)x->model.config.head_dim, n = x->n;
    for (size_t i = 0; i < n; i++) {
        double max = -INFINITY, sum = 0, *row = x->a + i * n;
        for (size_t j = 0; j < n; j++) {
            double score = 0;
            for (size_t d = 0; d < dim; d++)
                score += (double)x->q[i * 4 * dim + head * dim + d] * (double)x->k[j * 2 * dim + head / 2 * dim + d];
            row[j] = score * (double)x->model.config.attention_scale;
            if (j <= i && row[j] > max) max = row[j];
        }
        for (size_t j = 0; j < n; j++) {
            row[j] = j <= i ? exp(row[j] - max) : 0;
            sum += row[j];
        }
        for (size_t j = 0; j < n; j++) row[j] /= sum;
    }
}

struct gathered {
    struct head_statistics statistics;
    struct head_sums sums;
    struct thumbnail_sums thumbnails;
    struct text_facts facts;
    void *memory;
};

/* The engine's way, block by block; keeps the softmax sums for reading, and checks the output. */
static void gather(struct example *x, const struct kernels *k, int head, size_t block_rows, struct gathered *g) {
    size_t n = x->n, dim = (size_t)x->model.config.head_dim, width = whole_panels(dim);
    float *memory = aligned_alloc(64, whole_panels(attention_scratch_floats(&x->model, n)) * sizeof *memory);
    struct attention_scratch scratch;
    attention_scratch_init(&scratch, &x->model, n, memory);
    ck_assert(text_facts_init(&g->facts, attention_visibility(&x->model, 0), x->ids, n, x->excluded, x->excluded_count));
    g->memory = malloc(head_sums_size(n, g->facts.offsets));
    head_sums_init(&g->sums, n, g->facts.offsets, g->memory);
    thumbnail_sums_init(&g->thumbnails, &g->facts);
    for (size_t i = 0; i < n; i += block_rows) {
        size_t rows = n - i < block_rows ? n - i : block_rows;
        attention_weights(x->activations, k, 0, head, i, rows, &scratch);
        for (size_t r = 0; r < rows; r++) {
            x->activations->layer[0].row_max[(size_t)head * n + i + r] = scratch.block.sums[r].max;
            x->activations->layer[0].row_inverse[(size_t)head * n + i + r] = scratch.block.inverse[r];
        }
        attention_gather(k, &g->facts, &scratch, &g->sums, &g->thumbnails);
        attention_output(x->activations, k, 0, head, &scratch);
        for (size_t r = 0; r < rows; r++)
            for (size_t d = 0; d < dim; d++) {
                double want = 0;
                for (size_t j = 0; j <= i + r; j++)
                    want += x->a[(i + r) * n + j] * (double)x->v[j * 2 * dim + (size_t)head / 2 * dim + d];
                if (!(fabs(scratch.output[r * width + d] - want) < 2e-5)) ck_abort_msg("%g, not %g", (double)scratch.output[r * width + d], want);
            }
    }
    ck_assert(statistics_finish(&g->facts, &g->sums, &g->statistics));
    free(memory);
}

static void gathered_finish(struct gathered *g) {
    text_facts_finish(&g->facts);
    free(g->memory);
}

static void compare_statistics(const struct head_statistics *got, const struct head_statistics *want) {
    for (int s = 0; s < STAT_COUNT; s++) {
        double g = got->value[s], w = want->value[s];
        bool loose = s == STAT_ENTROPY || s == STAT_ENTROPY_NORMALISED || s == STAT_EFFECTIVE_KEYS || s == STAT_MEAN_DISTANCE;
        double tolerance = s == STAT_OFFSET_R2 ? 1e-4 : loose ? 1e-4 * fmax(1, fabs(w)) : 1e-5;
        if (isnan(w))
            ck_assert_msg(isnan(g), "%s: %g, not null", statistic_fields[s].name, g);
        else
            ck_assert_msg(fabs(g - w) <= tolerance, "%s: %.8g, not %.8g", statistic_fields[s].name, g, w);
    }
}

static void compare_byte(uint8_t got, double want) {
    if (!(fabs(got - 255 * sqrt(want)) <= 0.5 + 0.01)) ck_abort_msg("byte %d, not %g", got, 255 * sqrt(want));
}

static void compare_thumbnails(const struct example *x, const struct gathered *g) {
    uint8_t max[48 * 48], mean[48 * 48], excluded[48];
    double want_max[48 * 48], want_mean[48 * 48], want_excluded[48];
    thumbnail_finish(&g->facts, &g->thumbnails, max, mean, excluded);
    naive_thumbnail(x->a, attention_visibility(&x->model, 0), x->n, x->excluded, x->excluded_count, want_max, want_mean, want_excluded);
    size_t bins = (size_t)g->facts.bins;
    for (size_t i = 0; i < bins * bins; i++) compare_byte(max[i], want_max[i]), compare_byte(mean[i], want_mean[i]);
    for (size_t i = 0; i < bins; i++) compare_byte(excluded[i], want_excluded[i]);
}

static const size_t lengths[] = {1, 2, 3, 15, 16, 17, 47, 48, 49, 95, 97, 200};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

/* 48 variants: dims, vocabularies, exclusions and heads in turn. A build that checks itself takes every fifth, all of these among them. */
#ifdef __SANITIZE_ADDRESS__
enum { VARIANT_STEP = 5 };
#else
enum { VARIANT_STEP = 1 };
#endif

START_TEST(definitions) {
    const struct kernels *k = path(_i / LENGTHS);
    size_t n = lengths[_i % LENGTHS];
    static const int dims[] = {64, 8, 24}, vocabularies[] = {0, 1, 2, 40};
    if (!k) return;
    for (int variant = 0; variant < 48; variant += VARIANT_STEP) {
        struct example x;
        struct gathered g;
        struct head_statistics want;
        int head = variant % 4;
        example_init(&x, n, dims[variant % 3], variant % 5 == 0 ? 4 : 1, vocabularies[variant / 4 % 4], variant / 16);
        naive_map(&x, (size_t)head);
        gather(&x, k, head, variant % 2 ? 48 : 24, &g);
        naive_statistics_of(x.a, attention_visibility(&x.model, 0), x.ids, n, x.excluded, x.excluded_count, &want);
        compare_statistics(&g.statistics, &want);
        compare_thumbnails(&x, &g);
        for (size_t j = 0; j < n; j++) {
            double got = statistics_received(&g.facts, &g.sums, j), received = naive_received(x.a, attention_visibility(&x.model, 0), n, j);
            ck_assert(isnan(received) ? isnan(got) : fabs(got - received) < 1e-5);
        }
        gathered_finish(&g);
        example_finish(&x);
    }
}
END_TEST

/* Everything is excluded: nothing is left to say without sinks. */
START_TEST(all_excluded) {
    const struct kernels *k = path(_i);
    if (!k) return;
    struct example x;
    struct gathered g;
    struct head_statistics want;
    example_init(&x, 130, 16, 1, 5, 3);
    naive_map(&x, 0);
    gather(&x, k, 0, 48, &g);
    naive_statistics_of(x.a, attention_visibility(&x.model, 0), x.ids, 130, x.excluded, x.excluded_count, &want);
    compare_statistics(&g.statistics, &want);
    compare_thumbnails(&x, &g);
    ck_assert(isnan(g.statistics.value[STAT_LOCAL_MASS_WITHOUT_SINKS]));
    gathered_finish(&g);
    example_finish(&x);
}
END_TEST

/* All scores equal: rows are uniform, the nearest key wins, and position does not tell what the row's length tells. */
START_TEST(uniform_rows) {
    const struct kernels *k = path(_i);
    if (!k) return;
    struct example x;
    struct gathered g;
    example_init(&x, 100, 16, 0, 1, 1);
    naive_map(&x, 0);
    gather(&x, k, 0, 48, &g);
    ck_assert_double_eq_tol(g.statistics.value[STAT_ENTROPY_NORMALISED], 1, 1e-6);
    ck_assert(g.statistics.value[STAT_OFFSET_MODE] == 0 && g.statistics.value[STAT_OFFSET_RATE] == 1);
    gathered_finish(&g);
    example_finish(&x);
}
END_TEST

static struct engine *engine_with(const struct kernels *kernels) {
    char error[200];
    struct engine *engine;
    ck_assert_int_eq(engine_create_with(&(struct engine_options){.threads = 1}, kernels, &engine, error, sizeof error), ENGINE_OK);
    return engine;
}

static void check_rectangles(struct engine *engine, const struct example *x, int head) {
    size_t n = x->n;
    for (int t = 0; t < 40; t++) {
        struct rectangle r = {(size_t)rand() % (n + 1), (size_t)rand() % (n + 1), (size_t)rand() % (n + 1), (size_t)rand() % (n + 1)};
        if (t == 0) r = (struct rectangle){0, n, 0, n};
        if (r.query0 > r.query1 || r.key0 > r.key1) continue;
        size_t width = r.key1 - r.key0, cells = (r.query1 - r.query0) * width;
        float *weights = malloc((cells + 1) * sizeof *weights);
        char error[200];
        ck_assert_int_eq(attention_read(engine, x->activations, (struct head_address){model_section(&x->model), 0, head}, &r, weights, error, sizeof error), ENGINE_OK);
        for (size_t i = 0; i < cells; i++) {
            double want = x->a[(r.query0 + i / width) * n + r.key0 + i % width];
            if (!(fabs(weights[i] - want) < 3e-6 && (want != 0 || weights[i] == 0))) ck_abort_msg("%g, not %g", (double)weights[i], want);
        }
        free(weights);
    }
}

static void check_tiles(struct engine *engine, const struct example *x, int head) {
    size_t n = x->n;
    uint8_t pixels[65536];
    char error[200];
    int width, height;
    for (int zoom = 0; ((size_t)1 << zoom) < 2 * n; zoom++) {
        size_t pixel = (size_t)1 << zoom, side = (n + pixel - 1) / pixel, tiles = (side + 255) / 256;
        for (int mean = 0; mean < 2; mean++)
            for (size_t tile = 0; tile < tiles * tiles; tile++) {
                size_t tx = tile % tiles, ty = tile / tiles;
                ck_assert_int_eq(attention_tile(engine, x->activations, (struct head_address){model_section(&x->model), 0, head}, zoom, tx, ty, mean ? POOL_MEAN : POOL_MAX, WEIGHTING_NONE, pixels,
                                                &width, &height, error, sizeof error), ENGINE_OK);
                ck_assert_uint_eq((size_t)width, side - tx * 256 < 256 ? side - tx * 256 : 256);
                ck_assert_uint_eq((size_t)height, side - ty * 256 < 256 ? side - ty * 256 : 256);
                for (size_t p = 0; p < (size_t)(width * height); p++) {
                    size_t query0 = (ty * 256 + p / (size_t)width) * pixel, key0 = (tx * 256 + p % (size_t)width) * pixel;
                    double max = 0, sum = 0, count = 0;
                    for (size_t i = query0; i < query0 + pixel && i < n; i++)
                        for (size_t j = key0; j < key0 + pixel && j <= i; j++) {
                            max = x->a[i * n + j] > max ? x->a[i * n + j] : max;
                            sum += x->a[i * n + j];
                            count++;
                        }
                    compare_byte(pixels[p], mean ? (count > 0 ? sum / count : 0) : max);
                }
            }
        ck_assert_int_eq(attention_tile(engine, x->activations, (struct head_address){model_section(&x->model), 0, head}, zoom, tiles, 0, POOL_MAX, WEIGHTING_NONE, pixels, &width, &height, error,
                                        sizeof error), ENGINE_INVALID);
    }
    ck_assert_int_eq(attention_tile(engine, x->activations, (struct head_address){model_section(&x->model), 0, head}, 20, 0, 0, POOL_MAX, WEIGHTING_NONE, pixels, &width, &height, error, sizeof error),
                     ENGINE_INVALID);
    ck_assert_int_eq(attention_tile(engine, x->activations, (struct head_address){model_section(&x->model), 0, 4}, 0, 0, 0, POOL_MAX, WEIGHTING_NONE, pixels, &width, &height, error, sizeof error),
                     ENGINE_INVALID);
}

static void check_series(struct engine *engine, const struct example *x, int head) {
    size_t n = x->n;
    double *entropy = malloc(4 * n * sizeof *entropy), *max = entropy + n, *sink = max + n, *received = sink + n;
    char error[200];
    ck_assert_int_eq(attention_series(engine, x->activations, (struct head_address){model_section(&x->model), 0, head}, x->excluded, x->excluded_count,
                                      &(struct head_series){entropy, max, sink, received}, error, sizeof error), ENGINE_OK);
    for (size_t i = 0; i < n; i++) {
        double h = 0, most = 0, on = 0;
        for (size_t j = 0; j <= i; j++) {
            double weight = x->a[i * n + j];
            if (weight > 0) h -= weight * log(weight);
            most = weight > most ? weight : most;
        }
        for (size_t s = 0; s < x->excluded_count; s++) on += x->a[i * n + x->excluded[s]];
        ck_assert_double_eq_tol(entropy[i], h, 1e-5);
        ck_assert_double_eq_tol(max[i], most, 1e-5);
        ck_assert_double_eq_tol(sink[i], on, 1e-5);
        double want = naive_received(x->a, attention_visibility(&x->model, 0), n, i);
        ck_assert(isnan(want) ? isnan(received[i]) : fabs(received[i] - want) < 1e-5);
    }
    free(entropy);
}

START_TEST(reading) {
    static const size_t sizes[] = {1, 2, 50, 256, 300, 530};
    const struct kernels *k = path(_i);
    if (!k) return;
    struct engine *engine = engine_with(k);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct example x;
        struct gathered g;
        example_init(&x, sizes[s], 24, 2, 7, 1 + (int)s % 2);
        naive_map(&x, 3);
        gather(&x, k, 3, 48, &g);
        check_rectangles(engine, &x, 3);
        check_tiles(engine, &x, 3);
        check_series(engine, &x, 3);
        gathered_finish(&g);
        example_finish(&x);
    }
    engine_destroy(engine);
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("statistics");
    TCase *c = tcase_create("every path");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, definitions, 0, 3 * LENGTHS);
    tcase_add_loop_test(c, all_excluded, 0, 3);
    tcase_add_loop_test(c, uniform_rows, 0, 3);
    tcase_add_loop_test(c, reading, 0, 3);
    suite_add_tcase(suite, c);
    return suite;
}

#include "tests/check_main.h"
