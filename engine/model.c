#include "engine/model.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/chat_gguf.h"
#include "engine/digest.h"
#include "engine/failure.h"
#include "engine/folder.h"
#include "engine/folder_text.h"
#include "engine/gguf_model.h"
#include "engine/gguf_parts.h"
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

static const char *most_used_type(struct gguf *const *parts, size_t part_count) {
    size_t count, weights[TENSOR_BF16 + 1] = {0};
    uint32_t most = 0;
    for (size_t p = 0; p < part_count; p++) {
        const struct gguf_tensor *tensors = gguf_tensors(parts[p], &count);
        for (size_t i = 0; i < count; i++) weights[tensors[i].tensor.type] += tensors[i].tensor.rows * tensors[i].tensor.cols;
    }
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

/* The name, the licence (both may be empty: then the file's name, and none), and what the config says. */
static enum engine_status describe(struct model *model, struct gguf_string name, struct gguf_string licence, const char *path,
                                   char *error, size_t error_size) {
    const struct model_config *config = &model->config;
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    if (name.size == 0) name = (struct gguf_string){path + start, end - start};
    char *at = model->strings = malloc(name.size + licence.size + 2);
    if (at == NULL) return engine_fail_memory(error, error_size);
    model->info.name = put_string(&at, name);
    model->info.licence = put_string(&at, licence);
    model->info.tokenizer = model->tokenizer != NULL ? tokenizer_name(model->tokenizer) : "";
    model->info.chat = model->chat.format != NULL ? model->chat.format->name : "";
    model->info.tokenizer_error = model->tokenizer_error != NULL ? model->tokenizer_error : "";
    model->info.layers = config->layers;
    model->info.heads = config->heads;
    model->info.kv_heads = config->kv_heads;
    model->info.head_dim = config->head_dim;
    model->info.d_model = config->d_model;
    model->info.context = config->context;
    model->info.vocabulary = config->vocabulary;
    model->info.token_types = model->token_types.data != NULL ? (int)model->token_types.rows : 0;
    model->info.pairs = model->tokenizer != NULL && tokenizer_takes_pairs(model->tokenizer);
    model->info.causal = config->causal;
    model->info.sink_logits = config->layers > 0 && model->layer[0].sinks.data != NULL;
    model->info.encoder_layers = model->encoder != NULL ? model->encoder->config.layers : 0;
    model->info.encoder_heads = model->encoder != NULL ? model->encoder->config.heads : 0;
    model->info.decoder_start = config->decoder_start > 0 ? config->decoder_start - 1 : -1;
    /* The file's name need not be UTF-8, and all of this goes into JSON and onto terminals. */
    engine_clean_line(model->strings);
    return ENGINE_OK;
}

/* ---- opening ----------------------------------------------------------------------------------------------- */

static enum engine_status check_kind(const struct gguf *gguf, char *error, size_t error_size) {
    struct gguf_string type;
    const struct gguf_value *value = gguf_find(gguf, "general.type");
    if (value != NULL && !gguf_string(value, &type))
        return engine_fail(ENGINE_BROKEN, error, error_size, "the model file is damaged: general.type is no text");
    if (value != NULL && !gguf_string_is(type, "model"))
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "the file holds no model but a part for one, of the kind %.*s (general.type): a LoRA adapter is merged into its "
                           "model first", (int)(type.size < 64 ? type.size : 64), type.data);
    return ENGINE_OK;
}

/* Maps and opens all parts of the file; part[] has room for them, and holds what was opened on failure, too. */
static enum engine_status open_parts(struct model *model, const char *files, size_t count, struct gguf **part, char *error, size_t error_size) {
    enum engine_status status = ENGINE_OK;
    model->mapping = calloc(count, sizeof *model->mapping);
    if (model->mapping == NULL) return engine_fail_memory(error, error_size);
    for (size_t i = 0; i < count && status == ENGINE_OK; i++, files += strlen(files) + 1) {
        status = mapping_open(files, &model->mapping[i], error, error_size);
        if (status != ENGINE_OK) break;
        model->mappings++;
        model->info.bytes += mapping_size(model->mapping[i]);
        status = gguf_open(mapping_data(model->mapping[i]), mapping_size(model->mapping[i]), &part[i], error, error_size);
        if (status == ENGINE_OK) status = gguf_check_part(part[i], i, count, error, error_size);
    }
    return status;
}

/* A tokenizer that is not supported leaves the model usable by token ids; one that is damaged is part of a damaged file. */
static enum engine_status read_tokenizer(const struct gguf *gguf, struct model *model, char *error, size_t error_size) {
    char why[512] = "";
    enum engine_status status = tokenizer_from_gguf(gguf, &model->tokenizer, why, sizeof why);
    if (status == ENGINE_UNSUPPORTED) {
        model->tokenizer_error = strdup(why);
        return model->tokenizer_error != NULL ? ENGINE_OK : engine_fail_memory(error, error_size);
    }
    if (status != ENGINE_OK) return engine_fail(status, error, error_size, "%s", why);
    if (model->tokenizer == NULL) return ENGINE_OK;
    if (tokenizer_vocabulary(model->tokenizer) != (size_t)model->config.vocabulary)
        return engine_fail(ENGINE_BROKEN, error, error_size, "the model file is damaged: its tokenizer has %zu tokens, its embedding %d",
                           tokenizer_vocabulary(model->tokenizer), model->config.vocabulary);
    return chat_from_gguf(gguf, model->tokenizer, &model->chat, error, error_size);
}

