#include "server/route_heads.h"

#include "server/api.h"
#include "server/json_stored.h"

typedef bool heads_writer(const char *lines, size_t size, struct json_text *out, struct problem *problem);

/* Waits for an analysis that is still running. */
static void heads_reply(struct app *app, struct http_request *request, heads_writer *write, const char *kind, const char *type) {
    static const char *const no_query[] = {NULL};
    struct problem problem;
    struct patience patience = patience_of_request(request);
    struct analysis *analysis = NULL;
    struct json_text out = {0};
    size_t size = 0;
    bool fine = api_query_known(request, no_query, &problem) &&
                analyses_find(app->analyses, http_capture(request, 0), &analysis, &problem) &&
                analysis_wait(analysis, &patience, &problem);
    bool answered = fine && api_immutable(request, analysis_id(analysis), "/heads.%s", kind);
    if (fine && !answered) {
        const char *lines = line_stream_bytes(analysis_stream(analysis), &size);
        fine = write(lines, size, &out, &problem);
    }
    analysis_release(app->analyses, analysis);
    if (answered) return;
    if (fine) {
        api_reply(request, 200, type, &out);
    } else {
        json_free(&out);
        problem_reply(request, &problem);
    }
}

void route_heads_csv(struct app *app, struct http_request *request) {
    heads_reply(app, request, json_stored_heads_csv, "csv", TYPE_CSV);
}

void route_heads_json(struct app *app, struct http_request *request) {
    heads_reply(app, request, json_stored_heads_json, "json", TYPE_JSON);
}
