#include "engine/llama.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"

/* The first failure sets `status` and writes `error`; what follows does nothing. */
struct llama {
    const struct gguf *gguf;
    struct model *model;
    enum engine_status status;
    char *error;
    size_t error_size;
};

#define LLAMA_FAIL(llama, failure, ...)                                                                        \
    ((llama)->status == ENGINE_OK                                                                              \
         ? (void)((llama)->status = engine_fail((failure), (llama)->error, (llama)->error_size, __VA_ARGS__)) \
         : (void)0)

/* ---- keys -------------------------------------------------------------------------------------------------- */

enum rule {
    READ,    /* by read_config below */
    INERT,   /* changes no number by itself */
    NEUTRAL, /* does nothing at the value in `neutral`; refused at any other */
};

/* Every key of the architecture that is understood; any other is refused. */
static const struct {
    const char *key;
    enum rule rule;
    double neutral;
    const char *does;
} keys[] = {
    {"llama.block_count", READ, 0, NULL},
    {"llama.context_length", READ, 0, NULL},
    {"llama.embedding_length", READ, 0, NULL},
    {"llama.feed_forward_length", READ, 0, NULL},
    {"llama.vocab_size", READ, 0, NULL},
    {"llama.attention.head_count", READ, 0, NULL},
    {"llama.attention.head_count_kv", READ, 0, NULL},
    {"llama.attention.key_length", READ, 0, NULL},
    {"llama.attention.value_length", READ, 0, NULL},
    {"llama.attention.layer_norm_rms_epsilon", READ, 0, NULL},
    {"llama.rope.dimension_count", READ, 0, NULL},
    {"llama.rope.freq_base", READ, 0, NULL},
    {"llama.rope.scaling.type", READ, 0, NULL},
    {"llama.tensor_data_layout", READ, 0, NULL},
    {"llama.rope.scaling.original_context_length", INERT, 0, NULL},
    {"llama.rope.scaling.finetuned", INERT, 0, NULL},
    {"llama.rope.scaling.factor", NEUTRAL, 1, "scaled rotary angles"},
    {"llama.rope.scale_linear", NEUTRAL, 1, "scaled rotary angles"},
    {"llama.rope.scaling.attn_factor", NEUTRAL, 1, "scaled rotary angles"},
    {"llama.attention.sliding_window", NEUTRAL, 0, "a sliding window"},
    {"llama.attention.causal", NEUTRAL, 1, "attention that is not causal"},
    {"llama.use_parallel_residual", NEUTRAL, 0, "a parallel residual"},
    {"llama.expert_count", NEUTRAL, 0, "experts"},
    {"llama.expert_used_count", NEUTRAL, 0, "experts"},
};

static void check_key(struct llama *llama, const struct gguf_value *value) {
    int size = (int)value->key.size;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!gguf_string_is(value->key, keys[i].key)) continue;
        double number;
        bool flag;
        if (keys[i].rule != NEUTRAL) return;
        if (gguf_number(value, &number) && number == keys[i].neutral) return;
        if (gguf_bool(value, &flag) && (double)flag == keys[i].neutral) return;
        LLAMA_FAIL(llama, ENGINE_UNSUPPORTED,
                   "the model asks for %s (%s), which is not supported", keys[i].does, keys[i].key);
        return;
    }
    LLAMA_FAIL(llama, ENGINE_UNSUPPORTED,
               "the model file has the key %.*s, which is not known here and may change its numbers",
               size, value->key.data);
}

/* A key that may be absent or name the one manner that is done here. */
static void check_word(struct llama *llama, const char *key, const char *word, const char *does) {
    struct gguf_string text;
    const struct gguf_value *value = gguf_find(llama->gguf, key);
    if (value != NULL && (!gguf_string(value, &text) || !gguf_string_is(text, word)))
        LLAMA_FAIL(llama, ENGINE_UNSUPPORTED, "the model asks for %s (%s), which is not supported", does, key);
}

static void check_keys(struct llama *llama) {
    size_t count;
    const struct gguf_value *values = gguf_values(llama->gguf, &count);
    for (size_t i = 0; i < count; i++)
        if (values[i].key.size > 6 && memcmp(values[i].key.data, "llama.", 6) == 0) check_key(llama, &values[i]);
    check_word(llama, "llama.rope.scaling.type", "none", "scaled rotary angles");
    check_word(llama, "llama.tensor_data_layout", "Meta AI original pth", "another order of its weights");
}

