#include "engine/family_weights.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"

enum { NAME_SIZE = 512 };

/* The first failure sets `status` and writes `error`; what follows does nothing. */
struct reading {
    struct model *model;
    const struct family *family;
    struct named_tensors *tensors;
    enum engine_status status;
    char *error;
    size_t error_size;
};

#define READING_FAIL(reading, failure, ...)                                                                      \
    ((reading)->status == ENGINE_OK                                                                              \
         ? (void)((reading)->status = engine_fail((failure), (reading)->error, (reading)->error_size, __VA_ARGS__)) \
         : (void)0)

/* ---- finding tensors ------------------------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b) {
    const struct named_tensor *x = a, *y = b;
    int order = memcmp(x->name, y->name, x->name_size < y->name_size ? x->name_size : y->name_size);
    return order != 0 ? order : (x->name_size > y->name_size) - (x->name_size < y->name_size);
}

enum engine_status named_tensors_sort(struct named_tensors *tensors, char *error, size_t error_size) {
    qsort(tensors->list, tensors->count, sizeof *tensors->list, compare_names);
    for (size_t i = 1; i < tensors->count; i++)
        if (compare_names(&tensors->list[i - 1], &tensors->list[i]) == 0)
            return engine_fail(ENGINE_BROKEN, error, error_size, "two of the model's files have the tensor %.*s",
                               (int)tensors->list[i].name_size, tensors->list[i].name);
    return ENGINE_OK;
}

struct named_tensor *named_tensors_find(const struct named_tensors *tensors, const char *name) {
    const struct named_tensor wanted = {.name = name, .name_size = strlen(name)};
    return bsearch(&wanted, tensors->list, tensors->count, sizeof wanted, compare_names);
}

/* Splits "[a|b]": *optional for the brackets, alternative `index` into part; false if there is none. */
static bool alternative(const char *names, int index, char part[NAME_SIZE], bool *optional) {
    *optional = names[0] == '[';
    const char *from = names + *optional;
    for (; index > 0; index--) {
        from = strchr(from, '|');
        if (!from) return false;
        from++;
    }
    size_t size = strcspn(from, "|]");
    if (size == 0 || size >= NAME_SIZE) return false;
    memcpy(part, from, size);
    part[size] = '\0';
    return true;
}

/* `number`: of the layer or the expert, where the pattern has a %d. */
static void fill_in(char *to, size_t size, const char *pattern, int number) {
    const char *mark = strstr(pattern, "%d");
    if (mark)
        snprintf(to, size, "%.*s%d%s", (int)(mark - pattern), pattern, number, mark + 2);
    else
        snprintf(to, size, "%s", pattern);
}

struct place {
    int layer, expert; /* layer -1: outside the layers */
};

/* The entry of one of `names` with `suffix`, marked as used; NULL if there is none. */
static const struct named_tensor *look_up(struct reading *reading, struct place place, const char *names, const char *suffix) {
    char part[NAME_SIZE], stem[NAME_SIZE], before[NAME_SIZE] = "", name[3 * NAME_SIZE];
    bool optional;
    if (place.layer >= 0) fill_in(before, sizeof before, reading->family->names.layer, place.layer);
    for (int i = 0; alternative(names, i, part, &optional); i++) {
        fill_in(stem, sizeof stem, part, place.expert);
        snprintf(name, sizeof name, "%s%s%s%s", reading->tensors->prefix, before, stem, suffix);
        struct named_tensor *found = named_tensors_find(reading->tensors, name);
        if (!found) continue;
        found->used = true;
        return found;
    }
    return NULL;
}

static void missing(struct reading *reading, struct place place, const char *names) {
    char part[NAME_SIZE] = "", before[NAME_SIZE] = "", stem[NAME_SIZE];
    bool optional;
    if (place.layer >= 0) fill_in(before, sizeof before, reading->family->names.layer, place.layer);
    alternative(names, 0, part, &optional);
    fill_in(stem, sizeof stem, part, place.expert);
    READING_FAIL(reading, ENGINE_BROKEN, "the model's files lack the tensor %s%s%s; fetch them again", reading->tensors->prefix, before, stem);
}

static size_t element_size(enum tensor_type type) {
    return type == TENSOR_F32 ? 4 : 2;
}

static bool is_quantised(enum tensor_type type) {
    return type != TENSOR_F32 && type != TENSOR_F16 && type != TENSOR_BF16;
}

