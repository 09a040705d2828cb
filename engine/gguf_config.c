#include "engine/gguf_config.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/rope.h"

enum { LAYERS_MAX = 4096, SIZE_MAX_OF_MODELS = 1 << 26, HEADS_MAX = 1 << 16, EXPERTS_MAX = 4096, KEY_SIZE = 128, T5_DISTANCE = 128 };

/* The first failure sets `status` and writes `error`; what follows does nothing. */
struct config {
    const struct gguf *gguf;
    const struct gguf_architecture *architecture;
    const struct family *family;
    struct named_tensors *tensors;
    struct model *model;
    enum engine_status status;
    char *error;
    size_t error_size;
};

/* ---- keys -------------------------------------------------------------------------------------------------- */

enum rule {
    READ,    /* below */
    INERT,   /* changes no attention weight by itself */
    NEUTRAL, /* does nothing at the value in `neutral`; refused at any other */
};

/* Every key of an architecture that is understood, without the architecture's name before it; any other is refused. */
static const struct {
    const char *key;
    enum rule rule;
    double neutral;
    const char *does;
} keys[] = {
    {"block_count", READ, 0, NULL},
    {"context_length", READ, 0, NULL},
    {"embedding_length", READ, 0, NULL},
    {"feed_forward_length", READ, 0, NULL},
    {"vocab_size", READ, 0, NULL},
    {"attention.head_count", READ, 0, NULL},
    {"attention.head_count_kv", READ, 0, NULL},
    {"attention.key_length", READ, 0, NULL},
    {"attention.value_length", READ, 0, NULL},
    {"attention.layer_norm_epsilon", READ, 0, NULL},
    {"attention.layer_norm_rms_epsilon", READ, 0, NULL},
    {"attention.sliding_window", READ, 0, NULL},
    {"attention.sliding_window_pattern", READ, 0, NULL},
    {"attention.causal", READ, 0, NULL},
    {"attention.scale", READ, 0, NULL},
    {"attn_logit_softcapping", READ, 0, NULL},
    {"embedding_scale", READ, 0, NULL},
    {"residual_scale", READ, 0, NULL},
    {"use_parallel_residual", READ, 0, NULL},
    {"expert_count", READ, 0, NULL},
    {"expert_used_count", READ, 0, NULL},
    {"expert_feed_forward_length", READ, 0, NULL},
    {"expert_weights_norm", READ, 0, NULL},
    {"rope.dimension_count", READ, 0, NULL},
    {"rope.freq_base", READ, 0, NULL},
    {"rope.freq_base_swa", READ, 0, NULL},
    {"rope.scale_linear", READ, 0, NULL},
    {"rope.scaling.type", READ, 0, NULL},
    {"rope.scaling.factor", READ, 0, NULL},
    {"rope.scaling.attn_factor", READ, 0, NULL},
    {"rope.scaling.original_context_length", READ, 0, NULL},
    {"rope.scaling.yarn_beta_fast", READ, 0, NULL},
    {"rope.scaling.yarn_beta_slow", READ, 0, NULL},
    {"tensor_data_layout", READ, 0, NULL},
    {"attention.relative_buckets_count", READ, 0, NULL},
    {"decoder_block_count", READ, 0, NULL},
    {"decoder_start_token_id", READ, 0, NULL},
    {"rope.scaling.finetuned", INERT, 0, NULL},
    {"final_logit_softcapping", INERT, 0, NULL},
    {"logit_scale", INERT, 0, NULL},
    {"pooling_type", INERT, 0, NULL},
    {"rope.scaling.yarn_ext_factor", NEUTRAL, 1, "another extrapolation of rotary angles"},
    {"rope.scaling.yarn_attn_factor", NEUTRAL, 1, "another scale of rotary angles"},
    {"rope.scaling.yarn_log_multiplier", NEUTRAL, 0, "another scale of rotary angles"},
    {"attention.max_alibi_bias", NEUTRAL, 8, "other linear biases of positions"},
    {"attention.clamp_kqv", NEUTRAL, 0, "clamped queries, keys and values"},
    {"expert_shared_count", NEUTRAL, 0, "experts that all tokens share"},
    {"expert_shared_feed_forward_length", NEUTRAL, 0, "experts that all tokens share"},
    {"expert_group_count", NEUTRAL, 0, "groups of experts"},
    {"expert_weights_scale", NEUTRAL, 1, "scaled weights of experts"},
    {"leading_dense_block_count", NEUTRAL, 0, "layers without experts"},
    {"nextn_predict_layers", NEUTRAL, 0, "layers that predict further tokens"},
};

