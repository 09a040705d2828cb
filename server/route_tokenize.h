/*
 * route_tokenize.h: a text to tokens.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_TOKENIZE_H
#define HEADSCOPE_SERVER_ROUTE_TOKENIZE_H

#include "server/http.h"

/* POST /tokenize */
void route_tokenize(struct app *app, struct http_request *request);

#endif
