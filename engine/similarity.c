/*
 * similarity.c: how alike heads are: by what they look at (Jensen-Shannon distance of rows) and by what they write (linear CKA of
 * outputs behind W_O).
 *
 * JS    For each sampled query the rows of all heads, S left out and renormalised; then all pairs.
 * CKA   With X_h = Z_h W_h, Z_h = the head's mixed values with each column's mean taken off [positions, head_dim],
 *         |X_g^T X_h|^2 = sum over positions (s, t) of K_g[s, t] K_h[s, t],   K_h = X_h X_h^T = (Z_h G_h) Z_h^T,  G_h = W_h W_h^T,
 *       so that d_model columns are never made, and all pairs of heads are one symmetric product of [heads, pairs of positions], which
 *       goes square after square of the map of positions.
 */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/attention.h"
#include "engine/memory.h"
#include "engine/reading.h"
#include "engine/weights.h"

enum {
    JS_QUERIES = 32,
    CKA_QUERIES = 1024, CKA_RUN = 16, /* positions, beyond so many in runs */
    CKA_SQUARE = 64,
    HEADS_MAX = 2048,
};
static const size_t step_work = 4000000;             /* multiplications or terms of a step: a few milliseconds */
static const size_t outputs_max = (size_t)128 << 20; /* bytes of Z and Z G */
static const double outside_least = 1e-6;            /* weight outside S below which a row says nothing */

struct similarity {
    const struct activations *activations;
    enum section section;
    enum similarity_kind kind;
    const uint32_t *excluded;
    size_t excluded_count;
    size_t layers, layer_heads, heads, keys;
    uint32_t *place; /* [queries] */
    size_t queries;
    double *sum;     /* [heads, heads] upper triangle: of distances, or of products of K */
    float *matrix;   /* [heads, heads] */

    size_t query, head; /* where it stands */
    enum { ROWS, PAIRS, GRAM, OUTPUTS, SQUARES, DONE } phase;

    /* JS */
    float *rows;     /* [heads, whole_panels(keys)] of one query */
    bool *fine;      /* [heads] enough of the row lies outside S */
    uint8_t *count;  /* [heads, heads] */
    /* CKA */
    size_t dim, left, below; /* head_dim; the square: positions left .. and below .. */
    float *gram;     /* [layer_heads, dim, dim] of one layer */
    float *unpacked; /* [CKA_SQUARE, layer_heads * dim] rows of W_O */
    float *z, *zg;   /* [heads, queries, dim] */
    float *block;    /* [BLOCK_ROWS, whole_panels(keys)], then [BLOCK_ROWS, whole_panels(dim)] */
    float *k;        /* [heads, CKA_SQUARE * CKA_SQUARE] */
    float *product;  /* [heads, heads] */
};

/* ---- making ------------------------------------------------------------------------------------------------------ */

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static bool take_js(struct similarity *s) {
    s->rows = memory_aligned(s->heads * whole_panels(s->keys) * sizeof *s->rows);
    s->fine = malloc(s->heads);
    s->count = calloc(s->heads, s->heads);
    s->phase = ROWS;
    return s->rows && s->fine && s->count;
}

static bool take_cka(struct similarity *s) {
    size_t all = s->heads * s->queries * s->dim;
    s->gram = malloc(s->layer_heads * s->dim * s->dim * sizeof *s->gram);
    s->unpacked = malloc(CKA_SQUARE * s->layer_heads * s->dim * sizeof *s->unpacked);
    s->z = memory_aligned(all * sizeof *s->z);
    s->zg = memory_aligned(all * sizeof *s->zg);
    s->block = memory_aligned(BLOCK_ROWS * (whole_panels(s->keys) + whole_panels(s->dim)) * sizeof *s->block);
    s->k = memory_aligned(s->heads * CKA_SQUARE * CKA_SQUARE * sizeof *s->k);
    s->product = malloc(s->heads * s->heads * sizeof *s->product);
    s->phase = GRAM;
    return s->gram && s->unpacked && s->z && s->zg && s->block && s->k && s->product;
}

