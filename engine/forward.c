#include "engine/forward.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/activations.h"
#include "engine/attention.h"
#include "engine/general.h"
#include "engine/linear.h"
#include "engine/rope.h"
#include "engine/run.h"
#include "engine/value_norms.h"
#include "engine/weights.h"

/* Rows that a thread takes at a time where rows are independent: whole panels of keys, so that no two threads share one. */
enum { ROWS_AT_ONCE = PANEL };
/* The rows of a head are spread over so many sums, that several threads may work on it and the result does not depend on which. */
enum { SHARES_OF_A_HEAD = 4 };

/* A sink of the text: more than this received weight, in at least a tenth of the heads, seen by so many queries. */
static const double sink_weight = 0.3;
enum { SINK_HEADS_SHARE = 10, SINK_QUERIES = 8 };

/* ---- memory: everything is taken before the first layer --------------------------------------------------------- */

struct sizes {
    size_t rows_floats, worker_floats, share_bytes, head_bytes;
};

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* n queries, and at most so many keys. */
static size_t share_count(size_t n, size_t keys) {
    size_t blocks = (n + attention_block_rows(keys) - 1) / attention_block_rows(keys);
    return blocks < SHARES_OF_A_HEAD ? blocks : SHARES_OF_A_HEAD;
}

static size_t strides_of(struct run *run, const struct model_config *c) {
    run->d_stride = whole_panels((size_t)c->d_model);
    run->q_stride = whole_panels((size_t)c->heads * (size_t)c->head_dim);
    run->ff_stride = whole_panels(larger((size_t)c->d_ff, (size_t)c->expert_ff));
    run->kv_stride = whole_panels((size_t)c->kv_heads * (size_t)c->head_dim);
    run->pair_stride = whole_panels((size_t)c->rope_dim / 2);
    return 2 * run->d_stride + run->q_stride + run->ff_stride + 2 * run->kv_stride + 2 * run->pair_stride +
           general_row_floats(&run->general, c);
}

static size_t linear_floats(const struct kernels *kernels, const struct model_config *c) {
    size_t widest = larger((size_t)c->d_model, larger(larger((size_t)c->d_ff, (size_t)c->expert_ff), (size_t)c->heads * (size_t)c->head_dim));
    return whole_panels(linear_scratch(kernels, widest));
}

static struct visibility sees_all(const struct model *model) {
    return model->config.causal ? visibility_causal : (struct visibility){SIZE_MAX, SIZE_MAX};
}

/* source_n: 0 without cross-attention, whose keys and values take the rows of k and v for their own. */
static struct sizes sizes_of(const struct kernels *kernels, const struct model *model, size_t n, size_t source_n, size_t rows) {
    const struct model_config *c = &model->config;
    struct run strides;
    size_t row = strides_of(&strides, c), source_rows = source_n > rows ? source_n - rows : 0;
    size_t self = head_sums_size(n, visible_offsets(sees_all(model), n)), cross = head_sums_size(source_n, 0);
    return (struct sizes){
        .rows_floats = rows * row + 2 * source_rows * strides.kv_stride + whole_panels(rows) + whole_panels((size_t)c->d_model) +
                       general_floats(&strides.general, c),
        .worker_floats = whole_panels(attention_scratch_floats(model, larger(n, source_n))) + linear_floats(kernels, c),
        .share_bytes = whole_panels(larger(self, cross)), /* a multiple of what double needs */
        .head_bytes = sizeof(struct head_statistics) + (2 * THUMBNAIL_BINS + 1) * THUMBNAIL_BINS,
    };
}

/* What one stack of layers takes beside its activations. */
static uint64_t scratch_size(const struct kernels *kernels, const struct model *model, int threads, size_t n, size_t source_n) {
    struct sizes s = sizes_of(kernels, model, n, source_n, n);
    size_t keys = larger(n, source_n), heads = (size_t)model->config.heads, shares = heads * share_count(n, keys), workers = (size_t)threads;
    return (model->config.general ? 2 : 1) * text_facts_size(n) +
           (source_n > 0 ? text_facts_size(keys) : 0) + reserve_block_size(s.rows_floats * sizeof(float)) +
           reserve_block_size(workers * s.worker_floats * sizeof(float)) + workers * sizeof(struct worker) +
           reserve_block_size(shares * s.share_bytes) + shares * sizeof(struct head_share) +
           heads * (s.head_bytes + sizeof(size_t)) + (n + source_n) * 2 * sizeof(uint32_t);
}