/* As it lies in the file: dimensions beyond the first multiplied into columns, a vector in one column. */
static struct tensor as_tensor(struct reading *reading, const struct named_tensor *found) {
    struct tensor tensor = {.type = found->type, .data = found->data, .rows = 1, .cols = 1};
    if (!found->readable || (found->dimensions < 2 && is_quantised(found->type)))
        READING_FAIL(reading, ENGINE_UNSUPPORTED, "tensor %.*s is stored as %s, which is not read%s", (int)found->name_size, found->name,
                     found->dtype, found->readable ? " for vectors" : "");
    if (found->dimensions > 0) tensor.rows = found->shape[0];
    for (int d = 1; d < found->dimensions; d++) tensor.cols *= found->shape[d]; /* their product has been checked */
    tensor.row_bytes = tensor.rows > 0 ? found->bytes / tensor.rows : 0;
    return tensor;
}

static void check_shape(struct reading *reading, const struct named_tensor *found, const struct tensor *tensor, size_t rows,
                        size_t cols) {
    if (tensor->rows != rows || tensor->cols != cols || found->dimensions > 2)
        READING_FAIL(reading, ENGINE_BROKEN, "the model's files are damaged: tensor %.*s is %zu x %zu in %d dimensions, %zu x %zu expected",
                    (int)found->name_size, found->name, tensor->rows, tensor->cols, found->dimensions, rows, cols);
}

/* Inputs x outputs in the file becomes outputs x inputs. */
static struct tensor turned(struct tensor tensor) {
    size_t rows = tensor.rows;
    tensor.rows = tensor.cols;
    tensor.cols = rows;
    tensor.transposed = true;
    return tensor;
}

/* Rows first, first + 1, ... of the matrix, or of a vector in one column. */
static struct tensor part_of(struct tensor whole, size_t first, size_t rows) {
    size_t step = whole.transposed ? element_size(whole.type) : whole.row_bytes;
    whole.data = (const unsigned char *)whole.data + first * step;
    whole.rows = rows;
    return whole;
}

/* Matrix number `index` of a tensor of three dimensions; of one of two, a vector in one column (cols 1). */
static struct tensor slice_of(struct tensor whole, size_t index, size_t rows, size_t cols) {
    whole.data = (const unsigned char *)whole.data + index * whole.row_bytes;
    whole.row_bytes /= rows;
    whole.rows = rows;
    whole.cols = cols;
    return whole;
}

static struct tensor grouped(struct tensor part, size_t group, size_t stride) {
    part.group = group;
    part.group_stride = stride;
    return part;
}

/* ---- matrices and vectors ------------------------------------------------------------------------------------------- */

/* names NULL, or an optional tensor that is missing: *weight stays empty. Conv1D: the family's linear layers are transposed. */
static bool read_matrix(struct reading *reading, struct place place, const char *names, bool linear, size_t rows, size_t cols,
                        struct tensor *weight) {
    if (!names || reading->status != ENGINE_OK) return false;
    const struct named_tensor *found = look_up(reading, place, names, ".weight");
    if (!found) {
        if (names[0] != '[') missing(reading, place, names);
        return false;
    }
    struct tensor tensor = as_tensor(reading, found);
    if (linear && reading->family->transposed && found->dimensions == 2) tensor = turned(tensor);
    check_shape(reading, found, &tensor, rows, cols);
    *weight = tensor;
    return reading->status == ENGINE_OK;
}

static void read_vector(struct reading *reading, struct place place, const char *names, const char *suffix, size_t size,
                        struct tensor *vector) {
    if (!names || reading->status != ENGINE_OK) return;
    const struct named_tensor *found = look_up(reading, place, names, suffix);
    if (!found) return;
    struct tensor tensor = as_tensor(reading, found);
    check_shape(reading, found, &tensor, size, 1);
    *vector = tensor;
}

/* A linear layer and its bias, where it has one. */
static void read_linear(struct reading *reading, struct place place, const char *names, size_t rows, size_t cols, struct tensor *weight,
                        struct tensor *bias) {
    if (read_matrix(reading, place, names, true, rows, cols, weight)) read_vector(reading, place, names, ".bias", rows, bias);
}

/* A bias that the kind of norm has no use for is left over, and refused. */
static void read_norm(struct reading *reading, struct place place, const char *names, size_t size, struct tensor *weight,
                      struct tensor *bias) {
    if (read_matrix(reading, place, names, false, size, 1, weight) && reading->family->norm == NORM_LAYER)
        read_vector(reading, place, names, ".bias", size, bias);
}

