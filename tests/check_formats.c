/*
 * check_formats.c: the same weights in every form in which files hold them give the same maps, bit for bit: a folder in F32, F16 and
 * BF16, in one file and in several; a GGUF file of each quantised type against F32 of what the gguf package makes of its blocks.
 * And which forms are refused, by name.
 */
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "engine/half.h"
#include "engine/mapping.h"
#include "engine/model.h"
#include "engine/safetensors.h"
#include "tests/gguf_writer.h"
#include "tests/models.h"

enum { N = 40, SHARDS = 3 };

static char folder[] = "/tmp/check_formats.XXXXXX", error[512];
static struct engine *engine;

static void make_folder(void) {
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_file(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static void put_file(const char *name, const void *bytes, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert(write_file(path, bytes, size));
}

static void remove_all(void) {
    static const char *const names[] = {"config.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "model.gguf",
                                        "m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "model-1.safetensors", "model-2.safetensors", "model-3.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) remove_file(names[i]);
}

static void remove_folder(void) {
    remove_all();
    rmdir(folder);
}

static void start_engine(void) {
    ck_assert_int_eq(engine_create(&(struct engine_options){.threads = 2}, &engine, error, sizeof error), ENGINE_OK);
}

static void stop_engine(void) {
    engine_destroy(engine);
    remove_all();
}

/* ---- maps --------------------------------------------------------------------------------------------------------- */

static enum engine_status open_model(const char *path, struct model **model) {
    return model_open(path, model, error, sizeof error);
}

/* All maps of the model at `path` of 40 tokens: [layers, heads, N, N]; freed by the caller. */
static float *maps_of(const char *path, size_t *count) {
    struct model *model = NULL;
    ck_assert_msg(open_model(path, &model) == ENGINE_OK, "%s", error);
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = (i * i * 7 + 3 * i) % 31;
    struct analysis_input input = {.model = model, .ids = ids, .n = N};
    struct activations *activations = NULL;
    uint32_t *sinks = NULL;
    size_t sink_count;
    ck_assert_msg(analysis_run(engine, &input, NULL, NULL, &sinks, &sink_count, &activations, error, sizeof error) == ENGINE_OK, "%s", error);
    size_t layers = (size_t)model->config.layers, heads = (size_t)model->config.heads;
    float *maps = malloc(layers * heads * N * N * sizeof *maps);
    const struct rectangle whole = {0, N, 0, N};
    for (size_t h = 0; h < layers * heads; h++) {
        struct head_address at = {.section = model_section(model), .layer = (int)(h / heads), .head = (int)(h % heads)};
        ck_assert_int_eq(attention_read(engine, activations, at, &whole, maps + h * N * N, error, sizeof error), ENGINE_OK);
    }
    activations_destroy(activations);
    free(sinks);
    model_release(model);
    *count = layers * heads * N * N;
    return maps;
}

/* The same numbers, and not all alike. Frees both. */
static void check_same(float *a, size_t a_count, float *b, size_t b_count, const char *what) {
    ck_assert_uint_eq(a_count, b_count);
    size_t different = 0, uneven = 0;
    for (size_t i = 0; i < a_count; i++) {
        different += memcmp(&a[i], &b[i], sizeof a[i]) != 0;
        uneven += i % N == 0 && a[i] != a[i + N - 1];
    }
    ck_assert_msg(different == 0, "%s: %zu of %zu weights differ", what, different, a_count);
    ck_assert_uint_gt(uneven, 0);
    free(a);
    free(b);
}

/* ---- folders -------------------------------------------------------------------------------------------------------- */

struct source {
    struct mapping *mapping;
    struct safetensors *file;
    const struct safetensors_tensor *tensors;
    size_t count;
};

static struct source open_source(const char *family) {
    struct source source = {0};
    char path[1024], inner[256];
    snprintf(inner, sizeof inner, "tests/golden/zoo/%s/model.safetensors", family);
    source_path(path, sizeof path, inner);
    ck_assert_int_eq(mapping_open(path, &source.mapping, error, sizeof error), ENGINE_OK);
    ck_assert_int_eq(safetensors_open(mapping_data(source.mapping), mapping_size(source.mapping), &source.file, error, sizeof error), ENGINE_OK);
    source.tensors = safetensors_tensors(source.file, &source.count);
    snprintf(inner, sizeof inner, "tests/golden/zoo/%s/config.json", family);
    source_path(path, sizeof path, inner);
    FILE *config = fopen(path, "rb");
    char text[1 << 14];
    size_t size = fread(text, 1, sizeof text, config);
    fclose(config);
    put_file("config.json", text, size);
    return source;
}

static void close_source(struct source *source) {
    safetensors_close(source->file);
    mapping_close(source->mapping);
}

static size_t dtype_size(const char *dtype) {
    return strcmp(dtype, "F32") == 0 ? 4 : dtype[0] == 'F' && dtype[1] == '8' ? 1 : strcmp(dtype, "F64") == 0 ? 8 : 2;
}

/* The upper half of a float, which BF16 holds exactly; F16 holds it too where it has 10 bits and a fair size. */
static float cut(float x, const char *dtype) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (strcmp(dtype, "F32") != 0) bits &= strcmp(dtype, "F16") == 0 ? 0xffffe000 : 0xffff0000;
    memcpy(&x, &bits, 4);
    return x > -0x1p-14f && x < 0x1p-14f && strcmp(dtype, "F16") == 0 ? 0 : x;
}

static void put_number(uint8_t *to, float x, const char *dtype) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint16_t half = strcmp(dtype, "BF16") == 0 ? (uint16_t)(bits >> 16)
                    : x == 0                   ? (uint16_t)(bits >> 16 & 0x8000)
                                               : (uint16_t)((bits >> 16 & 0x8000) | ((bits >> 23 & 0xff) - 112) << 10 | (bits >> 13 & 1023));
    memcpy(to, strcmp(dtype, "F32") == 0 ? (void *)&bits : (void *)&half, dtype_size(dtype) == 4 ? 4 : 2);
}

