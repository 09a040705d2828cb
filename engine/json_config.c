#include "engine/json_config.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/failure.h"
#include "engine/json_config_keys.h"
#include "engine/mapping.h"
#include "engine/rope.h"

/* Jansson takes 20 to 80 times the text. Real configurations have a few kilobytes, an index of a large model a few megabytes. */
enum { CONFIG_MAX = 1 << 18, INDEX_MAX = 1 << 23, LAYERS_MAX = 4096, FILES_MAX = 1 << 12 };

struct config {
    json_t *root;
    bool source; /* what is read is the encoder of a model that also has a decoder */
    const struct family *family;
    struct model *model;
    enum engine_status status;
    char *error;
    size_t error_size;
};

/* ---- reading a JSON file ----------------------------------------------------------------------------------------- */

static enum engine_status read_json(const char *path, size_t limit, json_t **root, char *error, size_t error_size) {
    int descriptor;
    uint64_t size;
    enum engine_status status = mapping_open_file(path, &descriptor, &size, error, error_size);
    if (status != ENGINE_OK) return status;
    char *text = size <= limit ? malloc(size + 1) : NULL;
    if (size > limit) {
        status = engine_fail(ENGINE_BROKEN, error, error_size, "%s has %llu bytes; at most %zu are read", path, (unsigned long long)size,
                             limit);
    } else if (!text) {
        status = engine_fail_memory(error, error_size);
    }
    size_t have = 0;
    while (status == ENGINE_OK && have < size) {
        ssize_t got = read(descriptor, text + have, size - have);
        if (got == 0) break;
        if (got > 0)
            have += (size_t)got;
        else if (errno != EINTR)
            status = engine_fail(ENGINE_IO, error, error_size, "%s cannot be read: %s", path, strerror(errno));
    }
    close(descriptor);
    if (status == ENGINE_OK) {
        json_error_t problem;
        *root = json_loadb(text, have, JSON_REJECT_DUPLICATES, &problem);
        if (*root && !json_is_object(*root)) {
            json_decref(*root);
            *root = NULL;
            snprintf(problem.text, sizeof problem.text, "it is no object");
        }
        if (!*root) status = engine_fail(ENGINE_BROKEN, error, error_size, "%s is damaged: %s", path, problem.text);
    }
    free(text);
    return status;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* The first of the named keys that is there and not null; ends with NULL. */
static const json_t *find(const json_t *object, va_list names) {
    for (const char *name; (name = va_arg(names, const char *)) != NULL;) {
        const json_t *value = json_object_get(object, name);
        if (value && !json_is_null(value)) return value;
    }
    return NULL;
}

static const json_t *value_of(const struct config *config, ...) {
    va_list names;
    va_start(names, config);
    const json_t *value = find(config->root, names);
    va_end(names);
    return value;
}

/* From `least` to INT_MAX; `otherwise` where there is none, and an error if that is below 0. */
static int count_of(struct config *config, const char *what, int least, int otherwise, const json_t *value) {
    if (!value && otherwise >= 0) return otherwise;
    if (!value)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json lacks %s", what);
    else if (!json_is_integer(value) || json_integer_value(value) < least || json_integer_value(value) > INT_MAX)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: %s is no whole number from %d on", what, least);
    else
        return (int)json_integer_value(value);
    return least > 0 ? least : 1;
}

/* Above 0; `otherwise` where there is none, and an error if that is 0. */
static double number_of(struct config *config, const char *what, double otherwise, const json_t *value) {
    if (!value && otherwise > 0) return otherwise;
    double number = json_is_number(value) ? json_number_value(value) : 0;
    if (!value)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json lacks %s", what);
    else if (!(number > 0) || !isfinite((float)number) || (float)number <= 0)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: %s is no number above 0", what);
    else
        return number;
    return 1;
}

static bool flag_of(struct config *config, const char *name, bool otherwise) {
    const json_t *value = value_of(config, name, NULL);
    if (!value) return otherwise;
    if (!json_is_boolean(value)) CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: %s is neither true nor false", name);
    return json_is_true(value);
}

/* ---- rotary positions --------------------------------------------------------------------------------------------- */

static double rope_number(struct config *config, const json_t *rope, const char *name, double otherwise) {
    const json_t *value = json_object_get(rope, name);
    return number_of(config, name, otherwise, json_is_null(value) ? NULL : value);
}

/* Factors of LongRoPE for each pair; `count` of them. */
static void read_factors(struct config *config, const json_t *rope, const char *name, float *factors, size_t count) {
    const json_t *list = json_object_get(rope, name);
    if (json_array_size(list) != count) {
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: %s are not %zu numbers", name, count);
        return;
    }
    for (size_t i = 0; i < count; i++) factors[i] = (float)number_of(config, name, 0, json_array_get(list, i));
}

/* `rope`: rope_parameters (or rope_scaling), possibly NULL. */
static void read_rope(struct config *config, const json_t *rope, double theta, struct rope_table *table) {
    struct model_config *c = &config->model->config;
    size_t pairs = (size_t)c->rope_dim / 2;
    const json_t *kind = json_object_get(rope, "rope_type");
    if (!json_is_string(kind)) kind = json_object_get(rope, "type");
    const char *type = json_is_string(kind) ? json_string_value(kind) : "default";
    table->factor = 1;
    table->frequency = calloc(pairs > 0 ? pairs : 1, sizeof *table->frequency);
    if (!table->frequency) {
        if (config->status == ENGINE_OK) config->status = engine_fail_memory(config->error, config->error_size);
        return;
    }
    rope_frequencies(theta, c->rope_dim, table->frequency);
    const json_t *original = json_object_get(rope, "original_max_position_embeddings");
    if (!json_is_integer(original)) original = value_of(config, "original_max_position_embeddings", NULL);
    double trained = number_of(config, "original_max_position_embeddings", c->context, original);
    if (strcmp(type, "default") == 0 || strcmp(type, "dynamic") == 0) return; /* dynamic: the same up to the model's context */
    if (strcmp(type, "linear") == 0) {
        rope_scale_linear(table, pairs, rope_number(config, rope, "factor", 0));
    } else if (strcmp(type, "llama3") == 0) {
        rope_scale_llama3(table, pairs, rope_number(config, rope, "factor", 0), rope_number(config, rope, "low_freq_factor", 0),
                          rope_number(config, rope, "high_freq_factor", 0), trained);
    } else if (strcmp(type, "yarn") == 0) {
        struct yarn yarn = {.factor = rope_number(config, rope, "factor", c->context / trained), .trained = trained, .theta = theta,
                            .fast = rope_number(config, rope, "beta_fast", 32), .slow = rope_number(config, rope, "beta_slow", 1),
                            .truncate = !json_is_false(json_object_get(rope, "truncate"))};
        const json_t *given = json_object_get(rope, "attention_factor"), *scale = json_object_get(rope, "mscale"),
                     *all = json_object_get(rope, "mscale_all_dim");
        rope_scale_yarn(table, c->rope_dim, &yarn);
        if (json_is_number(scale) && json_is_number(all) && json_number_value(scale) != 0 && json_number_value(all) != 0)
            table->factor = (float)(yarn_factor(yarn.factor, json_number_value(scale)) / yarn_factor(yarn.factor, json_number_value(all)));
        if (json_is_number(given)) table->factor = (float)number_of(config, "attention_factor", 0, given);
    } else if (strcmp(type, "longrope") == 0) {
        /* Texts longer than the model was first trained for turn by other factors: they are not read. */
        float *factors = calloc(pairs > 0 ? pairs : 1, sizeof *factors);
        if (!factors) {
            if (config->status == ENGINE_OK) config->status = engine_fail_memory(config->error, config->error_size);
            return;
        }
        double stretch = rope_number(config, rope, "factor", c->context / trained);
        read_factors(config, rope, "short_factor", factors, pairs);
        for (size_t p = 0; p < pairs && config->status == ENGINE_OK; p++)
            table->frequency[p] = 1.0f / (factors[p] * (float)pow(theta, (double)((float)(2 * p) / (float)c->rope_dim)));
        free(factors);
        table->factor = (float)rope_number(config, rope, "attention_factor", stretch > 1 ? sqrt(1 + log(stretch) / log(trained)) : 1);
        if (trained < c->context) c->context = (int)trained;
    } else {
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for rotary angles of the kind %s, which is not supported", type);
    }
}

static void read_rope_dim(struct config *config, const json_t *rope) {
    struct model_config *c = &config->model->config;
    const json_t *share = json_object_get(rope, "partial_rotary_factor");
    if (!json_is_number(share)) share = value_of(config, "partial_rotary_factor", "rotary_pct", NULL);
    double partial = number_of(config, "partial_rotary_factor", config->family->partial > 0 ? config->family->partial : 1, share);
    c->rope_dim = (int)(c->head_dim * (partial < 1 ? partial : 1));
    c->rope_dim = count_of(config, "rotary_dim", 1, c->rope_dim, value_of(config, "rotary_dim", NULL));
    if (c->rope_dim < 2 || c->rope_dim % 2 != 0 || c->rope_dim > c->head_dim)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: %d of %d dimensions cannot turn in pairs", c->rope_dim, c->head_dim);
}

/* Table 0 is for layers that see everything, table 1 for those with a window, where they differ. */
static void read_positions(struct config *config) {
    struct model_config *c = &config->model->config;
    const struct family *family = config->family;
    for (int i = 0; i < c->layers; i++) config->model->layer[i].rope = family->no_rope ? -1 : 0;
    if (family->no_rope) return;
    c->rope_pairing = family->adjacent ? ROPE_ADJACENT : ROPE_HALVES;
    const json_t *rope = value_of(config, "rope_parameters", "rope_scaling", NULL);
    const json_t *whole = json_object_get(rope, "full_attention"), *local = json_object_get(rope, "sliding_attention");
    bool two = json_is_object(whole) || json_is_object(local) || family->window == WINDOW_PATTERN || family->window == WINDOW_AROUND;
    if (json_is_object(whole) || json_is_object(local)) rope = whole;
    read_rope_dim(config, rope);
    if (config->status != ENGINE_OK) return;
    const json_t *theta = json_object_get(rope, "rope_theta");
    if (!json_is_number(theta)) theta = value_of(config, "rope_theta", "global_rope_theta", "rotary_emb_base", NULL);
    c->rope_theta = (float)number_of(config, "rope_theta", family->theta, theta);
    read_rope(config, rope, number_of(config, "rope_theta", family->theta, theta), &c->rope[0]);
    if (!two) return;
    theta = json_object_get(local, "rope_theta");
    if (!json_is_number(theta)) theta = value_of(config, "rope_local_base_freq", "local_rope_theta", NULL);
    read_rope(config, local, number_of(config, "rope_local_base_freq", 10000, theta), &c->rope[1]);
    for (int i = 0; i < c->layers; i++) config->model->layer[i].rope = config->model->layer[i].window > 0;
}

static void read_layers_without_rope(struct config *config) {
    const json_t *list = value_of(config, "no_rope_layers", NULL);
    int layers = config->model->config.layers;
    int interval = count_of(config, "no_rope_layer_interval", 1, strcmp(config->family->type, "smollm3") == 0 ? 4 : 0,
                            value_of(config, "no_rope_layer_interval", NULL));
    if (list && json_array_size(list) != (size_t)layers)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: no_rope_layers are not %d numbers", layers);
    for (int i = 0; i < layers && config->status == ENGINE_OK; i++) {
        bool turns = list ? json_integer_value(json_array_get(list, (size_t)i)) != 0 : interval == 0 || (i + 1) % interval != 0;
        if (!turns) config->model->layer[i].rope = -1;
    }
}

/* ---- windows ------------------------------------------------------------------------------------------------------ */

static bool slides(struct config *config, int layer, const json_t *types) {
    if (types) {
        const json_t *type = json_array_get(types, (size_t)layer);
        const char *word = json_is_string(type) ? json_string_value(type) : "nothing";
        if (strcmp(word, "sliding_attention") == 0) return true;
        if (strcmp(word, "full_attention") != 0)
            CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "layer %d asks for attention of the kind %s, which is not supported", layer, word);
        return false;
    }
    switch (config->family->window) {
    case WINDOW_NONE: return false;
    case WINDOW_ALL: return true;
    case WINDOW_ASKED: return layer >= count_of(config, "max_window_layers", 0, 28, value_of(config, "max_window_layers", NULL));
    case WINDOW_ALTERNATE: return layer % 2 == 0;
    case WINDOW_PATTERN:
        return (layer + 1) % count_of(config, "sliding_window_pattern", 1, 6,
                                      value_of(config, "sliding_window_pattern", "_sliding_window_pattern", NULL)) != 0;
    case WINDOW_AROUND:
        return layer % count_of(config, "global_attn_every_n_layers", 1, 3, value_of(config, "global_attn_every_n_layers", NULL)) != 0;
    }
    return false;
}