static size_t output_bytes(const struct model *encoder, size_t n) {
    return n * whole_panels((size_t)encoder->config.d_model) * sizeof(float);
}

uint64_t forward_size(const struct kernels *kernels, const struct model *model, int threads, size_t n, size_t target_n) {
    const struct model *encoder = model->encoder;
    uint64_t factors = value_factors_size(model, threads);
    if (!encoder) return factors + activations_size(model, model_section(model), n, n) + scratch_size(kernels, model, threads, n, 0);
    factors = 2 * factors + value_factors_size(encoder, threads); /* of both attentions of the decoder's layers */
    uint64_t first = scratch_size(kernels, encoder, threads, n, 0), second = scratch_size(kernels, model, threads, target_n, n);
    return factors + activations_size(encoder, SECTION_ENCODER, n, n) + activations_size(model, SECTION_DECODER, target_n, target_n) +
           activations_size(model, SECTION_CROSS, target_n, n) + reserve_block_size(output_bytes(encoder, n)) + (first > second ? first : second);
}

static void *take(struct run *run, void *block) {
    if (block) run->blocks[run->block_count++] = (struct run_block){block, 0};
    return block;
}

static void *take_large(struct run *run, size_t bytes) {
    void *block = reserve_take(run->engine->reserve, bytes);
    if (block) run->blocks[run->block_count++] = (struct run_block){block, bytes};
    return block;
}

static bool take_rows(struct run *run, const struct sizes *s) {
    size_t rows = run->rows, kv_rows = larger(rows, run->source_n);
    float *block = take_large(run, s->rows_floats * sizeof *block);
    if (!block) return false;
    strides_of(run, run->config);
    run->residual = block;
    run->normed = run->residual + rows * run->d_stride;
    run->mixed = run->normed + rows * run->d_stride;
    run->hidden = run->mixed + rows * run->q_stride;
    run->k = run->hidden + rows * run->ff_stride;
    run->v = run->k + kv_rows * run->kv_stride;
    run->cosine = run->v + kv_rows * run->kv_stride;
    run->sine = run->cosine + rows * run->pair_stride;
    run->norm_weight = run->sine + rows * run->pair_stride;
    run->residual_norm = run->norm_weight + whole_panels((size_t)run->config->d_model);
    float *rest = run->residual_norm + whole_panels(rows);
    if (run->config->general) general_init(&run->general, run->config, rows, rest);
    if (run->config->general || run->d_stride != (size_t)run->config->d_model || run->q_stride != (size_t)(run->config->heads * run->config->head_dim))
        memset(block, 0, s->rows_floats * sizeof *block); /* the padding of rows stays 0 */
    return true;
}

static bool take_workers(struct run *run, const struct sizes *s) {
    size_t threads = (size_t)pool_threads(run->engine->pool);
    float *block = take_large(run, threads * s->worker_floats * sizeof *block);
    run->worker = take(run, calloc(threads, sizeof *run->worker));
    if (!block || !run->worker) return false;
    size_t keys = larger(run->n, run->source_n);
    for (size_t t = 0; t < threads; t++, block += s->worker_floats) {
        struct worker *worker = &run->worker[t];
        attention_scratch_init(&worker->attention, run->model, keys, block);
        worker->linear = block + whole_panels(attention_scratch_floats(run->model, keys));
    }
    return true;
}

static bool take_heads(struct run *run, const struct sizes *s) {
    size_t heads = (size_t)run->config->heads, keys = larger(run->n, run->source_n);
    run->block_rows = attention_block_rows(keys);
    run->shares = share_count(run->n, keys);
    size_t shares = heads * run->shares;
    char *arrays = take_large(run, shares * s->share_bytes);
    run->share = take(run, calloc(shares, sizeof *run->share));
    run->shares_left = take(run, calloc(heads, sizeof *run->shares_left));
    run->receiving_heads = take(run, calloc(run->n, sizeof *run->receiving_heads));
    if (run->source) run->cross_receiving_heads = take(run, calloc(run->source_n, sizeof *run->cross_receiving_heads));
    run->statistics = take(run, calloc(heads, s->head_bytes));
    if (!arrays || !run->share || !run->shares_left || !run->receiving_heads || !run->statistics) return false;
    if (run->source && !run->cross_receiving_heads) return false;
    for (size_t i = 0; i < shares; i++) run->share[i].memory = (double *)(void *)(arrays + i * s->share_bytes);
    run->max = (uint8_t *)(run->statistics + heads);
    run->mean = run->max + heads * THUMBNAIL_BINS * THUMBNAIL_BINS;
    run->strip = run->mean + heads * THUMBNAIL_BINS * THUMBNAIL_BINS;
    return true;
}

