#include "server/route_between.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/prober.h"

#define STEP_WEIGHTS ((size_t)1 << 20) /* a few milliseconds on one thread */
#define BETWEEN_WEIGHTS ((size_t)1 << 22) /* the same where weights are only summed */
enum { ROW_WEIGHTS = 64 };             /* what a row costs beside its weights */

/* ---- between ----------------------------------------------------------------------------------------------------- */

struct between {
    struct activation_lease lease;
    struct rectangle rectangle;
    size_t heads, layer_heads;
    bool by_lift;
    struct offset_profile profile;
    float *profile_weights;    /* NULL: the model's natural probe is not done */
    size_t queries, keys;
    struct between_sums *sums; /* [heads] */
    size_t head, query;        /* the next */
    enum engine_status status;
    char error[256];
};

/* Rows of a few heads, side by side, for a few milliseconds. */
static bool between_step(void *context, struct engine *engine) {
    struct between *b = context;
    struct rectangle rows = b->rectangle;
    size_t threads = (size_t)engine_threads(engine), width = rows.key1 - rows.key0 + ROW_WEIGHTS;
    size_t of_head = (rows.query1 - rows.query0) * width + b->queries + b->keys;
    size_t heads = BETWEEN_WEIGHTS / of_head + threads;
    if (heads > b->heads - b->head) heads = b->heads - b->head;
    rows.query0 = b->query;
    size_t most = BETWEEN_WEIGHTS / width + 1;
    if (rows.query1 - rows.query0 > most) rows.query1 = rows.query0 + most;
    b->status = attention_between_heads(engine, b->lease.activations, b->lease.section, b->head, heads, &rows, b->lease.excluded,
                                        b->lease.excluded_count, b->profile_weights ? &b->profile : NULL, b->sums + b->head, b->error,
                                        sizeof b->error);
    if (b->status != ENGINE_OK) return false;
    b->query = rows.query1;
    if (b->query == b->rectangle.query1) b->query = b->rectangle.query0, b->head += heads;
    return b->head < b->heads;
}

struct between_item {
    size_t head, rows;
    double weight, uniform, expected, lift, rank;
};

/* Largest rank first, then by head; what has none comes last. */
static int by_rank(const void *x, const void *y) {
    const struct between_item *a = x, *b = y;
    if (isnan(a->rank) != isnan(b->rank)) return isnan(a->rank) ? 1 : -1;
    if (!isnan(a->rank) && a->rank != b->rank) return a->rank > b->rank ? -1 : 1;
    return (a->head > b->head) - (a->head < b->head);
}

/* Whether a key of the cut is not excluded: else there is nothing to expect. */
static bool has_kept_key(const struct between *b) {
    size_t excluded = 0;
    for (size_t s = 0; s < b->lease.excluded_count; s++)
        excluded += b->lease.excluded[s] >= b->rectangle.key0 && b->lease.excluded[s] < b->rectangle.key1;
    return excluded < b->rectangle.key1 - b->rectangle.key0;
}

static void rank_items(const struct between *b, struct between_item *items) {
    double queries = (double)(b->rectangle.query1 - b->rectangle.query0);
    for (size_t h = 0; h < b->heads; h++) {
        const struct between_sums *s = &b->sums[h];
        struct between_item *item = &items[h];
        *item = (struct between_item){.head = h, .rows = s->rows, .expected = NAN, .lift = NAN};
        item->weight = s->rows ? s->weight / queries : NAN;
        item->uniform = s->rows ? s->uniform / queries : NAN;
        if (b->profile_weights && s->rows && has_kept_key(b)) {
            item->expected = s->expected / queries;
            item->lift = (s->kept - s->expected) / queries;
        }
        item->rank = !b->by_lift ? item->weight : b->profile_weights ? item->lift : item->weight - item->uniform;
    }
    qsort(items, b->heads, sizeof *items, by_rank);
}

static void put_range(struct json_text *out, const char *before, size_t from, size_t to) {
    api_put_unsigned(out, before, from);
    api_put_unsigned(out, ",", to);
}

