/*
 * route_between.h: all heads at once, along one text: what goes from some queries to some keys, and how wide rows are.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_BETWEEN_H
#define HEADSCOPE_SERVER_ROUTE_BETWEEN_H

#include "server/app.h"
#include "server/http.h"

void route_between(struct app *app, struct http_request *request);
void route_dilution(struct app *app, struct http_request *request);

#endif
