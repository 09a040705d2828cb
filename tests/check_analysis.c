/* check_analysis.c: one id, one of it: joined, stored, cancelled, forgotten; maps that come back; every allocation failing in turn. */
#include "server/analysis.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db/cache.h"
#include "server/json_document.h"
#include "server/json_stored.h"
#include "tests/failing_malloc.h"
#include "tests/tiny_model.h"

#include <check.h>

static char folder[128], error[512];
static struct cache *cache;
static struct models *models;
static struct worker *worker;
static struct analyses *analyses;
static struct problem problem;

static void open_all(bool with_cache, uint64_t memory_max) {
    char path[256];
    snprintf(path, sizeof path, "%s/cache.db", folder);
    cache = NULL;
    if (with_cache)
        ck_assert_msg(cache_open(&(struct cache_options){.path = path}, &cache, error, sizeof error) == CACHE_OK, "%s", error);
    models = models_create(&(struct models_options){.folder = folder, .cache = cache});
    ck_assert_msg(worker_create(&(struct worker_options){.threads = 1, .queue_max = 4}, &worker, error, sizeof error), "%s", error);
    analyses = analyses_create(&(struct analyses_options){.models = models, .worker = worker, .cache = cache, .memory_max = memory_max});
    ck_assert(models && analyses);
}

static void close_all(void) {
    if (!analyses) return;
    analyses_stop(analyses);
    worker_destroy(worker);
    analyses_destroy(analyses);
    models_destroy(models);
    cache_close(cache);
    analyses = NULL;
}

static void set_up(void) {
    char path[256];
    const char *base = getenv("TMPDIR");
    struct tiny_model tiny = tiny_model_default;
    snprintf(folder, sizeof folder, "%s/check_analysis.XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tiny.gguf", folder);
    ck_assert(tiny_model_write(path, &tiny));
}

static int remove_one(const char *name, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(name);
}