static void put_between(struct json_text *out, const struct between *b, const struct between_item *items) {
    put_range(out, "{\"queries\":[", b->rectangle.query0, b->rectangle.query1);
    put_range(out, "],\"keys\":[", b->rectangle.key0, b->rectangle.key1);
    json_put(out, b->by_lift ? "],\"by\":\"lift\"" : "],\"by\":\"weight\"");
    json_put(out, b->profile_weights ? ",\"offset_profile\":\"natural\",\"items\":[" : ",\"offset_profile\":null,\"items\":[");
    for (size_t i = 0; i < b->heads; i++) {
        api_put_unsigned(out, i ? ",{\"layer\":" : "{\"layer\":", items[i].head / b->layer_heads);
        api_put_unsigned(out, ",\"head\":", items[i].head % b->layer_heads);
        api_put_real(out, ",\"weight\":", items[i].weight);
        api_put_real(out, ",\"uniform\":", items[i].uniform);
        api_put_real(out, ",\"expected\":", items[i].expected);
        api_put_real(out, ",\"lift\":", items[i].lift);
        api_put_unsigned(out, ",\"rows\":", items[i].rows);
        json_put(out, "}");
    }
    json_put(out, "]}");
}

static bool between_parameters(const struct http_request *request, struct between *b, struct problem *problem) {
    const char *by = http_query(request, "by");
    struct rectangle *r = &b->rectangle;
    activations_shape(b->lease.activations, b->lease.section, &b->queries, &b->keys);
    b->by_lift = by && !strcmp(by, "lift");
    if (by && !b->by_lift && strcmp(by, "weight") != 0)
        return problem_set(problem, 400, "by must be weight or lift, not '%.24s'", by);
    return api_cut(http_query(request, "queries"), "queries", b->queries, &r->query0, &r->query1, problem) &&
           api_cut(http_query(request, "keys"), "keys", b->keys, &r->key0, &r->key1, problem);
}

/* What the natural probe has found, if it is done. */
static bool between_profile(struct app *app, struct between *b, struct problem *problem) {
    struct probe_view views[PROBES];
    const struct model *model = activations_model(b->lease.activations);
    if (!prober_look(app->prober, model, b->lease.model_digest, views, problem)) return false;
    if (!views[PROBE_NATURAL].values) return true;
    b->profile_weights = atlas_profile(model, views[PROBE_NATURAL].values, &b->profile);
    return b->profile_weights || problem_memory(problem);
}

static bool between_answer(struct app *app, struct http_request *request, struct between *b, struct json_text *out,
                           struct problem *problem) {
    struct patience patience = patience_of_request(request);
    if (!between_parameters(request, b, problem) || !between_profile(app, b, problem)) return false;
    b->heads = api_heads(&b->lease, &b->layer_heads);
    b->query = b->rectangle.query0;
    b->sums = calloc(b->heads, sizeof *b->sums);
    struct between_item *items = malloc(b->heads * sizeof *items);
    bool fine = b->sums && items ? worker_ask_steps(app->worker, between_step, b, &patience, problem) : problem_memory(problem);
    if (fine && b->status != ENGINE_OK) fine = problem_engine(problem, b->status, b->error);
    if (fine) {
        rank_items(b, items);
        put_between(out, b, items);
    }
    free(b->sums);
    free(items);
    return fine;
}

void route_between(struct app *app, struct http_request *request) {
    static const char *const known[] = {"queries", "keys", "by", "section", NULL};
    struct problem problem;
    struct between between = {0};
    struct json_text out = {0};
    if (!api_query_known(request, known, &problem)) {
        problem_reply(request, &problem);
        return;
    }
    if (!api_activations(app, request, http_capture(request, 0), &between.lease)) return;
    bool fine = between_answer(app, request, &between, &out, &problem);
    free(between.profile_weights);
    analyses_release_activations(app->analyses, &between.lease);
    if (fine) api_reply(request, 200, TYPE_JSON, &out);
    else problem_reply(request, &problem);
}

/* ---- dilution ---------------------------------------------------------------------------------------------------- */

enum { BINS = 40, BIN_ALL = 256, RUNS = 16, RUN = 16, BLOCK = 24 };

struct bin {
    size_t from, to, rows;
};

struct dilution {
    struct activation_lease lease;
    size_t heads, layer_heads, bins;
    struct bin bin[BINS];
    struct dilution_sums *sums; /* [heads, bins] */
    size_t next;                /* head * bins + bin */
    enum engine_status status;
    char error[256];
};

/* Bins that grow by a constant factor, of one query at least. */
static void make_bins(struct dilution *d, size_t first, size_t n) {
    for (size_t edge = 1, from = first; edge <= BINS && from < n; edge++) {
        size_t to = edge == BINS ? n : (size_t)lround(pow((double)n, (double)edge / BINS));
        if (to <= from) continue;
        if (to > n) to = n;
        d->bin[d->bins++] = (struct bin){from, to, to - from > BIN_ALL ? RUNS * RUN : to - from};
        from = to;
    }
}

