#include "server/json_stored.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/json_document.h"

static bool stored_damaged(struct problem *problem) {
    return problem_set(problem, 500,
                       "what the database holds for this analysis cannot be read; delete it and ask for it again");
}

/* ---- what it was run on ------------------------------------------------------------------------------------------ */

static bool read_list(const json_t *array, const char *key, uint32_t **list, size_t *count) {
    size_t n = json_array_size(array);
    *list = malloc((n + 1) * sizeof **list);
    if (!*list) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(array, i);
        (*list)[i] = (uint32_t)json_integer_value(key ? json_object_get(item, key) : item);
    }
    *count = n;
    return true;
}

static bool read_start(const json_t *start, void *into, struct problem *problem) {
    struct stored_analysis *stored = into;
    const json_t *model = json_object_get(start, "model");
    const char *digest = json_string_value(json_object_get(model, "digest"));
    const json_t *excluded = json_object_get(json_object_get(start, "options"), "excluded");
    if (!digest || strlen(digest) != 64 || !json_is_array(excluded)) return stored_damaged(problem);
    memcpy(stored->digest, digest, 65);
    const char *precision = json_string_value(json_object_get(json_object_get(start, "engine"), "precision"));
    if (precision && strcmp(precision, precision_name(PRECISION_BF16)) == 0) stored->precision = PRECISION_BF16;
    stored->layers = (int)json_integer_value(json_object_get(model, "layers"));
    stored->heads = (int)json_integer_value(json_object_get(model, "heads"));
    stored->encoder_layers = (int)json_integer_value(json_object_get(model, "encoder_layers"));
    stored->encoder_heads = (int)json_integer_value(json_object_get(model, "encoder_heads"));
    const json_t *target = json_object_get(json_object_get(start, "options"), "target_excluded");
    if (target && !read_list(target, NULL, &stored->target_excluded, &stored->target_excluded_count)) return problem_memory(problem);
    return read_list(excluded, NULL, &stored->excluded, &stored->excluded_count) || problem_memory(problem);
}

static bool read_types(const json_t *tokens, struct stored_analysis *stored) {
    size_t i;
    const json_t *token;
    json_array_foreach(tokens, i, token) {
        const json_t *type = json_object_get(token, "type");
        if (!type) continue;
        if (!stored->types) stored->types = calloc(stored->n, sizeof *stored->types);
        if (!stored->types) return false;
        stored->types[i] = (uint8_t)json_integer_value(type);
    }
    return true;
}

static bool read_tokens(const json_t *line, void *into, struct problem *problem) {
    struct stored_analysis *stored = into;
    const json_t *tokens = json_object_get(line, "tokens");
    uint32_t *ids;
    if (!json_is_array(tokens)) return stored_damaged(problem);
    if (!read_list(tokens, "id", &ids, &stored->n)) return problem_memory(problem);
    stored->ids = (int32_t *)ids;
    const json_t *target = json_object_get(line, "target_tokens");
    if (target) {
        if (!read_list(target, "id", &ids, &stored->target_n)) return problem_memory(problem);
        stored->target_ids = (int32_t *)ids;
    }
    return read_types(tokens, stored) || problem_memory(problem);
}

typedef bool line_reader(const json_t *line, void *into, struct problem *problem);

/* The first two lines of a result, each through its reader. */
static bool read_start_and_tokens(const char *lines, size_t size, line_reader *start, line_reader *tokens, void *into,
                                  struct problem *problem) {
    line_reader *const readers[] = {start, tokens};
    const char *line;
    size_t at = 0, length;
    for (size_t i = 0; i < 2; i++) {
        json_t *root = NULL;
        if (json_next_line(lines, size, &at, &line, &length)) root = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
        bool fine = root ? readers[i](root, into, problem) : stored_damaged(problem);
        json_decref(root);
        if (!fine) return false;
    }
    return true;
}

bool json_stored_read(const char *lines, size_t size, struct stored_analysis *stored, struct problem *problem) {
    *stored = (struct stored_analysis){0};
    if (read_start_and_tokens(lines, size, read_start, read_tokens, stored, problem)) return true;
    json_stored_clear(stored);
    return false;
}

void json_stored_clear(struct stored_analysis *stored) {
    free(stored->ids);
    free(stored->types);
    free(stored->excluded);
    free(stored->target_ids);
    free(stored->target_excluded);
    *stored = (struct stored_analysis){0};
}

/* ---- its text ---------------------------------------------------------------------------------------------------- */

static bool read_text(const json_t *start, void *into, struct problem *problem) {
    struct stored_text *stored = into;
    const json_t *text = json_object_get(start, "text");
    if (!json_is_string(text)) return problem_set(problem, 422, "this analysis was made of token ids, and has no text to go by");
    stored->size = json_string_length(text);
    stored->text = malloc(stored->size + 1);
    if (!stored->text) return problem_memory(problem);
    memcpy(stored->text, json_string_value(text), stored->size + 1);
    return true;
}