/* Every shards-th tensor from `shard` on goes into the file `name` as `dtype`, each number cut to what `keeps` can hold. */
static void write_safetensors(const char *name, const struct source *source, size_t shard, size_t shards, const char *dtype, const char *keeps) {
    size_t room = (size_t)1 << 21, header = 1, data = 0, size = dtype_size(dtype);
    char *text = malloc(room);
    uint8_t *bytes = calloc(room, 1);
    text[0] = '{';
    for (size_t t = shard; t < source->count; t += shards) {
        const struct safetensors_tensor *tensor = &source->tensors[t];
        size_t numbers = tensor->bytes / 4;
        header += (size_t)snprintf(text + header, room - header, "%s\"%.*s\":{\"dtype\":\"%s\",\"shape\":[", header > 1 ? "," : "",
                                   (int)tensor->name_size, tensor->name, dtype);
        for (int d = 0; d < tensor->dimensions; d++)
            header += (size_t)snprintf(text + header, room - header, "%s%zu", d ? "," : "", tensor->shape[d]);
        header += (size_t)snprintf(text + header, room - header, "],\"data_offsets\":[%zu,%zu]}", data, data + numbers * size);
        for (size_t i = 0; i < numbers && keeps; i++) {
            float x;
            memcpy(&x, tensor->data + 4 * i, 4);
            put_number(bytes + data + i * size, cut(x, keeps), dtype);
        }
        data += numbers * size;
    }
    text[header++] = '}';
    while (header % 8) text[header++] = ' ';
    uint64_t length = header;
    uint8_t *file = malloc(8 + header + data);
    memcpy(file, &length, 8);
    memcpy(file + 8, text, header);
    memcpy(file + 8 + header, bytes, data);
    put_file(name, file, 8 + header + data);
    free(file);
    free(bytes);
    free(text);
}

