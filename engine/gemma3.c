#include "engine/gemma3.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/rope.h"

/* What the format leaves unsaid: every sixth layer sees all, the others turn by angles of their own. */
enum { GLOBAL_EVERY = 6, LAYERS_MAX = 4096, LAYERS_27B = 62 };
static const double local_theta = 10000;

struct gemma {
    const struct gguf *gguf;
    struct model *model;
    enum engine_status status;
    char *error;
    size_t error_size;
};

#define GEMMA_FAIL(gemma, failure, ...)                                                                        \
    ((gemma)->status == ENGINE_OK                                                                              \
         ? (void)((gemma)->status = engine_fail((failure), (gemma)->error, (gemma)->error_size, __VA_ARGS__)) \
         : (void)0)

static const char *const known_keys[] = {
    "gemma3.context_length", "gemma3.embedding_length", "gemma3.block_count", "gemma3.feed_forward_length", "gemma3.attention.head_count",
    "gemma3.attention.head_count_kv", "gemma3.attention.layer_norm_rms_epsilon", "gemma3.attention.key_length",
    "gemma3.attention.value_length", "gemma3.attention.sliding_window", "gemma3.rope.freq_base", "gemma3.vocab_size",
};

static void check_keys(struct gemma *gemma) {
    size_t count;
    const struct gguf_value *values = gguf_values(gemma->gguf, &count);
    for (size_t i = 0; i < count; i++) {
        bool known = values[i].key.size < 7 || memcmp(values[i].key.data, "gemma3.", 7) != 0;
        for (size_t k = 0; k < sizeof known_keys / sizeof known_keys[0] && !known; k++)
            known = gguf_string_is(values[i].key, known_keys[k]);
        if (!known)
            GEMMA_FAIL(gemma, ENGINE_UNSUPPORTED, "the model file has the key %.*s, which is not supported for gemma3",
                       (int)values[i].key.size, values[i].key.data);
    }
}

static int read_count(struct gemma *gemma, const char *key) {
    uint64_t count = 0;
    const struct gguf_value *value = gguf_find(gemma->gguf, key);
    if (value == NULL || !gguf_unsigned(value, &count) || count < 1 || count > INT_MAX / 8) {
        GEMMA_FAIL(gemma, ENGINE_BROKEN, "the model file lacks the key %s, or it is no count from 1 on", key);
        return 1;
    }
    return (int)count;
}

static double read_positive(struct gemma *gemma, const char *key) {
    double number = 0;
    const struct gguf_value *value = gguf_find(gemma->gguf, key);
    if (value == NULL || !gguf_number(value, &number) || !(number > 0) || !isfinite((float)number) || (float)number <= 0) {
        GEMMA_FAIL(gemma, ENGINE_BROKEN, "the model file lacks the key %s, or it is no number above 0", key);
        return 1;
    }
    return number;
}

static void read_ropes(struct gemma *gemma) {
    struct model_config *c = &gemma->model->config;
    const double theta[ROPE_TABLES] = {(double)c->rope_theta, local_theta};
    for (int t = 0; t < ROPE_TABLES; t++) {
        c->rope[t] = (struct rope_table){calloc((size_t)c->rope_dim / 2, sizeof(float)), 1};
        if (c->rope[t].frequency == NULL) {
            gemma->status = engine_fail_memory(gemma->error, gemma->error_size);
            return;
        }
        rope_frequencies(theta[t], c->rope_dim, c->rope[t].frequency);
    }
}

static void read_config(struct gemma *gemma) {
    struct model_config *c = &gemma->model->config;
    c->layers = read_count(gemma, "gemma3.block_count");
    c->context = read_count(gemma, "gemma3.context_length");
    c->d_model = c->embedding_dim = read_count(gemma, "gemma3.embedding_length");
    c->d_ff = read_count(gemma, "gemma3.feed_forward_length");
    c->heads = read_count(gemma, "gemma3.attention.head_count");
    c->kv_heads = read_count(gemma, "gemma3.attention.head_count_kv");
    c->head_dim = c->rope_dim = read_count(gemma, "gemma3.attention.key_length");
    c->rope_theta = (float)read_positive(gemma, "gemma3.rope.freq_base");
    c->norm_epsilon = (float)read_positive(gemma, "gemma3.attention.layer_norm_rms_epsilon");
    c->rope_pairing = ROPE_HALVES;
    c->causal = c->general = c->gated = true;
    c->norm = NORM_RMS;
    c->activation = ACTIVATION_GELU_TANH;
    c->embedding_scale = (float)sqrt((double)c->d_model);
    c->residual_scale = 1;
    c->position_pad = -1;
    c->attention_scale = (float)(1 / sqrt((double)c->head_dim));
    if (c->layers == LAYERS_27B)
        GEMMA_FAIL(gemma, ENGINE_UNSUPPORTED, "Gemma 3 27B scales its scores by another number than its file says; it is not supported");
    if (c->heads % c->kv_heads != 0 || c->head_dim % 2 != 0 || c->layers > LAYERS_MAX ||
        read_count(gemma, "gemma3.attention.value_length") != c->head_dim)
        GEMMA_FAIL(gemma, ENGINE_BROKEN, "the model file is damaged: its counts of heads, dimensions or layers do not fit together");
}

