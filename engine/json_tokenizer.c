#include "engine/json_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/table.h"
#include "engine/tokenizer_json.h"
#include "engine/utf8.h"

/* Jansson takes up to 80 times the text: what it is given stays small. */
enum { PARSED_MAX = 8 << 20, DOCUMENT_MAX = 512 << 20 };

/* ---- what the readers share -------------------------------------------------------------------------------- */

enum engine_status json_broken(struct json_reading *r, const char *what) {
    return engine_fail(ENGINE_BROKEN, r->error, r->error_size,
                       "the tokenizer (tokenizer.json) is damaged: its %s is missing, twice there or not of the right kind", what);
}

enum engine_status json_unsupported(struct json_reading *r, const char *what, const char *name) {
    return engine_fail(ENGINE_UNSUPPORTED, r->error, r->error_size, "the tokenizer (tokenizer.json) is not supported: %s \"%.64s\"",
                       what, name);
}

json_t *json_parse(struct json_reading *r, struct scan value, const char *what, enum engine_status *status) {
    json_error_t problem;
    size_t size = (size_t)(value.end - value.at);
    if (size > PARSED_MAX) {
        *status = engine_fail(ENGINE_UNSUPPORTED, r->error, r->error_size,
                              "the tokenizer (tokenizer.json) is not supported: its %s has %zu bytes; at most %d are read", what,
                              size, PARSED_MAX);
        return NULL;
    }
    json_t *parsed = json_loadb(value.at, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    *status = ENGINE_OK;
    if (parsed == NULL && json_error_code(&problem) == json_error_out_of_memory)
        *status = engine_fail_memory(r->error, r->error_size);
    else if (parsed == NULL)
        *status = engine_fail(ENGINE_BROKEN, r->error, r->error_size, "the tokenizer (tokenizer.json) is damaged: %s: %.100s", what,
                              problem.text);
    return parsed;
}

enum engine_status json_only(struct json_reading *r, const json_t *object, const char *what, const char *const *keys) {
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)object, key, member) {
        const char *const *known = keys;
        while (*known != NULL && strcmp(*known, key) != 0) known++;
        if (*known == NULL) return json_unsupported(r, what, key);
    }
    return ENGINE_OK;
}

bool json_flag(const json_t *object, const char *key, bool otherwise, bool *flag) {
    const json_t *value = json_object_get(object, key);
    *flag = otherwise;
    if (value == NULL || json_is_null(value)) return true;
    *flag = json_is_true(value);
    return json_is_boolean(value);
}

bool json_find_token(const struct json_reading *r, const char *spelling, size_t size, uint32_t *id) {
    uint64_t key = table_hash(r->by_spelling, spelling, size);
    uint32_t place;
    for (size_t probe = 0; table_next(r->by_spelling, key, &probe, &place);) {
        if (r->entries[place].size != size || memcmp(r->entries[place].spelling, spelling, size) != 0) continue;
        *id = r->entries[place].id;
        return true;
    }
    return false;
}

/* ---- the document ------------------------------------------------------------------------------------------ */

enum part { PART_MODEL, PART_ADDED, PART_NORMALIZER, PART_PRE_TOKENIZER, PART_POST_PROCESSOR, PART_VERSION, PART_IGNORED };

/* Truncation and padding are what a caller may ask for, decoders turn ids to text: neither changes the tokens of a text. */
static const struct { const char *key; enum part part; } parts[] = {
    {"model", PART_MODEL}, {"added_tokens", PART_ADDED}, {"normalizer", PART_NORMALIZER}, {"pre_tokenizer", PART_PRE_TOKENIZER},
    {"post_processor", PART_POST_PROCESSOR}, {"version", PART_VERSION}, {"truncation", PART_IGNORED}, {"padding", PART_IGNORED},
    {"decoder", PART_IGNORED},
};
enum { PARTS = sizeof parts / sizeof parts[0] };

