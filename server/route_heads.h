/*
 * route_heads.h: the statistics as a table, one row a head.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_HEADS_H
#define HEADSCOPE_SERVER_ROUTE_HEADS_H

#include "server/http.h"

/* GET /analyses/{id}/heads.csv */
void route_heads_csv(struct app *app, struct http_request *request);
/* GET /analyses/{id}/heads.json */
void route_heads_json(struct app *app, struct http_request *request);

#endif
