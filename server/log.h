/*
 * log.h: what the program says while it runs: one line a message on stderr, text or JSON.
 *
 * Threads   All calls from any thread; a line is written whole. Control characters never reach the terminal.
 * Privacy   Nothing here ever gets a user's text, a token or a share's name: requests are logged by their route's pattern.
 */
#ifndef HEADSCOPE_SERVER_LOG_H
#define HEADSCOPE_SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_format { LOG_TEXT, LOG_JSONL };

enum log_level {
    LEVEL_ERROR,   /* something the user asked for does not work */
    LEVEL_WARNING, /* it goes on, but not as asked: no cache, a broken model file */
    LEVEL_INFO,    /* start, stop, analyses */
    LEVEL_DEBUG,   /* every request */
};

struct log;

/* Writes to the file descriptor `fd`, which stays the caller's. NULL when out of memory. */
struct log *log_create(int fd, enum log_format format, enum log_level level);
void log_destroy(struct log *log); /* NULL is fine */
bool log_wants(const struct log *log, enum log_level level);

/* `part` names who speaks: "http", "worker", "cache". A NULL log says nothing. */
void log_write(struct log *log, enum log_level level, const char *part, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* One answered request, at LEVEL_DEBUG (5xx: LEVEL_WARNING). */
struct log_request {
    const char *method, *route, *client;
    int status;
    uint64_t bytes;
    double seconds;
};
void log_request(struct log *log, const struct log_request *request);

#endif
