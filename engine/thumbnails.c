#include "engine/thumbnails.h"

#include <math.h>
#include <string.h>

/* Cells narrower than this are pooled in place: a call would cost more than the cell. */
enum { NARROW_CELL = 16 };

void thumbnail_sums_init(struct thumbnail_sums *sums, const struct text_facts *facts) {
    size_t cells = (size_t)facts->bins * (size_t)facts->key_bins;
    memset(sums->max, 0, cells * sizeof *sums->max);
    memset(sums->sum, 0, cells * sizeof *sums->sum);
    memset(sums->excluded, 0, sizeof sums->excluded);
}

void thumbnail_sums_add(struct thumbnail_sums *to, const struct thumbnail_sums *from, const struct text_facts *facts) {
    size_t bins = (size_t)facts->bins, cells = bins * (size_t)facts->key_bins;
    for (size_t i = 0; i < cells; i++) to->max[i] = from->max[i] > to->max[i] ? from->max[i] : to->max[i];
    for (size_t i = 0; i < cells; i++) to->sum[i] += from->sum[i];
    for (size_t i = 0; i < bins; i++) to->excluded[i] += from->excluded[i];
}

size_t thumbnail_bin(const struct text_facts *facts, size_t i) {
    size_t bin = i * (size_t)facts->bins / facts->n; /* or the next one: starts are rounded down */
    while (i >= facts->bin_start[bin + 1]) bin++;
    return bin;
}

void thumbnail_columns(const struct kernels *kernels, const struct text_facts *facts, size_t bin, size_t key_end, float *sum,
                       float *max, struct thumbnail_sums *sums) {
    size_t bins = (size_t)facts->key_bins;
    for (size_t s = 0; s < facts->excluded_count && facts->excluded[s] < key_end; s++) {
        size_t j = facts->excluded[s];
        sums->excluded[bin] += (double)sum[j];
        sum[j] = max[j] = 0;
    }
    for (size_t b = 0; b < bins && facts->key_bin_start[b] < key_end; b++) {
        size_t first = facts->key_bin_start[b], end = facts->key_bin_start[b + 1] < key_end ? facts->key_bin_start[b + 1] : key_end;
        float largest = sums->max[bin * bins + b], total = sums->sum[bin * bins + b];
        if (end - first < NARROW_CELL) {
            for (size_t j = first; j < end; j++) {
                total += sum[j];
                largest = max[j] > largest ? max[j] : largest;
            }
        } else {
            double cell_sum;
            float cell_max;
            kernels->pool_cell(sum + first, max + first, end - first, &cell_sum, &cell_max);
            total += (float)cell_sum;
            largest = cell_max > largest ? cell_max : largest;
        }
        sums->max[bin * bins + b] = largest;
        sums->sum[bin * bins + b] = total;
    }
}

void sqrt_bytes(const float *x, size_t n, uint8_t *bytes) {
    for (size_t i = 0; i < n; i++) {
        float bounded = x[i] > 0 ? x[i] < 1 ? x[i] : 1 : 0; /* a NaN becomes 0 */
        bytes[i] = (uint8_t)(int)(255.0f * sqrtf(bounded) + 0.5f);
    }
}

void thumbnail_finish(const struct text_facts *facts, const struct thumbnail_sums *sums, uint8_t *max, uint8_t *mean,
                      uint8_t *excluded) {
    size_t bins = (size_t)facts->bins, cells = bins * (size_t)facts->key_bins;
    float value[THUMBNAIL_BINS * THUMBNAIL_BINS];
    sqrt_bytes(sums->max, cells, max);
    for (size_t i = 0; i < cells; i++) value[i] = sums->sum[i] / (facts->visible[i] > 0 ? facts->visible[i] : 1);
    sqrt_bytes(value, cells, mean);
    for (size_t a = 0; a < bins; a++)
        value[a] = (float)(sums->excluded[a] / (double)(facts->bin_start[a + 1] - facts->bin_start[a]));
    sqrt_bytes(value, bins, excluded);
}
