/*
 * check_folder.c: folders whose files are hostile (cut short, extreme, of another kind, elsewhere), and what may fail while one is in use:
 * memory, the files under it, patience, numbers that are not finite. On tiny models of several families.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "engine/mapping.h"
#include "engine/model.h"
#include "tests/failing_malloc.h"
#include "tests/memory_limit.h"
#include "tests/models.h"

/* Encoder; window and caps; experts; windows of another kind; biases and learned positions. */
static const char *const families[] = {"bert", "gemma2", "mixtral", "modernbert", "gpt2", "llama"};
enum { FAMILIES = sizeof families / sizeof families[0], TOKENS = 24 };

static char folder[64], error[512];

/* ---- files --------------------------------------------------------------------------------------------------------- */

static const char *place(const char *name) {
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static char *read_golden(const char *family, const char *name, size_t *size) {
    char inner[256], path[1024];
    snprintf(inner, sizeof inner, "tests/golden/zoo/%s/%s", family, name);
    source_path(path, sizeof path, inner);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    ck_assert_uint_eq(fread(bytes, 1, *size, file), *size);
    bytes[*size] = '\0';
    fclose(file);
    return bytes;
}

static void put(const char *name, const void *bytes, size_t size) {
    unlink(place(name));
    FILE *file = fopen(place(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void put_text(const char *name, const char *text) {
    put(name, text, strlen(text));
}

static void copy(const char *family, const char *name, const char *as) {
    size_t size;
    char *bytes = read_golden(family, name, &size);
    put(as, bytes, size);
    free(bytes);
}

static void make_folder(void) {
    strcpy(folder, "/tmp/check_folder.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static void copy_family(const char *family) {
    copy(family, "config.json", "config.json");
    copy(family, "model.safetensors", "model.safetensors");
}

static struct model *open_family(const char *family) {
    struct model *model = NULL;
    copy_family(family);
    ck_assert_msg(model_open(folder, &model, error, sizeof error) == ENGINE_OK, "%s: %s", family, error);
    return model;
}

/* ---- hostile files --------------------------------------------------------------------------------------------------- */

/* Opens what lies in the folder. Whatever it is, there is an answer, a sentence with it, and no more memory than it may take. */
static enum engine_status try_folder(void) {
    struct model *model = NULL;
    error[0] = '\0';
    enum engine_status status = model_open(folder, &model, error, sizeof error);
    ck_assert_int_ne(status, ENGINE_NO_MEMORY);
    ck_assert(status == ENGINE_OK ? model != NULL : model == NULL && strlen(error) > 15);
    model_release(model);
    return status;
}

static void refused(const char *what, const char *says) {
    ck_assert_msg(try_folder() != ENGINE_OK, "%s opens", what);
    ck_assert_msg(strstr(error, says) != NULL, "%s: %s", what, error);
}

START_TEST(refuses_every_shortened_config) {
    size_t size;
    char *config = read_golden("llama", "config.json", &size);
    copy_family("llama");
    limit_memory(64 << 20);
    while (size > 0 && strchr(" \n", config[size - 1])) size--;
    for (size_t cut = 0; cut < size; cut++) {
        put("config.json", config, cut);
        ck_assert_msg(try_folder() != ENGINE_OK, "cut at byte %zu", cut);
    }
    free(config);
}
END_TEST

/* Every number of config.json in turn. */
START_TEST(survives_extreme_configs) {
    static const char *const extremes[] = {"0", "-1", "1", "7", "65536", "2147483647", "2147483648", "4294967296", "9223372036854775807",
                                           "9223372036854775808", "1e18", "1e308", "1e400", "-1e-300", "null", "true", "\"8\"", "[]", "{}"};
    size_t size, tried = 0, opened = 0;
    char *config = read_golden(families[_i], "config.json", &size), *changed = malloc(size + 64);
    copy_family(families[_i]);
    limit_memory(64 << 20);
    for (char *at = config; (at = strpbrk(at, "0123456789")) != NULL;) {
        size_t length = strspn(at, "0123456789.e-+");
        char before = at[-1];
        if (before == ' ' || before == '-' || before == '[')
            for (size_t e = 0; e < sizeof extremes / sizeof extremes[0]; e++) {
                snprintf(changed, size + 64, "%.*s%s%s", (int)(at - config), config, extremes[e], at + length);
                put_text("config.json", changed);
                tried++;
                opened += try_folder() == ENGINE_OK;
            }
        at += length;
    }
    printf("%s: %zu extreme configs, %zu of them harmless\n", families[_i], tried, opened);
    ck_assert_uint_gt(tried, 100);
    free(config);
    free(changed);
}
END_TEST

/* One after the other in the place of a file that should be there. */
static void try_other_kinds(const char *name) {
    unlink(place(name));
    ck_assert_int_ne(try_folder(), ENGINE_OK);
    ck_assert_int_eq(mkfifo(place(name), 0600), 0);
    ck_assert_int_ne(try_folder(), ENGINE_OK);
    unlink(place(name));
    ck_assert_int_eq(mkdir(place(name), 0700), 0);
    ck_assert_int_ne(try_folder(), ENGINE_OK);
    rmdir(place(name));
    ck_assert_int_eq(symlink(name, place(name)), 0); /* to itself */
    ck_assert_int_ne(try_folder(), ENGINE_OK);
    unlink(place(name));
    ck_assert_int_eq(symlink("/dev/zero", place(name)), 0);
    ck_assert_int_ne(try_folder(), ENGINE_OK);
    unlink(place(name));
    put(name, "", 0);
    ck_assert_int_ne(try_folder(), ENGINE_OK);
}

START_TEST(reads_regular_files_only) {
    copy_family("llama");
    limit_memory(64 << 20);
    try_other_kinds("config.json");
    copy_family("llama");
    ck_assert_int_eq(try_folder(), ENGINE_OK);
    try_other_kinds("model.safetensors");
}
END_TEST

static char *repeated(const char *start, const char *part, size_t times, const char *end) {
    size_t length = strlen(part), at = strlen(start);
    char *text = malloc(at + times * length + strlen(end) + 1);
    memcpy(text, start, at);
    for (size_t i = 0; i < times; i++, at += length) memcpy(text + at, part, length);
    strcpy(text + at, end);
    return text;
}

START_TEST(bounds_what_json_may_take) {
    static const struct { const char *start, *part, *end, *says; size_t times; } cases[] = {
        {"", "[", "", "config.json", 200000},
        {"{\"a\":", "{\"a\":", "", "config.json", 30000},
        {"{\"a\":[", "[],", "[]]}", "config.json", 80000},
        {"{\"a\":[", "0,", "0]}", "at most", 4000000},
        {"{\"a\":\"", "aaaaaaaa", "\"}", "at most", 1000000},
        {"{\"model_type\":\"llama\",", "\"model_type\":\"llama\",", "\"a\":1}", "config.json", 2},
        {"[1]", "", "", "no object", 0},
        {"{\"a\":\"\xff\"}", "", "", "config.json", 0},
        {"{\"a\":NaN}", "", "", "config.json", 0},
    };
    copy_family("llama");
    limit_memory(64 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = repeated(cases[i].start, cases[i].part, cases[i].times, cases[i].end);
        put_text("config.json", text);
        free(text);
        refused(cases[i].start, cases[i].says);
    }
}
END_TEST

/* Of the weights' file: every cut in its header and one in every kilobyte after, and every extreme of its length. */
START_TEST(refuses_damaged_weights) {
    static const uint64_t extremes[] = {0, 1, 2, 0xff, 0xffff, 0x7fffffff, 0xffffffff, 1ull << 40, 1ull << 63, UINT64_MAX - 8, UINT64_MAX};
    size_t size;
    char *weights = read_golden("llama", "model.safetensors", &size);
    uint64_t header;
    memcpy(&header, weights, sizeof header);
    copy_family("llama");
    limit_memory(64 << 20);
    for (size_t e = 0; e < sizeof extremes / sizeof extremes[0]; e++) {
        int file = open(place("model.safetensors"), O_WRONLY);
        ck_assert(pwrite(file, &extremes[e], 8, 0) == 8);
        close(file);
        ck_assert_int_eq(try_folder(), ENGINE_BROKEN);
    }
    put("model.safetensors", weights, size);
    for (size_t cut = size - 1; cut > 0; cut -= cut > header + 8 + 1024 ? 1024 : 1) {
        ck_assert_int_eq(truncate(place("model.safetensors"), (off_t)cut), 0);
        ck_assert_int_eq(try_folder(), ENGINE_BROKEN);
    }
    free(weights);
}
END_TEST

START_TEST(takes_shards_from_its_own_folder_only) {
    static const struct { const char *index, *says; } cases[] = {
        {"{\"weight_map\":{\"a\":\"../model.safetensors\"}}", "outside"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "outside"},
        {"{\"weight_map\":{\"a\":\"x/../../y.safetensors\"}}", "outside"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "outside"},
        {"{\"weight_map\":{\"a\":\".\"}}", "index"},
        {"{\"weight_map\":{\"a\":\"\"}}", "index"},
        {"{\"weight_map\":{\"a\":\"a\\u0000b\"}}", "index"},
        {"{\"weight_map\":{\"a\":7}}", "index"},
        {"{\"weight_map\":{}}", "index"},
        {"{\"weight_map\":[]}", "index"},
        {"{\"a\":1}", "index"},
        {"{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"y.safetensors\"}}", "index"},
        {"{\"weight_map\":{\"a\":\"missing.safetensors\"}}", "missing.safetensors"},
        {"{\"weight_map\":{\"a\":\"fifo.safetensors\"}}", "fifo.safetensors"},
        {"{\"weight_map\":{\"a\":\"folder.safetensors\"}}", "folder.safetensors"},
        {"{\"weight_map\":{\"a\":\"loop.safetensors\"}}", "loop.safetensors"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}", "two of the model's files"},
    };
    copy("llama", "config.json", "config.json");
    copy("llama", "model.safetensors", "one.safetensors");
    copy("llama", "model.safetensors", "two.safetensors");
    ck_assert(mkfifo(place("fifo.safetensors"), 0600) == 0 && mkdir(place("folder.safetensors"), 0700) == 0);
    ck_assert_int_eq(symlink("loop.safetensors", place("loop.safetensors")), 0);
    limit_memory(64 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_text("model.safetensors.index.json", cases[i].index);
        refused(cases[i].index, cases[i].says);
    }
    put_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"one.safetensors\"}}");
    ck_assert_msg(try_folder() == ENGINE_OK, "%s", error);
    try_other_kinds("model.safetensors.index.json");
}
END_TEST

/* ---- in use ------------------------------------------------------------------------------------------------------------ */

static struct engine *make_engine(void) {
    struct engine *engine = NULL;
    ck_assert_int_eq(engine_create(&(struct engine_options){.threads = 2}, &engine, error, sizeof error), ENGINE_OK);
    return engine;
}

struct seen {
    int layers, cancel_at, cut_at, nulls, zeros;
};

static bool see_layer(void *context, const struct layer_result *result) {
    struct seen *seen = context;
    if (result->layer == seen->cancel_at) return false;
    if (result->layer == seen->cut_at) ck_assert_int_eq(truncate(place("model.safetensors"), 4096), 0);
    for (int h = 0; h < result->heads; h++) {
        int finite = 0, cells = result->rows * result->cols, dark = 0;
        for (int s = 0; s < STAT_COUNT; s++) {
            ck_assert(!isinf(result->statistics[h].value[s]));
            finite += !isnan(result->statistics[h].value[s]);
        }
        for (int i = 0; i < cells; i++) dark += result->max[h * cells + i] == 0 && result->mean[h * cells + i] == 0;
        seen->nulls += finite == 0;
        seen->zeros += dark == cells;
    }
    seen->layers++;
    return true;
}

static bool allocation_failed; /* an allocation, in the run before */

static enum engine_status run(struct engine *engine, const struct model *model, struct seen *seen, struct activations **activations) {
    int32_t ids[TOKENS];
    uint32_t *sinks = NULL;
    size_t count;
    for (int i = 0; i < TOKENS; i++) ids[i] = (i * 7 + 3) % model->config.vocabulary;
    struct analysis_observer observer = {seen, seen ? see_layer : NULL, NULL};
    struct analysis_input input = {.model = model, .ids = ids, .n = TOKENS};
    *activations = NULL;
    enum engine_status status = analysis_run(engine, &input, NULL, &observer, &sinks, &count, activations, error, sizeof error);
    allocation_failed = failing_malloc_stop();
    ck_assert((status == ENGINE_OK) == (*activations != NULL));
    if (status == ENGINE_OK) free(sinks);
    return status;
}

static void runs_well(struct engine *engine, const struct model *model) {
    struct seen seen = {.cancel_at = -1, .cut_at = -1};
    struct activations *activations;
    enum section section;
    ck_assert_msg(run(engine, model, &seen, &activations) == ENGINE_OK, "%s", error);
    ck_assert(seen.layers == model->config.layers && seen.nulls == 0 && activations_not_finite(activations, &section) == -1);
    activations_destroy(activations);
}

START_TEST(cancels_at_every_layer) {
    struct model *model = open_family(families[_i]);
    struct engine *engine = make_engine();
    struct activations *activations;
    for (int layer = 0; layer < model->config.layers; layer++) {
        struct seen seen = {.cancel_at = layer, .cut_at = -1};
        ck_assert_int_eq(run(engine, model, &seen, &activations), ENGINE_CANCELLED);
        ck_assert_int_eq(seen.layers, layer);
    }
    ck_assert_int_eq(atomic_load(&model->references), 1);
    runs_well(engine, model);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

START_TEST(every_allocation_fails_in_turn) {
    struct model *model = NULL;
    struct engine *engine = make_engine();
    struct activations *activations;
    copy_family(families[_i]);
    long opening = 0, running = 0;
    for (;; opening++) {
        failing_malloc_after(opening);
        enum engine_status status = model_open(folder, &model, error, sizeof error);
        if (!failing_malloc_stop() && status == ENGINE_OK) break;
        ck_assert_msg(status == ENGINE_NO_MEMORY || status == ENGINE_OK, "allocation %ld of opening: %d, %s", opening, status, error);
        if (status == ENGINE_OK) model_release(model); /* what failed can be done without */
        model = NULL;
    }
    runs_well(engine, model); /* the engine keeps what runs took: with it there is less to fail */
    engine_destroy(engine);
    engine = make_engine();
    for (;; running++) {
        failing_malloc_after(running);
        enum engine_status status = run(engine, model, NULL, &activations);
        bool may = status == ENGINE_OK || (allocation_failed && status == ENGINE_NO_MEMORY); /* the reserve for the next run can be done without */
        ck_assert_msg(may, "allocation %ld of a run: %d, %s", running, status, error);
        ck_assert_int_eq(atomic_load(&model->references), status == ENGINE_OK ? 2 : 1);
        activations_destroy(activations);
        if (!allocation_failed) break;
    }
    printf("%s: %ld allocations failed in turn while opening, %ld while running\n", families[_i], opening, running);
    ck_assert_msg(opening > 10 && running > 10, "%ld, %ld", opening, running);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* Cut short while it runs, and replaced under its name. */
START_TEST(notices_files_that_change_in_use) {
    struct engine *engine = make_engine();
    struct activations *activations;
    struct model *model = open_family(families[_i]);
    for (int layer = 0; layer + 1 < model->config.layers; layer++) {
        struct seen seen = {.cancel_at = -1, .cut_at = layer};
        model_release(model);
        model = open_family(families[_i]);
        ck_assert_int_eq(run(engine, model, &seen, &activations), ENGINE_BROKEN);
        ck_assert_msg(strstr(error, "cut short or replaced") != NULL, "%s", error);
        ck_assert(model_is_broken(model));
        ck_assert_int_eq(run(engine, model, &(struct seen){.cancel_at = -1, .cut_at = -1}, &activations), ENGINE_BROKEN); /* and stays so */
    }
    model_release(model);
    model = open_family(families[_i]);
    copy_family("gpt2"); /* another file of the name: the old one is still mapped */
    runs_well(engine, model);
    model_release(model);
    copy_family(families[_i]);
    int file = open(place("model.safetensors"), O_WRONLY);
    ck_assert_int_eq(model_open(folder, &model, error, sizeof error), ENGINE_OK);
    usleep(20000); /* clocks of files tick slowly */
    ck_assert(pwrite(file, "", 1, 9000) == 1); /* written to in place */
    close(file);
    ck_assert_int_eq(run(engine, model, &(struct seen){.cancel_at = -1, .cut_at = -1}, &activations), ENGINE_BROKEN);
    model_release(model);
    model = open_family(families[_i]); /* the next one works */
    runs_well(engine, model);
    engine_destroy(engine);
    model_release(model);
}
END_TEST

/* One NaN, or infinity, among the weights of the second layer: a run, nulls where they lead, and a word about it. */
START_TEST(numbers_that_are_not_finite_become_nulls) {
    static const float poison[] = {NAN, INFINITY, -INFINITY};
    struct engine *engine = make_engine();
    for (size_t p = 0; p < 3; p++) {
        struct model *model = open_family(families[_i]);
        const struct tensor *norm = &model->layer[1].attention_norm, *down = &model->layer[0].down;
        if (model->layer[0].expert) down = &model->layer[0].expert[0].down;
        const struct tensor *target = norm->data && p > 0 ? norm : down->data ? down : &model->layer[0].o;
        off_t at = (const unsigned char *)target->data - mapping_data(model->mapping[0]);
        ck_assert_int_eq(target->type, TENSOR_F32);
        model_release(model);
        int file = open(place("model.safetensors"), O_WRONLY);
        ck_assert(pwrite(file, &poison[p], sizeof poison[p], at) == sizeof poison[p]);
        close(file);
        ck_assert_msg(model_open(folder, &model, error, sizeof error) == ENGINE_OK, "%s", error);
        struct seen seen = {.cancel_at = -1, .cut_at = -1};
        struct activations *activations;
        enum section section;
        ck_assert_msg(run(engine, model, &seen, &activations) == ENGINE_OK, "%s", error);
        ck_assert_int_eq(seen.layers, model->config.layers);
        int first = activations_not_finite(activations, &section);
        ck_assert_msg(first >= 0 && first <= 1, "%s: layer %d", families[_i], first);
        ck_assert_int_gt(seen.nulls, 0);
        ck_assert_int_gt(seen.zeros, 0);
        ck_assert_int_eq(section, model_section(model));
        float row[TOKENS];
        uint8_t pixels[65536];
        int width, height;
        const struct head_address last = {section, model->config.layers - 1, 0};
        ck_assert_int_eq(attention_read(engine, activations, last, &(struct rectangle){3, 4, 0, TOKENS}, row, error, sizeof error), ENGINE_OK);
        ck_assert_int_eq(attention_tile(engine, activations, last, 0, 0, 0, POOL_MEAN, WEIGHTING_NONE, pixels, &width, &height, error,
                                        sizeof error), ENGINE_OK);
        activations_destroy(activations);
        model_release(model);
    }
    struct model *model = open_family(families[_i]);
    runs_well(engine, model);
    model_release(model);
    engine_destroy(engine);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("folder");
    TCase *c = tcase_create("hostile files");
    tcase_add_checked_fixture(c, make_folder, remove_folder);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, refuses_every_shortened_config);
    tcase_add_loop_test(c, survives_extreme_configs, 0, FAMILIES);
    tcase_add_test(c, reads_regular_files_only);
    tcase_add_test(c, bounds_what_json_may_take);
    tcase_add_test(c, refuses_damaged_weights);
    tcase_add_test(c, takes_shards_from_its_own_folder_only);
    suite_add_tcase(s, c);
    TCase *u = tcase_create("in use");
    tcase_add_checked_fixture(u, make_folder, remove_folder);
    tcase_set_timeout(u, 60);
    tcase_add_loop_test(u, cancels_at_every_layer, 0, FAMILIES);
    tcase_add_loop_test(u, every_allocation_fails_in_turn, 0, FAMILIES);
    tcase_add_loop_test(u, notices_files_that_change_in_use, 0, FAMILIES);
    tcase_add_loop_test(u, numbers_that_are_not_finite_become_nulls, 0, FAMILIES);
    suite_add_tcase(s, u);
    return s;
}

#include "tests/check_main.h"
