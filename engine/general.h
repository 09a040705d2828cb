/*
 * general.h: layers of models that are not llama's: any norm before or behind, biases, norms of queries and keys, partial or no
 * rotary angles, other activations, experts. Attention itself is forward.c's. All functions run on the caller's thread and use
 * the pool; the run's buffers are theirs.
 *
 *   general_embed, then for each layer: general_attention_input -> (attention) -> general_attention_output
 *       in a decoder with an encoder:   general_cross_input -> (attention) -> general_attention_output
 *                                       general_feed_forward
 *   general_output behind an encoder's last layer
 */
#ifndef HEADSCOPE_ENGINE_GENERAL_H
#define HEADSCOPE_ENGINE_GENERAL_H

#include "engine/run.h"

/* Floats of a row beside those of llama's, and of the whole run; 0 for llama. Sets the strides. */
size_t general_row_floats(struct general_rows *general, const struct model_config *config);
size_t general_floats(const struct general_rows *general, const struct model_config *config);
/* Gives out `block`, which is cleared: rows * general_row_floats + general_floats. */
void general_init(struct general_rows *general, const struct model_config *config, size_t rows, float *block);

/* The embeddings of all rows into the residual, and the rotary angles of all rows. */
void general_embed(struct run *run);
/* q, k and v of all rows into the activations. */
void general_attention_input(struct run *run, const struct layer_weights *w);
/* q of all rows and k and v of the source into the activations of cross-attention. */
void general_cross_input(struct run *run, const struct layer_weights *w);
/* From run->mixed, the heads' outputs, to the residual behind the attention. */
void general_attention_output(struct run *run, const struct layer_weights *w);
/* To the residual behind the feed-forward layer. */
void general_feed_forward(struct run *run, const struct layer_weights *w);
/* The residual behind the last layer, normed where the model does so, into run->output. */
void general_output(struct run *run);

#endif
