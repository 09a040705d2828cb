/* route_atlas.h: what probes say each head is, and how far its habits explain what it did on a text. */
#ifndef HEADSCOPE_SERVER_ROUTE_ATLAS_H
#define HEADSCOPE_SERVER_ROUTE_ATLAS_H

struct app;
struct http_request;

void route_model_heads(struct app *app, struct http_request *request);
void route_lifts(struct app *app, struct http_request *request);

#endif
