/*
 * route_similarity.h: how alike heads are: the matrix, and what is made of it.
 */
#ifndef HEADSCOPE_SERVER_ROUTE_SIMILARITY_H
#define HEADSCOPE_SERVER_ROUTE_SIMILARITY_H

#include "server/app.h"
#include "server/http.h"

void route_similarity_npy(struct app *app, struct http_request *request);
void route_similarity_json(struct app *app, struct http_request *request);

#endif
