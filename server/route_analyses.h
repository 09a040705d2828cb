/*
 * route_analyses.h: analyses: asked for, listed, read, followed, forgotten.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_ANALYSES_H
#define HEADSCOPE_SERVER_ROUTE_ANALYSES_H

#include "server/http.h"

/* POST /analyses */
void route_analyses_post(struct app *app, struct http_request *request);
/* GET /analyses */
void route_analyses_list(struct app *app, struct http_request *request);
/* GET /analyses/{id} */
void route_analysis_get(struct app *app, struct http_request *request);
/* DELETE /analyses/{id} */
void route_analysis_delete(struct app *app, struct http_request *request);
/* GET /analyses/{id}/stream */
void route_analysis_stream(struct app *app, struct http_request *request);

#endif
