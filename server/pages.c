#include "server/pages.h"

#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/app.h"
#include "server/options.h"
#include "server/routes.h"
#include "web/embedded.h"

#define FILE_MAX ((off_t)64 << 20)

/* The same ends as in web/embed.py. */
static const char *const types[][2] = {
    {".css", "text/css; charset=utf-8"},
    {".html", "text/html; charset=utf-8"},
    {".ico", "image/x-icon"},
    {".js", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".md", "text/plain; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".png", "image/png"},
    {".svg", "image/svg+xml"},
    {".txt", "text/plain; charset=utf-8"},
    {".wasm", "application/wasm"},
    {".webmanifest", "application/manifest+json"},
    {".woff2", "font/woff2"},
};

const char *pages_content_type(const char *name) {
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');
    if (!strncmp(slash ? slash + 1 : name, "LICENSE", 7)) return "text/plain; charset=utf-8";
    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (!strcmp(dot, types[i][0])) return types[i][1];
    return NULL;
}

/* Opens one part of the name after the other, so that no link is followed and nothing above is reached. */
static int open_below(const char *folder, const char *name) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0) {
        char part[256];
        size_t length = strcspn(name, "/");
        bool last = !name[length];
        /* Hidden files and "..", "." begin with a dot: none of them is the page's. */
        int next = -1;
        if (length && length < sizeof part && name[0] != '.') {
            memcpy(part, name, length);
            part[length] = '\0';
            next = openat(fd, part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (last ? 0 : O_DIRECTORY));
        }
        close(fd);
        fd = next;
        if (last) break;
        name += length + 1;
    }
    return fd;
}

static void make_etag(const char *bytes, size_t size, char etag[PAGES_ETAG]) {
    struct sha256_ctx hash;
    uint8_t digest[16];
    sha256_init(&hash);
    sha256_update(&hash, size, (const uint8_t *)bytes);
    sha256_digest(&hash, sizeof digest, digest);
    etag[0] = '"';
    for (size_t i = 0; i < sizeof digest; i++) snprintf(etag + 1 + 2 * i, 3, "%02x", digest[i]);
    memcpy(etag + 33, "\"", 2);
}

bool pages_read(const char *folder, const char *name, char **bytes, size_t *size, char etag[PAGES_ETAG]) {
    int fd = open_below(folder, name);
    if (fd < 0) return false;
    struct stat status;
    char *room = NULL;
    size_t used = 0;
    bool fine = !fstat(fd, &status) && S_ISREG(status.st_mode) && status.st_size <= FILE_MAX &&
                (room = malloc((size_t)status.st_size + 1));
    ssize_t n = 1;
    while (fine && used < (size_t)status.st_size && (n = read(fd, room + used, (size_t)status.st_size - used)) > 0)
        used += (size_t)n;
    close(fd);
    if (!fine || n < 0) {
        free(room);
        return false;
    }
    make_etag(room, used, etag);
    *bytes = room;
    *size = used;
    return true;
}

static const struct web_file *find_embedded(const char *name) {
    size_t low = 0, high = web_file_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, web_files[middle].path);
        if (!order) return &web_files[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static void send_from_folder(struct http_request *request, const char *folder, const char *name) {
    char *bytes, etag[PAGES_ETAG];
    size_t size;
    const char *type = pages_content_type(name);
    if (!type || !pages_read(folder, name, &bytes, &size, etag)) {
        http_reply_problem(request, 404, "the page has no such file", NULL);
        return;
    }
    if (http_revalidated(request, etag))
        free(bytes);
    else
        http_reply(request, 200, type, bytes, size);
}

static void send_file(struct app *app, struct http_request *request, const char *name) {
    const char *folder = app && app->options ? app->options->web_root : NULL;
    if (folder) {
        send_from_folder(request, folder, name);
        return;
    }
    const struct web_file *file = find_embedded(name);
    if (!file)
        http_reply_problem(request, 404, "the page has no such file", NULL);
    else if (!http_revalidated(request, file->etag))
        http_reply_static(request, 200, file->content_type, file->bytes, file->size);
}

/* One page for all addresses: what it shows is in the address. */
void route_page(struct app *app, struct http_request *request) {
    send_file(app, request, "index.html");
}

void route_static(struct app *app, struct http_request *request) {
    send_file(app, request, http_capture(request, 0));
}