/* One stack of layers over one text: all of most models, the encoder or the decoder of one that has both. */
struct sequence {
    const struct model *model;
    const int32_t *ids; /* [n] */
    size_t n;
    const uint8_t *types;
    const uint32_t *excluded;
    size_t excluded_count;
    float *output;      /* as in struct run */
    float *residual;    /* [n, d_model] takes the residual stream behind the last layer; NULL: nobody asks for it */
    const float *source;
    size_t source_n;
    const uint32_t *source_excluded;
    size_t source_excluded_count;
    enum precision precision;
};

static size_t shared_prefix(const struct activations *prefix, const struct sequence *text) {
    size_t n = 0;
    if (!prefix || prefix->model != text->model || prefix->precision != text->precision || !text->model->config.causal || text->source) return 0;
    while (n < text->n && n < prefix->n && prefix->ids[n] == text->ids[n]) n++;
    return n;
}

static void run_finish(struct run *run) {
    while (run->block_count > 0) {
        struct run_block *block = &run->blocks[--run->block_count];
        if (block->bytes > 0)
            reserve_give(run->engine->reserve, block->start, block->bytes);
        else
            free(block->start);
    }
    for (size_t f = 0; f < FACT_KINDS; f++) text_facts_finish(&run->facts_of[f]);
    activations_destroy(run->activations);
}

static bool has_window(const struct model *model, int layer) {
    return model->config.general && model->layer[layer].window > 0;
}

static bool take_facts(struct run *run, const struct sequence *text) {
    const struct model *model = text->model;
    int windowed = 0;
    while (windowed < model->config.layers && !has_window(model, windowed)) windowed++;
    if (!text_facts_init(&run->facts_of[FACTS_ALL], sees_all(model), text->ids, text->n, text->excluded, text->excluded_count)) return false;
    if (windowed < model->config.layers &&
        !text_facts_init(&run->facts_of[FACTS_WINDOW], attention_visibility(model, windowed), text->ids, text->n, text->excluded,
                         text->excluded_count))
        return false;
    return !text->source ||
           text_facts_init_cross(&run->facts_of[FACTS_CROSS], text->n, text->source_n, text->source_excluded, text->source_excluded_count);
}

static bool take_activations(struct run *run, const struct sequence *text) {
    struct activations *a = run->activations = activations_create(text->model, model_section(text->model), text->ids, text->n, text->n,
                                                               run->engine->reserve);
    if (a) a->precision = text->precision;
    if (!a || !text->source) return a != NULL;
    a->cross = activations_create(text->model, SECTION_CROSS, NULL, text->n, text->source_n, run->engine->reserve);
    if (a->cross) a->bytes += a->cross->bytes;
    return a->cross != NULL;
}

static bool run_init(struct run *run, struct engine *engine, const struct sequence *text, const struct activations *prefix,
                     const struct analysis_observer *observer) {
    *run = (struct run){.engine = engine, .kernels = engine->kernels, .model = text->model, .config = &text->model->config,
                        .bf16 = text->precision == PRECISION_BF16 ? engine->bf16 : NULL,
                        .observer = observer, .prefix = prefix, .types = text->types, .source = text->source, .output = text->output,
                        .n = text->n, .source_n = text->source_n, .reused = shared_prefix(prefix, text)};
    run->rows = run->n - run->reused;
    struct sizes s = sizes_of(run->kernels, run->model, run->n, run->source_n, run->rows);
    if (take_facts(run, text) && take_activations(run, text) && take_rows(run, &s) && take_workers(run, &s) && take_heads(run, &s))
        return true;
    run_finish(run);
    return false;
}

/* ---- phases: one function for all workers at once ---------------------------------------------------------------- */

static void linear_work(void *context, int worker);

bool run_stopped(struct run *run) {
    return atomic_load_explicit(&run->cancelled, memory_order_relaxed);
}