/* Norms of queries and keys are as wide as a head or as all of them. */
static void read_head_norm(struct reading *reading, struct place place, const char *names, size_t all, struct tensor *weight) {
    if (!names || reading->status != ENGINE_OK) return;
    const struct named_tensor *found = look_up(reading, place, names, ".weight");
    if (!found) {
        missing(reading, place, names);
        return;
    }
    size_t head_dim = (size_t)reading->model->config.head_dim;
    *weight = as_tensor(reading, found);
    check_shape(reading, found, weight, weight->rows == head_dim ? head_dim : all, 1);
}

static void split_qkv(struct reading *reading, const struct tensor *whole, struct tensor *q, struct tensor *k, struct tensor *v) {
    const struct model_config *c = &reading->model->config;
    size_t head_dim = (size_t)c->head_dim, q_rows = (size_t)c->heads * head_dim, kv_rows = (size_t)c->kv_heads * head_dim;
    size_t queries = (size_t)(c->heads / c->kv_heads) * head_dim; /* of one group */
    if (whole->data == NULL) return;
    if (reading->family->qkv == QKV_STACKED) {
        *q = part_of(*whole, 0, q_rows);
        *k = part_of(*whole, q_rows, kv_rows);
        *v = part_of(*whole, q_rows + kv_rows, kv_rows);
    } else {
        size_t stride = queries + 2 * head_dim;
        *q = grouped(part_of(*whole, 0, q_rows), queries, stride);
        *k = grouped(part_of(*whole, queries, kv_rows), head_dim, stride);
        *v = grouped(part_of(*whole, queries + head_dim, kv_rows), head_dim, stride);
    }
}

static void read_attention(struct reading *reading, struct place place, struct layer_weights *w) {
    const struct model_config *c = &reading->model->config;
    const struct family_names *names = &reading->family->names;
    size_t d_model = (size_t)c->d_model, q = (size_t)c->heads * (size_t)c->head_dim, kv = (size_t)c->kv_heads * (size_t)c->head_dim;
    read_linear(reading, place, names->q, q, d_model, &w->q, &w->q_bias);
    read_linear(reading, place, names->k, kv, d_model, &w->k, &w->k_bias);
    read_linear(reading, place, names->v, kv, d_model, &w->v, &w->v_bias);
    if (names->qkv) {
        struct tensor whole = {0}, bias = {0};
        read_linear(reading, place, names->qkv, q + 2 * kv, d_model, &whole, &bias);
        split_qkv(reading, &whole, &w->q, &w->k, &w->v);
        split_qkv(reading, &bias, &w->q_bias, &w->k_bias, &w->v_bias);
    }
    if (!w->q.data || !w->k.data || !w->v.data)
        missing(reading, place, !names->q ? names->qkv : !w->q.data ? names->q : !w->k.data ? names->k : names->v);
    read_head_norm(reading, place, names->q_norm, q, &w->q_norm);
    read_head_norm(reading, place, names->k_norm, kv, &w->k_norm);
    if (names->sinks) {
        read_vector(reading, place, names->sinks, "", (size_t)c->heads, &w->sinks);
        if (!w->sinks.data) missing(reading, place, names->sinks);
    }
    read_linear(reading, place, names->o, d_model, q, &w->o, &w->o_bias);
}

