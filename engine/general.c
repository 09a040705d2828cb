#include "engine/general.h"

#include <math.h>
#include <string.h>

#include "engine/disentangled.h"
#include "engine/rope.h"
#include "engine/weights.h"

/* Which unpacked vector is which, while a phase runs. */
enum { NORM_WEIGHT, NORM_BIAS, Q_BIAS, K_BIAS, V_BIAS, Q_NORM, K_NORM, OUT_BIAS, GATE_BIAS, UP_BIAS, VECTORS };

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

size_t general_row_floats(struct general_rows *general, const struct model_config *c) {
    size_t d = whole_panels((size_t)c->d_model), ff = whole_panels(larger((size_t)c->d_ff, (size_t)c->expert_ff));
    size_t pairs = whole_panels((size_t)c->rope_dim / 2);
    *general = (struct general_rows){0};
    if (!c->general) return 0;
    general->expert_stride = whole_panels((size_t)c->experts + 2 * (size_t)c->experts_used); /* room for route_row */
    general->vector_stride = whole_panels(larger(larger(d, ff), larger((size_t)c->heads * (size_t)c->head_dim, (size_t)c->embedding_dim)));
    return d + ff + 2 * pairs + (c->experts > 0 ? 2 * d + general->expert_stride + PANEL : 0);
}

size_t general_floats(const struct general_rows *general, const struct model_config *c) {
    return c->general ? VECTORS * general->vector_stride : 0;
}

void general_init(struct general_rows *general, const struct model_config *c, size_t rows, float *block) {
    size_t d = whole_panels((size_t)c->d_model), ff = whole_panels(larger((size_t)c->d_ff, (size_t)c->expert_ff));
    size_t pairs = whole_panels((size_t)c->rope_dim / 2);
    general_row_floats(general, c);
    general->out = block;
    general->up = general->out + rows * d;
    general->local_cosine = general->up + rows * ff;
    general->local_sine = general->local_cosine + rows * pairs;
    general->vectors = general->local_sine + rows * pairs;
    if (c->experts == 0) return;
    general->expert_in = general->vectors + VECTORS * general->vector_stride;
    general->expert_out = general->expert_in + rows * d;
    general->routing = general->expert_out + rows * d;
    general->expert_rows = (uint32_t *)(void *)(general->routing + rows * general->expert_stride);
}

/* NULL where the model has no such vector. */
static const float *unpack(struct run *run, int which, const struct tensor *vector) {
    float *x = run->general.vectors + (size_t)which * run->general.vector_stride;
    if (!vector->data) return NULL;
    weights_vector(run->kernels, vector, x);
    return x;
}

static const float *unpack_norm(struct run *run, int which, const struct tensor *vector) {
    float *x = run->general.vectors + (size_t)which * run->general.vector_stride;
    if (!unpack(run, which, vector)) return NULL;
    if (run->config->norm == NORM_RMS_PLUS_ONE)
        for (size_t i = 0; i < vector->rows * vector->cols; i++) x[i] += 1;
    return x;
}

/* ---- one row --------------------------------------------------------------------------------------------------------- */

/* x and y may be the same. False if x is not finite. */
static bool norm_row(const struct run *run, const float *x, const float *weight, const float *bias, size_t n, float *y) {
    float epsilon = run->config->norm_epsilon;
    if (run->config->norm != NORM_LAYER) return isfinite(run->kernels->rms_norm(x, weight, n, epsilon, y));
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    double scale = 1 / sqrt(squares / (double)n + (double)epsilon);
    for (size_t i = 0; i < n; i++) y[i] = (float)(((double)x[i] - mean) * scale) * weight[i] + (bias ? bias[i] : 0);
    return isfinite(squares);
}

static void add(const float *bias, size_t n, float *x) {
    for (size_t i = 0; bias && i < n; i++) x[i] += bias[i];
}

static float activate(enum activation_kind kind, float x) {
    switch (kind) {
    case ACTIVATION_SILU: return x / (1.0f + expf(-x));
    case ACTIVATION_GELU: return 0.5f * x * (1.0f + erff(x * (float)M_SQRT1_2));
    case ACTIVATION_GELU_TANH: return 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    case ACTIVATION_RELU: return x > 0 ? x : 0;
    case ACTIVATION_CLAMPED: break;
    }
    float bounded = x < 7 ? x : 7;
    return bounded / (1.0f + expf(-1.702f * bounded));
}

