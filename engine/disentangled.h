/*
 * disentangled.h: attention that also compares words with distances (He et al. 2021, DeBERTa): for query i and key j at the bucket
 * b(i - j) of their distance, score = scale (q_i . k_j + q_i . kr_b + qr_b . k_j), where qr and kr are the embeddings of distances
 * projected as words are. Near distances have a bucket each, far ones share theirs by the logarithm.
 */
#ifndef HEADSCOPE_ENGINE_DISENTANGLED_H
#define HEADSCOPE_ENGINE_DISENTANGLED_H

#include "engine/run.h"

/* qr and kr of the run's layer into its activations; their tables have room for them. On the caller's thread, with the pool. */
void disentangled_project(struct run *run, const struct layer_weights *w);
/* Rows of qr and of kr that n tokens need: the buckets of distances 1 - n .. n - 1. */
size_t disentangled_rows(const struct model_config *config, size_t n);
/* Adds both terms to scores[r, j] of queries query0 + r and keys key + j. */
void disentangled_add(const struct activations *activations, int layer, int head, size_t query0, size_t rows, size_t key, size_t keys,
                      float *scores, size_t stride);

#endif
