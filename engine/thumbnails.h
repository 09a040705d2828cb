/*
 * thumbnails.h: a head's map pooled to at most 48 x 48 cells, as engine.h defines it, gathered from column sweeps over rows
 * that lie in one bin of queries.
 */
#ifndef HEADSCOPE_ENGINE_THUMBNAILS_H
#define HEADSCOPE_ENGINE_THUMBNAILS_H

#include "engine/kernels.h"
#include "engine/text_facts.h"

/* Sums over some rows of one head; several may be added up. */
struct thumbnail_sums {
    float max[THUMBNAIL_BINS * THUMBNAIL_BINS];
    float sum[THUMBNAIL_BINS * THUMBNAIL_BINS];
    double excluded[THUMBNAIL_BINS]; /* weight on S */
};

void thumbnail_sums_init(struct thumbnail_sums *sums, const struct text_facts *facts);
void thumbnail_sums_add(struct thumbnail_sums *to, const struct thumbnail_sums *from, const struct text_facts *facts);

/* The bin that query i lies in. */
size_t thumbnail_bin(const struct text_facts *facts, size_t i);

/* Takes the column sweep (sum and max per key, [key_end]) of rows that lie in one bin and see nothing from `key_end` on.
 * Sets both to 0 at excluded keys. */
void thumbnail_columns(const struct kernels *kernels, const struct text_facts *facts, size_t bin, size_t key_end, float *sum,
                       float *max, struct thumbnail_sums *sums);

/* max, mean: [bins, key_bins]; excluded: [bins]. */
void thumbnail_finish(const struct text_facts *facts, const struct thumbnail_sums *sums, uint8_t *max, uint8_t *mean,
                      uint8_t *excluded);

/* round(255 sqrt(x)) of weights, n of them; x in [0, 1] but for rounding. */
void sqrt_bytes(const float *x, size_t n, uint8_t *bytes);

#endif