static bool read_places(const json_t *line, void *into, struct problem *problem) {
    struct stored_text *stored = into;
    const json_t *tokens = json_object_get(line, "tokens"), *token;
    size_t i, ends = 0;
    if (!json_is_array(tokens)) return stored_damaged(problem);
    if (!read_list(tokens, "start", &stored->start, &stored->n) || !read_list(tokens, "end", &stored->end, &ends))
        return problem_memory(problem);
    json_array_foreach(tokens, i, token) {
        if (json_integer_value(json_object_get(token, "sequence")) != 0) stored->start[i] = stored->end[i] = 0;
        if (stored->start[i] > stored->end[i] || stored->end[i] > stored->size) return stored_damaged(problem);
    }
    return true;
}

bool json_stored_text(const char *lines, size_t size, struct stored_text *stored, struct problem *problem) {
    *stored = (struct stored_text){0};
    if (read_start_and_tokens(lines, size, read_text, read_places, stored, problem)) return true;
    json_stored_text_clear(stored);
    return false;
}

void json_stored_text_clear(struct stored_text *stored) {
    free(stored->text);
    free(stored->start);
    free(stored->end);
    *stored = (struct stored_text){0};
}

/* ---- heads ------------------------------------------------------------------------------------------------------- */

struct head_writer {
    const char *section; /* NULL: all */
    struct json_text *out;
    void (*row)(struct json_text *out, json_int_t layer, json_int_t head, json_t *stats, bool first);
};

/* A layer line without its thumbnails, parsed. */
static json_t *parse_layer(const char *line, size_t length) {
    size_t head = json_layer_head(line, length);
    char *part = head ? malloc(head + 1) : NULL;
    if (!part) return NULL;
    memcpy(part, line, head);
    part[head] = '}';
    json_t *root = json_loadb(part, head + 1, 0, NULL);
    free(part);
    return root;
}

static bool each_head(const char *lines, size_t size, const struct head_writer *writer, struct problem *problem) {
    const char *line;
    size_t at = 0, length;
    bool first = true;
    while (json_next_line(lines, size, &at, &line, &length)) {
        if (!json_line_is(line, length, "layer")) continue;
        json_t *root = parse_layer(line, length);
        if (!root) return stored_damaged(problem);
        const char *section = json_string_value(json_object_get(root, "section"));
        if (writer->section && section && strcmp(section, writer->section) != 0) {
            json_decref(root);
            continue;
        }
        size_t index;
        json_t *head;
        json_array_foreach(json_object_get(root, "heads"), index, head) {
            writer->row(writer->out, json_integer_value(json_object_get(root, "layer")),
                        json_integer_value(json_object_get(head, "head")), json_object_get(head, "stats"), first);
            first = false;
        }
        json_decref(root);
    }
    return !writer->out->failed || problem_memory(problem);
}

static void write_number(struct json_text *out, const json_t *value) {
    if (json_is_integer(value)) json_put_integer(out, json_integer_value(value));
    else if (json_is_real(value)) json_put_real(out, json_real_value(value));
    else json_put(out, "null");
}

static void csv_row(struct json_text *out, json_int_t layer, json_int_t head, json_t *stats, bool first) {
    const char *key;
    json_t *value;
    if (first) {
        json_put(out, "layer,head");
        json_object_foreach(stats, key, value) {
            json_put(out, ",");
            json_put(out, key);
        }
        json_put(out, "\r\n");
    }
    json_put_integer(out, layer);
    json_put(out, ",");
    json_put_integer(out, head);
    json_object_foreach(stats, key, value) {
        json_put(out, ",");
        if (json_is_number(value)) write_number(out, value);
    }
    json_put(out, "\r\n");
}

static void json_row(struct json_text *out, json_int_t layer, json_int_t head, json_t *stats, bool first) {
    const char *key;
    json_t *value;
    json_put(out, first ? "{\"layer\":" : ",{\"layer\":");
    json_put_integer(out, layer);
    json_put(out, ",\"head\":");
    json_put_integer(out, head);
    json_object_foreach(stats, key, value) {
        json_put(out, ",\"");
        json_put(out, key);
        json_put(out, "\":");
        write_number(out, value);
    }
    json_put(out, "}");
}

bool json_stored_heads_csv(const char *lines, size_t size, const char *section, struct json_text *out, struct problem *problem) {
    return each_head(lines, size, &(struct head_writer){section, out, csv_row}, problem);
}

bool json_stored_heads_json(const char *lines, size_t size, const char *section, struct json_text *out, struct problem *problem) {
    json_put(out, "{\"items\":[");
    bool fine = each_head(lines, size, &(struct head_writer){section, out, json_row}, problem);
    json_put(out, "]}");
    return fine && (!out->failed || problem_memory(problem));
}
