#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/guard.h"

static bool describe_failure(const char *host, uint16_t port, char *error, size_t error_size) {
    int reason = errno;
    if (reason == EADDRINUSE)
        snprintf(error, error_size,
                 "port %u on %s is taken, perhaps by another headscope; choose one with --port, or --port 0 for a free one",
                 (unsigned)port, host);
    else if (reason == EACCES)
        snprintf(error, error_size, "no right to listen on port %u of %s; choose a port above 1023 with --port", (unsigned)port,
                 host);
    else if (reason == EADDRNOTAVAIL)
        snprintf(error, error_size, "this machine has no address %s; give one of its own with --host", host);
    else
        snprintf(error, error_size, "cannot listen on port %u of %s: %s", (unsigned)port, host, strerror(reason));
    return false;
}

static bool open_socket(const struct addrinfo *where, const char *host, uint16_t port, struct listening *listening,
                        char *error, size_t error_size) {
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) return describe_failure(host, port, error, error_size);
    listening->six = where->ai_family == AF_INET6;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* a restart need not wait for old connections */
    if (listening->six) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (bind(fd, where->ai_addr, where->ai_addrlen) || listen(fd, 128) || getsockname(fd, (struct sockaddr *)&bound, &size)) {
        describe_failure(host, port, error, error_size);
        close(fd);
        return false;
    }
    listening->fd = fd;
    listening->port = ntohs(listening->six ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port);
    return true;
}

bool listen_open(const char *host, uint16_t port, bool loopback_only, struct listening *listening, char *error,
                 size_t error_size) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[8], bare[256];
    memset(listening, 0, sizeof *listening);
    listening->fd = -1;
    snprintf(service, sizeof service, "%u", (unsigned)port);
    size_t length = strlen(host);
    bool brackets = length > 2 && length < sizeof bare && host[0] == '[' && host[length - 1] == ']';
    snprintf(bare, sizeof bare, "%.*s", (int)(brackets ? length - 2 : length), host + brackets);
    int failed = getaddrinfo(bare, service, &hints, &found);
    if (failed) {
        snprintf(error, error_size, "--host %s is no address of this machine: %s", host, gai_strerror(failed));
        return false;
    }
    getnameinfo(found->ai_addr, found->ai_addrlen, listening->address, sizeof listening->address, NULL, 0, NI_NUMERICHOST);
    listening->loopback = guard_is_loopback(listening->address);
    bool fine = listening->loopback || !loopback_only;
    if (!fine)
        snprintf(error, error_size,
                 "--host %s can be reached from other machines, so a token must be asked for: put 16 characters or more into a "
                 "file of mode 0600 and name it with --token-file",
                 host);
    fine = fine && open_socket(found, host, port, listening, error, error_size);
    freeaddrinfo(found);
    return fine;
}

/* Which of our addresses would be used to reach the world; connecting a datagram socket sends nothing. */
static bool outward_address(bool six, char *name, size_t size) {
    struct sockaddr_storage address = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *long_one = (struct sockaddr_in6 *)&address;
    socklen_t length = six ? sizeof *long_one : sizeof *four;
    address.ss_family = six ? AF_INET6 : AF_INET;
    if (six) {
        long_one->sin6_port = htons(9);
        inet_pton(AF_INET6, "2001:db8::1", &long_one->sin6_addr);
    } else {
        four->sin_port = htons(9);
        inet_pton(AF_INET, "192.0.2.1", &four->sin_addr);
    }
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool found = !connect(fd, (struct sockaddr *)&address, length) && !getsockname(fd, (struct sockaddr *)&address, &length) &&
                 !getnameinfo((struct sockaddr *)&address, length, name, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
    close(fd);
    return found;
}

void listen_public_name(const struct listening *listening, char *name, size_t size) {
    char address[64];
    bool any = !strcmp(listening->address, "0.0.0.0") || !strcmp(listening->address, "::");
    if (!any || !outward_address(listening->six, address, sizeof address))
        snprintf(address, sizeof address, "%s", any ? (listening->six ? "::1" : "127.0.0.1") : listening->address);
    snprintf(name, size, listening->six ? "[%s]" : "%s", address);
}
