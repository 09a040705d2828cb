/* http_request.c: what a request must be, and what it is answered when it is not. */
#include "server/http_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/json_problem.h"

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

bool request_has_extra(const struct http_request *request, const char *name) {
    for (size_t i = 0; i < request->extra_count; i++)
        if (!strcasecmp(request->extra[i].name, name)) return true;
    return false;
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

/* ---- the checks ------------------------------------------------------------------------------------------------- */

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

bool request_check(struct http_request *request, bool whole) {
    struct http_server *server = request->server;
    struct guard_refusal *refusal = &request->refusal;
    if (!guard_framing(&request->raw, &request->framing, refusal)) return false;
    if (!whole)
        return guard_refuse(refusal, 400, true, "the header has a folded line, a line that does not end in CR LF, or odd spaces");
    if (!guard_target(request->target, request->target + strlen(request->target) + 1, &request->parts, refusal)) return false;
    if (atomic_load(&server->stopping)) return guard_refuse(refusal, 503, true, "the server is stopping");
    if (!guard_origin(&request->raw, &server->names, request->connection->local, refusal)) return false;
    if (!check_token(request) || !check_route(request)) return false;
    if (!strcmp(request->raw.method, "POST") && !guard_content_type(&request->raw, refusal)) return false;
    if (request->framing.length > BODY_MAX) return refuse_size(request, request->framing.length);
    return true;
}

/* ---- the body --------------------------------------------------------------------------------------------------- */

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

void request_take_body(struct http_request *request, const char *data, size_t size) {
    request->body_seen += size;
    if (request->refusal.status) return;
    if (request->body_seen > BODY_MAX) {
        refuse_size(request, request->body_seen);
    } else if (!make_room(request, size)) {
        guard_refuse(&request->refusal, 503, false, "the server holds too many bodies at the moment; try again");
    } else {
        memcpy(request->body + request->body_size, data, size);
        request->body_size += size;
    }
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static void reply_refusal(struct http_request *request) {
    if (request->refusal.status == 401) http_set_header(request, "WWW-Authenticate", "Bearer realm=\"headscope\"");
    if (request->refusal.status == 405) http_set_header(request, "Allow", request->match.allow);
    if (request->refusal.status == 503) http_set_header(request, "Retry-After", "1");
    http_reply_problem(request, request->refusal.status, request->refusal.detail, NULL);
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
    snprintf(cookie, sizeof cookie, "%s=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000", server->token.cookie_name,
             server->token.cookie);
    http_set_header(request, "Set-Cookie", cookie);
    http_set_header(request, "Location", clean);
    free(clean);
    http_reply_static(request, 303, "text/plain; charset=utf-8", "", 0);
}

void request_answer(struct http_request *request) {
    if (request->refusal.status == 413)
        refuse_size(request, request->framing.has_length ? request->framing.length : request->body_seen);
    if (request->refusal.status) {
        reply_refusal(request);
    } else if (request->log_in) {
        log_in(request);
    } else {
        request->match.route->handler(request->server->app, request);
        if (request->answered) return;
        log_write(request->server->log, LEVEL_ERROR, "http", "%s was not answered", request->match.route->pattern);
        http_reply_problem(request, 500, "the server did not answer; this is a mistake of the program", NULL);
    }
}

void request_free(struct http_request *request) {
    atomic_fetch_sub(&request->server->bodies, request->body_room);
    for (size_t i = 0; i < request->extra_count; i++) {
        free(request->extra[i].name);
        free(request->extra[i].value);
    }
    free(request->body);
    free(request->target);
    free(request);
}
