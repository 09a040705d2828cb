/* routes.c: how a path finds its line of the table. */
#include "server/routes.h"

#include <stdio.h>
#include <string.h>

/* Matches one pattern; captures are cut out of `path` at the end. A capture is never empty and takes the longest stretch of its
 * segment that leaves room for the literal behind it, so that "{head}.npy" works; "{file*}" takes slashes too, to the end. */
static bool match_pattern(const char *pattern, char *path, struct route_match *match) {
    char *ends[ROUTE_CAPTURES_MAX];
    match->count = 0;
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++) return false;
            continue;
        }
        const char *close = strchr(pattern, '}'), *literal = close + 1;
        size_t span = close[-1] == '*' ? strlen(path) : strcspn(path, "/"), tail = strcspn(literal, "/");
        if (span <= tail || match->count == ROUTE_CAPTURES_MAX) return false;
        match->capture[match->count] = path;
        path += span - tail;
        ends[match->count++] = path;
        pattern = literal;
    }
    if (*path) return false;
    for (size_t i = 0; i < match->count; i++) *ends[i] = '\0';
    return true;
}

static void add_method(char *allow, size_t size, const char *method) {
    size_t length = strlen(method);
    for (const char *at = allow; (at = strstr(at, method)); at += length)
        if ((at == allow || at[-1] == ' ') && (!at[length] || at[length] == ',')) return;
    size_t used = strlen(allow);
    snprintf(allow + used, size - used, "%s%s", used ? ", " : "", method);
}

bool routes_match(const struct http_route *routes, size_t route_count, const char *method, const char *path, char *room,
                  size_t room_size, struct route_match *match) {
    size_t length = strlen(path);
    memset(match, 0, sizeof *match);
    if (length >= room_size) return false;
    for (size_t i = 0; i < route_count; i++) {
        memcpy(room, path, length + 1);
        if (!match_pattern(routes[i].pattern, room, match)) continue;
        if (!strcmp(routes[i].method, method)) {
            match->route = &routes[i];
            match->allow[0] = '\0';
            return true;
        }
        add_method(match->allow, sizeof match->allow, routes[i].method);
        if (!strcmp(routes[i].method, "GET")) add_method(match->allow, sizeof match->allow, "HEAD");
    }
    match->count = 0;
    return false;
}