static void check_key(struct config *config, const struct gguf_value *value, size_t prefix) {
    const struct gguf_string rest = {value->key.data + prefix, value->key.size - prefix};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!gguf_string_is(rest, keys[i].key)) continue;
        double number;
        bool flag;
        if (keys[i].rule != NEUTRAL) return;
        if (gguf_number(value, &number) && number == keys[i].neutral) return;
        if (gguf_bool(value, &flag) && (double)flag == keys[i].neutral) return;
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for %s (%.*s), which is not supported", keys[i].does,
                    (int)value->key.size, value->key.data);
        return;
    }
    CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model file has the key %.*s, which is not known here and may change its numbers",
                (int)value->key.size, value->key.data);
}

static void check_keys(struct config *config) {
    size_t count, prefix = strlen(config->architecture->name);
    const struct gguf_value *values = gguf_values(config->gguf, &count);
    for (size_t i = 0; i < count; i++)
        if (values[i].key.size > prefix && memcmp(values[i].key.data, config->architecture->name, prefix) == 0 &&
            values[i].key.data[prefix] == '.')
            check_key(config, &values[i], prefix + 1);
}

/* ---- values ------------------------------------------------------------------------------------------------ */

/* The architecture's own key, whole in `name`. NULL: the file does not have it. */
static const struct gguf_value *find(const struct config *config, const char *key, char name[KEY_SIZE]) {
    snprintf(name, KEY_SIZE, "%s.%s", config->architecture->name, key);
    return gguf_find(config->gguf, name);
}

static bool has(const struct config *config, const char *key) {
    char name[KEY_SIZE];
    return find(config, key, name) != NULL;
}

/* From `least` to INT_MAX; `otherwise` stands for an absent key, and below 0 the file must have it. */
static int read_count(struct config *config, const char *key, int least, int otherwise) {
    char name[KEY_SIZE];
    uint64_t count;
    const struct gguf_value *value = find(config, key, name);
    if (!value && otherwise >= 0) return otherwise;
    if (!value)
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file lacks the key %s", name);
    else if (value->array)
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model has a value for each layer (%s is a list), which is not supported", name);
    else if (!gguf_unsigned(value, &count) || count < (uint64_t)least || count > INT_MAX)
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: %s is no count from %d on", name, least);
    else
        return (int)count;
    return 1;
}

/* Above 0; `otherwise` stands for an absent key, and at 0 the file must have it. */
static double read_positive(struct config *config, const char *key, double otherwise) {
    char name[KEY_SIZE];
    double number;
    const struct gguf_value *value = find(config, key, name);
    if (!value && otherwise > 0) return otherwise;
    if (!value)
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file lacks the key %s", name);
    else if (!gguf_number(value, &number) || !(number > 0) || !isfinite((float)number) || (float)number <= 0)
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: %s is no number above 0", name);
    else
        return number;
    return 1;
}

/* 0 stands for an absent key, and for what the file calls 0: none. */
static double read_if_any(struct config *config, const char *key, double otherwise) {
    char name[KEY_SIZE];
    double number = 0;
    const struct gguf_value *value = find(config, key, name);
    return value && gguf_number(value, &number) && number == 0 ? 0 : value ? read_positive(config, key, 0) : otherwise;
}

static bool read_flag(struct config *config, const char *key, bool otherwise) {
    char name[KEY_SIZE];
    bool flag = otherwise;
    const struct gguf_value *value = find(config, key, name);
    if (value && !gguf_bool(value, &flag))
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: %s is neither true nor false", name);
    return flag;
}

