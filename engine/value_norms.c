#include "engine/value_norms.h"

#include <cblas.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/memory.h"
#include "engine/weights.h"

/* Rows of W_O that are unpacked at a time. */
enum { CHUNK_ROWS = 128 };

/* A pivot below this share of G's largest is rounding: the column adds nothing. */
static const double smallest_pivot = 1e-13;

static size_t factor_floats(const struct model_config *c) {
    return (size_t)c->head_dim * whole_panels((size_t)c->head_dim);
}

uint64_t value_factors_size(const struct model *model, int threads) {
    const struct model_config *c = &model->config;
    size_t heads = (size_t)c->heads, head_dim = (size_t)c->head_dim;
    return (uint64_t)c->layers * memory_aligned_size(heads * factor_floats(c) * sizeof(float)) +
           CHUNK_ROWS * (heads * head_dim * sizeof(float) + (size_t)threads * head_dim * sizeof(double)) +
           heads * head_dim * head_dim * sizeof(double);
}

/* ---- factors ----------------------------------------------------------------------------------------------------- */

struct factor_work {
    const struct kernels *kernels;
    const struct tensor *o;
    size_t heads, head_dim;
    size_t row0, rows;  /* of W_O, unpacked now */
    float *unpacked;    /* [CHUNK_ROWS, heads * head_dim] */
    double *slice;      /* [threads, CHUNK_ROWS, head_dim] the columns of one head */
    double *gram;       /* [heads, head_dim, head_dim] lower triangles of G, then L */
    float *factors;
    _Atomic size_t next;
};

static void unpack_rows(void *context, int worker) {
    struct factor_work *w = context;
    (void)worker;
    for (size_t r; (r = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed)) < w->rows;)
        weights_row(w->kernels, w->o, w->row0 + r, w->unpacked + r * w->heads * w->head_dim);
}

static void add_to_gram(void *context, int worker) {
    struct factor_work *w = context;
    size_t d = w->head_dim;
    double *slice = w->slice + (size_t)worker * CHUNK_ROWS * d;
    for (size_t h; (h = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed)) < w->heads;) {
        for (size_t r = 0; r < w->rows; r++)
            for (size_t i = 0; i < d; i++) slice[r * d + i] = (double)w->unpacked[(r * w->heads + h) * d + i];
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)d, (int)w->rows, 1, slice, (int)d, 1, w->gram + h * d * d, (int)d);
    }
}

/* G = L L^T in place. G is positive semidefinite, so a pivot that is lost in rounding means a column of zeros. */
static void cholesky(double *g, size_t n) {
    double largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, g[i * n + i]);
    for (size_t j = 0; j < n; j++) {
        double pivot = g[j * n + j];
        for (size_t k = 0; k < j; k++) pivot -= g[j * n + k] * g[j * n + k];
        double scale = pivot > smallest_pivot * largest ? 1 / sqrt(pivot) : 0;
        for (size_t i = j; i < n; i++) {
            double sum = g[i * n + j];
            for (size_t k = 0; k < j; k++) sum -= g[i * n + k] * g[j * n + k];
            g[i * n + j] = sum * scale;
        }
    }
}

static void factorise(void *context, int worker) {
    struct factor_work *w = context;
    size_t d = w->head_dim;
    (void)worker;
    for (size_t h; (h = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed)) < w->heads;) {
        double *l = w->gram + h * d * d;
        float *to = w->factors + h * d * whole_panels(d);
        cholesky(l, d);
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j <= i; j++) to[(j / PANEL * d + i) * PANEL + j % PANEL] = (float)l[i * d + j];
    }
}

static void step(struct engine *engine, pool_work *work, struct factor_work *w) {
    atomic_store(&w->next, 0);
    pool_run(engine->pool, work, w);
}

static float *make_factors(struct engine *engine, const struct model *model, const struct layer_weights *layer) {
    const struct model_config *c = &model->config;
    struct factor_work w = {.kernels = engine->kernels, .o = &layer->o, .heads = (size_t)c->heads, .head_dim = (size_t)c->head_dim};
    size_t bytes = w.heads * factor_floats(c) * sizeof *w.factors;
    w.unpacked = malloc(CHUNK_ROWS * w.heads * w.head_dim * sizeof *w.unpacked);
    w.slice = malloc((size_t)pool_threads(engine->pool) * CHUNK_ROWS * w.head_dim * sizeof *w.slice);
    w.gram = calloc(w.heads * w.head_dim * w.head_dim, sizeof *w.gram);
    w.factors = memory_aligned(bytes);
    if (!w.unpacked || !w.slice || !w.gram || !w.factors) {
        free(w.factors);
        w.factors = NULL;
        goto done;
    }
    memset(w.factors, 0, bytes);
    for (w.row0 = 0; w.row0 < layer->o.rows; w.row0 += CHUNK_ROWS) {
        w.rows = layer->o.rows - w.row0 < CHUNK_ROWS ? layer->o.rows - w.row0 : CHUNK_ROWS;
        step(engine, unpack_rows, &w);
        step(engine, add_to_gram, &w);
    }
    step(engine, factorise, &w);
done:
    free(w.unpacked);
    free(w.slice);
    free(w.gram);
    return w.factors;
}

bool value_factors_prepare(struct engine *engine, const struct model *model, struct layer_weights *layer) {
    if (atomic_load_explicit(&layer->value_factors, memory_order_acquire)) return true;
    float *none = NULL, *made = make_factors(engine, model, layer);
    if (made && !atomic_compare_exchange_strong(&layer->value_factors, &none, made)) free(made); /* another engine was faster */
    return made != NULL;
}

/* ---- norms ------------------------------------------------------------------------------------------------------- */

void value_norms(const struct kernels *kernels, const struct model *model, const struct layer_weights *layer, int head, const float *x,
                 size_t x_stride, size_t rows, float *scratch, float *norms) {
    enum { PANELS_AT_ONCE = 2 }; /* what one pass of the product keeps in registers */
    size_t d = (size_t)model->config.head_dim, width = whole_panels(d), panels = width / PANEL;
    const float *factor = atomic_load_explicit(&layer->value_factors, memory_order_relaxed) + (size_t)head * d * width;
    for (size_t p = 0; p < panels; p += PANELS_AT_ONCE) /* rows of L above the diagonal are 0: depth begins there */
        kernels->multiply(&(struct product){
            .rows = rows, .panels = panels - p < PANELS_AT_ONCE ? panels - p : PANELS_AT_ONCE, .depth = d - p * PANEL,
            .a = x + p * PANEL, .a_stride = x_stride,
            .b = factor + (p * d + p * PANEL) * PANEL, .b_panel_stride = d * PANEL,
            .c = scratch + p * PANEL, .c_stride = width, .c_panel_stride = PANEL, .scale = 1.0f,
        });
    for (size_t r = 0; r < rows; r++) norms[r] = (float)sqrt(kernels->dot(scratch + r * width, scratch + r * width, width));
}
