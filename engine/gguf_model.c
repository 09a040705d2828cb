#include "engine/gguf_model.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/gguf_config.h"
#include "engine/rope.h"

static struct named_tensor as_named(const struct gguf_tensor *found) {
    struct named_tensor tensor = {.name = found->name.data, .name_size = found->name.size,
                                  .dtype = gguf_tensor_type_name(found->tensor.type), .readable = true, .type = found->tensor.type,
                                  .data = found->tensor.data, .bytes = found->tensor.rows * found->tensor.row_bytes,
                                  .dimensions = found->dimensions};
    for (int d = 0; d < found->dimensions; d++) tensor.shape[d] = found->shape[d];
    return tensor;
}

static enum engine_status list_tensors(const struct gguf *const *parts, size_t part_count, struct named_tensors *tensors, char *error,
                                       size_t error_size) {
    size_t total = 0, count;
    for (size_t p = 0; p < part_count; p++) {
        gguf_tensors(parts[p], &count);
        total += count;
    }
    if (total == 0)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the file holds no weights, only a vocabulary; take the model's own file");
    *tensors = (struct named_tensors){.list = calloc(total, sizeof *tensors->list), .prefix = ""};
    if (!tensors->list) return engine_fail_memory(error, error_size);
    for (size_t p = 0; p < part_count; p++) {
        const struct gguf_tensor *list = gguf_tensors(parts[p], &count);
        for (size_t i = 0; i < count; i++) tensors->list[tensors->count++] = as_named(&list[i]);
    }
    return named_tensors_sort(tensors, error, error_size);
}

/* What the embedding says is the vocabulary's size, which a key may repeat. */
static enum engine_status read_vocabulary(const struct gguf *gguf, const struct gguf_architecture *architecture,
                                          const struct named_tensors *tensors, struct model *model, char *error, size_t error_size) {
    const struct named_tensor *embedding = named_tensors_find(tensors, "token_embd.weight");
    if (!embedding)
        return engine_fail(ENGINE_BROKEN, error, error_size, "the model file lacks the tensor token_embd.weight; fetch it again");
    if (embedding->shape[0] > INT_MAX)
        return engine_fail(ENGINE_BROKEN, error, error_size, "the model file is damaged: %zu tokens are too many", embedding->shape[0]);
    model->config.vocabulary = (int)embedding->shape[0];
    if (model->encoder) model->encoder->config.vocabulary = model->config.vocabulary;
    if (model->config.decoder_start > model->config.vocabulary) model->config.decoder_start = 0;
    char name[128];
    uint64_t stated;
    snprintf(name, sizeof name, "%s.vocab_size", architecture->name);
    const struct gguf_value *value = gguf_find(gguf, name);
    if (value && (!gguf_unsigned(value, &stated) || stated != (uint64_t)model->config.vocabulary))
        return engine_fail(ENGINE_BROKEN, error, error_size, "the model file is damaged: %s is not the %d tokens of its embedding", name,
                           model->config.vocabulary);
    return ENGINE_OK;
}

/* ---- what is left over --------------------------------------------------------------------------------------- */

/* Marks a tensor that no attention weight depends on, but for its shape, which tells of a damaged file. `rows` 0: a vector. */
static enum engine_status check_output(struct named_tensors *tensors, const char *name, size_t rows, size_t cols, char *error,
                                       size_t error_size) {
    struct named_tensor *found = named_tensors_find(tensors, name);
    if (!found) return ENGINE_OK;
    found->used = true;
    bool fits = rows == 0 ? found->dimensions == 1 && found->shape[0] == cols
                          : found->dimensions == 2 && found->shape[0] == rows && found->shape[1] == cols;
    return fits ? ENGINE_OK
                : engine_fail(ENGINE_BROKEN, error, error_size, "the model file is damaged: tensor %s has another shape than the model's", name);
}

