/* reading.c: rectangles, tiles and series of one head, computed again from activations. On the caller's thread alone: they may be
 * asked for while the pool is in the middle of a run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/activations.h"
#include "engine/attention.h"
#include "engine/engine_internal.h"
#include "engine/memory.h"
#include "engine/reading.h"

enum { TILE = 256 };

/* *section: the activations of the head's section. */
static enum engine_status find_head(const struct activations *activations, struct head_address at, const struct activations **section,
                                    char *error, size_t error_size) {
    const struct activations *a = activations_of(activations, at.section);
    if (!a)
        return engine_fail(ENGINE_INVALID, error, error_size, "the model has no such section: it does not have both an encoder and a decoder");
    const struct model_config *c = &a->model->config;
    if (at.layer < 0 || at.layer >= c->layers || at.head < 0 || at.head >= c->heads)
        return engine_fail(ENGINE_INVALID, error, error_size, "there is no head %d.%d: the model has %d layers of %d heads", at.layer, at.head,
                           c->layers, c->heads);
    *section = a;
    return ENGINE_OK;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Weights of rows query0 .. query0 + rows - 1 on the keys of whole panels from key_panel0 on; 0 where the mask hides them and beyond n.
 * value_norm: what they are multiplied with, [keys]; NULL: nothing. */
static void read_rows(const struct engine *engine, const struct activations *a, struct head_address at, size_t query0, size_t rows,
                      size_t key_panel0, size_t key_panels, const float *value_norm, float *weights, size_t stride) {
    const struct layer_activations *l = &a->layer[at.layer];
    struct visibility sees = activations_visibility(a, at.layer);
    size_t key0 = key_panel0 * PANEL, keys = key_panels * PANEL;
    activations_scores(a, engine->kernels, at.layer, at.head, query0, rows, key_panel0, key_panels, weights, stride);
    for (size_t r = 0; r < rows; r++) {
        size_t i = query0 + r, from = visible_first(sees, i), to = visible_end(sees, a->keys, i);
        size_t hidden = from > key0 ? smaller(from - key0, keys) : 0, visible = to > key0 ? smaller(to - key0, keys) : 0;
        float *row = weights + r * stride;
        engine->kernels->weights_row(row, smaller(whole_panels(visible), keys), l->row_max[(size_t)at.head * a->n + i],
                                     l->row_inverse[(size_t)at.head * a->n + i], row);
        memset(row, 0, hidden * sizeof *row);
        memset(row + visible, 0, (keys - visible) * sizeof *row);
        for (size_t j = hidden; value_norm && j < visible; j++) row[j] *= value_norm[key0 + j];
    }
}

static enum engine_status read_rectangle(struct engine *engine, const struct activations *activations, struct head_address at,
                                         const struct rectangle *rectangle, enum weighting weighting, float *weights, char *error,
                                         size_t error_size) {
    const struct activations *a = NULL;
    enum engine_status status = find_head(activations, at, &a, error, error_size);
    if (status != ENGINE_OK) return status;
    size_t query0 = rectangle->query0, query1 = rectangle->query1, key0 = rectangle->key0, key1 = rectangle->key1;
    if (query0 > query1 || query1 > a->n || key0 > key1 || key1 > a->keys)
        return engine_fail(ENGINE_INVALID, error, error_size,
                           "queries %zu:%zu, keys %zu:%zu: ranges must lie within 0:%zu and 0:%zu", query0, query1, key0, key1, a->n, a->keys);
    if (query0 == query1 || key0 == key1) return ENGINE_OK;
    size_t panel0 = key0 / PANEL, panels = whole_panels(key1) / PANEL - panel0, stride = panels * PANEL, width = key1 - key0;
    float *block = memory_aligned(BLOCK_ROWS * stride * sizeof *block);
    const float *value_norm = weighting == WEIGHTING_VALUE ? activations_value_norms(activations, at) : NULL;
    if (!block) return engine_fail_memory(error, error_size);
    for (size_t i = query0; i < query1; i += BLOCK_ROWS) {
        size_t rows = smaller(BLOCK_ROWS, query1 - i);
        read_rows(engine, a, at, i, rows, panel0, panels, value_norm, block, stride);
        for (size_t r = 0; r < rows; r++)
            memcpy(weights + (i + r - query0) * width, block + r * stride + (key0 - panel0 * PANEL), width * sizeof *weights);
    }
    free(block);
    return ENGINE_OK;
}

enum engine_status attention_read(struct engine *engine, const struct activations *activations, struct head_address at,
                                  const struct rectangle *rectangle, float *weights, char *error, size_t error_size) {
    return read_rectangle(engine, activations, at, rectangle, WEIGHTING_NONE, weights, error, error_size);
}

enum engine_status attention_read_values(struct engine *engine, const struct activations *activations, struct head_address at,
                                         const struct rectangle *rectangle, float *weights, char *error, size_t error_size) {
    return read_rectangle(engine, activations, at, rectangle, WEIGHTING_VALUE, weights, error, error_size);
}

enum engine_status attention_largest_value(struct engine *engine, const struct activations *activations, struct head_address at,
                                           float *largest, char *error, size_t error_size) {
    const struct activations *a = NULL;
    enum engine_status status = find_head(activations, at, &a, error, error_size);
    if (status != ENGINE_OK) return status;
    float *known = a->value_largest + (size_t)at.layer * (size_t)a->model->config.heads + (size_t)at.head;
    if (isnan(*known)) {
        size_t n = a->n, stride = whole_panels(a->keys) + PANEL; /* not a multiple of a page */
        float *block = memory_aligned(BLOCK_ROWS * stride * sizeof *block), most = 0;
        if (!block) return engine_fail_memory(error, error_size);
        for (size_t i = 0; i < n; i += BLOCK_ROWS) {
            size_t rows = smaller(BLOCK_ROWS, n - i);
            size_t keys = visible_end(activations_visibility(a, at.layer), a->keys, i + rows - 1);
            read_rows(engine, a, at, i, rows, 0, whole_panels(keys) / PANEL,
                      activations_value_norms(activations, at), block, stride);
            for (size_t r = 0; r < rows; r++) {
                const float *row = block + r * stride;
                double sum;
                float largest_of_row;
                engine->kernels->pool_cell(row, row, keys, &sum, &largest_of_row);
                most = largest_of_row > most ? largest_of_row : most;
            }
        }
        free(block);
        *known = most;
    }
    *largest = *known;
    return ENGINE_OK;
}

/* ---- tiles ----------------------------------------------------------------------------------------------------- */

/* How many (query, key) of a pixel have key <= query. */
static double causal_pairs(size_t query0, size_t query1, size_t key0, size_t key1) {
    double pairs = 0;
    if (query0 < key0) query0 = smaller(key0, query1);
    size_t full = query0 > key1 ? query0 : smaller(key1, query1); /* from here on every key is seen */
    double first = (double)(query0 + 1 - key0), rows = (double)(full - query0);
    pairs += rows * first + rows * (rows - 1) / 2;
    return pairs + (double)(query1 - full) * (double)(key1 - key0);
}

/* How many (query, key) of a pixel are visible. */
static double visible_pairs(struct visibility sees, size_t all_keys, size_t query0, size_t query1, size_t key0, size_t key1) {
    double pairs = 0;
    if (visibility_is_plain(sees)) return causal_pairs(query0, query1, key0, key1);
    for (size_t i = query0; i < query1; i++) {
        size_t first = visible_first(sees, i) > key0 ? visible_first(sees, i) : key0, end = smaller(visible_end(sees, all_keys, i), key1);
        if (first < end) pairs += (double)(end - first);
    }
    return pairs;
}

struct tile {
    struct engine *engine;
    const struct activations *activations;
    struct head_address at;
    struct visibility sees;
    size_t pixel;                  /* weights a side: 2^zoom */
    size_t query0, query1, key0, key1;
    size_t width;                  /* pixels */
    enum pooling pooling;
    const float *value_norm;       /* NULL: plain weights */
    float scale;                   /* what a pixel is multiplied with */
    float *block, *sum, *max;      /* [BLOCK_ROWS, stride], [stride], [stride] */
    size_t panel0, stride;
    float total[TILE], largest[TILE]; /* of one row of pixels */
};

/* Adds rows of weights that lie in one row of pixels. */
static void tile_rows(struct tile *t, size_t query, size_t rows) {
    static const float ones[BLOCK_ROWS] = {
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    size_t key1 = smaller(t->key1, visible_end(t->sees, t->activations->keys, query + rows - 1)); /* beyond, nothing is visible */
    if (key1 <= t->key0) return;
    size_t panels = whole_panels(key1) / PANEL - t->panel0, skip = t->key0 - t->panel0 * PANEL;
    const struct kernels *kernels = t->engine->kernels;
    read_rows(t->engine, t->activations, t->at, query, rows, t->panel0, panels, t->value_norm, t->block, t->stride);
    kernels->column_sweep(t->block, t->stride, rows, ones, panels * PANEL, t->sum, t->max);
    for (size_t x = 0; x < t->width && t->key0 + x * t->pixel < key1; x++) {
        size_t first = x * t->pixel, keys = smaller(t->pixel, key1 - t->key0 - first);
        double sum;
        float max;
        kernels->pool_cell(t->sum + skip + first, t->max + skip + first, keys, &sum, &max);
        t->total[x] += (float)sum;
        t->largest[x] = max > t->largest[x] ? max : t->largest[x];
    }
}

static void tile_pixels(struct tile *t, size_t query, size_t query_end, uint8_t *pixels) {
    if (t->pooling == POOL_MEAN)
        for (size_t x = 0; x < t->width; x++) {
            size_t key = t->key0 + x * t->pixel;
            double pairs = visible_pairs(t->sees, t->activations->keys, query, query_end, key, smaller(key + t->pixel, t->key1));
            t->largest[x] = pairs > 0 ? (float)((double)t->total[x] / pairs) : 0;
        }
    for (size_t x = 0; t->value_norm && x < t->width; x++) t->largest[x] = fminf(t->largest[x] * t->scale, 1);
    sqrt_bytes(t->largest, t->width, pixels);
}

enum engine_status attention_tile(struct engine *engine, const struct activations *activations, struct head_address at, int zoom,
                                  size_t x, size_t y, enum pooling pooling, enum weighting weighting, uint8_t *pixels, int *width,
                                  int *height, char *error, size_t error_size) {
    const struct activations *a = NULL;
    enum engine_status status = find_head(activations, at, &a, error, error_size);
    if (status != ENGINE_OK) return status;
    int zoom_max = 0;
    while (a->n > (size_t)1 << zoom_max || a->keys > (size_t)1 << zoom_max) zoom_max++;
    if (zoom < 0 || zoom > zoom_max)
        return engine_fail(ENGINE_INVALID, error, error_size, "zoom %d: a map of %zu x %zu tokens has levels 0 to %d", zoom, a->n, a->keys,
                           zoom_max);
    size_t pixel = (size_t)1 << zoom, high = (a->n + pixel - 1) / pixel, wide = (a->keys + pixel - 1) / pixel;
    size_t down = (high + TILE - 1) / TILE, across = (wide + TILE - 1) / TILE;
    if (x >= across || y >= down)
        return engine_fail(ENGINE_INVALID, error, error_size, "there is no tile %zu/%zu at zoom %d: the map has %zu x %zu there", x, y,
                           zoom, across, down);
    struct tile t = {.engine = engine, .activations = a, .at = at, .pixel = pixel, .sees = activations_visibility(a, at.layer),
                     .query0 = y * TILE * pixel, .query1 = smaller((y + 1) * TILE * pixel, a->n),
                     .key0 = x * TILE * pixel, .key1 = smaller((x + 1) * TILE * pixel, a->keys),
                     .width = smaller(TILE, wide - x * TILE), .pooling = pooling};
    if (weighting == WEIGHTING_VALUE) {
        float largest;
        status = attention_largest_value(engine, activations, at, &largest, error, error_size);
        if (status != ENGINE_OK) return status;
        t.value_norm = activations_value_norms(activations, at);
        t.scale = largest > 0 ? 1 / largest : 0;
    }
    t.panel0 = t.key0 / PANEL;
    t.stride = whole_panels(t.key1) - t.panel0 * PANEL + PANEL; /* not a multiple of a page */
    t.block = memory_aligned((BLOCK_ROWS + 2) * t.stride * sizeof *t.block);
    if (!t.block) return engine_fail_memory(error, error_size);
    t.sum = t.block + BLOCK_ROWS * t.stride;
    t.max = t.sum + t.stride;
    size_t rows = smaller(TILE, high - y * TILE);
    for (size_t r = 0; r < rows; r++) {
        size_t first = t.query0 + r * pixel, end = smaller(first + pixel, t.query1);
        memset(t.total, 0, sizeof t.total);
        memset(t.largest, 0, sizeof t.largest);
        for (size_t i = first; i < end; i += BLOCK_ROWS) tile_rows(&t, i, smaller(BLOCK_ROWS, end - i));
        tile_pixels(&t, first, end, pixels + r * t.width);
    }
    free(t.block);
    *width = (int)t.width;
    *height = (int)rows;
    return ENGINE_OK;
}

/* ---- series ---------------------------------------------------------------------------------------------------- */

enum engine_status attention_series(struct engine *engine, const struct activations *activations, struct head_address at,
                                    const uint32_t *excluded, size_t excluded_count, const struct head_series *series, char *error,
                                    size_t error_size) {
    const struct activations *a = NULL;
    enum engine_status status = find_head(activations, at, &a, error, error_size);
    if (status != ENGINE_OK) return status;
    size_t n = a->n, keys = a->keys, block_rows = attention_block_rows(keys);
    bool cross = at.section == SECTION_CROSS;
    for (size_t s = 0; s < excluded_count; s++)
        if (excluded[s] >= keys || (s > 0 && excluded[s] <= excluded[s - 1]))
            return engine_fail(ENGINE_INVALID, error, error_size, "excluded key %u: positions must be ascending and below %zu",
                               (unsigned)excluded[s], keys);
    float *memory = memory_aligned(attention_scratch_floats(a->model, keys) * sizeof *memory);
    double *received = calloc(keys, sizeof *received);
    if (!memory || !received) {
        free(memory);
        free(received);
        return engine_fail_memory(error, error_size);
    }
    struct attention_scratch scratch;
    attention_scratch_init(&scratch, a->model, keys, memory);
    struct weight_block *block = &scratch.block;
    for (size_t i = 0; i < n; i += block_rows) {
        attention_weights(a, engine->kernels, at.layer, at.head, i, smaller(block_rows, n - i), &scratch);
        for (size_t r = 0; r < block->rows; r++) {
            const struct softmax_sums *row = &block->sums[r];
            const float *e = block->e + r * block->stride;
            double entropy = row_entropy(row, block->sink[r]), sink = 0;
            for (size_t s = 0; s < excluded_count && excluded[s] < block->keys; s++) sink += (double)e[excluded[s]];
            if (series->entropy) series->entropy[i + r] = entropy;
            if (series->max_weight) series->max_weight[i + r] = 1 / row->sum;
            if (series->sink_mass) series->sink_mass[i + r] = sink / row->sum;
            if (!cross) received[i + r] -= (double)(e[i + r] * block->inverse[r]);
        }
        engine->kernels->column_sweep(block->e, block->stride, block->rows, block->inverse, block->keys, scratch.sweep.sum,
                                      scratch.sweep.max);
        engine->kernels->add_to_double(received, scratch.sweep.sum, smaller(block->keys, keys));
    }
    if (series->received)
        for (size_t j = 0; j < keys; j++) {
            size_t queries = cross ? n : visible_receivers(activations_visibility(a, at.layer), n, j);
            series->received[j] = queries == 0 ? NAN : received[j] > 0 ? received[j] / (double)queries : 0;
        }
    free(memory);
    free(received);
    return ENGINE_OK;
}

/* ---- for the other readers ---------------------------------------------------------------------------------------- */

enum engine_status reading_check(const struct activations *activations, struct head_address at, char *error, size_t error_size) {
    const struct activations *section;
    return find_head(activations, at, &section, error, error_size);
}

void reading_rows(const struct engine *engine, const struct activations *activations, struct head_address at, size_t query0,
                  size_t rows, size_t key_panel0, size_t key_panels, float *weights, size_t stride) {
    read_rows(engine, activations_of(activations, at.section), at, query0, rows, key_panel0, key_panels, NULL, weights, stride);
}
