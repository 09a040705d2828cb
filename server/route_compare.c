#include "server/route_compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/json_stored.h"
#include "server/map_walk.h"

#define STEP_WEIGHTS ((size_t)1 << 20) /* a few milliseconds */
#define TILE_SIDE ((size_t)256)

enum { CHANGE_ROWS = 1024, RUN = 16, BLOCK = 48 };

/* ---- the two of them --------------------------------------------------------------------------------------------- */

struct comparing {
    const char *id[2];
    struct activation_lease lease[2]; /* a, b */
    struct token_pair *pairs;
    size_t count;
    enum engine_status status;
    char error[256];
};

static void comparing_finish(struct app *app, struct comparing *c) {
    for (size_t i = 0; i < 2; i++) analyses_release_activations(app->analyses, &c->lease[i]);
    free(c->pairs);
}

static void align(void *context, struct engine *engine) {
    struct comparing *c = context;
    size_t a_n = 0, b_n = 0;
    (void)engine;
    const int32_t *a = activations_ids(c->lease[0].activations, &a_n), *b = activations_ids(c->lease[1].activations, &b_n);
    c->status = tokens_align(a, a_n, b, b_n, &c->pairs, &c->count, c->error, sizeof c->error);
}

/* The digest of the model that the analysis was run with. */
static bool model_of(struct app *app, const char *id, char digest[65], struct problem *problem) {
    struct analysis *analysis;
    struct stored_analysis stored;
    size_t size = 0;
    if (!analyses_find(app->analyses, id, &analysis, problem)) return false;
    const char *lines = line_stream_bytes(analysis_stream(analysis), &size);
    bool fine = json_stored_read(lines, size, &stored, problem);
    if (fine) {
        memcpy(digest, stored.digest, 65);
        json_stored_clear(&stored);
    }
    analysis_release(app->analyses, analysis);
    return fine;
}

static bool comparing_names(const struct http_request *request, struct comparing *c, struct problem *problem) {
    c->id[0] = http_query(request, "a");
    c->id[1] = http_query(request, "b");
    return (c->id[0] && c->id[1]) || problem_set(problem, 400, "a comparison needs two analyses: ?a=ID&b=ID");
}

/* False: the answer has been given, and nothing is held. */
static bool comparing_begin(struct app *app, struct http_request *request, const char *const *known, struct comparing *c) {
    struct problem problem;
    struct patience patience = patience_of_request(request);
    char model[2][65];
    *c = (struct comparing){0};
    bool fine = api_query_known(request, known, &problem) && comparing_names(request, c, &problem) &&
                model_of(app, c->id[0], model[0], &problem) && model_of(app, c->id[1], model[1], &problem);
    if (fine && strcmp(model[0], model[1]) != 0)
        fine = problem_set(&problem, 422, "a and b were run with two models; heads can be compared within one: run one of the texts again");
    if (!fine) {
        problem_reply(request, &problem);
        return false;
    }
    if (!api_activations(app, request, c->id[0], &c->lease[0])) return false;
    if (!api_activations(app, request, c->id[1], &c->lease[1])) {
        comparing_finish(app, c);
        return false;
    }
    fine = api_one_section(&c->lease[0], "comparing two texts", &problem) && worker_ask(app->worker, align, c, &patience, &problem);
    if (fine && c->status != ENGINE_OK) fine = problem_engine(&problem, c->status, c->error);
    if (fine && c->count == 0) fine = problem_set(&problem, 422, "a and b have no token in common: there is nothing to compare");
    if (fine) return true;
    comparing_finish(app, c);
    problem_reply(request, &problem);
    return false;
}

/* ---- all heads --------------------------------------------------------------------------------------------------- */

struct changes {
    struct comparing *comparing;
    size_t heads, layer_heads;
    size_t first, rows;  /* pairs of rows: from first on; how many are taken */
    size_t block, blocks; /* rows of one piece; pieces, evenly spaced */
    double *change;      /* [heads] */
    size_t next;         /* head * blocks + piece */
    enum engine_status status;
    char error[256];
};

