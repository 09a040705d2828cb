#include "engine/disentangled.h"

#include <math.h>
#include <string.h>

#include "engine/weights.h"

/* The bucket of a distance i - j: odd, and the distance itself where there are no buckets. */
static ptrdiff_t bucket_of(const struct model_config *c, ptrdiff_t distance) {
    ptrdiff_t far = distance < 0 ? -distance : distance, mid = c->relative_buckets / 2;
    if (c->relative_buckets == 0 || far <= mid) return distance;
    float share = logf((float)far / (float)mid) / logf((float)(c->relative_distance - 1) / (float)mid) * (float)(mid - 1);
    ptrdiff_t bucket = (ptrdiff_t)ceilf(share) + mid;
    return distance < 0 ? -bucket : bucket;
}

static ptrdiff_t span_of(const struct model_config *c) {
    return c->relative_buckets > 0 ? c->relative_buckets : c->relative_distance;
}

/* Row of the embeddings of distances. */
static size_t row_of(const struct model_config *c, ptrdiff_t distance) {
    ptrdiff_t span = span_of(c), row = bucket_of(c, distance) + span;
    return (size_t)(row < 0 ? 0 : row < 2 * span ? row : 2 * span - 1);
}

size_t disentangled_rows(const struct model_config *c, size_t n) {
    return row_of(c, (ptrdiff_t)n - 1) - row_of(c, 1 - (ptrdiff_t)n) + 1;
}

static void add_bias(const struct run *run, const struct tensor *bias, size_t rows, size_t width, size_t stride, float *x) {
    float *b = run->general.vectors;
    if (!bias->data) return;
    weights_vector(run->kernels, bias, b);
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d < width; d++) x[r * stride + d] += b[d];
}

static void embed_distances(struct run *run, size_t first, size_t rows, float *x) {
    const struct model *model = run->model;
    size_t d = (size_t)run->config->d_model;
    float *weight = run->general.vectors, *bias = weight + run->general.vector_stride;
    bool norm = model->relative_norm.data != NULL;
    if (norm) {
        weights_vector(run->kernels, &model->relative_norm, weight);
        weights_vector(run->kernels, &model->relative_norm_bias, bias);
    }
    for (size_t r = 0; r < rows; r++, x += run->d_stride) {
        weights_row(run->kernels, &model->relative, first + r, x);
        double mean = 0, squares = 0;
        for (size_t j = 0; norm && j < d; j++) mean += (double)x[j] / (double)d;
        for (size_t j = 0; norm && j < d; j++) squares += ((double)x[j] - mean) * ((double)x[j] - mean);
        double scale = 1 / sqrt(squares / (double)d + (double)run->config->norm_epsilon);
        for (size_t j = 0; norm && j < d; j++) x[j] = (float)(((double)x[j] - mean) * scale) * weight[j] + bias[j];
    }
}

void disentangled_project(struct run *run, const struct layer_weights *w) {
    struct activations *a = run->activations;
    struct layer_activations *l = &a->layer[run->layer];
    size_t rows = a->relative_rows, width = (size_t)run->config->heads * (size_t)run->config->head_dim;
    if (run->layer == 0) embed_distances(run, row_of(run->config, 1 - (ptrdiff_t)run->n), rows, a->relative);
    run->linear = run_linear_from(run, a->relative, run->d_stride, false);
    run->linear.rows = rows;
    run->linear.parts = 2;
    run->linear.part[0] = (struct linear_part){&w->q, NULL, l->relative_q, a->q_stride};
    run->linear.part[1] = (struct linear_part){&w->k, NULL, l->relative_k, a->q_stride};
    run_linear(run);
    add_bias(run, &w->q_bias, rows, width, a->q_stride, l->relative_q);
    add_bias(run, &w->k_bias, rows, width, a->q_stride, l->relative_k);
}

void disentangled_add(const struct activations *a, int layer, int head, size_t query0, size_t rows, size_t key, size_t keys, float *scores,
                      size_t stride) {
    const struct model_config *c = &a->model->config;
    const struct layer_activations *l = &a->layer[layer];
    size_t head_dim = (size_t)c->head_dim, place = (size_t)head * head_dim, first = row_of(c, 1 - (ptrdiff_t)a->n);
    for (size_t j = key; j < key + keys && j < a->keys; j++) {
        const float *k = l->k + ((size_t)head * a->padded + j / PANEL * PANEL) * head_dim + j % PANEL; /* every PANEL-th */
        for (size_t r = 0; r < rows; r++) {
            size_t row = row_of(c, (ptrdiff_t)(query0 + r) - (ptrdiff_t)j) - first;
            const float *q = l->q + (query0 + r) * a->q_stride + place;
            const float *qr = l->relative_q + row * a->q_stride + place, *kr = l->relative_k + row * a->q_stride + place;
            float sum = 0;
            for (size_t d = 0; c->content_to_place && d < head_dim; d++) sum += q[d] * kr[d];
            for (size_t d = 0; c->place_to_content && d < head_dim; d++) sum += qr[d] * k[d * PANEL];
            scores[r * stride + j - key] += c->attention_scale * sum;
        }
    }
}
