#include "server/route_analyses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "db/cache.h"
#include "server/api.h"
#include "server/json_document.h"

#define LIST_LIMIT 50
#define LIST_LIMIT_MAX 500

/* ---- streams ----------------------------------------------------------------------------------------------------- */

struct stream_source {
    struct analyses *analyses;
    struct analysis *analysis; /* held: a waiter as long as the client reads */
    struct line_stream *stream;
    size_t place;
};

static ssize_t stream_source_read(void *context, char *buffer, size_t size, int wait_ms) {
    struct stream_source *source = context;
    return line_stream_read(source->stream, &source->place, buffer, size, wait_ms);
}

static void stream_source_close(void *context) {
    struct stream_source *source = context;
    analysis_release(source->analyses, source->analysis);
    free(source);
}

/* Takes the caller's hold on the analysis. */
static void reply_stream(struct app *app, struct http_request *request, struct analysis *analysis) {
    struct stream_source *source = malloc(sizeof *source);
    struct problem problem;
    size_t size;
    if (!source) {
        analysis_release(app->analyses, analysis);
        problem_memory(&problem);
        problem_reply(request, &problem);
        return;
    }
    struct line_stream *stream = analysis_stream(analysis);
    *source = (struct stream_source){.analyses = app->analyses, .analysis = analysis, .stream = stream};
    bool ended = line_stream_bytes(stream, &size) != NULL;
    http_reply_source(request, 200, TYPE_NDJSON,
                      &(struct http_source){
                          .source = source,
                          .read = stream_source_read,
                          .close = stream_source_close,
                          .heartbeat = !ended,
                          .content_length = ended ? (int64_t)size : -1,
                      });
}

/* ---- documents --------------------------------------------------------------------------------------------------- */

/* As far as it has come. */
static bool write_document(struct analysis *analysis, struct json_text *out, struct problem *problem) {
    struct line_stream *stream = analysis_stream(analysis);
    struct document_source source = {.seconds = NAN};
    char *copy = NULL;
    source.state = line_state_name(line_stream_state(stream)); /* before the lines: they may be ahead of it, not behind */
    source.lines = line_stream_bytes(stream, &source.size);
    if (source.lines) {
        source.state = line_state_name(line_stream_state(stream));
        source.seconds = analysis_seconds(analysis);
    } else {
        source.lines = copy = line_stream_copy(stream, &source.size);
        if (!copy) return problem_memory(problem);
    }
    bool sound = json_document(out, &source);
    free(copy);
    if (out->failed) return problem_memory(problem);
    return sound || problem_set(problem, 500,
                                "what the database holds for this analysis cannot be read; delete it and ask again");
}

static void reply_document(struct http_request *request, struct analysis *analysis) {
    struct json_text out = {0};
    struct problem problem;
    if (write_document(analysis, &out, &problem)) {
        api_reply(request, 200, TYPE_JSON, &out);
    } else {
        json_free(&out);
        problem_reply(request, &problem);
    }
}

