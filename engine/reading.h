/*
 * reading.h: rows of a map computed again from activations, for whatever is read of them (reading.c, between.c, similarity.c,
 * comparison.c, dilution.c). All of it may be asked for while the pool is in the middle of a run.
 */
#ifndef HEADSCOPE_ENGINE_READING_H
#define HEADSCOPE_ENGINE_READING_H

#include "engine/activations.h"
#include "engine/engine_internal.h"

/* ENGINE_INVALID where the model has no such head. */
enum engine_status reading_check(const struct activations *activations, struct head_address at, char *error, size_t error_size);

/* Weights of rows query0 .. query0 + rows - 1 on the keys of whole panels from key_panel0 on; 0 where the mask hides them and beyond
 * the last key. Row stride `stride`. */
void reading_rows(const struct engine *engine, const struct activations *activations, struct head_address at, size_t query0,
                  size_t rows, size_t key_panel0, size_t key_panels, float *weights, size_t stride);
/* The same of any rows, `place[k]` for the k-th, each on the first key_panels panels: neighbours are computed together. */
void reading_places(const struct engine *engine, const struct activations *activations, struct head_address at,
                    const uint32_t *place, size_t count, size_t key_panels, float *weights, size_t stride);
/* ENGINE_INVALID unless the excluded keys ascend below `keys`. */
enum engine_status reading_check_excluded(const uint32_t *excluded, size_t count, size_t keys, char *error, size_t error_size);

/* At most `most` of `count` places from `first` on: all, or runs of `run` neighbours, evenly spaced. Returns how many. */
size_t reading_sample(size_t first, size_t count, size_t most, size_t run, uint32_t *place);

#endif
