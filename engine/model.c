#include "engine/model.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/digest.h"
#include "engine/failure.h"
#include "engine/gguf.h"
#include "engine/llama.h"
#include "engine/mapping.h"
#include "engine/tokenizer.h"
#include "engine/utf8.h"

/* ---- what the model is called ------------------------------------------------------------------------------ */

enum { TEXT_MAX = 1024 };

/* UTF-8 without control characters, which would reach terminals. */
static bool is_readable(struct gguf_string text) {
    for (size_t at = 0; at < text.size;) {
        uint32_t character;
        size_t length = utf8_character(text.data + at, text.size - at, &character);
        if (length == 0 || utf8_is_control(character)) return false;
        at += length;
    }
    return true;
}

/* A text for people; "" where there is none or what there is cannot be shown. */
static struct gguf_string readable(const struct gguf *gguf, const char *key) {
    struct gguf_string text;
    const struct gguf_value *value = gguf_find(gguf, key);
    if (value == NULL || !gguf_string(value, &text) || text.size > TEXT_MAX || !is_readable(text))
        return (struct gguf_string){"", 0};
    return text;
}

static const char *most_used_type(const struct gguf *gguf) {
    size_t count, weights[TENSOR_BF16 + 1] = {0};
    uint32_t most = 0;
    const struct gguf_tensor *tensors = gguf_tensors(gguf, &count);
    for (size_t i = 0; i < count; i++) weights[tensors[i].tensor.type] += tensors[i].tensor.rows * tensors[i].tensor.cols;
    for (uint32_t type = 0; type <= TENSOR_BF16; type++)
        if (weights[type] > weights[most]) most = type;
    return gguf_tensor_type_name(most);
}

static char *put_string(char **at, struct gguf_string string) {
    char *start = *at;
    memcpy(start, string.data, string.size);
    start[string.size] = '\0';
    *at += string.size + 1;
    return start;
}

static enum engine_status describe(struct model *model, const struct gguf *gguf, const char *path, char *error,
                                   size_t error_size) {
    const struct model_config *config = &model->config;
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;
    struct gguf_string name = readable(gguf, "general.name"), licence = readable(gguf, "general.license");
    if (name.size == 0) name = (struct gguf_string){file, strlen(file)};
    char *at = model->strings = malloc(name.size + licence.size + 2);
    if (at == NULL) return engine_fail_memory(error, error_size);
    model->info = (struct model_info){
        .name = put_string(&at, name),
        .architecture = "llama",
        .licence = put_string(&at, licence),
        .format = "gguf",
        .dtype = most_used_type(gguf),
        .tokenizer = model->tokenizer != NULL ? tokenizer_name(model->tokenizer) : "",
        .layers = config->layers,
        .heads = config->heads,
        .kv_heads = config->kv_heads,
        .head_dim = config->head_dim,
        .d_model = config->d_model,
        .context = config->context,
        .vocabulary = config->vocabulary,
        .causal = config->causal,
        .bytes = mapping_size(model->mapping),
    };
    /* The file's name need not be UTF-8, and this goes into JSON. */
    engine_clean_line(model->strings);
    return ENGINE_OK;
}

/* ---- opening ----------------------------------------------------------------------------------------------- */

static enum engine_status check_kind(const struct gguf *gguf, char *error, size_t error_size) {
    struct gguf_string architecture, type;
    uint64_t parts;
    const struct gguf_value *value = gguf_find(gguf, "general.architecture");
    if (value == NULL || !gguf_string(value, &architecture))
        return engine_fail(ENGINE_BROKEN, error, error_size, "the model file lacks the key general.architecture");
    if (!gguf_string_is(architecture, "llama"))
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the architecture %.*s is not supported; llama is",
                           (int)(architecture.size < 64 ? architecture.size : 64), architecture.data);
    value = gguf_find(gguf, "general.type");
    if (value != NULL && (!gguf_string(value, &type) || !gguf_string_is(type, "model")))
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "the file holds no model but something for one (general.type)");
    value = gguf_find(gguf, "split.count");
    if (value != NULL && (!gguf_unsigned(value, &parts) || parts > 1))
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "the file is one part of a model (split.count); join the parts into one file first");
    return ENGINE_OK;
}

