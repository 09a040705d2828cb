/*
 * statistics.h: section 1 of docs/statistics.md, gathered block by block while the weights are in cache.
 *
 * Most statistics are sums over rows of a weight at a certain offset i - j, or of a weight on a certain key; so two arrays
 * hold nearly everything: sums per offset (self, previous, local, mean distance, offset_r2) and sums per key (sink mass,
 * received weights). What is left is added row by row. All sums are float64; within a block of at most 48 rows float32.
 *
 * Where queries see all earlier keys and no later ones, sweeps do most of the work; windows and encoders go row by row.
 * Cross-attention has no distances: its rows give what does not ask for any.
 * R are the rows that count: i >= 1 in causal models, all in encoders. Terms: S are the excluded keys.
 */
#ifndef HEADSCOPE_ENGINE_STATISTICS_H
#define HEADSCOPE_ENGINE_STATISTICS_H

#include "engine/engine.h"
#include "engine/kernels.h"
#include "engine/text_facts.h"

enum { BLOCK_ROWS = 48 };

/* Exponentials of some rows of one head: weight(r, j) = e[r * stride + j] * inverse[r], 0 where the mask hides j; BLOCK_MARGIN zeros
 * to the left of each row. See kernels.h. */
struct weight_block {
    size_t query0, rows; /* rows <= BLOCK_ROWS */
    size_t keys;         /* whole panels, as many as some row may see */
    float *e;
    size_t stride;
    struct softmax_sums sums[BLOCK_ROWS];
    float inverse[BLOCK_ROWS]; /* 1 / sum */
    double sink[BLOCK_ROWS];   /* what of the sum belongs to no key: exp(sink logit - max); 0 in most models */
};

/* Scratch for the sweeps over a block, [whole_panels(n) + 2 * BLOCK_MARGIN] each. */
struct sweep_scratch {
    float *sum, *max;
};

/* The mass of some rows on the keys of their own kind: copies, or keys of induction. */
struct kind_sums {
    double mass, kept, outside; /* on all such keys; on those not in S; of those rows on any key not in S */
};

/* Sums over rows of one head; several (of different rows) may be added up. */
struct head_sums {
    double entropy, entropy_normalised, effective_keys, max_weight, squares;
    double self_excluded, previous_excluded, next_excluded, local_excluded; /* part of these masses that lies on S */
    struct kind_sums duplicate, induction;
    double missing; /* over R: 1 less the row's sum, where the softmax has a term that belongs to no key */
    double self_value, self_value_excluded; /* sum over R of A_ii norm(v_i W_O): of all rows, of those whose key is in S */
    size_t keys, offsets;  /* as in text_facts */
    double *offset;  /* [offsets] offset[n - 1 - d]: sum over R of A_i,i-d */
    double *key;     /* [keys] key[j]: sum over other queries of A_ij */
    uint32_t *modes; /* [offsets] modes[d + offsets - n]: rows of R whose largest weight is at offset d */
};

/* Bytes of the three arrays. */
size_t head_sums_size(size_t keys, size_t offsets);
/* Clears the sums; `memory` (head_sums_size bytes, aligned for double) becomes the arrays. */
void head_sums_init(struct head_sums *sums, size_t keys, size_t offsets, void *memory);
/* Both of the same sizes. */
void head_sums_add(struct head_sums *to, const struct head_sums *from);

/* Everything but sums per key. */
void statistics_rows(const struct kernels *kernels, const struct text_facts *facts, const struct weight_block *block,
                     const struct sweep_scratch *scratch, struct head_sums *sums);
/* Takes the columns sums of some rows of the block, as kernels->column_sweep gives them. */
void statistics_columns(const struct kernels *kernels, const float *column_sums, size_t keys, struct head_sums *sums);
/* After all column sums of the block: its own diagonal is left out again, but in cross-attention. */
void statistics_diagonal(const struct text_facts *facts, const struct weight_block *block, struct head_sums *sums);

/* The diagonal's part of the value-weighted map. value_norm: [n] norm(v_j W_O). */
void statistics_values(const struct text_facts *facts, const struct weight_block *block, const float *value_norm, struct head_sums *sums);

/* Entropy of a row, 0 or more; sink as in struct weight_block. */
double row_entropy(const struct softmax_sums *row, double sink);

/* false if some sum is not finite. */
bool statistics_finish(const struct text_facts *facts, const struct head_sums *sums, struct head_statistics *statistics);

/* The statistics of values and outputs, after statistics_finish. output_ratio: [n] of each query, negative where there is none.
 * false if some sum is not finite. */
bool statistics_finish_values(const struct text_facts *facts, const struct head_sums *sums, const float *value_norm,
                              const float *output_ratio, struct head_statistics *statistics);

/* Received weight of key j, mean over the other queries that see it; NAN where there are none. */
double statistics_received(const struct text_facts *facts, const struct head_sums *sums, size_t j);

#endif
