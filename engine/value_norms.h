/*
 * value_norms.h: how long a head's vectors are behind its part of the output projection: norm(x W_O) for x = v_j (what a key has to
 * give; Kobayashi et al. 2020) and for x = the head's output (what a query got). Biases and norms behind the projection belong to
 * all heads together and are left out.
 *
 *   norm(x W_O)^2 = x G x^T,  G = W_O W_O^T = L L^T (Cholesky)  =>  norm(x W_O) = norm(x L)
 *
 * so that a norm costs head_dim^2 / 2 products instead of head_dim * d_model.
 *
 * Factors   L of every query head of a layer (grouped-query attention shares v, not W_O): [heads, dim_panels, head_dim, PANEL], in
 *           panels of columns as kernels.h has them. Made once a model and layer, by the engine's pool, and kept with the model.
 */
#ifndef HEADSCOPE_ENGINE_VALUE_NORMS_H
#define HEADSCOPE_ENGINE_VALUE_NORMS_H

#include "engine/engine_internal.h"
#include "engine/model.h"

/* Bytes of the factors of all layers, and of what making them takes. */
uint64_t value_factors_size(const struct model *model, int threads);
/* Makes the layer's factors unless they are there. False: no memory. On the engine's thread, between phases. */
bool value_factors_prepare(struct engine *engine, const struct model *model, struct layer_weights *layer);

/* norms[r] = norm(x_r W_O) of one head, for `rows` rows of x (head_dim floats, row stride x_stride).
 * scratch: rows * whole_panels(head_dim) floats. */
void value_norms(const struct kernels *kernels, const struct model *model, const struct layer_weights *layer, int head, const float *x,
                 size_t x_stride, size_t rows, float *scratch, float *norms);

#endif
