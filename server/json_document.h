/*
 * json_document.h: the document of an analysis, put together from its lines. The lines are our own (json_lines.c), so their
 * parts are cut out and copied, not parsed: a document of half a megabyte costs as much as a memcpy.
 */
#ifndef HEADSCOPE_SERVER_JSON_DOCUMENT_H
#define HEADSCOPE_SERVER_JSON_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "server/json_write.h"

struct document_source {
    const char *lines; /* all of them, or those so far, each with its '\n' */
    size_t size;
    const char *state; /* "done", "running", ... */
    double seconds;    /* of a finished one; NAN: null */
};

/* False when the lines are not what json_lines.c writes (a damaged database); out->failed when memory ran out. */
bool json_document(struct json_text *out, const struct document_source *source);

/* The next line from *at on, without its '\n'; false at the end or when the last one is not whole. */
bool json_next_line(const char *lines, size_t size, size_t *at, const char **line, size_t *length);
/* Whether the line is of this event. */
bool json_line_is(const char *line, size_t length, const char *event);
/* Length of a layer line without its thumbnails and closing brace; 0 if it is none. */
size_t json_layer_head(const char *line, size_t length);

#endif
