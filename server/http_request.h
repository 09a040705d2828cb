/*
 * http_request.h: a request between http.c, which gets it from the library and sends the answer, and the rules that it must
 * satisfy before a handler sees it. For these two files only.
 */
#ifndef HEADSCOPE_SERVER_HTTP_REQUEST_H
#define HEADSCOPE_SERVER_HTTP_REQUEST_H

#include <stdatomic.h>

#include "server/acceptor.h"
#include "server/connections.h"
#include "server/guard.h"
#include "server/http.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/routes.h"

#define BODY_MAX ((size_t)4 << 20)         /* what a handler gets */
#define BODY_DROP_MAX ((uint64_t)64 << 20) /* what is read and dropped to be able to answer */
#define BODIES_MAX ((size_t)256 << 20)     /* all bodies in memory together */
#define EXTRA_HEADERS_MAX 16

struct MHD_Daemon;
struct MHD_Connection;

struct http_server {
    struct MHD_Daemon *daemon;
    struct acceptor *acceptor;
    struct connections *connections;
    struct listening listening;
    struct guard_names names;
    bool asks_token;
    struct guard_token token;
    char login[GUARD_TOKEN_MAX + 1]; /* the token itself, for the address that is printed */
    const struct http_route *routes;
    size_t route_count;
    struct app *app;
    struct log *log;
    atomic_bool stopping;
    size_t most; /* connections */
    atomic_size_t bodies; /* bytes of bodies in memory */
};

struct http_request {
    struct http_server *server;
    struct MHD_Connection *mhd;
    struct connection *connection;
    struct guard_request raw;
    struct guard_header headers[GUARD_HEADERS_MAX + 1];
    char *target;          /* a copy as it came, then two rooms to cut in, in one block */
    const char *target_at; /* where it stood in the library's buffer */
    struct guard_target parts;
    struct guard_framing framing;
    struct guard_refusal refusal;
    struct route_match match;
    bool begun, answered, log_in;
    bool queued; /* the answer is on its way */
    char *body;
    size_t body_size, body_room;
    uint64_t body_seen;
    struct {
        char *name, *value;
    } extra[EXTRA_HEADERS_MAX];
    size_t extra_count;
    int status;
    uint64_t reply_size;
    int64_t begun_ms;
};

/* Everything that can be known once the header is there. `whole`: the library skipped nothing of it. False: see refusal. */
bool request_check(struct http_request *request, bool whole);
/* Adds to the body, or drops the bytes of a request that is refused; too many make it a refused one. */
void request_take_body(struct http_request *request, const char *data, size_t size);
/* Answers: refused, logged in, or handled. */
void request_answer(struct http_request *request);
/* A header field of the answer that the handler has set. */
bool request_has_extra(const struct http_request *request, const char *name);
void request_free(struct http_request *request);

#endif
