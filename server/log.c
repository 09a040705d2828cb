/* log.c: lines are made in a buffer and leave in one write. */
#include "server/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

struct log {
    pthread_mutex_t lock;
    int fd;
    enum log_format format;
    enum log_level level;
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

struct log *log_create(int fd, enum log_format format, enum log_level level) {
    struct log *log = malloc(sizeof *log);
    if (!log) return NULL;
    *log = (struct log){.fd = fd, .format = format, .level = level};
    if (pthread_mutex_init(&log->lock, NULL)) {
        free(log);
        return NULL;
    }
    return log;
}

void log_destroy(struct log *log) {
    if (!log) return;
    pthread_mutex_destroy(&log->lock);
    free(log);
}

bool log_wants(const struct log *log, enum log_level level) {
    return log && level <= log->level;
}

/* A line under construction; what does not fit is cut. */
struct line {
    size_t used;
    char bytes[LINE_MAX_BYTES + 16];
};

static void put(struct line *line, const char *bytes, size_t size) {
    if (size > LINE_MAX_BYTES - line->used) size = LINE_MAX_BYTES - line->used;
    memcpy(line->bytes + line->used, bytes, size);
    line->used += size;
}

static void put_format(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put_format(struct line *line, const char *format, ...) {
    char piece[256];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (size > 0) put(line, piece, (size_t)size < sizeof piece ? (size_t)size : sizeof piece - 1);
}

/* Length of the whole UTF-8 character at `at`, or 0 if there is none. */
static size_t utf8_character(const unsigned char *at) {
    size_t length = *at < 0x80 ? 1 : *at >= 0xC2 && *at < 0xE0 ? 2 : *at >= 0xE0 && *at < 0xF0 ? 3 : *at >= 0xF0 && *at < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xC0) != 0x80) return 0;
    if (length == 2 && *at == 0xC2 && at[1] < 0xA0) return 0; /* C1 controls */
    if (length == 3 && ((*at == 0xE0 && at[1] < 0xA0) || (*at == 0xED && at[1] >= 0xA0))) return 0;
    if (length == 4 && ((*at == 0xF0 && at[1] < 0x90) || (*at == 0xF4 && at[1] >= 0x90))) return 0;
    return length;
}

/* Text from anywhere: controls and broken UTF-8 become escapes, so that a line stays a line and a terminal stays itself. */
static void put_text(struct line *line, const char *text, bool json) {
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t length = utf8_character(at);
        if (line->used + 8 > LINE_MAX_BYTES) {
            put(line, "...", 3);
            return;
        }
        if (json && (*at == '"' || *at == '\\')) {
            put_format(line, "\\%c", *at++);
        } else if (length && *at >= 0x20 && *at != 0x7F) {
            put(line, (const char *)at, length);
            at += length;
        } else {
            put_format(line, json ? "\\u%04x" : "\\x%02x", *at++);
        }
    }
}

static void put_time(struct line *line, bool json) {
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    char text[32];
    strftime(text, sizeof text, json ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &parts);
    put_format(line, json ? "%s.%03ldZ" : "%s.%03ld", text, now.tv_nsec / 1000000);
}

static void write_line(struct log *log, struct line *line, const char *tail) {
    size_t length = strlen(tail);
    memcpy(line->bytes + line->used, tail, length);
    line->used += length;
    pthread_mutex_lock(&log->lock);
    for (size_t done = 0; done < line->used;) {
        ssize_t n = write(log->fd, line->bytes + done, line->used - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break; /* nobody to tell */
        done += (size_t)n;
    }
    pthread_mutex_unlock(&log->lock);
}

void log_write(struct log *log, enum log_level level, const char *part, const char *format, ...) {
    if (!log_wants(log, level)) return;
    char message[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    bool json = log->format == LOG_JSONL;
    struct line line = {.used = 0};
    if (json) put(&line, "{\"time\":\"", 9);
    put_time(&line, json);
    put_format(&line, json ? "\",\"level\":\"%s\",\"part\":\"%s\",\"message\":\"" : " %-7s %s: ", level_names[level], part);
    put_text(&line, message, json);
    write_line(log, &line, json ? "\"}\n" : "\n");
}

void log_request(struct log *log, const struct log_request *request) {
    enum log_level level = request->status >= 500 ? LEVEL_WARNING : LEVEL_DEBUG;
    if (!log_wants(log, level)) return;
    bool json = log->format == LOG_JSONL;
    struct line line = {.used = 0};
    if (json) put(&line, "{\"time\":\"", 9);
    put_time(&line, json);
    put_format(&line, json ? "\",\"level\":\"%s\",\"part\":\"http\",\"method\":\"" : " %-7s http: ", level_names[level]);
    put_text(&line, request->method, json);
    put(&line, json ? "\",\"route\":\"" : " ", json ? 11 : 1);
    put_text(&line, request->route, json);
    put_format(&line, json ? "\",\"status\":%d,\"bytes\":%llu,\"seconds\":%.6f,\"client\":\"" : " %d, %llu bytes, %.3f s, ",
               request->status, (unsigned long long)request->bytes, request->seconds);
    put_text(&line, request->client, json);
    write_line(log, &line, json ? "\"}\n" : "\n");
}
