/*
 * json_request.h: request bodies, read strictly: every key known and at most once, every type and range as stated, nothing
 * built in memory before its size is known to be bounded. A problem carries a JSON pointer to the culprit.
 */
#ifndef HEADSCOPE_SERVER_JSON_REQUEST_H
#define HEADSCOPE_SERVER_JSON_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/problem.h"

enum exclude_keys { EXCLUDE_AUTO, EXCLUDE_NONE, EXCLUDE_LIST };

struct analysis_request {
    char *model;         /* an id */
    char *text;          /* NULL: token_ids were given. May hold NULs; ends in one more */
    size_t text_size;
    char *text_pair;     /* NULL: none */
    size_t text_pair_size;
    int32_t *token_ids;
    size_t token_id_count;
    enum exclude_keys exclude;
    uint32_t *positions; /* EXCLUDE_LIST: ascending, unique */
    size_t position_count;
    bool store, parse_special, add_special;
};

/* POST /analyses. On success the caller clears it. */
bool json_request_analysis(const void *body, size_t size, struct analysis_request *request, struct problem *problem);
/* POST /tokenize: model, text, text_pair, parse_special, add_special; an empty text is fine. */
bool json_request_tokenize(const void *body, size_t size, struct analysis_request *request, struct problem *problem);
void json_request_clear(struct analysis_request *request);

#endif