/* An integer from 1 to INT_MAX. `otherwise` stands for an absent key; 0: the file must have it. */
static int read_count(struct llama *llama, const char *key, int otherwise) {
    uint64_t count;
    const struct gguf_value *value = gguf_find(llama->gguf, key);
    if (value == NULL && otherwise != 0) return otherwise;
    if (value == NULL) {
        LLAMA_FAIL(llama, ENGINE_BROKEN, "the model file lacks the key %s", key);
    } else if (value->array) {
        LLAMA_FAIL(llama, ENGINE_UNSUPPORTED,
                   "the model has a value for each layer (%s is a list), which is not supported", key);
    } else if (!gguf_unsigned(value, &count) || count < 1 || count > INT_MAX) {
        LLAMA_FAIL(llama, ENGINE_BROKEN, "the model file is damaged: %s is no count from 1 on", key);
    } else {
        return (int)count;
    }
    return 1;
}

static float read_positive(struct llama *llama, const char *key, float otherwise) {
    double number;
    const struct gguf_value *value = gguf_find(llama->gguf, key);
    if (value == NULL && otherwise > 0) return otherwise;
    if (value == NULL) {
        LLAMA_FAIL(llama, ENGINE_BROKEN, "the model file lacks the key %s", key);
    } else if (!gguf_number(value, &number) || !(number > 0) || !isfinite((float)number) || (float)number <= 0) {
        LLAMA_FAIL(llama, ENGINE_BROKEN, "the model file is damaged: %s is no number above 0", key);
    } else {
        return (float)number;
    }
    return 1;
}

static void read_config(struct llama *llama) {
    struct model_config *config = &llama->model->config;
    config->layers = read_count(llama, "llama.block_count", 0);
    config->context = read_count(llama, "llama.context_length", 0);
    config->d_model = read_count(llama, "llama.embedding_length", 0);
    config->d_ff = read_count(llama, "llama.feed_forward_length", 0);
    config->heads = read_count(llama, "llama.attention.head_count", 0);
    config->kv_heads = read_count(llama, "llama.attention.head_count_kv", config->heads);
    int whole = config->d_model / config->heads;
    config->head_dim = read_count(llama, "llama.attention.key_length", whole > 0 ? whole : 1);
    int value_dim = read_count(llama, "llama.attention.value_length", whole > 0 ? whole : 1);
    config->rope_dim = read_count(llama, "llama.rope.dimension_count", config->head_dim);
    config->rope_theta = read_positive(llama, "llama.rope.freq_base", 10000.0f);
    config->norm_epsilon = read_positive(llama, "llama.attention.layer_norm_rms_epsilon", 0);
    config->rope_pairing = ROPE_ADJACENT;
    config->causal = true;
    config->attention_scale = (float)(1 / sqrt((double)config->head_dim));

    if (gguf_find(llama->gguf, "llama.attention.key_length") == NULL && config->d_model % config->heads != 0)
        LLAMA_FAIL(llama, ENGINE_BROKEN,
                   "the model file is damaged: a width of %d does not part into %d heads", config->d_model,
                   config->heads);
    if (config->heads % config->kv_heads != 0)
        LLAMA_FAIL(llama, ENGINE_BROKEN, "the model file is damaged: %d heads cannot share %d key and value heads",
                   config->heads, config->kv_heads);
    if (value_dim != config->head_dim)
        LLAMA_FAIL(llama, ENGINE_UNSUPPORTED,
                   "keys of %d and values of %d dimensions (llama.attention.value_length) are not "
                   "supported", config->head_dim, value_dim);
    if (config->rope_dim % 2 != 0 || config->rope_dim > config->head_dim)
        LLAMA_FAIL(llama, ENGINE_BROKEN,
                   "the model file is damaged: llama.rope.dimension_count is %d, heads have %d dimensions",
                   config->rope_dim, config->head_dim);
}

/* ---- weights ----------------------------------------------------------------------------------------------- */

/* rows 1: a vector. */
static bool find_weight(struct llama *llama, const char *name, size_t rows, size_t cols, struct tensor *weight) {
    const struct gguf_tensor *found = gguf_find_tensor(llama->gguf, name);
    if (found == NULL) return false;
    if (found->tensor.rows != rows || found->tensor.cols != cols || found->dimensions > 2)
        LLAMA_FAIL(llama, ENGINE_BROKEN,
                   "the model file is damaged: tensor %s is %zu x %zu in %d dimensions, %zu x %zu expected",
                   name, found->tensor.rows, found->tensor.cols, found->dimensions, rows, cols);
    *weight = found->tensor;
    return true;
}

static void need_weight(struct llama *llama, const char *name, size_t rows, size_t cols, struct tensor *weight) {
    if (!find_weight(llama, name, rows, cols, weight))
        LLAMA_FAIL(llama, ENGINE_BROKEN, "the model file lacks the tensor %s; fetch it again", name);
}

static void need_layer_weight(struct llama *llama, int layer, const char *part, size_t rows, size_t cols,
                              struct tensor *weight) {
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, part);
    need_weight(llama, name, rows, cols, weight);
}