/* Tensor t lies in file 1 + t % SHARDS; `lost`: the index does not name the last one. */
static void write_index(const struct source *source, bool lost) {
    size_t room = 1 << 16, at = 0;
    char *text = malloc(room);
    at += (size_t)snprintf(text + at, room - at, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
    for (size_t t = 0; t < source->count; t++)
        if (!lost || t % SHARDS != SHARDS - 1)
            at += (size_t)snprintf(text + at, room - at, "%s\"%.*s\":\"model-%zu.safetensors\"", t ? "," : "", (int)source->tensors[t].name_size,
                                   source->tensors[t].name, 1 + t % SHARDS);
    at += (size_t)snprintf(text + at, room - at, "}}");
    put_file("model.safetensors.index.json", text, at);
    free(text);
}

static const char *const families[] = {"llama_bias_untied", "gpt2", "gpt_neox", "gpt_oss"}; /* transposed, in groups, in one for all experts */

START_TEST(folders_agree) {
    static const char *const dtypes[] = {"F16", "BF16"};
    struct source source = open_source(families[_i]);
    for (size_t d = 0; d < 2; d++) {
        size_t wide_count, count;
        write_safetensors("model.safetensors", &source, 0, 1, "F32", dtypes[d]);
        float *wide = maps_of(folder, &wide_count);
        write_safetensors("model.safetensors", &source, 0, 1, dtypes[d], dtypes[d]);
        float *narrow = maps_of(folder, &count);
        check_same(wide, wide_count, narrow, count, dtypes[d]);
    }
    close_source(&source);
}
END_TEST

START_TEST(shards_agree) {
    struct source source = open_source(families[_i]);
    size_t whole_count, count;
    char path[1024], inner[256], name[64], digest[65], other[65];
    snprintf(inner, sizeof inner, "tests/golden/zoo/%s", families[_i]);
    source_path(path, sizeof path, inner);
    float *whole = maps_of(path, &whole_count);
    for (size_t s = 0; s < SHARDS; s++) {
        snprintf(name, sizeof name, "model-%zu.safetensors", s + 1);
        write_safetensors(name, &source, s, SHARDS, s == 1 ? "BF16" : "F32", "BF16");
    }
    write_index(&source, false);
    float *parts = maps_of(folder, &count); /* of cut numbers: only to be sure that mixed shards open */
    free(parts);
    ck_assert_int_eq(model_file_digest(folder, NULL, digest, error, sizeof error), ENGINE_OK);
    for (size_t s = 0; s < SHARDS; s++) {
        snprintf(name, sizeof name, "model-%zu.safetensors", s + 1);
        write_safetensors(name, &source, s, SHARDS, "F32", "F32");
    }
    ck_assert_int_eq(model_file_digest(folder, NULL, other, error, sizeof error), ENGINE_OK);
    ck_assert_str_ne(digest, other); /* every shard is part of what the model is */
    parts = maps_of(folder, &count);
    check_same(whole, whole_count, parts, count, "shards");
    close_source(&source);
}
END_TEST

static void check_refused(const char *path, enum engine_status status, const char *word) {
    struct model *model = NULL;
    ck_assert_int_eq(open_model(path, &model), status);
    ck_assert_msg(strstr(error, word) != NULL, "%s is not in: %s", word, error);
}

START_TEST(broken_shards_are_refused) {
    struct source source = open_source("llama");
    for (size_t s = 0; s < SHARDS; s++) {
        char name[64];
        snprintf(name, sizeof name, "model-%zu.safetensors", s + 1);
        write_safetensors(name, &source, s, SHARDS, "F32", "F32");
    }
    write_index(&source, true); /* a file is not named: its tensors are lacking */
    check_refused(folder, ENGINE_BROKEN, "lack the tensor");
    write_index(&source, false);
    write_safetensors("model-1.safetensors", &source, 0, 1, "F32", "F32"); /* the first file has all of them */
    check_refused(folder, ENGINE_BROKEN, "two of the model's files");
    remove_file("model-3.safetensors");
    check_refused(folder, ENGINE_NOT_FOUND, "model-3.safetensors");
    static const char outside[] = "{\"weight_map\":{\"a\":\"../model.safetensors\"}}", none[] = "{\"weight_map\":{}}", damaged[] = "{\"weight_map\":";
    put_file("model.safetensors.index.json", outside, sizeof outside - 1);
    check_refused(folder, ENGINE_BROKEN, "outside its folder");
    put_file("model.safetensors.index.json", none, sizeof none - 1);
    check_refused(folder, ENGINE_BROKEN, "weight_map");
    put_file("model.safetensors.index.json", damaged, sizeof damaged - 1);
    check_refused(folder, ENGINE_BROKEN, "model.safetensors.index.json");
    close_source(&source);
}
END_TEST

START_TEST(other_forms_are_refused_by_name) {
    struct source source = open_source("llama");
    static const char *const dtypes[] = {"F8_E4M3", "F8_E5M2", "F64"};
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        write_safetensors("model.safetensors", &source, 0, 1, dtypes[i], NULL);
        check_refused(folder, ENGINE_UNSUPPORTED, dtypes[i]);
    }
    remove_file("model.safetensors");
    put_file("pytorch_model.bin", "PK", 2);
    check_refused(folder, ENGINE_UNSUPPORTED, "save_pretrained");
    close_source(&source);
}
END_TEST