static void read_windows(struct config *config) {
    const json_t *types = value_of(config, "layer_types", NULL), *width = value_of(config, "sliding_window", NULL);
    enum window_rule rule = config->family->window;
    int layers = config->model->config.layers, window = 0;
    if (types && json_array_size(types) != (size_t)layers)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: layer_types are not %d words", layers);
    if (rule == WINDOW_AROUND)
        window = count_of(config, "local_attention", 2, 128, value_of(config, "local_attention", NULL)) / 2;
    else if (rule != WINDOW_NONE && !(rule == WINDOW_ASKED && !flag_of(config, "use_sliding_window", false)))
        window = count_of(config, "sliding_window", 1, rule == WINDOW_ALTERNATE || rule == WINDOW_PATTERN ? -1 : 0, width);
    for (int i = 0; i < layers && config->status == ENGINE_OK; i++) {
        bool sliding = slides(config, i, types);
        if (sliding && types && window == 0)
            CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "layer %d asks for a sliding window of no width, which is not supported", i);
        config->model->layer[i].window = sliding ? window : 0;
    }
}

/* ---- sizes and the rest --------------------------------------------------------------------------------------------- */

static void read_activation(struct config *config) {
    const char *name = config->family->activation;
    const json_t *projection = value_of(config, "feed_forward_proj", NULL);
    if (config->family->unscaled && json_is_string(projection)) name = json_string_value(projection);
    if (config->family->unscaled && strncmp(name, "gated-", 6) == 0) { /* T5: "relu", "gated-silu"; its gated gelu is this one */
        config->model->config.gated = true;
        name = strcmp(name, "gated-gelu") == 0 ? "gelu_new" : name + 6;
    }
    const json_t *word = value_of(config, "hidden_activation", "hidden_act", "activation_function", "activation", NULL);
    const json_t *other = value_of(config, "hidden_act", NULL);
    if (strcmp(name, "clamped") != 0 && json_is_string(word)) name = json_string_value(word);
    if (strcmp(config->family->type, "gemma") == 0 && json_is_string(other) && strcmp(json_string_value(other), name) != 0)
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "config.json names two activations, %s and %s, and which one holds is not known", name,
                    json_string_value(other));
    if (strcmp(config->family->type, "bloom") == 0) name = "gelu_new"; /* its gelu has always been this one */
    if (!activation_find(name, &config->model->config.activation))
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for the activation %s, which is not supported", name);
}

