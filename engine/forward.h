/*
 * forward.h: one run of a model over a text, layer by layer, with the statistics of every head. The work behind analysis_run;
 * the input has been checked.
 */
#ifndef HEADSCOPE_ENGINE_FORWARD_H
#define HEADSCOPE_ENGINE_FORWARD_H

#include "engine/engine_internal.h"
#include "engine/model.h"

/* Bytes that a run takes on `threads` threads, activations and scratch: an upper bound. target_n: 0 without an encoder. */
uint64_t forward_size(const struct kernels *kernels, const struct model *model, int threads, size_t n, size_t target_n);
/* Floating point operations of a run of which nothing is taken from another. */
double forward_operations(const struct model *model, size_t n, size_t target_n);

enum engine_status forward_run(struct engine *engine, const struct analysis_input *input, const struct activations *prefix,
                               const struct analysis_observer *observer, uint32_t **sinks, size_t *sink_count,
                               struct activations **activations, char *error, size_t error_size);

#endif
