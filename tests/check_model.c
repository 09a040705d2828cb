/* Models: what is read from a file, what is refused and how, and what happens when the file changes. */
#include "engine/model.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/failing_malloc.h"
#include "tests/memory_limit.h"
#include "tests/models.h"
#include "tests/tiny_model.h"

static char folder[] = "/tmp/check_model.XXXXXX", path[64], error[512];

static void make_folder(void) {
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tiny-random.F32.gguf", folder);
}

static void remove_folder(void) {
    unlink(path);
    rmdir(folder);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static struct model *open_path(const char *file) {
    struct model *model = NULL;
    ck_assert_msg(model_open(file, &model, error, sizeof error) == ENGINE_OK, "%s", error);
    return model;
}

static enum engine_status try_path(void) {
    struct model *model = NULL;
    error[0] = '\0';
    enum engine_status status = model_open(path, &model, error, sizeof error);
    ck_assert((status == ENGINE_OK) == (model != NULL));
    if (status != ENGINE_OK) ck_assert_msg(error[0] != '\0', "status %d without a word", status);
    model_release(model);
    return status;
}

/* ---- sound models ------------------------------------------------------------------------------------------ */

START_TEST(describes_smollm2) {
    char file[4096];
    models_path(file, sizeof file, SMOLLM2_FILE);
    struct model *model = open_path(file);
    const struct model_info *info = model_describe(model);
    ck_assert_str_eq(info->name, "Smollm2 135M 8k Lc100K Mix1 Ep2");
    ck_assert_str_eq(info->architecture, "llama");
    ck_assert_str_eq(info->licence, "apache-2.0");
    ck_assert_str_eq(info->format, "gguf");
    ck_assert_str_eq(info->dtype, "Q4_1");
    ck_assert_str_eq(info->tokenizer, "bpe (smollm)");
    ck_assert_int_eq(info->layers, 30);
    ck_assert_int_eq(info->heads, 9);
    ck_assert_int_eq(info->kv_heads, 3);
    ck_assert_int_eq(info->head_dim, 64);
    ck_assert_int_eq(info->d_model, 576);
    ck_assert_int_eq(info->context, 8192);
    ck_assert_int_eq(info->vocabulary, 49152);
    ck_assert(info->causal);
    ck_assert_uint_eq(info->bytes, 98362432);
    ck_assert_int_eq(model->embedding.type, TENSOR_Q8_0);
    ck_assert_int_eq(model->layer[29].down.type, TENSOR_Q4_1);
    ck_assert_uint_eq(model->layer[0].k.rows, 192);
    ck_assert_int_eq(model->config.rope_dim, 64);
    ck_assert_float_eq(model->config.rope_theta, 100000.0f);
    ck_assert_float_eq(model->config.norm_epsilon, 1e-5f);
    ck_assert_float_eq(model->config.attention_scale, 0.125f);
    ck_assert_int_eq(model->config.rope_pairing, ROPE_ADJACENT);
    ck_assert_uint_eq(strlen(model_tokenizer_digest(model)), 64);
    model_release(model);
}
END_TEST

START_TEST(opens_smollm2_soon) {
    char file[4096], digest[65];
    models_path(file, sizeof file, SMOLLM2_FILE);
    double best = 1;
    for (int i = 0; i < 5; i++) {
        double start = seconds();
        model_release(open_path(file));
        double took = seconds() - start;
        if (took < best) best = took;
    }
    double start = seconds();
    ck_assert_int_eq(model_file_digest(file, NULL, digest, error, sizeof error), ENGINE_OK);
    printf("model: SmolLM2 opens in %.1f ms, its digest takes %.0f ms\n", 1e3 * best, 1e3 * (seconds() - start));
    ck_assert_str_eq(digest, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
}
END_TEST

START_TEST(reads_the_tiny_model) {
    struct tiny_model kind = tiny_model_default;
    kind.type = 1;
    ck_assert(tiny_model_write(path, &kind));
    struct model *model = open_path(path);
    const struct model_info *info = model_describe(model);
    ck_assert_str_eq(info->name, "Tiny");
    ck_assert_str_eq(info->dtype, "F16");
    ck_assert_int_eq(info->layers, 2);
    ck_assert_int_eq(model->layer[1].q.type, TENSOR_F16);
    ck_assert_int_eq(model->layer[1].ffn_norm.type, TENSOR_F32);
    ck_assert_int_eq(model->config.rope_dim, 8);
    ck_assert_ptr_eq(model_retain(model), model);
    model_release(model);
    ck_assert_str_eq(model_describe(model)->name, "Tiny"); /* the second reference keeps it */
    model_release(model);
    model_release(NULL);
}
END_TEST

/* Names reach JSON and terminals. */
START_TEST(shows_no_unreadable_names) {
    static const char *const names[] = {"a\x1b[3", "a\nb", "\xff", "\xc2\x9b", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct gguf_writer writer;
        size_t size;
        gguf_writer_start(&writer);
        tiny_model_put(&writer, &tiny_model_default);
        unsigned char *file = gguf_writer_finish(&writer, &size);
        unsigned char *name = memmem(file, size, "Tiny", 4);
        ck_assert_ptr_nonnull(name);
        memset(name, ' ', 4);
        memcpy(name, names[i], strlen(names[i]));
        ck_assert(write_file(path, file, size));
        free(file);
        gguf_writer_drop(&writer);
        struct model *model = open_path(path);
        ck_assert_str_eq(model_describe(model)->name, strlen(names[i]) > 0 ? strrchr(path, '/') + 1 : "    ");
        model_release(model);
    }
}
END_TEST

START_TEST(digests_files) {
    char digest[65] = "untouched";
    unlink(path);
    ck_assert_int_eq(model_file_digest(path, NULL, digest, error, sizeof error), ENGINE_NOT_FOUND);
    ck_assert_int_eq(model_file_digest(folder, NULL, digest, error, sizeof error), ENGINE_INVALID);
    ck_assert_str_eq(digest, "untouched");
    ck_assert(write_file(path, "abc", 3)); /* FIPS 180-4's own example */
    ck_assert_int_eq(model_file_digest(path, NULL, digest, error, sizeof error), ENGINE_OK);
    ck_assert_str_eq(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert(write_file(path, "", 0));
    ck_assert_int_eq(model_file_digest(path, NULL, digest, error, sizeof error), ENGINE_OK);
    ck_assert_str_eq(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
END_TEST

/* ---- what is refused by name --------------------------------------------------------------------------------- */

static enum engine_status try_writer(struct gguf_writer *writer) {
    size_t size;
    unsigned char *file = gguf_writer_finish(writer, &size);
    gguf_writer_drop(writer);
    ck_assert(write_file(path, file, size));
    free(file);
    return try_path();
}

static void put_scaling_none(struct gguf_writer *w) { gguf_put_string(w, "llama.rope.scaling.type", "none"); }
static void put_factor_1(struct gguf_writer *w) { gguf_put_f32(w, "llama.rope.scaling.factor", 1); }
static void put_no_window(struct gguf_writer *w) { gguf_put_u32(w, "llama.attention.sliding_window", 0); }
static void put_causal(struct gguf_writer *w) { gguf_put_bool(w, "llama.attention.causal", true); }
static void put_no_experts(struct gguf_writer *w) { gguf_put_u32(w, "llama.expert_count", 0); }
static void put_layout(struct gguf_writer *w) { gguf_put_string(w, "llama.tensor_data_layout", "Meta AI original pth"); }
static void put_vocab_size(struct gguf_writer *w) { gguf_put_u32(w, "llama.vocab_size", TINY_VOCABULARY); }
static void put_head_dim(struct gguf_writer *w) { gguf_put_u32(w, "llama.attention.key_length", 8); }
static void put_template(struct gguf_writer *w) { gguf_put_string(w, "tokenizer.chat_template", "{{ x }}"); }
static void put_fim(struct gguf_writer *w) { gguf_put_u32(w, "tokenizer.ggml.fim_pre_token_id", 3); }

START_TEST(accepts_what_changes_nothing) {
    static void (*const puts_[])(struct gguf_writer *) = {put_scaling_none, put_factor_1, put_no_window, put_causal, put_no_experts, put_layout,
                                                          put_vocab_size, put_head_dim, put_template, put_fim};
    for (size_t i = 0; i < sizeof puts_ / sizeof puts_[0]; i++) {
        struct gguf_writer writer;
        gguf_writer_start(&writer);
        tiny_model_put(&writer, &tiny_model_default);
        puts_[i](&writer);
        ck_assert_msg(try_writer(&writer) == ENGINE_OK, "case %zu: %s", i, error);
    }
}
END_TEST

static void put_dynamic(struct gguf_writer *w) { gguf_put_string(w, "llama.rope.scaling.type", "dynamic"); }
static void put_other_layout(struct gguf_writer *w) { gguf_put_string(w, "llama.tensor_data_layout", "reference"); }
static void put_window(struct gguf_writer *w) { gguf_put_u32(w, "llama.attention.sliding_window", 4096); }
static void put_shared(struct gguf_writer *w) { gguf_put_u32(w, "llama.expert_shared_count", 1); }
static void put_encoder(struct gguf_writer *w) { gguf_put_bool(w, "llama.attention.causal", false); }
static void put_new(struct gguf_writer *w) { gguf_put_f32(w, "llama.attention.temperature_scale", 0.5f); }
static void put_value_length(struct gguf_writer *w) { gguf_put_u32(w, "llama.attention.value_length", 16); }
static void put_bias(struct gguf_writer *w) { gguf_put_tensor(w, "blk.0.attn_norm.bias", 0, 0, 1, "1234", 4); }
static void put_lora(struct gguf_writer *w) { gguf_put_tensor(w, "blk.0.attn_q.weight.lora_a", 0, 0, 1, "1234", 4); }
static void put_attn_factor(struct gguf_writer *w) { gguf_put_f32(w, "llama.rope.scaling.attn_factor", 1.5f); }
static void put_third_layer(struct gguf_writer *w) { gguf_put_tensor(w, "blk.2.attn_q.weight", 0, 0, 1, "1234", 4); }
static void put_zero_layer(struct gguf_writer *w) { gguf_put_tensor(w, "blk.00.attn_q.weight", 0, 0, 1, "1234", 4); }
static void put_split(struct gguf_writer *w) { gguf_put_u32(w, "split.count", 3); }
static void put_adapter(struct gguf_writer *w) { gguf_put_string(w, "general.type", "adapter"); }
static void put_prefix(struct gguf_writer *w) { gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", true); }
static void put_charsmap(struct gguf_writer *w) { gguf_put_string(w, "tokenizer.ggml.precompiled_charsmap", "x"); }

/* The file at `path` opens, and says why it takes no texts. */
static void check_takes_ids_only(const char *names) {
    struct model *model = open_path(path);
    ck_assert_str_eq(model_describe(model)->tokenizer, "");
    ck_assert_msg(strstr(model_describe(model)->tokenizer_error, names) != NULL, "%s", model_describe(model)->tokenizer_error);
    model_release(model);
}

START_TEST(refuses_by_name_what_it_does_not_do) {
    static const struct { void (*put)(struct gguf_writer *); const char *name; } cases[] = {
        {put_dynamic, "dynamic (llama.rope.scaling.type)"}, {put_attn_factor, "llama.rope.scaling.attn_factor"},
        {put_window, "llama.attention.sliding_window"}, {put_shared, "llama.expert_shared_count"}, {put_encoder, "llama.attention.causal"},
        {put_new, "llama.attention.temperature_scale"}, {put_value_length, "llama.attention.value_length"},
        {put_bias, "blk.0.attn_norm.bias"}, {put_lora, "blk.0.attn_q.weight.lora_a"}, {put_third_layer, "blk.2.attn_q.weight"}, {put_zero_layer, "blk.00.attn_q.weight"},
        {put_other_layout, "llama.tensor_data_layout"}, {put_split, "split.count"}, {put_adapter, "general.type"}, {put_prefix, "tokenizer.ggml.add_space_prefix"},
        {put_charsmap, "tokenizer.ggml.precompiled_charsmap"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gguf_writer writer;
        gguf_writer_start(&writer);
        tiny_model_put(&writer, &tiny_model_default);
        cases[i].put(&writer);
        bool of_tokenizer = strncmp(cases[i].name, "tokenizer.", 10) == 0;
        ck_assert_msg(try_writer(&writer) == (of_tokenizer ? ENGINE_OK : ENGINE_UNSUPPORTED), "%s: %s", cases[i].name, error);
        if (of_tokenizer) {
            check_takes_ids_only(cases[i].name);
            continue;
        }
        ck_assert_msg(strstr(error, cases[i].name) != NULL, "%s: %s", cases[i].name, error);
    }
}
END_TEST

static void put_yarn(struct gguf_writer *w) { gguf_put_string(w, "llama.rope.scaling.type", "yarn"); }
static void put_experts(struct gguf_writer *w) { gguf_put_u32(w, "llama.expert_count", 8); }
static void put_short(struct gguf_writer *w) { gguf_put_tensor(w, "rope_factors_short.weight", 0, 0, 4, "\0\0\200?\0\0\200?\0\0\200?\0\0\200?", 16); }
static void put_two_factors(struct gguf_writer *w) { gguf_put_tensor(w, "rope_freqs.weight", 0, 0, 2, "\0\0\200?\0\0\200?", 8); }
static void put_no_factors(struct gguf_writer *w) { gguf_put_tensor(w, "rope_freqs.weight", 0, 0, 4, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16); }
static void put_wide_bias(struct gguf_writer *w) { gguf_put_tensor(w, "blk.0.attn_q.bias", 0, 0, 1, "1234", 4); }
static void put_minus(struct gguf_writer *w) { gguf_put_f32(w, "llama.rope.scaling.factor", -2); }
static void put_other_size(struct gguf_writer *w) { gguf_put_u32(w, "llama.vocab_size", TINY_VOCABULARY + 1); }

/* Known keys and tensors that say what cannot be. */
START_TEST(refuses_by_name_what_cannot_be) {
    static const struct { void (*put)(struct gguf_writer *); const char *name; } cases[] = {
        {put_yarn, "llama.rope.scaling.type"}, {put_experts, "llama.expert_used_count"}, {put_short, "rope_factors_long"},
        {put_two_factors, "rope_freqs.weight"}, {put_no_factors, "rope_freqs.weight"}, {put_wide_bias, "blk.0.attn_q.bias"},
        {put_minus, "llama.rope.scaling.factor"}, {put_other_size, "llama.vocab_size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gguf_writer writer;
        gguf_writer_start(&writer);
        tiny_model_put(&writer, &tiny_model_default);
        cases[i].put(&writer);
        ck_assert_msg(try_writer(&writer) == ENGINE_BROKEN, "%s: %s", cases[i].name, error);
        ck_assert_msg(strstr(error, cases[i].name) != NULL, "%s: %s", cases[i].name, error);
    }
}
END_TEST

START_TEST(refuses_other_kinds_by_name) {
    static const char *const pres[] = {"kimi-k2", "gpt-22", "", "smollm\n"};
    struct gguf_writer writer;
    gguf_writer_start(&writer);
    gguf_put_string(&writer, "general.architecture", "mamba");
    ck_assert_int_eq(try_writer(&writer), ENGINE_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error, "mamba"));
    gguf_put_string(&writer, "general.architecture", "llama"); /* a vocabulary and nothing else */
    tiny_model_put_tokenizer(&writer, &tiny_model_default);
    ck_assert_int_eq(try_writer(&writer), ENGINE_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error, "vocabulary"));
    for (size_t i = 0; i < sizeof pres / sizeof pres[0]; i++) {
        struct tiny_model kind = tiny_model_default;
        kind.pre = pres[i];
        ck_assert(tiny_model_write(path, &kind));
        check_takes_ids_only("tokenizer.ggml.pre");
    }
    struct tiny_model none = tiny_model_default;
    none.pre = NULL;
    tiny_model_put(&writer, &none);
    gguf_put_string(&writer, "tokenizer.ggml.model", "rwkv");
    ck_assert_int_eq(try_writer(&writer), ENGINE_OK);
    check_takes_ids_only("rwkv");
}
END_TEST

/* Each text that a model needs, as a number. */
START_TEST(refuses_values_of_another_type) {
    static const char *const keys[] = {"general.architecture", "general.type", "tokenizer.ggml.model", "tokenizer.ggml.pre",
                                       "tokenizer.ggml.tokens", "tokenizer.ggml.merges", "llama.rope.scaling.type"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct tiny_model none = tiny_model_default;
        struct gguf_writer writer;
        none.pre = NULL;
        gguf_writer_start(&writer);
        if (i > 0) tiny_model_put(&writer, &none);
        if (i > 2) gguf_put_string(&writer, "tokenizer.ggml.model", "gpt2");
        if (i > 3) gguf_put_string(&writer, "tokenizer.ggml.pre", "gpt-2");
        if (i > 4) gguf_put_strings(&writer, "tokenizer.ggml.tokens", (const char *const[]){"a"}, 1);
        gguf_put_u32(&writer, keys[i], 3);
        ck_assert_int_ne(try_writer(&writer), ENGINE_OK);
        ck_assert_msg(strstr(error, keys[i]) != NULL, "%s: %s", keys[i], error);
    }
}
END_TEST

START_TEST(refuses_shapes_that_do_not_fit) {
    static const struct { const char *what; struct tiny_model kind; } cases[] = {
        {"heads", {2, 5, 2, 8, 64, 256, 1, 0, false, "smollm"}},
        {"llama.block_count", {0, 4, 2, 8, 64, 256, 1, 0, false, "smollm"}},
        {"llama.context_length", {2, 4, 2, 8, 64, 0, 1, 0, false, "smollm"}},
        {"rope", {2, 4, 2, 7, 64, 256, 1, 0, false, "smollm"}}, /* an odd head size cannot turn in pairs */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert(tiny_model_write(path, &cases[i].kind));
        ck_assert_int_eq(try_path(), ENGINE_BROKEN);
        ck_assert_msg(strstr(error, cases[i].what) != NULL, "%s: %s", cases[i].what, error);
    }
    struct gguf_writer writer;
    gguf_writer_start(&writer);
    tiny_model_put(&writer, &tiny_model_default);
    gguf_put_tensor(&writer, "output.weight", 0, 1, 1, "1234", 4);
    ck_assert_int_eq(try_writer(&writer), ENGINE_BROKEN);
    ck_assert_ptr_nonnull(strstr(error, "output.weight"));
}
END_TEST

/* ---- damaged files ------------------------------------------------------------------------------------------- */

/* Where the header of the tiny model ends and its weights start. */
static size_t tiny_header(size_t *size) {
    struct gguf_writer writer;
    gguf_writer_start(&writer);
    tiny_model_put(&writer, &tiny_model_default);
    free(gguf_writer_finish(&writer, size));
    size_t header = *size - writer.data.size;
    gguf_writer_drop(&writer);
    ck_assert(tiny_model_write(path, NULL));
    return header;
}

START_TEST(refuses_every_shortened_file) {
    size_t size, header = tiny_header(&size);
    ck_assert_int_eq(try_path(), ENGINE_OK);
    for (size_t cut = size; cut-- > 0;) {
        if (cut > header && cut < size - 9 && cut % 61 != 0) continue; /* within the weights all cuts are alike */
        ck_assert_int_eq(truncate(path, (off_t)cut), 0);
        ck_assert_msg(try_path() == ENGINE_BROKEN, "cut at %zu of %zu: %s", cut, size, error);
    }
}
END_TEST

/* Numbers of the header at every byte, and bits: nothing but an error or a sound model comes of it, soon. */
START_TEST(survives_damaged_headers) {
    static const uint64_t extremes[] = {0, INT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX, UINT64_MAX - 7, UINT64_MAX};
    size_t size, header = tiny_header(&size);
    int file = open(path, O_RDWR);
    unsigned refused = 0, tried = 0;
    double longest = 0;
    limit_memory(64 << 20);
    for (size_t at = (size_t)_i; at + 8 <= header; at += 4) {
        unsigned char saved[8], flipped;
        ck_assert_int_eq(pread(file, saved, 8, (off_t)at), 8);
        for (size_t i = 0; i < sizeof extremes / sizeof extremes[0] + 2; i++) {
            flipped = (unsigned char)(saved[0] ^ 1u << (at * 5 + i * 3) % 8);
            if (i < sizeof extremes / sizeof extremes[0]) ck_assert_int_eq(pwrite(file, &extremes[i], 8, (off_t)at), 8);
            else ck_assert_int_eq(pwrite(file, &flipped, 1, (off_t)at), 1);
            double start = seconds();
            enum engine_status status = try_path();
            if (status == ENGINE_NO_MEMORY) ck_abort_msg("byte %zu changed in way %zu asks for too much memory", at, i);
            refused += status != ENGINE_OK;
            if (seconds() - start > longest) longest = seconds() - start;
            tried++;
            ck_assert_int_eq(pwrite(file, saved, 8, (off_t)at), 8);
        }
    }
    close(file);
    printf("model: %u of %u damaged headers refused, the longest took %.1f ms\n", refused, tried, 1e3 * longest);
    ck_assert_uint_gt(refused, tried / 2);
    ck_assert_int_eq(try_path(), ENGINE_OK);
}
END_TEST

START_TEST(notices_a_file_cut_short_in_use) {
    ck_assert(tiny_model_write(path, NULL));
    struct model *model = open_path(path);
    ck_assert(!model_is_broken(model));
    ck_assert_int_eq(truncate(path, 100), 0);
    ck_assert(model_is_broken(model));
    const volatile unsigned char *weights = model->layer[1].down.data;
    ck_assert_uint_eq(weights[0], 0);
    /* The tokenizer is a copy and still works. */
    struct token *tokens = NULL;
    size_t n = 0;
    const struct tokenize_options options = {.parse_special = true, .add_special = true};
    ck_assert_int_eq(model_tokenize(model, "the", 3, &options, &tokens, &n, error, sizeof error), ENGINE_OK);
    ck_assert_uint_eq(n, 1);
    free(tokens);
    model_release(model);
}
END_TEST

static atomic_bool writing_ends;

static void *write_over_and_over(void *context) {
    size_t header = *(size_t *)context;
    int file = open(path, O_RDWR);
    uint32_t state = 1;
    while (!atomic_load(&writing_ends)) {
        state = state * 1664525u + 1013904223u;
        unsigned char byte, changed = (unsigned char)(state >> 3);
        off_t at = (off_t)((state >> 8) % header);
        if (pread(file, &byte, 1, at) != 1 || pwrite(file, &changed, 1, at) != 1 || pwrite(file, &byte, 1, at) != 1) break;
    }
    close(file);
    return NULL;
}

/* What was checked may be different when it is used. */
START_TEST(survives_a_file_that_changes_while_it_is_opened) {
    pthread_t writer;
    size_t size, header = tiny_header(&size);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_over_and_over, &header), 0);
    for (double start = seconds(); seconds() - start < 1.5;) {
        struct model *model = NULL;
        if (model_open(path, &model, error, sizeof error) == ENGINE_OK) model_release(model);
    }
    atomic_store(&writing_ends, true);
    pthread_join(writer, NULL);
}
END_TEST

START_TEST(survives_every_failing_allocation) {
    ck_assert(tiny_model_write(path, NULL));
    for (long turn = 0;; turn++) {
        failing_malloc_after(turn);
        struct model *model = NULL;
        enum engine_status status = model_open(path, &model, error, sizeof error);
        if (!failing_malloc_stop()) {
            ck_assert_int_eq(status, ENGINE_OK);
            model_release(model);
            printf("model: %ld allocations failed in turn\n", turn);
            ck_assert_int_gt(turn, 15);
            break;
        }
        ck_assert_int_eq(status, ENGINE_NO_MEMORY);
        ck_assert_ptr_null(model);
    }
    char digest[65];
    failing_malloc_after(0);
    ck_assert_int_eq(model_file_digest(path, NULL, digest, error, sizeof error), ENGINE_NO_MEMORY);
    ck_assert(failing_malloc_stop());
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("model");
    TCase *models = tcase_create("models");
    tcase_add_unchecked_fixture(models, make_folder, remove_folder);
    tcase_set_timeout(models, 120);
    tcase_add_test(models, describes_smollm2);
    tcase_add_test(models, opens_smollm2_soon);
    tcase_add_test(models, reads_the_tiny_model);
    tcase_add_test(models, shows_no_unreadable_names);
    tcase_add_test(models, digests_files);
    tcase_add_test(models, accepts_what_changes_nothing);
    tcase_add_test(models, refuses_by_name_what_it_does_not_do);
    tcase_add_test(models, refuses_by_name_what_cannot_be);
    tcase_add_test(models, refuses_other_kinds_by_name);
    tcase_add_test(models, refuses_values_of_another_type);
    tcase_add_test(models, refuses_shapes_that_do_not_fit);
    tcase_add_test(models, refuses_every_shortened_file);
    tcase_add_loop_test(models, survives_damaged_headers, 0, 4);
    tcase_add_test(models, notices_a_file_cut_short_in_use);
    tcase_add_test(models, survives_a_file_that_changes_while_it_is_opened);
    tcase_add_test(models, survives_every_failing_allocation);
    suite_add_tcase(all, models);
    return all;
}

#include "tests/check_main.h"
