/*
 * attention.h: one block of rows of one head: scores, softmax, statistics and thumbnails while the block lies in cache, then
 * the weights times v. No more of a map than one block a thread ever exists.
 *
 *   attention_weights -> attention_gather -> attention_output
 */
#ifndef HEADSCOPE_ENGINE_ATTENTION_H
#define HEADSCOPE_ENGINE_ATTENTION_H

#include "engine/activations.h"
#include "engine/statistics.h"
#include "engine/thumbnails.h"

/* What one thread needs. */
struct attention_scratch {
    struct weight_block block;
    struct sweep_scratch sweep;
    float *output;    /* [BLOCK_ROWS, dim_panels, PANEL] */
    float *projected; /* as output; of value_norms */
};

/* What the queries of a layer's self-attention see. */
struct visibility attention_visibility(const struct model *model, int layer);
/* The same of a section's activations: in cross-attention everything. */
struct visibility activations_visibility(const struct activations *activations, int layer);

/* n, here and below: the most keys of a row. Rows of a block, so that it fits the second-level cache at any length. */
size_t attention_block_rows(size_t n);
/* Floats of memory for a scratch. */
size_t attention_scratch_floats(const struct model *model, size_t n);
/* `memory`: attention_scratch_floats of them, which are cleared. */
void attention_scratch_init(struct attention_scratch *scratch, const struct model *model, size_t n, float *memory);

/* Exponentials and sums of the rows query0 .. query0 + rows - 1 into scratch->block. */
void attention_weights(const struct activations *activations, const struct kernels *kernels, int layer, int head, size_t query0,
                       size_t rows, struct attention_scratch *scratch);
/* Adds the block to the sums of its head. */
void attention_gather(const struct kernels *kernels, const struct text_facts *facts, struct attention_scratch *scratch,
                      struct head_sums *sums, struct thumbnail_sums *thumbnails);
/* scratch->output = weights times v. */
void attention_output(const struct activations *activations, const struct kernels *kernels, int layer, int head,
                      struct attention_scratch *scratch);

#endif
