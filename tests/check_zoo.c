/*
 * check_zoo.c: a tiny model of every family that a folder may hold and of every architecture that a GGUF file may hold, against the
 * attention maps that transformers computes, in every section: the whole map, odd rectangles, statistics, thumbnails, tiles and series
 * against their definitions, and the table of largest differences.
 */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/attention.h"
#include "engine/engine_internal.h"
#include "engine/model.h"
#include "tests/models.h"
#include "tests/naive_statistics.h"

static const double tolerance = 2e-5;

/* Maps of one section: [layers, heads, queries, keys]. */
struct expected {
    int32_t layers, heads, queries, keys;
    int32_t *ids; /* [queries]; NULL of cross-attention */
    float *maps;
};

/* Where models are, and the maps that they should give. $HEADSCOPE_ZOO and its like name folders of others in the same form. */
struct zoo {
    /* Formats of the files' names, for the name of a model. Of one with an encoder and a decoder the first maps are the encoder's. */
    const char *variable, *inner, *model, *expected, *decoder, *cross;
};
static const struct zoo folders = {"HEADSCOPE_ZOO", "tests/golden/zoo", "%s", "%s/expected.bin", "%s/decoder.bin", "%s/cross.bin"},
                        shapes = {"HEADSCOPE_SHAPES_ZOO", "tests/golden/zoo_shapes", "%s", "%s/expected.bin", "%s/decoder.bin", "%s/cross.bin"},
                        gguf_files = {"HEADSCOPE_GGUF_ZOO", "tests/golden/gguf", "%s.gguf", "%s.bin", "%s.decoder.bin", "%s.cross.bin"};

static void zoo_path(char *path, size_t size, const struct zoo *zoo, const char *format, const char *name) {
    char file[256];
    const char *mark = strstr(format, "%s"), *other = getenv(zoo->variable);
    snprintf(file, sizeof file, "%.*s%s%s", (int)(mark - format), format, name, mark + 2);
    if (other) {
        snprintf(path, size, "%s/%s", other, file);
    } else {
        char inner[512];
        snprintf(inner, sizeof inner, "%s/%s", zoo->inner, file);
        source_path(path, size, inner);
    }
}

