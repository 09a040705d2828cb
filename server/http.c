/*
 * http.c: HTTP by libmicrohttpd, a thread a connection. A request goes through
 *
 *   on_target (the raw address) -> begin (header: every check of guard.h) -> take_body -> finish (the handler)
 *
 * A request that is refused but soundly framed has its body read and dropped first, so that the client hears why.
 */
#include "server/http.h"

#include <microhttpd.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/acceptor.h"
#include "server/connections.h"
#include "server/guard.h"
#include "server/json_problem.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/routes.h"

/* Later versions of the library refuse unsound headers by themselves, when told to. */
#if MHD_VERSION >= 0x00097701
#define STRICTNESS 1
#else
#define STRICTNESS 0 /* its refusals would lack our header fields, and header_is_whole makes the same ones */
#endif

#define BODY_MAX ((size_t)4 << 20)       /* what a handler gets */
#define BODY_DROP_MAX ((uint64_t)64 << 20) /* what is read and dropped to be able to answer */
#define BODIES_MAX ((size_t)256 << 20)   /* all bodies in memory together */
#define CONNECTION_MEMORY (64 * 1024)    /* holds the header and, later, a piece of the answer */
#define CONNECTION_STACK (1024 * 1024)
#define REPLY_PIECE (32 * 1024)
#define HEARTBEAT_MS 1000
#define SOURCE_WAIT_MS 100
#define EXTRA_HEADERS_MAX 16

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
    enum MHD_Result queued;
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

/* ---- what handlers ask ---------------------------------------------------------------------------------------- */

const char *http_method(const struct http_request *request) {
    return !strcmp(request->raw.method, "HEAD") ? "GET" : request->raw.method;
}

const char *http_path(const struct http_request *request) {
    return request->parts.path;
}

const char *http_query(const struct http_request *request, const char *name) {
    for (size_t i = 0; i < request->parts.parameter_count; i++)
        if (!strcmp(request->parts.parameter[i].name, name)) return request->parts.parameter[i].value;
    return NULL;
}

size_t http_query_names(const struct http_request *request, const char **names, size_t room) {
    for (size_t i = 0; i < request->parts.parameter_count && i < room; i++) names[i] = request->parts.parameter[i].name;
    return request->parts.parameter_count;
}

const char *http_header(const struct http_request *request, const char *name) {
    return guard_find(&request->raw, name);
}

const void *http_body(const struct http_request *request, size_t *size) {
    *size = request->body_size;
    return request->body ? request->body : "";
}

const char *http_client(const struct http_request *request) {
    return request->connection->client;
}

const char *http_capture(const struct http_request *request, size_t index) {
    return index < request->match.count ? request->match.capture[index] : NULL;
}

bool http_client_gone(const struct http_request *request) {
    return connection_gone(request->connection);
}

bool http_stopping(const struct http_request *request) {
    return atomic_load(&request->server->stopping);
}

/* ---- answers -------------------------------------------------------------------------------------------------- */

void http_set_header(struct http_request *request, const char *name, const char *value) {
    char *name_copy = strdup(name), *value_copy = strdup(value);
    if (!name_copy || !value_copy || request->extra_count == EXTRA_HEADERS_MAX) {
        log_write(request->server->log, LEVEL_ERROR, "http", "no room for the header field %s", name);
        free(name_copy);
        free(value_copy);
        return;
    }
    request->extra[request->extra_count].name = name_copy;
    request->extra[request->extra_count++].value = value_copy;
}

static bool has_extra(const struct http_request *request, const char *name) {
    for (size_t i = 0; i < request->extra_count; i++)
        if (!strcasecmp(request->extra[i].name, name)) return true;
    return false;
}

static void add_headers(const struct http_request *request, struct MHD_Response *response, const char *content_type) {
    static const char *const always[][2] = {{"X-Content-Type-Options", "nosniff"},
                                            {"Referrer-Policy", "no-referrer"},
                                            {"Cross-Origin-Resource-Policy", "same-origin"}};
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        MHD_add_response_header(response, always[i][0], always[i][1]);
    if (content_type) MHD_add_response_header(response, "Content-Type", content_type);
    /* What a browser might show as a page of its own. */
    if (content_type && (!strncmp(content_type, "text/html", 9) || !strncmp(content_type, "image/svg", 9)))
        MHD_add_response_header(response, "Content-Security-Policy",
                                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
                                "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'");
    for (size_t i = 0; i < request->extra_count; i++)
        if (MHD_add_response_header(response, request->extra[i].name, request->extra[i].value) != MHD_YES)
            log_write(request->server->log, LEVEL_ERROR, "http", "the header field %s could not be sent",
                      request->extra[i].name);
    if (!has_extra(request, "Cache-Control")) MHD_add_response_header(response, "Cache-Control", "no-store");
    if (request->refusal.close || atomic_load(&request->server->stopping)) MHD_add_response_header(response, "Connection", "close");
}

