/*
 * route_models.h: the models that can be asked for.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_MODELS_H
#define HEADSCOPE_SERVER_ROUTE_MODELS_H

#include "server/http.h"

/* GET /models */
void route_models(struct app *app, struct http_request *request);

#endif
