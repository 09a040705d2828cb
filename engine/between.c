/* between.c: what goes from some queries to some keys. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/attention.h"
#include "engine/memory.h"
#include "engine/reading.h"

enum { TAIL_OFFSETS = 32 }; /* whose mean goes on beyond a profile's reach */

/* One head's rectangle on its way. */
struct between {
    const struct engine *engine;
    const struct activations *activations; /* of the head's section */
    struct head_address at;
    const struct rectangle *rectangle;
    const uint32_t *excluded;
    size_t excluded_count, queries, keys;
    struct visibility sees;
    const double *profile;
    double *cumulated; /* [offsets + 1] sums of the profile; NULL without one */
    float *block;      /* [BLOCK_ROWS, stride] */
    float *on_excluded; /* [BLOCK_ROWS] */
    float *panel;      /* [BLOCK_ROWS, PANEL] */
    size_t panel0, stride;
};

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* The profile's sum over the keys lo .. hi - 1 of query i, without the excluded ones. */
static double profile_sum(const struct between *b, size_t i, size_t lo, size_t hi) {
    if (lo >= hi) return 0;
    size_t zero = b->keys - 1; /* where offset 0 lies */
    double sum = b->cumulated[zero + i - lo + 1] - b->cumulated[zero + i - (hi - 1)];
    for (size_t s = 0; s < b->excluded_count; s++)
        if (b->excluded[s] >= lo && b->excluded[s] < hi) sum -= b->profile[zero + i - b->excluded[s]];
    return sum > 0 ? sum : 0;
}

/* on_excluded[r]: the rows' weight on all excluded keys, a panel of keys after the other. */
static void weigh_excluded(struct between *b, size_t query, size_t rows) {
    for (size_t r = 0; r < rows; r++) b->on_excluded[r] = 0;
    for (size_t s = 0; s < b->excluded_count;) {
        size_t panel = b->excluded[s] / PANEL;
        reading_rows(b->engine, b->activations, b->at, query, rows, panel, 1, b->panel, PANEL);
        for (; s < b->excluded_count && b->excluded[s] / PANEL == panel; s++)
            for (size_t r = 0; r < rows; r++) b->on_excluded[r] += b->panel[r * PANEL + b->excluded[s] % PANEL];
    }
}

/* What a row holds in all: 1, but for what a sink logit takes. */
static double row_total(const struct between *b, size_t i) {
    const struct layer_activations *l = &b->activations->layer[b->at.layer];
    if (!l->sinks) return 1;
    size_t row = (size_t)b->at.head * b->activations->n + i;
    return 1 - exp((double)l->sinks[b->at.head] - (double)l->row_max[row]) * (double)l->row_inverse[row];
}

/* Sums of exp(score - max) over the keys lo .. hi - 1 of a row: of those outside S, and of those in it. Masks the rest of the panels. */
static double kept_sum(const struct between *b, float *row, size_t lo, size_t hi, float max, double *in_excluded) {
    size_t from = lo / PANEL * PANEL, to = whole_panels(hi);
    *in_excluded = 0;
    for (size_t s = 0; s < b->excluded_count && b->excluded[s] < hi; s++) {
        if (b->excluded[s] < lo) continue;
        *in_excluded += (double)expf(row[b->excluded[s]] - max);
        row[b->excluded[s]] = MASKED_SCORE;
    }
    for (size_t j = from; j < lo; j++) row[j] = MASKED_SCORE;
    for (size_t j = hi; j < to; j++) row[j] = MASKED_SCORE;
    return b->engine->kernels->exp_sum(row + from, to - from, max);
}

