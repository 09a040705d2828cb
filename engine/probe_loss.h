/* probe_loss.h: how well a model predicts tokens that it has read, from the residual stream behind its last layer. */
#ifndef HEADSCOPE_ENGINE_PROBE_LOSS_H
#define HEADSCOPE_ENGINE_PROBE_LOSS_H

#include "engine/engine_internal.h"
#include "engine/model.h"

/* Whether the model is one of those whose logits are computed: plain llama layers, an RMS norm and an unembedding. */
bool probe_loss_known(const struct model *model);

/* *mean: over `rows` of -ln p(target), nats. residual: [rows, d_model]. On the engine's thread. */
enum engine_status probe_loss(struct engine *engine, const struct model *model, const float *residual, const int32_t *targets, size_t rows,
                              double *mean, char *error, size_t error_size);

#endif