/* Of one of two stacks of layers: what is the other's has another name. */
static void read_stack_sizes(struct config *config) {
    struct model_config *c = &config->model->config;
    bool source = config->source;
    c->d_model = count_of(config, "d_model", 1, -1, value_of(config, "d_model", NULL));
    c->layers = count_of(config, "the number of layers", 1, -1,
                         source ? value_of(config, "encoder_layers", "num_layers", NULL)
                                : value_of(config, "decoder_layers", "num_decoder_layers", "num_layers", NULL));
    c->heads = count_of(config, "the number of heads", 1, -1,
                        value_of(config, source ? "encoder_attention_heads" : "decoder_attention_heads", "num_heads", NULL));
    c->kv_heads = c->heads;
    c->head_dim = count_of(config, "d_kv", 1, c->d_model / c->heads > 0 ? c->d_model / c->heads : 1, value_of(config, "d_kv", NULL));
    c->d_ff = count_of(config, "d_ff", 1, -1, value_of(config, source ? "encoder_ffn_dim" : "decoder_ffn_dim", "d_ff", NULL));
    c->context = config->family->context > 0
                     ? config->family->context /* positions are relative: there is no last one */
                     : count_of(config, "max_position_embeddings", 1, -1, value_of(config, "max_position_embeddings", NULL));
    const json_t *vocabulary = value_of(config, source ? "vocab_size" : "decoder_vocab_size", "vocab_size", NULL);
    c->vocabulary = count_of(config, "vocab_size", 1, -1, vocabulary);
    c->embedding_dim = c->d_model;
}