/* Row 0 of a causal map is 1 by construction, and says nothing. */
static void choose_rows(struct changes *c) {
    const struct comparing *both = c->comparing;
    bool causal = model_describe(activations_model(both->lease[0].activations))->causal;
    c->first = causal && (both->pairs[0].a == 0 || both->pairs[0].b == 0);
    size_t all = both->count - c->first;
    c->rows = all < CHANGE_ROWS ? all : CHANGE_ROWS;
    c->block = all <= CHANGE_ROWS ? BLOCK : RUN;
    c->blocks = (c->rows + c->block - 1) / c->block;
}

static bool changes_step(void *context, struct engine *engine) {
    struct changes *c = context;
    const struct comparing *both = c->comparing;
    struct text_side side[2];
    size_t all = both->count - c->first;
    for (size_t i = 0; i < 2; i++)
        side[i] = (struct text_side){both->lease[i].activations, both->lease[i].excluded, both->lease[i].excluded_count};
    for (size_t work = 0; work < STEP_WEIGHTS && c->next < c->heads * c->blocks; c->next++) {
        size_t head = c->next / c->blocks, piece = c->next % c->blocks;
        size_t from = c->rows == all ? piece * c->block : piece * (all - c->block) / (c->blocks - 1);
        size_t end = from + c->block < all ? from + c->block : all;
        struct head_address at = {model_section(activations_model(side[0].activations)), (int)(head / c->layer_heads),
                                  (int)(head % c->layer_heads)};
        c->status = attention_change(engine, &side[0], &side[1], at, both->pairs, both->count, c->first + from, c->first + end,
                                     &c->change[head], c->error, sizeof c->error);
        if (c->status != ENGINE_OK) return false;
        work += (end - from) * 2 * both->count;
    }
    return c->next < c->heads * c->blocks;
}

struct changed {
    size_t head;
    double change;
};

static int by_change(const void *x, const void *y) {
    const struct changed *a = x, *b = y;
    if (a->change != b->change) return a->change > b->change ? -1 : 1;
    return (a->head > b->head) - (a->head < b->head);
}

static void put_changes(struct json_text *out, const struct changes *c, struct changed *items) {
    const struct comparing *both = c->comparing;
    for (size_t i = 0; i < 2; i++) {
        json_put(out, i ? ",\"b\":" : "{\"a\":");
        json_put_string(out, both->id[i]);
    }
    json_put(out, ",\"aligned\":[");
    for (size_t k = 0; k < both->count; k++) {
        api_put_unsigned(out, k ? ",[" : "[", both->pairs[k].a);
        api_put_unsigned(out, ",", both->pairs[k].b);
        json_put(out, "]");
    }
    api_put_unsigned(out, "],\"rows\":", c->rows);
    json_put(out, ",\"items\":[");
    for (size_t h = 0; h < c->heads; h++) items[h] = (struct changed){h, c->rows ? c->change[h] / (double)c->rows : 0};
    qsort(items, c->heads, sizeof *items, by_change);
    for (size_t h = 0; h < c->heads; h++) {
        api_put_unsigned(out, h ? ",{\"layer\":" : "{\"layer\":", items[h].head / c->layer_heads);
        api_put_unsigned(out, ",\"head\":", items[h].head % c->layer_heads);
        api_put_real(out, ",\"change\":", c->rows ? items[h].change : NAN);
        json_put(out, "}");
    }
    json_put(out, "]}");
}

static bool compare_answer(struct app *app, struct http_request *request, struct comparing *comparing, struct json_text *out,
                           struct problem *problem) {
    struct patience patience = patience_of_request(request);
    struct changes c = {.comparing = comparing};
    c.heads = api_heads(&comparing->lease[0], &c.layer_heads);
    choose_rows(&c);
    c.change = calloc(c.heads, sizeof *c.change);
    struct changed *items = malloc(c.heads * sizeof *items);
    bool fine = c.change && items ? worker_ask_steps(app->worker, changes_step, &c, &patience, problem) : problem_memory(problem);
    if (fine && c.status != ENGINE_OK) fine = problem_engine(problem, c.status, c.error);
    if (fine) put_changes(out, &c, items);
    free(c.change);
    free(items);
    return fine;
}