/* Between pieces of work, on the caller's thread: at most once a millisecond. */
void run_breathe(struct run *run, int worker) {
    if (worker != 0 || !run->observer || !run->observer->breathe) return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if ((now.tv_sec - run->last_breath.tv_sec) * 1000000000L + now.tv_nsec - run->last_breath.tv_nsec < 1000000) return;
    if (!run->observer->breathe(run->observer->context)) atomic_store(&run->cancelled, true);
    clock_gettime(CLOCK_MONOTONIC, &run->last_breath);
}

void run_phase(struct run *run, pool_work *work) {
    if (run_stopped(run)) return;
    atomic_store_explicit(&run->next, 0, memory_order_relaxed);
    pool_run(run->engine->pool, work, run);
}

void run_phase_with(struct run *run, pool_work *work, void *context) {
    if (run_stopped(run)) return;
    atomic_store_explicit(&run->next, 0, memory_order_relaxed);
    pool_run(run->engine->pool, work, context);
}

void run_linear(struct run *run) {
    run_phase(run, linear_work);
}

/* The next rows of a phase whose rows are independent, counted from row 0 of the residual stream. */
bool run_next_rows(struct run *run, size_t *first, size_t *end) {
    /* pieces end where positions do, not rows: panels of keys belong to one thread */
    size_t piece = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed) + run->reused / ROWS_AT_ONCE;
    size_t from = piece * ROWS_AT_ONCE, to = from + ROWS_AT_ONCE;
    if (from >= run->n) return false;
    *first = from > run->reused ? from - run->reused : 0;
    *end = (to < run->n ? to : run->n) - run->reused;
    return true;
}

bool run_next_source_rows(struct run *run, size_t *first, size_t *end) {
    size_t from = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed) * ROWS_AT_ONCE, to = from + ROWS_AT_ONCE;
    *first = from;
    *end = to < run->source_n ? to : run->source_n;
    return from < run->source_n;
}

static void embed_work(void *context, int worker) {
    struct run *run = context;
    (void)worker;
    for (size_t i, end; run_next_rows(run, &i, &end);)
        for (; i < end; i++) {
            weights_row(run->kernels, &run->model->embedding, (size_t)run->activations->ids[run->reused + i],
                        run->residual + i * run->d_stride);
            rope_angles(run->config, run->reused + i, run->cosine + i * run->pair_stride, run->sine + i * run->pair_stride);
        }
}

static void norm_work(void *context, int worker) {
    struct run *run = context;
    for (size_t i, end; !run_stopped(run) && run_next_rows(run, &i, &end); run_breathe(run, worker))
        for (; i < end; i++) {
            double squares = run->kernels->rms_norm(run->residual + i * run->d_stride, run->norm_weight, (size_t)run->config->d_model,
                                                    run->config->norm_epsilon, run->normed + i * run->d_stride);
            if (!isfinite(squares)) atomic_store_explicit(&run->not_finite, true, memory_order_relaxed);
        }
}

static void normalise(struct run *run, const struct tensor *weight) {
    weights_vector(run->kernels, weight, run->norm_weight);
    run_phase(run, norm_work);
}

static void publish(struct run *run) {
    if (!run->to_publish) return;
    run->to_publish = false;
    struct layer_result result = {.section = run->maps->section, .layer = run->layer, .heads = run->config->heads,
                                  .statistics = run->statistics, .rows = run->facts->bins, .cols = run->facts->key_bins,
                                  .max = run->max, .mean = run->mean, .excluded = run->strip};
    if (run->observer && run->observer->layer && !run->observer->layer(run->observer->context, &result))
        atomic_store(&run->cancelled, true);
}

/* The layer that has just been finished is handed out by the caller's thread while the others go on. */
static void linear_work(void *context, int worker) {
    struct run *run = context;
    if (worker == 0) publish(run);
    while (!run_stopped(run) && linear_step(&run->linear, run->worker[worker].linear)) run_breathe(run, worker);
}

struct linear run_linear_from(struct run *run, const float *x, size_t x_stride, bool accumulate) {
    return (struct linear){.kernels = run->kernels, .bf16 = run->bf16, .x = x, .x_stride = x_stride, .rows = run->rows, .accumulate = accumulate,
                           .threads = pool_threads(run->engine->pool)};
}