static void add_rows(struct between *b, size_t query, size_t rows, struct between_sums *sums) {
    const struct rectangle *r = b->rectangle;
    const struct layer_activations *l = &b->activations->layer[b->at.layer];
    size_t seen = whole_panels(smaller(r->key1, visible_end(b->sees, b->keys, query + rows - 1))) / PANEL; /* beyond, nothing is visible */
    if (seen <= b->panel0) return;
    activations_scores(b->activations, b->engine->kernels, b->at.layer, b->at.head, query, rows, b->panel0, seen - b->panel0, b->block,
                       b->stride);
    if (b->profile) weigh_excluded(b, query, rows);
    for (size_t k = 0; k < rows; k++) {
        size_t i = query + k, first = visible_first(b->sees, i), end = visible_end(b->sees, b->keys, i);
        size_t lo = larger(r->key0, first), hi = smaller(r->key1, end), skip = b->panel0 * PANEL;
        size_t row = (size_t)b->at.head * b->activations->n + i;
        if (lo >= hi) continue;
        double inverse = (double)l->row_inverse[row], excluded;
        double kept = kept_sum(b, b->block + k * b->stride - skip, lo, hi, l->row_max[row], &excluded);
        sums->rows++;
        sums->weight += (kept + excluded) * inverse;
        sums->kept += kept * inverse;
        sums->uniform += (double)(hi - lo) / (double)(end - first);
        if (!b->profile) continue;
        double all = profile_sum(b, i, first, end), here = profile_sum(b, i, lo, hi);
        if (all > 0) sums->expected += fmax(row_total(b, i) - (double)b->on_excluded[k], 0) * here / all;
    }
}

static double tail_mean(const float *zero, ptrdiff_t step, size_t reach) {
    double sum = 0;
    size_t count = smaller(reach, TAIL_OFFSETS);
    for (size_t k = 0; k < count; k++) sum += (double)zero[(ptrdiff_t)(reach - 1 - k) * step];
    return count > 0 ? sum / (double)count : 0;
}

void offset_profile_extend(const struct offset_profile *profile, size_t head, size_t queries, size_t keys, double *to) {
    const float *zero = profile->weight + head * profile->offsets + profile->reach - 1; /* a step to the left is an offset more */
    bool looks_ahead = profile->offsets > profile->reach;
    double behind = tail_mean(zero, -1, profile->reach), ahead = looks_ahead ? tail_mean(zero, 1, profile->reach) : 0;
    for (size_t o = 0; o < queries + keys - 1; o++) {
        ptrdiff_t d = (ptrdiff_t)o - (ptrdiff_t)(keys - 1);
        size_t far = (size_t)(d < 0 ? -d : d);
        if (d < 0) to[o] = !looks_ahead ? 0 : far < profile->reach ? (double)zero[far] : ahead;
        else to[o] = far < profile->reach ? (double)zero[-d] : behind;
    }
}

/* b->at, b->profile and the memory are set; adds to *sums. */
static void add_head(struct between *b, struct between_sums *sums) {
    const struct rectangle *r = b->rectangle;
    struct between_sums own = *sums; /* neighbours are written to from other threads */
    b->sees = activations_visibility(b->activations, b->at.layer);
    if (b->profile) b->cumulated[0] = 0;
    for (size_t d = 0; b->profile && d < b->queries + b->keys - 1; d++) b->cumulated[d + 1] = b->cumulated[d] + b->profile[d];
    for (size_t i = r->query0; i < r->query1; i += BLOCK_ROWS) add_rows(b, i, smaller(BLOCK_ROWS, r->query1 - i), &own);
    *sums = own;
}

/* All but the head, its profile and the memory. */
static enum engine_status begin(struct between *b, const struct engine *engine, const struct activations *activations,
                                struct head_address at, const struct rectangle *r, const uint32_t *excluded, size_t excluded_count,
                                char *error, size_t error_size) {
    enum engine_status status = reading_check(activations, at, error, error_size);
    if (status != ENGINE_OK) return status;
    *b = (struct between){.engine = engine, .activations = activations_of(activations, at.section), .at = at, .rectangle = r,
                          .excluded = excluded, .excluded_count = excluded_count};
    activations_shape(activations, at.section, &b->queries, &b->keys);
    status = reading_check_excluded(excluded, excluded_count, b->keys, error, error_size);
    if (status != ENGINE_OK) return status;
    if (r->query0 > r->query1 || r->query1 > b->queries || r->key0 >= r->key1 || r->key1 > b->keys)
        return engine_fail(ENGINE_INVALID, error, error_size, "queries %zu:%zu, keys %zu:%zu: ranges must lie within 0:%zu and 0:%zu",
                           r->query0, r->query1, r->key0, r->key1, b->queries, b->keys);
    b->panel0 = r->key0 / PANEL;
    b->stride = whole_panels(r->key1) - b->panel0 * PANEL;
    return ENGINE_OK;
}