static void read_single_sizes(struct config *config) {
    struct model_config *c = &config->model->config;
    const struct family *family = config->family;
    c->d_model = count_of(config, "hidden_size", 1, -1, value_of(config, "hidden_size", "n_embd", "dim", "d_model", NULL));
    c->layers = count_of(config, "num_hidden_layers", 1, -1, value_of(config, "num_hidden_layers", "n_layer", "n_layers", NULL));
    c->heads = count_of(config, "num_attention_heads", 1, -1, value_of(config, "num_attention_heads", "n_head", "n_heads", NULL));
    c->kv_heads = count_of(config, "num_key_value_heads", 1, c->heads, value_of(config, "num_key_value_heads", NULL));
    c->head_dim = count_of(config, "head_dim", 1, c->d_model / c->heads > 0 ? c->d_model / c->heads : 1, value_of(config, "head_dim", NULL));
    int ff = c->d_model <= INT_MAX / 4 ? 4 * c->d_model : 1;
    bool given = !(strcmp(family->type, "gpt2") == 0 || strcmp(family->type, "gptj") == 0 || strcmp(family->type, "bloom") == 0 ||
                   strcmp(family->type, "falcon") == 0);
    c->d_ff = count_of(config, "intermediate_size", 1, given ? -1 : ff,
                       value_of(config, family->type[0] == 'g' || family->type[0] == 'f' ? "n_inner" : "intermediate_size",
                                "ffn_hidden_size", "ffn_dim", "hidden_dim", "intermediate_size", NULL));
    c->context = count_of(config, "max_position_embeddings", 1, family->context > 0 ? family->context : -1,
                          value_of(config, "max_position_embeddings", "n_positions", "n_ctx", "seq_length", NULL));
    c->vocabulary = count_of(config, "vocab_size", 1, -1, value_of(config, "vocab_size", NULL));
    c->embedding_dim = count_of(config, "embedding_size", 1, c->d_model, value_of(config, "embedding_size", "word_embed_proj_dim", NULL));
}