/* gate = activation(gate + its bias) * (up + its bias); up NULL: not gated, and the bias is up's. n: without padding. */
static void activate_row(const struct run *run, float *gate, const float *up, const float *gate_bias, const float *up_bias, size_t n) {
    enum activation_kind kind = run->config->activation;
    for (size_t i = 0; i < n; i++) {
        float x = gate[i] + (gate_bias ? gate_bias[i] : 0);
        gate[i] = activate(kind, x);
        if (!up) continue;
        float factor = up[i] + (up_bias ? up_bias[i] : 0);
        if (kind == ACTIVATION_CLAMPED) factor = (factor < -7 ? -7 : factor > 7 ? 7 : factor) + 1;
        gate[i] *= factor;
    }
}

/* ---- phases over rows ---------------------------------------------------------------------------------------------------- */

static void not_finite(struct run *run) {
    atomic_store_explicit(&run->not_finite, true, memory_order_relaxed);
}

struct norm_phase {
    struct run *run;
    const float *weight, *bias, *from;
    float *to;
};

static void norm_work(void *context, int worker) {
    struct norm_phase *p = context;
    struct run *run = p->run;
    for (size_t i, end; !run_stopped(run) && run_next_rows(run, &i, &end); run_breathe(run, worker))
        for (; i < end; i++)
            if (!norm_row(run, p->from + i * run->d_stride, p->weight, p->bias, (size_t)run->config->d_model, p->to + i * run->d_stride))
                not_finite(run);
}

/* Returns what a sublayer reads: the norm of the residual, or the residual itself where there is none. */
static const float *normed(struct run *run, const struct tensor *weight, const struct tensor *bias) {
    struct norm_phase p = {run, unpack_norm(run, NORM_WEIGHT, weight), unpack(run, NORM_BIAS, bias), run->residual, run->normed};
    if (!p.weight) return run->residual;
    run_phase_with(run, norm_work, &p);
    return run->normed;
}

struct add_phase {
    struct run *run;
    const float *bias, *norm, *norm_bias;
};

/* residual += scale * norm(out + bias), or norm(residual + out + bias). */
static void add_work(void *context, int worker) {
    struct add_phase *p = context;
    struct run *run = p->run;
    size_t d = (size_t)run->config->d_model;
    bool after = run->config->norm_after_residual;
    float scale = run->config->residual_scale;
    for (size_t i, end; !run_stopped(run) && run_next_rows(run, &i, &end); run_breathe(run, worker))
        for (; i < end; i++) {
            float *out = run->general.out + i * run->d_stride, *residual = run->residual + i * run->d_stride;
            add(p->bias, d, out);
            if (p->norm && !after && !norm_row(run, out, p->norm, p->norm_bias, d, out)) not_finite(run);
            for (size_t j = 0; j < d; j++) residual[j] += scale * out[j];
            if (p->norm && after && !norm_row(run, residual, p->norm, p->norm_bias, d, residual)) not_finite(run);
        }
}

static void add_to_residual(struct run *run, const struct tensor *bias, const struct tensor *norm, const struct tensor *norm_bias) {
    struct add_phase p = {run, unpack(run, OUT_BIAS, bias), unpack_norm(run, NORM_WEIGHT, norm), unpack(run, NORM_BIAS, norm_bias)};
    run_phase_with(run, add_work, &p);
}

/* ---- embeddings ------------------------------------------------------------------------------------------------------------ */

/* Row of the position embeddings for each position: RoBERTa's padding token takes the one before the first. */
static size_t position_row(const struct run *run, size_t position) {
    const struct model_config *c = run->config;
    const int32_t *ids = run->activations->ids;
    if (c->position_pad < 0) return position + (size_t)c->position_offset;
    if (ids[position] == c->position_pad) return (size_t)c->position_pad;
    size_t before = 0;
    for (size_t i = 0; i < position; i++) before += ids[i] != c->position_pad;
    return before + (size_t)c->position_offset;
}

static void add_row(struct run *run, const struct tensor *rows, size_t row, float *scratch, float *x) {
    if (!rows->data) return;
    weights_row(run->kernels, rows, row, scratch);
    add(scratch, rows->cols, x);
}

