/*
 * guard.h: what every request must be before a handler sees it. Pure functions on the request's raw parts, so that each rule
 * is tested alone; nothing here knows sockets or libmicrohttpd.
 *
 * Framing is checked again here because the HTTP library is lenient: it takes two lengths, both length and chunked, two
 * Hosts and none, and cuts a URL at %00. Whoever stands in front of us may read such a request in another way.
 */
#ifndef HEADSCOPE_SERVER_GUARD_H
#define HEADSCOPE_SERVER_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_HEADERS_MAX 100
#define GUARD_PARAMETERS_MAX 16
#define GUARD_TARGET_MAX 8192

struct guard_header {
    const char *name, *value;
};

struct guard_request {
    const char *method, *target, *version; /* target as it came: "/a?b=%20" */
    const struct guard_header *headers;
    size_t header_count;
};

/* Why a request is not served. `close`: nothing that follows on the connection may be trusted. */
struct guard_refusal {
    int status; /* 0: none */
    bool close;
    char detail[256];
};

struct guard_framing {
    bool chunked;
    bool has_length;
    uint64_t length;
};

/* One Host, at most one Content-Length, never both a length and chunked, plain names and values, a known version. */
bool guard_framing(const struct guard_request *request, struct guard_framing *framing, struct guard_refusal *refusal);

/* The target, taken apart and decoded. */
struct guard_target {
    const char *path;
    size_t parameter_count;
    struct guard_parameter {
        const char *name, *value; /* value "" without '=' */
    } parameter[GUARD_PARAMETERS_MAX];
};
/* Cuts `room` (strlen(target) + 1 bytes) into the parts. Refuses what is not origin-form, raw or encoded control characters
 * (%00 first of all), broken escapes, text that is not UTF-8. */
bool guard_target(const char *target, char *room, struct guard_target *parts, struct guard_refusal *refusal);

/* The names under which the server may be called: "localhost:8642", lower case, always with the port. */
struct guard_names {
    char **names;
    size_t count;
    uint16_t port; /* our own */
};
/* localhost, 127.0.0.1, [::1], `host` (the bound address) and allow[], each with `port`; an entry of allow[] that has a port
 * keeps it (a proxy in front of us), and with :443 https is its scheme. False: out of memory, or an entry that is no host
 * (the sentence in `error`). */
bool guard_names_make(struct guard_names *names, const char *host, uint16_t port, const char *const *allow, size_t count,
                      char *error, size_t error_size);
void guard_names_free(struct guard_names *names);
/* True for an address that only this machine reaches: 127.0.0.0/8, ::1, localhost. */
bool guard_is_loopback(const char *host);

/* Host must be one of the names: else a foreign page could reach us under a name of its own (DNS rebinding). Origin, where
 * there is one, must be that same host. Sec-Fetch-Site, where there is one, may be another site only for opening a page.
 * `local`: the address that this connection reached us at, "192.168.1.5" or "::1", which is ours too; NULL if unknown. */
bool guard_origin(const struct guard_request *request, const struct guard_names *names, const char *local,
                  struct guard_refusal *refusal);

/* POST bodies are application/json and nothing else (a form cannot send that without asking us first). */
bool guard_content_type(const struct guard_request *request, struct guard_refusal *refusal);

/* ---- the token ------------------------------------------------------------------------------------------------ */

struct guard_token {
    uint8_t digest[32]; /* SHA-256 of the token: equal lengths to compare */
    char cookie[65];    /* what the browser keeps: derived from the token, not the token */
    char cookie_name[32];
};

/* Reads a token: a regular file that only its owner can read, 16 to 1024 printable characters without spaces. `token` takes it
 * with its NUL. */
#define GUARD_TOKEN_MAX 1024
bool guard_token_read(const char *path, char token[GUARD_TOKEN_MAX + 1], char *error, size_t error_size);
void guard_token_make(struct guard_token *guard, const char *token, uint16_t port);
/* Both compare in constant time. */
bool guard_token_fits(const struct guard_token *guard, const char *token);
/* Authorization: Bearer, or our cookie. */
bool guard_token_shown(const struct guard_token *guard, const struct guard_request *request);

/* ---- small things --------------------------------------------------------------------------------------------- */

/* The value of a header, NULL if absent; names compare without case. */
const char *guard_find(const struct guard_request *request, const char *name);
/* If-None-Match: does the list name this tag (weakly compared), or is it "*"? */
bool guard_etag_matches(const char *list, const char *etag);
/* Fills in a refusal; returns false, so that checks can return it. */
bool guard_refuse(struct guard_refusal *refusal, int status, bool close, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
