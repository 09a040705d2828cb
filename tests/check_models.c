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
    {"/models/Big-Q4_K_M-00001-of-00003.gguf", "big"},
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
    ck_assert(models_list(models, -1, &list));
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

/* Of a file in parts the first stands for all; what changes in another part makes it another model. */
START_TEST(listed_parts) {
    ck_assert(write_file(file("Big-00001-of-00002.gguf"), "x", 1));
    ck_assert(write_file(file("Big-00002-of-00002.gguf"), "yz", 2));
    struct model_files files = {0};
    ck_assert(model_files_of_folder(folder, &files));
    ck_assert_uint_eq(files.count, 1);
    ck_assert_str_eq(files.items[0].id, "big");
    ck_assert_uint_eq(files.items[0].identity.size, 3);
    struct model_identity now;
    ck_assert(write_file(file("Big-00002-of-00002.gguf"), "yz!", 3));
    ck_assert(model_identity_of(files.items[0].path, &now));
    ck_assert(!model_identity_equal(&now, &files.items[0].identity));
    model_files_clear(&files);
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
    ck_assert(models_list(models, -1, &list));
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
    ck_assert(models_list(models, -1, &list));
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
    ck_assert(models_list(models, -1, &list));
    ck_assert_uint_eq(list.count, 3);
    ck_assert_str_eq(list.items[2].id, "gone");
    ck_assert_ptr_nonnull(list.items[2].error);
    models_list_clear(&list);
    ck_assert(!models_acquire(models, "gone", &lease, &problem));
    ck_assert_int_eq(problem.status, 422);
    models_destroy(models);
    snprintf(path, sizeof path, "%s", file("alpha.gguf")); /* of the folder, and named: one model */
    start((const char *const[]){path}, 1);
    ck_assert(models_list(models, -1, &list));
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
    ck_assert(models_list(models, -1, &list));
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

static void make_folders(const char *path) { /* and all above it */
    char part[512];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        mkdir(part, 0700);
    }
    mkdir(path, 0700);
}

/* Writes a model into `blobs` under its digest behind `prefix`; returns the digest. */
static const char *write_blob(const char *blobs, const char *prefix, uint32_t seed) {
    static char digest[65];
    char path[512], error[256];
    make_folders(file(blobs));
    write_model("blob.gguf", seed);
    ck_assert_int_eq(model_file_digest(file("blob.gguf"), NULL, digest, error, sizeof error), ENGINE_OK);
    snprintf(path, sizeof path, "%s/%s/%s%s", folder, blobs, prefix, digest);
    char from[300];
    snprintf(from, sizeof from, "%s", file("blob.gguf"));
    ck_assert_int_eq(rename(from, path), 0);
    return digest;
}

static void write_text(const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s", file(name));
    *strrchr(path, '/') = '\0';
    make_folders(path);
    ck_assert(write_file(file(name), text, strlen(text)));
}

static void start_with_stores(const char *own) {
    static char hub[200], llama[200], ollama[200], folder_of_models[200];
    snprintf(hub, sizeof hub, "%s/hub", folder);
    snprintf(llama, sizeof llama, "%s/llama.cpp", folder);
    snprintf(ollama, sizeof ollama, "%s/ollama", folder);
    snprintf(folder_of_models, sizeof folder_of_models, "%s/%s", folder, own);
    models = models_create(&(struct models_options){.folder = folder_of_models, .stores = {hub, llama, {ollama, "/nowhere/at/all"}}});
    ck_assert_ptr_nonnull(models);
}

static const struct models_item *item_of(const struct models_list *list, const char *id) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0) return &list->items[i];
    ck_abort_msg("no %s in the list", id);
}