static void need_weight(struct gemma *gemma, const char *name, size_t rows, size_t cols, struct tensor *weight, size_t *used) {
    const struct gguf_tensor *found = gguf_find_tensor(gemma->gguf, name);
    if (found == NULL) {
        GEMMA_FAIL(gemma, ENGINE_BROKEN, "the model file lacks the tensor %s; fetch it again", name);
        return;
    }
    if (found->tensor.rows != rows || found->tensor.cols != cols || found->dimensions > 2)
        GEMMA_FAIL(gemma, ENGINE_BROKEN, "the model file is damaged: tensor %s is %zu x %zu, %zu x %zu expected", name, found->tensor.rows,
                   found->tensor.cols, rows, cols);
    *weight = found->tensor;
    ++*used;
}

static void read_layer(struct gemma *gemma, int layer, size_t *used) {
    const struct model_config *c = &gemma->model->config;
    struct layer_weights *w = &gemma->model->layer[layer];
    size_t d = (size_t)c->d_model, ff = (size_t)c->d_ff, head = (size_t)c->head_dim, q = (size_t)c->heads * head,
           kv = (size_t)c->kv_heads * head;
    const struct {
        const char *part;
        size_t rows, cols;
        struct tensor *weight;
    } parts[] = {
        {"attn_norm", 1, d, &w->attention_norm}, {"attn_q", q, d, &w->q}, {"attn_k", kv, d, &w->k}, {"attn_v", kv, d, &w->v},
        {"attn_q_norm", 1, head, &w->q_norm}, {"attn_k_norm", 1, head, &w->k_norm}, {"attn_output", d, q, &w->o},
        {"post_attention_norm", 1, d, &w->attention_out_norm}, {"ffn_norm", 1, d, &w->ffn_norm}, {"ffn_gate", ff, d, &w->gate},
        {"ffn_up", ff, d, &w->up}, {"ffn_down", d, ff, &w->down}, {"post_ffw_norm", 1, d, &w->ffn_out_norm},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, parts[i].part);
        need_weight(gemma, name, parts[i].rows, parts[i].cols, parts[i].weight, used);
    }
    bool global = (layer + 1) % GLOBAL_EVERY == 0;
    w->window = global ? 0 : read_count(gemma, "gemma3.attention.sliding_window");
    w->rope = global ? 0 : 1;
}

static void read_weights(struct gemma *gemma) {
    struct model *model = gemma->model;
    struct model_config *c = &model->config;
    const struct gguf_tensor *embedding = gguf_find_tensor(gemma->gguf, "token_embd.weight");
    size_t rows = embedding != NULL && embedding->tensor.rows <= INT_MAX ? embedding->tensor.rows : 0, used = 0, count;
    c->vocabulary = (int)rows;
    need_weight(gemma, "token_embd.weight", rows, (size_t)c->d_model, &model->embedding, &used);
    need_weight(gemma, "output_norm.weight", 1, (size_t)c->d_model, &model->output_norm, &used);
    used += gguf_find_tensor(gemma->gguf, "output.weight") != NULL; /* logits are not computed */
    if (gemma->status != ENGINE_OK) return;
    model->layer = calloc((size_t)c->layers, sizeof *model->layer);
    if (model->layer == NULL) gemma->status = engine_fail_memory(gemma->error, gemma->error_size);
    for (int layer = 0; layer < c->layers && gemma->status == ENGINE_OK; layer++) read_layer(gemma, layer, &used);
    gguf_tensors(gemma->gguf, &count);
    if (count != used)
        GEMMA_FAIL(gemma, ENGINE_UNSUPPORTED, "the model has %zu tensors, of which only %zu are known here", count, used);
}

enum engine_status gemma3_read(const struct gguf *gguf, struct model *model, char *error, size_t error_size) {
    struct gemma gemma = {gguf, model, ENGINE_OK, error, error_size};
    check_keys(&gemma);
    if (gemma.status == ENGINE_OK) read_config(&gemma);
    if (gemma.status == ENGINE_OK) read_ropes(&gemma);
    if (gemma.status == ENGINE_OK) read_weights(&gemma);
    return gemma.status;
}
