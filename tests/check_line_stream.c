/* check_line_stream.c: readers at their own places, ends, lines that come while somebody waits. */
#include "server/line_stream.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/wait.h"

#include <check.h>

#define LINES 2000

START_TEST(bytes_are_those_appended) {
    struct line_stream *stream = line_stream_create();
    char buffer[64];
    size_t place = 0, size;
    ck_assert(line_stream_state(stream) == LINES_QUEUED);
    ck_assert_int_eq(line_stream_read(stream, &place, buffer, sizeof buffer, 0), 0);
    ck_assert(line_stream_append(stream, "one", 3));
    ck_assert(line_stream_append(stream, "", 0));
    ck_assert_ptr_null(line_stream_bytes(stream, &size));
    line_stream_begin(stream);
    ck_assert(line_stream_state(stream) == LINES_RUNNING);
    ck_assert_int_eq(line_stream_read(stream, &place, buffer, 2, 0), 2);
    ck_assert_int_eq(line_stream_read(stream, &place, buffer + 2, sizeof buffer - 2, 0), 3);
    ck_assert_mem_eq(buffer, "one\n\n", 5);
    ck_assert(line_stream_end(stream, LINES_DONE, "end", 3));
    ck_assert_int_eq(line_stream_read(stream, &place, buffer, sizeof buffer, 1000), 4);
    ck_assert_int_eq(line_stream_read(stream, &place, buffer, sizeof buffer, 1000), -1);
    ck_assert_mem_eq(line_stream_bytes(stream, &size), "one\n\nend\n", 9);
    ck_assert_uint_eq(size, 9);
    line_stream_release(stream);
}
END_TEST

START_TEST(the_first_end_is_final) {
    struct line_stream *stream = line_stream_create();
    ck_assert(line_stream_end(stream, LINES_CANCELLED, NULL, 0));
    ck_assert(!line_stream_append(stream, "late", 4));
    ck_assert(!line_stream_end(stream, LINES_DONE, "late", 4));
    line_stream_begin(stream);
    ck_assert(line_stream_state(stream) == LINES_CANCELLED);
    ck_assert(line_stream_wait_end(stream, 0));
    line_stream_release(stream);
}
END_TEST

START_TEST(given_bytes_are_a_finished_stream) {
    char *bytes = strdup("a\nb\n"), buffer[8];
    struct line_stream *stream = line_stream_of_bytes(bytes, 4);
    size_t place = 0, size;
    ck_assert_ptr_eq(line_stream_bytes(stream, &size), bytes); /* borrowed, not copied */
    ck_assert_int_eq(line_stream_read(stream, &place, buffer, sizeof buffer, 0), 4);
    ck_assert_int_eq(line_stream_read(stream, &place, buffer, sizeof buffer, 0), -1);
    line_stream_release(stream);
}
END_TEST

START_TEST(waiting_has_a_limit) {
    struct line_stream *stream = line_stream_create();
    char buffer[8];
    size_t place = 0;
    double begin = wait_now();
    ck_assert_int_eq(line_stream_read(stream, &place, buffer, sizeof buffer, 60), 0);
    ck_assert(!line_stream_wait_end(stream, 60));
    double seconds = wait_now() - begin;
    ck_assert_msg(seconds > 0.11 && seconds < 2, "%f s", seconds);
    line_stream_release(stream);
}
END_TEST

static void *write_lines(void *argument) {
    struct line_stream *stream = argument;
    char line[32];
    line_stream_begin(stream);
    for (int i = 0; i < LINES; i++) line_stream_append(stream, line, (size_t)snprintf(line, sizeof line, "line %d", i));
    line_stream_end(stream, LINES_DONE, "done", 4);
    return NULL;
}

struct reader {
    struct line_stream *stream;
    size_t step, got;
    char bytes[LINES * 16];
};

static void *read_lines(void *argument) {
    struct reader *reader = argument;
    size_t place = 0;
    ssize_t n;
    while ((n = line_stream_read(reader->stream, &place, reader->bytes + reader->got, reader->step, 100)) >= 0) reader->got += (size_t)n;
    line_stream_release(reader->stream);
    return NULL;
}

START_TEST(all_readers_read_the_same) {
    static struct reader readers[4];
    pthread_t threads[4], writer;
    struct line_stream *stream = line_stream_create();
    for (size_t i = 0; i < 4; i++) {
        readers[i] = (struct reader){.stream = line_stream_retain(stream), .step = 1 + i * 37};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_lines, &readers[i]), 0);
    }
    ck_assert_int_eq(pthread_create(&writer, NULL, write_lines, stream), 0);
    pthread_join(writer, NULL);
    for (size_t i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    size_t size;
    const char *bytes = line_stream_bytes(stream, &size);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(readers[i].got, size);
        ck_assert_mem_eq(readers[i].bytes, bytes, size);
    }
    line_stream_release(stream);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("line_stream");
    TCase *t = tcase_create("streams");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, bytes_are_those_appended);
    tcase_add_test(t, the_first_end_is_final);
    tcase_add_test(t, given_bytes_are_a_finished_stream);
    tcase_add_test(t, waiting_has_a_limit);
    tcase_add_test(t, all_readers_read_the_same);
    suite_add_tcase(s, t);
    return s;
}

#include "tests/check_main.h"