/* One model in each store, and what else lies about there. */
START_TEST(stores) {
    struct models_list list;
    char link[300], text[512], hub_digest[65], ollama_digest[65];
    snprintf(hub_digest, sizeof hub_digest, "%s", write_blob("hub/models--Org--Tiny-GGUF/blobs", "", 1));
    make_folders(file("hub/models--Org--Tiny-GGUF/snapshots/0ld"));
    make_folders(file("hub/models--Org--Tiny-GGUF/snapshots/abc123"));
    write_text("hub/models--Org--Tiny-GGUF/refs/main", "abc123\n");
    snprintf(text, sizeof text, "../../blobs/%s", hub_digest);
    snprintf(link, sizeof link, "%s", file("hub/models--Org--Tiny-GGUF/snapshots/abc123/tiny.Q4_1.gguf"));
    ck_assert_int_eq(symlink(text, link), 0);
    snprintf(link, sizeof link, "%s", file("hub/models--Org--Tiny-GGUF/snapshots/0ld/older.gguf"));
    ck_assert_int_eq(symlink(text, link), 0);
    write_text("hub/models--org--broken/snapshots/0/config.json", "{"); /* no refs: the latest */
    write_text("hub/models--org--escape/refs/main", "../../../../etc");
    write_text("hub/datasets--org--texts/snapshots/0/config.json", "{}");
    make_folders(file("llama.cpp"));
    write_model("llama.cpp/org_other-F16.gguf", 2);
    write_text("llama.cpp/org_other-F16.gguf.json", "{}");
    snprintf(ollama_digest, sizeof ollama_digest, "%s", write_blob("ollama/blobs", "sha256-", 3));
    snprintf(text, sizeof text, "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:%s\"}]}", ollama_digest);
    write_text("ollama/manifests/registry.ollama.ai/library/Small/latest", text);
    write_text("ollama/manifests/registry.ollama.ai/library/Small/1b-instruct-q4_K_M", text); /* the same blob: one model */
    write_text("ollama/manifests/registry.ollama.ai/library/Small/torn", "{\"layers\":[");
    write_text("ollama/manifests/registry.ollama.ai/library/Small/away", "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:../../../etc\"}]}");
    snprintf(ollama_digest, sizeof ollama_digest, "%s", write_blob("ollama/blobs", "sha256-", 4));
    snprintf(text, sizeof text, "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:%s\"},"
             "{\"mediaType\":\"application/vnd.ollama.image.adapter\",\"digest\":\"sha256:%s\"}]}", ollama_digest, ollama_digest);
    write_text("ollama/manifests/registry.ollama.ai/me/tuned/v2", text);
    make_folders(file("own"));
    start_with_stores("own");
    ck_assert(models_list(models, -1, &list));
    ck_assert_uint_eq(list.count, 5);
    ck_assert_int_eq(item_of(&list, "tiny")->source, MODEL_SOURCE_HUB);
    ck_assert_str_eq(item_of(&list, "tiny")->digest, hub_digest);
    ck_assert_ptr_nonnull(item_of(&list, "broken")->error);
    ck_assert_int_eq(item_of(&list, "org_other")->source, MODEL_SOURCE_LLAMA_CPP);
    ck_assert_int_eq(item_of(&list, "small")->source, MODEL_SOURCE_OLLAMA);
    ck_assert_ptr_null(item_of(&list, "small")->error);
    ck_assert_ptr_nonnull(strstr(item_of(&list, "tuned-v2")->error, "adapter"));
    models_list_clear(&list);
}
END_TEST