static void read_sizes(struct config *config) {
    struct model_config *c = &config->model->config;
    bool stack = config->source || config->family->source;
    (stack ? read_stack_sizes : read_single_sizes)(config);
    if (c->embedding_dim > c->d_model)
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "embeddings of %d numbers in a model of width %d are not supported", c->embedding_dim, c->d_model);
    if (c->layers > LAYERS_MAX) CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: %d layers are too many", c->layers);
    if (!value_of(config, "head_dim", "d_kv", NULL) && c->d_model % c->heads != 0)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: a width of %d does not part into %d heads", c->d_model, c->heads);
    if (c->head_dim > 1 << 16 || c->heads > 1 << 16 || c->d_ff > 1 << 26 || c->d_model > 1 << 26)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: no model is as large as it says");
    if (config->status != ENGINE_OK) return;
    config->model->layer = calloc((size_t)c->layers, sizeof *config->model->layer);
    if (config->family->source) config->model->cross = calloc((size_t)c->layers, sizeof *config->model->cross);
    if (!config->model->layer || (config->family->source && !config->model->cross))
        config->status = engine_fail_memory(config->error, config->error_size);
}

static void read_experts(struct config *config) {
    struct model_config *c = &config->model->config;
    if (!config->family->names.router) return;
    c->experts = count_of(config, "num_experts", 1, -1, value_of(config, "num_local_experts", "num_experts", NULL));
    c->experts_used = count_of(config, "num_experts_per_tok", 1, -1, value_of(config, "num_experts_per_tok", NULL));
    c->expert_ff = count_of(config, "moe_intermediate_size", 1, c->d_ff, value_of(config, "moe_intermediate_size", NULL));
    c->router = config->family->router;
    if (flag_of(config, "norm_topk_prob", false)) c->router = ROUTER_SOFTMAX_NORMALISED;
    if (c->experts_used > c->experts || c->experts > 4096)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: it asks for %d of %d experts", c->experts_used, c->experts);
    double alpha = number_of(config, "swiglu_alpha", 1.702, value_of(config, "swiglu_alpha", NULL));
    double limit = number_of(config, "swiglu_limit", 7, value_of(config, "swiglu_limit", NULL));
    if (fabs(alpha - 1.702) > 1e-9 || fabs(limit - 7) > 1e-9)
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for swiglu_alpha %g and swiglu_limit %g, which are not supported", alpha, limit);
}

