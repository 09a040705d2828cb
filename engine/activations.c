#include "engine/activations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/disentangled.h"
#include "engine/memory.h"
#include "engine/position_bias.h"
#include "engine/weights.h"

struct layout {
    size_t padded, q_stride, dim_panels;
    size_t q, k, v, rows, keys; /* floats of each; rows, keys: of each array of [heads, n] and [heads, keys] */
};

static struct layout layout_of(const struct model *model, size_t n, size_t keys) {
    const struct model_config *c = &model->config;
    size_t head_dim = (size_t)c->head_dim, kv_heads = (size_t)c->kv_heads;
    struct layout l = {.padded = whole_panels(keys), .q_stride = whole_panels((size_t)c->heads * head_dim),
                       .dim_panels = whole_panels(head_dim) / PANEL};
    l.q = n * l.q_stride;
    l.k = whole_panels(kv_heads * l.padded * head_dim);
    l.v = kv_heads * l.dim_panels * l.padded * PANEL;
    l.rows = whole_panels((size_t)c->heads * n);
    l.keys = whole_panels((size_t)c->heads * keys);
    return l;
}

static size_t layer_bytes(const struct layout *l) {
    return (l->q + l->k + l->v + 3 * l->rows + l->keys) * sizeof(float);
}

static bool has_bias(const struct model *model, enum section section) {
    return model->config.position_bias != BIAS_NONE && section != SECTION_CROSS;
}

static size_t relative_floats(const struct model *model, size_t rows) {
    const struct model_config *c = &model->config;
    return rows * (whole_panels((size_t)c->d_model) + 2 * (size_t)c->layers * whole_panels((size_t)c->heads * (size_t)c->head_dim));
}

uint64_t activations_size(const struct model *model, enum section section, size_t n, size_t keys) {
    struct layout l = layout_of(model, n, keys);
    size_t layers = (size_t)model->config.layers;
    return sizeof(struct activations) + layers * sizeof(struct layer_activations) +
           reserve_block_size(layers * layer_bytes(&l)) + (n + keys) * sizeof(int32_t) +
           (model->config.relative_distance > 0
                ? memory_aligned_size(relative_floats(model, disentangled_rows(&model->config, n)) * sizeof(float))
                : 0) +
           (has_bias(model, section) ? (size_t)model->config.heads * 2 * n * sizeof(float) : 0) +
           2 * layers * (size_t)model->config.heads * sizeof(float);
}

void activations_clear_tail(struct activations *a, int layer) {
    const struct model_config *c = &a->model->config;
    size_t head_dim = (size_t)c->head_dim, tail = a->padded - a->keys;
    struct layer_activations *to = &a->layer[layer];
    for (size_t kv = 0; tail > 0 && kv < (size_t)c->kv_heads; kv++) {
        float *k = to->k + (kv * a->padded + a->padded - PANEL) * head_dim;
        for (size_t d = 0; d < head_dim; d++) memset(k + d * PANEL + (PANEL - tail), 0, tail * sizeof *k);
        for (size_t p = 0; p < a->dim_panels; p++)
            memset(to->v + ((kv * a->dim_panels + p) * a->padded + a->keys) * PANEL, 0, tail * PANEL * sizeof *to->v);
    }
}

/* What scores need beside q and k: small tables from the model's weights. */
static bool take_distances(struct activations *a) {
    const struct model_config *c = &a->model->config;
    if (c->relative_distance == 0) return true;
    a->relative_rows = disentangled_rows(c, a->n);
    size_t floats = relative_floats(a->model, a->relative_rows);
    a->relative = memory_aligned(floats * sizeof *a->relative);
    if (!a->relative) return false;
    memset(a->relative, 0, floats * sizeof *a->relative);
    float *at = a->relative + a->relative_rows * whole_panels((size_t)c->d_model);
    for (int i = 0; i < c->layers; i++) {
        a->layer[i].relative_q = at;
        a->layer[i].relative_k = at + a->relative_rows * a->q_stride;
        at += 2 * a->relative_rows * a->q_stride;
    }
    return true;
}

static bool take_biases(struct activations *a) {
    const struct model *model = a->model;
    size_t heads = (size_t)model->config.heads, layers = (size_t)model->config.layers;
    if (has_bias(model, a->section)) {
        a->bias = malloc(heads * (2 * a->n - 1) * sizeof *a->bias);
        if (!a->bias) return false;
        position_bias_fill(model, a->n, a->bias);
    }
    if (!model->config.general || !model->layer[0].sinks.data) return true;
    float *sinks = malloc(layers * heads * sizeof *sinks);
    if (!sinks) return false;
    for (size_t i = 0; i < layers; i++) {
        weights_vector(&kernels_plain, &model->layer[i].sinks, sinks + i * heads);
        a->layer[i].sinks = sinks + i * heads;
    }
    return true;
}