/* ---- rotary positions ---------------------------------------------------------------------------------------- */

/* Factors of each pair, a tensor of the file; false if it has none. */
static bool read_factors(struct config *config, const char *name, float *factors, size_t pairs) {
    struct named_tensor *found = named_tensors_find(config->tensors, name);
    if (!found || config->status != ENGINE_OK) return false;
    found->used = true;
    if (!found->readable || found->type != TENSOR_F32 || found->dimensions != 1 || found->shape[0] != pairs) {
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: tensor %s is not %zu numbers in F32", name, pairs);
        return false;
    }
    memcpy(factors, found->data, pairs * sizeof *factors);
    for (size_t p = 0; p < pairs; p++)
        if (!(factors[p] > 0) || !isfinite(factors[p])) CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: %s has %g", name, (double)factors[p]);
    return config->status == ENGINE_OK;
}

static void scale_by_type(struct config *config, struct rope_table *table, size_t pairs, double trained) {
    struct model_config *c = &config->model->config;
    char name[KEY_SIZE];
    struct gguf_string type = {"linear", 6}; /* the format's default */
    const struct gguf_value *value = find(config, "rope.scaling.type", name);
    if (value && !gguf_string(value, &type)) CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: %s is no text", name);
    double factor = read_if_any(config, has(config, "rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear", 1);
    if (factor == 0) factor = 1;
    if (gguf_string_is(type, "none") || gguf_string_is(type, "longrope")) return; /* longrope: by its tensors */
    if (gguf_string_is(type, "linear")) {
        if (factor != 1) rope_scale_linear(table, pairs, factor);
    } else if (gguf_string_is(type, "yarn")) {
        if (factor == 1) CONFIG_FAIL(config, ENGINE_BROKEN, "the model file asks for scaled rotary angles (%s) without a factor", name);
        const struct yarn yarn = {.factor = factor, .trained = trained, .theta = (double)c->rope_theta,
                                  .fast = read_positive(config, "rope.scaling.yarn_beta_fast", 32),
                                  .slow = read_positive(config, "rope.scaling.yarn_beta_slow", 1),
                                  .truncate = !config->architecture->exact_yarn};
        rope_scale_yarn(table, c->rope_dim, &yarn);
    } else {
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for rotary angles of the kind %.*s (%s), which is not supported",
                    (int)(type.size < 64 ? type.size : 64), type.data, name);
    }
}

/* LongRoPE: short factors up to the length that the model was first trained for; longer texts are not read. */
static void scale_by_factors(struct config *config, struct rope_table *table, size_t pairs, double trained) {
    struct model_config *c = &config->model->config;
    float *factors = calloc(pairs, sizeof *factors);
    if (!factors) {
        if (config->status == ENGINE_OK) config->status = engine_fail_memory(config->error, config->error_size);
        return;
    }
    double stretch = c->context / trained, scale = stretch > 1 ? sqrt(1 + log(stretch) / log(trained)) : 1;
    bool has_long = read_factors(config, "rope_factors_long.weight", factors, pairs);
    bool has_short = read_factors(config, "rope_factors_short.weight", factors, pairs);
    if (has_long != has_short) {
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: it has one of rope_factors_short and rope_factors_long, not both");
    } else if (has_short) {
        for (size_t p = 0; p < pairs; p++)
            table->frequency[p] = 1.0f / (factors[p] * (float)pow((double)c->rope_theta, (double)((float)(2 * p) / (float)c->rope_dim)));
        table->factor = (float)read_positive(config, "rope.scaling.attn_factor", scale);
        if (trained < c->context) c->context = (int)trained;
    } else if (read_if_any(config, "rope.scaling.attn_factor", 1) != 1) {
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for a scale of rotary angles (%s.rope.scaling.attn_factor), which is not supported",
                    config->architecture->name);
    }
    if (read_factors(config, "rope_freqs.weight", factors, pairs)) /* Llama 3.1's scaling, computed by whoever wrote the file */
        for (size_t p = 0; p < pairs; p++) table->frequency[p] /= factors[p];
    free(factors);
}

