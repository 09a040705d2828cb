/*
 * http.h: HTTP as the rest of the server sees it. http.c is the only file that knows libmicrohttpd.
 *
 * A request reaches a handler only when it is whole and sound: framing, Host, Origin, token, content type and body size
 * have been checked (guard.h). Handlers run on the connection's own thread (one a connection, with a limit) and may
 * block, but must never compute; they answer exactly once with one of the http_reply_* functions.
 */
#ifndef HEADSCOPE_SERVER_HTTP_H
#define HEADSCOPE_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct http_server;
struct http_request;

/* What a handler may ask. All strings are borrowed and live until the handler returns. */
const char *http_method(const struct http_request *request); /* "GET" also for HEAD: the body is dropped for it later */
const char *http_path(const struct http_request *request);   /* percent-decoded, no query, never holds a NUL */
const char *http_query(const struct http_request *request, const char *name); /* decoded; NULL if absent */
/* Counts query parameters; handlers refuse unknown names with their help. */
size_t http_query_names(const struct http_request *request, const char **names, size_t room);
const char *http_header(const struct http_request *request, const char *name); /* NULL if absent */
const void *http_body(const struct http_request *request, size_t *size);
const char *http_client(const struct http_request *request); /* the peer's address, for fairness and logs */
/* Part `index` of the path that the route's pattern captured ("{id}"), NULL past the last. */
const char *http_capture(const struct http_request *request, size_t index);
/* True once the client has hung up. Asks the socket, never blocks: handlers that wait call it a few times a second. */
bool http_client_gone(const struct http_request *request);
/* True once the server is stopping: whoever waits gives up with 503. */
bool http_stopping(const struct http_request *request);

/* Extra headers; copied. Before the reply. */
void http_set_header(struct http_request *request, const char *name, const char *value);

/* Answers with `size` bytes; `body` is malloc'ed and becomes the reply's (freed even when answering fails). */
void http_reply(struct http_request *request, int status, const char *content_type, void *body, size_t size);
/* Borrowed bytes that live as long as the server (the embedded page). */
void http_reply_static(struct http_request *request, int status, const char *content_type, const void *body, size_t size);
/* application/problem+json (RFC 9457). `pointer` (JSON pointer of the culprit, or NULL) becomes errors[0]. */
void http_reply_problem(struct http_request *request, int status, const char *detail, const char *pointer);

/* An answer that comes in pieces. `read` writes up to `size` bytes and returns how many; 0: nothing within `wait_ms`
 * (it must not block longer); -1: the end; -2: broken off (the connection is closed so that the client sees it is cut).
 * While read returns 0 http.c polls the socket for hang-up and, with `heartbeat`, sends an empty line each second of silence.
 * content_length: -1 if unknown. `close(source)` is called exactly once, also when the client left. */
struct http_source {
    void *source;
    ssize_t (*read)(void *source, char *buffer, size_t size, int wait_ms);
    void (*close)(void *source);
    bool heartbeat;
    int64_t content_length;
};
void http_reply_source(struct http_request *request, int status, const char *content_type, const struct http_source *source);

/* Immutable answers: sends 304 and returns true if If-None-Match names this tag, else sets ETag and
 * Cache-Control: private, max-age=31536000, immutable. */
bool http_immutable(struct http_request *request, const char *etag);

/* Whether If-None-Match names this tag. */
bool http_holds(const struct http_request *request, const char *etag);

/* Assets that are looked at again each time: sends 304 and returns true, else sets ETag and Cache-Control: no-cache. */
bool http_revalidated(struct http_request *request, const char *etag);

/* ---- routes ------------------------------------------------------------------------------------------------- */

struct app; /* app.h: what handlers share */
struct log;

struct http_route {
    const char *method;
    /* "/api/v1/analyses/{id}/attention/{layer}/{head}.npy": a {part} captures up to the next '/' or literal, the last
     * "{part*}" all the rest */
    const char *pattern;
    void (*handler)(struct app *app, struct http_request *request);
};

struct http_options {
    const char *host;
    uint16_t port;              /* 0: a free one */
    const char *const *allow_hosts;
    size_t allow_host_count;
    const char *token;          /* NULL: none asked for */
    const struct http_route *routes;
    size_t route_count;
    struct app *app;
    struct log *log;            /* log.h; may be NULL */
    size_t connections_max;
    /* How long a header, a body, a kept connection without request and a client that takes nothing may last. 0: 10 s, 30 s,
     * 60 s, 30 s. */
    int header_ms, body_ms, idle_ms, stall_ms;
};

/* Listens and serves on threads of its own. On failure false, with the reason and cure in `error` (port taken, no right to
 * bind, a wide bind without a token ...). */
bool http_start(const struct http_options *options, struct http_server **server, char *error, size_t error_size);
uint16_t http_port(const struct http_server *server);
/* What a person opens: "http://127.0.0.1:8642/", with a token "http://192.168.1.5:8642/?token=...". */
void http_address(const struct http_server *server, char *address, size_t size);
/* Stops accepting, makes http_stopping true, gives what runs `drain_ms` to finish, then closes. NULL is fine. */
void http_stop(struct http_server *server, int drain_ms);

#endif
