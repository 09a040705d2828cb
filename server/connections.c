/* connections.c: a list under a lock, and a thread that walks it a few times a second. */
#include "server/connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#define WATCH_MS 100
#define CROWDED_IDLE_MS 1000   /* when there are hardly any places left */
#define CROWDED_HEADER_MS 2000

struct connections {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct connection *first;
    size_t count;
    struct connection_limits limits;
    bool stopping, closing; /* closing: none may stay idle */
    pthread_t watchdog;
};

int64_t monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* ---- one socket ----------------------------------------------------------------------------------------------- */

bool connection_gone(const struct connection *connection) {
    if (atomic_load(&connection->cut)) return true;
    struct pollfd wait = {.fd = connection->fd, .events = POLLRDHUP};
    return poll(&wait, 1, 0) > 0 && (wait.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

void connection_drain(const struct connection *connection) {
    char dropped[16384];
    size_t total = 0;
    for (int64_t end = monotonic_ms() + 200; total < 4 << 20;) {
        int64_t left = end - monotonic_ms();
        struct pollfd wait = {.fd = connection->fd, .events = POLLIN};
        if (left <= 0 || poll(&wait, 1, left < 50 ? (int)left : 50) <= 0) return;
        ssize_t n = recv(connection->fd, dropped, sizeof dropped, MSG_DONTWAIT);
        if (n <= 0) return;
        total += (size_t)n;
    }
}

void connection_last_words(const struct connection *connection, const char *bytes, size_t size) {
    ssize_t n = send(connection->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n; /* whoever does not take them does without */
    shutdown(connection->fd, SHUT_WR);
}

/* Bytes that the other side has acknowledged, ever; whether some are waiting for it. */
static bool transfer_state(int fd, uint64_t *acknowledged, bool *waiting) {
    struct tcp_info info;
    socklen_t size = sizeof info;
    int queued = 0;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) || ioctl(fd, SIOCOUTQ, &queued)) return false;
    *acknowledged = info.tcpi_bytes_acked;
    *waiting = queued > 0;
    return true;
}

static void format_address(const struct sockaddr_storage *address, char *text, size_t size) {
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    text[0] = '\0';
    if (address->ss_family == AF_INET)
        inet_ntop(AF_INET, &four->sin_addr, text, (socklen_t)size);
    else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
        inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, text, (socklen_t)size);
    else if (address->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &six->sin6_addr, text, (socklen_t)size);
}

/* ---- the list ------------------------------------------------------------------------------------------------- */

struct connection *connections_find(struct connections *connections, int fd) {
    pthread_mutex_lock(&connections->lock);
    struct connection *found = connections->first;
    while (found && found->fd != fd) found = found->next;
    pthread_mutex_unlock(&connections->lock);
    return found;
}

struct connection *connections_add(struct connections *connections, int fd) {
    connections_remove(connections, connections_find(connections, fd));
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) return NULL;
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    connection->fd = fd;
    if (!getpeername(fd, (struct sockaddr *)&address, &size)) format_address(&address, connection->client, sizeof connection->client);
    size = sizeof address;
    if (!getsockname(fd, (struct sockaddr *)&address, &size)) format_address(&address, connection->local, sizeof connection->local);
    connection->phase = CONNECTION_NEW;
    connection->since_ms = monotonic_ms();
    pthread_mutex_lock(&connections->lock);
    connection->next = connections->first;
    if (connection->next) connection->next->previous = connection;
    connections->first = connection;
    connections->count++;
    pthread_mutex_unlock(&connections->lock);
    return connection;
}

void connections_remove(struct connections *connections, struct connection *connection) {
    if (!connection) return;
    pthread_mutex_lock(&connections->lock);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        connections->first = connection->next;
    if (connection->next) connection->next->previous = connection->previous;
    connections->count--;
    pthread_mutex_unlock(&connections->lock);
    free(connection);
}

void connection_enter(struct connections *connections, struct connection *connection, enum connection_phase phase) {
    if (!connection) return;
    pthread_mutex_lock(&connections->lock);
    connection->phase = phase;
    connection->since_ms = connection->progress_ms = monotonic_ms();
    pthread_mutex_unlock(&connections->lock);
}

static void cut(struct connection *connection) {
    if (!atomic_exchange(&connection->cut, true)) shutdown(connection->fd, SHUT_RDWR);
}

static bool is_between_requests(const struct connection *connection) {
    return connection->phase == CONNECTION_NEW || connection->phase == CONNECTION_IDLE ||
           connection->phase == CONNECTION_HEADER;
}

size_t connections_busy(struct connections *connections) {
    size_t busy = 0;
    pthread_mutex_lock(&connections->lock);
    for (struct connection *at = connections->first; at; at = at->next) busy += !is_between_requests(at);
    pthread_mutex_unlock(&connections->lock);
    return busy;
}