/* Queues and gives up `response`; NULL stands for out of memory, and the connection is closed without an answer. */
static void answer(struct http_request *request, int status, const char *content_type, struct MHD_Response *response) {
    if (request->answered) {
        log_write(request->server->log, LEVEL_ERROR, "http", "%s was answered twice", request->match.route->pattern);
        if (response) MHD_destroy_response(response);
        return;
    }
    request->answered = true;
    request->status = status;
    if (!response) return;
    add_headers(request, response, content_type);
    request->queued = MHD_queue_response(request->mhd, (unsigned)status, response);
    MHD_destroy_response(response);
}

void http_reply(struct http_request *request, int status, const char *content_type, void *body, size_t size) {
    struct MHD_Response *response = MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
    if (!response) free(body);
    request->reply_size = size;
    answer(request, status, content_type, response);
}

void http_reply_static(struct http_request *request, int status, const char *content_type, const void *body, size_t size) {
    request->reply_size = size;
    /* The library wants a pointer to what may be written to, and does not write. */
    answer(request, status, content_type,
           MHD_create_response_from_buffer(size, (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT));
}

/* A handler may have named what it was about to send before it failed: a problem is not that, and must not be kept as such. */
static void drop_extra(struct http_request *request, const char *name) {
    size_t kept = 0;
    for (size_t i = 0; i < request->extra_count; i++) {
        if (strcasecmp(request->extra[i].name, name)) {
            request->extra[kept++] = request->extra[i];
        } else {
            free(request->extra[i].name);
            free(request->extra[i].value);
        }
    }
    request->extra_count = kept;
}

void http_reply_problem(struct http_request *request, int status, const char *detail, const char *pointer) {
    static const char no_memory[] =
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"the server is out of memory\"}";
    size_t size = 0;
    char *body = json_problem(status, detail, pointer, &size);
    drop_extra(request, "ETag");
    drop_extra(request, "Cache-Control");
    if (body)
        http_reply(request, status, "application/problem+json", body, size);
    else
        http_reply_static(request, 503, "application/problem+json", no_memory, sizeof no_memory - 1);
}

/* 304 if the client holds this very representation. */
static bool not_modified(struct http_request *request, const char *etag, const char *cache_control) {
    http_set_header(request, "ETag", etag);
    http_set_header(request, "Cache-Control", cache_control);
    const char *known = http_header(request, "If-None-Match");
    if (!known || !guard_etag_matches(known, etag)) return false;
    answer(request, 304, NULL, MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
    return true;
}

bool http_immutable(struct http_request *request, const char *etag) {
    return not_modified(request, etag, "private, max-age=31536000, immutable");
}

bool http_revalidated(struct http_request *request, const char *etag) {
    return not_modified(request, etag, "no-cache");
}

/* ---- answers in pieces ---------------------------------------------------------------------------------------- */

/* Belongs to the response: it may outlive the request, not the connection. */
struct flow {
    struct http_source source;
    struct connection *connection;
    uint64_t sent;
    int64_t last_ms;
};

/* The library would call again at once, in a busy loop, if this returned 0: so it waits here. */
static ssize_t flow_read(void *context, uint64_t position, char *buffer, size_t size) {
    struct flow *flow = context;
    (void)position;
    for (;;) {
        ssize_t n = flow->source.read(flow->source.source, buffer, size, SOURCE_WAIT_MS);
        int64_t now = monotonic_ms();
        if (n == 0 && connection_gone(flow->connection)) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (n == 0 && flow->source.heartbeat && now - flow->last_ms >= HEARTBEAT_MS) {
            buffer[0] = '\n';
            n = 1;
        }
        if (n > 0) {
            flow->sent += (uint64_t)n;
            flow->last_ms = now;
            atomic_store(&flow->connection->sent, flow->sent);
            return n;
        }
        if (n == -1) {
            bool whole = flow->source.content_length < 0 || flow->sent == (uint64_t)flow->source.content_length;
            return whole ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
        }
        if (n < 0) return MHD_CONTENT_READER_END_WITH_ERROR;
    }
}

static void flow_free(void *context) {
    struct flow *flow = context;
    if (flow->source.close) flow->source.close(flow->source.source);
    free(flow);
}

void http_reply_source(struct http_request *request, int status, const char *content_type, const struct http_source *source) {
    struct flow *flow = malloc(sizeof *flow);
    struct MHD_Response *response = NULL;
    if (flow) {
        *flow = (struct flow){.source = *source, .connection = request->connection, .last_ms = monotonic_ms()};
        uint64_t size = source->content_length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)source->content_length;
        response = MHD_create_response_from_callback(size, REPLY_PIECE, flow_read, flow, flow_free);
    }
    if (!response) {
        if (source->close) source->close(source->source);
        free(flow);
    }
    answer(request, status, content_type, response);
}

/* ---- a request's way ------------------------------------------------------------------------------------------- */

static void reply_refusal(struct http_request *request) {
    if (request->refusal.status == 401) http_set_header(request, "WWW-Authenticate", "Bearer realm=\"headscope\"");
    if (request->refusal.status == 405) http_set_header(request, "Allow", request->match.allow);
    if (request->refusal.status == 503) http_set_header(request, "Retry-After", "1");
    http_reply_problem(request, request->refusal.status, request->refusal.detail, NULL);
}

/* The address as it came, before anything is decoded. What this returns is the request's context from here on. */
static void *on_target(void *context, const char *target, struct MHD_Connection *mhd) {
    struct http_server *server = context;
    struct http_request *request = calloc(1, sizeof *request);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    size_t size = target ? strlen(target) + 1 : 1;
    if (!request) return NULL;
    request->target = malloc(3 * size);
    request->connection = info ? info->socket_context : NULL;
    if (!request->target || !request->connection) {
        free(request->target);
        free(request);
        return NULL;
    }
    memcpy(request->target, target ? target : "", size);
    request->target_at = target;
    request->server = server;
    request->mhd = mhd;
    request->queued = MHD_NO;
    request->begun_ms = monotonic_ms();
    connection_enter(server->connections, request->connection, CONNECTION_HEADER);
    return request;
}

static enum MHD_Result on_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    struct http_request *request = context;
    (void)kind;
    if (request->raw.header_count > GUARD_HEADERS_MAX) return MHD_NO; /* one too many is there: refused */
    request->headers[request->raw.header_count++] = (struct guard_header){name, value ? value : ""};
    return MHD_YES;
}

