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

/* Tables of general models: frequency[p] = theta^(-2p / dim), then scaled as model files ask. */
float rope_frequency(double theta, int dim, int p);
void rope_frequencies(double theta, int dim, float *frequency);
void rope_scale_linear(struct rope_table *table, size_t pairs, double factor);
/* Llama 3.1: low frequencies are divided by the factor, high ones kept, those between blended. */
void rope_scale_llama3(struct rope_table *table, size_t pairs, double factor, double low, double high, double trained);
/* YaRN (Peng et al. 2023); sets the table's factor to yarn_factor(factor, 1). truncate: whole dimensions bound the blend. */
struct yarn {
    double factor, trained, theta, fast, slow;
    bool truncate;
};
void rope_scale_yarn(struct rope_table *table, int dim, const struct yarn *yarn);
double yarn_factor(double factor, double scale);
/* cosine, sine: [pairs] of position i by a table. */
void rope_table_angles(const struct rope_table *table, size_t pairs, size_t i, float *cosine, float *sine);

#endif
