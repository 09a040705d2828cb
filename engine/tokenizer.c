#include "engine/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/bpe.h"
#include "engine/checked.h"
#include "engine/digest.h"
#include "engine/failure.h"
#include "engine/pretokenizer.h"
#include "engine/utf8.h"
#include "engine/vocabulary.h"

struct tokenizer {
    char name[64];
    struct vocabulary *vocabulary;
    struct pretokenizer *pretokenizer;
    struct bpe *bpe;
    int32_t start, end, unknown; /* -1: none. start and end: those that are added to every text */
};

/* ---- reading ----------------------------------------------------------------------------------------------- */

#define PREFIX "tokenizer.ggml."

/* Keys that are read here or change no token. All that end in _token_id or _token_ids name tokens, which by itself changes
 * nothing. */
static const char *const known_keys[] = {
    PREFIX "model", PREFIX "pre", PREFIX "tokens", PREFIX "token_type", PREFIX "merges", PREFIX "scores",
    PREFIX "add_bos_token", PREFIX "add_eos_token", PREFIX "token_type_count",
};

/* What a text would go through and does not here, if the file says true. */
static const char *const refused_flags[] = {
    PREFIX "add_space_prefix", PREFIX "add_sep_token", PREFIX "remove_extra_whitespaces", PREFIX "escape_whitespaces",
    PREFIX "treat_whitespace_as_suffix",
};

static bool ends_with(struct gguf_string text, const char *end) {
    size_t size = strlen(end);
    return text.size >= size && memcmp(text.data + text.size - size, end, size) == 0;
}

static bool is_harmless(const struct gguf_value *value) {
    bool flag;
    for (size_t i = 0; i < sizeof known_keys / sizeof known_keys[0]; i++)
        if (gguf_string_is(value->key, known_keys[i])) return true;
    for (size_t i = 0; i < sizeof refused_flags / sizeof refused_flags[0]; i++)
        if (gguf_string_is(value->key, refused_flags[i])) return gguf_bool(value, &flag) && !flag;
    return ends_with(value->key, "_token_id") || ends_with(value->key, "_token_ids");
}

static enum engine_status check_keys(const struct gguf *gguf, char *error, size_t error_size) {
    size_t count;
    const struct gguf_value *values = gguf_values(gguf, &count);
    for (size_t i = 0; i < count; i++) {
        struct gguf_string key = values[i].key;
        if (key.size > sizeof PREFIX - 1 && memcmp(key.data, PREFIX, sizeof PREFIX - 1) == 0 && !is_harmless(&values[i]))
            return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                               "the tokenizer asks for something that is not supported: %.*s",
                               (int)key.size, key.data);
    }
    return ENGINE_OK;
}

/* The token that `key` names; -1 where the file has no such key. */
static enum engine_status read_token(const struct gguf *gguf, const char *key, size_t vocabulary, int32_t *token, char *error,
                                     size_t error_size) {
    uint64_t id;
    const struct gguf_value *value = gguf_find(gguf, key);
    *token = -1;
    if (value == NULL) return ENGINE_OK;
    if (!gguf_unsigned(value, &id) || id >= vocabulary)
        return engine_fail(ENGINE_BROKEN, error, error_size, "the model file is damaged: %s names no token", key);
    *token = (int32_t)id;
    return ENGINE_OK;
}

/* The token to be added to every text, or -1. */
static enum engine_status read_added(const struct gguf *gguf, const char *flag_key, const char *token_key, bool otherwise,
                                     size_t vocabulary, int32_t *token, char *error, size_t error_size) {
    bool added = otherwise;
    const struct gguf_value *flag = gguf_find(gguf, flag_key);
    if (flag != NULL && !gguf_bool(flag, &added))
        return engine_fail(ENGINE_BROKEN, error, error_size,
                           "the model file is damaged: %s is neither true nor false", flag_key);
    enum engine_status status = read_token(gguf, token_key, vocabulary, token, error, error_size);
    if (status == ENGINE_OK && added && *token < 0)
        return engine_fail(ENGINE_BROKEN, error, error_size,
                           "the model file is damaged: a token is to be added to every text, "
                           "but %s is missing", token_key);
    if (!added) *token = -1;
    return status;
}

