/*
 * route_compare.h: two analyses of one model: which tokens correspond, how much each head changed, and the difference of a head's maps.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_COMPARE_H
#define HEADSCOPE_SERVER_ROUTE_COMPARE_H

#include "server/app.h"
#include "server/http.h"

void route_compare(struct app *app, struct http_request *request);
void route_compare_npy(struct app *app, struct http_request *request);
void route_compare_tile(struct app *app, struct http_request *request);

#endif