static void reply_accepted(struct http_request *request, const struct analysis *analysis) {
    char location[128];
    struct json_text out = {0};
    snprintf(location, sizeof location, "/api/v1/analyses/%s", analysis_id(analysis));
    json_put(&out, "{\"id\":");
    json_put_string(&out, analysis_id(analysis));
    json_put(&out, ",\"state\":");
    json_put_string(&out, line_state_name(line_stream_state(analysis_stream(analysis))));
    json_put(&out, "}");
    http_set_header(request, "Location", location);
    http_set_header(request, "Preference-Applied", "respond-async");
    api_reply(request, 202, TYPE_JSON, &out);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* Whether a header's comma-separated list names this word, parameters aside. */
static bool header_names(const struct http_request *request, const char *header, const char *word) {
    const char *at = http_header(request, header);
    size_t length = strlen(word);
    while (at && *at) {
        at += strspn(at, " \t,");
        size_t item = strcspn(at, ",; \t");
        if (item == length && strncasecmp(at, word, length) == 0) return true;
        at += strcspn(at, ",");
    }
    return false;
}

void route_analyses_post(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct analysis_request asked;
    struct analysis *analysis;
    struct problem problem;
    struct patience patience = patience_of_request(request);
    size_t size;
    bool hit, later = header_names(request, "Prefer", "respond-async");
    const void *body = http_body(request, &size);
    bool fine = api_query_known(request, no_query, &problem) && json_request_analysis(body, size, &asked, &problem);
    if (fine) {
        fine = analyses_request(app->analyses, &asked, http_client(request), later, &patience, &analysis, &hit, &problem);
        json_request_clear(&asked);
    }
    if (!fine) {
        problem_reply(request, &problem);
        return;
    }
    http_set_header(request, "Cache-Status", hit ? "headscope; hit" : "headscope; fwd=miss");
    if (later) {
        reply_accepted(request, analysis);
    } else if (header_names(request, "Accept", TYPE_NDJSON)) {
        reply_stream(app, request, analysis);
        return;
    } else if (analysis_wait(analysis, &patience, &problem)) {
        reply_document(request, analysis);
    } else {
        problem_reply(request, &problem);
    }
    analysis_release(app->analyses, analysis);
}

/* ---- by id ------------------------------------------------------------------------------------------------------- */

static struct analysis *find(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct analysis *analysis = NULL;
    struct problem problem;
    if (api_query_known(request, no_query, &problem) &&
        analyses_find(app->analyses, http_capture(request, 0), &analysis, &problem))
        return analysis;
    problem_reply(request, &problem);
    return NULL;
}

static bool is_done(const struct analysis *analysis) {
    return line_stream_state(analysis_stream(analysis)) == LINES_DONE;
}

void route_analysis_get(struct app *app, struct http_request *request) {
    struct analysis *analysis = find(app, request);
    if (!analysis) return;
    if (!is_done(analysis)) http_set_header(request, "Cache-Control", "no-store");
    if (!is_done(analysis) || !api_immutable(request, analysis_id(analysis), "%s", "")) reply_document(request, analysis);
    analysis_release(app->analyses, analysis);
}

void route_analysis_stream(struct app *app, struct http_request *request) {
    struct analysis *analysis = find(app, request);
    if (!analysis) return;
    bool done = is_done(analysis);
    http_set_header(request, "Cache-Status", done ? "headscope; hit" : "headscope; fwd=miss");
    if (!done) http_set_header(request, "Cache-Control", "no-store");
    if (done && api_immutable(request, analysis_id(analysis), "/stream")) analysis_release(app->analyses, analysis);
    else reply_stream(app, request, analysis);
}

void route_analysis_delete(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct problem problem;
    if (api_query_known(request, no_query, &problem) &&
        analyses_delete(app->analyses, http_capture(request, 0), &problem))
        http_reply(request, 204, NULL, NULL, 0);
    else
        problem_reply(request, &problem);
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static void write_item(struct json_text *out, const struct cache_entry *entry, bool first) {
    json_put(out, first ? "{\"id\":" : ",{\"id\":");
    json_put_string(out, entry->id);
    json_put(out, ",\"model\":");
    json_put_string(out, entry->model);
    json_put(out, ",\"n_tokens\":");
    json_put_unsigned(out, entry->n_tokens);
    json_put(out, ",\"excerpt\":");
    json_put_string(out, entry->excerpt);
    json_put(out, ",\"created\":");
    json_put_integer(out, entry->created);
    json_put(out, "}");
}

struct page {
    struct cache_entry *entries;
    size_t count;
    char next[96];
};

/* From the database, else what there is in memory (all of it: a few dozen at most). */
static bool list_page(struct app *app, size_t limit, const char *cursor, struct page *page, struct problem *problem) {
    char error[512] = "";
    *page = (struct page){0};
    if (app->cache) {
        enum cache_status status = cache_list(app->cache, limit, cursor, &page->entries, &page->count, page->next, error,
                                              sizeof error);
        if (status == CACHE_OK) return true;
        if (status == CACHE_MISS) return problem_set(problem, 400,
                                                     "there is no such cursor; take next_cursor of the page before");
        log_write(app->log, LEVEL_WARNING, "cache", "the list could not be read: %s", error);
    }
    return analyses_unstored(app->analyses, &page->entries, &page->count) || problem_memory(problem);
}

void route_analyses_list(struct app *app, struct http_request *request) {
    static const char *const known[] = {"limit", "cursor", NULL};
    struct problem problem;
    struct page page;
    size_t limit = LIST_LIMIT;
    const char *text = http_query(request, "limit");
    bool fine = api_query_known(request, known, &problem);
    if (fine && text && (!api_number(text, &limit) || limit < 1 || limit > LIST_LIMIT_MAX))
        fine = problem_set(&problem, 400, "limit must be a number from 1 to %d, not '%.24s'", LIST_LIMIT_MAX, text);
    if (!fine || !list_page(app, limit, http_query(request, "cursor"), &page, &problem)) {
        problem_reply(request, &problem);
        return;
    }
    struct json_text out = {0};
    json_put(&out, "{\"items\":[");
    for (size_t i = 0; i < page.count; i++) {
        write_item(&out, &page.entries[i], i == 0);
        cache_entry_clear(&page.entries[i]);
    }
    free(page.entries);
    json_put(&out, "],\"next_cursor\":");
    if (page.next[0]) json_put_string(&out, page.next);
    else json_put(&out, "null");
    json_put(&out, "}");
    http_set_header(request, "Cache-Control", "no-store");
    api_reply(request, 200, TYPE_JSON, &out);
}