static void read_falcon(struct config *config) {
    struct model_config *c = &config->model->config;
    bool grouped = flag_of(config, "new_decoder_architecture", false);
    c->kv_heads = grouped ? count_of(config, "num_kv_heads", 1, c->heads, value_of(config, "num_kv_heads", NULL))
                  : flag_of(config, "multi_query", true) ? 1
                                                         : c->heads;
    c->parallel = grouped || flag_of(config, "parallel_attn", true);
}

/* DeBERTa: whether words are compared with distances this way, "c2p" or "p2c". */
static bool compares(const json_t *kinds, const char *kind) {
    size_t i;
    const json_t *word;
    if (json_is_string(kinds)) return strstr(json_string_value(kinds), kind) != NULL;
    json_array_foreach(kinds, i, word) if (json_is_string(word) && strcmp(json_string_value(word), kind) == 0) return true;
    return false;
}

static void read_distances(struct config *config) {
    struct model_config *c = &config->model->config;
    const json_t *kinds = value_of(config, "pos_att_type", NULL), *norm = value_of(config, "norm_rel_ebd", NULL),
                 *buckets = value_of(config, "position_buckets", NULL), *most = value_of(config, "max_relative_positions", NULL);
    if (!flag_of(config, "relative_attention", false) || !flag_of(config, "share_att_key", false))
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for attention without shared relative positions (relative_attention, "
                                                "share_att_key), which is not supported");
    if (norm && (!json_is_string(norm) || (strcmp(json_string_value(norm), "layer_norm") != 0 && strcmp(json_string_value(norm), "none") != 0)))
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model asks for another norm of its distances (norm_rel_ebd), which is not supported");
    c->content_to_place = compares(kinds, "c2p");
    c->place_to_content = compares(kinds, "p2c");
    c->relative_buckets = json_integer_value(buckets) > 0 ? count_of(config, "position_buckets", 4, 0, buckets) : 0;
    c->relative_distance = json_integer_value(most) > 0 ? count_of(config, "max_relative_positions", 1, 0, most) : c->context;
    if (c->relative_buckets > 1 << 20 || c->relative_distance > 1 << 24 || (c->relative_buckets > 0 && c->relative_distance - 1 <= c->relative_buckets / 2))
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: %d distances do not part into %d buckets", c->relative_distance,
                    c->relative_buckets);
    c->attention_scale = (float)(1 / sqrt((double)c->head_dim * (1 + c->content_to_place + c->place_to_content)));
}