void run_project(struct run *run, const struct tensor *weight, const struct tensor *up, const float *x, size_t x_stride, float *y,
                    size_t y_stride, bool accumulate) {
    run->linear = run_linear_from(run, x, x_stride, accumulate);
    run->linear.part[run->linear.parts++] = (struct linear_part){weight, up, y, y_stride};
    run_phase(run, linear_work);
}

/* q goes to where it stays, k and v to where they are turned and put into panels. */
static void project_qkv(struct run *run, const struct layer_weights *w, struct layer_activations *a) {
    run->linear = run_linear_from(run, run->normed, run->d_stride, false);
    run->linear.parts = 3;
    run->linear.part[0] = (struct linear_part){&w->q, NULL, a->q + run->reused * run->activations->q_stride, run->activations->q_stride};
    run->linear.part[1] = (struct linear_part){&w->k, NULL, run->k, run->kv_stride};
    run->linear.part[2] = (struct linear_part){&w->v, NULL, run->v, run->kv_stride};
    run_phase(run, linear_work);
}

void run_residual_norms(struct run *run, size_t first, size_t end) {
    for (size_t i = first; i < end; i++) {
        const float *x = run->residual + i * run->d_stride;
        run->residual_norm[i] = (float)sqrt(run->kernels->dot(x, x, (size_t)run->config->d_model));
    }
}

void run_value_norms(struct run *run, struct activations *maps, const struct layer_weights *w, int worker, size_t first, size_t end) {
    const struct model_config *c = run->config;
    size_t head_dim = (size_t)c->head_dim;
    for (int h = 0; h < c->heads; h++)
        value_norms(run->kernels, run->model, w, h, run->v + first * run->kv_stride + (size_t)(h / (c->heads / c->kv_heads)) * head_dim,
                    run->kv_stride, end - first, run->worker[worker].attention.projected,
                    maps->layer[run->layer].value_norm + (size_t)h * maps->keys + run->reused + first);
}

static void rope_work(void *context, int worker) {
    struct run *run = context;
    const struct model_config *c = run->config;
    float *q = run->activations->layer[run->layer].q;
    for (size_t first, end; !run_stopped(run) && run_next_rows(run, &first, &end); run_breathe(run, worker)) {
        for (size_t i = first; i < end; i++) {
            size_t position = run->reused + i;
            const float *cosine = run->cosine + i * run->pair_stride, *sine = run->sine + i * run->pair_stride;
            rope_turn(c, (size_t)c->heads, cosine, sine, q + position * run->activations->q_stride);
            rope_turn(c, (size_t)c->kv_heads, cosine, sine, run->k + i * run->kv_stride);
            activations_store_row(run->activations, run->layer, position, run->k + i * run->kv_stride, run->v + i * run->kv_stride);
        }
        run_residual_norms(run, first, end);
        run_value_norms(run, run->activations, &run->model->layer[run->layer], worker, first, end);
    }
}

/* ---- attention ------------------------------------------------------------------------------------------------- */

static void finish_head(struct run *run, size_t head) {
    struct head_share *first = &run->share[head * run->shares];
    size_t bins = (size_t)run->facts->bins, cells = bins * (size_t)run->facts->key_bins;
    _Atomic uint32_t *receiving = run->facts->cross ? run->cross_receiving_heads : run->receiving_heads;
    for (size_t s = 1; s < run->shares; s++) {
        head_sums_add(&first->sums, &first[s].sums);
        thumbnail_sums_add(&first->thumbnails, &first[s].thumbnails, run->facts);
    }
    const struct layer_activations *a = &run->maps->layer[run->layer];
    struct head_statistics *statistics = &run->statistics[head];
    bool finite = statistics_finish(run->facts, &first->sums, statistics);
    if (finite && !run->facts->cross)
        finite = statistics_finish_values(run->facts, &first->sums, a->value_norm + head * run->n, a->output_ratio + head * run->n, statistics);
    if (!a->sinks) statistics->value[STAT_MISSING_MASS] = NAN;
    thumbnail_finish(run->facts, &first->thumbnails, run->max + head * cells, run->mean + head * cells, run->strip + head * bins);
    if (!finite) { /* nothing is said of such a head */
        atomic_store(&run->not_finite, true);
        for (int s = 0; s < STAT_COUNT; s++) statistics->value[s] = NAN;
        memset(run->max + head * cells, 0, cells);
        memset(run->mean + head * cells, 0, cells);
        memset(run->strip + head * bins, 0, bins);
    }
    for (size_t j = 0; j < run->facts->keys; j++)
        if (facts_receivers(run->facts, j) >= SINK_QUERIES && statistics_received(run->facts, &first->sums, j) > sink_weight)
            atomic_fetch_add_explicit(&receiving[j], 1, memory_order_relaxed);
}

