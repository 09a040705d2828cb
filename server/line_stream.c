#include "server/line_stream.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/wait.h"

struct line_stream {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int references;
    enum line_state state;
    char *bytes;
    size_t size, room;
};

struct line_stream *line_stream_create(void) {
    struct line_stream *stream = calloc(1, sizeof *stream);
    if (!stream) return NULL;
    if (pthread_mutex_init(&stream->lock, NULL) != 0) goto no_lock;
    if (!wait_condition_init(&stream->changed)) goto no_condition;
    stream->references = 1;
    stream->state = LINES_QUEUED;
    return stream;
no_condition:
    pthread_mutex_destroy(&stream->lock);
no_lock:
    free(stream);
    return NULL;
}

struct line_stream *line_stream_of_bytes(char *bytes, size_t size) {
    struct line_stream *stream = line_stream_create();
    if (!stream) return NULL;
    stream->bytes = bytes;
    stream->size = stream->room = size;
    stream->state = LINES_DONE;
    return stream;
}

struct line_stream *line_stream_retain(struct line_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    stream->references++;
    pthread_mutex_unlock(&stream->lock);
    return stream;
}

void line_stream_release(struct line_stream *stream) {
    if (!stream) return;
    pthread_mutex_lock(&stream->lock);
    int left = --stream->references;
    pthread_mutex_unlock(&stream->lock);
    if (left > 0) return;
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    free(stream->bytes);
    free(stream);
}

static bool line_stream_ended(const struct line_stream *stream) {
    return stream->state >= LINES_DONE;
}

static bool line_stream_reserve(struct line_stream *stream, size_t more) {
    if (more <= stream->room - stream->size) return true;
    if (more > SIZE_MAX / 4 - stream->size) return false;
    size_t room = stream->size + more, doubled = stream->room * 2;
    if (room < doubled) room = doubled;
    if (room < 4096) room = 4096;
    char *bytes = realloc(stream->bytes, room);
    if (!bytes) return false;
    stream->bytes = bytes;
    stream->room = room;
    return true;
}

/* Lock held. */
static bool line_stream_add(struct line_stream *stream, const char *line, size_t size) {
    if (size == SIZE_MAX || !line_stream_reserve(stream, size + 1)) return false;
    memcpy(stream->bytes + stream->size, line, size);
    stream->bytes[stream->size + size] = '\n';
    stream->size += size + 1;
    return true;
}

bool line_stream_append(struct line_stream *stream, const char *line, size_t size) {
    pthread_mutex_lock(&stream->lock);
    bool fine = !line_stream_ended(stream) && line_stream_add(stream, line, size);
    if (fine) pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    return fine;
}

void line_stream_begin(struct line_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    if (stream->state == LINES_QUEUED) stream->state = LINES_RUNNING;
    pthread_mutex_unlock(&stream->lock);
}

bool line_stream_end(struct line_stream *stream, enum line_state state, const char *line, size_t size) {
    bool fine = false;
    pthread_mutex_lock(&stream->lock);
    if (!line_stream_ended(stream)) {
        fine = !line || line_stream_add(stream, line, size);
        stream->state = fine || state != LINES_DONE ? state : LINES_FAILED;
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    return fine;
}

enum line_state line_stream_state(struct line_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    enum line_state state = stream->state;
    pthread_mutex_unlock(&stream->lock);
    return state;
}

const char *line_state_name(enum line_state state) {
    static const char *const names[] = {"queued", "running", "done", "failed", "cancelled"};
    return names[state];
}

ssize_t line_stream_read(struct line_stream *stream, size_t *place, char *buffer, size_t size, int wait_ms) {
    struct timespec until = wait_until(wait_ms);
    pthread_mutex_lock(&stream->lock);
    while (*place >= stream->size && !line_stream_ended(stream)) {
        if (pthread_cond_timedwait(&stream->changed, &stream->lock, &until) == ETIMEDOUT) break;
    }
    ssize_t answer = 0;
    if (*place < stream->size) {
        size_t left = stream->size - *place;
        if (left > size) left = size;
        memcpy(buffer, stream->bytes + *place, left);
        *place += left;
        answer = (ssize_t)left;
    } else if (line_stream_ended(stream)) {
        answer = -1;
    }
    pthread_mutex_unlock(&stream->lock);
    return answer;
}

bool line_stream_wait_end(struct line_stream *stream, int wait_ms) {
    struct timespec until = wait_until(wait_ms);
    pthread_mutex_lock(&stream->lock);
    while (!line_stream_ended(stream)) {
        if (pthread_cond_timedwait(&stream->changed, &stream->lock, &until) == ETIMEDOUT) break;
    }
    bool ended = line_stream_ended(stream);
    pthread_mutex_unlock(&stream->lock);
    return ended;
}

const char *line_stream_bytes(struct line_stream *stream, size_t *size) {
    pthread_mutex_lock(&stream->lock);
    bool ended = line_stream_ended(stream);
    if (ended) *size = stream->size;
    pthread_mutex_unlock(&stream->lock);
    return ended ? stream->bytes : NULL;
}

char *line_stream_copy(struct line_stream *stream, size_t *size) {
    pthread_mutex_lock(&stream->lock);
    char *copy = malloc(stream->size + 1);
    if (copy) {
        if (stream->size) memcpy(copy, stream->bytes, stream->size);
        *size = stream->size;
    }
    pthread_mutex_unlock(&stream->lock);
    return copy;
}