static struct expected read_expected(const struct zoo *zoo, const char *format, const char *name, bool cross) {
    char path[1024];
    struct expected e;
    zoo_path(path, sizeof path, zoo, format, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s is missing", path);
    ck_assert_uint_eq(fread(&e.layers, sizeof e.layers, cross ? 4 : 3, file), cross ? 4 : 3);
    if (!cross) e.keys = e.queries;
    size_t n = cross ? 0 : (size_t)e.queries, cells = (size_t)e.layers * (size_t)e.heads * (size_t)e.queries * (size_t)e.keys;
    e.ids = cross ? NULL : malloc(n * sizeof *e.ids);
    e.maps = malloc(cells * sizeof *e.maps);
    if (!cross) ck_assert_uint_eq(fread(e.ids, sizeof *e.ids, n, file), n);
    ck_assert_uint_eq(fread(e.maps, sizeof *e.maps, cells, file), cells);
    fclose(file);
    return e;
}

/* The types of tokens; NULL where all are 0. */
static uint8_t *read_types(const struct zoo *zoo, const char *name, size_t n) {
    char path[1024];
    zoo_path(path, sizeof path, zoo, "%s/types.bin", name);
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    uint8_t *types = malloc(n);
    ck_assert_uint_eq(fread(types, 1, n, file), n);
    fclose(file);
    return types;
}

static struct engine *engine_with(const struct kernels *kernels) {
    char error[256];
    struct engine *engine = NULL;
    ck_assert_int_eq(engine_create_with(&(struct engine_options){.threads = 2}, kernels, &engine, error, sizeof error), ENGINE_OK);
    return engine;
}

/* What a run hands out, of each section. */
struct kept {
    struct expected expected[SECTIONS];
    struct head_statistics *statistics[SECTIONS]; /* [layers, heads] */
    uint8_t *thumbnails[SECTIONS];                /* [layers, heads, 2 * rows * cols + rows]: max, mean, excluded */
    enum section order[64];
    int layers;
};

static size_t cells_of(const struct expected *e) {
    size_t rows = (size_t)(e->queries < 48 ? e->queries : 48), cols = (size_t)(e->keys < 48 ? e->keys : 48);
    return 2 * rows * cols + rows;
}

static bool keep(void *context, const struct layer_result *result) {
    struct kept *kept = context;
    const struct expected *e = &kept->expected[result->section];
    size_t rows = (size_t)result->rows, cells = rows * (size_t)result->cols, heads = (size_t)result->heads;
    ck_assert(result->heads == e->heads && 2 * cells + rows == cells_of(e) && kept->layers < 64);
    kept->order[kept->layers++] = result->section;
    memcpy(kept->statistics[result->section] + (size_t)result->layer * heads, result->statistics, heads * sizeof *result->statistics);
    for (size_t h = 0; h < heads; h++) {
        uint8_t *to = kept->thumbnails[result->section] + ((size_t)result->layer * heads + h) * cells_of(e);
        memcpy(to, result->max + h * cells, cells);
        memcpy(to + cells, result->mean + h * cells, cells);
        memcpy(to + 2 * cells, result->excluded + h * rows, rows);
    }
    return true;
}

/* One head's map, as the reference has it. */
struct map {
    const struct expected *expected;
    struct head_address at;
    const float *want; /* [queries, keys] */
    size_t queries, keys;
    struct visibility sees;
    const uint32_t *excluded;
    size_t excluded_count;
    bool sink_logits;
};

static bool sees(const struct map *m, size_t i, size_t j) {
    if (m->at.section == SECTION_CROSS) return true;
    return j >= visible_first(m->sees, i) && j < visible_end(m->sees, m->keys, i);
}

static bool is_excluded(const struct map *m, size_t j) {
    for (size_t s = 0; s < m->excluded_count; s++)
        if (m->excluded[s] == j) return true;
    return false;
}

static double worst_of_map(struct engine *engine, const struct activations *a, const struct map *m) {
    size_t q = m->queries, k = m->keys;
    const struct rectangle parts[] = {{0, q, 0, k}, {q / 3, q - 1, k / 2, k}, {q - 1, q, 0, k / 2}};
    float *got = malloc(q * k * sizeof *got);
    double worst = 0;
    char error[256];
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        const struct rectangle *r = &parts[p];
        size_t width = r->key1 - r->key0;
        ck_assert_int_eq(attention_read(engine, a, m->at, r, got, error, sizeof error), ENGINE_OK);
        for (size_t c = 0; c < (r->query1 - r->query0) * width; c++) {
            size_t i = r->query0 + c / width, j = r->key0 + c % width;
            double expected = (double)m->want[i * k + j], difference = fabs((double)got[c] - expected);
            if (!(difference <= worst)) worst = difference; /* a NaN too */
            if (!sees(m, i, j)) ck_assert_msg(got[c] == 0 && expected == 0, "%d.%d: a hidden key has weight", m->at.layer, m->at.head);
        }
    }
    ck_assert_int_eq(attention_read(engine, a, m->at, &(struct rectangle){0, q + 1, 0, k}, got, error, sizeof error), ENGINE_INVALID);
    ck_assert_int_eq(attention_read(engine, a, m->at, &(struct rectangle){0, q, 0, k + 1}, got, error, sizeof error), ENGINE_INVALID);
    free(got);
    return worst;
}

/* Against the definitions, from the reference's own map. */
static void check_statistics_of(const char *name, const struct map *m, const struct head_statistics *got) {
    double *map = malloc(m->queries * m->keys * sizeof *map);
    for (size_t i = 0; i < m->queries * m->keys; i++) map[i] = (double)m->want[i];
    struct head_statistics naive;
    bool cross = m->at.section == SECTION_CROSS;
    if (cross)
        naive_cross_statistics(map, m->queries, m->keys, m->excluded, m->excluded_count, &naive);
    else
        naive_statistics_of(map, m->sees, m->expected->ids, m->queries, m->excluded, m->excluded_count, &naive);
    for (int s = 0; s < (cross ? STAT_COUNT : STAT_VALUE_SINK_SHARE); s++) { /* check_value_norms.c has the rest */
        double g = got->value[s], w = naive.value[s];
        if (s == STAT_OFFSET_MODE || s == STAT_OFFSET_RATE) {
            if (cross) ck_assert(isnan(g));
            continue; /* weights may tie */
        }
        if (isnan(w))
            ck_assert_msg(isnan(g), "%s %d.%d: %s is %g, not null", name, m->at.layer, m->at.head, statistic_fields[s].name, g);
        else
            ck_assert_msg(fabs(g - w) <= 2e-4 * fmax(1, fabs(w)), "%s %d.%d: %s is %.8g, not %.8g", name, m->at.layer, m->at.head,
                          statistic_fields[s].name, g, w);
    }
    if (m->sink_logits) {
        ck_assert_double_eq_tol(got->value[STAT_MISSING_MASS], naive.value[STAT_MISSING_MASS], 2e-5);
        ck_assert_double_gt(got->value[STAT_MISSING_MASS], 0.01);
    } else {
        ck_assert(isnan(got->value[STAT_MISSING_MASS]));
    }
    free(map);
}