/* Half sines, half cosines (Vaswani et al. 2017): of position i, sin(i / 10000^(2 j / width)) in place j, its cosine half a row on. */
static void add_sinusoids(size_t position, size_t width, float *x) {
    size_t sines = (width + 1) / 2;
    for (size_t j = 0; j < width; j++) {
        size_t pair = j < sines ? j : j - sines;
        double angle = (double)position / pow(10000, 2.0 * (double)pair / (double)width);
        x[j] += (float)(j < sines ? sin(angle) : cos(angle));
    }
}

static void add_position(struct run *run, size_t position, float *scratch, float *x) {
    if (run->config->sinusoidal && !run->model->positions.data)
        add_sinusoids(position, (size_t)run->config->embedding_dim, x);
    else
        add_row(run, &run->model->positions, position_row(run, position), scratch, x);
}

struct embed_phase {
    struct run *run;
    const float *norm, *norm_bias;
    float *to; /* [rows, d_stride] */
    bool positions;
};

static void embed_work(void *context, int worker) {
    struct embed_phase *p = context;
    struct run *run = p->run;
    const struct model *model = run->model;
    size_t width = (size_t)run->config->embedding_dim, pairs = (size_t)run->config->rope_dim / 2;
    for (size_t i, end; run_next_rows(run, &i, &end);)
        for (; i < end; i++) {
            float *x = p->to + i * run->d_stride, *scratch = run->general.out + i * run->d_stride;
            size_t position = run->reused + i;
            weights_row(run->kernels, &model->embedding, (size_t)run->activations->ids[position], x);
            for (size_t j = 0; j < width; j++) x[j] *= run->config->embedding_scale;
            if (p->positions) add_position(run, position, scratch, x);
            add_row(run, &model->token_types, run->types ? run->types[position] : 0, scratch, x);
            if (p->norm) norm_row(run, x, p->norm, p->norm_bias, width, x);
            const struct rope_table *rope = run->config->rope;
            if (rope[0].frequency)
                rope_table_angles(&rope[0], pairs, position, run->cosine + i * run->pair_stride, run->sine + i * run->pair_stride);
            if (rope[1].frequency)
                rope_table_angles(&rope[1], pairs, position, run->general.local_cosine + i * run->pair_stride,
                                  run->general.local_sine + i * run->pair_stride);
        }
    (void)worker;
}

/* The projection's bias, and positions that are added behind the projection (OPT). */
static void embed_finish_work(void *context, int worker) {
    struct embed_phase *p = context;
    struct run *run = p->run;
    size_t d = (size_t)run->config->d_model;
    for (size_t i, end; run_next_rows(run, &i, &end);)
        for (; i < end; i++) {
            float *x = run->residual + i * run->d_stride;
            add(p->norm_bias, d, x);
            if (p->positions) add_position(run, run->reused + i, run->general.out + i * run->d_stride, x);
        }
    (void)worker;
}

void general_embed(struct run *run) {
    const struct model *model = run->model;
    bool projected = model->embedding_projection.data != NULL, late = projected && !model->embedding_norm.data;
    struct embed_phase p = {.run = run, .norm = unpack_norm(run, NORM_WEIGHT, &model->embedding_norm),
                            .norm_bias = unpack(run, NORM_BIAS, &model->embedding_norm_bias),
                            .to = projected ? run->normed : run->residual, .positions = !late};
    run_phase_with(run, embed_work, &p);
    if (!projected) return;
    for (size_t i = 0; i < run->rows; i++) /* a product reads whole panels */
        memset(run->normed + i * run->d_stride + run->config->embedding_dim, 0,
               (run->d_stride - (size_t)run->config->embedding_dim) * sizeof(float));
    run_project(run, &model->embedding_projection, NULL, run->normed, run->d_stride, run->residual, run->d_stride, false);
    p.norm_bias = unpack(run, NORM_BIAS, &model->embedding_projection_bias);
    p.positions = late;
    run_phase_with(run, embed_finish_work, &p);
}

/* ---- queries, keys and values ------------------------------------------------------------------------------------------------ */

struct qkv_phase {
    struct run *run;
    const float *q_bias, *k_bias, *v_bias, *q_norm, *k_norm;
    bool q_heads, k_heads; /* the norms are of one head each */
    int rope;
};

