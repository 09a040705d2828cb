/*
 * json_share.h: bodies of one or two fields: a share, and a parse.
 */
#ifndef HEADSCOPE_SERVER_JSON_SHARE_H
#define HEADSCOPE_SERVER_JSON_SHARE_H

#include <stdbool.h>
#include <stddef.h>

#include "server/problem.h"

struct share_request {
    char *analysis; /* as it was sent: need not be an id */
    char *view;     /* JSON, compact; "null" where there was none */
};

/* POST /shares. On success the caller clears it. */
bool json_share_read(const void *body, size_t size, struct share_request *request, struct problem *problem);
void json_share_clear(struct share_request *request);

/* POST /analyses/ID/syntax: *text is the parse, *text_size bytes without a NUL among them and with one behind them, malloc'ed. */
bool json_conllu_read(const void *body, size_t size, char **text, size_t *text_size, struct problem *problem);

#endif
