#include "engine/attention.h"

#include <math.h>
#include <string.h>

/* Keys whose v stay in the cache while all rows of a block pass over them. */
enum { MIX_KEYS = 512 };

size_t attention_block_rows(size_t n) {
    return n <= 4096 ? BLOCK_ROWS : BLOCK_ROWS / 2;
}

/* Rows a multiple of 1 KiB apart would fall into few cache sets. */
static size_t block_stride(size_t n) {
    size_t stride = BLOCK_MARGIN + whole_panels(n) + PANEL;
    return stride % 256 == 0 ? stride + PANEL : stride;
}

static size_t output_floats(const struct model *model) {
    return BLOCK_ROWS * whole_panels((size_t)model->config.head_dim);
}

static size_t sweep_floats(size_t n) {
    return whole_panels(n) + 2 * BLOCK_MARGIN;
}

size_t attention_scratch_floats(const struct model *model, size_t n) {
    return attention_block_rows(n) * block_stride(n) + BLOCK_MARGIN + 2 * sweep_floats(n) + 2 * output_floats(model);
}

struct visibility attention_visibility(const struct model *model, int layer) {
    if (!model->config.general) return visibility_causal;
    size_t window = (size_t)model->layer[layer].window;
    if (model->config.causal) return (struct visibility){window > 0 ? window - 1 : SIZE_MAX, 0};
    return (struct visibility){window > 0 ? window : SIZE_MAX, window > 0 ? window : SIZE_MAX};
}

struct visibility activations_visibility(const struct activations *activations, int layer) {
    if (activations->section == SECTION_CROSS) return (struct visibility){SIZE_MAX, SIZE_MAX};
    return attention_visibility(activations->model, layer);
}

void attention_scratch_init(struct attention_scratch *scratch, const struct model *model, size_t n, float *memory) {
    size_t block = attention_block_rows(n) * block_stride(n) + BLOCK_MARGIN;
    memset(memory, 0, attention_scratch_floats(model, n) * sizeof *memory);
    memset(scratch->block.sink, 0, sizeof scratch->block.sink);
    scratch->block.e = memory + BLOCK_MARGIN;
    scratch->block.stride = block_stride(n);
    scratch->sweep.sum = memory + block;
    scratch->sweep.max = memory + block + sweep_floats(n);
    scratch->output = memory + block + 2 * sweep_floats(n);
    scratch->projected = scratch->output + output_floats(model);
}

void attention_weights(const struct activations *activations, const struct kernels *kernels, int layer, int head, size_t query0,
                       size_t rows, struct attention_scratch *scratch) {
    struct weight_block *block = &scratch->block;
    struct visibility sees = activations_visibility(activations, layer);
    const float *sinks = activations->layer[layer].sinks;
    size_t n = activations->keys;
    block->query0 = query0;
    block->rows = rows;
    block->keys = whole_panels(visible_end(sees, n, query0 + rows - 1));
    activations_scores(activations, kernels, layer, head, query0, rows, 0, block->keys / PANEL, block->e, block->stride);
    for (size_t r = 0; r < rows; r++) {
        float *row = block->e + r * block->stride;
        size_t first = visible_first(sees, query0 + r), end = visible_end(sees, n, query0 + r);
        for (size_t j = 0; j < first; j++) row[j] = MASKED_SCORE;
        for (size_t j = end; j < block->keys; j++) row[j] = MASKED_SCORE;
        kernels->softmax_row(row, block->keys, &block->sums[r]);
        if (sinks) {
            block->sink[r] = exp((double)sinks[head] - (double)block->sums[r].max);
            block->sums[r].sum += block->sink[r];
        }
        block->inverse[r] = (float)(1.0 / block->sums[r].sum);
    }
}

void attention_gather(const struct kernels *kernels, const struct text_facts *facts, struct attention_scratch *scratch,
                      struct head_sums *sums, struct thumbnail_sums *thumbnails) {
    const struct weight_block *block = &scratch->block;
    const struct sweep_scratch *sweep = &scratch->sweep;
    statistics_rows(kernels, facts, block, sweep, sums);
    size_t bin = thumbnail_bin(facts, block->query0), end = block->query0 + block->rows;
    for (size_t i = block->query0, next; i < end; i = next, bin++) { /* the rows of one bin at a time */
        next = facts->bin_start[bin + 1] < end ? facts->bin_start[bin + 1] : end;
        size_t r = i - block->query0, keys = visible_end(facts->sees, facts->keys, next - 1);
        kernels->column_sweep(block->e + r * block->stride, block->stride, next - i, block->inverse + r, whole_panels(keys), sweep->sum,
                              sweep->max);
        statistics_columns(kernels, sweep->sum, keys, sums);
        thumbnail_columns(kernels, facts, bin, keys, sweep->sum, sweep->max, thumbnails);
    }
    statistics_diagonal(facts, block, sums);
}

void attention_output(const struct activations *activations, const struct kernels *kernels, int layer, int head,
                      struct attention_scratch *scratch) {
    const struct weight_block *block = &scratch->block;
    size_t width = activations->dim_panels * PANEL;
    for (size_t key = 0; key < block->keys; key += MIX_KEYS) {
        size_t keys = block->keys - key < MIX_KEYS ? block->keys - key : MIX_KEYS;
        activations_mix(activations, kernels, layer, head, block->e + key, block->stride, block->rows, key, keys, scratch->output,
                        key > 0);
    }
    for (size_t r = 0; r < block->rows; r++)
        for (size_t d = 0; d < width; d++) scratch->output[r * width + d] *= block->inverse[r];
}
