/* engine_internal.h: the engine as its own parts see it. */
#ifndef HEADSCOPE_ENGINE_ENGINE_INTERNAL_H
#define HEADSCOPE_ENGINE_ENGINE_INTERNAL_H

#include "engine/bf16.h"
#include "engine/engine.h"
#include "engine/failure.h"
#include "engine/kernels.h"
#include "engine/pool.h"
#include "engine/reserve.h"

struct engine {
    struct engine_options options;
    struct pool *pool;
    struct reserve *reserve;
    const struct kernels *kernels;
    const struct bf16 *bf16; /* NULL: not on this processor */
    double rate; /* floating point operations a second, as seen in past runs; a guess before */
    char description[96];
};

/* As engine_create, with a vector path of the caller's choice: for tests and benchmarks. */
enum engine_status engine_create_with(const struct engine_options *options, const struct kernels *kernels, struct engine **engine,
                                      char *error, size_t error_size);

#endif