static enum engine_status read_parts(struct model *model, const char *path, struct gguf **part, size_t count, char *error, size_t error_size) {
    const struct gguf *gguf = part[0];
    enum engine_status status = check_kind(gguf, error, error_size);
    if (status == ENGINE_OK) status = gguf_model_read((const struct gguf *const *)part, count, model, error, error_size);
    if (status == ENGINE_OK) status = read_tokenizer(gguf, model, error, error_size);
    if (status != ENGINE_OK) return status;
    model->info.format = "gguf";
    model->info.dtype = most_used_type(part, count);
    return describe(model, readable(gguf, "general.name"), readable(gguf, "general.license"), path, error, error_size);
}

static enum engine_status read_gguf(struct model *model, const char *path, char *error, size_t error_size) {
    char *files = NULL;
    size_t count = 0;
    enum engine_status status = gguf_part_files(path, &files, &count, error, error_size);
    if (status != ENGINE_OK) return status;
    struct gguf **part = calloc(count, sizeof *part);
    status = part ? open_parts(model, files, count, part, error, error_size) : engine_fail_memory(error, error_size);
    if (status == ENGINE_OK) status = read_parts(model, path, part, count, error, error_size);
    for (size_t i = 0; part && i < count; i++) gguf_close(part[i]);
    free(part);
    free(files);
    return status;
}

static enum engine_status read_folder(struct model *model, const char *path, char *error, size_t error_size) {
    static const struct gguf_string none = {"", 0};
    char licence[256];
    enum engine_status status = folder_read(path, model, error, error_size);
    if (status == ENGINE_OK) status = folder_read_tokenizer(path, model, error, error_size);
    if (status == ENGINE_OK && model->tokenizer != NULL) status = folder_read_chat(path, model, error, error_size);
    if (status == ENGINE_OK) status = folder_read_licence(path, licence, sizeof licence, error, error_size);
    if (status == ENGINE_OK)
        status = describe(model, none, (struct gguf_string){licence, strlen(licence)}, path, error, error_size);
    return status;
}

static enum engine_status read_model(struct model *model, const char *path, char *error, size_t error_size) {
    enum engine_status status = (folder_is(path) ? read_folder : read_gguf)(model, path, error, error_size);
    /* Whatever was found in a file that changed meanwhile is worth nothing, the message included. */
    if (model_is_broken(model))
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
    if (model->encoder != NULL) { /* its files are this model's */
        model->encoder->mapping = NULL;
        model->encoder->mappings = 0;
        model_release(model->encoder);
    }
    tokenizer_destroy(model->tokenizer);
    for (size_t i = 0; i < model->mappings; i++) mapping_close(model->mapping[i]);
    free(model->mapping);
    for (int i = 0; model->layer != NULL && i < model->config.layers; i++) {
        free(model->layer[i].expert);
        free(model->layer[i].value_factors);
    }
    free(model->layer);
    for (int i = 0; model->cross != NULL && i < model->config.layers; i++) free(model->cross[i].value_factors);
    free(model->cross);
    for (int i = 0; i < ROPE_TABLES; i++) free(model->config.rope[i].frequency);
    free(model->strings);
    free(model->tokenizer_error);
    chat_finish(&model->chat);
    free(model);
}

enum section model_section(const struct model *model) {
    return model->config.causal ? SECTION_DECODER : SECTION_ENCODER;
}

const struct model_info *model_describe(const struct model *model) {
    return &model->info;
}

bool model_is_broken(const struct model *model) {
    for (size_t i = 0; i < model->mappings; i++)
        if (mapping_is_broken(model->mapping[i])) return true;
    return false;
}

/* ---- digests ----------------------------------------------------------------------------------------------- */

struct reading {
    const struct digest_observer *observer; /* may be NULL */
    uint64_t done;
};

static bool reading_goes_on(struct reading *reading, uint64_t bytes) {
    reading->done += bytes;
    return !reading->observer || reading->observer->read(reading->observer->context, reading->done);
}

/* Stores that are addressed by content name a file by its digest, and have checked it: blobs/<SHA-256> in Hugging Face's hub cache
 * (which links to it from its snapshots), blobs/sha256-<SHA-256> in Ollama's. */