static void read_positions(struct config *config) {
    struct model_config *c = &config->model->config;
    int interval = config->architecture->no_rope_interval;
    for (int i = 0; i < c->layers; i++)
        config->model->layer[i].rope = config->family->no_rope || (interval > 0 && (i + 1) % interval == 0) ? -1 : 0;
    if (config->family->no_rope) return;
    size_t pairs = (size_t)c->rope_dim / 2;
    double local = read_positive(config, "rope.freq_base_swa", config->architecture->local_theta > 0 ? config->architecture->local_theta
                                                                                                   : (double)c->rope_theta);
    bool two = config->architecture->local_theta > 0 || local != (double)c->rope_theta;
    for (int t = 0; t <= (int)two; t++) {
        c->rope[t] = (struct rope_table){calloc(pairs, sizeof(float)), 1};
        if (!c->rope[t].frequency) {
            if (config->status == ENGINE_OK) config->status = engine_fail_memory(config->error, config->error_size);
            return;
        }
        rope_frequencies(t == 0 ? (double)c->rope_theta : local, c->rope_dim, c->rope[t].frequency);
    }
    double trained = read_count(config, "rope.scaling.original_context_length", 2, c->context > 1 ? c->context : 2);
    scale_by_type(config, &c->rope[0], pairs, trained);
    scale_by_factors(config, &c->rope[0], pairs, trained);
    for (int i = 0; two && i < c->layers; i++) config->model->layer[i].rope = config->model->layer[i].window > 0;
}

/* ---- windows ------------------------------------------------------------------------------------------------- */

/* Which layers have a window: every but one of `period`, unless the file says for each. */
static bool slides(struct config *config, int layer, int period) {
    char name[KEY_SIZE];
    const struct gguf_value *pattern = find(config, "attention.sliding_window_pattern", name);
    if (!pattern || !pattern->array) return period == 1 || layer % period < period - 1;
    struct gguf_cursor cursor = gguf_elements(pattern);
    int64_t flag = 0;
    for (int i = 0; i <= layer; i++)
        if (!gguf_next_integer(&cursor, &flag)) {
            CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: %s has no value for layer %d", name, layer);
            break;
        }
    return flag != 0;
}

static void read_windows(struct config *config) {
    enum window_rule rule = config->family->window;
    int width = read_count(config, "attention.sliding_window", 0, config->architecture->window);
    int period = rule == WINDOW_PATTERN ? 6 : rule == WINDOW_ALTERNATE ? 2 : 1;
    char name[KEY_SIZE];
    const struct gguf_value *pattern = find(config, "attention.sliding_window_pattern", name);
    if (pattern && !pattern->array) period = read_count(config, "attention.sliding_window_pattern", 1, -1);
    if (width > 0 && (rule == WINDOW_NONE || rule == WINDOW_ASKED || rule == WINDOW_AROUND))
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for a sliding window (%s.attention.sliding_window), which is not supported for this architecture",
                    config->architecture->name);
    for (int i = 0; width > 0 && i < config->model->config.layers && config->status == ENGINE_OK; i++)
        if (slides(config, i, period)) config->model->layer[i].window = width;
}

/* ---- sizes and the rest ---------------------------------------------------------------------------------------- */