/* All experts in one tensor [experts, inputs, outputs]; gate and up are its even and odd outputs. */
static void read_joined_experts(struct reading *reading, struct place place, struct layer_weights *w) {
    const struct model_config *c = &reading->model->config;
    const struct family_names *names = &reading->family->names;
    size_t experts = (size_t)c->experts, d_model = (size_t)c->d_model, ff = (size_t)c->expert_ff;
    const struct named_tensor *up = look_up(reading, place, names->experts_gate_up, ""),
                                    *down = look_up(reading, place, names->experts_down, ""),
                                    *up_bias = look_up(reading, place, names->experts_gate_up, "_bias"),
                                    *down_bias = look_up(reading, place, names->experts_down, "_bias");
    if (!up || !down || !up_bias || !down_bias) {
        missing(reading, place, !up || !up_bias ? names->experts_gate_up : names->experts_down);
        return;
    }
    const struct named_tensor *all[] = {up, down, up_bias, down_bias};
    size_t want[4][3] = {{experts, d_model, 2 * ff}, {experts, ff, d_model}, {experts, 2 * ff, 1}, {experts, d_model, 1}};
    for (int i = 0; i < 4; i++)
        if (all[i]->dimensions != (i < 2 ? 3 : 2) || memcmp(all[i]->shape, want[i], (i < 2 ? 3 : 2) * sizeof(size_t)) != 0)
            READING_FAIL(reading, ENGINE_BROKEN, "the model's files are damaged: tensor %.*s has another shape than its experts need",
                        (int)all[i]->name_size, all[i]->name);
    struct tensor t[4];
    for (int i = 0; i < 4; i++) t[i] = as_tensor(reading, all[i]);
    if (reading->status != ENGINE_OK) return;
    for (size_t e = 0; e < experts; e++) {
        struct expert_weights *x = &w->expert[e];
        struct tensor part[4];
        for (int i = 0; i < 4; i++) part[i] = slice_of(t[i], e, want[i][1], want[i][2]);
        x->gate = grouped(part_of(turned(part[0]), 0, ff), 1, 2);
        x->up = grouped(part_of(turned(part[0]), 1, ff), 1, 2);
        x->gate_bias = grouped(part_of(part[2], 0, ff), 1, 2);
        x->up_bias = grouped(part_of(part[2], 1, ff), 1, 2);
        x->down = turned(part[1]);
        x->down_bias = part[3];
    }
}

/* Gates, ups and downs in one tensor each: [experts, outputs, inputs]; biases [experts, outputs]. */
static void read_stacked_experts(struct reading *reading, struct place place, const char *names, size_t outputs, size_t inputs,
                                 struct expert_weights *expert, size_t weight_at, size_t bias_at) {
    size_t experts = (size_t)reading->model->config.experts;
    const struct named_tensor *weights = look_up(reading, place, names, ".weight"), *biases = look_up(reading, place, names, ".bias");
    const size_t shape[] = {experts, outputs, inputs};
    if (!weights) {
        missing(reading, place, names);
        return;
    }
    if (weights->dimensions != 3 || memcmp(weights->shape, shape, sizeof shape) != 0 ||
        (biases && (biases->dimensions != 2 || memcmp(biases->shape, shape, 2 * sizeof shape[0]) != 0)))
        READING_FAIL(reading, ENGINE_BROKEN, "the model's files are damaged: tensor %.*s has another shape than its experts need",
                     (int)weights->name_size, weights->name);
    struct tensor whole = as_tensor(reading, weights), bias = biases ? as_tensor(reading, biases) : (struct tensor){0};
    if (biases && is_quantised(biases->type))
        READING_FAIL(reading, ENGINE_UNSUPPORTED, "tensor %.*s is stored as %s, which is not read for vectors", (int)biases->name_size,
                     biases->name, biases->dtype);
    for (size_t e = 0; e < experts && reading->status == ENGINE_OK; e++) {
        *(struct tensor *)(void *)((char *)&expert[e] + weight_at) = slice_of(whole, e, outputs, inputs);
        if (biases) *(struct tensor *)(void *)((char *)&expert[e] + bias_at) = slice_of(bias, e, outputs, 1);
    }
}

static void read_experts(struct reading *reading, struct place place, struct layer_weights *w) {
    const struct model_config *c = &reading->model->config;
    const struct family_names *names = &reading->family->names;
    size_t d_model = (size_t)c->d_model, ff = (size_t)c->expert_ff;
    read_linear(reading, place, names->router, (size_t)c->experts, d_model, &w->router, &w->router_bias);
    w->expert = calloc((size_t)c->experts, sizeof *w->expert);
    if (!w->expert) {
        if (reading->status == ENGINE_OK) reading->status = engine_fail_memory(reading->error, reading->error_size);
        return;
    }
    if (names->experts_gate_up) {
        read_joined_experts(reading, place, w);
        return;
    }
    if (names->experts_gate) {
        struct expert_weights *x = w->expert;
        read_stacked_experts(reading, place, names->experts_gate, ff, d_model, x, offsetof(struct expert_weights, gate),
                             offsetof(struct expert_weights, gate_bias));
        read_stacked_experts(reading, place, names->experts_up, ff, d_model, x, offsetof(struct expert_weights, up),
                             offsetof(struct expert_weights, up_bias));
        read_stacked_experts(reading, place, names->experts_down, d_model, ff, x, offsetof(struct expert_weights, down),
                             offsetof(struct expert_weights, down_bias));
        return;
    }
    for (int e = 0; e < c->experts && reading->status == ENGINE_OK; e++) {
        struct expert_weights *x = &w->expert[e];
        place.expert = e;
        read_linear(reading, place, names->expert_gate, ff, d_model, &x->gate, &x->gate_bias);
        read_linear(reading, place, names->expert_up, ff, d_model, &x->up, &x->up_bias);
        read_linear(reading, place, names->expert_down, d_model, ff, &x->down, &x->down_bias);
    }
}