static bool take_places(struct similarity *s, size_t queries) {
    size_t first = s->section == SECTION_DECODER && queries > 1; /* the first row of a causal map is 1 by construction */
    size_t most = s->kind == SIMILARITY_JS ? JS_QUERIES : CKA_QUERIES, run = s->kind == SIMILARITY_JS ? 1 : CKA_RUN;
    if (s->kind == SIMILARITY_CKA) {
        size_t fit = outputs_max / (2 * s->heads * s->dim * sizeof(float)) / CKA_RUN * CKA_RUN;
        most = smaller(most, fit > CKA_RUN ? fit : CKA_RUN);
        first = 0;
    }
    s->place = malloc((smaller(most, queries) + 1) * sizeof *s->place);
    if (!s->place) return false;
    s->queries = reading_sample(first, queries - first, most, run, s->place);
    return true;
}

enum engine_status similarity_create(const struct activations *activations, enum section section, enum similarity_kind kind,
                                     const uint32_t *excluded, size_t excluded_count, struct similarity **similarity, char *error,
                                     size_t error_size) {
    size_t queries = 0, keys = 0;
    enum engine_status status = reading_check(activations, (struct head_address){section, 0, 0}, error, error_size);
    if (status != ENGINE_OK) return status;
    activations_shape(activations, section, &queries, &keys);
    const struct activations *maps = activations_of(activations, section);
    const struct model_config *c = &maps->model->config;
    status = reading_check_excluded(excluded, excluded_count, keys, error, error_size);
    if (status != ENGINE_OK) return status;
    size_t heads = (size_t)c->layers * (size_t)c->heads;
    if (heads > HEADS_MAX)
        return engine_fail(ENGINE_TOO_LARGE, error, error_size, "the model has %zu heads, and at most %d are held against each other", heads,
                           HEADS_MAX);
    struct similarity *s = calloc(1, sizeof *s);
    if (!s) return engine_fail_memory(error, error_size);
    *s = (struct similarity){.activations = maps, .section = section, .kind = kind, .excluded = excluded,
                             .excluded_count = excluded_count, .layers = (size_t)c->layers, .layer_heads = (size_t)c->heads,
                             .heads = heads, .keys = keys, .dim = (size_t)c->head_dim};
    s->sum = calloc(heads * heads, sizeof *s->sum);
    s->matrix = malloc(heads * heads * sizeof *s->matrix);
    if (s->sum && s->matrix && take_places(s, queries) && (kind == SIMILARITY_JS ? take_js(s) : take_cka(s))) {
        *similarity = s;
        return ENGINE_OK;
    }
    similarity_destroy(s);
    return engine_fail_memory(error, error_size);
}

void similarity_destroy(struct similarity *s) {
    if (!s) return;
    void *const owned[] = {s->place, s->sum, s->matrix, s->rows, s->fine, s->count, s->gram, s->unpacked, s->z, s->zg, s->block, s->k,
                           s->product};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) free(owned[i]);
    free(s);
}

const float *similarity_matrix(const struct similarity *s, size_t *heads) {
    *heads = s->heads;
    return s->matrix;
}

size_t similarity_queries(const struct similarity *s) {
    return s->queries;
}

static struct head_address address(const struct similarity *s, size_t head) {
    return (struct head_address){s->section, (int)(head / s->layer_heads), (int)(head % s->layer_heads)};
}

/* ---- Jensen-Shannon ---------------------------------------------------------------------------------------------- */

/* Rows of one query: no layer sees beyond the last visible key of a full layer. */
static size_t row_width(const struct similarity *s) {
    return whole_panels(s->section == SECTION_DECODER ? (size_t)s->place[s->query] + 1 : s->keys);
}

