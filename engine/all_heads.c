#include "engine/all_heads.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "engine/memory.h"

struct visit {
    const struct engine *engine;
    const struct activations *activations;
    const struct all_heads *visitor;
    struct attention_scratch *scratch; /* [threads] */
    size_t query0, rows, heads, tasks;
    _Atomic size_t next;
};

static void visit_work(void *context, int worker) {
    struct visit *v = context;
    struct attention_scratch *scratch = &v->scratch[worker];
    for (size_t task; (task = atomic_fetch_add_explicit(&v->next, 1, memory_order_relaxed)) < v->tasks;) {
        int layer = (int)(task / v->heads), head = (int)(task % v->heads);
        attention_weights(v->activations, v->engine->kernels, layer, head, v->query0, v->rows, scratch);
        v->visitor->head(v->visitor->context, worker, layer, head, scratch);
    }
}

enum engine_status all_heads_visit(struct engine *engine, const struct activations *activations, const struct all_heads *visitor,
                                   char *error, size_t error_size) {
    const struct model *model = activations->model;
    size_t n = activations->n, block_rows = attention_block_rows(n), threads = (size_t)pool_threads(engine->pool);
    size_t floats = whole_panels(attention_scratch_floats(model, n));
    struct visit v = {.engine = engine, .activations = activations, .visitor = visitor, .heads = (size_t)model->config.heads,
                      .tasks = (size_t)model->config.layers * (size_t)model->config.heads};
    float *memory = memory_aligned(threads * floats * sizeof *memory);
    enum engine_status status = ENGINE_OK;
    v.scratch = calloc(threads, sizeof *v.scratch);
    if (!memory || !v.scratch) status = engine_fail_memory(error, error_size);
    for (size_t t = 0; status == ENGINE_OK && t < threads; t++) attention_scratch_init(&v.scratch[t], model, n, memory + t * floats);
    for (; status == ENGINE_OK && v.query0 < n; v.query0 += block_rows) {
        v.rows = n - v.query0 < block_rows ? n - v.query0 : block_rows;
        if (visitor->begin) visitor->begin(visitor->context, v.query0, v.rows);
        atomic_store(&v.next, 0);
        pool_run(engine->pool, visit_work, &v);
        if (visitor->breathe && !visitor->breathe(visitor->breathe_context))
            status = engine_fail(ENGINE_CANCELLED, error, error_size, "the work on the heads was cancelled");
    }
    free(v.scratch);
    free(memory);
    return status;
}
