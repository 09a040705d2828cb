#include "server/json_request.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/json_body.h"
#include "server/utf8.h"

#define DEPTH_MAX 3         /* an object with an array of objects is the deepest that any request is */
#define OBJECTS_MAX 4096    /* messages, and the request around them */
#define VALUES_MAX (1 << 18) /* a parsed number takes ten times its text: bounded before anything is built */

/* ---- before parsing ---------------------------------------------------------------------------------------------- */

/* Counts brackets and commas outside strings; says nothing about the rest, which the parser will. */
static bool body_is_bounded(const char *body, size_t size, struct problem *problem) {
    size_t depth = 0, values = 0, objects = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = body[i];
        if (in_string) {
            if (c == '\\') i++;
            else if (c == '"') in_string = false;
            continue;
        }
        if (c == '"') in_string = true;
        if (c == '}' || c == ']') depth -= depth > 0;
        if ((c == '{' || c == '[') && ++depth > DEPTH_MAX)
            return problem_set(problem, 400,
                               "the body nests deeper than %d levels at byte %zu; no request does", DEPTH_MAX,
                               i);
        if (c == '{' && ++objects > OBJECTS_MAX)
            return problem_set(problem, 413, "the body holds more than %d objects; write a chat of so many messages as one text", OBJECTS_MAX);
        if (c == ',' && ++values >= VALUES_MAX)
            return problem_set(problem, 413, "the body holds more than %d values; no model reads so many tokens",
                               VALUES_MAX);
    }
    return true;
}

json_t *json_body_parse(const void *body, size_t size, struct problem *problem) {
    size_t sound = utf8_check(body, size);
    if (sound < size) {
        problem_set(problem, 400,
                    "the body is not UTF-8: byte %zu (0x%02x) belongs to no character; send the text as UTF-8", sound,
                    ((const unsigned char *)body)[sound]);
        return NULL;
    }
    if (!body_is_bounded(body, size, problem)) return NULL;
    json_error_t error;
    json_t *root = json_loadb(body, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!root) {
        if (json_error_code(&error) == json_error_out_of_memory) problem_memory(problem);
        else problem_set(problem, 400, "the body is no valid JSON: %s (line %d, byte %d)", error.text, error.line,
                         error.position);
        return NULL;
    }
    if (json_is_object(root)) return root;
    problem_set(problem, 400, "the body must be a JSON object, such as {\"model\": ..., \"text\": ...}");
    json_decref(root);
    return NULL;
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

typedef bool field_reader(const json_t *value, struct analysis_request *request, struct problem *problem);

struct field {
    const char *name;
    field_reader *read;
};

static const char *type_name(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a fraction";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: return "null";
    }
    return "something else";
}

static bool read_string(const json_t *value, const char *pointer, char **text, size_t *size, struct problem *problem) {
    if (!json_is_string(value))
        return problem_at(problem, 400, pointer, "%s must be a string, not %s", pointer + 1, type_name(value));
    *size = json_string_length(value);
    *text = malloc(*size + 1);
    if (!*text) return problem_memory(problem);
    memcpy(*text, json_string_value(value), *size + 1);
    return true;
}

static bool read_bool(const json_t *value, const char *pointer, bool *to, struct problem *problem) {
    if (!json_is_boolean(value))
        return problem_at(problem, 400, pointer, "%s must be true or false, not %s", pointer + 1, type_name(value));
    *to = json_is_true(value);
    return true;
}

static bool read_model(const json_t *value, struct analysis_request *request, struct problem *problem) {
    size_t size = 0;
    if (!read_string(value, "/model", &request->model, &size, problem)) return false;
    if (strlen(request->model) != size)
        return problem_at(problem, 422, "/model", "a model's id holds no U+0000; ask GET /api/v1/models");
    return true;
}

static bool read_text(const json_t *value, struct analysis_request *request, struct problem *problem) {
    return read_string(value, "/text", &request->text, &request->text_size, problem);
}

