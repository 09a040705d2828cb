/*
 * line_stream.h: a list of lines that grows at its end, with any number of readers, each at a place of its own.
 *
 * The lines lie in one block of bytes, each with its '\n'; a reader's place is an offset. One thread appends whole lines, so
 * whoever has read everything stands between two lines. After the end the bytes never change and may be borrowed.
 *
 * Threads   One writer, many readers. Reference counted.
 */
#ifndef HEADSCOPE_SERVER_LINE_STREAM_H
#define HEADSCOPE_SERVER_LINE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum line_state { LINES_QUEUED, LINES_RUNNING, LINES_DONE, LINES_FAILED, LINES_CANCELLED };

struct line_stream;

struct line_stream *line_stream_create(void); /* queued; NULL when out of memory */
/* A finished stream of given bytes, which become the stream's (malloc'ed). On NULL they stay the caller's. */
struct line_stream *line_stream_of_bytes(char *bytes, size_t size);
struct line_stream *line_stream_retain(struct line_stream *stream);
void line_stream_release(struct line_stream *stream); /* NULL is fine */

/* Appends a line; `line` has no '\n'. False when out of memory or after the end: nothing was appended. */
bool line_stream_append(struct line_stream *stream, const char *line, size_t size);
/* Queued -> running. Ignored after the end. */
void line_stream_begin(struct line_stream *stream);
/* The last line (NULL: none) and one of the three ends, at once. The first end is final: false after it, and when memory ran out
 * for the line, which is then left out. */
bool line_stream_end(struct line_stream *stream, enum line_state state, const char *line, size_t size);
enum line_state line_stream_state(struct line_stream *stream);
const char *line_state_name(enum line_state state); /* "queued", ... */

/* Copies up to `size` bytes from *place on and moves it: how many; 0 when nothing came within wait_ms; -1 at the end of an
 * ended stream. */
ssize_t line_stream_read(struct line_stream *stream, size_t *place, char *buffer, size_t size, int wait_ms);
/* Waits for the end. False when it did not come within wait_ms. */
bool line_stream_wait_end(struct line_stream *stream, int wait_ms);

/* All bytes of an ended stream, borrowed from it; NULL before the end. */
const char *line_stream_bytes(struct line_stream *stream, size_t *size);
/* A copy of the bytes so far, malloc'ed; NULL when out of memory. */
char *line_stream_copy(struct line_stream *stream, size_t *size);

#endif
