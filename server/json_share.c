#include "server/json_share.h"

#include <stdlib.h>
#include <string.h>

#include "server/json_body.h"

#define VIEW_MAX 4096

/* Refuses fields that are none of the two. */
static bool fields_known(json_t *root, const char *one, const char *other, struct problem *problem) {
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        (void)value;
        if (strcmp(key, one) != 0 && (!other || strcmp(key, other) != 0))
            return problem_set(problem, 400, "there is no field '%.60s'; the fields are %s%s%s", key, one, other ? ", " : "", other ? other : "");
    }
    return true;
}

/* A field that must be a string without U+0000. */
static bool read_text(const json_t *root, const char *name, char **text, size_t *size, struct problem *problem) {
    const json_t *value = json_object_get(root, name);
    char pointer[64] = "/";
    strncat(pointer, name, sizeof pointer - 2);
    if (!json_is_string(value)) return problem_at(problem, 400, pointer, "the field %s must be there, and be a string", name);
    *size = json_string_length(value);
    if (strlen(json_string_value(value)) != *size) return problem_at(problem, 422, pointer, "%s holds U+0000, which it cannot", name);
    *text = malloc(*size + 1);
    if (!*text) return problem_memory(problem);
    memcpy(*text, json_string_value(value), *size + 1);
    return true;
}

static bool read_view(const json_t *root, char **view, struct problem *problem) {
    const json_t *value = json_object_get(root, "view");
    *view = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("null");
    if (!*view) return problem_memory(problem);
    if (strlen(*view) <= VIEW_MAX) return true;
    return problem_at(problem, 413, "/view", "the view takes %zu bytes, and may take %d", strlen(*view), VIEW_MAX);
}

bool json_share_read(const void *body, size_t size, struct share_request *request, struct problem *problem) {
    size_t length = 0;
    *request = (struct share_request){0};
    json_t *root = json_body_parse(body, size, problem);
    if (!root) return false;
    bool fine = fields_known(root, "analysis", "view", problem) && read_text(root, "analysis", &request->analysis, &length, problem) &&
                read_view(root, &request->view, problem);
    json_decref(root);
    if (!fine) json_share_clear(request);
    return fine;
}

void json_share_clear(struct share_request *request) {
    free(request->analysis);
    free(request->view);
    *request = (struct share_request){0};
}

bool json_conllu_read(const void *body, size_t size, char **text, size_t *text_size, struct problem *problem) {
    json_t *root = json_body_parse(body, size, problem);
    if (!root) return false;
    bool fine = fields_known(root, "conllu", NULL, problem) && read_text(root, "conllu", text, text_size, problem);
    json_decref(root);
    return fine;
}