/* The library cuts the header where it lies: each part ends in a NUL, the next begins right behind it, and the whole is as long
 * as what was read. Where that does not hold it skipped something: a folded line, a line end that is not CR LF, a NUL, spaces
 * in odd places. Versions that refuse these by themselves may lay it out in other ways. */
static bool header_is_whole(const struct http_request *request) {
    const struct guard_request *raw = &request->raw;
    const union MHD_ConnectionInfo *size = MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (STRICTNESS) return true;
    const char *next = raw->method + strlen(raw->method) + 1;
    if (request->target_at != next) return false;
    next += strlen(request->target) + 1;
    if (raw->version != next) return false;
    next += strlen(raw->version) + 2;
    for (size_t i = 0; i < raw->header_count; i++) {
        const char *name = raw->headers[i].name, *value = raw->headers[i].value;
        if (name != next) return false;
        next = name + strlen(name) + 1;
        next += strspn(next, " \t");
        if (value != next) return false;
        next += strlen(value) + 2;
    }
    return size && size->header_size == (size_t)(next + 2 - raw->method);
}

static bool check_token(struct http_request *request) {
    struct http_server *server = request->server;
    const char *given = http_query(request, "token");
    if (!server->asks_token) return true;
    if (given && !strcmp(http_method(request), "GET") && guard_token_fits(&server->token, given)) {
        request->log_in = true;
        return true;
    }
    if (guard_token_shown(&server->token, &request->raw)) return true;
    if (!strcmp(request->parts.path, "/healthz") || !strcmp(request->parts.path, "/readyz")) return true;
    return guard_refuse(&request->refusal, 401, false,
                        "this server asks for its token: open the login address that it printed when it started, or send "
                        "\"Authorization: Bearer\" and the token");
}