static enum engine_status read_parts(const struct gguf *gguf, struct tokenizer *made, char *error, size_t error_size) {
    struct gguf_string pre;
    const struct gguf_value *value = gguf_find(gguf, PREFIX "pre");
    if (value == NULL || !gguf_string(value, &pre))
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "the model file does not name its pre-tokenizer (tokenizer.ggml.pre); take a newer file of the model");
    enum engine_status status = pretokenizer_create(pre.data, pre.size, &made->pretokenizer, error, error_size);
    if (status != ENGINE_OK) return status;
    snprintf(made->name, sizeof made->name, "bpe (%s)", pretokenizer_name(made->pretokenizer));
    status = vocabulary_from_gguf(gguf, &made->vocabulary, error, error_size);
    if (status != ENGINE_OK) return status;
    size_t count = vocabulary_count(made->vocabulary);
    status = bpe_from_gguf(gguf, made->vocabulary, pretokenizer_takes_whole_words(made->pretokenizer), &made->bpe, error,
                           error_size);
    if (status == ENGINE_OK)
        status = read_added(gguf, PREFIX "add_bos_token", PREFIX "bos_token_id", pretokenizer_adds_start(made->pretokenizer),
                            count, &made->start, error, error_size);
    if (status == ENGINE_OK)
        status = read_added(gguf, PREFIX "add_eos_token", PREFIX "eos_token_id", false, count, &made->end, error, error_size);
    if (status == ENGINE_OK)
        status = read_token(gguf, PREFIX "unknown_token_id", count, &made->unknown, error, error_size);
    return status;
}

enum engine_status tokenizer_from_gguf(const struct gguf *gguf, struct tokenizer **tokenizer, char *error,
                                       size_t error_size) {
    struct gguf_string kind = {"none", 4};
    const struct gguf_value *value = gguf_find(gguf, PREFIX "model");
    if (value != NULL && !gguf_string(value, &kind))
        return engine_fail(ENGINE_BROKEN, error, error_size,
                           "the model file is damaged: tokenizer.ggml.model is no text");
    if (gguf_string_is(kind, "none")) {
        *tokenizer = NULL;
        return ENGINE_OK;
    }
    if (!gguf_string_is(kind, "gpt2"))
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "the tokenizer \"%.*s\" (tokenizer.ggml.model) is not supported; "
                           "gpt2 (byte-level BPE) is", (int)(kind.size < 64 ? kind.size : 64), kind.data);
    enum engine_status status = check_keys(gguf, error, error_size);
    if (status != ENGINE_OK) return status;
    struct tokenizer *made = calloc(1, sizeof *made);
    if (made == NULL) return engine_fail_memory(error, error_size);
    status = read_parts(gguf, made, error, error_size);
    if (status != ENGINE_OK) {
        tokenizer_destroy(made);
        return status;
    }
    *tokenizer = made;
    return ENGINE_OK;
}

void tokenizer_destroy(struct tokenizer *tokenizer) {
    if (tokenizer == NULL) return;
    bpe_destroy(tokenizer->bpe);
    vocabulary_destroy(tokenizer->vocabulary);
    pretokenizer_destroy(tokenizer->pretokenizer);
    free(tokenizer);
}

const char *tokenizer_name(const struct tokenizer *tokenizer) {
    return tokenizer->name;
}

size_t tokenizer_vocabulary(const struct tokenizer *tokenizer) {
    return vocabulary_count(tokenizer->vocabulary);
}

void tokenizer_digest(const struct tokenizer *tokenizer, char digest[65]) {
    const int32_t ids[] = {tokenizer->start, tokenizer->end, tokenizer->unknown};
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, 4, (const uint8_t *)"bpe");
    pretokenizer_hash(tokenizer->pretokenizer, &context);
    vocabulary_hash(tokenizer->vocabulary, &context);
    bpe_hash(tokenizer->bpe, &context);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        const uint32_t id = (uint32_t)ids[i];
        const uint8_t bytes[4] = {(uint8_t)id, (uint8_t)(id >> 8), (uint8_t)(id >> 16), (uint8_t)(id >> 24)};
        sha256_update(&context, sizeof bytes, bytes);
    }
    digest_hex(&context, digest);
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

const char *tokenizer_bytes(const struct tokenizer *tokenizer, int32_t id, size_t *size, bool *special) {
    if (id < 0 || (size_t)id >= vocabulary_count(tokenizer->vocabulary)) return NULL;
    if (special != NULL) *special = vocabulary_is_special(tokenizer->vocabulary, (uint32_t)id);
    return vocabulary_bytes(tokenizer->vocabulary, (uint32_t)id, size);
}

/* One text on its way: text[segment ..] is what the splitter sees, text[word ..] what BPE sees. */
struct run {
    const struct tokenizer *tokenizer;
    const char *text;
    size_t segment, word;
    struct splitter *splitter;
    struct bpe_scratch scratch;
    struct token *tokens;
    size_t count, room;
    char *error;
    size_t error_size;
};

