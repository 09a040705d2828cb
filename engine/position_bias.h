/*
 * position_bias.h: what a head adds to the score of a key for where it stands, as a table over j - i.
 *   ALiBi (Press et al. 2022): slope_h (j - i); slopes are powers of 2^(-8 / heads), as published for other counts of heads.
 *   Buckets (Raffel et al. 2020): a learned number for each head and bucket; in encoders half of the buckets are for keys ahead;
 *   near keys have one each, farther ones share theirs by the logarithm of the distance.
 */
#ifndef HEADSCOPE_ENGINE_POSITION_BIAS_H
#define HEADSCOPE_ENGINE_POSITION_BIAS_H

#include "engine/model.h"

/* bias: [heads, 2 n - 1]; that of key j for query i is number n - 1 + j - i of its head. */
void position_bias_fill(const struct model *model, size_t n, float *bias);

#endif