static bool check_route(struct http_request *request) {
    size_t size = strlen(request->target) + 1;
    const char *path = request->parts.path, *method = http_method(request);
    if (routes_match(request->server->routes, request->server->route_count, method, path, request->target + 2 * size, size,
                     &request->match))
        return true;
    if (request->match.allow[0])
        return guard_refuse(&request->refusal, 405, false, "%.20s is not possible here; %s is", request->raw.method,
                            request->match.allow);
    return guard_refuse(&request->refusal, 404, false, "there is nothing at %.160s", path);
}

static bool refuse_size(struct http_request *request, uint64_t size) {
    return guard_refuse(&request->refusal, 413, true, "the body has %llu bytes; the limit is %zu", (unsigned long long)size,
                        BODY_MAX);
}

/* Everything that can be known once the header is there. */
static bool check_header(struct http_request *request) {
    struct http_server *server = request->server;
    struct guard_refusal *refusal = &request->refusal;
    if (!guard_framing(&request->raw, &request->framing, refusal)) return false;
    if (!header_is_whole(request))
        return guard_refuse(refusal, 400, true, "the header has a folded line, a line that does not end in CR LF, or odd spaces");
    if (!guard_target(request->target, request->target + strlen(request->target) + 1, &request->parts, refusal)) return false;
    if (atomic_load(&server->stopping)) return guard_refuse(refusal, 503, true, "the server is stopping");
    if (!guard_origin(&request->raw, &server->names, request->connection->local, refusal)) return false;
    if (!check_token(request) || !check_route(request)) return false;
    if (!strcmp(request->raw.method, "POST") && !guard_content_type(&request->raw, refusal)) return false;
    if (request->framing.length > BODY_MAX) return refuse_size(request, request->framing.length);
    return true;
}

/* "?token=..." becomes a cookie and a clean address, so that the token stays in no history, link or log. */
static void log_in(struct http_request *request) {
    struct http_server *server = request->server;
    char cookie[256], *clean = strdup(request->target);
    if (!clean) {
        http_reply_problem(request, 503, "the server is out of memory", NULL);
        return;
    }
    char *out = strchr(clean, '?');
    for (const char *in = strchr(request->target, '?'), *next; in && *in; in = next) {
        next = in + 1 + strcspn(in + 1, "&");
        if (!strncmp(in + 1, "token=", 6)) continue;
        *out = out == strchr(clean, '?') ? '?' : '&';
        memmove(out + 1, in + 1, (size_t)(next - in - 1));
        out += next - in;
    }
    *out = '\0';
    snprintf(cookie, sizeof cookie, "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000", server->token.cookie_name,
             server->token.cookie);
    http_set_header(request, "Set-Cookie", cookie);
    http_set_header(request, "Location", clean);
    free(clean);
    http_reply_static(request, 303, "text/plain; charset=utf-8", "", 0);
}

/* The end of the way, for good or bad. */
static enum MHD_Result finish(struct http_request *request) {
    connection_enter(request->server->connections, request->connection, CONNECTION_HANDLER);
    if (request->refusal.status == 413) refuse_size(request, request->framing.has_length ? request->framing.length : request->body_seen);
    if (request->refusal.status) {
        reply_refusal(request);
    } else if (request->log_in) {
        log_in(request);
    } else {
        request->match.route->handler(request->server->app, request);
        if (!request->answered) {
            log_write(request->server->log, LEVEL_ERROR, "http", "%s was not answered", request->match.route->pattern);
            http_reply_problem(request, 500, "the server did not answer; this is a mistake of the program", NULL);
        }
    }
    connection_enter(request->server->connections, request->connection, CONNECTION_REPLY);
    return request->queued;
}

static enum MHD_Result begin(struct http_request *request, const char *method, const char *version) {
    request->begun = true;
    request->raw = (struct guard_request){.method = method, .target = request->target, .version = version};
    request->raw.headers = request->headers;
    MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, on_header, request);
    bool fine = check_header(request);
    bool body = request->framing.chunked || request->framing.length > 0;
    if (fine || (!body && !request->refusal.close)) {
        connection_enter(request->server->connections, request->connection, body ? CONNECTION_BODY : CONNECTION_HANDLER);
        return MHD_YES;
    }
    /* Refused. A sound body is heard out, unless it is endless or waits for our word. */
    bool sound = request->refusal.status != 400 && request->refusal.status != 414 && request->refusal.status != 431;
    if (sound && body && request->framing.length <= BODY_DROP_MAX && !http_header(request, "Expect")) {
        connection_enter(request->server->connections, request->connection, CONNECTION_BODY);
        return MHD_YES;
    }
    request->refusal.close = true;
    connection_drain(request->connection);
    return finish(request);
}