/* A tensor that the forward pass would not use changes the numbers that it should give. */
static enum engine_status check_unused(const struct model *model, struct named_tensors *tensors, char *error, size_t error_size) {
    static const char *const heads[] = {"cls.weight", "cls.bias", "cls.output.weight", "cls.output.bias", "dec.output_norm.weight"};
    size_t d_model = (size_t)model->config.d_model, vocabulary = (size_t)model->config.vocabulary;
    enum engine_status status = check_output(tensors, "output_norm.weight", 0, d_model, error, error_size);
    if (status == ENGINE_OK) status = check_output(tensors, "output_norm.bias", 0, d_model, error, error_size);
    if (status == ENGINE_OK) status = check_output(tensors, "output.weight", vocabulary, d_model, error, error_size);
    if (status == ENGINE_OK) status = check_output(tensors, "output.bias", 0, vocabulary, error, error_size);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct named_tensor *head = named_tensors_find(tensors, heads[i]);
        if (head) head->used = true;
    }
    for (size_t i = 0; i < tensors->count && status == ENGINE_OK; i++)
        if (!tensors->list[i].used)
            status = engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the model has the tensor %.*s, which is not supported",
                                 (int)tensors->list[i].name_size, tensors->list[i].name);
    return status;
}

/* ---- the short way --------------------------------------------------------------------------------------------- */

static bool is_plain(const struct layer_weights *w) {
    return w->gate.data && w->attention_norm.data && w->ffn_norm.data && !w->q_bias.data && !w->k_bias.data && !w->v_bias.data &&
           !w->o_bias.data && !w->gate_bias.data && !w->up_bias.data && !w->down_bias.data && !w->q_norm.data && !w->k_norm.data &&
           !w->attention_out_norm.data && !w->ffn_out_norm.data && !w->sinks.data && !w->window && w->rope == 0;
}

/* Whether nothing but llama's own layers are asked for, which forward.c runs by itself. */
static bool goes_the_short_way(const struct model *model) {
    const struct model_config *c = &model->config;
    bool plain = !model->encoder && c->position_bias == BIAS_NONE && c->causal && c->norm == NORM_RMS && c->gated && c->activation == ACTIVATION_SILU && !c->parallel && c->experts == 0 &&
                 c->embedding_scale == 1 && c->residual_scale == 1 && c->score_cap == 0 && !c->rope[1].frequency && c->rope[0].factor == 1 &&
                 !model->positions.data && !model->embedding_norm.data;
    for (int p = 0; plain && p < c->rope_dim / 2; p++) plain = c->rope[0].frequency[p] == rope_frequency((double)c->rope_theta, c->rope_dim, p);
    for (int i = 0; plain && i < c->layers; i++) plain = is_plain(&model->layer[i]);
    return plain;
}

enum engine_status gguf_model_read(const struct gguf *const *parts, size_t count, struct model *model, char *error, size_t error_size) {
    const struct gguf *gguf = parts[0];
    struct gguf_string name;
    struct named_tensors tensors = {0};
    const struct gguf_value *value = gguf_find(gguf, "general.architecture");
    if (!value || !gguf_string(value, &name))
        return engine_fail(ENGINE_BROKEN, error, error_size, "the model file lacks the key general.architecture");
    const struct gguf_architecture *architecture = gguf_architecture_find(name.data, name.size);
    if (!architecture)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the architecture %.*s is not supported", (int)(name.size < 64 ? name.size : 64),
                           name.data);
    struct family families[2];
    gguf_architecture_families(architecture, families);
    enum engine_status status = list_tensors(parts, count, &tensors, error, error_size);
    if (status == ENGINE_OK) status = gguf_config_read(gguf, architecture, &families[0], &tensors, model, error, error_size);
    if (status == ENGINE_OK) status = read_vocabulary(gguf, architecture, &tensors, model, error, error_size);
    if (status == ENGINE_OK) status = family_weights_read(&families[0], &tensors, model, error, error_size);
    if (status == ENGINE_OK) status = check_unused(model, &tensors, error, error_size);
    free(tensors.list);
    if (status != ENGINE_OK) return status;
    model->info.architecture = architecture->name;
    model->config.general = !goes_the_short_way(model);
    return ENGINE_OK;
}