static void finish_heads(const struct qkv_phase *p, const float *bias, const float *norm, bool of_heads, size_t heads, size_t i, float *x) {
    struct run *run = p->run;
    size_t head_dim = (size_t)run->config->head_dim;
    const float *cosine = (p->rope == 1 ? run->general.local_cosine : run->cosine) + i * run->pair_stride;
    const float *sine = (p->rope == 1 ? run->general.local_sine : run->sine) + i * run->pair_stride;
    add(bias, heads * head_dim, x);
    if (norm && !of_heads) norm_row(run, x, norm, NULL, heads * head_dim, x);
    for (size_t h = 0; norm && of_heads && h < heads; h++) norm_row(run, x + h * head_dim, norm, NULL, head_dim, x + h * head_dim);
    if (p->rope >= 0) rope_turn(run->config, heads, cosine, sine, x);
}

static void qkv_work(void *context, int worker) {
    struct qkv_phase *p = context;
    struct run *run = p->run;
    const struct model_config *c = run->config;
    float *q = run->activations->layer[run->layer].q;
    for (size_t first, end; !run_stopped(run) && run_next_rows(run, &first, &end); run_breathe(run, worker)) {
        for (size_t i = first; i < end; i++) {
            size_t position = run->reused + i;
            float *k = run->k + i * run->kv_stride, *v = run->v + i * run->kv_stride;
            finish_heads(p, p->q_bias, p->q_norm, p->q_heads, (size_t)c->heads, i, q + position * run->activations->q_stride);
            finish_heads(p, p->k_bias, p->k_norm, p->k_heads, (size_t)c->kv_heads, i, k);
            add(p->v_bias, (size_t)c->kv_heads * (size_t)c->head_dim, v);
            activations_store_row(run->activations, run->layer, position, k, v);
        }
        run_residual_norms(run, first, end);
        run_value_norms(run, run->activations, &run->model->layer[run->layer], worker, first, end);
    }
}

void general_attention_input(struct run *run, const struct layer_weights *w) {
    struct layer_activations *a = &run->activations->layer[run->layer];
    size_t head_dim = (size_t)run->config->head_dim;
    const float *x = normed(run, &w->attention_norm, &w->attention_norm_bias);
    run->linear = run_linear_from(run, x, run->d_stride, false);
    run->linear.parts = 3;
    run->linear.part[0] = (struct linear_part){&w->q, NULL, a->q + run->reused * run->activations->q_stride, run->activations->q_stride};
    run->linear.part[1] = (struct linear_part){&w->k, NULL, run->k, run->kv_stride};
    run->linear.part[2] = (struct linear_part){&w->v, NULL, run->v, run->kv_stride};
    run_linear(run);
    if (run->activations->relative) disentangled_project(run, w);
    struct qkv_phase p = {.run = run, .q_bias = unpack(run, Q_BIAS, &w->q_bias), .k_bias = unpack(run, K_BIAS, &w->k_bias),
                          .v_bias = unpack(run, V_BIAS, &w->v_bias), .q_norm = unpack_norm(run, Q_NORM, &w->q_norm),
                          .k_norm = unpack_norm(run, K_NORM, &w->k_norm),
                          .q_heads = w->q_norm.rows * w->q_norm.cols == head_dim, .k_heads = w->k_norm.rows * w->k_norm.cols == head_dim,
                          .rope = w->rope};
    run_phase_with(run, qkv_work, &p);
}

/* ---- cross-attention ---------------------------------------------------------------------------------------------------------- */

static void cross_queries_work(void *context, int worker) {
    struct qkv_phase *p = context;
    struct run *run = p->run;
    struct activations *cross = run->activations->cross;
    size_t width = (size_t)run->config->heads * (size_t)run->config->head_dim;
    for (size_t i, end; !run_stopped(run) && run_next_rows(run, &i, &end); run_breathe(run, worker))
        for (; i < end; i++) add(p->q_bias, width, cross->layer[run->layer].q + i * cross->q_stride);
}

static void cross_keys_work(void *context, int worker) {
    struct qkv_phase *p = context;
    struct run *run = p->run;
    size_t width = (size_t)run->config->kv_heads * (size_t)run->config->head_dim;
    for (size_t first, end; !run_stopped(run) && run_next_source_rows(run, &first, &end); run_breathe(run, worker)) {
        for (size_t j = first; j < end; j++) {
            float *k = run->k + j * run->kv_stride, *v = run->v + j * run->kv_stride;
            add(p->k_bias, width, k);
            add(p->v_bias, width, v);
            activations_store_row(run->activations->cross, run->layer, j, k, v);
        }
        run_value_norms(run, run->activations->cross, &run->model->cross[run->layer], worker, first, end);
    }
}

