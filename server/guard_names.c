/* guard_names.c: which names are ours, and which pages may speak to us. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/guard.h"

bool guard_is_loopback(const char *host) {
    struct in_addr four;
    struct in6_addr six;
    if (!strcasecmp(host, "localhost")) return true;
    if (inet_pton(AF_INET, host, &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &six) != 1) return false;
    return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
}

static bool is_port(const char *text) {
    size_t length = strspn(text, "0123456789");
    return length && length <= 5 && !text[length] && atoi(text) >= 1 && atoi(text) <= 65535;
}

/* Splits "host[:port]"; the host keeps the brackets of an IPv6 address. Its characters are those of names and addresses. */
static bool split_authority(const char *text, char host[256], const char **port) {
    size_t length = *text == '[' ? strcspn(text, "]") + 1 : strcspn(text, ":");
    if (!length || length > 255 || length > strlen(text)) return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool fine = *text == '[' ? isxdigit((unsigned char)c) || strchr("[:.]", c)
                                 : isalnum((unsigned char)c) || strchr("-._", c);
        if (!fine) return false;
        host[i] = (char)tolower((unsigned char)c);
    }
    host[length] = '\0';
    *port = text[length] == ':' ? text + length + 1 : NULL;
    return text[length] ? *port && is_port(*port) : true;
}

/* "NAME" or "NAME:PORT" in lower case, always with its port: what names are compared as. */
static bool normalise(const char *text, const char *default_port, char authority[264]) {
    char host[256];
    const char *port;
    if (!split_authority(text, host, &port)) return false;
    snprintf(authority, 264, "%s:%d", host, atoi(port ? port : default_port));
    return true;
}

static bool is_ours(const struct guard_names *names, const char *authority) {
    for (size_t i = 0; i < names->count; i++)
        if (!strcmp(names->names[i], authority)) return true;
    return false;
}

static bool add_name(struct guard_names *names, const char *authority) {
    if (is_ours(names, authority)) return true;
    char **longer = realloc(names->names, (names->count + 1) * sizeof *longer);
    if (!longer) return false;
    names->names = longer;
    if (!(longer[names->count] = strdup(authority))) return false;
    names->count++;
    return true;
}

bool guard_names_make(struct guard_names *names, const char *host, uint16_t port, const char *const *allow, size_t count,
                      char *error, size_t error_size) {
    static const char *const own[] = {"localhost", "127.0.0.1", "[::1]"};
    char own_port[8], authority[264], bracketed[264];
    memset(names, 0, sizeof *names);
    names->port = port;
    snprintf(own_port, sizeof own_port, "%u", (unsigned)port);
    bool fits = true;
    for (size_t i = 0; fits && i < sizeof own / sizeof own[0]; i++)
        fits = normalise(own[i], own_port, authority) && add_name(names, authority);
    snprintf(bracketed, sizeof bracketed, strchr(host, ':') ? "[%.250s]" : "%.255s", host);
    if (fits && normalise(bracketed, own_port, authority)) fits = add_name(names, authority);
    for (size_t i = 0; fits && i < count; i++) {
        if (!normalise(allow[i], own_port, authority)) {
            snprintf(error, error_size, "--allow-host takes a name such as heads.example or heads.example:443, not \"%.80s\"",
                     allow[i]);
            guard_names_free(names);
            return false;
        }
        fits = add_name(names, authority);
    }
    if (fits) return true;
    snprintf(error, error_size, "out of memory");
    guard_names_free(names);
    return false;
}

void guard_names_free(struct guard_names *names) {
    for (size_t i = 0; i < names->count; i++) free(names->names[i]);
    free(names->names);
    memset(names, 0, sizeof *names);
}

static bool is_local(const struct guard_names *names, const char *local, const char *authority) {
    char own[264];
    if (!local) return false;
    snprintf(own, sizeof own, strchr(local, ':') ? "[%.240s]:%u" : "%.240s:%u", local, (unsigned)names->port);
    return !strcasecmp(own, authority);
}

/* A Host without a port stands for port 80, or 443 where a proxy speaks https for us. */
static bool host_is_ours(const struct guard_names *names, const char *value, const char *local, char authority[264]) {
    if (!normalise(value, "80", authority)) return false;
    if (is_ours(names, authority) || is_local(names, local, authority)) return true;
    return normalise(value, "443", authority) && is_ours(names, authority);
}

static bool origin_is(const char *origin, const char *authority) {
    char asked[264];
    if (!strncasecmp(origin, "http://", 7)) return normalise(origin + 7, "80", asked) && !strcmp(asked, authority);
    if (!strncasecmp(origin, "https://", 8)) return normalise(origin + 8, "443", asked) && !strcmp(asked, authority);
    return false; /* "null" too: a sandboxed page, a file, a redirect from elsewhere */
}

bool guard_origin(const struct guard_request *request, const struct guard_names *names, const char *local,
                  struct guard_refusal *refusal) {
    char authority[264];
    const char *host = guard_find(request, "Host"), *origin = guard_find(request, "Origin");
    if (!host || !host_is_ours(names, host, local, authority))
        return guard_refuse(refusal, 403, false,
                            "this server does not answer under the name \"%.80s\"; call it as %s or start it with --allow-host",
                            host ? host : "", names->count ? names->names[0] : "localhost");
    if (origin && !origin_is(origin, authority))
        return guard_refuse(refusal, 403, false, "pages of \"%.80s\" may not use this server", origin);
    const char *site = guard_find(request, "Sec-Fetch-Site"), *mode = guard_find(request, "Sec-Fetch-Mode");
    bool foreign = site && strcasecmp(site, "same-origin") && strcasecmp(site, "none");
    bool opens_page = mode && !strcasecmp(mode, "navigate") && (!strcmp(request->method, "GET") || !strcmp(request->method, "HEAD"));
    if (foreign && !opens_page)
        return guard_refuse(refusal, 403, false, "pages of another site may not use this server");
    return true;
}