static enum engine_status read_model(struct model *model, const char *path, char *error, size_t error_size) {
    struct gguf *gguf = NULL;
    enum engine_status status = mapping_open(path, &model->mapping, error, error_size);
    if (status == ENGINE_OK)
        status = gguf_open(mapping_data(model->mapping), mapping_size(model->mapping), &gguf, error, error_size);
    if (status == ENGINE_OK) status = check_kind(gguf, error, error_size);
    if (status == ENGINE_OK) status = llama_read(gguf, model, error, error_size);
    if (status == ENGINE_OK) status = tokenizer_from_gguf(gguf, &model->tokenizer, error, error_size);
    if (status == ENGINE_OK && model->tokenizer != NULL &&
        tokenizer_vocabulary(model->tokenizer) != (size_t)model->config.vocabulary)
        status = engine_fail(ENGINE_BROKEN, error, error_size,
                             "the model file is damaged: its tokenizer has %zu tokens, its "
                             "embedding %d", tokenizer_vocabulary(model->tokenizer), model->config.vocabulary);
    if (status == ENGINE_OK) status = describe(model, gguf, path, error, error_size);
    gguf_close(gguf);
    /* Whatever was found in a file that changed meanwhile is worth nothing, the message included. */
    if (model->mapping != NULL && mapping_is_broken(model->mapping))
        status = engine_fail(ENGINE_BROKEN, error, error_size, "%s was changed while it was opened; try again", path);
    return status;
}

enum engine_status model_open(const char *path, struct model **model, char *error, size_t error_size) {
    struct model *opened = calloc(1, sizeof *opened);
    if (opened == NULL) return engine_fail_memory(error, error_size);
    atomic_init(&opened->references, 1);
    enum engine_status status = read_model(opened, path, error, error_size);
    if (status != ENGINE_OK) {
        model_release(opened);
        return status;
    }
    if (opened->tokenizer != NULL) tokenizer_digest(opened->tokenizer, opened->tokenizer_digest);
    *model = opened;
    return ENGINE_OK;
}

struct model *model_retain(struct model *model) {
    atomic_fetch_add_explicit(&model->references, 1, memory_order_relaxed);
    return model;
}

void model_release(struct model *model) {
    if (model == NULL || atomic_fetch_sub_explicit(&model->references, 1, memory_order_acq_rel) > 1) return;
    tokenizer_destroy(model->tokenizer);
    mapping_close(model->mapping);
    free(model->layer);
    free(model->strings);
    free(model);
}

const struct model_info *model_describe(const struct model *model) {
    return &model->info;
}

bool model_is_broken(const struct model *model) {
    return mapping_is_broken(model->mapping);
}

/* ---- digests ----------------------------------------------------------------------------------------------- */

enum engine_status model_file_digest(const char *path, char digest[65], char *error, size_t error_size) {
    enum { CHUNK = 1 << 18 };
    int descriptor;
    uint64_t size;
    enum engine_status status = mapping_open_file(path, &descriptor, &size, error, error_size);
    if (status != ENGINE_OK) return status;
    unsigned char *chunk = malloc(CHUNK);
    if (chunk == NULL) status = engine_fail_memory(error, error_size);
    struct sha256_ctx context;
    sha256_init(&context);
    while (status == ENGINE_OK) {
        ssize_t got = read(descriptor, chunk, CHUNK);
        if (got == 0) break;
        if (got > 0) {
            sha256_update(&context, (size_t)got, chunk);
        } else if (errno != EINTR) {
            status = engine_fail(ENGINE_IO, error, error_size, "%s cannot be read: %s", path, strerror(errno));
        }
    }
    if (status == ENGINE_OK) digest_hex(&context, digest);
    free(chunk);
    close(descriptor);
    return status;
}

const char *model_tokenizer_digest(const struct model *model) {
    return model->tokenizer_digest;
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

enum engine_status model_tokenize(const struct model *model, const char *text, size_t size,
                                  const struct tokenize_options *options, struct token **tokens, size_t *n, char *error,
                                  size_t error_size) {
    if (model->tokenizer == NULL)
        return engine_fail(ENGINE_INVALID, error, error_size,
                           "the model %s has no tokenizer; give token ids instead of a text",
                           model->info.name);
    return tokenizer_run(model->tokenizer, text, size, options, tokens, n, error, error_size);
}

const char *model_token_bytes(const struct model *model, int32_t id, size_t *size, bool *special) {
    return model->tokenizer != NULL ? tokenizer_bytes(model->tokenizer, id, size, special) : NULL;
}