static enum engine_status add_token(struct run *run, uint32_t id, size_t start, size_t end) {
    if (run->count == run->room) {
        size_t room = run->room > 0 ? run->room * 2 : 64, bytes;
        struct token *tokens = checked_multiply(room, sizeof *tokens, &bytes) ? realloc(run->tokens, bytes) : NULL;
        if (tokens == NULL) return engine_fail_memory(run->error, run->error_size);
        run->tokens = tokens;
        run->room = room;
    }
    run->tokens[run->count++] = (struct token){
        .id = (int32_t)id,
        .start = (uint32_t)start,
        .end = (uint32_t)end,
        .special = vocabulary_is_special(run->tokenizer->vocabulary, id),
    };
    return ENGINE_OK;
}

static enum engine_status on_token(void *context, uint32_t id, size_t start, size_t end) {
    struct run *run = context;
    start += run->word;
    end += run->word;
    if (id == BPE_UNKNOWN && run->tokenizer->unknown < 0)
        return engine_fail(ENGINE_INVALID, run->error, run->error_size,
                           "the model has no token for the byte 0x%02x at byte %zu of the text, and none for unknown ones; leave it out",
                           (unsigned char)run->text[start], start);
    return add_token(run, id == BPE_UNKNOWN ? (uint32_t)run->tokenizer->unknown : id, start, end);
}

static enum engine_status on_word(void *context, size_t start, size_t end) {
    struct run *run = context;
    run->word = run->segment + start;
    enum engine_status status = bpe_word(run->tokenizer->bpe, &run->scratch, run->text + run->word, end - start, on_token, run);
    return status == ENGINE_NO_MEMORY ? engine_fail_memory(run->error, run->error_size) : status;
}

static enum engine_status add_segment(struct run *run, size_t start, size_t end) {
    run->segment = start;
    return splitter_run(run->splitter, run->text + start, end - start, on_word, run, run->error, run->error_size);
}

/* Cuts special tokens out of the text, the earliest first and the longest of those that start there. */
static enum engine_status add_text(struct run *run, size_t size, bool control) {
    enum engine_status status = ENGINE_OK;
    size_t segment = 0;
    for (size_t at = 0; at < size && status == ENGINE_OK;) {
        uint32_t id;
        if (!vocabulary_match(run->tokenizer->vocabulary, run->text + at, size - at, control, &id)) {
            at++;
            continue;
        }
        size_t length;
        vocabulary_bytes(run->tokenizer->vocabulary, id, &length);
        status = add_segment(run, segment, at);
        if (status == ENGINE_OK) status = add_token(run, id, at, at + length);
        at += length;
        segment = at;
    }
    return status == ENGINE_OK ? add_segment(run, segment, size) : status;
}

enum engine_status tokenizer_run(const struct tokenizer *tokenizer, const char *text, size_t size,
                                 const struct tokenize_options *options, struct token **tokens, size_t *n, char *error,
                                 size_t error_size) {
    size_t valid = utf8_valid_prefix(text, size);
    if (valid < size)
        return engine_fail(ENGINE_INVALID, error, error_size,
                           "the text is not UTF-8: byte %zu (0x%02x) is not part of a character",
                           valid, (unsigned char)text[valid]);
    if (size > INT32_MAX)
        return engine_fail(ENGINE_TOO_LARGE, error, error_size,
                           "the text has %zu bytes; at most %d can be read", size, INT32_MAX);
    struct run run = {.tokenizer = tokenizer, .text = text, .error = error, .error_size = error_size};
    run.splitter = splitter_create(tokenizer->pretokenizer);
    enum engine_status status = run.splitter != NULL ? ENGINE_OK : engine_fail_memory(error, error_size);
    if (status == ENGINE_OK && options->add_special && tokenizer->start >= 0)
        status = add_token(&run, (uint32_t)tokenizer->start, 0, 0);
    if (status == ENGINE_OK) status = add_text(&run, size, options->parse_special);
    if (status == ENGINE_OK && options->add_special && tokenizer->end >= 0)
        status = add_token(&run, (uint32_t)tokenizer->end, 0, 0);
    splitter_destroy(run.splitter);
    bpe_scratch_finish(&run.scratch);
    if (status == ENGINE_OK && run.tokens == NULL && (run.tokens = malloc(1)) == NULL)
        status = engine_fail_memory(error, error_size);
    if (status != ENGINE_OK) {
        free(run.tokens);
        return status;
    }
    *tokens = run.tokens;
    *n = run.count;
    return ENGINE_OK;
}
