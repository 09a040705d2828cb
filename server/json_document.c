#include "server/json_document.h"

#include <stdio.h>
#include <string.h>

bool json_next_line(const char *lines, size_t size, size_t *at, const char **line, size_t *length) {
    if (*at >= size) return false;
    const char *end = memchr(lines + *at, '\n', size - *at);
    if (!end) return false;
    *line = lines + *at;
    *length = (size_t)(end - *line);
    *at += *length + 1;
    return true;
}

/* Length of `{"event":"EVENT",` when the line begins so, else 0. */
static size_t event_prefix(const char *line, size_t length, const char *event) {
    char prefix[40];
    size_t size = (size_t)snprintf(prefix, sizeof prefix, "{\"event\":\"%s\",", event);
    return size < length && memcmp(line, prefix, size) == 0 ? size : 0;
}

bool json_line_is(const char *line, size_t length, const char *event) {
    return event_prefix(line, length, event) > 0;
}

/* Where the last `mark` of the line begins: what follows it holds none of the user's text. 0: nowhere. */
static size_t last_mark(const char *line, size_t length, const char *mark) {
    size_t size = strlen(mark);
    for (size_t at = length > size ? length - size : 0; at > 0; at--)
        if (line[at] == mark[0] && memcmp(line + at, mark, size) == 0) return at;
    return 0;
}

size_t json_layer_head(const char *line, size_t length) {
    static const char mark[] = ",\"thumbs\":{";
    if (!json_line_is(line, length, "layer")) return 0;
    const char *at = memmem(line, length, mark, sizeof mark - 1); /* the first: a layer line holds no text of the user's */
    return at ? (size_t)(at - line) : 0;
}

/* `{"id":ID` + `,"state":STATE` + the rest of the start line but for the estimate. */
static bool document_start(struct json_text *out, const char *line, size_t length, const char *state) {
    static const char id_key[] = "\"id\":\"";
    size_t begin = event_prefix(line, length, "start");
    size_t end = last_mark(line, length, ",\"estimate\":{");
    size_t id_end = begin + sizeof id_key - 1 + 64 + 1;
    if (!begin || id_end >= end || memcmp(line + begin, id_key, sizeof id_key - 1) != 0) return false;
    json_put(out, "{");
    json_put_bytes(out, line + begin, id_end - begin);
    json_put(out, ",\"state\":");
    json_put_string(out, state);
    json_put_bytes(out, line + id_end, end - id_end);
    return true;
}

/* What a line holds beside its event, and without its last brace: `,"tokens":[...]`. */
static bool document_member(struct json_text *out, const char *line, size_t length, size_t begin) {
    if (begin + 1 >= length || line[length - 1] != '}') return false;
    json_put(out, ",");
    json_put_bytes(out, line + begin, length - 1 - begin);
    return true;
}

bool json_document(struct json_text *out, const struct document_source *source) {
    const char *line;
    size_t at = 0, length, layers = 0;
    if (!json_next_line(source->lines, source->size, &at, &line, &length)) return false;
    if (!document_start(out, line, length, source->state)) return false;
    if (!json_next_line(source->lines, source->size, &at, &line, &length)) return false;
    if (!document_member(out, line, length, event_prefix(line, length, "tokens"))) return false;
    json_put(out, ",\"layers\":[");
    bool more;
    while ((more = json_next_line(source->lines, source->size, &at, &line, &length)) &&
           json_line_is(line, length, "layer")) {
        size_t begin = event_prefix(line, length, "layer"), end = json_layer_head(line, length);
        if (end <= begin) return false;
        json_put(out, layers++ ? ",{" : "{");
        json_put_bytes(out, line + begin, end - begin);
        json_put(out, "}");
    }
    json_put(out, "]");
    if (more && json_line_is(line, length, "done")) {
        size_t sinks = last_mark(line, length, "\"sinks\":[");
        if (!sinks || !document_member(out, line, length, sinks)) return false;
    } else if (more && json_line_is(line, length, "error")) {
        if (!document_member(out, line, length, event_prefix(line, length, "error"))) return false;
    }
    json_put(out, ",\"seconds\":");
    json_put_real(out, source->seconds);
    json_put(out, "}");
    return true;
}
