#include "server/route_series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/npy.h"

enum { SERIES_ENTROPY, SERIES_MAX_WEIGHT, SERIES_SINK_MASS, SERIES_RECEIVED, SERIES_COUNT };

struct series {
    struct activation_lease lease;
    size_t layer, head, queries, keys;
    double *values; /* entropy, max_weight, sink_mass [queries] each, received [keys] */
    enum engine_status status;
    char error[256];
};

static void series_read(void *context, struct engine *engine) {
    struct series *series = context;
    struct head_series into = {
        .entropy = series->values + SERIES_ENTROPY * series->queries,
        .max_weight = series->values + SERIES_MAX_WEIGHT * series->queries,
        .sink_mass = series->values + SERIES_SINK_MASS * series->queries,
        .received = series->values + SERIES_RECEIVED * series->queries,
    };
    struct head_address at = {series->lease.section, (int)series->layer, (int)series->head};
    series->status = attention_series(engine, series->lease.activations, at,
                                      series->lease.excluded, series->lease.excluded_count, &into, series->error,
                                      sizeof series->error);
}

/* False: the answer has been given, be it a problem or 304. The caller frees the values. */
static bool series_of_request(struct app *app, struct http_request *request, const char *end, struct series *series) {
    static const char *const known[] = {"section", NULL};
    struct problem problem;
    struct patience patience = patience_of_request(request);
    *series = (struct series){0};
    if (!api_query_known(request, known, &problem)) {
        problem_reply(request, &problem);
        return false;
    }
    const char *id = http_capture(request, 0), *section = http_query(request, "section");
    struct api_tag tag = api_tag(id, "/series/%s/%s.%s%s", http_capture(request, 1), http_capture(request, 2), end,
                                 section ? section : "");
    if (api_holds(app, request, id, &tag)) return false;
    if (!api_head(app, request, &series->lease, &series->layer, &series->head)) return false;
    activations_shape(series->lease.activations, series->lease.section, &series->queries, &series->keys);
    bool answered = api_immutable_tag(request, &tag);
    bool fine = false;
    if (!answered) {
        series->values = malloc((SERIES_RECEIVED * series->queries + series->keys) * sizeof *series->values);
        fine = series->values ? worker_ask(app->worker, series_read, series, &patience, &problem) : problem_memory(&problem);
        if (fine && series->status != ENGINE_OK) fine = problem_engine(&problem, series->status, series->error);
    }
    analyses_release_activations(app->analyses, &series->lease);
    if (fine) return true;
    free(series->values);
    if (!answered) problem_reply(request, &problem);
    return false;
}

static void put_series(struct json_text *out, const struct series *series, const char *name, int which) {
    const double *values = series->values + (size_t)which * series->queries;
    size_t n = which == SERIES_RECEIVED ? series->keys : series->queries;
    json_put(out, name);
    for (size_t i = 0; i < n; i++) {
        if (i) json_put(out, ",");
        json_put_real(out, values[i]);
    }
    json_put(out, "]");
}

void route_series_json(struct app *app, struct http_request *request) {
    struct series series;
    struct json_text out = {0};
    if (!series_of_request(app, request, "json", &series)) return;
    json_put(&out, "{\"layer\":");
    json_put_unsigned(&out, series.layer);
    json_put(&out, ",\"head\":");
    json_put_unsigned(&out, series.head);
    put_series(&out, &series, ",\"entropy\":[", SERIES_ENTROPY);
    put_series(&out, &series, ",\"max_weight\":[", SERIES_MAX_WEIGHT);
    put_series(&out, &series, ",\"sink_mass\":[", SERIES_SINK_MASS);
    put_series(&out, &series, ",\"received\":[", SERIES_RECEIVED);
    json_put(&out, "}");
    free(series.values);
    api_reply(request, 200, TYPE_JSON, &out);
}

/* [4, N]: entropy, max_weight, sink_mass of each query, then received of each key; the shorter of cross-attention end in NaN. */
void route_series_npy(struct app *app, struct http_request *request) {
    struct series series;
    struct problem problem;
    if (!series_of_request(app, request, "npy", &series)) return;
    size_t n = series.queries > series.keys ? series.queries : series.keys, count = SERIES_COUNT * n, shape[2] = {SERIES_COUNT, n};
    char *bytes = malloc(NPY_HEADER_SIZE + count * sizeof(float));
    if (bytes) {
        npy_header(bytes, shape, 2);
        for (size_t i = 0; i < count; i++) {
            size_t which = i / n, have = which == SERIES_RECEIVED ? series.keys : series.queries;
            float value = i % n < have ? (float)series.values[which * series.queries + i % n] : NAN;
            memcpy(bytes + NPY_HEADER_SIZE + i * sizeof value, &value, sizeof value);
        }
        http_reply(request, 200, TYPE_BYTES, bytes, NPY_HEADER_SIZE + count * sizeof(float));
    } else {
        problem_memory(&problem);
        problem_reply(request, &problem);
    }
    free(series.values);
}