static void take_row(struct engine *engine, struct similarity *s) {
    size_t width = row_width(s);
    float *row = s->rows + s->head * whole_panels(s->keys);
    double outside = 0;
    reading_rows(engine, s->activations, address(s, s->head), s->place[s->query], 1, 0, width / PANEL, row, width);
    for (size_t e = 0; e < s->excluded_count && s->excluded[e] < width; e++) row[s->excluded[e]] = 0;
    for (size_t j = 0; j < width; j++) outside += (double)row[j];
    s->fine[s->head] = outside >= outside_least;
    for (size_t j = 0; s->fine[s->head] && j < width; j++) row[j] = (float)((double)row[j] / outside);
}

static void pair_rows(struct engine *engine, struct similarity *s) {
    size_t width = row_width(s), stride = whole_panels(s->keys), h = s->head;
    for (size_t g = h + 1; s->fine[h] && g < s->heads; g++) {
        if (!s->fine[g]) continue;
        s->sum[h * s->heads + g] += sqrt(engine->kernels->divergence(s->rows + h * stride, s->rows + g * stride, width) / M_LN2);
        s->count[h * s->heads + g]++;
    }
}

static void js_finish(struct similarity *s) {
    for (size_t h = 0; h < s->heads; h++) {
        s->matrix[h * s->heads + h] = 0;
        for (size_t g = h + 1; g < s->heads; g++) {
            size_t at = h * s->heads + g;
            s->matrix[at] = s->matrix[g * s->heads + h] = s->count[at] ? (float)fmin(s->sum[at] / s->count[at], 1) : NAN;
        }
    }
    s->phase = DONE;
}

static void js_step(struct engine *engine, struct similarity *s) {
    for (size_t work = 0; s->phase != DONE && work < step_work;) {
        size_t width = row_width(s);
        if (s->phase == ROWS) take_row(engine, s);
        else pair_rows(engine, s);
        work += s->phase == ROWS ? width * (s->dim + 8) : width * (s->heads - s->head);
        if (++s->head < s->heads) continue;
        s->head = 0;
        s->query += s->phase == PAIRS;
        s->phase = s->phase == ROWS ? PAIRS : ROWS;
        if (s->query == s->queries) js_finish(s);
    }
}

/* ---- CKA --------------------------------------------------------------------------------------------------------- */

/* G of every head of the layer of s->head. */
static void take_gram(struct engine *engine, struct similarity *s) {
    const struct model *model = s->activations->model;
    const struct tensor *o = &(s->section == SECTION_CROSS ? model->cross : model->layer)[s->head / s->layer_heads].o;
    size_t width = s->layer_heads * s->dim;
    for (size_t row = 0; row < o->rows; row += CKA_SQUARE) {
        size_t rows = smaller(CKA_SQUARE, o->rows - row);
        for (size_t r = 0; r < rows; r++) weights_row(engine->kernels, o, row + r, s->unpacked + r * width);
        for (size_t h = 0; h < s->layer_heads; h++)
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)s->dim, (int)s->dim, (int)rows, 1, s->unpacked + h * s->dim,
                        (int)width, s->unpacked + h * s->dim, (int)width, row > 0, s->gram + h * s->dim * s->dim, (int)s->dim);
    }
}

/* Z, less its columns' means, and Z G. */
static void centre(struct similarity *s) {
    float *z = s->z + s->head * s->queries * s->dim, *zg = s->zg + s->head * s->queries * s->dim;
    for (size_t d = 0; d < s->dim; d++) {
        double mean = 0;
        for (size_t q = 0; q < s->queries; q++) mean += (double)z[q * s->dim + d];
        mean /= (double)s->queries;
        for (size_t q = 0; q < s->queries; q++) z[q * s->dim + d] = (float)((double)z[q * s->dim + d] - mean);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->queries, (int)s->dim, (int)s->dim, 1, z, (int)s->dim,
                s->gram + s->head % s->layer_heads * s->dim * s->dim, (int)s->dim, 0, zg, (int)s->dim);
}