/* Rows first .. end - 1 of a head's output, which scratch holds from its block's first row on: to where the projection reads them,
 * and, in self-attention, their norms behind it. */
static void put_output(struct run *run, size_t head, size_t first, size_t end, struct attention_scratch *scratch) {
    size_t head_dim = (size_t)run->config->head_dim, width = run->activations->dim_panels * PANEL;
    const float *output = scratch->output + (first - scratch->block.query0) * width;
    if (run->keeps_output)
        for (size_t i = first; i < end; i++)
            memcpy(run->mixed + (i - run->reused) * run->q_stride + head * head_dim, output + (i - first) * width, head_dim * sizeof(float));
    if (run->facts->cross) return;
    float *ratio = run->activations->layer[run->layer].output_ratio + head * run->n + first;
    value_norms(run->kernels, run->model, &run->model->layer[run->layer], (int)head, output, width, end - first, scratch->projected, ratio);
    for (size_t i = first; i < end; i++) {
        float residual = run->residual_norm[i - run->reused];
        ratio[i - first] = residual > 0 ? ratio[i - first] / residual : -1;
    }
}

static void attend_block(struct run *run, size_t head, size_t query0, struct worker *worker, struct head_share *share) {
    struct layer_activations *a = &run->maps->layer[run->layer];
    struct attention_scratch *scratch = &worker->attention;
    size_t rows = run->n - query0 < run->block_rows ? run->n - query0 : run->block_rows;
    attention_weights(run->maps, run->kernels, run->layer, (int)head, query0, rows, scratch);
    for (size_t r = 0; r < rows; r++) {
        a->row_max[head * run->n + query0 + r] = scratch->block.sums[r].max;
        a->row_inverse[head * run->n + query0 + r] = scratch->block.inverse[r];
    }
    attention_gather(run->kernels, run->facts, scratch, &share->sums, &share->thumbnails);
    if (!run->facts->cross) statistics_values(run->facts, &scratch->block, a->value_norm + head * run->n, &share->sums);
    if (query0 + rows <= run->reused || (run->facts->cross && !run->keeps_output)) return;
    attention_output(run->maps, run->kernels, run->layer, (int)head, scratch);
    put_output(run, head, larger(query0, run->reused), query0 + rows, scratch);
}