static enum engine_status find_parts(struct json_reading *r, struct scan document, struct scan values[PARTS]) {
    bool first = true;
    char key[64] = "";
    size_t size;
    scan_enter(&document, '{');
    while (!document.broken && scan_more(&document, '}', &first)) {
        struct scan value;
        size_t i = 0;
        if (!scan_key(&document, key, sizeof key - 1, &size) || !scan_value(&document, &value)) break;
        key[size] = '\0';
        while (i < PARTS && (strlen(parts[i].key) != size || memcmp(parts[i].key, key, size) != 0)) i++;
        if (i == PARTS) return json_unsupported(r, "the part", key);
        if (values[i].at != NULL) return json_broken(r, parts[i].key);
        values[i] = value;
    }
    if (document.broken || !scan_at_end(&document))
        return engine_fail(ENGINE_BROKEN, r->error, r->error_size,
                           "the tokenizer (tokenizer.json) is damaged: it is no JSON object, or nested too deeply (in or behind \"%s\")",
                           key);
    return ENGINE_OK;
}

static struct scan value_of(const struct scan values[PARTS], enum part part) {
    for (size_t i = 0; i < PARTS; i++)
        if (parts[i].part == part) return values[i];
    return (struct scan){0};
}

/* One part through its reader. */
static enum engine_status read_part(struct json_reading *r, const struct scan values[PARTS], enum part part, const char *what,
                                    enum engine_status (*read)(struct json_reading *r, const json_t *value)) {
    enum engine_status status;
    struct scan value = value_of(values, part);
    if (value.at == NULL) return read(r, NULL);
    json_t *parsed = json_parse(r, value, what, &status);
    if (parsed == NULL) return status;
    status = read(r, json_is_null(parsed) ? NULL : parsed);
    json_decref(parsed);
    return status;
}

static enum engine_status read_version(struct json_reading *r, const json_t *value) {
    if (value == NULL || (json_is_string(value) && strcmp(json_string_value(value), "1.0") == 0)) return ENGINE_OK;
    return json_unsupported(r, "version", json_is_string(value) ? json_string_value(value) : "of another kind than text");
}

/* The model and the added tokens, which make one vocabulary. */
static enum engine_status read_tokens(struct json_reading *r, const struct scan values[PARTS]) {
    enum engine_status status;
    json_t *added = NULL;
    struct scan model = value_of(values, PART_MODEL), list = value_of(values, PART_ADDED);
    if (model.at == NULL) return json_broken(r, "model");
    if (list.at != NULL && (added = json_parse(r, list, "added_tokens", &status)) == NULL) return status;
    if (added != NULL && !json_is_array(added) && !json_is_null(added)) status = json_broken(r, "added_tokens");
    else status = json_read_model(r, model, added);
    if (status == ENGINE_OK) status = json_read_added(r, added);
    json_decref(added);
    return status;
}

static enum engine_status read_all(struct json_reading *r, struct scan document) {
    struct scan values[PARTS] = {{0}};
    enum engine_status status = find_parts(r, document, values);
    if (status == ENGINE_OK) status = read_part(r, values, PART_VERSION, "version", read_version);
    if (status == ENGINE_OK) status = read_part(r, values, PART_NORMALIZER, "normalizer", json_read_normalizer);
    if (status == ENGINE_OK) status = read_part(r, values, PART_PRE_TOKENIZER, "pre_tokenizer", json_read_pretokenizer);
    if (status == ENGINE_OK) status = read_tokens(r, values);
    if (status == ENGINE_OK) status = read_part(r, values, PART_POST_PROCESSOR, "post_processor", json_read_post_processor);
    return status;
}

enum engine_status tokenizer_open_json(const char *bytes, size_t size, struct tokenizer **tokenizer, char *error,
                                       size_t error_size) {
    if (size > DOCUMENT_MAX)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the tokenizer (tokenizer.json) has %zu bytes; at most %d are read",
                           size, DOCUMENT_MAX);
    if (utf8_valid_prefix(bytes, size) != size)
        return engine_fail(ENGINE_BROKEN, error, error_size, "the tokenizer (tokenizer.json) is damaged: byte %zu is no UTF-8",
                           utf8_valid_prefix(bytes, size));
    struct json_reading reading = {.tokenizer = tokenizer_create(), .error = error, .error_size = error_size};
    if (reading.tokenizer == NULL) return engine_fail_memory(error, error_size);
    enum engine_status status = read_all(&reading, (struct scan){.at = bytes, .end = bytes + size});
    free(reading.entries);
    free(reading.text);
    table_destroy(reading.by_spelling);
    if (status != ENGINE_OK) {
        tokenizer_destroy(reading.tokenizer);
        return status;
    }
    *tokenizer = reading.tokenizer;
    return ENGINE_OK;
}