static void read_layer(struct llama *llama, int layer) {
    const struct model_config *config = &llama->model->config;
    struct layer_weights *weights = &llama->model->layer[layer];
    size_t d_model = (size_t)config->d_model, d_ff = (size_t)config->d_ff;
    size_t q_dim = (size_t)config->heads * (size_t)config->head_dim;
    size_t kv_dim = (size_t)config->kv_heads * (size_t)config->head_dim;
    need_layer_weight(llama, layer, "attn_norm", 1, d_model, &weights->attention_norm);
    need_layer_weight(llama, layer, "attn_q", q_dim, d_model, &weights->q);
    need_layer_weight(llama, layer, "attn_k", kv_dim, d_model, &weights->k);
    need_layer_weight(llama, layer, "attn_v", kv_dim, d_model, &weights->v);
    need_layer_weight(llama, layer, "attn_output", d_model, q_dim, &weights->o);
    need_layer_weight(llama, layer, "ffn_norm", 1, d_model, &weights->ffn_norm);
    need_layer_weight(llama, layer, "ffn_gate", d_ff, d_model, &weights->gate);
    need_layer_weight(llama, layer, "ffn_up", d_ff, d_model, &weights->up);
    need_layer_weight(llama, layer, "ffn_down", d_model, d_ff, &weights->down);
}

enum { LAYER_TENSORS = 9 };

static bool is_layer_weight(struct gguf_string name, int layers) {
    static const char *const parts[LAYER_TENSORS] = {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output",
                                                     "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"};
    char text[64], expected[64];
    if (name.size >= sizeof text) return false;
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    int layer;
    if (sscanf(text, "blk.%9d.", &layer) != 1 || layer < 0 || layer >= layers) return false;
    for (size_t i = 0; i < LAYER_TENSORS; i++) {
        snprintf(expected, sizeof expected, "blk.%d.%s.weight", layer, parts[i]);
        if (gguf_string_is(name, expected)) return true;
    }
    return false;
}

/* A tensor that the forward pass would not use (a bias, rotary factors, an expert) changes the numbers that it should give. */
static void check_tensors(struct llama *llama) {
    size_t count;
    const struct gguf_tensor *tensors = gguf_tensors(llama->gguf, &count);
    for (size_t i = 0; i < count; i++) {
        struct gguf_string name = tensors[i].name;
        if (is_layer_weight(name, llama->model->config.layers) || gguf_string_is(name, "token_embd.weight") ||
            gguf_string_is(name, "output_norm.weight") || gguf_string_is(name, "output.weight"))
            continue;
        LLAMA_FAIL(llama, ENGINE_UNSUPPORTED,
                   "the model has the tensor %.*s, which is not supported", (int)name.size, name.data);
    }
}

static void read_weights(struct llama *llama) {
    struct model *model = llama->model;
    struct model_config *config = &model->config;
    size_t d_model = (size_t)config->d_model, tensor_count;
    gguf_tensors(llama->gguf, &tensor_count);
    if ((size_t)config->layers > tensor_count / LAYER_TENSORS) {
        LLAMA_FAIL(llama, ENGINE_BROKEN,
                   "the model file is damaged: %zu tensors are too few for %d layers; fetch it again",
                   tensor_count, config->layers);
        return;
    }
    const struct gguf_tensor *embedding = gguf_find_tensor(llama->gguf, "token_embd.weight");
    size_t vocabulary = embedding != NULL ? embedding->tensor.rows : 0;
    if (vocabulary > INT_MAX)
        LLAMA_FAIL(llama, ENGINE_BROKEN,
                   "the model file is damaged: %zu tokens are too many", vocabulary);
    need_weight(llama, "token_embd.weight", vocabulary, d_model, &model->embedding);
    need_weight(llama, "output_norm.weight", 1, d_model, &model->output_norm);
    if (!find_weight(llama, "output.weight", vocabulary, d_model, &model->output)) model->output = model->embedding;
    if (llama->status != ENGINE_OK) return;
    config->vocabulary = (int)vocabulary;
    if (read_count(llama, "llama.vocab_size", config->vocabulary) != config->vocabulary)
        LLAMA_FAIL(llama, ENGINE_BROKEN,
                   "the model file is damaged: llama.vocab_size is not the %d tokens of its embedding",
                   config->vocabulary);
    model->layer = calloc((size_t)config->layers, sizeof *model->layer);
    if (model->layer == NULL) llama->status = engine_fail_memory(llama->error, llama->error_size);
    for (int layer = 0; layer < config->layers && llama->status == ENGINE_OK; layer++) read_layer(llama, layer);
}

enum engine_status llama_read(const struct gguf *gguf, struct model *model, char *error, size_t error_size) {
    struct llama llama = {gguf, model, ENGINE_OK, error, error_size};
    check_keys(&llama);
    if (llama.status == ENGINE_OK) read_config(&llama);
    if (llama.status == ENGINE_OK) check_tensors(&llama);
    if (llama.status == ENGINE_OK) read_weights(&llama);
    return llama.status;
}