void general_cross_input(struct run *run, const struct layer_weights *w) {
    struct activations *cross = run->activations->cross;
    const float *x = normed(run, &w->attention_norm, &w->attention_norm_bias);
    run_project(run, &w->q, NULL, x, run->d_stride, cross->layer[run->layer].q, cross->q_stride, false);
    run->linear = run_linear_from(run, run->source, run->d_stride, false);
    run->linear.rows = run->source_n;
    run->linear.parts = 2;
    run->linear.part[0] = (struct linear_part){&w->k, NULL, run->k, run->kv_stride};
    run->linear.part[1] = (struct linear_part){&w->v, NULL, run->v, run->kv_stride};
    run_linear(run);
    struct qkv_phase p = {.run = run, .q_bias = unpack(run, Q_BIAS, &w->q_bias), .k_bias = unpack(run, K_BIAS, &w->k_bias),
                          .v_bias = unpack(run, V_BIAS, &w->v_bias)};
    run_phase_with(run, cross_queries_work, &p);
    run_phase_with(run, cross_keys_work, &p);
}

void general_output(struct run *run) {
    const float *x = normed(run, &run->model->output_norm, &run->model->output_norm_bias);
    memcpy(run->output, x, run->n * run->d_stride * sizeof *x);
}

/* ---- feed-forward ---------------------------------------------------------------------------------------------------------- */

struct activate_phase {
    struct run *run;
    const float *gate_bias, *up_bias;
    bool gated;
    size_t width;
};

static void activate_work(void *context, int worker) {
    struct activate_phase *p = context;
    struct run *run = p->run;
    for (size_t i, end; !run_stopped(run) && run_next_rows(run, &i, &end); run_breathe(run, worker))
        for (; i < end; i++)
            activate_row(run, run->hidden + i * run->ff_stride, p->gated ? run->general.up + i * run->ff_stride : NULL,
                         p->gated ? p->gate_bias : p->up_bias, p->up_bias, p->width);
}

static void run_feed_forward(struct run *run, const struct layer_weights *w, const float *x) {
    struct activate_phase p = {.run = run, .gated = run->config->gated, .width = (size_t)run->config->d_ff};
    run->linear = run_linear_from(run, x, run->d_stride, false);
    const struct tensor *first = p.gated ? &w->gate : &w->up;
    run->linear.part[run->linear.parts++] = (struct linear_part){first, NULL, run->hidden, run->ff_stride};
    if (p.gated) run->linear.part[run->linear.parts++] = (struct linear_part){&w->up, NULL, run->general.up, run->ff_stride};
    run_linear(run);
    p.gate_bias = unpack(run, GATE_BIAS, &w->gate_bias);
    p.up_bias = unpack(run, UP_BIAS, &w->up_bias);
    run_phase_with(run, activate_work, &p);
    run_project(run, &w->down, NULL, run->hidden, run->ff_stride, run->general.out, run->d_stride, false);
}

/* ---- experts (Shazeer et al. 2017) --------------------------------------------------------------------------------------------- */

/* Scores of one row become the weights of the experts_used largest, 0 for the others; of equal ones the earlier is chosen. */
static void route_row(const struct model_config *c, float *scores) {
    double sum = 0, chosen_sum = 0;
    float max = scores[0];
    for (int e = 1; e < c->experts; e++) max = scores[e] > max ? scores[e] : max;
    for (int e = 0; e < c->experts; e++) sum += exp((double)(scores[e] - max));
    if (!isfinite(sum)) { /* nothing can be chosen: whatever is computed is NAN */
        for (int e = 0; e < c->experts; e++) scores[e] = e < c->experts_used ? NAN : 0;
        return;
    }
    for (int n = 0; n < c->experts_used; n++) scores[c->experts + c->experts_used + n] = -1;
    for (int n = 0; n < c->experts_used; n++) {
        int best = -1;
        for (int e = 0; e < c->experts; e++)
            if (scores[e] > -INFINITY && (best < 0 || scores[e] > scores[best])) best = e;
        if (best < 0) break;
        double weight = exp((double)(scores[best] - max));
        chosen_sum += weight;
        scores[best] = -INFINITY; /* chosen; its weight is found again below */
        scores[c->experts + n] = (float)weight;
        scores[c->experts + c->experts_used + n] = (float)best;
    }
    double divisor = c->router == ROUTER_SOFTMAX_NORMALISED ? chosen_sum : sum;
    for (int e = 0; e < c->experts; e++) scores[e] = 0;
    for (int n = 0; n < c->experts_used; n++) {
        int expert = (int)scores[c->experts + c->experts_used + n];
        if (expert >= 0 && expert < c->experts) scores[expert] = (float)((double)scores[c->experts + n] / divisor);
    }
}

