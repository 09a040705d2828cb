/*
 * json_body.h: inside json_*.c: a request's body as a tree, bounded before it is built.
 */
#ifndef HEADSCOPE_SERVER_JSON_BODY_H
#define HEADSCOPE_SERVER_JSON_BODY_H

#include <jansson.h>

#include "server/problem.h"

/* A JSON object of UTF-8 without a key twice; NULL with a problem. The caller lets it go with json_decref. */
json_t *json_body_parse(const void *body, size_t size, struct problem *problem);

#endif
