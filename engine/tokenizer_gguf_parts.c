#include "engine/tokenizer_gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"

/* tokenizer.ggml.token_type */
enum kind { KIND_NORMAL = 1, KIND_UNKNOWN, KIND_CONTROL, KIND_USER_DEFINED, KIND_UNUSED, KIND_BYTE };

enum engine_status reading_damaged(struct reading *r, const char *key) {
    return engine_fail(ENGINE_BROKEN, r->error, r->error_size,
                       "the model file is damaged: %s is missing, empty or no list of the right kind and length", key);
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

/* Keys that are read here or change no token. All that end in _token_id or _token_ids name tokens, which by itself changes
 * nothing. */
static const char *const known_keys[] = {
    PREFIX "model", PREFIX "pre", PREFIX "tokens", PREFIX "token_type", PREFIX "merges", PREFIX "scores",
    PREFIX "add_bos_token", PREFIX "add_eos_token", PREFIX "token_type_count",
};

static const char *const refused_flags[] = {
    PREFIX "add_space_prefix", PREFIX "add_sep_token", PREFIX "remove_extra_whitespaces", PREFIX "escape_whitespaces",
    PREFIX "treat_whitespace_as_suffix",
};

static bool ends_with(struct gguf_string text, const char *end) {
    size_t size = strlen(end);
    return text.size >= size && memcmp(text.data + text.size - size, end, size) == 0;
}

static bool is_harmless(const struct gguf_value *value, const char *const *own_keys) {
    bool flag;
    for (size_t i = 0; i < sizeof known_keys / sizeof known_keys[0]; i++)
        if (gguf_string_is(value->key, known_keys[i])) return true;
    for (; *own_keys != NULL; own_keys++)
        if (gguf_string_is(value->key, *own_keys)) return true;
    for (size_t i = 0; i < sizeof refused_flags / sizeof refused_flags[0]; i++)
        if (gguf_string_is(value->key, refused_flags[i])) return gguf_bool(value, &flag) && !flag;
    return ends_with(value->key, "_token_id") || ends_with(value->key, "_token_ids");
}

enum engine_status reading_check_keys(struct reading *r, const char *const *own_keys) {
    size_t count;
    const struct gguf_value *values = gguf_values(r->gguf, &count);
    for (size_t i = 0; i < count; i++) {
        struct gguf_string key = values[i].key;
        if (key.size > sizeof PREFIX - 1 && memcmp(key.data, PREFIX, sizeof PREFIX - 1) == 0 &&
            !is_harmless(&values[i], own_keys))
            return engine_fail(ENGINE_UNSUPPORTED, r->error, r->error_size,
                               "the tokenizer asks for something that is not supported: %.*s", (int)key.size, key.data);
    }
    return ENGINE_OK;
}

enum engine_status reading_flag(struct reading *r, const char *key, bool otherwise, bool *flag) {
    const struct gguf_value *value = gguf_find(r->gguf, key);
    *flag = otherwise;
    if (value != NULL && !gguf_bool(value, flag))
        return engine_fail(ENGINE_BROKEN, r->error, r->error_size, "the model file is damaged: %s is neither true nor false", key);
    return ENGINE_OK;
}

/* The token that `key` names; BPE_NONE where the file has no such key. */
enum engine_status reading_token(struct reading *r, const char *key, uint32_t *token) {
    uint64_t id;
    const struct gguf_value *value = gguf_find(r->gguf, key);
    *token = BPE_NONE;
    if (value == NULL) return ENGINE_OK;
    if (!gguf_unsigned(value, &id) || id >= r->count)
        return engine_fail(ENGINE_BROKEN, r->error, r->error_size, "the model file is damaged: %s names no token", key);
    *token = (uint32_t)id;
    return ENGINE_OK;
}

/* The token to be added to every text, or BPE_NONE. */
enum engine_status reading_added_token(struct reading *r, const char *flag_key, const char *token_key, bool otherwise,
                                     uint32_t *token) {
    bool added;
    enum engine_status status = reading_flag(r, flag_key, otherwise, &added);
    if (status == ENGINE_OK) status = reading_token(r, token_key, token);
    if (status == ENGINE_OK && added && *token == BPE_NONE)
        return engine_fail(ENGINE_BROKEN, r->error, r->error_size,
                           "the model file is damaged: a token is to be added to every text, but %s is missing", token_key);
    if (status == ENGINE_OK && !added) *token = BPE_NONE;
    return status;
}

/* ---- vocabulary -------------------------------------------------------------------------------------------- */

static enum engine_status read_kinds(struct reading *r) {
    const char *key = PREFIX "token_type";
    const struct gguf_value *kinds = gguf_find(r->gguf, key);
    memset(r->kinds, KIND_NORMAL, r->count);
    if (kinds == NULL) return ENGINE_OK;
    if (!kinds->array || kinds->count != r->count) return reading_damaged(r, key);
    struct gguf_cursor cursor = gguf_elements(kinds);
    for (size_t i = 0; i < r->count; i++) {
        int64_t kind;
        if (!gguf_next_integer(&cursor, &kind) || kind < KIND_NORMAL || kind > KIND_BYTE) return reading_damaged(r, key);
        r->kinds[i] = (uint8_t)kind;
    }
    return ENGINE_OK;
}

enum engine_status reading_tokens(struct reading *r) {
    const char *key = PREFIX "tokens";
    const struct gguf_value *tokens = gguf_find(r->gguf, key);
    if (tokens == NULL || !tokens->array || tokens->type != GGUF_STRING || tokens->count == 0 || tokens->count > VOCABULARY_MAX)
        return reading_damaged(r, key);
    r->count = tokens->count;
    r->kinds = malloc(r->count);
    r->entries = malloc(r->count * sizeof *r->entries);
    if (r->kinds == NULL || r->entries == NULL) return engine_fail_memory(r->error, r->error_size);
    enum engine_status status = read_kinds(r);
    struct gguf_cursor cursor = gguf_elements(tokens);
    for (uint32_t id = 0; id < r->count && status == ENGINE_OK; id++) {
        struct gguf_string spelling;
        uint8_t kind = r->kinds[id];
        if (!gguf_next_string(&cursor, &spelling) || spelling.size > UINT32_MAX) return reading_damaged(r, key);
        r->entries[id] = (struct vocabulary_entry){
            .spelling = spelling.data,
            .size = (uint32_t)spelling.size,
            .id = id,
            .special = kind == KIND_CONTROL || kind == KIND_UNKNOWN,
            .whole = kind == KIND_CONTROL || kind == KIND_UNKNOWN || kind == KIND_USER_DEFINED,
            .byte = kind == KIND_BYTE,
        };
    }
    return status;
}

enum engine_status reading_make_vocabulary(struct reading *r, struct vocabulary_style style) {
    if (style.byte_level)
        for (size_t i = 0; i < r->count; i++) r->entries[i].byte = false;
    return vocabulary_create(r->entries, r->count, style, &r->tokenizer->vocabulary, r->error, r->error_size);
}

/* Control and user-defined tokens are cut out of texts. */
enum engine_status reading_make_added(struct reading *r) {
    struct added_token *added = malloc(r->count * sizeof *added);
    size_t count = 0;
    if (added == NULL) return engine_fail_memory(r->error, r->error_size);
    for (uint32_t id = 0; id < r->count; id++) {
        if (r->kinds[id] != KIND_CONTROL && r->kinds[id] != KIND_USER_DEFINED) continue;
        added[count++] = (struct added_token){
            .content = r->entries[id].spelling,
            .size = r->entries[id].size,
            .id = id,
            .special = r->kinds[id] == KIND_CONTROL,
        };
    }
    enum engine_status status = added_tokens_create(added, count, &r->tokenizer->plain, r->error, r->error_size);
    free(added);
    return status;
}

enum engine_status reading_scores(struct reading *r, double **scores) {
    const char *key = PREFIX "scores";
    const struct gguf_value *value = gguf_find(r->gguf, key);
    if (value == NULL || !value->array || value->type != GGUF_FLOAT32 || value->count != r->count) return reading_damaged(r, key);
    double *made = malloc(r->count * sizeof *made);
    if (made == NULL) return engine_fail_memory(r->error, r->error_size);
    struct gguf_cursor cursor = gguf_elements(value);
    for (size_t i = 0; i < r->count; i++) {
        if (!gguf_next_number(&cursor, &made[i]) || !isfinite(made[i])) {
            free(made);
            return reading_damaged(r, key);
        }
    }
    *scores = made;
    return ENGINE_OK;
}

/* ---- pieces ------------------------------------------------------------------------------------------------ */

/* `start` A `end`; for a pair, where there are any, B `end` behind it. Encoders are trained on pairs; GGUF files of decoders know none. */
enum engine_status reading_make_template(struct reading *r, uint32_t start, uint32_t end, bool pairs) {
    struct tokenizer *tokenizer = r->tokenizer;
    tokenizer->single.count = tokenizer->pair.count = 0;
    for (uint8_t sequence = 0; sequence < 2; sequence++) {
        struct template_piece pieces[3];
        size_t count = 0;
        if (start != BPE_NONE && sequence == 0)
            pieces[count++] = (struct template_piece){.id = start, .type = sequence};
        pieces[count++] = (struct template_piece){.text = true, .sequence = sequence, .type = sequence};
        if (end != BPE_NONE) pieces[count++] = (struct template_piece){.id = end, .type = sequence};
        for (size_t i = 0; i < count; i++) {
            if (sequence == 0) template_add(&tokenizer->single, pieces[i]);
            if (pairs) template_add(&tokenizer->pair, pieces[i]);
        }
    }
    return ENGINE_OK;
}

enum engine_status reading_add_content(struct reading *r, struct normalizer_step step, const char *content) {
    step.content = strdup(content);
    step.content_size = strlen(content);
    if (step.content == NULL) {
        pattern_destroy(step.pattern);
        return engine_fail_memory(r->error, r->error_size);
    }
    return normalizer_add(&r->tokenizer->normalizer, step, NULL, 0, r->error, r->error_size);
}

/* Every match of a text or (`expression`) a pattern becomes `content`. */
enum engine_status reading_add_replacement(struct reading *r, const char *what, bool expression, const char *content) {
    struct pattern *pattern;
    enum engine_status status = expression ? pattern_create(what, strlen(what), &pattern, r->error, r->error_size)
                                           : pattern_create_plain(what, strlen(what), &pattern, r->error, r->error_size);
    if (status != ENGINE_OK) return status;
    return reading_add_content(r, (struct normalizer_step){.kind = NORMALIZE_REPLACE, .pattern = pattern}, content);
}

enum engine_status reading_add_step(struct reading *r, struct normalizer_step step) {
    return normalizer_add(&r->tokenizer->normalizer, step, NULL, 0, r->error, r->error_size);
}
