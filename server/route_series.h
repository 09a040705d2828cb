/*
 * route_series.h: numbers along the tokens: per query and per key.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_SERIES_H
#define HEADSCOPE_SERVER_ROUTE_SERIES_H

#include "server/http.h"

/* GET /analyses/{id}/series/{layer}/{head}.json */
void route_series_json(struct app *app, struct http_request *request);
/* .npy */
void route_series_npy(struct app *app, struct http_request *request);

#endif