size_t connections_count(struct connections *connections) {
    pthread_mutex_lock(&connections->lock);
    size_t count = connections->count;
    pthread_mutex_unlock(&connections->lock);
    return count;
}

size_t connections_from(struct connections *connections, const char *client) {
    size_t count = 0;
    pthread_mutex_lock(&connections->lock);
    for (struct connection *at = connections->first; at; at = at->next) count += !strcmp(at->client, client);
    pthread_mutex_unlock(&connections->lock);
    return count;
}

void connections_shutdown(struct connections *connections, bool all) {
    pthread_mutex_lock(&connections->lock);
    connections->closing = true;
    for (struct connection *at = connections->first; at; at = at->next)
        if (all || is_between_requests(at)) cut(at);
    pthread_mutex_unlock(&connections->lock);
}

/* ---- the watchdog --------------------------------------------------------------------------------------------- */

static bool is_stalled(struct connection *connection, int stall_ms, int64_t now) {
    uint64_t acknowledged;
    bool waiting;
    if (!transfer_state(connection->fd, &acknowledged, &waiting)) return false;
    if (!waiting || acknowledged != connection->acknowledged) {
        connection->acknowledged = acknowledged;
        connection->progress_ms = now;
    }
    return now - connection->progress_ms >= stall_ms;
}

static bool is_late(const struct connections *connections, struct connection *connection, int64_t now) {
    const struct connection_limits *limits = &connections->limits;
    int64_t spent = now - connection->since_ms;
    bool crowded = connections->count * 4 >= limits->most * 3;
    switch (connection->phase) {
    case CONNECTION_NEW:
    case CONNECTION_HEADER:
        return spent >= limits->header_ms || (crowded && spent >= CROWDED_HEADER_MS);
    case CONNECTION_IDLE:
        return spent >= limits->idle_ms || (crowded && spent >= CROWDED_IDLE_MS) || connections->closing;
    case CONNECTION_BODY:
        return spent >= limits->body_ms;
    case CONNECTION_REPLY:
        return is_stalled(connection, limits->stall_ms, now);
    case CONNECTION_HANDLER:
        break;
    }
    return false;
}

/* What a client hears whose request did not come in time. */
#define LATE_BODY \
    "{\"type\":\"about:blank\",\"title\":\"Request Timeout\",\"status\":408,\"detail\":\"the request did not arrive in time\"}"
static const char late_answer[] =
    "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\nX-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\n"
    "Connection: close\r\nContent-Length: 107\r\n\r\n" LATE_BODY;
_Static_assert(sizeof LATE_BODY - 1 == 107, "Content-Length above");

static void *watch(void *context) {
    struct connections *connections = context;
    pthread_mutex_lock(&connections->lock);
    while (!connections->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WATCH_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&connections->wake, &connections->lock, &until);
        int64_t now = monotonic_ms();
        for (struct connection *at = connections->first; at; at = at->next) {
            if (atomic_load(&at->cut) || !is_late(connections, at, now)) continue;
            if (at->phase == CONNECTION_HEADER || at->phase == CONNECTION_BODY)
                connection_last_words(at, late_answer, sizeof late_answer - 1);
            cut(at);
        }
    }
    pthread_mutex_unlock(&connections->lock);
    return NULL;
}

struct connections *connections_create(const struct connection_limits *limits) {
    struct connections *connections = calloc(1, sizeof *connections);
    pthread_condattr_t attributes;
    if (!connections) return NULL;
    connections->limits = *limits;
    if (pthread_mutex_init(&connections->lock, NULL)) goto no_lock;
    if (pthread_condattr_init(&attributes)) goto no_wake;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&connections->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (failed) goto no_wake;
    if (pthread_create(&connections->watchdog, NULL, watch, connections)) goto no_thread;
    return connections;

no_thread:
    pthread_cond_destroy(&connections->wake);
no_wake:
    pthread_mutex_destroy(&connections->lock);
no_lock:
    free(connections);
    return NULL;
}

void connections_destroy(struct connections *connections) {
    if (!connections) return;
    pthread_mutex_lock(&connections->lock);
    connections->stopping = true;
    pthread_cond_signal(&connections->wake);
    pthread_mutex_unlock(&connections->lock);
    pthread_join(connections->watchdog, NULL);
    pthread_cond_destroy(&connections->wake);
    pthread_mutex_destroy(&connections->lock);
    /* Those that were accepted and handed over, but not begun when the HTTP threads ended. */
    for (struct connection *at = connections->first, *next; at; at = next) {
        next = at->next;
        free(at);
    }
    free(connections);
}
