/* check_models.c: ids, files that come, change, break and go, leases that outlive them. */
#include "server/models.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/model_file.h"
#include "tests/tiny_model.h"

#include <check.h>

static char folder[128];
static struct models *models;
static struct problem problem;

static const char *file(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_model(const char *name, uint32_t seed) {
    struct tiny_model tiny = tiny_model_default;
    tiny.seed = seed;
    char temporary[300];
    snprintf(temporary, sizeof temporary, "%s.new", file(name));
    ck_assert(tiny_model_write(temporary, &tiny));
    ck_assert_int_eq(rename(temporary, file(name)), 0);
}

static void start(const char *const *named, size_t count) {
    models = models_create(&(struct models_options){.folder = folder, .named = named, .named_count = count});
    ck_assert_ptr_nonnull(models);
}

static void set_up(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/check_models.XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    models = NULL;
}

static int remove_one(const char *name, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(name);
}

static void tear_down(void) {
    models_destroy(models);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *const ids[][2] = {
    {"SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"},
    {"/models/gemma-3-270m-Q4_K_M.gguf", "gemma-3-270m"},
    {"gemma-3-270m.q4_k_m.GGUF", "gemma-3-270m"},
    {"gpt2.f16.gguf", "gpt2"},
    {"qwen3-0.6b-bf16.gguf", "qwen3-0.6b"},
    {"qwen3-0.6b_iq2_xxs.gguf", "qwen3-0.6b"},
    {"model-tq1_0.gguf", "model"},
    {"Odd name (v2).gguf", "odd-name--v2-"},
    {"f16.gguf", "f16"},
    {"q4-and-more.gguf", "q4-and-more"},
    {"phi-3.5.gguf", "phi-3.5"},
    {"/models/All-MiniLM-L6-v2/", "all-minilm-l6-v2"},
};

START_TEST(id_of_a_name) {
    char *id = model_file_id(ids[_i][0]);
    ck_assert_str_eq(id, ids[_i][1]);
    free(id);
}
END_TEST

START_TEST(listed) {
    write_model("Beta.F32.gguf", 1);
    write_model("alpha.gguf", 2);
    ck_assert(write_file(file("broken.gguf"), "GGUF", 4));
    ck_assert(write_file(file("readme.txt"), "x", 1));
    ck_assert(write_file(file(".hidden.gguf"), "x", 1));
    start(NULL, 0);
    struct models_list list;
    ck_assert(models_list(models, &list));
    ck_assert_uint_eq(list.count, 3);
    ck_assert_str_eq(list.items[0].id, "alpha");
    ck_assert_str_eq(list.items[1].id, "beta");
    ck_assert_str_eq(list.items[2].id, "broken");
    ck_assert_ptr_null(list.items[0].error);
    ck_assert_int_eq(list.items[0].info.layers, 2);
    ck_assert_str_eq(list.items[0].info.architecture, "llama");
    ck_assert_uint_eq(strlen(list.items[0].digest), 64);
    ck_assert_ptr_nonnull(list.items[2].error);
    models_list_clear(&list);
}
END_TEST

/* A folder with a config.json is a model; what changes in it makes it another. */
START_TEST(listed_folder) {
    char zoo[1024], copy[300];
    const char *source = getenv("HEADSCOPE_SOURCE");
    snprintf(zoo, sizeof zoo, "%s/tests/golden/zoo/qwen3", source ? source : ".");
    ck_assert_int_eq(mkdir(file("Empty"), 0700), 0);
    ck_assert_int_eq(mkdir(file("Broken"), 0700), 0);
    snprintf(copy, sizeof copy, "%s/config.json", file("Broken"));
    ck_assert(write_file(copy, "{", 1));
    ck_assert_int_eq(symlink(zoo, file("Qwen3")), 0);
    start(NULL, 0);
    struct models_list list;
    ck_assert(models_list(models, &list));
    ck_assert_uint_eq(list.count, 2);
    ck_assert_str_eq(list.items[0].id, "broken");
    ck_assert_ptr_nonnull(list.items[0].error);
    ck_assert_str_eq(list.items[1].id, "qwen3");
    ck_assert_ptr_null(list.items[1].error);
    ck_assert_str_eq(list.items[1].info.architecture, "qwen3");
    ck_assert_str_eq(list.items[1].info.format, "safetensors");
    ck_assert_uint_eq(strlen(list.items[1].digest), 64);
    models_list_clear(&list);
    struct model_identity before, after;
    ck_assert(model_identity_of(file("Broken"), &before));
    ck_assert(write_file(copy, "{}", 2));
    ck_assert(model_identity_of(file("Broken"), &after));
    ck_assert(!model_identity_equal(&before, &after));
}
END_TEST

START_TEST(no_folder) {
    char gone[160];
    snprintf(gone, sizeof gone, "%s/not-there", folder);
    models = models_create(&(struct models_options){.folder = gone});
    struct models_list list;
    struct model_lease lease;
    ck_assert(models_list(models, &list));
    ck_assert_uint_eq(list.count, 0);
    models_list_clear(&list);
    ck_assert(!models_acquire(models, NULL, &lease, &problem));
    ck_assert_int_eq(problem.status, 422);
    ck_assert_ptr_nonnull(strstr(problem.detail, "fetch_model"));
}
END_TEST

START_TEST(acquired_by_id_never_by_path) {
    struct model_lease lease;
    write_model("alpha.gguf", 1);
    start(NULL, 0);
    ck_assert(models_acquire(models, "alpha", &lease, &problem));
    ck_assert_str_eq(lease.id, "alpha");
    ck_assert_int_eq(model_describe(lease.model)->heads, 4);
    ck_assert(models_lease_current(&lease));
    models_release(&lease);
    static const char *const wrong[] = {"alpha.gguf", "nope", "../../etc/passwd", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert(!models_acquire(models, wrong[i], &lease, &problem));
        ck_assert_int_eq(problem.status, 422);
    }
    ck_assert(!models_acquire(models, file("alpha.gguf"), &lease, &problem));
}
END_TEST

START_TEST(default_model) {
    struct model_lease lease;
    write_model("alpha.gguf", 1);
    write_model("zeta.gguf", 2);
    ck_assert(write_file(file("aaa.gguf"), "no", 2));
    start(NULL, 0);
    ck_assert(models_acquire(models, NULL, &lease, &problem)); /* the first usable */
    ck_assert_str_eq(lease.id, "alpha");
    models_release(&lease);
    write_model("SmolLM2-135M-Instruct.Q4_1.gguf", 3);
    ck_assert(models_acquire(models, NULL, &lease, &problem)); /* noticed though it came later */
    ck_assert_str_eq(lease.id, "smollm2-135m-instruct");
    models_release(&lease);
    models_destroy(models);
    start((const char *const[]){"zeta", "alpha"}, 2);
    ck_assert(models_acquire(models, NULL, &lease, &problem));
    ck_assert_str_eq(lease.id, "zeta");
    models_release(&lease);
    models_destroy(models);
    start((const char *const[]){"missing"}, 1);
    ck_assert(!models_acquire(models, NULL, &lease, &problem));
    ck_assert_ptr_nonnull(strstr(problem.detail, "missing"));
}
END_TEST

START_TEST(named_by_path) {
    struct model_lease lease;
    struct models_list list;
    char other[160], path[300], gone[200];
    snprintf(other, sizeof other, "%s/elsewhere", folder);
    ck_assert_int_eq(mkdir(other, 0700), 0);
    write_model("elsewhere/Gamma.gguf", 1);
    write_model("alpha.gguf", 2);
    snprintf(path, sizeof path, "%s/Gamma.gguf", other);
    snprintf(gone, sizeof gone, "%s/gone.gguf", other);
    start((const char *const[]){path, gone}, 2);
    ck_assert(models_acquire(models, NULL, &lease, &problem));
    ck_assert_str_eq(lease.id, "gamma");
    models_release(&lease);
    ck_assert(models_list(models, &list));
    ck_assert_uint_eq(list.count, 3);
    ck_assert_str_eq(list.items[2].id, "gone");
    ck_assert_ptr_nonnull(list.items[2].error);
    models_list_clear(&list);
    ck_assert(!models_acquire(models, "gone", &lease, &problem));
    ck_assert_int_eq(problem.status, 422);
    models_destroy(models);
    snprintf(path, sizeof path, "%s", file("alpha.gguf")); /* of the folder, and named: one model */
    start((const char *const[]){path}, 1);
    ck_assert(models_list(models, &list));
    ck_assert_uint_eq(list.count, 1);
    models_list_clear(&list);
}
END_TEST

START_TEST(collisions) {
    struct models_list list;
    struct model_lease lease;
    char first[96];
    write_model("alpha.q4_1.gguf", 1);
    write_model("alpha.f16.gguf", 2);
    start(NULL, 0);
    ck_assert(models_list(models, &list));
    ck_assert_uint_eq(list.count, 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(strlen(list.items[i].id), strlen("alpha-12345678"));
        ck_assert(!strncmp(list.items[i].id, "alpha-", 6) && !strncmp(list.items[i].id + 6, list.items[i].digest, 8));
    }
    ck_assert_str_ne(list.items[0].id, list.items[1].id);
    snprintf(first, sizeof first, "%s", list.items[0].id);
    models_list_clear(&list);
    ck_assert(models_acquire(models, first, &lease, &problem));
    models_release(&lease);
    ck_assert_int_eq(unlink(file("alpha.f16.gguf")), 0); /* alone again: the plain id */
    ck_assert(models_acquire(models, "alpha", &lease, &problem));
    models_release(&lease);
}
END_TEST

START_TEST(replaced_while_open) {
    struct model_lease old, new;
    write_model("alpha.gguf", 1);
    start(NULL, 0);
    ck_assert(models_acquire(models, "alpha", &old, &problem));
    write_model("alpha.gguf", 2);
    ck_assert(models_lease_current(&old)); /* renamed over: the old bytes are still mapped */
    ck_assert(models_acquire(models, "alpha", &new, &problem));
    ck_assert_str_ne(old.digest, new.digest);
    ck_assert_ptr_ne(old.model, new.model);
    ck_assert(!models_acquire_digest(models, old.digest, &(struct model_lease){0}, &problem));
    ck_assert_int_eq(problem.status, 409);
    models_release(&old);
    ck_assert(models_acquire_digest(models, new.digest, &old, &problem));
    models_release(&old);
    FILE *f = fopen(file("alpha.gguf"), "ab"); /* written into: what is mapped is no longer what was opened */
    fputc('x', f);
    fclose(f);
    ck_assert(!models_lease_current(&new));
    models_release(&new);
    ck_assert_int_eq(unlink(file("alpha.gguf")), 0);
    ck_assert(!models_acquire(models, "alpha", &new, &problem));
}
END_TEST

START_TEST(broken_then_mended) {
    struct model_lease lease;
    ck_assert(write_file(file("alpha.gguf"), "GGUF", 4));
    start(NULL, 0);
    ck_assert(!models_acquire(models, "alpha", &lease, &problem));
    ck_assert_int_eq(problem.status, 422);
    write_model("alpha.gguf", 1);
    ck_assert_msg(models_acquire(models, "alpha", &lease, &problem), "%s", problem.detail);
    models_release(&lease);
}
END_TEST

#define THREADS 6

static void *use_models(void *argument) {
    unsigned number = (unsigned)(size_t)argument;
    for (unsigned i = 0; i < 40; i++) {
        char id[16];
        struct model_lease lease, copy;
        struct problem trouble;
        struct models_list list;
        snprintf(id, sizeof id, "m%u", (number + i) % 7);
        if (models_acquire(models, id, &lease, &trouble)) {
            if (models_lease_copy(&lease, &copy)) models_release(&copy);
            models_release(&lease);
        }
        if (i % 10 == number && models_list(models, &list)) models_list_clear(&list);
    }
    return NULL;
}

START_TEST(many_threads) {
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < 7; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%u.gguf", i);
        write_model(name, i + 1);
    }
    start(NULL, 0);
    for (size_t i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, use_models, (void *)i), 0);
    for (unsigned i = 0; i < 5; i++) write_model("m3.gguf", 10 + i);
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("models");
    TCase *t = tcase_create("catalogue");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, id_of_a_name, 0, sizeof ids / sizeof ids[0]);
    tcase_add_test(t, listed);
    tcase_add_test(t, listed_folder);
    tcase_add_test(t, no_folder);
    tcase_add_test(t, acquired_by_id_never_by_path);
    tcase_add_test(t, default_model);
    tcase_add_test(t, named_by_path);
    tcase_add_test(t, collisions);
    tcase_add_test(t, replaced_while_open);
    tcase_add_test(t, broken_then_mended);
    tcase_add_test(t, many_threads);
    suite_add_tcase(s, t);
    return s;
}

#include "tests/check_main.h"