/* Largest weight and mean of those that are seen, of some queries and keys. */
static void pool(const struct map *m, const struct rectangle *r, bool with_excluded, double *max, double *mean) {
    double sum = 0, count = 0;
    *max = 0;
    for (size_t i = r->query0; i < r->query1; i++)
        for (size_t j = r->key0; j < r->key1; j++) {
            if (!sees(m, i, j) || (!with_excluded && is_excluded(m, j))) continue;
            *max = fmax(*max, (double)m->want[i * m->keys + j]);
            sum += (double)m->want[i * m->keys + j];
            count++;
        }
    *mean = count > 0 ? sum / count : 0;
}

static void check_byte(const struct map *m, const char *what, uint8_t got, double x) {
    ck_assert_msg(fabs((double)got - 255 * sqrt(x)) <= 1.001, "%d.%d: %s is %d, not %.2f", m->at.layer, m->at.head, what, got, 255 * sqrt(x));
}

static void check_thumbnail(const struct map *m, const uint8_t *got) {
    size_t rows = m->queries < 48 ? m->queries : 48, cols = m->keys < 48 ? m->keys : 48;
    for (size_t y = 0; y < rows; y++) {
        struct rectangle r = {y * m->queries / rows, (y + 1) * m->queries / rows, 0, 0};
        double on = 0, max, mean;
        for (size_t i = r.query0; i < r.query1; i++)
            for (size_t s = 0; s < m->excluded_count; s++) on += (double)m->want[i * m->keys + m->excluded[s]];
        check_byte(m, "weight on excluded keys", got[2 * rows * cols + y], on / (double)(r.query1 - r.query0));
        for (size_t x = 0; x < cols; x++) {
            r.key0 = x * m->keys / cols;
            r.key1 = (x + 1) * m->keys / cols;
            pool(m, &r, false, &max, &mean);
            check_byte(m, "a cell of max", got[y * cols + x], max);
            check_byte(m, "a cell of mean", got[rows * cols + y * cols + x], mean);
        }
    }
}

static void check_tiles(struct engine *engine, const struct activations *a, const struct map *m) {
    uint8_t pixels[65536];
    char error[256];
    int width, height, zoom = 0;
    size_t larger = m->queries > m->keys ? m->queries : m->keys;
    for (; zoom == 0 || (larger - 1) >> (zoom - 1) > 0; zoom++) { /* up to one pixel */
        size_t pixel = (size_t)1 << zoom;
        for (int mean = 0; mean < 2; mean++) {
            ck_assert_int_eq(attention_tile(engine, a, m->at, zoom, 0, 0, mean ? POOL_MEAN : POOL_MAX, WEIGHTING_NONE, pixels, &width,
                                            &height, error, sizeof error), ENGINE_OK);
            ck_assert((size_t)width == (m->keys + pixel - 1) / pixel && (size_t)height == (m->queries + pixel - 1) / pixel);
            for (size_t p = 0; p < (size_t)(width * height); p++) {
                size_t i = p / (size_t)width * pixel, j = p % (size_t)width * pixel;
                struct rectangle r = {i, i + pixel < m->queries ? i + pixel : m->queries, j, j + pixel < m->keys ? j + pixel : m->keys};
                double largest, average;
                pool(m, &r, true, &largest, &average);
                check_byte(m, "a pixel", pixels[p], mean ? average : largest);
            }
        }
    }
    ck_assert_int_eq(attention_tile(engine, a, m->at, zoom, 0, 0, POOL_MAX, WEIGHTING_NONE, pixels, &width, &height, error, sizeof error),
                     ENGINE_INVALID);
}

