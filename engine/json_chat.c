#include "engine/json_chat.h"

#include <jansson.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/scan.h"
#include "engine/utf8.h"

enum { MEMBER_MAX = 8 << 20 }; /* Jansson takes up to 80 times the text */

enum member { MEMBER_TEMPLATE, MEMBER_BOS, MEMBER_EOS, MEMBERS };
static const char *const keys[MEMBERS] = {"chat_template", "bos_token", "eos_token"};

/* Where the members lie; false for what is no JSON object, or has one of them twice. */
static bool find_members(struct scan document, struct scan members[MEMBERS]) {
    bool first = true;
    scan_enter(&document, '{');
    while (!document.broken && scan_more(&document, '}', &first)) {
        char key[256];
        size_t size;
        struct scan value;
        if (!scan_key(&document, key, sizeof key, &size) || !scan_value(&document, &value)) break;
        for (int i = 0; i < MEMBERS; i++) {
            if (size != strlen(keys[i]) || memcmp(key, keys[i], size) != 0) continue;
            if (members[i].at != NULL) return false;
            members[i] = value;
        }
    }
    return !document.broken && scan_at_end(&document);
}

/* A member as a tree; NULL where it is not there, or with *failed where it cannot be had. */
static json_t *parse(struct scan value, enum engine_status *failed) {
    json_error_t problem;
    size_t size = (size_t)(value.end - value.at);
    if (value.at == NULL) return NULL;
    json_t *parsed = size <= MEMBER_MAX ? json_loadb(value.at, size, JSON_DECODE_ANY, &problem) : NULL;
    if (parsed == NULL) *failed = size <= MEMBER_MAX && json_error_code(&problem) == json_error_out_of_memory ? ENGINE_NO_MEMORY : ENGINE_BROKEN;
    return parsed;
}

/* "<s>", or an added token {"content": "<s>", ...}. */
static enum engine_status read_spelling(struct scan value, char **spelling) {
    enum engine_status status = ENGINE_OK;
    json_t *parsed = parse(value, &status);
    const char *text = json_string_value(json_is_object(parsed) ? json_object_get(parsed, "content") : parsed);
    if (text != NULL && *spelling == NULL && (*spelling = strdup(text)) == NULL) status = ENGINE_NO_MEMORY;
    json_decref(parsed);
    return status;
}

/* A text, or [{"name": "default", "template": "..."}...]. */
static enum engine_status read_template(struct scan value, struct chat *chat) {
    enum engine_status status = ENGINE_OK;
    json_t *parsed = parse(value, &status), *one;
    const json_t *text = parsed;
    size_t i;
    if (json_is_array(parsed)) {
        text = NULL;
        json_array_foreach(parsed, i, one) {
            const char *name = json_string_value(json_object_get(one, "name"));
            if (name != NULL && strcmp(name, "default") == 0) text = json_object_get(one, "template");
        }
    }
    if (json_is_string(text) && !chat_set_template(chat, json_string_value(text), json_string_length(text))) status = ENGINE_NO_MEMORY;
    json_decref(parsed);
    return status;
}

enum engine_status json_chat_read(const char *bytes, size_t size, struct chat *chat, char *error, size_t error_size) {
    struct scan members[MEMBERS] = {{0}};
    enum engine_status status = ENGINE_BROKEN;
    if (utf8_valid_prefix(bytes, size) == size && find_members((struct scan){.at = bytes, .end = bytes + size}, members)) {
        status = read_spelling(members[MEMBER_BOS], &chat->bos);
        if (status == ENGINE_OK) status = read_spelling(members[MEMBER_EOS], &chat->eos);
        if (status == ENGINE_OK && chat->format == NULL && chat->why == NULL) status = read_template(members[MEMBER_TEMPLATE], chat);
    }
    if (status == ENGINE_BROKEN) {
        chat->format = NULL; /* its marks would lack the tokens that this file names */
        if (chat->why != NULL || (chat->why = strdup("its tokenizer_config.json is damaged")) != NULL) return ENGINE_OK;
        status = ENGINE_NO_MEMORY;
    }
    return status == ENGINE_OK ? status : engine_fail_memory(error, error_size);
}