static void read_manner(struct config *config) {
    struct model_config *c = &config->model->config;
    const struct family *family = config->family;
    const char *type = family->type;
    c->general = true;
    c->causal = !family->encoder;
    c->norm = family->norm;
    c->norm_after_residual = family->norm_after_residual;
    c->gated = family->gated;
    c->parallel = family->parallel;
    if (strcmp(type, "gpt_neox") == 0 || strcmp(type, "stablelm") == 0)
        c->parallel = flag_of(config, "use_parallel_residual", strcmp(type, "gpt_neox") == 0);
    if (strcmp(type, "opt") == 0) c->norm_after_residual = !flag_of(config, "do_layer_norm_before", true);
    if (strcmp(type, "falcon") == 0) read_falcon(config);
    c->norm_epsilon = (float)number_of(config, "rms_norm_eps", family->epsilon,
                                       value_of(config, "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps",
                                                NULL));
    c->sinusoidal = family->sinusoidal;
    double scalar = number_of(config, "query_pre_attn_scalar", c->head_dim, value_of(config, "query_pre_attn_scalar", NULL));
    c->attention_scale = (float)number_of(config, "attention_multiplier", family->unscaled ? 1 : 1 / sqrt(scalar),
                                          value_of(config, "attention_multiplier", NULL));
    c->embedding_scale = (float)number_of(config, "embedding_multiplier", family->scales_embedding || flag_of(config, "scale_embedding", false) ? sqrt((double)c->d_model) : 1,
                                          value_of(config, "embedding_multiplier", NULL));
    c->residual_scale = (float)number_of(config, "residual_multiplier", 1, value_of(config, "residual_multiplier", NULL));
    const json_t *cap = value_of(config, "attn_logit_softcapping", NULL);
    if (cap) c->score_cap = (float)number_of(config, "attn_logit_softcapping", 0, cap);
    c->position_offset = family->position_offset;
    c->position_pad = -1;
    if (family->position_offset < 0) {
        c->position_pad = count_of(config, "pad_token_id", 0, 1, value_of(config, "pad_token_id", NULL));
        c->position_offset = c->position_pad + 1;
        c->context = c->context > c->position_offset ? c->context - c->position_offset : 1;
    }
    if (family->names.relative) read_distances(config);
    c->position_bias = family->position_bias;
    if (c->position_bias == BIAS_BUCKETS) {
        c->bias_buckets = count_of(config, "relative_attention_num_buckets", 4, 32, value_of(config, "relative_attention_num_buckets", NULL));
        c->bias_distance = count_of(config, "relative_attention_max_distance", 2, 128, value_of(config, "relative_attention_max_distance", NULL));
        c->bias_ahead = family->encoder;
        if (c->bias_distance <= c->bias_buckets / 2)
            CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: %d positions are too few for %d buckets (relative_attention_max_distance)",
                        c->bias_distance, c->bias_buckets);
    }
    if (c->kv_heads > c->heads || c->heads % c->kv_heads != 0)
        CONFIG_FAIL(config, ENGINE_BROKEN, "config.json is damaged: %d heads cannot share %d key and value heads", c->heads, c->kv_heads);
}

static enum engine_status find_family(struct config *config) {
    const json_t *type = value_of(config, "model_type", NULL);
    if (!json_is_string(type))
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "config.json does not say what the model is (model_type)");
    else if (value_of(config, "quantization_config", NULL))
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "the model's weights are quantised (quantization_config), which is read from GGUF files only");
    else if (!(config->family = family_find(json_string_value(type))))
        CONFIG_FAIL(config, ENGINE_UNSUPPORTED, "models of the type %s are not supported", json_string_value(type));
    return config->status;
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
    struct config source = *config;
    source.source = true;
    source.family = config->family->source;
    source.model = model->encoder;
    read_sizes(&source);
    if (source.status == ENGINE_OK) read_manner(&source);
    if (source.status == ENGINE_OK) read_activation(&source);
    for (int i = 0; source.status == ENGINE_OK && i < model->encoder->config.layers; i++) model->encoder->layer[i].rope = -1;
    config->status = source.status;
    int start = config->family->decoder_start;
    const json_t *given = value_of(config, "decoder_start_token_id", NULL);
    model->config.decoder_start = given ? count_of(config, "decoder_start_token_id", 0, -1, given) + 1 : start + 1;
    if (model->config.decoder_start > model->config.vocabulary) model->config.decoder_start = 0;
}