static void read_sizes(struct config *config) {
    struct model_config *c = &config->model->config;
    c->layers = read_count(config, "block_count", 1, -1);
    if (config->family->source) c->layers = read_count(config, "decoder_block_count", 1, c->layers); /* the other is the encoder's */
    c->context = read_count(config, "context_length", 1, -1);
    if (config->family->position_bias == BIAS_BUCKETS) c->context = config->family->context; /* what is relative has no last position */
    c->d_model = c->embedding_dim = read_count(config, "embedding_length", 1, -1);
    c->d_ff = read_count(config, "feed_forward_length", 1, -1);
    c->heads = read_count(config, "attention.head_count", 1, -1);
    c->kv_heads = read_count(config, "attention.head_count_kv", 1, c->heads);
    int whole = c->d_model / c->heads > 0 ? c->d_model / c->heads : 1;
    c->head_dim = read_count(config, "attention.key_length", 1, whole);
    int value_dim = read_count(config, "attention.value_length", 1, whole);
    c->rope_dim = read_count(config, "rope.dimension_count", 1, c->head_dim);
    if (!has(config, "attention.key_length") && c->d_model % c->heads != 0)
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: a width of %d does not part into %d heads", c->d_model, c->heads);
    if (c->heads % c->kv_heads != 0)
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: %d heads cannot share %d key and value heads", c->heads, c->kv_heads);
    if (value_dim != c->head_dim)
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "keys of %d and values of %d dimensions (%s.attention.value_length) are not supported",
                    c->head_dim, value_dim, config->architecture->name);
    if (!config->family->no_rope && (c->rope_dim % 2 != 0 || c->rope_dim > c->head_dim))
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: %s.rope.dimension_count is %d, heads have %d dimensions",
                    config->architecture->name, c->rope_dim, c->head_dim);
    if (config->family->no_rope) c->rope_dim = 0;
    if (c->head_dim > HEADS_MAX || c->heads > HEADS_MAX || c->d_ff > SIZE_MAX_OF_MODELS || c->d_model > SIZE_MAX_OF_MODELS)
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: no model is as large as it says");
    if (c->layers > LAYERS_MAX || (size_t)c->layers > config->tensors->count)
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: %zu tensors are too few for %d layers (%s.block_count); fetch it again",
                    config->tensors->count, c->layers, config->architecture->name);
    if (config->status != ENGINE_OK) return;
    config->model->layer = calloc((size_t)c->layers, sizeof *config->model->layer);
    if (config->family->source) config->model->cross = calloc((size_t)c->layers, sizeof *config->model->cross);
    if (!config->model->layer || (config->family->source && !config->model->cross)) config->status = engine_fail_memory(config->error, config->error_size);
}

static void read_experts(struct config *config) {
    struct model_config *c = &config->model->config;
    bool may = config->family->names.router != NULL, must = may && !config->family->names.down;
    c->experts = read_count(config, "expert_count", (int)must, must ? -1 : 0);
    int used = read_count(config, "expert_used_count", 0, 0);
    if (c->experts > 0 && !may)
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for experts (%s.expert_count), which are not supported for this architecture",
                    config->architecture->name);
    if (c->experts == 0) return;
    c->experts_used = used;
    c->expert_ff = read_count(config, "expert_feed_forward_length", 1, c->d_ff);
    c->router = read_flag(config, "expert_weights_norm", true) ? ROUTER_SOFTMAX_NORMALISED : ROUTER_SOFTMAX;
    if (used < 1 || used > c->experts || c->experts > EXPERTS_MAX || c->expert_ff > SIZE_MAX_OF_MODELS)
        CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: it asks for %d of %d experts (%s.expert_used_count)", used, c->experts,
                    config->architecture->name);
}