static void read_feed_forward(struct reading *reading, struct place place, struct layer_weights *w) {
    const struct model_config *c = &reading->model->config;
    const struct family_names *names = &reading->family->names;
    size_t d_model = (size_t)c->d_model, ff = (size_t)c->d_ff;
    if (c->gated || !names->gate || names->gate[0] != '[') /* T5: gated or not, and what is there tells nothing */
        read_linear(reading, place, names->gate, ff, d_model, &w->gate, &w->gate_bias);
    read_linear(reading, place, names->up, ff, d_model, &w->up, &w->up_bias);
    if (names->gate_up) {
        struct tensor whole = {0}, bias = {0};
        read_linear(reading, place, names->gate_up, 2 * ff, d_model, &whole, &bias);
        if (whole.data) {
            w->gate = part_of(whole, 0, ff);
            w->up = part_of(whole, ff, ff);
        }
        if (bias.data) {
            w->gate_bias = part_of(bias, 0, ff);
            w->up_bias = part_of(bias, ff, ff);
        }
    }
    read_linear(reading, place, names->down, d_model, ff, &w->down, &w->down_bias);
}

static void read_cross_attention(struct reading *reading, struct place place, struct layer_weights *w) {
    const struct model_config *c = &reading->model->config;
    const struct family_names *names = &reading->family->names;
    size_t d_model = (size_t)c->d_model, source = (size_t)reading->model->encoder->config.d_model;
    size_t q = (size_t)c->heads * (size_t)c->head_dim, kv = (size_t)c->kv_heads * (size_t)c->head_dim;
    read_norm(reading, place, names->cross_norm, d_model, &w->attention_norm, &w->attention_norm_bias);
    read_linear(reading, place, names->cross_q, q, d_model, &w->q, &w->q_bias);
    read_linear(reading, place, names->cross_k, kv, source, &w->k, &w->k_bias);
    read_linear(reading, place, names->cross_v, kv, source, &w->v, &w->v_bias);
    read_linear(reading, place, names->cross_o, d_model, q, &w->o, &w->o_bias);
    read_norm(reading, place, names->cross_out_norm, d_model, &w->attention_out_norm, &w->attention_out_norm_bias);
}

static void read_layer(struct reading *reading, int layer) {
    const struct model_config *c = &reading->model->config;
    const struct family_names *names = &reading->family->names;
    struct layer_weights *w = &reading->model->layer[layer];
    struct place place = {.layer = layer};
    size_t d_model = (size_t)c->d_model;
    read_norm(reading, place, names->attention_norm, d_model, &w->attention_norm, &w->attention_norm_bias);
    read_attention(reading, place, w);
    read_norm(reading, place, names->attention_out_norm, d_model, &w->attention_out_norm, &w->attention_out_norm_bias);
    if (reading->model->cross) read_cross_attention(reading, place, &reading->model->cross[layer]);
    read_norm(reading, place, names->ffn_norm, d_model, &w->ffn_norm, &w->ffn_norm_bias);
    if (c->experts > 0)
        read_experts(reading, place, w);
    else
        read_feed_forward(reading, place, w);
    read_norm(reading, place, names->ffn_out_norm, d_model, &w->ffn_out_norm, &w->ffn_out_norm_bias);
    if (!c->parallel && names->ffn_norm && !w->ffn_norm.data) missing(reading, place, names->ffn_norm);
    if (names->attention_norm && !w->attention_norm.data && layer > 0) missing(reading, place, names->attention_norm);
    if (c->norm_after_residual && !names->attention_out_norm) { /* OPT-350m: the same norms in the other place */
        w->attention_out_norm = w->attention_norm;
        w->attention_out_norm_bias = w->attention_norm_bias;
        w->ffn_out_norm = w->ffn_norm;
        w->ffn_out_norm_bias = w->ffn_norm_bias;
        w->attention_norm = w->attention_norm_bias = w->ffn_norm = w->ffn_norm_bias = (struct tensor){0};
    }
}