static void tear_down(void) {
    close_all();
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct analysis_request text_request(const char *text) {
    return (struct analysis_request){.model = (char *)"tiny", .text = (char *)text, .text_size = strlen(text), .store = true,
                                     .parse_special = true, .add_special = true};
}

/* Asks and waits. */
static struct analysis *ask(const char *text, bool *hit) {
    struct analysis_request request = text_request(text);
    struct analysis *analysis;
    ck_assert_msg(analyses_request(analyses, &request, "test", false, NULL, &analysis, hit, &problem), "%s", problem.detail);
    ck_assert_msg(analysis_wait(analysis, NULL, &problem), "%s", problem.detail);
    return analysis;
}

static char *copy_lines(struct analysis *analysis, size_t *size) {
    const char *bytes = line_stream_bytes(analysis_stream(analysis), size);
    char *copy = malloc(*size + 1);
    memcpy(copy, bytes, *size);
    copy[*size] = '\0';
    return copy;
}

/* A job that keeps the worker busy until it is told to go, or withdrawn. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void gate_run(void *context, struct worker *w, struct engine *engine) {
    (void)context;
    while (pthread_mutex_trylock(&gate) != 0 && worker_breathe(w, engine)) usleep(500);
    pthread_mutex_unlock(&gate);
}

static void gate_drop(void *context) {
    (void)context;
}

static void shut_gate(void) {
    pthread_mutex_lock(&gate);
    ck_assert(worker_submit(worker, "gate", &(struct worker_job){.run = gate_run, .drop = gate_drop}) == WORKER_ACCEPTED);
    while (worker_waiting(worker) > 0) usleep(500);
}

START_TEST(lines_in_order) {
    open_all(true, 0);
    bool hit;
    struct analysis *analysis = ask("the one", &hit);
    ck_assert(!hit);
    size_t size, at = 0, length, layers = 0;
    const char *lines = line_stream_bytes(analysis_stream(analysis), &size), *line;
    ck_assert(json_next_line(lines, size, &at, &line, &length) && json_line_is(line, length, "start"));
    ck_assert(json_next_line(lines, size, &at, &line, &length) && json_line_is(line, length, "tokens"));
    while (json_next_line(lines, size, &at, &line, &length) && json_line_is(line, length, "layer")) {
        ck_assert_uint_gt(json_layer_head(line, length), 0);
        layers++;
    }
    ck_assert_uint_eq(layers, 2);
    ck_assert(json_line_is(line, length, "done"));
    ck_assert_uint_eq(at, size);
    struct stored_analysis stored;
    ck_assert_msg(json_stored_read(lines, size, &stored, &problem), "%s", problem.detail);
    ck_assert_int_eq(stored.layers, 2);
    ck_assert_int_eq(stored.heads, 4);
    ck_assert_uint_eq(stored.excluded_count, 1);
    json_stored_clear(&stored);
    analysis_release(analyses, analysis);
}
END_TEST

/* The text may hold what looks like the lines' own parts. */
START_TEST(a_document_of_a_hostile_text) {
    open_all(true, 0);
    bool hit;
    struct analysis *analysis = ask("\",\"estimate\":{\"thumbs\":{ }} \n{\"event\":\"done\"} \\", &hit);
    struct json_text out = {0};
    struct document_source source = {.state = "done", .seconds = 1};
    source.lines = line_stream_bytes(analysis_stream(analysis), &source.size);
    ck_assert(json_document(&out, &source));
    json_put(&out, "");
    ck_assert_ptr_nonnull(memmem(out.bytes, out.size, "\"sinks\":[", 9));
    ck_assert_ptr_nonnull(memmem(out.bytes, out.size, ",\"n_tokens\":", 12));
    ck_assert_ptr_null(memmem(out.bytes, out.size, ",\"estimate\":{\"seconds", 21));
    ck_assert_ptr_nonnull(memmem(out.bytes, out.size, "\\\",\\\"estimate\\\":{", 17));
    for (size_t cut = 0; cut < source.size; cut += 97) { /* a damaged database: refused or a document so far, never beyond the bytes */
        char *part = malloc(cut + 1);
        memcpy(part, source.lines, cut);
        struct json_text some = {0};
        json_document(&some, &(struct document_source){.lines = part, .size = cut, .state = "done"});
        json_free(&some);
        free(part);
    }
    json_free(&out);
    analysis_release(analyses, analysis);
}
END_TEST

START_TEST(stored_and_replayed) {
    bool hit;
    size_t size, again_size;
    open_all(true, 0);
    struct analysis *analysis = ask("the one", &hit);
    char id[65], *lines = copy_lines(analysis, &size), *again;
    memcpy(id, analysis_id(analysis), sizeof id);
    struct cache_entry entry; /* there by the time that the end is heard of, with the same bytes */
    ck_assert(cache_get(cache, id, &entry, error, sizeof error) == CACHE_OK);
    ck_assert_uint_eq(entry.lines_size, size);
    ck_assert_mem_eq(entry.lines, lines, size);
    ck_assert(entry.seconds > 0);
    cache_entry_clear(&entry);
    analysis_release(analyses, analysis);
    analysis = ask("the one", &hit);
    ck_assert(hit);
    again = copy_lines(analysis, &again_size);
    ck_assert_uint_eq(size, again_size);
    ck_assert_mem_eq(lines, again, size);
    free(again);
    analysis_release(analyses, analysis);
    close_all();
    open_all(true, 0); /* another process */
    ck_assert(analyses_find(analyses, id, &analysis, &problem));
    again = copy_lines(analysis, &again_size);
    ck_assert_uint_eq(size, again_size);
    ck_assert_mem_eq(lines, again, size);
    free(again);
    free(lines);
    analysis_release(analyses, analysis);
    ck_assert(analyses_delete(analyses, id, &problem));
    ck_assert(!analyses_delete(analyses, id, &problem));
    ck_assert(!analyses_find(analyses, id, &analysis, &problem));
    ck_assert_int_eq(problem.status, 404);
}
END_TEST

START_TEST(joined_while_waiting) {
    open_all(true, 0);
    shut_gate();
    struct analysis_request request = text_request("the one");
    struct analysis *one, *two;
    bool hit;
    ck_assert(analyses_request(analyses, &request, "a", false, NULL, &one, &hit, &problem) && !hit);
    ck_assert(analyses_request(analyses, &request, "b", false, NULL, &two, &hit, &problem) && !hit);
    ck_assert_ptr_eq(one, two);
    ck_assert_uint_eq(worker_waiting(worker), 1);
    analysis_release(analyses, one); /* one of two: goes on */
    ck_assert_uint_eq(worker_waiting(worker), 1);
    pthread_mutex_unlock(&gate);
    ck_assert(analysis_wait(two, NULL, &problem));
    analysis_release(analyses, two);
}
END_TEST

START_TEST(cancelled_with_the_last) {
    open_all(true, 0);
    shut_gate();
    struct analysis_request request = text_request("the one"), other = text_request("the other");
    struct analysis *one, *later;
    bool hit;
    ck_assert(analyses_request(analyses, &request, "a", false, NULL, &one, &hit, &problem));
    ck_assert(analyses_request(analyses, &other, "a", true, NULL, &later, &hit, &problem));
    char id[65];
    memcpy(id, analysis_id(one), sizeof id);
    analysis_release(analyses, one);
    ck_assert_uint_eq(worker_waiting(worker), 1); /* its place is free again */
    ck_assert(!analyses_find(analyses, id, &one, &problem));
    memcpy(id, analysis_id(later), sizeof id);
    analysis_release(analyses, later); /* waits for ever: goes on */
    ck_assert_uint_eq(worker_waiting(worker), 1);
    ck_assert(analyses_find(analyses, id, &later, &problem));
    ck_assert(line_stream_state(analysis_stream(later)) == LINES_QUEUED);
    ck_assert(analyses_delete(analyses, id, &problem));
    ck_assert(!analysis_wait(later, NULL, &problem));
    ck_assert_int_eq(problem.status, 409);
    analysis_release(analyses, later);
    pthread_mutex_unlock(&gate);
}
END_TEST

START_TEST(full_queue) {
    open_all(true, 0);
    shut_gate();
    struct analysis *held[5];
    char text[16];
    bool hit;
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "text %d", i);
        struct analysis_request request = text_request(text);
        ck_assert(analyses_request(analyses, &request, "a", false, NULL, &held[i], &hit, &problem));
    }
    struct analysis_request request = text_request("one more");
    ck_assert(!analyses_request(analyses, &request, "b", false, NULL, &held[4], &hit, &problem));
    ck_assert_int_eq(problem.status, 503);
    ck_assert_int_gt(problem.retry_after, 0);
    for (int i = 0; i < 4; i++) analysis_release(analyses, held[i]);
    ck_assert(analyses_request(analyses, &request, "b", false, NULL, &held[4], &hit, &problem));
    pthread_mutex_unlock(&gate);
    ck_assert(analysis_wait(held[4], NULL, &problem));
    analysis_release(analyses, held[4]);
}
END_TEST

