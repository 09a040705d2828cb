#include "server/route_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/map_walk.h"
#include "server/map_png.h"
#include "server/tiles.h"

#define TEXT_WEIGHTS_MAX ((size_t)65536)    /* .json and .csv: what a person or a spreadsheet looks at */
#define PNG_WEIGHTS_MAX ((size_t)2048 * 2048)
#define TILE_SIDE ((size_t)256)
#define KEPT_ZOOM 2 /* tiles from this zoom on are kept: a million weights and more */

static const char *const cut_names[] = {"queries", "keys", "weighting", "section", NULL};

/* The weights themselves, or the value-weighted map. */
static bool weighting_of_request(const struct http_request *request, enum weighting *weighting, struct problem *problem) {
    const char *text = http_query(request, "weighting");
    *weighting = text && !strcmp(text, "value") ? WEIGHTING_VALUE : WEIGHTING_NONE;
    return !text || !strcmp(text, "value") || !strcmp(text, "none") ||
           problem_set(problem, 400, "weighting must be none or value, not '%.24s'", text);
}

/* ---- a head's map, or a cut of it -------------------------------------------------------------------------------- */

/* Whether the answer has been given: the client holds the map. */
static bool map_is_held(struct app *app, struct http_request *request, const char *end, bool all_heads, enum weighting weighting,
                        struct api_tag *tag) {
    const char *id = http_capture(request, 0), *queries = http_query(request, "queries"), *keys = http_query(request, "keys"), *section = http_query(request, "section");
    *tag = api_tag(id, "/attention/%s/%s.%s?%s,%s,%d%s", http_capture(request, 1), all_heads ? "" : http_capture(request, 2), end,
                   queries ? queries : ":", keys ? keys : ":", (int)weighting, section ? section : "");
    return api_holds(app, request, id, tag);
}

/* The walk over what the address names. `end`: the file's ending, for its tag. NULL: the answer has been given. */
static struct map_walk *walk_of_request(struct app *app, struct http_request *request, const char *end, bool all_heads,
                                        size_t weights_max) {
    struct problem problem;
    struct map_walk *walk = calloc(1, sizeof *walk);
    size_t head = 0, queries = 0, keys = 0, layer_heads;
    struct api_tag tag;
    if (!walk) {
        problem_memory(&problem);
        problem_reply(request, &problem);
        return NULL;
    }
    walk->analyses = app->analyses;
    walk->worker = app->worker;
    bool fine = api_query_known(request, cut_names, &problem) && weighting_of_request(request, &walk->weighting, &problem);
    if (!fine) {
        problem_reply(request, &problem);
    } else if (!map_is_held(app, request, end, all_heads, walk->weighting, &tag) &&
               api_head(app, request, &walk->lease, &walk->layer, all_heads ? NULL : &head)) {
        struct rectangle *r = &walk->rectangle;
        walk->head = head;
        walk->head_end = all_heads ? (api_heads(&walk->lease, &layer_heads), layer_heads) : head + 1;
        activations_shape(walk->lease.activations, walk->lease.section, &queries, &keys);
        fine = api_cut(http_query(request, "queries"), "queries", queries, &r->query0, &r->query1, &problem) &&
               api_cut(http_query(request, "keys"), "keys", keys, &r->key0, &r->key1, &problem);
        size_t weights = fine ? (r->query1 - r->query0) * (r->key1 - r->key0) : 0;
        if (fine && weights_max && weights > weights_max)
            fine = problem_set(&problem, 413, "these are %zu weights, and .%s gives %zu at most; ask for .npy, or cut with "
                               "?queries=a:b&keys=c:d", weights, end, weights_max);
        if (!fine) problem_reply(request, &problem);
        if (fine && !api_immutable_tag(request, &tag)) return walk;
    }
    map_walk_finish(walk);
    free(walk);
    return NULL;
}

void route_attention_npy(struct app *app, struct http_request *request) {
    struct map_walk *walk = walk_of_request(app, request, "npy", false, 0);
    if (walk) map_walk_reply_npy(request, walk, true);
}

void route_attention_layer_npy(struct app *app, struct http_request *request) {
    struct map_walk *walk = walk_of_request(app, request, "npy", true, 0);
    if (walk) map_walk_reply_npy(request, walk, false);
}

/* ---- as text ----------------------------------------------------------------------------------------------------- */

typedef void text_row(struct json_text *out, const struct map_walk *walk, size_t query, const float *weights);

static void csv_head(struct json_text *out, const struct map_walk *walk) {
    json_put(out, "query");
    for (size_t key = walk->rectangle.key0; key < walk->rectangle.key1; key++) {
        json_put(out, ",");
        json_put_unsigned(out, key);
    }
    json_put(out, "\r\n");
}

static void csv_row(struct json_text *out, const struct map_walk *walk, size_t query, const float *weights) {
    json_put_unsigned(out, query);
    for (size_t i = 0; i < walk->columns; i++) {
        json_put(out, ",");
        json_put_real(out, (double)weights[i]);
    }
    json_put(out, "\r\n");
}