/* ---- config.json against the weights ------------------------------------------------------------------------------------- */

/* The config with its first `from` replaced; the weights are linked. */
static void put_config(const char *family, const char *from, const char *to) {
    char path[1024], inner[256], text[1 << 14], changed[1 << 14], here[128];
    snprintf(inner, sizeof inner, "tests/golden/zoo/%s/model.safetensors", family);
    source_path(path, sizeof path, inner);
    snprintf(here, sizeof here, "%s/model.safetensors", folder);
    unlink(here);
    ck_assert_int_eq(symlink(path, here), 0);
    snprintf(inner, sizeof inner, "tests/golden/zoo/%s/config.json", family);
    source_path(path, sizeof path, inner);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *at = strstr(text, from);
    ck_assert_msg(at != NULL, "%s has no %s", family, from);
    int size = snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    put_file("config.json", changed, (size_t)size);
}

START_TEST(configs_that_do_not_fit_are_refused_by_name) {
    static const struct { const char *family, *from, *to; enum engine_status status; const char *word; } cases[] = {
        {"llama", "\"attention_bias\": false", "\"attention_bias\": true", ENGINE_BROKEN, "attention_bias"},
        {"llama", "\"mlp_bias\": false", "\"mlp_bias\": true", ENGINE_BROKEN, "mlp_bias"},
        {"llama_bias_untied", "\"attention_bias\": true", "\"attention_bias\": false", ENGINE_BROKEN, "attention_bias"},
        {"llama_bias_untied", "\"attention_bias\": true", "\"attention_bias\": null", ENGINE_BROKEN, "attention_bias"},
        {"llama", "\"num_attention_heads\": 4", "\"num_attention_heads\": 8", ENGINE_BROKEN, "q_proj"},
        {"llama", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4", ENGINE_BROKEN, "k_proj"},
        {"llama", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", ENGINE_BROKEN, "3 key and value heads"},
        {"llama", "\"head_dim\": 12", "\"head_dim\": 24", ENGINE_BROKEN, "q_proj"},
        {"llama", "\"intermediate_size\": 144", "\"intermediate_size\": 145", ENGINE_BROKEN, "gate_proj"},
        {"llama", "\"vocab_size\": 320", "\"vocab_size\": 319", ENGINE_BROKEN, "embed_tokens"},
        {"llama", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", ENGINE_BROKEN, "layers.2."},
        {"llama", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", ENGINE_UNSUPPORTED, "layers.1."},
        {"llama", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"mish\"", ENGINE_UNSUPPORTED, "mish"},
        {"llama", "\"rope_type\": \"default\"", "\"rope_type\": \"spiral\"", ENGINE_UNSUPPORTED, "spiral"},
        {"llama", "{", "{\"attention_temperature\": 2,", ENGINE_UNSUPPORTED, "attention_temperature"},
        {"llama", "{", "{\"pruned_heads\": {\"1\": [0]},", ENGINE_UNSUPPORTED, "pruned_heads"},
        {"llama", "{", "{\"quantization_config\": {\"quant_method\": \"mxfp4\"},", ENGINE_UNSUPPORTED, "quantization_config"},
        {"llama", "\"model_type\": \"llama\"", "\"model_type\": \"mamba\"", ENGINE_UNSUPPORTED, "mamba"},
        {"gpt2", "\"scale_attn_weights\": true", "\"scale_attn_weights\": false", ENGINE_UNSUPPORTED, "scale_attn_weights"},
        {"qwen3_moe", "\"decoder_sparse_step\": 1", "\"decoder_sparse_step\": 2", ENGINE_UNSUPPORTED, "decoder_sparse_step"},
        {"qwen3", "\"model_type\": \"qwen3\"", "\"model_type\": \"qwen2\"", ENGINE_UNSUPPORTED, "k_norm"},
        {"bert", "{", "{\"position_embedding_type\": \"relative_key\",", ENGINE_UNSUPPORTED, "position_embedding_type"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_config(cases[i].family, cases[i].from, cases[i].to);
        struct model *model = NULL;
        enum engine_status status = open_model(folder, &model);
        ck_assert_msg(status == cases[i].status, "%s, %s: %s", cases[i].family, cases[i].to, status == ENGINE_OK ? "opened" : error);
        ck_assert_msg(strstr(error, cases[i].word) != NULL, "%s is not in: %s", cases[i].word, error);
    }
}
END_TEST

START_TEST(harmless_keys_are_taken) {
    static const char *const keys[] = {"\"pruned_heads\": {}", "\"num_beams\": 1", "\"mlp_type\": null", "\"use_mrope\": false",
                                       "\"chunk_size_feed_forward\": 0", "\"norm_type\": \"layer_norm\""};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{%s,", keys[i]);
        put_config("llama", "{", text);
        struct model *model = NULL;
        ck_assert_msg(open_model(folder, &model) == ENGINE_OK, "%s: %s", keys[i], error);
        model_release(model);
    }
}
END_TEST

/* ---- quantised files --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint32_t type;
    size_t numbers, bytes; /* of the golden blocks */
} quants[] = {
    {"Q4_0", 2, 256, 144},   {"Q4_1", 3, 256, 160},   {"Q5_0", 6, 256, 176},    {"Q5_1", 7, 256, 192},    {"Q8_0", 8, 256, 272},
    {"Q2_K", 10, 2048, 672}, {"Q3_K", 11, 2048, 880}, {"Q4_K", 12, 2048, 1152}, {"Q5_K", 13, 2048, 1408}, {"Q6_K", 14, 2048, 1680},
};
enum { QUANTS = sizeof quants / sizeof quants[0], WIDTH = 256, HEADS = 4, TOKENS = 32 };

static uint8_t *golden_block(const char *name, const char *suffix, size_t size) {
    char path[1024], inner[128];
    snprintf(inner, sizeof inner, "tests/golden/quants/%s.%s", name, suffix);
    source_path(path, sizeof path, inner);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s is missing", path);
    uint8_t *bytes = malloc(size);
    ck_assert_uint_eq(fread(bytes, 1, size, file), size);
    fclose(file);
    return bytes;
}

/* rows x WIDTH numbers: the golden blocks over and over, each row one block further. */
static void put_matrix(struct gguf_writer *writer, const char *name, size_t rows, size_t quant, bool wide, const uint8_t *blocks) {
    size_t numbers = quants[quant].numbers, block = wide ? numbers * 4 : quants[quant].bytes, pieces = 8; /* a golden file holds 8 blocks */
    size_t piece = block / pieces, per_row = WIDTH / (numbers / pieces);
    uint8_t *data = malloc(rows * per_row * piece);
    for (size_t i = 0; i < rows * per_row; i++) memcpy(data + i * piece, blocks + (i * 5 + i / per_row) % pieces * piece, piece);
    gguf_put_tensor(writer, name, wide ? 0 : quants[quant].type, rows, WIDTH, data, rows * per_row * piece);
    free(data);
}

static void put_keys(struct gguf_writer *writer) {
    gguf_put_string(writer, "general.architecture", "llama");
    gguf_put_u32(writer, "llama.block_count", 2);
    gguf_put_u32(writer, "llama.context_length", 64);
    gguf_put_u32(writer, "llama.embedding_length", WIDTH);
    gguf_put_u32(writer, "llama.feed_forward_length", WIDTH);
    gguf_put_u32(writer, "llama.attention.head_count", HEADS);
    gguf_put_u32(writer, "llama.attention.head_count_kv", HEADS / 2);
    gguf_put_f32(writer, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

/* Norms are small, as the blocks' numbers are not. */
static void put_layer(struct gguf_writer *writer, int layer, size_t quant, bool wide, const uint8_t *blocks) {
    static const struct { const char *name; size_t rows; } matrices[] = {
        {"attn_q", WIDTH}, {"attn_k", WIDTH / 2}, {"attn_v", WIDTH / 2}, {"attn_output", WIDTH}, {"ffn_gate", WIDTH}, {"ffn_up", WIDTH},
        {"ffn_down", WIDTH},
    };
    char name[64];
    float norm[WIDTH];
    for (int i = 0; i < WIDTH; i++) norm[i] = 1e-3f * (float)(1 + i % 7);
    for (size_t m = 0; m < sizeof matrices / sizeof matrices[0]; m++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, matrices[m].name);
        put_matrix(writer, name, matrices[m].rows, quant, wide, blocks);
    }
    for (int k = 0; k < 2; k++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, k ? "ffn_norm" : "attn_norm");
        gguf_put_tensor(writer, name, 0, 0, WIDTH, norm, sizeof norm);
    }
}

static void finish_file(struct gguf_writer *writer, const char *name) {
    size_t size;
    unsigned char *file = gguf_writer_finish(writer, &size);
    put_file(name, file, size);
    free(file);
    gguf_writer_drop(writer);
}

/* A llama model of 2 layers. */
static void write_quantised(size_t quant, bool wide) {
    uint8_t *blocks = golden_block(quants[quant].name, wide ? "f32" : "blocks", wide ? quants[quant].numbers * 4 : quants[quant].bytes);
    struct gguf_writer writer;
    gguf_writer_start(&writer);
    put_keys(&writer);
    put_matrix(&writer, "token_embd.weight", TOKENS, quant, wide, blocks);
    for (int layer = 0; layer < 2; layer++) put_layer(&writer, layer, quant, wide, blocks);
    finish_file(&writer, "model.gguf");
    free(blocks);
}

/* The same in two files, which name themselves as parts numbers[0] and numbers[1]. */
static void write_split(const int numbers[2]) {
    const size_t quant = 2; /* Q5_0 */
    uint8_t *blocks = golden_block(quants[quant].name, "blocks", quants[quant].bytes);
    for (int part = 0; part < 2; part++) {
        struct gguf_writer writer;
        gguf_writer_start(&writer);
        if (part == 0) put_keys(&writer);
        if (part == 0) put_matrix(&writer, "token_embd.weight", TOKENS, quant, false, blocks);
        gguf_put_u32(&writer, "split.no", (uint32_t)numbers[part]);
        gguf_put_u32(&writer, "split.count", 2);
        gguf_put_u32(&writer, "split.tensors.count", 19);
        put_layer(&writer, part, quant, false, blocks);
        finish_file(&writer, part == 0 ? "m-00001-of-00002.gguf" : "m-00002-of-00002.gguf");
    }
    free(blocks);
}

START_TEST(split_files_agree) {
    char whole[128], first[128], second[128], digest[65], other[65];
    size_t count, split_count;
    snprintf(whole, sizeof whole, "%s/model.gguf", folder);
    snprintf(first, sizeof first, "%s/m-00001-of-00002.gguf", folder);
    snprintf(second, sizeof second, "%s/m-00002-of-00002.gguf", folder);
    write_quantised(2, false);
    write_split((const int[]){0, 1});
    float *maps = maps_of(whole, &count), *split = maps_of(first, &split_count);
    check_same(maps, count, split, split_count, "split");
    ck_assert_int_eq(model_file_digest(first, NULL, digest, error, sizeof error), ENGINE_OK);
    check_refused(second, ENGINE_INVALID, "-00001-of-00002.gguf");
    write_split((const int[]){0, 0});
    check_refused(first, ENGINE_BROKEN, "split.no");
    ck_assert_int_eq(model_file_digest(first, NULL, other, error, sizeof error), ENGINE_OK);
    ck_assert_str_ne(digest, other); /* the second part is part of what the model is */
    ck_assert_int_eq(rename(first, whole), 0); /* a part that has lost its name */
    check_refused(whole, ENGINE_UNSUPPORTED, "split.count");
    write_split((const int[]){0, 1});
    unlink(second);
    check_refused(first, ENGINE_NOT_FOUND, "m-00002-of-00002.gguf");
}
END_TEST

START_TEST(quantised_files_agree) {
    char path[128];
    size_t wide_count, count;
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    write_quantised((size_t)_i, true);
    float *wide = maps_of(path, &wide_count);
    write_quantised((size_t)_i, false);
    float *packed = maps_of(path, &count);
    check_same(wide, wide_count, packed, count, quants[_i].name);
}
END_TEST

/* Types that are not read, by the names that ggml gives their numbers. */
START_TEST(other_types_are_refused_by_name) {
    static const struct { uint32_t type; const char *name; } types[] = {
        {9, "Q8_1"}, {15, "Q8_K"}, {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},
        {23, "IQ4_XS"}, {24, "I8"}, {28, "F64"}, {29, "IQ1_M"}, {34, "TQ1_0"}, {35, "TQ2_0"}, {39, "MXFP4"}, {40, "NVFP4"}, {77, "unknown (type 77)"},
    };
    char path[128], one[256] = "";
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct gguf_writer writer;
        size_t size;
        gguf_writer_start(&writer);
        gguf_put_string(&writer, "general.architecture", "llama");
        gguf_put_tensor(&writer, "blk.0.attn_q.weight", types[i].type, 1, 256, one, sizeof one);
        unsigned char *file = gguf_writer_finish(&writer, &size);
        gguf_writer_drop(&writer);
        put_file("model.gguf", file, size);
        free(file);
        check_refused(path, ENGINE_UNSUPPORTED, types[i].name);
        check_refused(path, ENGINE_UNSUPPORTED, "blk.0.attn_q.weight");
    }
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("formats");
    TCase *c = tcase_create("formats");
    tcase_add_unchecked_fixture(c, make_folder, remove_folder);
    tcase_add_checked_fixture(c, start_engine, stop_engine);
    tcase_set_timeout(c, 30);
    tcase_add_loop_test(c, folders_agree, 0, sizeof families / sizeof families[0]);
    tcase_add_loop_test(c, shards_agree, 0, sizeof families / sizeof families[0]);
    tcase_add_test(c, broken_shards_are_refused);
    tcase_add_test(c, other_forms_are_refused_by_name);
    tcase_add_test(c, configs_that_do_not_fit_are_refused_by_name);
    tcase_add_test(c, harmless_keys_are_taken);
    tcase_add_loop_test(c, quantised_files_agree, 0, QUANTS);
    tcase_add_test(c, split_files_agree);
    tcase_add_test(c, other_types_are_refused_by_name);
    suite_add_tcase(s, c);
    return s;
}

#include "tests/check_main.h"
