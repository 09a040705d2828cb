/*
 * connections.h: every open connection, what it is doing and since when, and a watchdog that shuts down those that take too
 * long. It knows sockets, not HTTP: a connection that it shuts down looks to its thread like one whose client left.
 *
 * Threads   All calls from any thread. A connection belongs to the thread that serves it, from add to remove.
 */
#ifndef HEADSCOPE_SERVER_CONNECTIONS_H
#define HEADSCOPE_SERVER_CONNECTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum connection_phase {
    CONNECTION_NEW,      /* nothing of a request yet: header_ms from here to the end of the header; two seconds when there are
                          * hardly any places left */
    CONNECTION_IDLE,     /* kept alive between requests: idle_ms; a second when there are hardly any places left */
    CONNECTION_HEADER,   /* the request line is there: header_ms to the end of the header */
    CONNECTION_BODY,     /* body_ms to the end of the body */
    CONNECTION_HANDLER,  /* ours to answer: no limit */
    CONNECTION_REPLY,    /* bytes are on their way: stall_ms during which the client takes none of them */
};

struct connection_limits {
    int header_ms, body_ms, idle_ms, stall_ms;
    size_t most; /* connections at a time, for "hardly any places left" */
};

struct connection {
    struct connection *previous, *next;
    int fd;
    enum connection_phase phase;
    int64_t since_ms;         /* the phase's start */
    uint64_t acknowledged;    /* bytes that the client's side has taken, and when that last grew */
    int64_t progress_ms;
    _Atomic uint64_t sent;    /* bytes of the reply's body, for the log */
    atomic_bool cut;          /* shut down by us */
    char client[64], local[64]; /* addresses without ports */
};

struct connections;

/* Starts the watchdog. NULL when out of memory or threads. */
struct connections *connections_create(const struct connection_limits *limits);
void connections_destroy(struct connections *connections); /* all must have been removed; NULL is fine */

/* A connection that was just accepted; one that was here under the same descriptor is gone. NULL when out of memory. */
struct connection *connections_add(struct connections *connections, int fd);
struct connection *connections_find(struct connections *connections, int fd); /* NULL: not here */
void connections_remove(struct connections *connections, struct connection *connection); /* before the fd is closed */
void connection_enter(struct connections *connections, struct connection *connection, enum connection_phase phase);

/* True once the client has hung up or closed its side; asks the socket, never blocks. */
bool connection_gone(const struct connection *connection);
/* Reads and drops what has arrived, for up to a fifth of a second, so that closing does not take our answer with it. */
void connection_drain(const struct connection *connection);
/* Writes bytes that are to be the last ones, as far as the socket takes them at once. */
void connection_last_words(const struct connection *connection, const char *bytes, size_t size);

/* How many are in the middle of a request. */
size_t connections_busy(struct connections *connections);
/* How many there are, and how many of one address. */
size_t connections_count(struct connections *connections);
size_t connections_from(struct connections *connections, const char *client);
/* Shuts down those between requests, or all of them. */
void connections_shutdown(struct connections *connections, bool all);

int64_t monotonic_ms(void);

#endif