void route_compare(struct app *app, struct http_request *request) {
    static const char *const known[] = {"a", "b", NULL};
    struct problem problem;
    struct comparing comparing;
    struct json_text out = {0};
    if (!comparing_begin(app, request, known, &comparing)) return;
    bool answered = api_immutable(request, comparing.id[0], "/compare/%.64s", comparing.id[1]);
    bool fine = !answered && compare_answer(app, request, &comparing, &out, &problem);
    comparing_finish(app, &comparing);
    if (answered) return;
    if (fine) api_reply(request, 200, TYPE_JSON, &out);
    else problem_reply(request, &problem);
}

/* ---- one head ---------------------------------------------------------------------------------------------------- */

/* Captures 0 and 1. */
static bool head_of_request(const struct http_request *request, const struct comparing *c, size_t *layer, size_t *head,
                            struct problem *problem) {
    const struct model_info *info = model_describe(activations_model(c->lease[0].activations));
    if (!api_index(http_capture(request, 0), "layer", layer, problem) || !api_index(http_capture(request, 1), "head", head, problem))
        return false;
    return (*layer < (size_t)info->layers && *head < (size_t)info->heads) ||
           problem_set(problem, 404, "head %zu.%zu is not there; the model has %d layers of %d heads, counted from 0", *layer, *head,
                       info->layers, info->heads);
}

void route_compare_npy(struct app *app, struct http_request *request) {
    static const char *const known[] = {"a", "b", "queries", "keys", NULL};
    struct problem problem;
    struct comparing c;
    if (!comparing_begin(app, request, known, &c)) return;
    struct map_walk *walk = calloc(1, sizeof *walk);
    bool fine = walk || problem_memory(&problem), answered = false;
    if (fine) {
        struct rectangle *r = &walk->rectangle;
        fine = head_of_request(request, &c, &walk->layer, &walk->head, &problem) &&
               api_cut(http_query(request, "queries"), "queries", c.count, &r->query0, &r->query1, &problem) &&
               api_cut(http_query(request, "keys"), "keys", c.count, &r->key0, &r->key1, &problem);
        answered = fine && api_immutable(request, c.id[0], "/compare/%.64s/%zu/%zu?%zu:%zu,%zu:%zu", c.id[1], walk->layer, walk->head,
                                         r->query0, r->query1, r->key0, r->key1);
    }
    if (!fine || answered) {
        free(walk);
        comparing_finish(app, &c);
        if (!answered) problem_reply(request, &problem);
        return;
    }
    walk->analyses = app->analyses;
    walk->worker = app->worker;
    walk->lease = c.lease[0];
    walk->other = c.lease[1];
    walk->pairs = c.pairs;
    walk->pair_count = c.count;
    walk->head_end = walk->head + 1;
    map_walk_reply_npy(request, walk, true);
}

struct tile {
    const struct comparing *comparing;
    struct rectangle rectangle; /* pairs */
    size_t layer, head, zoom, width, height;
    size_t query;      /* the next row */
    float *block;      /* [BLOCK, keys] */
    float *difference; /* [height, width] the largest in size so far */
    enum engine_status status;
    char error[256];
};

static bool tile_step(void *context, struct engine *engine) {
    struct tile *t = context;
    struct rectangle rows = t->rectangle;
    size_t keys = rows.key1 - rows.key0;
    rows.query0 = t->query;
    if (rows.query1 - rows.query0 > BLOCK) rows.query1 = rows.query0 + BLOCK;
    struct head_address at = {model_section(activations_model(t->comparing->lease[0].activations)), (int)t->layer, (int)t->head};
    t->status = attention_difference(engine, t->comparing->lease[0].activations, t->comparing->lease[1].activations, at,
                                     t->comparing->pairs, t->comparing->count, &rows, t->block, t->error, sizeof t->error);
    if (t->status != ENGINE_OK) return false;
    for (size_t i = rows.query0; i < rows.query1; i++) {
        const float *from = t->block + (i - rows.query0) * keys;
        float *to = t->difference + ((i - t->rectangle.query0) >> t->zoom) * t->width;
        for (size_t j = 0; j < keys; j++)
            if (fabsf(from[j]) > fabsf(to[j >> t->zoom])) to[j >> t->zoom] = from[j];
    }
    t->query = rows.query1;
    return t->query < t->rectangle.query1;
}

