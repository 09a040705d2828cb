/*
 * all_heads.h: after a run, every weight of every head once more: a block of rows after the other, and within a block the heads side
 * by side on the engine's pool. What depends on the rows alone is made once a block, not once a head.
 */
#ifndef HEADSCOPE_ENGINE_ALL_HEADS_H
#define HEADSCOPE_ENGINE_ALL_HEADS_H

#include "engine/attention.h"
#include "engine/engine_internal.h"

struct all_heads {
    void *context;
    /* Before the heads of rows query0 .. query0 + rows - 1, on the caller's thread. May be NULL. */
    void (*begin)(void *context, size_t query0, size_t rows);
    /* scratch->block holds the head's rows. Different heads at the same time, from different workers. */
    void (*head)(void *context, int worker, int layer, int head, struct attention_scratch *scratch);
    /* Between blocks, on the caller's thread: false ends it. May be NULL. */
    bool (*breathe)(void *context);
    void *breathe_context;
};

/* ENGINE_CANCELLED when breathe says so, ENGINE_NO_MEMORY. On the engine's thread. */
enum engine_status all_heads_visit(struct engine *engine, const struct activations *activations, const struct all_heads *visit,
                                   char *error, size_t error_size);

#endif