static bool read_text_pair(const json_t *value, struct analysis_request *request, struct problem *problem) {
    return read_string(value, "/text_pair", &request->text_pair, &request->text_pair_size, problem);
}

static bool read_target(const json_t *value, struct analysis_request *request, struct problem *problem) {
    return read_string(value, "/target", &request->target, &request->target_size, problem);
}

static bool read_store(const json_t *value, struct analysis_request *request, struct problem *problem) {
    return read_bool(value, "/store", &request->store, problem);
}

static bool read_parse_special(const json_t *value, struct analysis_request *request, struct problem *problem) {
    request->parse_special_given = true;
    return read_bool(value, "/parse_special", &request->parse_special, problem);
}

static bool read_add_special(const json_t *value, struct analysis_request *request, struct problem *problem) {
    request->add_special_given = true;
    return read_bool(value, "/add_special", &request->add_special, problem);
}

static bool read_add_generation_prompt(const json_t *value, struct analysis_request *request, struct problem *problem) {
    return read_bool(value, "/add_generation_prompt", &request->add_generation_prompt, problem);
}

static bool read_role(const json_t *value, size_t i, enum chat_role *role, struct problem *problem) {
    static const char *const roles[CHAT_ROLES] = {"system", "user", "assistant"};
    char pointer[48];
    snprintf(pointer, sizeof pointer, "/messages/%zu/role", i);
    for (int r = 0; json_is_string(value) && r < CHAT_ROLES; r++) {
        if (strcmp(json_string_value(value), roles[r]) != 0) continue;
        *role = (enum chat_role)r;
        return true;
    }
    return problem_at(problem, json_is_string(value) ? 422 : 400, pointer,
                      "the role of message %zu must be \"system\", \"user\" or \"assistant\"", i);
}

static bool read_message(const json_t *value, size_t i, struct chat_message *message, struct problem *problem) {
    char pointer[48], *content = NULL;
    snprintf(pointer, sizeof pointer, "/messages/%zu", i);
    if (!json_is_object(value))
        return problem_at(problem, 400, pointer, "message %zu must be an object, {\"role\": ..., \"content\": ...}, not %s", i,
                          type_name(value));
    const json_t *text = json_object_get(value, "content");
    if (!text || json_object_size(value) != 2)
        return problem_at(problem, 400, pointer, "message %zu must have role and content, and nothing else", i);
    if (!read_role(json_object_get(value, "role"), i, &message->role, problem)) return false;
    snprintf(pointer, sizeof pointer, "/messages/%zu/content", i);
    if (!read_string(text, pointer, &content, &message->size, problem)) return false;
    message->content = content;
    return true;
}

static bool read_messages(const json_t *value, struct analysis_request *request, struct problem *problem) {
    if (!json_is_array(value))
        return problem_at(problem, 400, "/messages", "messages must be an array of messages, not %s", type_name(value));
    size_t count = json_array_size(value);
    if (count == 0) return problem_at(problem, 422, "/messages", "messages is empty; give at least one");
    request->messages = calloc(count, sizeof *request->messages);
    if (!request->messages) return problem_memory(problem);
    request->message_count = count;
    for (size_t i = 0; i < count; i++)
        if (!read_message(json_array_get(value, i), i, &request->messages[i], problem)) return false;
    return true;
}

/* An array of integers from 0 to 2^31 - 1. Both kinds of list hold such; `numbers` is malloc'ed, of one element at least. */
static bool read_numbers(const json_t *value, const char *pointer, int32_t **numbers, size_t *count,
                         struct problem *problem) {
    char at[64];
    size_t n = json_array_size(value);
    int32_t *list = malloc((n + 1) * sizeof *list);
    if (!list) return problem_memory(problem);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(value, i);
        json_int_t number = json_integer_value(item);
        bool integer = json_is_integer(item);
        if (integer && number >= 0 && number <= INT32_MAX) {
            list[i] = (int32_t)number;
            continue;
        }
        free(list);
        snprintf(at, sizeof at, "%s/%zu", pointer, i);
        if (!integer)
            return problem_at(problem, 400, at, "%s must hold integers, and element %zu is %s", pointer + 1, i,
                              type_name(item));
        return problem_at(problem, 422, at, "element %zu of %s is %lld, and must be 0 or more and below 2^31", i,
                          pointer + 1,
                          (long long)number);
    }
    *numbers = list;
    *count = n;
    return true;
}

