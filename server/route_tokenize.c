#include "server/route_tokenize.h"

#include "server/api.h"
#include "server/json_lines.h"
#include "server/prepare.h"

static bool tokenize(struct app *app, struct http_request *request, struct json_text *out, struct problem *problem) {
    static const char *const no_query[] = {NULL};
    struct analysis_request asked;
    struct prepared prepared;
    size_t size;
    const void *body = http_body(request, &size);
    if (!api_query_known(request, no_query, problem) || !json_request_tokenize(body, size, &asked, problem)) return false;
    bool fine = prepare_tokens(app->models, &asked, &prepared, problem);
    if (fine) {
        json_tokenized(out, &prepared, &asked);
        prepare_clear(&prepared);
    }
    json_request_clear(&asked);
    return fine;
}

void route_tokenize(struct app *app, struct http_request *request) {
    struct json_text out = {0};
    struct problem problem;
    if (tokenize(app, request, &out, &problem)) api_reply(request, 200, TYPE_JSON, &out);
    else problem_reply(request, &problem);
}