static bool make_room(struct http_request *request, size_t more) {
    size_t needed = request->body_size + more, room = request->body_room ? request->body_room : 16384;
    if (needed <= request->body_room) return true;
    while (room < needed) room *= 2;
    size_t grown = room - request->body_room;
    if (atomic_fetch_add(&request->server->bodies, grown) + grown > BODIES_MAX) {
        atomic_fetch_sub(&request->server->bodies, grown);
        return false;
    }
    char *longer = realloc(request->body, room);
    if (!longer) {
        atomic_fetch_sub(&request->server->bodies, grown);
        return false;
    }
    request->body = longer;
    request->body_room = room;
    return true;
}

static enum MHD_Result take_body(struct http_request *request, const char *data, size_t *size) {
    size_t n = *size;
    *size = 0;
    request->body_seen += n;
    if (request->body_seen > BODY_DROP_MAX) {
        static const char words[] = "HTTP/1.1 413 Content Too Large\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer"
                                    "\r\nCross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        connection_last_words(request->connection, words, sizeof words - 1);
        return MHD_NO;
    }
    if (request->refusal.status) return MHD_YES;
    if (request->body_seen > BODY_MAX) {
        refuse_size(request, request->body_seen);
    } else if (!make_room(request, n)) {
        guard_refuse(&request->refusal, 503, false, "the server holds too many bodies at the moment; try again");
    } else {
        memcpy(request->body + request->body_size, data, n);
        request->body_size += n;
    }
    return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *path, const char *method,
                                  const char *version, const char *data, size_t *size, void **state) {
    struct http_request *request = *state;
    (void)context, (void)mhd, (void)path;
    if (!request) return MHD_NO; /* out of memory in on_target */
    if (!request->begun) return begin(request, method, version);
    return *size ? take_body(request, data, size) : finish(request);
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode how) {
    struct http_server *server = context;
    struct http_request *request = *state;
    (void)mhd, (void)how;
    *state = NULL;
    if (!request) return;
    uint64_t sent = atomic_exchange(&request->connection->sent, 0);
    struct log_request line = {.method = request->raw.method ? request->raw.method : "-",
                               .route = request->match.route ? request->match.route->pattern : "-",
                               .client = request->connection->client,
                               .status = request->status,
                               .bytes = sent ? sent : request->reply_size,
                               .seconds = (double)(monotonic_ms() - request->begun_ms) / 1000};
    log_request(server->log, &line);
    connection_enter(server->connections, request->connection, CONNECTION_IDLE);
    atomic_fetch_sub(&server->bodies, request->body_room);
    for (size_t i = 0; i < request->extra_count; i++) {
        free(request->extra[i].name);
        free(request->extra[i].value);
    }
    free(request->body);
    free(request->target);
    free(request);
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **state, enum MHD_ConnectionNotificationCode what) {
    struct http_server *server = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        *state = info ? connections_find(server->connections, info->connect_fd) : NULL;
    } else {
        connections_remove(server->connections, *state);
        *state = NULL;
    }
}

/* ---- start and stop -------------------------------------------------------------------------------------------- */

static bool has_room(void *context) {
    struct http_server *server = context;
    return connections_count(server->connections) < server->most;
}

/* One address may not take all the places, but for this machine's own: who is here can do worse. */
static void take_connection(void *context, int fd, const struct sockaddr *address, socklen_t size) {
    struct http_server *server = context;
    char name[64];
    bool remote = !getnameinfo(address, size, name, sizeof name, NULL, 0, NI_NUMERICHOST) && !guard_is_loopback(name);
    bool too_many = remote && connections_from(server->connections, name) > server->most / 4;
    struct connection *connection = too_many ? NULL : connections_add(server->connections, fd);
    if (!connection)
        close(fd);
    else if (MHD_add_connection(server->daemon, fd, address, size) != MHD_YES) /* it has closed it */
        connections_remove(server->connections, connections_find(server->connections, fd));
}