static bool digest_is_name(const char *path, char digest[65]) {
    char *real = realpath(path, NULL);
    char *name = real ? strrchr(real, '/') : NULL;
    bool is = false;
    if (name && name - real >= 6 && memcmp(name - 6, "/blobs", 6) == 0) {
        name += strncmp(name + 1, "sha256-", 7) == 0 ? 8 : 1;
        is = strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64;
        if (is) memcpy(digest, name, 65);
    }
    free(real);
    return is;
}

static enum engine_status file_digest(const char *path, struct reading *reading, char digest[65], char *error, size_t error_size) {
    enum { CHUNK = 1 << 18 };
    int descriptor;
    uint64_t size;
    enum engine_status status = mapping_open_file(path, &descriptor, &size, error, error_size);
    if (status != ENGINE_OK) return status;
    if (digest_is_name(path, digest)) {
        close(descriptor);
        reading_goes_on(reading, size);
        return ENGINE_OK;
    }
    unsigned char *chunk = malloc(CHUNK);
    if (chunk == NULL) status = engine_fail_memory(error, error_size);
    struct sha256_ctx context;
    sha256_init(&context);
    while (status == ENGINE_OK) {
        ssize_t got = read(descriptor, chunk, CHUNK);
        if (got == 0) break;
        if (got > 0) {
            sha256_update(&context, (size_t)got, chunk);
            if (!reading_goes_on(reading, (uint64_t)got))
                status = engine_fail(ENGINE_CANCELLED, error, error_size, "reading the model was cancelled");
        } else if (errno != EINTR) {
            status = engine_fail(ENGINE_IO, error, error_size, "%s cannot be read: %s", path, strerror(errno));
        }
    }
    if (status == ENGINE_OK) digest_hex(&context, digest);
    free(chunk);
    close(descriptor);
    return status;
}

/* The line that sha256sum prints for each file, digested. folder "": the files' names are whole paths, of which the last part counts. */
static enum engine_status files_digest(const char *folder, const char *files, size_t count, struct reading *reading, char digest[65],
                                       char *error, size_t error_size) {
    enum engine_status status = ENGINE_OK;
    struct sha256_ctx context;
    sha256_init(&context);
    const char *name = files;
    for (size_t i = 0; i < count && status == ENGINE_OK; i++, name += strlen(name) + 1) {
        char file[4096], one[65];
        const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
        if (snprintf(file, sizeof file, "%s%s%s", folder, folder[0] ? "/" : "", name) >= (int)sizeof file)
            status = engine_fail(ENGINE_INVALID, error, error_size, "the path of the model is too long");
        else
            status = file_digest(file, reading, one, error, error_size);
        if (status != ENGINE_OK) break;
        sha256_update(&context, 64, (const uint8_t *)one);
        sha256_update(&context, 2, (const uint8_t *)"  ");
        sha256_update(&context, strlen(base), (const uint8_t *)base);
        sha256_update(&context, 1, (const uint8_t *)"\n");
    }
    if (status == ENGINE_OK) digest_hex(&context, digest);
    return status;
}

enum engine_status model_file_digest(const char *path, const struct digest_observer *observer, char digest[65], char *error,
                                     size_t error_size) {
    struct reading reading = {.observer = observer};
    bool is_folder = folder_is(path);
    char *files = NULL;
    size_t count = 0;
    enum engine_status status = (is_folder ? folder_files : gguf_part_files)(path, &files, &count, error, error_size);
    if (status == ENGINE_OK && !is_folder && count == 1)
        status = file_digest(path, &reading, digest, error, error_size);
    else if (status == ENGINE_OK)
        status = files_digest(is_folder ? path : "", files, count, &reading, digest, error, error_size);
    free(files);
    return status;
}

const char *model_tokenizer_digest(const struct model *model) {
    return model->tokenizer_digest;
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

enum engine_status model_tokenize(const struct model *model, const char *text, size_t size,
                                  const struct tokenize_options *options, struct token **tokens, size_t *n, char *error,
                                  size_t error_size) {
    if (model->tokenizer == NULL && model->tokenizer_error != NULL)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "%s; give token ids instead of a text", model->tokenizer_error);
    if (model->tokenizer == NULL)
        return engine_fail(ENGINE_INVALID, error, error_size, "the model %s has no tokenizer; give token ids instead of a text",
                           model->info.name);
    return tokenizer_run(model->tokenizer, text, size, options, tokens, n, error, error_size);
}

const char *model_token_bytes(const struct model *model, int32_t id, size_t *size, bool *special) {
    return model->tokenizer != NULL ? tokenizer_bytes(model->tokenizer, id, size, special) : NULL;
}

/* ---- chats ------------------------------------------------------------------------------------------------- */

enum engine_status model_chat(const struct model *model, const struct chat_message *messages, size_t count, bool answer,
                              struct chat_text *chat, char *error, size_t error_size) {
    const struct chat *known = &model->chat;
    if (known->format == NULL)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the model %s takes no chats: %s; write the chat as one text, marks included",
                           model->info.name, known->why != NULL ? known->why : "it has no chat template");
    return chat_write(known->format, known->bos, known->eos, messages, count, answer, chat, error, error_size);
}