/* A blob goes by the digest that its name says: it is not read. */
START_TEST(digest_of_a_blob) {
    char path[512], digest[65], error[256], name[65];
    memset(name, 'a', 64);
    name[64] = '\0';
    write_text("blobs/readme", "x");
    snprintf(path, sizeof path, "%s/blobs/%s", folder, name);
    ck_assert(write_file(path, "x", 1));
    ck_assert_int_eq(model_file_digest(path, NULL, digest, error, sizeof error), ENGINE_OK);
    ck_assert_str_eq(digest, name);
    ck_assert_int_eq(model_file_digest(file("blobs/readme"), NULL, digest, error, sizeof error), ENGINE_OK);
    ck_assert_str_eq(digest, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"); /* sha256sum of "x" */
}
END_TEST

/* The same bytes in two places are one model; of another's bytes under the same name there are two. */
START_TEST(copies) {
    struct models_list list;
    struct model_lease lease;
    make_folders(file("own"));
    make_folders(file("llama.cpp"));
    write_model("own/alpha.gguf", 1);
    write_model("llama.cpp/alpha.gguf", 1);
    start_with_stores("own");
    ck_assert(models_list(models, -1, &list));
    ck_assert_uint_eq(list.count, 1);
    ck_assert_str_eq(list.items[0].id, "alpha");
    ck_assert_int_eq(list.items[0].source, MODEL_SOURCE_FOLDER);
    models_list_clear(&list);
    write_model("own/alpha.F16.gguf", 2);
    ck_assert(models_list(models, -1, &list));
    ck_assert_uint_eq(list.count, 2);
    ck_assert_str_ne(list.items[0].id, list.items[1].id);
    ck_assert(models_acquire(models, list.items[1].id, &lease, &problem));
    models_release(&lease);
    models_list_clear(&list);
}
END_TEST

/* Lists do not wait for digests, and say how far they are; the reader makes them meanwhile. */
START_TEST(loading) {
    struct models_list list;
    struct model_lease lease;
    write_model("alpha.gguf", 1);
    start(NULL, 0);
    bool ready = models_ready(models, &problem); /* asks for it */
    ck_assert(ready || problem.status == 503);
    ck_assert(models_list(models, 0, &list));
    ck_assert_uint_eq(list.count, 1);
    ck_assert(list.items[0].loading == (list.items[0].digest[0] == '\0'));
    ck_assert(list.items[0].is_default);
    ck_assert_ptr_null(list.items[0].error);
    ck_assert_int_eq(list.items[0].info.layers, 2);
    models_list_clear(&list);
    ck_assert(models_list(models, 60000, &list));
    ck_assert(!list.items[0].loading && list.items[0].open);
    ck_assert_uint_eq(strlen(list.items[0].digest), 64);
    models_list_clear(&list);
    ck_assert_msg(models_ready(models, &problem), "%s", problem.detail);
    models_stop(models); /* what is known is still there; what is not is given up */
    ck_assert(models_acquire(models, "alpha", &lease, &problem));
    models_release(&lease);
    write_model("beta.gguf", 2);
    ck_assert(!models_acquire(models, "beta", &lease, &problem));
    ck_assert_int_eq(problem.status, 503);
}
END_TEST

/* Open models fit the memory that they may take: the least recently used goes. */
START_TEST(least_recently_used_goes) {
    struct models_list list;
    struct model_lease lease;
    struct stat s;
    for (unsigned i = 0; i < 3; i++) write_model((const char *const[]){"a.gguf", "b.gguf", "c.gguf"}[i], i + 1);
    ck_assert_int_eq(stat(file("a.gguf"), &s), 0);
    models = models_create(&(struct models_options){.folder = folder, .memory_max = (uint64_t)s.st_size * 5 / 2});
    for (unsigned i = 0; i < 4; i++) {
        ck_assert(models_acquire(models, (const char *const[]){"a", "b", "a", "c"}[i], &lease, &problem));
        models_release(&lease);
    }
    ck_assert(models_list(models, -1, &list));
    ck_assert(list.items[0].open && !list.items[1].open && list.items[2].open);
    models_list_clear(&list);
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
        if (i % 10 == number && models_list(models, i % 2 ? -1 : 0, &list)) models_list_clear(&list);
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
    tcase_add_test(t, listed_parts);
    tcase_add_test(t, no_folder);
    tcase_add_test(t, acquired_by_id_never_by_path);
    tcase_add_test(t, default_model);
    tcase_add_test(t, named_by_path);
    tcase_add_test(t, collisions);
    tcase_add_test(t, replaced_while_open);
    tcase_add_test(t, broken_then_mended);
    tcase_add_test(t, stores);
    tcase_add_test(t, digest_of_a_blob);
    tcase_add_test(t, copies);
    tcase_add_test(t, loading);
    tcase_add_test(t, least_recently_used_goes);
    tcase_add_test(t, many_threads);
    suite_add_tcase(s, t);
    return s;
}

#include "tests/check_main.h"