static bool start_daemon(struct http_server *server) {
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL | MHD_USE_ITC |
                     MHD_USE_NO_LISTEN_SOCKET;
    /* The library counts one that has ended until it is swept up, and 0.9.75 locks up when it is given one too many: hence more
     * places than has_room lets us fill. */
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)server->most + 16, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)4096, MHD_OPTION_THREAD_STACK_SIZE, (size_t)CONNECTION_STACK,
        MHD_OPTION_STRICT_FOR_CLIENT, STRICTNESS, MHD_OPTION_END);
    struct acceptor_calls calls = {server, has_room, take_connection};
    if (server->daemon) server->acceptor = acceptor_start(server->listening.fd, &calls);
    return server->acceptor;
}

static bool fail(char *error, size_t error_size, const char *what) {
    snprintf(error, error_size, "%s", what);
    return false;
}

static bool start_parts(struct http_server *server, const struct http_options *options, char *error, size_t error_size) {
    struct connection_limits limits = {.header_ms = options->header_ms ? options->header_ms : 10000,
                                       .body_ms = options->body_ms ? options->body_ms : 30000,
                                       .idle_ms = options->idle_ms ? options->idle_ms : 60000,
                                       .stall_ms = options->stall_ms ? options->stall_ms : 30000,
                                       .most = options->connections_max};
    if (!listen_open(options->host, options->port, !options->token, &server->listening, error, error_size)) return false;
    if (!guard_names_make(&server->names, server->listening.address, server->listening.port, options->allow_hosts,
                          options->allow_host_count, error, error_size))
        return false;
    if (options->token) {
        server->asks_token = true;
        guard_token_make(&server->token, options->token, server->listening.port);
        snprintf(server->login, sizeof server->login, "%s", options->token);
    }
    if (!(server->connections = connections_create(&limits))) return fail(error, error_size, "cannot start the watchdog: no memory or no threads left");
    if (!start_daemon(server)) return fail(error, error_size, "cannot start the HTTP threads: no memory or no threads left");
    return true;
}

static void free_server(struct http_server *server) {
    acceptor_stop(server->acceptor);
    if (server->daemon) MHD_stop_daemon(server->daemon);
    connections_destroy(server->connections);
    if (server->listening.fd >= 0) close(server->listening.fd);
    guard_names_free(&server->names);
    explicit_bzero(server->login, sizeof server->login);
    free(server);
}

bool http_start(const struct http_options *options, struct http_server **server, char *error, size_t error_size) {
    struct http_server *made = calloc(1, sizeof *made);
    if (!made) return fail(error, error_size, "out of memory");
    made->listening.fd = -1;
    made->routes = options->routes;
    made->route_count = options->route_count;
    made->app = options->app;
    made->log = options->log;
    made->most = options->connections_max;
    if (!start_parts(made, options, error, error_size)) {
        free_server(made);
        return false;
    }
    *server = made;
    return true;
}

uint16_t http_port(const struct http_server *server) {
    return server->listening.port;
}

void http_address(const struct http_server *server, char *address, size_t size) {
    char name[80], *out = address;
    listen_public_name(&server->listening, name, sizeof name);
    int used = snprintf(address, size, "http://%s:%u/%s", name, (unsigned)server->listening.port,
                        server->asks_token ? "?token=" : "");
    if (used < 0 || !server->asks_token) return;
    /* Letters and digits as they are, the rest escaped. */
    for (const char *at = server->login; *at && (size_t)used + 4 < size; at++) {
        bool plain = (*at >= '0' && *at <= '9') || (*at >= 'A' && *at <= 'Z') || (*at >= 'a' && *at <= 'z') || strchr("-._~", *at);
        used += snprintf(out + used, size - (size_t)used, plain ? "%c" : "%%%02X", (unsigned char)*at);
    }
}

static void wait_idle(struct http_server *server, int wait_ms) {
    for (int64_t end = monotonic_ms() + wait_ms; connections_busy(server->connections) && monotonic_ms() < end;)
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000000}, NULL);
}

void http_stop(struct http_server *server, int drain_ms) {
    if (!server) return;
    atomic_store(&server->stopping, true);          /* whoever waits gives up */
    acceptor_stop(server->acceptor);
    server->acceptor = NULL;
    close(server->listening.fd); /* nobody waits in vain to be accepted */
    server->listening.fd = -1;
    connections_shutdown(server->connections, false);
    wait_idle(server, drain_ms);
    connections_shutdown(server->connections, true); /* threads that write or read wake up */
    free_server(server);
}
