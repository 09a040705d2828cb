/*
 * check_zoo.c: a tiny model of every family that a folder may hold and of every architecture that a GGUF file may hold, against the attention maps that transformers computes: the
 * whole map, odd rectangles, statistics against their definitions, and the table of largest differences. What is refused, by name.
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

struct expected {
    int32_t layers, heads, n;
    int32_t *ids;
    float *maps; /* [layers, heads, n, n] */
};

/* Where models are, and the maps that they should give. $HEADSCOPE_ZOO and $HEADSCOPE_GGUF_ZOO name folders of others in the same form. */
struct zoo {
    const char *variable, *inner, *model, *expected; /* formats of the files' names, for the name of a model */
};
static const struct zoo folders = {"HEADSCOPE_ZOO", "tests/golden/zoo", "%s", "%s/expected.bin"},
                        gguf_files = {"HEADSCOPE_GGUF_ZOO", "tests/golden/gguf", "%s.gguf", "%s.bin"};

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

static struct expected read_expected(const struct zoo *zoo, const char *name) {
    char path[1024];
    struct expected e;
    zoo_path(path, sizeof path, zoo, zoo->expected, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s is missing", path);
    ck_assert_uint_eq(fread(&e.layers, sizeof e.layers, 3, file), 3);
    size_t n = (size_t)e.n, cells = (size_t)e.layers * (size_t)e.heads * n * n;
    e.ids = malloc(n * sizeof *e.ids);
    e.maps = malloc(cells * sizeof *e.maps);
    ck_assert_uint_eq(fread(e.ids, sizeof *e.ids, n, file), n);
    ck_assert_uint_eq(fread(e.maps, sizeof *e.maps, cells, file), cells);
    fclose(file);
    return e;
}

static struct engine *engine_with(const struct kernels *kernels) {
    char error[256];
    struct engine *engine = NULL;
    ck_assert_int_eq(engine_create_with(&(struct engine_options){.threads = 2}, kernels, &engine, error, sizeof error), ENGINE_OK);
    return engine;
}

struct kept {
    int heads;
    struct head_statistics *statistics;
};

static bool keep(void *context, const struct layer_result *result) {
    struct kept *kept = context;
    memcpy(kept->statistics + result->layer * kept->heads, result->statistics, (size_t)kept->heads * sizeof *kept->statistics);
    return true;
}

static double worst_of_map(struct engine *engine, const struct activations *a, const struct expected *e, int layer, int head) {
    size_t n = (size_t)e->n;
    const float *want = e->maps + (size_t)(layer * e->heads + head) * n * n;
    struct head_address at = {model_section(activations_model(a)), layer, head};
    const struct rectangle parts[] = {{0, n, 0, n}, {n / 3, n - 1, n / 2, n}, {n - 1, n, 0, n / 2}};
    float *got = malloc(n * n * sizeof *got);
    double worst = 0;
    char error[256];
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        const struct rectangle *r = &parts[p];
        size_t width = r->key1 - r->key0;
        ck_assert_int_eq(attention_read(engine, a, at, r, got, error, sizeof error), ENGINE_OK);
        for (size_t c = 0; c < (r->query1 - r->query0) * width; c++) {
            double expected = (double)want[(r->query0 + c / width) * n + r->key0 + c % width], difference = fabs((double)got[c] - expected);
            if (!(difference <= worst)) worst = difference; /* a NaN too */
            if (expected == 0) ck_assert_msg(got[c] == 0, "%d.%d: a hidden key has weight", layer, head);
        }
    }
    free(got);
    return worst;
}