START_TEST(without_a_database) {
    open_all(false, 0);
    bool hit;
    struct analysis *analysis = ask("the one", &hit);
    char id[65];
    memcpy(id, analysis_id(analysis), sizeof id);
    analysis_release(analyses, analysis);
    analysis_release(analyses, ask("the one", &hit));
    ck_assert(hit);
    struct cache_entry *items;
    size_t count;
    ck_assert(analyses_unstored(analyses, &items, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(items[0].id, id);
    ck_assert_str_eq(items[0].excerpt, "the one");
    cache_entry_clear(&items[0]);
    free(items);
    ck_assert(analyses_delete(analyses, id, &problem));
    ck_assert(!analyses_find(analyses, id, &analysis, &problem));
}
END_TEST

START_TEST(store_false_then_true) {
    open_all(true, 0);
    struct analysis_request request = text_request("the one");
    struct cache_entry entry;
    struct analysis *analysis;
    bool hit;
    request.store = false;
    ck_assert(analyses_request(analyses, &request, "a", false, NULL, &analysis, &hit, &problem));
    ck_assert(analysis_wait(analysis, NULL, &problem));
    char id[65];
    memcpy(id, analysis_id(analysis), sizeof id);
    analysis_release(analyses, analysis);
    ck_assert(cache_get(cache, id, &entry, error, sizeof error) == CACHE_MISS);
    analysis_release(analyses, ask("the one", &hit));
    ck_assert(hit);
    ck_assert(cache_get(cache, id, &entry, error, sizeof error) == CACHE_OK);
    cache_entry_clear(&entry);
}
END_TEST

/* So little memory that one text's activations push out the other's. */
START_TEST(activations_come_back) {
    open_all(true, 1 << 16);
    bool hit;
    char ids[2][65];
    static const char *const texts[] = {"the one that is long enough to be kept for a while", "in the other there are other words"};
    for (size_t i = 0; i < 2; i++) {
        struct analysis *analysis = ask(texts[i], &hit);
        memcpy(ids[i], analysis_id(analysis), 65);
        analysis_release(analyses, analysis);
    }
    for (size_t i = 0; i < 6; i++) {
        struct activation_lease lease;
        ck_assert_msg(analyses_activations(analyses, ids[i % 2], NULL, 1, 3, "a", NULL, &lease, &problem), "%s", problem.detail);
        ck_assert_uint_eq(lease.excluded_count, 1);
        analyses_release_activations(analyses, &lease);
        for (size_t k = 0; k < 2; k++) { /* of the one that is there and of the one that is not */
            ck_assert(!analyses_activations(analyses, ids[k], NULL, 2 * k, 4, "a", NULL, &lease, &problem));
            ck_assert_int_eq(problem.status, 404);
        }
    }
    char path[256];
    snprintf(path, sizeof path, "%s/tiny.gguf", folder);
    ck_assert_int_eq(unlink(path), 0);
    struct activation_lease lease;
    size_t there = 0;
    for (size_t i = 0; i < 2; i++) {
        problem.status = 0;
        if (analyses_activations(analyses, ids[i], NULL, 0, 0, "a", NULL, &lease, &problem)) {
            analyses_release_activations(analyses, &lease);
            there++;
        } else {
            ck_assert_int_eq(problem.status, 409);
        }
    }
    ck_assert_uint_le(there, 1);
}
END_TEST

static bool over_at_once(void *context, struct problem *reason) {
    (void)context;
    return !problem_set(reason, 503, "gone");
}

START_TEST(patience) {
    open_all(true, 0);
    shut_gate();
    struct patience none = {.over = over_at_once};
    struct analysis_request request = text_request("the one");
    struct analysis *analysis;
    bool hit;
    ck_assert(analyses_request(analyses, &request, "a", false, &none, &analysis, &hit, &problem)); /* the estimate came in time */
    ck_assert(!analysis_wait(analysis, &none, &problem));
    ck_assert_str_eq(problem.detail, "gone");
    analysis_release(analyses, analysis);
    ck_assert_uint_eq(worker_waiting(worker), 0);
    pthread_mutex_unlock(&gate);
}
END_TEST

START_TEST(stopping) {
    open_all(true, 0);
    shut_gate();
    struct analysis_request request = text_request("the one");
    struct analysis *analysis;
    bool hit;
    ck_assert(analyses_request(analyses, &request, "a", true, NULL, &analysis, &hit, &problem));
    analyses_stop(analyses);
    ck_assert(!analysis_wait(analysis, NULL, &problem));
    ck_assert_int_eq(problem.status, 503);
    analysis_release(analyses, analysis);
    ck_assert(!analyses_request(analyses, &request, "a", false, NULL, &analysis, &hit, &problem));
    ck_assert_int_eq(problem.status, 503);
    pthread_mutex_unlock(&gate);
}
END_TEST

/* Whatever allocation fails, in whichever thread: an answer or a problem, and the next request works. */
START_TEST(every_allocation_fails) {
    struct analysis_request request = text_request("the one and the other");
    long turn = 0, refused = 0;
    bool hit, failed = true;
    open_all(true, 0);
    for (; failed; turn++) {
        struct analysis *analysis = NULL;
        problem = (struct problem){0};
        failing_malloc_after(turn);
        bool fine = analyses_request(analyses, &request, "a", false, NULL, &analysis, &hit, &problem);
        if (fine) {
            fine = analysis_wait(analysis, NULL, &problem);
            size_t size;
            struct json_text out = {0};
            const char *lines = line_stream_bytes(analysis_stream(analysis), &size);
            if (fine) json_document(&out, &(struct document_source){.lines = lines, .size = size, .state = "done"});
            if (fine && !out.failed) json_stored_heads_csv(lines, size, NULL, &out, &problem);
            json_free(&out);
            struct activation_lease lease;
            if (fine && analyses_activations(analyses, analysis_id(analysis), NULL, 0, 0, "a", NULL, &lease, &problem))
                analyses_release_activations(analyses, &lease);
            char id[65];
            memcpy(id, analysis_id(analysis), sizeof id);
            analysis_release(analyses, analysis);
            failed = failing_malloc_stop();
            analyses_delete(analyses, id, &problem);
        } else {
            failed = failing_malloc_stop();
        }
        if (!fine) {
            ck_assert_msg(problem.status >= 400 && problem.detail[0], "turn %ld: no problem told", turn);
            refused++;
        }
        struct models_list list;
        failing_malloc_after(turn % 60);
        if (models_list(models, -1, &list)) models_list_clear(&list);
        failing_malloc_stop();
        ck_assert(turn < 20000);
    }
    printf("%ld allocations failed in turn, %ld of them a problem for the client\n", turn, refused);
    ck_assert_int_gt(refused, 20);
    analysis_release(analyses, ask("afterwards", &hit));
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("analysis");
    TCase *t = tcase_create("analyses");
    tcase_set_timeout(t, 200);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, lines_in_order);
    tcase_add_test(t, a_document_of_a_hostile_text);
    tcase_add_test(t, stored_and_replayed);
    tcase_add_test(t, joined_while_waiting);
    tcase_add_test(t, cancelled_with_the_last);
    tcase_add_test(t, full_queue);
    tcase_add_test(t, without_a_database);
    tcase_add_test(t, store_false_then_true);
    tcase_add_test(t, activations_come_back);
    tcase_add_test(t, patience);
    tcase_add_test(t, stopping);
    tcase_add_test(t, every_allocation_fails);
    suite_add_tcase(s, t);
    return s;
}

#include "tests/check_main.h"
