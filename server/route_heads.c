#include "server/route_heads.h"

#include <string.h>

#include "server/api.h"
#include "server/json_stored.h"

typedef bool heads_writer(const char *lines, size_t size, const char *section, struct json_text *out, struct problem *problem);

/* Waits for an analysis that is still running. */
static void heads_reply(struct app *app, struct http_request *request, heads_writer *write, const char *kind, const char *type) {
    static const char *const known[] = {"section", NULL};
    struct problem problem;
    struct patience patience = patience_of_request(request);
    struct analysis *analysis = NULL;
    struct json_text out = {0};
    size_t size = 0;
    bool fine = api_query_known(request, known, &problem) &&
                analyses_find(app->analyses, http_capture(request, 0), &analysis, &problem) &&
                analysis_wait(analysis, &patience, &problem);
    const char *section = http_query(request, "section"), *lines = NULL;
    if (fine) {
        struct stored_analysis stored;
        lines = line_stream_bytes(analysis_stream(analysis), &size);
        fine = json_stored_read(lines, size, &stored, &problem);
        if (fine && section && stored.encoder_layers == 0)
            fine = problem_set(&problem, 422, "the model has one section, not an encoder and a decoder; leave section=%.24s out", section);
        if (fine && section && strcmp(section, "encoder") != 0 && strcmp(section, "decoder") != 0 && strcmp(section, "cross") != 0)
            fine = problem_set(&problem, 400, "section must be encoder, decoder or cross, not '%.24s'", section);
        if (fine) json_stored_clear(&stored);
    }
    if (!section) section = "decoder";
    bool answered = fine && api_immutable(request, analysis_id(analysis), "/heads.%s?%s", kind, section);
    if (fine && !answered) {
        fine = write(lines, size, section, &out, &problem);
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
