#include "server/json_problem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *title_of(int status) {
    switch (status) {
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 422: return "Unprocessable Content";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    default: return "Error";
    }
}

/* Jansson refuses text that is not UTF-8: then every byte beyond ASCII is shown as "?". */
static json_t *text_value(const char *text) {
    json_t *value = json_pack("s", text);
    if (value) return value;
    char *copy = strdup(text);
    if (!copy) return NULL;
    for (char *at = copy; *at; at++)
        if ((unsigned char)*at >= 0x80) *at = '?';
    value = json_pack("s", copy);
    free(copy);
    return value;
}

char *json_problem(int status, const char *detail, const char *pointer, size_t *size) {
    json_t *problem = json_pack("{s:s, s:s, s:i, s:o}", "type", "about:blank", "title", title_of(status), "status", status,
                                "detail", text_value(detail));
    if (problem && pointer) {
        json_t *errors = json_pack("[{s:o, s:o}]", "pointer", text_value(pointer), "detail", text_value(detail));
        if (!errors || json_object_set_new(problem, "errors", errors)) {
            json_decref(problem);
            return NULL;
        }
    }
    char *text = problem ? json_dumps(problem, JSON_COMPACT) : NULL;
    json_decref(problem);
    if (text) *size = strlen(text);
    return text;
}