struct activations *activations_create(const struct model *model, enum section section, const int32_t *ids, size_t n, size_t keys,
                                       struct reserve *reserve) {
    size_t layers = (size_t)model->config.layers;
    struct layout l = layout_of(model, n, keys);
    struct activations *a = calloc(1, sizeof *a + layers * sizeof a->layer[0]);
    if (!a) return NULL;
    a->not_finite = -1;
    a->model = model_retain((struct model *)(uintptr_t)model); /* counting references is the one thing that changes a model */
    a->reserve = reserve_retain(reserve);
    a->section = section;
    a->n = n;
    a->keys = keys;
    a->padded = l.padded;
    a->q_stride = l.q_stride;
    a->dim_panels = l.dim_panels;
    a->bytes = activations_size(model, section, n, keys);
    a->value_largest = malloc(layers * (size_t)model->config.heads * sizeof *a->value_largest);
    if (!a->value_largest) goto failed;
    for (size_t i = 0; i < layers * (size_t)model->config.heads; i++) a->value_largest[i] = NAN;
    if (ids) {
    a->ids = malloc(n * sizeof *a->ids);
        if (!a->ids) goto failed;
        memcpy(a->ids, ids, n * sizeof *ids);
    }
    a->block_bytes = layers * layer_bytes(&l);
    a->block = reserve_take(reserve, a->block_bytes);
    if (!a->block) goto failed;
    if (!take_biases(a)) goto failed;
    float *block = a->block;
    for (size_t i = 0; i < layers; i++, block += layer_bytes(&l) / sizeof *block) {
        a->layer[i] = (struct layer_activations){.q = block, .k = block + l.q, .v = block + l.q + l.k,
                                                 .row_max = block + l.q + l.k + l.v,
                                                 .row_inverse = block + l.q + l.k + l.v + l.rows,
                                                 .output_ratio = block + l.q + l.k + l.v + 2 * l.rows,
                                                 .value_norm = block + l.q + l.k + l.v + 3 * l.rows,
                                                 .sinks = a->layer[i].sinks};
    }
    if (!take_distances(a)) goto failed;
    return a;
failed:
    activations_destroy(a);
    return NULL;
}

void activations_destroy(struct activations *activations) {
    if (!activations) return;
    activations_destroy(activations->encoder);
    activations_destroy(activations->cross);
    free(activations->sinks);
    free(activations->relative);
    reserve_give(activations->reserve, activations->block, activations->block_bytes);
    reserve_release(activations->reserve);
    free(activations->bias);
    if (activations->model->config.layers > 0) free((float *)(uintptr_t)activations->layer[0].sinks); /* of all layers */
    free(activations->ids);
    free(activations->value_largest);
    model_release(activations->model);
    free(activations);
}

const struct activations *activations_of(const struct activations *activations, enum section section) {
    if (section == activations->section) return activations;
    return section == SECTION_ENCODER ? activations->encoder : section == SECTION_CROSS ? activations->cross : NULL;
}

const uint32_t *activations_sinks(const struct activations *activations, enum section section, size_t *count) {
    const struct activations *a = activations_of(activations, section);
    *count = a ? a->sink_count : 0;
    return a ? a->sinks : NULL;
}

uint64_t activations_bytes(const struct activations *activations) {
    return activations->bytes;
}

const struct model *activations_model(const struct activations *activations) {
    return activations->model;
}

int activations_not_finite(const struct activations *activations, enum section *section) {
    const struct activations *encoder = activations->encoder;
    const struct activations *first = encoder && encoder->not_finite >= 0 ? encoder : activations;
    *section = first->section;
    return first->not_finite;
}

const float *activations_value_norms(const struct activations *activations, struct head_address at) {
    const struct activations *a = activations_of(activations, at.section);
    if (!a || at.layer < 0 || at.layer >= a->model->config.layers || at.head < 0 || at.head >= a->model->config.heads) return NULL;
    return a->layer[at.layer].value_norm + (size_t)at.head * a->keys;
}

bool activations_shape(const struct activations *activations, enum section section, size_t *queries, size_t *keys) {
    const struct activations *a = activations_of(activations, section);
    if (!a) return false;
    *queries = a->n;
    *keys = a->keys;
    return true;
}

const int32_t *activations_ids(const struct activations *activations, size_t *n) {
    if (activations->encoder) activations = activations->encoder;
    *n = activations->n;
    return activations->ids;
}

