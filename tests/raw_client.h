/*
 * raw_client.h: a client that sends exactly the bytes it is told to.
 */
#ifndef HEADSCOPE_TESTS_RAW_CLIENT_H
#define HEADSCOPE_TESTS_RAW_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int raw_connect(uint16_t port);
void raw_send(int fd, const void *bytes, size_t size); /* gives up quietly when the other side has left */
void raw_say(int fd, const char *text);

/* What came within wait_ms, or until the other side closed (*closed). One buffer: the next call overwrites it. */
struct raw_answer {
    const char *bytes; /* ends in a NUL */
    size_t size;
    bool closed;
    int status;        /* of the first answer; 0: none */
    int answers;       /* how many status lines */
};
struct raw_answer raw_read(int fd, int wait_ms);
/* raw_connect, raw_say, raw_read, close. */
struct raw_answer raw_ask(uint16_t port, const char *text, int wait_ms);
/* A complete request with the usual header and "Connection: close". */
struct raw_answer raw_get(uint16_t port, const char *method, const char *target, const char *more_header);
bool raw_has(const struct raw_answer *answer, const char *text);

#endif
