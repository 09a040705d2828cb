/* check_log.c: lines are whole, sound and harmless. */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/log.h"

static int pipe_ends[2];
static char text[1 << 20];

static void open_pipe(void) {
    ck_assert_int_eq(pipe(pipe_ends), 0);
    fcntl(pipe_ends[1], F_SETPIPE_SZ, 1 << 20);
}

static const char *written(void) {
    close(pipe_ends[1]);
    size_t size = 0;
    ssize_t n;
    while ((n = read(pipe_ends[0], text + size, sizeof text - 1 - size)) > 0) size += (size_t)n;
    close(pipe_ends[0]);
    text[size] = '\0';
    return text;
}

START_TEST(writes_text) {
    struct log *log = log_create(pipe_ends[1], LOG_TEXT, LEVEL_INFO);
    log_write(log, LEVEL_INFO, "http", "port %d", 7);
    log_write(log, LEVEL_DEBUG, "http", "not shown");
    log_write(log, LEVEL_ERROR, "cache", "a\nb\x1b[31m\x7f\x80 \xc3\xa4 \xc2\x9b");
    log_write(NULL, LEVEL_ERROR, "nobody", "hears");
    ck_assert(log_wants(log, LEVEL_INFO) && !log_wants(log, LEVEL_DEBUG) && !log_wants(NULL, LEVEL_ERROR));
    log_destroy(log);
    log_destroy(NULL);
    const char *line = written();
    ck_assert_ptr_nonnull(strstr(line, " info    http: port 7\n"));
    ck_assert_ptr_nonnull(strstr(line, " error   cache: a\\x0ab\\x1b[31m\\x7f\\x80 \xc3\xa4 \\xc2\\x9b\n"));
    ck_assert_ptr_null(strstr(line, "not shown"));
}
END_TEST

START_TEST(writes_json) {
    static char giant[20000];
    memset(giant, '"', sizeof giant - 1);
    struct log *log = log_create(pipe_ends[1], LOG_JSONL, LEVEL_DEBUG);
    log_write(log, LEVEL_WARNING, "models", "a \"b\" \\ \n \x01 \xff \xc3\xa4 %s", "end");
    log_write(log, LEVEL_INFO, "x", "%s", giant);
    log_request(log, &(struct log_request){.method = "GET", .route = "/s/{share}", .client = "::1", .status = 200, .bytes = 12, .seconds = 0.5});
    log_request(log, &(struct log_request){.method = "G\"T", .route = "-", .client = "", .status = 503});
    log_destroy(log);
    int lines = 0;
    for (char *line = strtok((char *)(uintptr_t)written(), "\n"); line; line = strtok(NULL, "\n")) {
        json_error_t why;
        json_t *value = json_loads(line, 0, &why);
        ck_assert_msg(value != NULL, "%s: %.200s", why.text, line);
        ck_assert_uint_le(strlen(line), 4200);
        ck_assert_ptr_nonnull(json_string_value(json_object_get(value, "time")));
        if (lines == 2) {
            ck_assert_str_eq(json_string_value(json_object_get(value, "route")), "/s/{share}");
            ck_assert_int_eq(json_integer_value(json_object_get(value, "status")), 200);
            ck_assert_str_eq(json_string_value(json_object_get(value, "level")), "debug");
        }
        if (lines == 3) ck_assert_str_eq(json_string_value(json_object_get(value, "level")), "warning");
        json_decref(value);
        lines++;
    }
    ck_assert_int_eq(lines, 4);
}
END_TEST

static void *write_many(void *context) {
    for (int i = 0; i < 500; i++) log_write(context, LEVEL_INFO, "thread", "%d %0100d end", i, i);
    return NULL;
}

START_TEST(keeps_lines_whole_between_threads) {
    struct log *log = log_create(pipe_ends[1], LOG_TEXT, LEVEL_INFO);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, write_many, log);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    log_destroy(log);
    int lines = 0;
    for (char *line = strtok((char *)(uintptr_t)written(), "\n"); line; line = strtok(NULL, "\n"), lines++) {
        ck_assert_ptr_nonnull(strstr(line, " info    thread: "));
        ck_assert_str_eq(line + strlen(line) - 4, " end");
    }
    ck_assert_int_eq(lines, 2000);
}
END_TEST

START_TEST(bears_a_closed_end) {
    struct log *log = log_create(-1, LOG_TEXT, LEVEL_INFO);
    log_write(log, LEVEL_INFO, "x", "nobody reads this");
    log_destroy(log);
    written();
}
END_TEST

static Suite *suite(void) {
    Suite *made = suite_create("log");
    TCase *all = tcase_create("all");
    suite_add_tcase(made, all);
    tcase_add_checked_fixture(all, open_pipe, NULL);
    tcase_add_test(all, writes_text);
    tcase_add_test(all, writes_json);
    tcase_add_test(all, keeps_lines_whole_between_threads);
    tcase_add_test(all, bears_a_closed_end);
    return made;
}

#include "check_main.h"
