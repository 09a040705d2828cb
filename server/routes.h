/*
 * routes.h: the one table of everything the server answers (route_table.c): method, pattern, handler, a line each, in the order
 * of interface.md. The first line whose pattern fits the path wins. HEAD is answered by the GET line; a path that fits only
 * lines of other methods is 405 with Allow.
 */
#ifndef HEADSCOPE_SERVER_ROUTES_H
#define HEADSCOPE_SERVER_ROUTES_H

#include "server/http.h"

const struct http_route *routes_table(size_t *count);

/* Finds the route for a decoded path. Captures are cut out of `room` (a copy of the path, strlen + 1 bytes at least).
 * NULL and *allow = "" : no such path (404); NULL and *allow filled: 405. */
#define ROUTE_CAPTURES_MAX 8
struct route_match {
    const struct http_route *route;
    size_t count;
    const char *capture[ROUTE_CAPTURES_MAX]; /* into room */
    char allow[64];                          /* "GET, HEAD, DELETE" */
};
bool routes_match(const struct http_route *routes, size_t route_count, const char *method, const char *path, char *room,
                  size_t room_size, struct route_match *match);

/* Handlers, by the file that holds them. */

/* pages.c */
void route_page(struct app *app, struct http_request *request);
void route_static(struct app *app, struct http_request *request);

/* command_serve.c: of the process, not of an analysis */
void route_version(struct app *app, struct http_request *request);
void route_healthz(struct app *app, struct http_request *request);
void route_readyz(struct app *app, struct http_request *request);

/* /api/v1: declared in the header of their own route_*.c, which route_table.c includes. */

#endif
