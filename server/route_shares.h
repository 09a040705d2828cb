/*
 * route_shares.h: links to analyses that nobody can guess, and that can be taken back.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_SHARES_H
#define HEADSCOPE_SERVER_ROUTE_SHARES_H

#include "server/app.h"
#include "server/http.h"

void route_shares_post(struct app *app, struct http_request *request);
void route_share_get(struct app *app, struct http_request *request);
void route_share_delete(struct app *app, struct http_request *request);

#endif
