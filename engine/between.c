/* between.c: what goes from some queries to some keys. */
#include <math.h>
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
    size_t excluded_count, keys;
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

static void add_rows(struct between *b, size_t query, size_t rows, struct between_sums *sums) {
    const struct rectangle *r = b->rectangle;
    size_t seen = whole_panels(smaller(r->key1, visible_end(b->sees, b->keys, query + rows - 1))) / PANEL; /* beyond, nothing is visible */
    if (seen <= b->panel0) return;
    reading_rows(b->engine, b->activations, b->at, query, rows, b->panel0, seen - b->panel0, b->block, b->stride);
    if (b->profile) weigh_excluded(b, query, rows);
    for (size_t k = 0; k < rows; k++) {
        size_t i = query + k, first = visible_first(b->sees, i), end = visible_end(b->sees, b->keys, i);
        size_t lo = larger(r->key0, first), hi = smaller(r->key1, end);
        if (lo >= hi) continue;
        const float *row = b->block + k * b->stride - b->panel0 * PANEL;
        double weight, excluded = 0;
        float largest;
        b->engine->kernels->pool_cell(row + lo, row + lo, hi - lo, &weight, &largest);
        for (size_t s = 0; s < b->excluded_count; s++)
            if (b->excluded[s] >= lo && b->excluded[s] < hi) excluded += (double)row[b->excluded[s]];
        sums->rows++;
        sums->weight += weight;
        sums->kept += weight - excluded;
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

enum engine_status attention_between(struct engine *engine, const struct activations *activations, struct head_address at,
                                     const struct rectangle *rectangle, const uint32_t *excluded, size_t excluded_count,
                                     const double *profile, struct between_sums *sums, char *error, size_t error_size) {
    size_t queries = 0, keys = 0;
    enum engine_status status = reading_check(activations, at, error, error_size);
    if (status != ENGINE_OK) return status;
    activations_shape(activations, at.section, &queries, &keys);
    status = reading_check_excluded(excluded, excluded_count, keys, error, error_size);
    if (status != ENGINE_OK) return status;
    const struct rectangle *r = rectangle;
    if (r->query0 > r->query1 || r->query1 > queries || r->key0 >= r->key1 || r->key1 > keys)
        return engine_fail(ENGINE_INVALID, error, error_size, "queries %zu:%zu, keys %zu:%zu: ranges must lie within 0:%zu and 0:%zu",
                           r->query0, r->query1, r->key0, r->key1, queries, keys);
    struct between b = {.engine = engine, .activations = activations_of(activations, at.section), .at = at, .rectangle = rectangle, .excluded = excluded,
                        .excluded_count = excluded_count, .keys = keys, .profile = profile,
                        .panel0 = r->key0 / PANEL};
    b.sees = activations_visibility(b.activations, at.layer);
    b.stride = whole_panels(r->key1) - b.panel0 * PANEL;
    b.block = memory_aligned(BLOCK_ROWS * (b.stride + PANEL + 1) * sizeof *b.block);
    b.panel = b.block ? b.block + BLOCK_ROWS * b.stride : NULL;
    b.on_excluded = b.block ? b.panel + BLOCK_ROWS * PANEL : NULL;
    b.cumulated = profile ? malloc((queries + keys) * sizeof *b.cumulated) : NULL;
    if (!b.block || (profile && !b.cumulated)) {
        free(b.block);
        free(b.cumulated);
        return engine_fail_memory(error, error_size);
    }
    if (profile) b.cumulated[0] = 0;
    for (size_t d = 0; profile && d < queries + keys - 1; d++) b.cumulated[d + 1] = b.cumulated[d] + profile[d];
    for (size_t i = r->query0; i < r->query1; i += BLOCK_ROWS) add_rows(&b, i, smaller(BLOCK_ROWS, r->query1 - i), sums);
    free(b.block);
    free(b.cumulated);
    return ENGINE_OK;
}