static void check_series(struct engine *engine, const struct activations *a, const struct map *m) {
    double *row = malloc(3 * m->queries * sizeof *row), *received = malloc(m->keys * sizeof *received);
    struct head_series series = {row, row + m->queries, row + 2 * m->queries, received};
    char error[256];
    ck_assert_int_eq(attention_series(engine, a, m->at, m->excluded, m->excluded_count, &series, error, sizeof error), ENGINE_OK);
    for (size_t i = 0; i < m->queries; i++) {
        double entropy = 0, largest = 0, on = 0;
        for (size_t j = 0; j < m->keys; j++) {
            double weight = (double)m->want[i * m->keys + j];
            if (weight > 0) entropy -= weight * log(weight);
            largest = fmax(largest, weight);
            if (is_excluded(m, j)) on += weight;
        }
        ck_assert_double_eq_tol(series.entropy[i], entropy, 2e-4);
        ck_assert_double_eq_tol(series.max_weight[i], largest, 2e-5);
        ck_assert_double_eq_tol(series.sink_mass[i], on, 6e-5);
    }
    for (size_t j = 0; j < m->keys; j++) {
        double sum = 0, count = 0;
        for (size_t i = 0; i < m->queries; i++) {
            if (!sees(m, i, j) || (m->at.section != SECTION_CROSS && i == j)) continue;
            sum += (double)m->want[i * m->keys + j];
            count++;
        }
        if (count > 0)
            ck_assert_double_eq_tol(received[j], sum / count, 2e-5);
        else
            ck_assert(isnan(received[j]));
    }
    free(row);
    free(received);
}

/* Everything about one section; returns the largest difference of its weights. */
static double check_section(struct engine *engine, const char *name, const struct activations *a, const struct kept *kept,
                            enum section section, const uint32_t *excluded, size_t excluded_count) {
    const struct expected *e = &kept->expected[section];
    size_t queries = 0, keys = 0, cells = (size_t)e->queries * (size_t)e->keys;
    double worst = 0;
    ck_assert(activations_shape(a, section, &queries, &keys) && queries == (size_t)e->queries && keys == (size_t)e->keys);
    for (int layer = 0; layer < e->layers; layer++)
        for (int head = 0; head < e->heads; head++) {
            size_t h = (size_t)(layer * e->heads + head);
            struct map m = {e, {section, layer, head}, e->maps + h * cells, queries, keys,
                            activations_visibility(activations_of(a, section), layer), excluded, excluded_count,
                            model_describe(activations_model(a))->sink_logits};
            double difference = worst_of_map(engine, a, &m);
            worst = difference > worst || isnan(difference) ? difference : worst;
            if (!(difference <= tolerance)) continue;
            check_statistics_of(name, &m, &kept->statistics[section][h]);
            check_thumbnail(&m, kept->thumbnails[section] + h * cells_of(e));
            if (head > 0) continue;
            check_tiles(engine, a, &m);
            check_series(engine, a, &m);
        }
    return worst;
}

static void expect(struct kept *kept, enum section section, struct expected e, int layers, int heads) {
    size_t all = (size_t)(e.layers * e.heads);
    ck_assert(e.layers == layers && e.heads == heads);
    kept->expected[section] = e;
    kept->statistics[section] = calloc(all, sizeof *kept->statistics[section]);
    kept->thumbnails[section] = calloc(all, cells_of(&e));
}

/* All layers of the encoder, then for each layer of the decoder its own and cross-attention. */
static void check_order(const struct kept *kept, int encoder_layers, int layers) {
    ck_assert_int_eq(kept->layers, encoder_layers + 2 * layers);
    for (int i = 0; i < kept->layers; i++)
        ck_assert(kept->order[i] == (i < encoder_layers ? SECTION_ENCODER : (i - encoder_layers) % 2 == 0 ? SECTION_DECODER : SECTION_CROSS));
}