static bool add_rows(struct dilution *d, struct engine *engine, size_t query, size_t rows) {
    size_t head = d->next / d->bins;
    struct head_address at = {d->lease.section, (int)(head / d->layer_heads),
                              (int)(head % d->layer_heads)};
    for (size_t done = 0, block; done < rows; done += block) {
        block = rows - done < BLOCK ? rows - done : BLOCK;
        d->status = attention_dilution(engine, d->lease.activations, at, query + done, block, d->lease.excluded, d->lease.excluded_count,
                                       &d->sums[d->next], d->error, sizeof d->error);
        if (d->status != ENGINE_OK) return false;
    }
    return true;
}

static bool dilution_step(void *context, struct engine *engine) {
    struct dilution *d = context;
    for (size_t work = 0; work < STEP_WEIGHTS && d->next < d->heads * d->bins; d->next++) {
        const struct bin *bin = &d->bin[d->next % d->bins];
        size_t length = bin->to - bin->from;
        if (length <= BIN_ALL) {
            if (!add_rows(d, engine, bin->from, length)) return false;
        } else {
            for (size_t run = 0; run < RUNS; run++)
                if (!add_rows(d, engine, bin->from + run * (length - RUN) / (RUNS - 1), RUN)) return false;
        }
        work += bin->rows * bin->to;
    }
    return d->next < d->heads * d->bins;
}

static void put_means(struct json_text *out, const struct dilution *d, const char *before, size_t head, size_t field) {
    json_put(out, before);
    for (size_t b = 0; b < d->bins; b++) {
        const struct dilution_sums *sums = &d->sums[head * d->bins + b];
        const double values[] = {sums->entropy, sums->sink_mass, sums->local_mass};
        api_put_real(out, b ? "," : "", values[field] / (double)d->bin[b].rows);
    }
}

static void put_dilution(struct json_text *out, const struct dilution *d) {
    json_put(out, "{\"bins\":[");
    for (size_t b = 0; b < d->bins; b++) {
        api_put_unsigned(out, b ? ",{\"from\":" : "{\"from\":", d->bin[b].from);
        api_put_unsigned(out, ",\"to\":", d->bin[b].to);
        api_put_unsigned(out, ",\"rows\":", d->bin[b].rows);
        json_put(out, "}");
    }
    json_put(out, "],\"items\":[");
    for (size_t h = 0; h < d->heads; h++) {
        api_put_unsigned(out, h ? ",{\"layer\":" : "{\"layer\":", h / d->layer_heads);
        api_put_unsigned(out, ",\"head\":", h % d->layer_heads);
        put_means(out, d, ",\"entropy\":[", h, 0);
        put_means(out, d, "],\"sink_mass\":[", h, 1);
        put_means(out, d, "],\"local_mass\":[", h, 2);
        json_put(out, "]}");
    }
    json_put(out, "]}");
}

static bool dilution_answer(struct app *app, struct http_request *request, struct dilution *d, struct json_text *out,
                            struct problem *problem) {
    struct patience patience = patience_of_request(request);
    const struct model *model = activations_model(d->lease.activations);
    size_t queries = 0, keys = 0;
    activations_shape(d->lease.activations, d->lease.section, &queries, &keys);
    make_bins(d, model_describe(model)->causal && queries > 1, queries);
    d->heads = api_heads(&d->lease, &d->layer_heads);
    d->sums = calloc(d->heads * d->bins, sizeof *d->sums);
    bool fine = d->sums ? worker_ask_steps(app->worker, dilution_step, d, &patience, problem) : problem_memory(problem);
    if (fine && d->status != ENGINE_OK) fine = problem_engine(problem, d->status, d->error);
    if (fine) put_dilution(out, d);
    free(d->sums);
    return fine;
}

void route_dilution(struct app *app, struct http_request *request) {
    static const char *const known[] = {"section", NULL};
    struct problem problem;
    struct dilution dilution = {0};
    struct json_text out = {0};
    if (!api_query_known(request, known, &problem)) {
        problem_reply(request, &problem);
        return;
    }
    if (!api_activations(app, request, http_capture(request, 0), &dilution.lease)) return;
    bool answered = api_immutable(request, http_capture(request, 0), "/dilution?%d", (int)dilution.lease.section);
    bool fine = !answered && dilution_answer(app, request, &dilution, &out, &problem);
    analyses_release_activations(app->analyses, &dilution.lease);
    if (answered) return;
    if (fine) api_reply(request, 200, TYPE_JSON, &out);
    else problem_reply(request, &problem);
}