static void run_expert(struct run *run, const struct expert_weights *x, const float *in, int expert) {
    const struct model_config *c = run->config;
    struct general_rows *g = &run->general;
    size_t d = (size_t)c->d_model, ff = (size_t)c->expert_ff, count = 0;
    for (size_t i = 0; i < run->rows; i++)
        if (g->routing[i * g->expert_stride + (size_t)expert] != 0) {
            memcpy(g->expert_in + count * run->d_stride, in + i * run->d_stride, run->d_stride * sizeof *in);
            g->expert_rows[count++] = (uint32_t)i;
        }
    if (count == 0 || run_stopped(run)) return;
    const float *gate_bias = unpack(run, GATE_BIAS, &x->gate_bias), *up_bias = unpack(run, UP_BIAS, &x->up_bias),
                *down_bias = unpack(run, OUT_BIAS, &x->down_bias);
    run->linear = run_linear_from(run, g->expert_in, run->d_stride, false);
    run->linear.rows = count;
    run->linear.parts = 2;
    run->linear.part[0] = (struct linear_part){&x->gate, NULL, run->hidden, run->ff_stride};
    run->linear.part[1] = (struct linear_part){&x->up, NULL, g->up, run->ff_stride};
    run_linear(run);
    for (size_t r = 0; r < count; r++) activate_row(run, run->hidden + r * run->ff_stride, g->up + r * run->ff_stride, gate_bias, up_bias, ff);
    run->linear = run_linear_from(run, run->hidden, run->ff_stride, false);
    run->linear.rows = count;
    run->linear.parts = 1;
    run->linear.part[0] = (struct linear_part){&x->down, NULL, g->expert_out, run->d_stride};
    run_linear(run);
    for (size_t r = 0; r < count; r++) {
        float weight = g->routing[g->expert_rows[r] * g->expert_stride + (size_t)expert];
        float *out = g->out + g->expert_rows[r] * run->d_stride, *from = g->expert_out + r * run->d_stride;
        for (size_t j = 0; j < d; j++) out[j] += weight * (from[j] + (down_bias ? down_bias[j] : 0));
    }
}

static void mix_experts(struct run *run, const struct layer_weights *w, const float *x) {
    struct general_rows *g = &run->general;
    const struct bf16 *bf16 = run->bf16;
    run->bf16 = NULL; /* which experts are chosen is not left to rounding */
    run_project(run, &w->router, NULL, x, run->d_stride, g->routing, g->expert_stride, false);
    run->bf16 = bf16;
    const float *bias = unpack(run, OUT_BIAS, &w->router_bias);
    for (size_t i = 0; i < run->rows; i++) {
        float *scores = g->routing + i * g->expert_stride;
        add(bias, (size_t)run->config->experts, scores);
        route_row(run->config, scores);
    }
    memset(g->out, 0, run->rows * run->d_stride * sizeof *g->out);
    for (int e = 0; e < run->config->experts; e++) run_expert(run, &w->expert[e], x, e);
}

void general_attention_output(struct run *run, const struct layer_weights *w) {
    /* parallel: the feed-forward layer reads what attention read, or a norm of the same residual */
    if (run->config->parallel && w->ffn_norm.data) normed(run, &w->ffn_norm, &w->ffn_norm_bias);
    run_project(run, &w->o, NULL, run->mixed, run->q_stride, run->general.out, run->d_stride, false);
    add_to_residual(run, &w->o_bias, &w->attention_out_norm, &w->attention_out_norm_bias);
}

void general_feed_forward(struct run *run, const struct layer_weights *w) {
    static const struct tensor none;
    const struct model_config *c = run->config;
    const float *x = c->parallel ? run->normed : normed(run, &w->ffn_norm, &w->ffn_norm_bias);
    if (c->experts > 0)
        mix_experts(run, w, x);
    else
        run_feed_forward(run, w, x);
    add_to_residual(run, c->experts > 0 ? &none : &w->down_bias, &w->ffn_out_norm, &w->ffn_out_norm_bias);
}
