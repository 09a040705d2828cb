/*
 * api.h: what the handlers of /api/v1 share: reading addresses strictly, and answering.
 */
#ifndef HEADSCOPE_SERVER_API_H
#define HEADSCOPE_SERVER_API_H

#include <stdbool.h>
#include <stddef.h>

#include "server/analysis.h"
#include "server/app.h"
#include "server/http.h"
#include "server/json_write.h"
#include "server/problem.h"

#define TYPE_JSON "application/json"
#define TYPE_NDJSON "application/x-ndjson"
#define TYPE_CSV "text/csv; charset=utf-8"
#define TYPE_BYTES "application/octet-stream"
#define TYPE_PNG "image/png"

/* Answers with a problem. */
void problem_reply(struct http_request *request, const struct problem *problem);
/* A request's patience: over when its client has gone or the server is stopping. */
struct patience patience_of_request(struct http_request *request);

/* Refuses query parameters that are not in `allowed` (ends with NULL), by name. */
bool api_query_known(const struct http_request *request, const char *const *allowed, struct problem *problem);

/* A decimal number without sign, blanks or anything behind it; false also beyond SIZE_MAX. */
bool api_number(const char *text, size_t *number);
/* A layer or head in the address, as a number; else 404. */
bool api_index(const char *text, const char *what, size_t *index, struct problem *problem);

/* A half-open cut of [0, n) as Python means it: "a:b", "a:", ":b", ":"; NULL is all. Clipped to n; negative or malformed is
 * 400, an empty cut 422. */
bool api_cut(const char *text, const char *name, size_t n, size_t *begin, size_t *end, struct problem *problem);

/* ETag of what never changes: an id and what of it, as the address has it. Empty where the address is too long. */
struct api_tag {
    char text[256];
};
struct api_tag api_tag(const char *id, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Before anything is computed or asked for: whether the client holds it already, and the analysis has not been deleted. True: the
 * answer, 304 or a problem, has been given. */
bool api_holds(struct app *app, struct http_request *request, const char *id, const struct api_tag *tag);
/* Marks the answer as one that never changes. True when 304 was sent. */
bool api_immutable_tag(struct http_request *request, const struct api_tag *tag);
/* Both of them for tags that are known late. */
bool api_immutable(struct http_request *request, const char *id, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Answers with the text and empties it; a problem when memory ran out. */
void api_reply(struct http_request *request, int status, const char *type, struct json_text *text);

/* Captures 0 (analysis), 1 (layer) and 2 (head; skipped when `head` is NULL) of the address, and the activations they are read
 * from. On false the answer has been given. The caller releases the lease. */
bool api_head(struct app *app, struct http_request *request, struct activation_lease *lease, size_t *layer, size_t *head);

/* The activations of the analysis `id`, whichever head of them. On false the answer has been given. */
bool api_activations(struct app *app, struct http_request *request, const char *id, struct activation_lease *lease);

/* False, with a 422: `what` is not done for a model with an encoder and a decoder. */
bool api_one_section(const struct activation_lease *lease, const char *what, struct problem *problem);

/* How many heads all layers of the section have together, and a layer. */
size_t api_heads(const struct activation_lease *lease, size_t *layer_heads);

/* `before`, then the number; null where it is not finite. */
void api_put_real(struct json_text *out, const char *before, double value);
void api_put_unsigned(struct json_text *out, const char *before, uint64_t value);

#endif
