/*
 * http.c: HTTP by libmicrohttpd, a thread a connection. A request goes through
 *
 *   on_target (the raw address) -> begin (header: every check of guard.h) -> take_body -> finish (the handler)
 *
 * A request that is refused but soundly framed has its body read and dropped first, so that the client hears why.
 */
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/http_request.h"

/* Later versions of the library refuse unsound headers by themselves, when told to. */
#if MHD_VERSION >= 0x00097701
#define STRICTNESS 1
#else
#define STRICTNESS 0 /* its refusals would lack our header fields, and header_is_whole makes the same ones */
#endif

#define CONNECTION_MEMORY (64 * 1024)    /* holds the header and, later, a piece of the answer */
#define CONNECTION_STACK (1024 * 1024)
#define REPLY_PIECE (32 * 1024)
#define HEARTBEAT_MS 1000
#define SOURCE_WAIT_MS 100

/* ---- answers -------------------------------------------------------------------------------------------------- */

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
    if (!request_has_extra(request, "Cache-Control")) MHD_add_response_header(response, "Cache-Control", "no-store");
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
    request->queued = MHD_queue_response(request->mhd, (unsigned)status, response) == MHD_YES;
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

bool http_holds(const struct http_request *request, const char *etag) {
    const char *known = http_header(request, "If-None-Match");
    return known && guard_etag_matches(known, etag);
}

/* 304 if the client holds this very representation. */
static bool not_modified(struct http_request *request, const char *etag, const char *cache_control) {
    http_set_header(request, "ETag", etag);
    http_set_header(request, "Cache-Control", cache_control);
    if (!http_holds(request, etag)) return false;
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

/* The end of the way, for good or bad. */
static enum MHD_Result finish(struct http_request *request) {
    connection_enter(request->server->connections, request->connection, CONNECTION_HANDLER);
    request_answer(request);
    connection_enter(request->server->connections, request->connection, CONNECTION_REPLY);
    return request->queued ? MHD_YES : MHD_NO;
}

static enum MHD_Result begin(struct http_request *request, const char *method, const char *version) {
    request->begun = true;
    request->raw = (struct guard_request){.method = method, .target = request->target, .version = version};
    request->raw.headers = request->headers;
    MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, on_header, request);
    bool fine = request_check(request, header_is_whole(request));
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

static enum MHD_Result take_body(struct http_request *request, const char *data, size_t *size) {
    static const char words[] = "HTTP/1.1 413 Content Too Large\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
                                "Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    request_take_body(request, data, *size);
    *size = 0;
    if (request->body_seen <= BODY_DROP_MAX) return MHD_YES;
    connection_last_words(request->connection, words, sizeof words - 1); /* the library takes no answer in mid-body */
    return MHD_NO;
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
    request_free(request);
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