/* Against the definitions, from the reference's own map. */
static void check_statistics_of(const struct model *model, const struct expected *e, int layer, int head, const uint32_t *excluded,
                                size_t excluded_count, const struct head_statistics *got) {
    size_t n = (size_t)e->n;
    double *map = malloc(n * n * sizeof *map);
    const float *want = e->maps + (size_t)(layer * e->heads + head) * n * n;
    for (size_t i = 0; i < n * n; i++) map[i] = (double)want[i];
    struct head_statistics naive;
    naive_statistics_of(map, attention_visibility(model, layer), e->ids, n, excluded, excluded_count, &naive);
    for (int s = 0; s < STAT_VALUE_SINK_SHARE; s++) { /* check_value_norms.c has the rest */
        double g = got->value[s], w = naive.value[s];
        if (s == STAT_OFFSET_MODE || s == STAT_OFFSET_RATE) continue; /* weights may tie */
        if (isnan(w))
            ck_assert_msg(isnan(g), "%s %d.%d: %s is %g, not null", model->info.name, layer, head, statistic_fields[s].name, g);
        else
            ck_assert_msg(fabs(g - w) <= 2e-4 * fmax(1, fabs(w)), "%s %d.%d: %s is %.8g, not %.8g", model->info.name, layer, head,
                          statistic_fields[s].name, g, w);
    }
    free(map);
}

static double check_model(struct engine *engine, const struct zoo *zoo, const char *family) {
    char path[1024], error[512] = "";
    struct model *model = NULL;
    zoo_path(path, sizeof path, zoo, zoo->model, family);
    enum engine_status status = model_open(path, &model, error, sizeof error);
    ck_assert_msg(status == ENGINE_OK, "%s: %s", family, error);
    struct expected e = read_expected(zoo, family);
    ck_assert(e.layers == model->config.layers && e.heads == model->config.heads);
    struct kept kept = {e.heads, calloc((size_t)(e.layers * e.heads), sizeof *kept.statistics)};
    uint32_t excluded[] = {0, 7, 21}, *sinks = NULL;
    size_t sink_count = 0;
    struct activations *a = NULL;
    struct analysis_observer observer = {&kept, keep, NULL};
    struct analysis_input input = {.model = model, .ids = e.ids, .n = (size_t)e.n, .excluded = excluded, .excluded_count = 3};
    status = analysis_run(engine, &input, NULL, &observer, &sinks, &sink_count, &a, error, sizeof error);
    ck_assert_msg(status == ENGINE_OK, "%s: %s", family, error);
    double worst = 0;
    for (int layer = 0; layer < e.layers; layer++)
        for (int head = 0; head < e.heads; head++) {
            double difference = worst_of_map(engine, a, &e, layer, head);
            worst = difference > worst || isnan(difference) ? difference : worst;
            if (difference <= tolerance)
                check_statistics_of(model, &e, layer, head, excluded, 3, &kept.statistics[layer * e.heads + head]);
        }
    activations_destroy(a);
    free(sinks);
    free(kept.statistics);
    free(e.ids);
    free(e.maps);
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

/* `path`: of the kernels; on the first the differences are printed. */
static void check_zoo(const struct zoo *zoo, int path, size_t least) {
    const struct kernels *paths[] = {&kernels_plain, kernels_avx2(), kernels_avx512()};
    if (!paths[path]) return;
    struct engine *engine = engine_with(paths[path]);
    char *names[64];
    size_t count = list_models(zoo, names), wrong = 0;
    ck_assert_uint_ge(count, least);
    if (path == 0) printf("largest differences from the reference, %s (allowed %.0e):\n", zoo->inner, tolerance);
    for (size_t f = 0; f < count; f++) {
        double worst = check_model(engine, zoo, names[f]);
        bool fine = worst <= tolerance;
        if (path == 0 || !fine) printf("  %-20s %.1e%s\n", names[f], worst, fine ? "" : "  WRONG");
        wrong += !fine;
        free(names[f]);
    }
    fflush(stdout);
    ck_assert_uint_eq(wrong, 0);
    engine_destroy(engine);
}

START_TEST(every_family) {
    check_zoo(&folders, _i, getenv(folders.variable) ? 1 : 36);
}
END_TEST

START_TEST(every_architecture) {
    check_zoo(&gguf_files, _i, getenv(gguf_files.variable) ? 1 : 33);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("zoo");
    TCase *c = tcase_create("families");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, every_family, 0, 3);
    tcase_add_loop_test(c, every_architecture, 0, 3);
    suite_add_tcase(s, c);
    return s;
}

#include "tests/check_main.h"