static void json_head(struct json_text *out, const struct map_walk *walk) {
    const struct rectangle *r = &walk->rectangle;
    const char *const names[] = {"{\"layer\":", ",\"head\":", ",\"queries\":[", ",", "],\"keys\":[", ","};
    const size_t values[] = {walk->layer, walk->head, r->query0, r->query1, r->key0, r->key1};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        json_put(out, names[i]);
        json_put_unsigned(out, values[i]);
    }
    json_put(out, "],\"weights\":[");
}

static void json_row(struct json_text *out, const struct map_walk *walk, size_t query, const float *weights) {
    json_put(out, query == walk->rectangle.query0 ? "[" : ",[");
    for (size_t i = 0; i < walk->columns; i++) {
        if (i) json_put(out, ",");
        json_put_real(out, (double)weights[i]);
    }
    json_put(out, "]");
}

/* Every row of the walk through `row`; false with a problem. */
static bool write_rows(struct map_walk *walk, struct http_request *request, text_row *row, struct json_text *out,
                       struct problem *problem) {
    struct patience patience = patience_of_request(request);
    int more;
    while ((more = map_walk_next(walk, &patience, problem)) > 0)
        for (size_t i = 0; i < walk->rows; i++)
            row(out, walk, walk->rectangle.query0 + walk->row + i, walk->block + i * walk->columns);
    return more == 0;
}

static void reply_text(struct app *app, struct http_request *request, const char *end, const char *type,
                       void (*head)(struct json_text *, const struct map_walk *), text_row *row, const char *tail) {
    struct json_text out = {0};
    struct problem problem;
    struct map_walk *walk = walk_of_request(app, request, end, false, TEXT_WEIGHTS_MAX);
    if (!walk) return;
    bool fine = map_walk_begin(walk) || problem_memory(&problem);
    if (fine) head(&out, walk);
    fine = fine && write_rows(walk, request, row, &out, &problem);
    map_walk_finish(walk);
    free(walk);
    json_put(&out, tail);
    if (fine) {
        api_reply(request, 200, type, &out);
    } else {
        json_free(&out);
        problem_reply(request, &problem);
    }
}

void route_attention_json(struct app *app, struct http_request *request) {
    reply_text(app, request, "json", TYPE_JSON, json_head, json_row, "]}");
}

void route_attention_csv(struct app *app, struct http_request *request) {
    reply_text(app, request, "csv", TYPE_CSV, csv_head, csv_row, "");
}

/* ---- as a picture ------------------------------------------------------------------------------------------------ */

struct png_rows {
    struct map_walk *walk;
    struct patience patience;
    struct problem problem;
};

static bool png_row(void *context, size_t index, uint8_t *cells) {
    struct png_rows *rows = context;
    struct map_walk *walk = rows->walk;
    if (index >= walk->row + walk->rows && map_walk_next(walk, &rows->patience, &rows->problem) <= 0) return false;
    const float *weights = walk->block + (index - walk->row) * walk->columns;
    float scale = !walk->scaled ? 1 : walk->largest > 0 ? 1 / walk->largest : 0;
    for (size_t i = 0; i < walk->columns; i++) cells[i] = (uint8_t)lrintf(255.0f * sqrtf(fminf(weights[i] * scale, 1.0f)));
    return true;
}

