/*
 * route_syntax.h: how often heads look along the relations of a parse that the user brings.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_SYNTAX_H
#define HEADSCOPE_SERVER_ROUTE_SYNTAX_H

#include "server/app.h"
#include "server/http.h"

void route_syntax(struct app *app, struct http_request *request);

#endif