void activations_copy_rows(struct activations *to, const struct activations *from, int layer, size_t rows) {
    const struct model_config *c = &to->model->config;
    const struct layer_activations *source = &from->layer[layer];
    struct layer_activations *target = &to->layer[layer];
    size_t head_dim = (size_t)c->head_dim, whole = rows / PANEL, rest = rows % PANEL;
    memcpy(target->q, source->q, rows * to->q_stride * sizeof(float));
    for (size_t h = 0; h < (size_t)c->heads; h++) {
        memcpy(target->value_norm + h * to->n, source->value_norm + h * from->n, rows * sizeof(float));
        memcpy(target->output_ratio + h * to->n, source->output_ratio + h * from->n, rows * sizeof(float));
    }
    for (size_t kv = 0; kv < (size_t)c->kv_heads; kv++) {
        float *k = target->k + kv * to->padded * head_dim;
        const float *from_k = source->k + kv * from->padded * head_dim;
        memcpy(k, from_k, whole * PANEL * head_dim * sizeof *k);
        for (size_t d = 0; rest && d < head_dim; d++)
            memcpy(k + (whole * head_dim + d) * PANEL, from_k + (whole * head_dim + d) * PANEL, rest * sizeof *k);
        for (size_t p = 0; p < to->dim_panels; p++)
            memcpy(target->v + (kv * to->dim_panels + p) * to->padded * PANEL,
                   source->v + (kv * from->dim_panels + p) * from->padded * PANEL, rows * PANEL * sizeof(float));
    }
}

void activations_store_row(struct activations *activations, int layer, size_t i, const float *k, const float *v) {
    const struct model_config *c = &activations->model->config;
    struct layer_activations *to = &activations->layer[layer];
    size_t head_dim = (size_t)c->head_dim, panels = activations->dim_panels;
    for (size_t kv = 0; kv < (size_t)c->kv_heads; kv++, k += head_dim, v += head_dim) {
        float *panel = to->k + (kv * activations->padded + i / PANEL * PANEL) * head_dim + i % PANEL;
        for (size_t d = 0; d < head_dim; d++) panel[d * PANEL] = k[d];
        for (size_t p = 0; p < panels; p++) {
            float *row = to->v + ((kv * panels + p) * activations->padded + i) * PANEL;
            size_t left = head_dim - p * PANEL, have = left < PANEL ? left : PANEL;
            memcpy(row, v + p * PANEL, have * sizeof *v);
            memset(row + have, 0, (PANEL - have) * sizeof *v);
        }
    }
}

/* key: of the first column. */
static void change_scores(const struct activations *a, int head, size_t query0, size_t rows, size_t key, size_t keys, float *scores,
                          size_t stride) {
    float cap = a->model->config.score_cap;
    if (key + keys > a->keys) keys = a->keys - key;
    for (size_t r = 0; r < rows; r++) {
        float *row = scores + r * stride;
        for (size_t j = 0; cap > 0 && j < keys; j++) row[j] = cap * tanhf(row[j] / cap);
        if (!a->bias) continue;
        const float *bias = a->bias + (size_t)head * (2 * a->n - 1) + (a->n - 1 + key - (query0 + r));
        for (size_t j = 0; j < keys; j++) row[j] += bias[j];
    }
}

void activations_scores(const struct activations *activations, const struct kernels *kernels, int layer, int head,
                        size_t query0, size_t rows, size_t key_panel0, size_t key_panels, float *scores, size_t stride) {
    const struct model_config *c = &activations->model->config;
    size_t head_dim = (size_t)c->head_dim, kv = (size_t)head / (size_t)(c->heads / c->kv_heads);
    kernels->multiply(&(struct product){
        .rows = rows, .panels = key_panels, .depth = head_dim,
        .a = activations->layer[layer].q + query0 * activations->q_stride + (size_t)head * head_dim,
        .a_stride = activations->q_stride,
        .b = activations->layer[layer].k + (kv * activations->padded + key_panel0 * PANEL) * head_dim,
        .b_panel_stride = head_dim * PANEL,
        .c = scores, .c_stride = stride, .c_panel_stride = PANEL, .scale = c->attention_scale,
    });
    if (activations->relative) disentangled_add(activations, layer, head, query0, rows, key_panel0 * PANEL, key_panels * PANEL, scores, stride);
    if (c->score_cap > 0 || activations->bias)
        change_scores(activations, head, query0, rows, key_panel0 * PANEL, key_panels * PANEL, scores, stride);
}

void activations_mix(const struct activations *activations, const struct kernels *kernels, int layer, int head,
                     const float *weights, size_t stride, size_t rows, size_t key0, size_t keys, float *out, bool accumulate) {
    const struct model_config *c = &activations->model->config;
    size_t kv = (size_t)head / (size_t)(c->heads / c->kv_heads), panels = activations->dim_panels;
    kernels->multiply(&(struct product){
        .rows = rows, .panels = panels, .depth = keys,
        .a = weights, .a_stride = stride,
        .b = activations->layer[layer].v + (kv * panels * activations->padded + key0) * PANEL,
        .b_panel_stride = activations->padded * PANEL,
        .c = out, .c_stride = panels * PANEL, .c_panel_stride = PANEL, .scale = 1.0f, .accumulate = accumulate,
    });
}
