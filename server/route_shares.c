#include "server/route_shares.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "db/cache.h"
#include "server/api.h"
#include "server/json_share.h"

#define SHARE_BYTES 16 /* 128 bits */
#define SHARE_DIGITS (2 * SHARE_BYTES)

static bool share_database(const struct app *app, struct problem *problem) {
    return app->cache || problem_set(problem, 503, "there is no database here to keep shares in; the server's log says why");
}

/* What the database said: a miss is `missing`. */
static bool share_kept(enum cache_status status, int missing, const char *error, struct problem *problem) {
    if (status == CACHE_OK) return true;
    if (status == CACHE_MISS) return problem_set(problem, missing, "%s", error);
    return problem_set(problem, 503, "the database did not do it: %s", error);
}

/* Anything else cannot be a share, and is not looked for. */
static bool share_name(const char *share, struct problem *problem) {
    return (strlen(share) == SHARE_DIGITS && strspn(share, "0123456789abcdef") == SHARE_DIGITS) ||
           problem_set(problem, 404, "there is no such share; it may have been taken back");
}

static bool make_name(char share[SHARE_DIGITS + 1], struct problem *problem) {
    unsigned char random[SHARE_BYTES];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return problem_set(problem, 503, "the system has no random numbers now; ask again in a moment");
    for (size_t i = 0; i < SHARE_BYTES; i++) snprintf(share + 2 * i, 3, "%02x", random[i]);
    return true;
}

/* Waits for an analysis that is still running: only what is stored can be shared. */
static bool share_make(struct app *app, struct http_request *request, const struct share_request *wanted, char share[SHARE_DIGITS + 1],
                       struct problem *problem) {
    struct patience patience = patience_of_request(request);
    struct analysis *analysis = NULL;
    char error[512] = "";
    bool fine = share_database(app, problem) && analyses_find(app->analyses, wanted->analysis, &analysis, problem) &&
                analysis_wait(analysis, &patience, problem) && make_name(share, problem);
    if (fine) {
        enum cache_status status = cache_put_share(app->cache, share, analysis_id(analysis), wanted->view, error, sizeof error);
        fine = status == CACHE_MISS ? problem_at(problem, 422, "/analysis", "this analysis is not stored, and so cannot be shared; ask for it "
                                                 "without \"store\": false first")
                                    : share_kept(status, 422, error, problem);
    }
    analysis_release(app->analyses, analysis);
    return fine;
}

void route_shares_post(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct share_request wanted = {0};
    struct problem problem;
    struct json_text out = {0};
    char share[SHARE_DIGITS + 1], location[64];
    size_t size = 0;
    const void *body = http_body(request, &size);
    bool fine = api_query_known(request, no_query, &problem) && json_share_read(body, size, &wanted, &problem) &&
                share_make(app, request, &wanted, share, &problem);
    json_share_clear(&wanted);
    if (!fine) {
        problem_reply(request, &problem);
        return;
    }
    snprintf(location, sizeof location, "/api/v1/shares/%s", share);
    http_set_header(request, "Location", location);
    json_put(&out, "{\"share\":");
    json_put_string(&out, share);
    snprintf(location, sizeof location, "/s/%s", share);
    json_put(&out, ",\"url\":");
    json_put_string(&out, location);
    json_put(&out, "}");
    api_reply(request, 201, TYPE_JSON, &out);
}

void route_share_get(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct problem problem;
    struct json_text out = {0};
    char id[65], error[512] = "", *view = NULL;
    bool fine = api_query_known(request, no_query, &problem) && share_database(app, &problem) &&
                share_name(http_capture(request, 0), &problem) &&
                share_kept(cache_get_share(app->cache, http_capture(request, 0), id, &view, error, sizeof error), 404, error, &problem);
    if (!fine) {
        problem_reply(request, &problem);
        return;
    }
    json_put(&out, "{\"analysis\":");
    json_put_string(&out, id);
    json_put(&out, ",\"view\":");
    json_put(&out, view);
    json_put(&out, "}");
    free(view);
    api_reply(request, 200, TYPE_JSON, &out);
}

void route_share_delete(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct problem problem;
    char error[512] = "";
    bool fine = api_query_known(request, no_query, &problem) && share_database(app, &problem) &&
                share_name(http_capture(request, 0), &problem) &&
                share_kept(cache_delete_share(app->cache, http_capture(request, 0), error, sizeof error), 404, error, &problem);
    if (fine) http_reply(request, 204, NULL, NULL, 0);
    else problem_reply(request, &problem);
}
