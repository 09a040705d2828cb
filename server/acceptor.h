/*
 * acceptor.h: a thread that accepts connections while there is room for them; the others wait in the kernel's queue, where a
 * place that becomes free reaches them. (The HTTP library would accept and close them.)
 */
#ifndef HEADSCOPE_SERVER_ACCEPTOR_H
#define HEADSCOPE_SERVER_ACCEPTOR_H

#include <stdbool.h>
#include <sys/socket.h>

struct acceptor;

struct acceptor_calls {
    void *context;
    bool (*has_room)(void *context);
    /* Takes the connection, which is non-blocking; closing it is its business. */
    void (*take)(void *context, int fd, const struct sockaddr *address, socklen_t size);
};

/* `fd` listens and stays the caller's. NULL when out of memory or threads. */
struct acceptor *acceptor_start(int fd, const struct acceptor_calls *calls);
/* After it returns no call is made any more. NULL is fine. */
void acceptor_stop(struct acceptor *acceptor);

#endif