static void read_embeddings(struct reading *reading) {
    struct model *model = reading->model;
    struct model_config *c = &model->config;
    const struct family_names *names = &reading->family->names;
    struct place place = {.layer = -1};
    size_t width = (size_t)c->embedding_dim, d_model = (size_t)c->d_model;
    read_matrix(reading, place, names->embedding, false, (size_t)c->vocabulary, width, &model->embedding);
    /* OPT adds its positions behind the projection. */
    size_t positions_width = strcmp(reading->family->type, "opt") == 0 ? d_model : width;
    read_matrix(reading, place, names->positions, false, (size_t)c->context + (size_t)c->position_offset, positions_width,
                &model->positions);
    if (names->token_types) {
        const struct named_tensor *types = look_up(reading, place, names->token_types, ".weight");
        size_t rows = types && types->dimensions == 2 ? types->shape[0] : 0;
        if (types && rows == 0) READING_FAIL(reading, ENGINE_BROKEN, "the model's files are damaged: there are no token types");
        if (types) read_matrix(reading, place, names->token_types, false, rows, width, &model->token_types);
    }
    read_norm(reading, place, names->embedding_norm, width, &model->embedding_norm, &model->embedding_norm_bias);
    if (names->embedding_projection)
        read_linear(reading, place, names->embedding_projection, d_model, width, &model->embedding_projection,
                    &model->embedding_projection_bias);
    if (width != d_model && !model->embedding_projection.data && reading->status == ENGINE_OK)
        READING_FAIL(reading, ENGINE_BROKEN, "embeddings of %zu numbers and a width of %zu need a projection, which the model's files lack", width,
                    d_model);
    read_matrix(reading, place, names->relative_bias, false, (size_t)c->bias_buckets, (size_t)c->heads, &model->relative_bias);
    if (c->relative_distance > 0) {
        size_t span = (size_t)(c->relative_buckets > 0 ? c->relative_buckets : c->relative_distance);
        read_matrix(reading, place, names->relative, false, 2 * span, d_model, &model->relative);
        read_norm(reading, place, names->relative_norm, d_model, &model->relative_norm, &model->relative_norm_bias);
    }
    read_norm(reading, place, names->output_norm, d_model, &model->output_norm, &model->output_norm_bias);
}

/* What is not as expected is no fault here: the forward pass does without it. */
static bool read_optional(const struct reading *reading, const char *name, size_t rows, size_t cols, struct tensor *tensor) {
    const struct named_tensor *found = named_tensors_find(reading->tensors, name);
    int dimensions = cols > 1 ? 2 : 1;
    if (!found || !found->readable || found->dimensions != dimensions || found->shape[0] != rows || rows == 0 ||
        (dimensions == 2 && found->shape[1] != cols) || (dimensions == 1 && is_quantised(found->type)))
        return false;
    *tensor = (struct tensor){.type = found->type, .data = found->data, .rows = rows, .cols = cols, .row_bytes = found->bytes / rows};
    return true;
}

static void read_unembedding(const struct reading *reading) {
    static const char *const names[] = {"output.weight", "lm_head.weight", "embed_out.weight"};
    struct model *model = reading->model;
    size_t vocabulary = (size_t)model->config.vocabulary, d_model = (size_t)model->config.d_model;
    if (!model->config.causal) return;
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !found; i++)
        found = read_optional(reading, names[i], vocabulary, d_model, &model->unembedding);
    if (!found && (size_t)model->config.embedding_dim == d_model) model->unembedding = model->embedding;
    read_optional(reading, "output_norm.weight", d_model, 1, &model->unembedding_norm);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

enum engine_status family_weights_read(const struct family *family, struct named_tensors *tensors, struct model *model, char *error,
                                       size_t error_size) {
    struct reading reading = {model, family, tensors, ENGINE_OK, error, error_size};
    read_embeddings(&reading);
    for (int layer = 0; layer < model->config.layers && reading.status == ENGINE_OK; layer++) read_layer(&reading, layer);
    if (reading.status == ENGINE_OK) read_unembedding(&reading);
    if (!model->encoder || reading.status != ENGINE_OK) return reading.status;
    model->encoder->mapping = model->mapping; /* its files, too, must not be cut short */
    model->encoder->mappings = model->mappings;
    return family_weights_read(family->source, tensors, model->encoder, error, error_size);
}