static bool read_token_ids(const json_t *value, struct analysis_request *request, struct problem *problem) {
    if (!json_is_array(value))
        return problem_at(problem, 400, "/token_ids", "token_ids must be an array of integers, not %s", type_name(value));
    return read_numbers(value, "/token_ids", &request->token_ids, &request->token_id_count, problem);
}

static bool read_target_ids(const json_t *value, struct analysis_request *request, struct problem *problem) {
    if (!json_is_array(value))
        return problem_at(problem, 400, "/target_ids", "target_ids must be an array of integers, not %s", type_name(value));
    return read_numbers(value, "/target_ids", &request->target_ids, &request->target_id_count, problem);
}

static int position_compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool read_exclude_keys(const json_t *value, struct analysis_request *request, struct problem *problem) {
    static const char *const what = "exclude_keys must be \"auto\", \"none\" or an array of positions, not %s";
    if (json_is_string(value)) {
        const char *word = json_string_value(value);
        if (!strcmp(word, "auto")) request->exclude = EXCLUDE_AUTO;
        else if (!strcmp(word, "none")) request->exclude = EXCLUDE_NONE;
        else return problem_at(problem, 400, "/exclude_keys", what, "another word");
        return true;
    }
    if (!json_is_array(value)) return problem_at(problem, 400, "/exclude_keys", what, type_name(value));
    int32_t *numbers;
    size_t count, kept = 0;
    if (!read_numbers(value, "/exclude_keys", &numbers, &count, problem)) return false;
    uint32_t *positions = (uint32_t *)numbers; /* the same width, all of them 0 or more */
    qsort(positions, count, sizeof *positions, position_compare);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || positions[i] != positions[i - 1]) positions[kept++] = positions[i];
    request->exclude = EXCLUDE_LIST;
    request->positions = positions;
    request->position_count = kept;
    return true;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static bool read_fields(json_t *root, const struct field *fields, struct analysis_request *request,
                        struct problem *problem) {
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        const struct field *field = fields;
        while (field->name && strcmp(field->name, key) != 0) field++;
        if (!field->name) {
            char pointer[128];
            size_t used = 1;
            pointer[0] = '/';
            for (const char *c = key; *c && used < sizeof pointer - 3; c++) { /* RFC 6901: ~0 and ~1 */
                if (*c == '~' || *c == '/') pointer[used++] = '~';
                pointer[used++] = *c == '~' ? '0' : *c == '/' ? '1' : *c;
            }
            while (utf8_check(pointer, used) < used) used--; /* a key that was cut inside a character */
            pointer[used] = '\0';
            char known[320] = "";
            for (const struct field *f = fields; f->name; f++) {
                size_t length = strlen(known);
                snprintf(known + length, sizeof known - length, "%s%s", length ? ", " : "", f->name);
            }
            return problem_at(problem, 400, pointer, "there is no field '%s'; the fields are %s", pointer + 1, known);
        }
        if (!field->read(value, request, problem)) return false;
    }
    return true;
}

static bool read_request(const void *body, size_t size, const struct field *fields, struct analysis_request *request,
                         struct problem *problem) {
    *request = (struct analysis_request){.store = true, .parse_special = true, .add_special = true};
    json_t *root = json_body_parse(body, size, problem);
    if (!root) return false;
    bool fine = read_fields(root, fields, request, problem);
    json_decref(root);
    if (fine && !request->model)
        fine = problem_at(problem, 400, "/model", "the field model is missing; GET /api/v1/models lists the ids");
    return fine;
}

