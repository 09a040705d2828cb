/* comparison.c: one head on two texts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/attention.h"
#include "engine/memory.h"
#include "engine/reading.h"

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Rows of both sides, BLOCK_ROWS at a time. */
struct both_rows {
    const struct activations *a, *b;
    float *a_block, *b_block; /* [BLOCK_ROWS, stride] */
    size_t a_stride, b_stride;
    uint32_t *place; /* [BLOCK_ROWS] */
};

static bool both_begin(struct both_rows *both, const struct activations *a, const struct activations *b, size_t a_keys, size_t b_keys) {
    size_t a_stride = whole_panels(a_keys), b_stride = whole_panels(b_keys);
    float *block = memory_aligned(BLOCK_ROWS * (a_stride + b_stride + 1) * sizeof *block);
    if (!block) return false;
    *both = (struct both_rows){a, b, block, block + BLOCK_ROWS * a_stride, a_stride, b_stride,
                               (uint32_t *)(block + BLOCK_ROWS * (a_stride + b_stride))};
    return true;
}

static void both_finish(struct both_rows *both) {
    free(both->a_block);
}

static void both_read(struct engine *engine, struct both_rows *both, struct head_address at, const struct token_pair *pairs, size_t rows) {
    for (size_t r = 0; r < rows; r++) both->place[r] = pairs[r].a;
    reading_places(engine, both->a, at, both->place, rows, both->a_stride / PANEL, both->a_block, both->a_stride);
    for (size_t r = 0; r < rows; r++) both->place[r] = pairs[r].b;
    reading_places(engine, both->b, at, both->place, rows, both->b_stride / PANEL, both->b_block, both->b_stride);
}

static enum engine_status check(const struct activations *a, const struct activations *b, struct head_address at,
                                const struct token_pair *pairs, size_t count, size_t first, size_t end, char *error, size_t error_size) {
    enum engine_status status = reading_check(a, at, error, error_size);
    if (status == ENGINE_OK) status = reading_check(b, at, error, error_size);
    if (status != ENGINE_OK) return status;
    bool fine = first <= end && end <= count;
    for (size_t k = 0; fine && k < count; k++)
        fine = pairs[k].a < a->n && pairs[k].b < b->n && (k == 0 || (pairs[k].a > pairs[k - 1].a && pairs[k].b > pairs[k - 1].b));
    if (!fine) return engine_fail(ENGINE_INVALID, error, error_size, "the pairs of tokens must ascend within both texts");
    return ENGINE_OK;
}

static bool *kept_pairs(const struct text_side *a, const struct text_side *b, const struct token_pair *pairs, size_t count) {
    bool *kept = malloc(count + 1);
    size_t s = 0, t = 0;
    for (size_t k = 0; kept && k < count; k++) {
        while (s < a->excluded_count && a->excluded[s] < pairs[k].a) s++;
        while (t < b->excluded_count && b->excluded[t] < pairs[k].b) t++;
        kept[k] = !(s < a->excluded_count && a->excluded[s] == pairs[k].a) && !(t < b->excluded_count && b->excluded[t] == pairs[k].b);
    }
    return kept;
}

/* Half of: the sum over the pairs of keys of the difference, and the difference of what is left of the rows. */
static double row_change(const float *a, const float *b, const struct token_pair *pairs, const bool *kept, size_t count) {
    double difference = 0, rest = 0; /* rest: (1 - sum a) - (1 - sum b) */
    for (size_t k = 0; k < count; k++) {
        if (!kept[k]) continue;
        double by = (double)b[pairs[k].b] - (double)a[pairs[k].a];
        difference += fabs(by);
        rest += by;
    }
    return (difference + fabs(rest)) / 2;
}

enum engine_status attention_change(struct engine *engine, const struct text_side *a, const struct text_side *b, struct head_address at,
                                    const struct token_pair *pairs, size_t count, size_t first, size_t end, double *change, char *error,
                                    size_t error_size) {
    struct both_rows both;
    enum engine_status status = check(a->activations, b->activations, at, pairs, count, first, end, error, error_size);
    if (status != ENGINE_OK || first == end) return status;
    bool *kept = kept_pairs(a, b, pairs, count);
    if (!kept) return engine_fail_memory(error, error_size);
    if (!both_begin(&both, a->activations, b->activations, pairs[count - 1].a + 1, pairs[count - 1].b + 1)) {
        free(kept);
        return engine_fail_memory(error, error_size);
    }
    for (size_t i = first; i < end; i += BLOCK_ROWS) {
        size_t rows = smaller(BLOCK_ROWS, end - i);
        both_read(engine, &both, at, pairs + i, rows);
        for (size_t r = 0; r < rows; r++)
            *change += row_change(both.a_block + r * both.a_stride, both.b_block + r * both.b_stride, pairs, kept, count);
    }
    both_finish(&both);
    free(kept);
    return ENGINE_OK;
}

enum engine_status attention_difference(struct engine *engine, const struct activations *a, const struct activations *b,
                                        struct head_address at, const struct token_pair *pairs, size_t count,
                                        const struct rectangle *rectangle, float *difference, char *error, size_t error_size) {
    const struct rectangle *c = rectangle;
    struct both_rows both;
    enum engine_status status = check(a, b, at, pairs, count, c->query0, c->query1, error, error_size);
    if (status != ENGINE_OK) return status;
    if (c->key0 > c->key1 || c->key1 > count)
        return engine_fail(ENGINE_INVALID, error, error_size, "keys %zu:%zu: must lie within the %zu aligned tokens", c->key0, c->key1, count);
    if (c->query0 == c->query1 || c->key0 == c->key1) return ENGINE_OK;
    if (!both_begin(&both, a, b, pairs[c->key1 - 1].a + 1, pairs[c->key1 - 1].b + 1)) return engine_fail_memory(error, error_size);
    for (size_t i = c->query0; i < c->query1; i += BLOCK_ROWS) {
        size_t rows = smaller(BLOCK_ROWS, c->query1 - i);
        both_read(engine, &both, at, pairs + i, rows);
        for (size_t r = 0; r < rows; r++) {
            const float *a_row = both.a_block + r * both.a_stride, *b_row = both.b_block + r * both.b_stride;
            for (size_t k = c->key0; k < c->key1; k++) *difference++ = b_row[pairs[k].b] - a_row[pairs[k].a];
        }
    }
    both_finish(&both);
    return ENGINE_OK;
}