enum engine_status config_read(const char *path, struct model *model, const struct family **family, struct config_claims *claims, char *error,
                               size_t error_size) {
    struct config config = {.model = model, .status = ENGINE_OK, .error = error, .error_size = error_size};
    enum engine_status status = read_json(path, CONFIG_MAX, &config.root, error, error_size);
    if (status != ENGINE_OK) return status;
    if (find_family(&config) == ENGINE_OK) config.status = config_check_keys(config.root, config.family->source != NULL, error, error_size);
    if (config.status == ENGINE_OK) read_sizes(&config);
    if (config.status == ENGINE_OK) read_manner(&config);
    if (config.status == ENGINE_OK) read_activation(&config);
    if (config.status == ENGINE_OK) read_experts(&config);
    if (config.status == ENGINE_OK) read_windows(&config);
    if (config.status == ENGINE_OK) read_positions(&config);
    if (config.status == ENGINE_OK) read_layers_without_rope(&config);
    if (config.status == ENGINE_OK) config_read_claims(config.root, config.family->type, claims);
    if (config.status == ENGINE_OK && config.family->source) read_source(&config);
    json_decref(config.root);
    if (config.status == ENGINE_OK) *family = config.family;
    return config.status;
}

/* ---- the index of a sharded model ----------------------------------------------------------------------------------- */

static int compare_words(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each word once, sorted, one behind the other in one block. */
static enum engine_status pack_words(const char **words, size_t total, char **files, size_t *count, char *error, size_t error_size) {
    size_t unique = 0, size = 0;
    qsort(words, total, sizeof *words, compare_words);
    for (size_t i = 0; i < total; i++) {
        if (unique > 0 && strcmp(words[unique - 1], words[i]) == 0) continue;
        words[unique++] = words[i];
        size += strlen(words[i]) + 1;
    }
    if (unique > FILES_MAX) return engine_fail(ENGINE_BROKEN, error, error_size, "the index names %zu files; at most %d are read", unique, FILES_MAX);
    char *block = malloc(size > 0 ? size : 1), *at = block;
    if (!block) return engine_fail_memory(error, error_size);
    for (size_t i = 0; i < unique; i++) at = stpcpy(at, words[i]) + 1;
    *files = block;
    *count = unique;
    return ENGINE_OK;
}

enum engine_status config_read_index(const char *path, char **files, size_t *count, char *error, size_t error_size) {
    json_t *root = NULL, *file;
    const char *tensor;
    enum engine_status status = read_json(path, INDEX_MAX, &root, error, error_size);
    if (status != ENGINE_OK) return status;
    json_t *map = json_object_get(root, "weight_map");
    size_t total = json_object_size(map), n = 0;
    const char **words = malloc((total + 1) * sizeof *words);
    if (!words) status = engine_fail_memory(error, error_size);
    if (status == ENGINE_OK && total == 0)
        status = engine_fail(ENGINE_BROKEN, error, error_size, "%s names no files (weight_map)", path);
    json_object_foreach(map, tensor, file) {
        if (status != ENGINE_OK) break;
        const char *name = json_is_string(file) ? json_string_value(file) : "";
        if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
            status = engine_fail(ENGINE_BROKEN, error, error_size, "%s names a file outside its folder for the tensor %s", path, tensor);
        else
            words[n++] = name;
    }
    if (status == ENGINE_OK) status = pack_words(words, n, files, count, error, error_size);
    free(words);
    json_decref(root);
    return status;
}