/* The head's mixed values of up to BLOCK_ROWS queries from s->query on. */
static size_t take_outputs(struct engine *engine, struct similarity *s) {
    size_t rows = smaller(BLOCK_ROWS, s->queries - s->query), stride = whole_panels(s->keys), out_stride = s->activations->dim_panels * PANEL;
    struct head_address at = address(s, s->head);
    size_t last = s->section == SECTION_DECODER ? whole_panels((size_t)s->place[s->query + rows - 1] + 1) : stride;
    float *out = s->block + BLOCK_ROWS * stride;
    reading_places(engine, s->activations, at, s->place + s->query, rows, last / PANEL, s->block, stride);
    activations_mix(s->activations, engine->kernels, at.layer, at.head, s->block, stride, rows, 0, last, out, false);
    for (size_t r = 0; r < rows; r++)
        memcpy(s->z + (s->head * s->queries + s->query + r) * s->dim, out + r * out_stride, s->dim * sizeof *out);
    s->query += rows;
    return rows * last * 2 * s->dim / 8;
}

/* Adds one square of K's products; squares off the diagonal stand for two. */
static void take_square(struct similarity *s) {
    size_t across = smaller(CKA_SQUARE, s->queries - s->left), down = smaller(CKA_SQUARE, s->queries - s->below), cells = across * down;
    for (size_t h = 0; h < s->heads; h++)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)down, (int)across, (int)s->dim, 1,
                    s->zg + (h * s->queries + s->below) * s->dim, (int)s->dim, s->z + (h * s->queries + s->left) * s->dim, (int)s->dim, 0,
                    s->k + h * cells, (int)across);
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, (int)s->heads, (int)cells, 1, s->k, (int)cells, 0, s->product, (int)s->heads);
    for (size_t h = 0; h < s->heads; h++)
        for (size_t g = h; g < s->heads; g++)
            s->sum[h * s->heads + g] += (s->left == s->below ? 1 : 2) * (double)s->product[h * s->heads + g];
    s->left += CKA_SQUARE;
    if (s->left > s->below) s->left = 0, s->below += CKA_SQUARE;
}

static void cka_finish(struct similarity *s) {
    for (size_t h = 0; h < s->heads; h++)
        for (size_t g = h; g < s->heads; g++) {
            double norms = sqrt(s->sum[h * s->heads + h]) * sqrt(s->sum[g * s->heads + g]), product = s->sum[h * s->heads + g];
            float cka = norms > 0 ? (float)fmax(fmin(product / norms, 1), 0) : NAN;
            s->matrix[h * s->heads + g] = s->matrix[g * s->heads + h] = cka;
        }
    s->phase = DONE;
}

static void cka_step(struct engine *engine, struct similarity *s) {
    if (s->phase == GRAM) { /* a layer of it, then its heads */
        take_gram(engine, s);
        s->phase = OUTPUTS;
    } else if (s->phase == OUTPUTS) {
        for (size_t work = 0; work < step_work && s->query < s->queries;) work += take_outputs(engine, s);
        if (s->query < s->queries) return;
        centre(s);
        s->query = 0;
        s->head++;
        if (s->head % s->layer_heads == 0) s->phase = s->head < s->heads ? GRAM : SQUARES;
    } else {
        take_square(s);
        if (s->below >= s->queries) cka_finish(s);
    }
}

enum engine_status similarity_step(struct engine *engine, struct similarity *s, bool *done, char *error, size_t error_size) {
    if (s->phase != DONE) {
        if (s->kind == SIMILARITY_JS) js_step(engine, s);
        else cka_step(engine, s);
        if (model_is_broken(s->activations->model))
            return engine_fail(ENGINE_BROKEN, error, error_size, "the model's file was cut short or replaced while it was read; put it back and ask again");
    }
    *done = s->phase == DONE;
    return ENGINE_OK;
}
