/*
 * rope.h: rotary positions (Su et al. 2021). Dimension pair p of a head turns by the angle i * theta^(-2p / rope_dim) at
 * position i. Angles are rounded to float32 as the reference implementation does, then their sines and cosines are exact.
 */
#ifndef HEADSCOPE_ENGINE_ROPE_H
#define HEADSCOPE_ENGINE_ROPE_H

#include <stddef.h>

#include "engine/model.h"

/* cosine, sine: [rope_dim / 2] of position i. */
void rope_angles(const struct model_config *config, size_t i, float *cosine, float *sine);
/* Turns `heads` heads of one row x [heads, head_dim] in place. */
void rope_turn(const struct model_config *config, size_t heads, const float *cosine, const float *sine, float *x);

#endif