static bool tile_place(const struct http_request *request, struct tile *t, struct problem *problem) {
    size_t n = t->comparing->count, side = n, zoom = 0, x = 0, y = 0;
    bool fine = api_number(http_capture(request, 2), &t->zoom) && api_number(http_capture(request, 3), &x) &&
                api_number(http_capture(request, 4), &y);
    for (; fine && zoom < t->zoom && side > 1; zoom++) side = (side + 1) / 2;
    fine = fine && zoom == t->zoom && x <= (side - 1) / TILE_SIDE && y <= (side - 1) / TILE_SIDE;
    if (!fine)
        return problem_set(problem, 404, "there is no tile %.20s/%.20s/%.20s; zoom 0 is one difference a pixel, each level halves, and x and "
                           "y count tiles of 256 pixels within the %zu tokens that correspond", http_capture(request, 2),
                           http_capture(request, 3), http_capture(request, 4), n);
    t->width = side - x * TILE_SIDE < TILE_SIDE ? side - x * TILE_SIDE : TILE_SIDE;
    t->height = side - y * TILE_SIDE < TILE_SIDE ? side - y * TILE_SIDE : TILE_SIDE;
    t->rectangle = (struct rectangle){y * TILE_SIDE << zoom, (y * TILE_SIDE + t->height) << zoom, x * TILE_SIDE << zoom,
                                      (x * TILE_SIDE + t->width) << zoom};
    if (t->rectangle.query1 > n) t->rectangle.query1 = n;
    if (t->rectangle.key1 > n) t->rectangle.key1 = n;
    return true;
}

static bool tile_answer(struct app *app, struct http_request *request, struct tile *t, uint8_t **pixels, struct problem *problem) {
    struct patience patience = patience_of_request(request);
    size_t count = t->width * t->height;
    t->query = t->rectangle.query0;
    t->block = malloc(BLOCK * (t->rectangle.key1 - t->rectangle.key0) * sizeof *t->block);
    t->difference = calloc(count, sizeof *t->difference);
    *pixels = malloc(count);
    bool fine = t->block && t->difference && *pixels ? worker_ask_steps(app->worker, tile_step, t, &patience, problem)
                                                     : problem_memory(problem);
    if (fine && t->status != ENGINE_OK) fine = problem_engine(problem, t->status, t->error);
    for (size_t i = 0; fine && i < count; i++) {
        float d = t->difference[i], size = 127.0f * sqrtf(fminf(fabsf(d), 1.0f));
        (*pixels)[i] = (uint8_t)(128 + lrintf(d < 0 ? -size : size));
    }
    free(t->block);
    free(t->difference);
    if (!fine) free(*pixels);
    return fine;
}

void route_compare_tile(struct app *app, struct http_request *request) {
    static const char *const known[] = {"a", "b", NULL};
    struct problem problem;
    struct comparing c;
    struct tile tile = {.comparing = &c};
    uint8_t *pixels = NULL;
    if (!comparing_begin(app, request, known, &c)) return;
    bool fine = head_of_request(request, &c, &tile.layer, &tile.head, &problem) && tile_place(request, &tile, &problem);
    bool answered = fine && api_immutable(request, c.id[0], "/compare/%.64s/%zu/%zu/%zu?%zu,%zu", c.id[1], tile.layer, tile.head, tile.zoom,
                                          tile.rectangle.query0, tile.rectangle.key0);
    fine = fine && !answered && tile_answer(app, request, &tile, &pixels, &problem);
    comparing_finish(app, &c);
    if (answered) return;
    if (fine) http_reply(request, 200, TYPE_BYTES, pixels, tile.width * tile.height);
    else problem_reply(request, &problem);
}