/* That there is one input, and what belongs to it. */
static bool check_input(struct analysis_request *request, bool ids_taken, struct problem *problem) {
    const char *others = ids_taken ? " (or messages, or token_ids)" : " (or messages)";
    if (request->messages && request->text)
        return problem_at(problem, 400, "/messages", "give either text or messages, not both");
    if (request->token_ids && (request->text || request->messages))
        return problem_at(problem, 400, "/token_ids", "give either text or token_ids, not both");
    if (!request->text && !request->messages && !request->token_ids)
        return problem_at(problem, 400, "/text", "the field text%s is missing", others);
    if (request->text_pair && !request->text)
        return problem_at(problem, 400, "/text_pair", "text_pair needs a text before it");
    if (request->add_generation_prompt && !request->messages)
        return problem_at(problem, 400, "/add_generation_prompt", "add_generation_prompt goes with messages");
    json_request_chat_defaults(request);
    return true;
}

void json_request_chat_defaults(struct analysis_request *request) {
    if (!request->messages) return;
    request->parse_special = request->parse_special && request->parse_special_given;
    request->add_special = request->add_special && request->add_special_given;
}

bool json_request_analysis(const void *body, size_t size, struct analysis_request *request, struct problem *problem) {
    static const struct field fields[] = {
        {"model", read_model},
        {"text", read_text},
        {"text_pair", read_text_pair},
        {"messages", read_messages},
        {"add_generation_prompt", read_add_generation_prompt},
        {"token_ids", read_token_ids},
        {"target", read_target},
        {"target_ids", read_target_ids},
        {"exclude_keys", read_exclude_keys},
        {"store", read_store},
        {"parse_special", read_parse_special},
        {"add_special", read_add_special},
        {NULL, NULL},
    };
    bool fine = read_request(body, size, fields, request, problem);
    fine = fine && check_input(request, true, problem);
    if (fine && request->text && request->text_size == 0)
        fine = problem_at(problem, 422, "/text", "the text is empty; write at least one character");
    if (fine && request->token_ids && request->token_id_count == 0)
        fine = problem_at(problem, 422, "/token_ids", "token_ids is empty; give at least one");
    if (fine && request->target && request->target_ids)
        fine = problem_at(problem, 400, "/target_ids", "give either target or target_ids, not both");
    if (fine && request->target_ids && request->target_id_count == 0)
        fine = problem_at(problem, 422, "/target_ids", "target_ids is empty; give at least one, or leave it out");
    if (!fine) json_request_clear(request);
    return fine;
}

bool json_request_tokenize(const void *body, size_t size, struct analysis_request *request, struct problem *problem) {
    static const struct field fields[] = {
        {"model", read_model},
        {"text", read_text},
        {"text_pair", read_text_pair},
        {"messages", read_messages},
        {"add_generation_prompt", read_add_generation_prompt},
        {"target", read_target},
        {"parse_special", read_parse_special},
        {"add_special", read_add_special},
        {NULL, NULL},
    };
    bool fine = read_request(body, size, fields, request, problem);
    fine = fine && check_input(request, false, problem);
    if (!fine) json_request_clear(request);
    return fine;
}

bool json_request_messages(const char *bytes, size_t size, struct analysis_request *request, struct problem *problem) {
    json_error_t error;
    if (!body_is_bounded(bytes, size, problem)) return false;
    json_t *list = json_loadb(bytes, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!list && json_error_code(&error) == json_error_out_of_memory) return problem_memory(problem);
    if (!list) return problem_set(problem, 400, "the messages are no valid JSON: %s (line %d)", error.text, error.line);
    bool fine = read_messages(list, request, problem);
    json_decref(list);
    return fine;
}

void json_request_clear(struct analysis_request *request) {
    for (size_t i = 0; i < request->message_count; i++) free((char *)request->messages[i].content);
    free(request->messages);
    free(request->model);
    free(request->text);
    free(request->text_pair);
    free(request->token_ids);
    free(request->target);
    free(request->target_ids);
    free(request->positions);
    *request = (struct analysis_request){0};
}