/* A task is one share of one head: every shares-th block of rows, the longest rows first. */
static void attend_work(void *context, int worker) {
    struct run *run = context;
    size_t tasks = (size_t)run->config->heads * run->shares, blocks = (run->n + run->block_rows - 1) / run->block_rows;
    for (size_t task; !run_stopped(run) && (task = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < tasks;) {
        size_t head = task / run->shares;
        struct head_share *share = &run->share[task];
        head_sums_init(&share->sums, run->facts->keys, run->facts->offsets, share->memory);
        thumbnail_sums_init(&share->thumbnails, run->facts);
        for (size_t b = task % run->shares; b < blocks && !run_stopped(run); b += run->shares) {
            attend_block(run, head, (blocks - 1 - b) * run->block_rows, &run->worker[worker], share);
            run_breathe(run, worker);
        }
        if (atomic_fetch_sub_explicit(&run->shares_left[head], 1, memory_order_acq_rel) == 1) finish_head(run, head);
    }
}

static void attend(struct run *run, struct activations *maps, enum fact_kind facts, bool keeps_output) {
    run->maps = maps;
    run->facts = &run->facts_of[facts];
    run->keeps_output = keeps_output;
    for (int h = 0; h < run->config->heads; h++) atomic_store_explicit(&run->shares_left[h], run->shares, memory_order_relaxed);
    if (run->reused) activations_copy_rows(run->activations, run->prefix, run->layer, run->reused);
    activations_clear_tail(maps, run->layer);
    run_phase(run, attend_work);
    run->to_publish = true;
}

/* ---- the model ------------------------------------------------------------------------------------------------- */

/* Whether the attention's output is worthless: the layer ends. */
static bool is_over(struct run *run) {
    return !run->keeps_output || run_stopped(run) || model_is_broken(run->model);
}

/* Self-attention, in a decoder with an encoder cross-attention, then feed-forward. */
static void run_general_layer(struct run *run, const struct layer_weights *w, const struct layer_weights *cross, bool goes_on) {
    if (run->rows > 0) general_attention_input(run, w);
    attend(run, run->activations, w->window > 0 ? FACTS_WINDOW : FACTS_ALL, goes_on || cross);
    if (is_over(run)) return;
    general_attention_output(run, w);
    if (cross) {
        general_cross_input(run, cross);
        attend(run, run->activations->cross, FACTS_CROSS, goes_on);
        if (is_over(run)) return;
        general_attention_output(run, cross);
    }
    general_feed_forward(run, w);
}

/* A pre-norm decoder layer with grouped-query attention and a gated feed-forward layer (Touvron et al. 2023). */
static void run_layer(struct run *run, int layer) {
    const struct layer_weights *w = &run->model->layer[layer];
    run->layer = layer;
    bool goes_on = run->rows > 0 && (layer + 1 < run->config->layers || run->output || run->keeps_residual);
    struct layer_weights *cross = run->source ? &run->model->cross[layer] : NULL;
    if (!value_factors_prepare(run->engine, run->model, &run->model->layer[layer]) ||
        (cross && !value_factors_prepare(run->engine, run->model, cross))) {
        run->no_memory = true;
        return;
    }
    if (run->config->general) {
        run_general_layer(run, w, cross, goes_on);
        return;
    }

    if (run->rows > 0) {
        normalise(run, &w->attention_norm);
        project_qkv(run, w, &run->activations->layer[layer]);
        run_phase(run, rope_work);
    }
    attend(run, run->activations, FACTS_ALL, goes_on);
    if (is_over(run)) return;
    run_project(run, &w->o, NULL, run->mixed, run->q_stride, run->residual, run->d_stride, true);
    normalise(run, &w->ffn_norm);
    run_project(run, &w->gate, &w->up, run->normed, run->d_stride, run->hidden, run->ff_stride, false);
    run_project(run, &w->down, NULL, run->hidden, run->ff_stride, run->residual, run->d_stride, true);
}

static enum engine_status run_layers(struct run *run, char *error, size_t error_size) {
    if (run->rows > 0 && run->config->general)
        general_embed(run);
    else if (run->rows > 0)
        run_phase(run, embed_work);
    for (int layer = 0; layer < run->config->layers; layer++) {
        run_layer(run, layer);
        if (run->no_memory) return engine_fail_memory(error, error_size);
        if (model_is_broken(run->model))
            return engine_fail(ENGINE_BROKEN, error, error_size,
                               "the model's file was cut short or replaced while it was in use; open it again");
        if (run_stopped(run)) /* before the numbers are judged: those of half a layer may be anything */
            return engine_fail(ENGINE_CANCELLED, error, error_size, "the analysis was cancelled");
        if (atomic_load(&run->not_finite) && run->activations->not_finite < 0) run->activations->not_finite = layer;
        if (!run_stopped(run)) publish(run);
        if (run_stopped(run)) return engine_fail(ENGINE_CANCELLED, error, error_size, "the analysis was cancelled");
    }
    if (run->output) general_output(run);
    return run_stopped(run) ? engine_fail(ENGINE_CANCELLED, error, error_size, "the analysis was cancelled") : ENGINE_OK;
}

/* false: no memory. */
static bool find_sinks(const struct model_config *config, _Atomic uint32_t *receiving_heads, struct activations *maps) {
    size_t heads = (size_t)config->heads * (size_t)config->layers;
    maps->sinks = malloc(maps->keys * sizeof *maps->sinks);
    if (!maps->sinks) return false;
    for (size_t j = 0; j < maps->keys; j++)
        if (atomic_load(&receiving_heads[j]) > 0 && atomic_load(&receiving_heads[j]) * SINK_HEADS_SHARE >= heads)
            maps->sinks[maps->sink_count++] = (uint32_t)j;
    return true;
}

static enum engine_status run_sequence(struct engine *engine, const struct sequence *text, const struct activations *prefix,
                                       const struct analysis_observer *observer, struct activations **activations, char *error,
                                       size_t error_size) {
    struct run run;
    if (!run_init(&run, engine, text, prefix, observer)) return engine_fail_memory(error, error_size);
    run.keeps_residual = text->residual != NULL;
    enum engine_status status = run_layers(&run, error, error_size);
    for (size_t i = 0; status == ENGINE_OK && text->residual && i < run.rows; i++)
        memcpy(text->residual + (run.reused + i) * (size_t)run.config->d_model, run.residual + i * run.d_stride,
               (size_t)run.config->d_model * sizeof(float));
    if (status == ENGINE_OK && (!find_sinks(run.config, run.receiving_heads, run.activations) ||
                                (run.source && !find_sinks(run.config, run.cross_receiving_heads, run.activations->cross))))
        status = engine_fail_memory(error, error_size);
    if (status == ENGINE_OK) {
        *activations = run.activations;
        run.activations = NULL;
    }
    run_finish(&run);
    return status;
}

/* The encoder over the source, then the decoder over the target, which reads the encoder's output. */
static enum engine_status run_both(struct engine *engine, const struct analysis_input *input, const struct analysis_observer *observer,
                                   struct activations **activations, char *error, size_t error_size) {
    struct activations *encoder = NULL, *decoder = NULL;
    size_t bytes = output_bytes(input->model->encoder, input->n);
    float *output = reserve_take(engine->reserve, bytes);
    if (!output) return engine_fail_memory(error, error_size);
    struct sequence source = {.model = input->model->encoder, .ids = input->ids, .n = input->n, .types = input->types,
                              .excluded = input->excluded, .excluded_count = input->excluded_count, .output = output, .precision = input->precision};
    struct sequence target = {.model = input->model, .ids = input->target_ids, .n = input->target_n,
                              .excluded = input->target_excluded, .excluded_count = input->target_excluded_count,
                              .source = output, .source_n = input->n,
                              .source_excluded = input->excluded, .source_excluded_count = input->excluded_count, .precision = input->precision};
    enum engine_status status = run_sequence(engine, &source, NULL, observer, &encoder, error, error_size);
    if (status == ENGINE_OK) status = run_sequence(engine, &target, NULL, observer, &decoder, error, error_size);
    reserve_give(engine->reserve, output, bytes);
    if (status != ENGINE_OK) {
        activations_destroy(encoder);
        return status;
    }
    decoder->encoder = encoder;
    decoder->bytes += encoder->bytes;
    *activations = decoder;
    return ENGINE_OK;
}

enum engine_status forward_run(struct engine *engine, const struct analysis_input *input, const struct activations *prefix,
                               const struct analysis_observer *observer, uint32_t **sinks, size_t *sink_count,
                               struct activations **activations, char *error, size_t error_size) {
    struct activations *made = NULL;
    struct sequence text = {.model = input->model, .ids = input->ids, .n = input->n, .types = input->types,
                            .excluded = input->excluded, .excluded_count = input->excluded_count, .residual = input->residual,
                            .precision = input->precision};
    enum engine_status status = input->model->encoder
                                    ? run_both(engine, input, observer, &made, error, error_size)
                                    : run_sequence(engine, &text, prefix, observer, &made, error, error_size);
    if (status != ENGINE_OK) return status;
    const struct activations *first = made->encoder ? made->encoder : made;
    uint32_t *found = malloc((first->sink_count + 1) * sizeof *found);
    if (!found) {
        activations_destroy(made);
        return engine_fail_memory(error, error_size);
    }
    memcpy(found, first->sinks, first->sink_count * sizeof *found);
    *sinks = found;
    *sink_count = first->sink_count;
    *activations = made;
    return ENGINE_OK;
}

static double stack_operations(const struct model_config *c, size_t n, size_t source_n) {
    double d = c->d_model, q = (double)c->heads * c->head_dim, kv = (double)c->kv_heads * c->head_dim, ff = c->d_ff;
    double all = (double)n, source = (double)source_n, linear = 2 * all * (d * (2 * q + 2 * kv) + 3 * d * ff) + 2 * all * all * q;
    double cross = source > 0 ? 4 * d * (all * q + source * kv) + 4 * all * source * q : 0;
    return c->layers * (linear + cross);
}

double forward_operations(const struct model *model, size_t n, size_t target_n) {
    if (!model->encoder) return stack_operations(&model->config, n, 0);
    return stack_operations(&model->encoder->config, n, 0) + stack_operations(&model->config, target_n, n);
}
