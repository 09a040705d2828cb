/*
 * activations.h: what a run leaves behind so that any weight can be computed again: per layer q and k after RoPE, v, and
 * per row the maximum and the inverse sum of its softmax, and the norms of values and outputs, all float32. A weight is exp(score - max) * inverse, the very
 * operations of the run, so that it comes out with the same bits.
 *
 * Shapes    q [n, q_stride]; k [kv_heads, padded / PANEL, head_dim, PANEL]; v [kv_heads, dim_panels, padded, PANEL], where
 *           padded = whole_panels(keys), dim_panels = whole_panels(head_dim) / PANEL; places beyond keys and head_dim are 0.
 * Sections  Each has activations of its own: n queries and as many keys, but in cross-attention, whose keys are the source's. Those of
 *           a decoder with an encoder hold the others'.
 * Owner     One block; the model is held by a reference. Immutable after the run.
 */
#ifndef HEADSCOPE_ENGINE_ACTIVATIONS_H
#define HEADSCOPE_ENGINE_ACTIVATIONS_H

#include "engine/engine.h"
#include "engine/kernels.h"
#include "engine/model.h"
#include "engine/reserve.h"

struct layer_activations {
    float *q, *k, *v;
    float *row_max, *row_inverse; /* [heads, n] */
    float *value_norm;            /* [heads, keys] norm(v_j W_O), value_norms.h */
    float *output_ratio;          /* [heads, n] norm(output_i W_O) / norm(residual_i); -1 where the residual is 0. Not of cross-attention */
    float *relative_q, *relative_k; /* [relative_rows, q_stride] projected distances, disentangled.h; NULL: none */
    const float *sinks;           /* [heads] logits that belong to no key; NULL: none */
};

struct activations {
    struct reserve *reserve;      /* where the block comes from and goes to */
    size_t block_bytes;
    struct model *model;          /* whose layers these are: an encoder's own, not its decoder's */
    enum section section;
    int not_finite;               /* first layer whose numbers are not finite, its cross-attention's among them; -1: none */
    enum precision precision;     /* of the run that made them; activations_create leaves float32 */
    struct activations *encoder, *cross; /* the other sections of a decoder with an encoder; NULL */
    int32_t *ids;                 /* [n] that were run; cross-attention: NULL */
    size_t n, keys, padded, q_stride, dim_panels;
    uint64_t bytes;               /* with those of the other sections */
    uint32_t *sinks;              /* [sink_count] keys of this section, ascending */
    size_t sink_count;
    float *value_largest; /* [layers, heads] of the value-weighted maps; NAN: not looked for yet. The engine's thread fills it in */
    float *relative; /* [relative_rows, d_stride] embeddings of distances, then relative_q and relative_k of all layers; NULL: none */
    size_t relative_rows;
    float *bias;  /* [heads, 2 n - 1] by j - i, as in position_bias.h; NULL: none */
    float *block; /* all of q, k, v and what rows have, a layer after the other */
    struct layer_activations layer[]; /* [layers] */
};

/* What a section's activations take, an upper bound; keys: n but in cross-attention. */
uint64_t activations_size(const struct model *model, enum section section, size_t n, size_t keys);
/* Retains the model and the reserve. ids: [n], copied, or NULL. NULL: no memory. Nothing is cleared. */
struct activations *activations_create(const struct model *model, enum section section, const int32_t *ids, size_t n, size_t keys,
                                       struct reserve *reserve);
/* NULL where there is no such section. */
const struct activations *activations_of(const struct activations *activations, enum section section);

/* Copies the first `rows` rows of q, k, v and the norms of one layer. Both of the same model, rows <= both n. */
void activations_copy_rows(struct activations *to, const struct activations *from, int layer, size_t rows);
/* Stores row i of k and v, each [kv_heads * head_dim], and 0 beyond head_dim. Different rows may be stored from different threads. */
void activations_store_row(struct activations *activations, int layer, size_t i, const float *k, const float *v);
/* Once all rows of a layer are there: the places beyond its keys become 0. */
void activations_clear_tail(struct activations *activations, int layer);

/* scores[r, j] = attention_scale q_(query0 + r) . k_j of one head, for the keys of whole panels: j runs from
 * key_panel0 * PANEL; row stride `stride`. Then what the model does to scores: a cap, a bias of positions. The one place where
 * scores come from. Nothing is masked; keys beyond n give some number. */
void activations_scores(const struct activations *activations, const struct kernels *kernels, int layer, int head,
                        size_t query0, size_t rows, size_t key_panel0, size_t key_panels, float *scores, size_t stride);
/* out[r, :] (+)= sum over keys key0 .. key0 + keys - 1 of weights[r, key - key0] v_key; out: row stride dim_panels * PANEL. */
void activations_mix(const struct activations *activations, const struct kernels *kernels, int layer, int head,
                     const float *weights, size_t stride, size_t rows, size_t key0, size_t keys, float *out, bool accumulate);

#endif