void route_attention_png(struct app *app, struct http_request *request) {
    struct map_walk *walk = walk_of_request(app, request, "png", false, PNG_WEIGHTS_MAX);
    if (!walk) return;
    walk->scaled = walk->weighting == WEIGHTING_VALUE;
    struct png_rows rows = {.walk = walk, .patience = patience_of_request(request)};
    char *bytes = NULL;
    size_t size = 0;
    enum png_result result = PNG_NO_MEMORY;
    if (map_walk_begin(walk)) {
        struct png_source source = {
            .width = walk->columns,
            .height = walk->rectangle.query1 - walk->rectangle.query0,
            .row = png_row,
            .context = &rows,
        };
        result = map_png_write(&source, &bytes, &size);
    }
    map_walk_finish(walk);
    free(walk);
    if (result == PNG_OK) {
        http_reply(request, 200, TYPE_PNG, bytes, size);
        return;
    }
    if (result == PNG_NO_MEMORY) problem_memory(&rows.problem);
    problem_reply(request, &rows.problem);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

struct tile {
    const struct activations *activations;
    enum section section;
    size_t layer, head, zoom, x, y;
    enum pooling pooling;
    enum weighting weighting;
    float largest; /* of a value-weighted map */
    uint8_t *pixels;
    int width, height;
    enum engine_status status;
    char error[256];
};

static void tile_read(void *context, struct engine *engine) {
    struct tile *tile = context;
    struct head_address at = {tile->section, (int)tile->layer, (int)tile->head};
    tile->status = attention_tile(engine, tile->activations, at, (int)tile->zoom, tile->x, tile->y, tile->pooling, tile->weighting,
                                  tile->pixels, &tile->width, &tile->height, tile->error, sizeof tile->error);
    if (tile->status == ENGINE_OK && tile->weighting == WEIGHTING_VALUE)
        tile->status = attention_largest_value(engine, tile->activations, at, &tile->largest, tile->error, sizeof tile->error);
}

/* The zoom and the place, within the map's levels: the last is the one where a single pixel is left. */
static bool tile_place(const struct http_request *request, struct tile *tile, struct problem *problem) {
    size_t high = 0, wide = 0;
    activations_shape(tile->activations, tile->section, &high, &wide);
    bool fine = api_number(http_capture(request, 3), &tile->zoom) && api_number(http_capture(request, 4), &tile->x) &&
                api_number(http_capture(request, 5), &tile->y);
    size_t zoom = 0;
    for (; fine && zoom < tile->zoom && (high > 1 || wide > 1); zoom++) {
        high = (high + 1) / 2;
        wide = (wide + 1) / 2;
    }
    fine = fine && zoom == tile->zoom && tile->x <= (wide - 1) / TILE_SIDE && tile->y <= (high - 1) / TILE_SIDE;
    return fine || problem_set(problem, 404,
                               "there is no tile %.20s/%.20s/%.20s; zoom 0 is one weight a pixel, each level halves, and "
                               "x and y count tiles of 256 pixels within the map", http_capture(request, 3), http_capture(request, 4),
                               http_capture(request, 5));
}

static bool tile_pooling(const struct http_request *request, struct tile *tile, struct problem *problem) {
    static const char *const known[] = {"pool", "weighting", "section", NULL};
    const char *pool = http_query(request, "pool");
    if (!api_query_known(request, known, problem) || !weighting_of_request(request, &tile->weighting, problem)) return false;
    tile->pooling = pool && !strcmp(pool, "mean") ? POOL_MEAN : POOL_MAX;
    return !pool || !strcmp(pool, "mean") || !strcmp(pool, "max") ||
           problem_set(problem, 400, "pool must be max or mean, not '%.24s'", pool);
}

static void reply_tile(struct http_request *request, const struct tile *tile, size_t size) {
    if (tile->weighting == WEIGHTING_VALUE) {
        char largest[32];
        snprintf(largest, sizeof largest, "%.9g", (double)tile->largest);
        http_set_header(request, "Headscope-Largest", largest);
    }
    http_reply(request, 200, TYPE_BYTES, tile->pixels, size);
}

/* True: the answer has been given, as a 304 or from the tiles that are kept. */
static bool tile_is_kept(struct app *app, struct http_request *request, const struct api_tag *tag, struct tile *tile) {
    const char *id = http_capture(request, 0);
    struct kept_tile kept;
    struct analysis *analysis;
    struct problem problem;
    if (api_holds(app, request, id, tag)) return true;
    if (!tag->text[0] || !tiles_get(app->tiles, tag->text, &kept)) return false;
    if (!analyses_find(app->analyses, id, &analysis, &problem)) { /* deleted meanwhile */
        free(kept.pixels);
        problem_reply(request, &problem);
        return true;
    }
    analysis_release(app->analyses, analysis);
    tile->pixels = kept.pixels;
    tile->largest = kept.largest;
    api_immutable_tag(request, tag);
    reply_tile(request, tile, kept.size);
    return true;
}

static void keep_tile(struct app *app, const struct api_tag *tag, const struct tile *tile, size_t size) {
    struct kept_tile kept = {.pixels = tile->pixels, .size = size, .largest = tile->largest};
    if (tile->zoom < KEPT_ZOOM || !tag->text[0]) return;
    memcpy(kept.name, tag->text, sizeof kept.name);
    tiles_put(app->tiles, &kept);
}

void route_tile(struct app *app, struct http_request *request) {
    struct tile tile = {0};
    struct problem problem;
    struct activation_lease lease;
    struct patience patience = patience_of_request(request);
    if (!tile_pooling(request, &tile, &problem)) {
        problem_reply(request, &problem);
        return;
    }
    const char *section = http_query(request, "section");
    struct api_tag tag = api_tag(http_capture(request, 0), "/tile/%s/%s/%s/%s/%s?%d,%d%s", http_capture(request, 1), http_capture(request, 2),
                                 http_capture(request, 3), http_capture(request, 4), http_capture(request, 5), (int)tile.pooling,
                                 (int)tile.weighting, section ? section : "");
    if (tile_is_kept(app, request, &tag, &tile) || !api_head(app, request, &lease, &tile.layer, &tile.head)) return;
    tile.activations = lease.activations;
    tile.section = lease.section;
    bool fine = tile_place(request, &tile, &problem), answered = fine && api_immutable_tag(request, &tag);
    if (fine && !answered) {
        tile.pixels = malloc(TILE_SIDE * TILE_SIDE);
        fine = tile.pixels ? worker_ask(app->worker, tile_read, &tile, &patience, &problem) : problem_memory(&problem);
        if (fine && tile.status != ENGINE_OK) fine = problem_engine(&problem, tile.status, tile.error);
    }
    analyses_release_activations(app->analyses, &lease);
    if (answered) return;
    if (fine) {
        size_t size = (size_t)tile.width * (size_t)tile.height;
        keep_tile(app, &tag, &tile, size);
        reply_tile(request, &tile, size);
    } else {
        free(tile.pixels);
        problem_reply(request, &problem);
    }
}
