/*
 * run.h: a run over a text, as the layers of all kinds of models see it: forward.c takes its memory, runs llama layers and all
 * attention; general.c runs the rest of general layers.
 */
#ifndef HEADSCOPE_ENGINE_RUN_H
#define HEADSCOPE_ENGINE_RUN_H

#include <stdatomic.h>
#include <time.h>

#include "engine/activations.h"
#include "engine/attention.h"
#include "engine/engine_internal.h"
#include "engine/linear.h"

/* What general layers take beside the rows of llama's. */
struct general_rows {
    float *out;                    /* [rows, d_stride] what attention or feed-forward adds to the residual */
    float *up;                     /* [rows, ff_stride] */
    float *local_cosine, *local_sine; /* of config.rope[1] */
    float *expert_in, *expert_out; /* [rows, d_stride] */
    float *routing;                /* [rows, expert_stride] scores, then weights of experts; 0: not chosen */
    float *vectors;                /* norms and biases of this layer, unpacked, [.., vector_stride] */
    uint32_t *expert_rows;         /* [rows] which go to this expert */
    size_t expert_stride, vector_stride;
};

struct run_block {
    void *start;
    size_t bytes; /* 0: from malloc, else from the reserve */
};

struct head_share {
    struct head_sums sums;
    struct thumbnail_sums thumbnails;
    double *memory; /* of the arrays of sums */
};

struct worker {
    struct attention_scratch attention;
    float *linear;
};

/* Of layers that see all, of layers with a window (all of one width), and of cross-attention. */
enum fact_kind { FACTS_ALL, FACTS_WINDOW, FACTS_CROSS, FACT_KINDS };

struct run {
    struct engine *engine;
    const struct kernels *kernels;
    const struct bf16 *bf16; /* NULL: products of linear layers are float32 */
    const struct model *model;
    const struct model_config *config;
    const struct analysis_observer *observer;
    const struct activations *prefix;
    const uint8_t *types; /* [n] of tokens; NULL: all 0 */
    struct activations *activations;
    struct text_facts facts_of[FACT_KINDS];
    const float *source;           /* [source_n, d_stride] the encoder's output, which cross-attention reads; NULL */
    bool keeps_residual;           /* the last layer is run to its end */
    float *output;                 /* [n, d_stride] where an encoder's output goes; NULL: nobody asks for it */
    size_t n, source_n, reused, rows; /* rows = n - reused: what runs through the linear layers */

    /* What is attended to at the moment. */
    int layer;
    struct activations *maps;       /* of this section: activations, or its cross-attention */
    const struct text_facts *facts;
    bool keeps_output;              /* false in the last layer, whose output nobody asks for */

    /* [rows, ...], row i of them is position reused + i */
    float *residual, *normed, *mixed, *hidden, *k, *v;
    float *cosine, *sine; /* of the rotary angles */
    struct general_rows general;
    size_t d_stride, q_stride, ff_stride, kv_stride, pair_stride;
    float *norm_weight; /* [d_model] */
    float *residual_norm; /* [rows] norm of the residual entering the layer */

    struct worker *worker;    /* [threads] */
    struct head_share *share; /* [heads, shares] */
    size_t shares, block_rows;
    _Atomic size_t *shares_left; /* [heads] */

    struct head_statistics *statistics; /* [heads] */
    uint8_t *max, *mean, *strip; /* thumbnails; the strip is the weight on excluded keys */
    _Atomic uint32_t *receiving_heads;       /* [n] heads in which key j receives more than sink_weight */
    _Atomic uint32_t *cross_receiving_heads; /* [source_n] the same in cross-attention */

    struct linear linear;
    struct run_block blocks[12];
    int block_count;
    bool to_publish, no_memory;
    _Atomic size_t next;
    _Atomic bool cancelled, not_finite;
    struct timespec last_breath;
};

/* Whether the run is to end. */
bool run_stopped(struct run *run);
/* Between pieces of work: lets the observer breathe on the caller's thread, at most once a millisecond. */
void run_breathe(struct run *run, int worker);
/* Runs `work` on all workers. */
void run_phase(struct run *run, pool_work *work);
/* The same with a context that knows the run. */
void run_phase_with(struct run *run, pool_work *work, void *context);
/* The next rows of a phase whose rows are independent, counted from row 0 of the residual stream. False: none are left. */
bool run_next_rows(struct run *run, size_t *first, size_t *end);
/* Norms of the residual of rows first .. end - 1. */
void run_residual_norms(struct run *run, size_t first, size_t end);
/* Norms of the values of rows first .. end - 1 (at most BLOCK_ROWS), whose v are in run->v, for the keys of `maps`: its layer's weights
 * are w. */
void run_value_norms(struct run *run, struct activations *maps, const struct layer_weights *w, int worker, size_t first, size_t end);
/* As run_next_rows, for the rows of the source. */
bool run_next_source_rows(struct run *run, size_t *first, size_t *end);
/* Runs the linear layers in run->linear. */
void run_linear(struct run *run);
struct linear run_linear_from(struct run *run, const float *x, size_t x_stride, bool accumulate);
void run_project(struct run *run, const struct tensor *weight, const struct tensor *up, const float *x, size_t x_stride, float *y,
                 size_t y_stride, bool accumulate);

#endif
