/* guard_token.c: the token that a server off loopback asks for. */
#include <errno.h>
#include <fcntl.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/guard.h"

#define TOKEN_MIN 16

static bool fail(char *error, size_t error_size, const char *path, const char *what) {
    snprintf(error, error_size, "--token-file %s: %s", path, what);
    return false;
}

static bool check_file(int fd, const char *path, char *error, size_t error_size) {
    struct stat status;
    if (fstat(fd, &status)) return fail(error, error_size, path, strerror(errno));
    if (!S_ISREG(status.st_mode)) return fail(error, error_size, path, "not a regular file");
    if (status.st_mode & 077)
        return fail(error, error_size, path, "others can read it; \"chmod 600\" keeps it to you");
    if (status.st_uid != geteuid() && status.st_uid != 0) return fail(error, error_size, path, "it belongs to somebody else");
    return true;
}

bool guard_token_read(const char *path, char token[GUARD_TOKEN_MAX + 1], char *error, size_t error_size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
    if (fd < 0) return fail(error, error_size, path, strerror(errno));
    char bytes[GUARD_TOKEN_MAX + 3];
    size_t size = 0;
    ssize_t n = 1;
    bool fine = check_file(fd, path, error, error_size);
    while (fine && size < sizeof bytes && (n = read(fd, bytes + size, sizeof bytes - size)) > 0) size += (size_t)n;
    if (fine && n < 0) fine = fail(error, error_size, path, strerror(errno));
    close(fd);
    while (size && strchr("\r\n", bytes[size - 1])) size--;
    if (fine && size > GUARD_TOKEN_MAX) fine = fail(error, error_size, path, "longer than 1024 characters");
    if (fine && size < TOKEN_MIN)
        fine = fail(error, error_size, path, "shorter than 16 characters; \"openssl rand -hex 24\" makes a good one");
    for (size_t i = 0; fine && i < size; i++)
        if (bytes[i] <= 0x20 || bytes[i] >= 0x7F)
            fine = fail(error, error_size, path, "only printable ASCII without spaces can be sent as a token");
    if (!fine) return false;
    memcpy(token, bytes, size);
    token[size] = '\0';
    return true;
}

static void digest_of(const char *salt, const char *text, uint8_t digest[32]) {
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, strlen(salt), (const uint8_t *)salt);
    sha256_update(&hash, strlen(text), (const uint8_t *)text);
    sha256_digest(&hash, 32, digest);
}

void guard_token_make(struct guard_token *guard, const char *token, uint16_t port) {
    uint8_t digest[32];
    digest_of("headscope token:", token, guard->digest);
    digest_of("headscope cookie:", token, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(guard->cookie + 2 * i, 3, "%02x", digest[i]);
    /* Browsers tell cookies apart by host, not by port. */
    snprintf(guard->cookie_name, sizeof guard->cookie_name, "headscope_%u", (unsigned)port);
}

bool guard_token_fits(const struct guard_token *guard, const char *token) {
    uint8_t digest[32];
    digest_of("headscope token:", token, digest);
    return memeql_sec(digest, guard->digest, sizeof digest);
}

/* One Cookie header: "a=b; headscope_8642=..." */
static bool cookie_fits(const struct guard_token *guard, const char *cookies) {
    size_t name = strlen(guard->cookie_name);
    bool fits = false;
    while (*cookies) {
        cookies += strspn(cookies, "; \t");
        size_t length = strcspn(cookies, ";");
        if (length == name + 1 + 64 && !memcmp(cookies, guard->cookie_name, name) && cookies[name] == '=')
            fits |= memeql_sec(cookies + name + 1, guard->cookie, 64) != 0;
        cookies += length;
    }
    return fits;
}

bool guard_token_shown(const struct guard_token *guard, const struct guard_request *request) {
    const char *authorization = guard_find(request, "Authorization");
    if (authorization && !strncasecmp(authorization, "Bearer ", 7))
        return guard_token_fits(guard, authorization + 7 + strspn(authorization + 7, " "));
    for (size_t i = 0; i < request->header_count; i++)
        if (!strcasecmp(request->headers[i].name, "Cookie") && cookie_fits(guard, request->headers[i].value)) return true;
    return false;
}
