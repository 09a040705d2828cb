/*
 * naive_statistics.h: section 1 of docs/statistics.md written straight from the definitions, in float64, from a whole N x N
 * map: slow, and what the engine's one-pass sums are held against.
 */
#ifndef HEADSCOPE_TESTS_NAIVE_STATISTICS_H
#define HEADSCOPE_TESTS_NAIVE_STATISTICS_H

#include "engine/engine.h"
#include "engine/visibility.h"

/* A: [n, n], zero where a query does not see the key. */
void naive_statistics_of(const double *a, struct visibility sees, const int32_t *ids, size_t n, const uint32_t *excluded,
                         size_t excluded_count, struct head_statistics *statistics);
/* The same of a causal map. */
void naive_statistics(const double *a, const int32_t *ids, size_t n, const uint32_t *excluded, size_t excluded_count,
                      struct head_statistics *statistics);
/* Cross-attention. A: [queries, keys]. */
void naive_cross_statistics(const double *a, size_t queries, size_t keys, const uint32_t *excluded, size_t excluded_count,
                            struct head_statistics *statistics);
/* Cells before the square root: max, mean [bins, bins], excluded [bins]; bins = min(48, n). */
void naive_thumbnail(const double *a, struct visibility sees, size_t n, const uint32_t *excluded, size_t excluded_count, double *max, double *mean,
                     double *on_excluded);
/* Mean weight of key j over the queries that see it, itself left out; NAN where there are none. */
double naive_received(const double *a, struct visibility sees, size_t n, size_t j);

#endif