static double check_model(struct engine *engine, const struct zoo *zoo, const char *family) {
    char path[1024], error[512] = "";
    struct model *model = NULL;
    zoo_path(path, sizeof path, zoo, zoo->model, family);
    enum engine_status status = model_open(path, &model, error, sizeof error);
    ck_assert_msg(status == ENGINE_OK, "%s: %s", family, error);
    struct kept kept = {0};
    const struct model_info *info = model_describe(model);
    enum section first = info->encoder_layers > 0 ? SECTION_ENCODER : model_section(model);
    expect(&kept, first, read_expected(zoo, zoo->expected, family, false), first == SECTION_ENCODER && model->encoder ? info->encoder_layers : info->layers,
           model->encoder ? info->encoder_heads : info->heads);
    if (model->encoder) {
        expect(&kept, SECTION_DECODER, read_expected(zoo, zoo->decoder, family, false), info->layers, info->heads);
        expect(&kept, SECTION_CROSS, read_expected(zoo, zoo->cross, family, true), info->layers, info->heads);
    }
    const struct expected *text = &kept.expected[first], *target = &kept.expected[SECTION_DECODER];
    uint8_t *types = read_types(zoo, family, (size_t)text->queries);
    uint32_t excluded[] = {0, 7, 21}, target_excluded[] = {0, 5}, *sinks = NULL;
    size_t sink_count = 0;
    struct activations *a = NULL;
    struct analysis_observer observer = {&kept, keep, NULL};
    struct analysis_input input = {.model = model, .ids = text->ids, .n = (size_t)text->queries, .types = types, .excluded = excluded, .excluded_count = 3};
    if (model->encoder) {
        input.target_ids = target->ids;
        input.target_n = (size_t)target->queries;
        input.target_excluded = target_excluded;
        input.target_excluded_count = 2;
    }
    status = analysis_run(engine, &input, NULL, &observer, &sinks, &sink_count, &a, error, sizeof error);
    ck_assert_msg(status == ENGINE_OK, "%s: %s", family, error);
    double worst = check_section(engine, family, a, &kept, first, excluded, 3);
    if (model->encoder) {
        check_order(&kept, info->encoder_layers, info->layers);
        worst = fmax(worst, check_section(engine, family, a, &kept, SECTION_DECODER, target_excluded, 2));
        worst = fmax(worst, check_section(engine, family, a, &kept, SECTION_CROSS, excluded, 3));
    } else {
        float weight;
        ck_assert_int_eq(attention_read(engine, a, (struct head_address){SECTION_CROSS, 0, 0}, &(struct rectangle){0, 1, 0, 1}, &weight, error,
                                        sizeof error), ENGINE_INVALID);
    }
    activations_destroy(a);
    free(sinks);
    free(types);
    for (int section = 0; section < SECTIONS; section++) {
        free(kept.statistics[section]);
        free(kept.thumbnails[section]);
        free(kept.expected[section].ids);
        free(kept.expected[section].maps);
    }
    model_release(model);
    return worst;
}

static int compare_words(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of all models, sorted. */
static size_t list_models(const struct zoo *zoo, char *names[64]) {
    char path[1024];
    size_t count = 0, end = strlen(zoo->model) - 2;
    zoo_path(path, sizeof path, zoo, "%s", "");
    DIR *folder = opendir(path);
    ck_assert_msg(folder != NULL, "%s is missing", path);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || count == 64 || size <= end || strcmp(entry->d_name + size - end, zoo->model + 2) != 0) continue;
        names[count++] = strndup(entry->d_name, size - end);
    }
    closedir(folder);
    qsort(names, count, sizeof *names, compare_words);
    return count;
}

/* `path`: of the kernels; on the first the differences are printed. exactly: how many models there are; 0: some. */
static void check_zoo(const struct zoo *zoo, int path, size_t exactly) {
    const struct kernels *paths[] = {&kernels_plain, kernels_avx2(), kernels_avx512()};
    if (!paths[path]) return;
    struct engine *engine = engine_with(paths[path]);
    char *names[64];
    size_t count = list_models(zoo, names), wrong = 0;
    double largest = 0;
    if (exactly > 0) ck_assert_uint_eq(count, exactly);
    ck_assert_uint_gt(count, 0);
    if (path == 0) printf("largest differences from the reference, %s (allowed %.0e):\n", zoo->inner, tolerance);
    for (size_t f = 0; f < count; f++) {
        double worst = check_model(engine, zoo, names[f]);
        bool fine = worst <= tolerance;
        if (path == 0 || !fine) printf("  %-20s %.1e%s\n", names[f], worst, fine ? "" : "  WRONG");
        wrong += !fine;
        largest = worst > largest ? worst : largest;
        free(names[f]);
    }
    if (path == 0) printf("  %zu models, largest difference %.1e\n", count, largest);
    fflush(stdout);
    ck_assert_uint_eq(wrong, 0);
    engine_destroy(engine);
}

START_TEST(every_family) {
    check_zoo(&folders, _i, getenv(folders.variable) ? 0 : 40);
}
END_TEST

START_TEST(other_shapes) {
    check_zoo(&shapes, _i, getenv(shapes.variable) ? 0 : 34);
}
END_TEST

START_TEST(every_architecture) {
    check_zoo(&gguf_files, _i, getenv(gguf_files.variable) ? 0 : 35);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("zoo");
    TCase *c = tcase_create("families");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, every_family, 0, 3);
    tcase_add_loop_test(c, other_shapes, 0, 3);
    tcase_add_loop_test(c, every_architecture, 0, 3);
    suite_add_tcase(s, c);
    return s;
}

#include "tests/check_main.h"
