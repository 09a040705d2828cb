#include "engine/probe_loss.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/memory.h"
#include "engine/weights.h"

struct loss {
    const struct kernels *kernels;
    const struct model *model;
    const int32_t *targets;
    size_t rows, width; /* width: of a row, whole panels */
    float *normed;      /* [rows, width] */
    float *target;      /* [rows] logits of the targets */
    float *panel;       /* [threads, 2, width, PANEL] */
    float *logits;      /* [threads, rows, PANEL] */
    float *max;         /* [threads, rows] */
    double *sum;        /* [threads, rows] of exp(logit - max) */
    _Atomic size_t next;
};

bool probe_loss_known(const struct model *model) {
    return !model->config.general && model->unembedding.data && model->unembedding_norm.data;
}

/* A panel of the vocabulary after the other; each thread keeps its own running log-sum-exp. */
static void loss_work(void *context, int worker) {
    struct loss *l = context;
    size_t vocabulary = l->model->unembedding.rows, panels = whole_panels(vocabulary) / PANEL;
    float *panel = l->panel + (size_t)worker * 2 * l->width * PANEL, *logits = l->logits + (size_t)worker * l->rows * PANEL;
    float *max = l->max + (size_t)worker * l->rows;
    double *sum = l->sum + (size_t)worker * l->rows;
    for (size_t p; (p = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed)) < panels;) {
        size_t first = p * PANEL, count = vocabulary - first < PANEL ? vocabulary - first : PANEL;
        weights_panel(l->kernels, &l->model->unembedding, first, count, panel + l->width * PANEL, panel);
        l->kernels->multiply(&(struct product){.rows = l->rows, .panels = 1, .depth = l->width, .a = l->normed, .a_stride = l->width,
                                               .b = panel, .b_panel_stride = l->width * PANEL, .c = logits, .c_stride = PANEL,
                                               .c_panel_stride = PANEL, .scale = 1.0f});
        for (size_t r = 0; r < l->rows; r++) {
            const float *row = logits + r * PANEL;
            float most = max[r];
            for (size_t v = 0; v < count; v++) most = row[v] > most ? row[v] : most;
            sum[r] *= exp((double)(max[r] - most));
            max[r] = most;
            for (size_t v = 0; v < count; v++) sum[r] += exp((double)(row[v] - most));
            size_t target = (size_t)l->targets[r];
            if (target >= first && target < first + count) l->target[r] = row[target - first];
        }
    }
}

static double mean_of(const struct loss *l, size_t threads) {
    double total = 0;
    for (size_t r = 0; r < l->rows; r++) {
        double max = (double)l->max[r], sum = 0;
        for (size_t t = 1; t < threads; t++) max = (double)l->max[t * l->rows + r] > max ? (double)l->max[t * l->rows + r] : max;
        for (size_t t = 0; t < threads; t++) sum += l->sum[t * l->rows + r] * exp((double)l->max[t * l->rows + r] - max);
        total += max + log(sum) - (double)l->target[r];
    }
    return total / (double)l->rows;
}

enum engine_status probe_loss(struct engine *engine, const struct model *model, const float *residual, const int32_t *targets, size_t rows,
                              double *mean, char *error, size_t error_size) {
    size_t threads = (size_t)pool_threads(engine->pool), d = (size_t)model->config.d_model;
    struct loss l = {.kernels = engine->kernels, .model = model, .targets = targets, .rows = rows, .width = whole_panels(d)};
    size_t floats = rows * l.width + whole_panels(rows) + threads * (2 * l.width * PANEL + rows * PANEL + whole_panels(rows)) + l.width;
    float *memory = memory_aligned(floats * sizeof *memory);
    l.sum = calloc(threads * rows, sizeof *l.sum);
    enum engine_status status = memory && l.sum ? ENGINE_OK : engine_fail_memory(error, error_size);
    if (status == ENGINE_OK) {
        memset(memory, 0, floats * sizeof *memory);
        l.normed = memory;
        l.target = l.normed + rows * l.width;
        l.panel = l.target + whole_panels(rows);
        l.logits = l.panel + threads * 2 * l.width * PANEL;
        l.max = l.logits + threads * rows * PANEL;
        float *norm = l.max + threads * whole_panels(rows);
        weights_vector(engine->kernels, &model->unembedding_norm, norm);
        for (size_t i = 0; i < threads * rows; i++) l.max[i] = MASKED_SCORE;
        for (size_t r = 0; r < rows; r++)
            engine->kernels->rms_norm(residual + r * d, norm, d, model->config.norm_epsilon, l.normed + r * l.width);
        pool_run(engine->pool, loss_work, &l);
        *mean = mean_of(&l, threads);
    }
    free(l.sum);
    free(memory);
    return status;
}
