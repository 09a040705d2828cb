#include "server/acceptor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOK_AGAIN_MS 20 /* when there is no room, or no file descriptor left */

struct acceptor {
    int fd, wake;
    struct acceptor_calls calls;
    pthread_t thread;
};

static void *accept_all(void *context) {
    struct acceptor *acceptor = context;
    bool pausing = false;
    for (;;) {
        bool room = !pausing && acceptor->calls.has_room(acceptor->calls.context);
        struct pollfd wait[2] = {{.fd = acceptor->wake, .events = POLLIN}, {.fd = acceptor->fd, .events = POLLIN}};
        int ready = poll(wait, room ? 2 : 1, room ? -1 : LOOK_AGAIN_MS);
        pausing = false;
        if (wait[0].revents) return NULL;
        if (ready <= 0 || !room) continue;
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int fd = accept4(acceptor->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            acceptor->calls.take(acceptor->calls.context, fd, (struct sockaddr *)&address, size);
        else
            pausing = errno != ECONNABORTED && errno != EINTR; /* EMFILE and its like pass, but not at once */
    }
}

struct acceptor *acceptor_start(int fd, const struct acceptor_calls *calls) {
    struct acceptor *acceptor = malloc(sizeof *acceptor);
    if (!acceptor) return NULL;
    *acceptor = (struct acceptor){.fd = fd, .wake = eventfd(0, EFD_CLOEXEC), .calls = *calls};
    if (acceptor->wake >= 0 && !pthread_create(&acceptor->thread, NULL, accept_all, acceptor)) return acceptor;
    if (acceptor->wake >= 0) close(acceptor->wake);
    free(acceptor);
    return NULL;
}

void acceptor_stop(struct acceptor *acceptor) {
    if (!acceptor) return;
    uint64_t one = 1;
    while (write(acceptor->wake, &one, sizeof one) < 0 && errno == EINTR) continue;
    pthread_join(acceptor->thread, NULL);
    close(acceptor->wake);
    free(acceptor);
}