static size_t block_floats(const struct between *b) {
    return whole_panels(BLOCK_ROWS * (b->stride + PANEL + 1));
}

static void use_block(struct between *b, float *block) {
    b->block = block;
    b->panel = block + BLOCK_ROWS * b->stride;
    b->on_excluded = b->panel + BLOCK_ROWS * PANEL;
}

enum engine_status attention_between(struct engine *engine, const struct activations *activations, struct head_address at,
                                     const struct rectangle *rectangle, const uint32_t *excluded, size_t excluded_count,
                                     const double *profile, struct between_sums *sums, char *error, size_t error_size) {
    struct between b;
    enum engine_status status = begin(&b, engine, activations, at, rectangle, excluded, excluded_count, error, error_size);
    if (status != ENGINE_OK) return status;
    float *block = memory_aligned(block_floats(&b) * sizeof *block);
    b.profile = profile;
    b.cumulated = profile ? malloc((b.queries + b.keys) * sizeof *b.cumulated) : NULL;
    if (block && (b.cumulated || !profile)) {
        use_block(&b, block);
        add_head(&b, sums);
    } else {
        status = engine_fail_memory(error, error_size);
    }
    free(block);
    free(b.cumulated);
    return status;
}

/* Heads side by side. */
struct between_heads {
    struct between common;
    const struct offset_profile *profile;
    size_t first, count, layer_heads;
    float *blocks;    /* [threads, block_floats] */
    double *profiles; /* [threads, 2, queries + keys]: extended, cumulated */
    struct between_sums *sums;
    _Atomic size_t next;
};

static void between_work(void *context, int worker) {
    struct between_heads *w = context;
    struct between b = w->common;
    size_t offsets = b.queries + b.keys;
    double *extended = w->profile ? w->profiles + (size_t)worker * 2 * offsets : NULL;
    use_block(&b, w->blocks + (size_t)worker * block_floats(&b));
    b.profile = extended;
    b.cumulated = w->profile ? extended + offsets : NULL;
    for (size_t k; (k = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed)) < w->count;) {
        size_t head = w->first + k;
        b.at.layer = (int)(head / w->layer_heads);
        b.at.head = (int)(head % w->layer_heads);
        if (w->profile) offset_profile_extend(w->profile, head, b.queries, b.keys, extended);
        add_head(&b, &w->sums[k]);
    }
}

enum engine_status attention_between_heads(struct engine *engine, const struct activations *activations, enum section section,
                                           size_t first, size_t count, const struct rectangle *rectangle, const uint32_t *excluded,
                                           size_t excluded_count, const struct offset_profile *profile, struct between_sums *sums,
                                           char *error, size_t error_size) {
    struct between_heads w = {.profile = profile, .first = first, .count = count, .sums = sums};
    struct head_address at = {section, 0, 0};
    enum engine_status status = begin(&w.common, engine, activations, at, rectangle, excluded, excluded_count, error, error_size);
    if (status != ENGINE_OK) return status;
    const struct model_config *config = &w.common.activations->model->config;
    size_t heads = (size_t)config->layers * (size_t)config->heads, threads = (size_t)pool_threads(engine->pool);
    if (first > heads || count > heads - first)
        return engine_fail(ENGINE_INVALID, error, error_size, "heads %zu to %zu: the model has %zu", first, first + count, heads);
    w.layer_heads = (size_t)config->heads;
    w.blocks = memory_aligned(threads * block_floats(&w.common) * sizeof *w.blocks);
    w.profiles = profile ? malloc(threads * 2 * (w.common.queries + w.common.keys) * sizeof *w.profiles) : NULL;
    if (w.blocks && (w.profiles || !profile)) pool_run(engine->pool, between_work, &w);
    else status = engine_fail_memory(error, error_size);
    free(w.blocks);
    free(w.profiles);
    return status;
}
