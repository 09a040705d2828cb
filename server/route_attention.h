/*
 * route_attention.h: attention weights: a map, a cut of it, a layer, a tile.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_ATTENTION_H
#define HEADSCOPE_SERVER_ROUTE_ATTENTION_H

#include "server/http.h"

/* GET /analyses/{id}/attention/{layer}/{head}.npy */
void route_attention_npy(struct app *app, struct http_request *request);
/* .json */
void route_attention_json(struct app *app, struct http_request *request);
/* .csv */
void route_attention_csv(struct app *app, struct http_request *request);
/* .png */
void route_attention_png(struct app *app, struct http_request *request);
/* GET /analyses/{id}/attention/{layer}.npy */
void route_attention_layer_npy(struct app *app, struct http_request *request);
/* GET /analyses/{id}/attention/{layer}/{head}/tiles/{zoom}/{x}/{y} */
void route_tile(struct app *app, struct http_request *request);

#endif