static void read_manner(struct config *config) {
    struct model_config *c = &config->model->config;
    const struct family *family = config->family;
    bool wide = config->architecture->layers_of_wide > 0 && c->layers == config->architecture->layers_of_wide;
    c->general = true;
    c->causal = !family->encoder;
    if (read_flag(config, "attention.causal", c->causal) != c->causal)
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for %s attention (%s.attention.causal), which is not supported for this architecture",
                    c->causal ? "two-sided" : "causal", config->architecture->name);
    c->norm = family->norm;
    c->norm_after_residual = family->norm_after_residual;
    c->gated = family->gated;
    c->parallel = read_flag(config, "use_parallel_residual", family->parallel);
    c->norm_epsilon = (float)read_positive(config, family->norm == NORM_LAYER ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", 0);
    c->rope_pairing = family->adjacent ? ROPE_ADJACENT : ROPE_HALVES;
    c->rope_theta = (float)read_positive(config, "rope.freq_base", 10000);
    double scale = read_if_any(config, "attention.scale", 0);
    c->attention_scale = (float)(scale > 0 ? scale : family->unscaled ? 1 : 1 / sqrt(wide ? (double)c->d_model / c->heads : (double)c->head_dim));
    scale = read_if_any(config, "embedding_scale", 0);
    c->embedding_scale = (float)(scale > 0 ? scale : family->scales_embedding ? sqrt((double)c->d_model) : 1);
    scale = read_if_any(config, "residual_scale", 0);
    c->residual_scale = scale > 0 ? (float)scale : 1;
    c->score_cap = (float)read_if_any(config, "attn_logit_softcapping", config->architecture->score_cap);
    c->position_bias = family->position_bias;
    c->position_pad = -1;
    if (c->position_bias == BIAS_BUCKETS) {
        c->bias_buckets = read_count(config, "attention.relative_buckets_count", 4, -1);
        c->bias_distance = T5_DISTANCE;
        c->bias_ahead = family->encoder;
        if (c->bias_buckets >= 2 * T5_DISTANCE)
            CONFIG_FAIL(config, ENGINE_BROKEN, "the model file is damaged: %d buckets are too many for %d positions "
                        "(%s.attention.relative_buckets_count)", c->bias_buckets, T5_DISTANCE, config->architecture->name);
    }
    if (family->names.gate && family->names.gate[0] == '[') { /* T5: gated where there is a gate, and then by this activation */
        char gate[KEY_SIZE];
        snprintf(gate, sizeof gate, "%.3s.blk.0.ffn_gate.weight", family->names.layer);
        c->gated = named_tensors_find(config->tensors, gate) != NULL;
    }
    if (c->gated && !family->gated)
        c->activation = ACTIVATION_GELU_TANH;
    else if (!activation_find(family->activation, &c->activation))
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the activation %s is not supported", family->activation);
}

/* The order of weights that llama's converter writes, and no other. */
static void check_layout(struct config *config) {
    char name[KEY_SIZE];
    struct gguf_string text;
    const struct gguf_value *value = find(config, "tensor_data_layout", name);
    bool is_llama = strcmp(config->architecture->name, "llama") == 0;
    if (value && (!gguf_string(value, &text) || !gguf_string_is(text, is_llama ? "Meta AI original pth" : "jploski") ))
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for another order of its weights (%s), which is not supported", name);
}

static void read_stack(struct config *config) {
    read_sizes(config);
    if (config->status == ENGINE_OK) read_manner(config);
    if (config->status == ENGINE_OK) read_experts(config);
    if (config->status == ENGINE_OK) read_windows(config);
    if (config->status == ENGINE_OK) read_positions(config);
}

/* The encoder of a model whose decoder has been read. */
static void read_source(struct config *config) {
    struct model *model = config->model;
    model->encoder = calloc(1, sizeof *model->encoder);
    if (!model->encoder) {
        config->status = engine_fail_memory(config->error, config->error_size);
        return;
    }
    atomic_init(&model->encoder->references, 1);
    model->config.decoder_start = has(config, "decoder_start_token_id") ? read_count(config, "decoder_start_token_id", 0, -1) + 1 : 0;
    struct config source = *config;
    source.family = config->family->source;
    source.model = model->encoder;
    read_stack(&source);
    config->status = source.status;
}

enum engine_status gguf_config_read(const struct gguf *gguf, const struct gguf_architecture *architecture, const struct family *family,
                                    struct named_tensors *tensors, struct model *model, char *error, size_t error_size) {
    struct config config = {gguf, architecture, family, tensors, model, ENGINE_OK, error, error_size};
    check_keys(&config);
    if (config.status == ENGINE_OK) check_layout(&config);
    if (config.status == ENGINE_OK) read_stack(&config);
    if (config.status == ENGINE_OK && family->source) read_source(&config);
    return config.status;
}
