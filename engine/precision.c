/* precision.c: what products in bfloat16 cost a model, measured: analysis_precision_error of engine.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/model.h"

/* What is run: as many tokens of this text as the model reads, and ids spread over the vocabulary where it reads no text. */
static const char sample_text[] =
    "When the old clock struck twelve, Anna closed her book and listened. \"Who is there?\" she asked, but nobody answered; only the wind, "
    "which had blown since noon, moved the 17 paper boats on her desk. When the old clock struck one, Anna opened her book again.";
enum { SAMPLE_TOKENS = 64 };

struct sample {
    int32_t ids[SAMPLE_TOKENS];
    size_t n;
};

static enum engine_status make_sample(const struct model *model, struct sample *sample, char *error, size_t error_size) {
    const struct model_info *info = model_describe(model);
    struct token *tokens = NULL;
    size_t n = 0, most = info->context < SAMPLE_TOKENS ? (size_t)info->context : SAMPLE_TOKENS;
    if (info->tokenizer[0]) {
        const struct tokenize_options options = {.add_special = true};
        enum engine_status status = model_tokenize(model, sample_text, sizeof sample_text - 1, &options, &tokens, &n, error, error_size);
        if (status != ENGINE_OK) return status;
    }
    sample->n = n > 0 && n < most ? n : most;
    for (size_t i = 0; i < sample->n; i++)
        sample->ids[i] = n > 0 ? tokens[i].id : (int32_t)((i + 1) * 2654435761u % (uint32_t)info->vocabulary);
    free(tokens);
    return ENGINE_OK;
}

static enum engine_status run_sample(struct engine *engine, const struct model *model, const struct sample *sample,
                                     enum precision precision, struct activations **activations, char *error, size_t error_size) {
    struct analysis_input input = {.model = model, .ids = sample->ids, .n = sample->n, .precision = precision};
    uint32_t *sinks = NULL;
    size_t count;
    if (model_describe(model)->encoder_layers > 0) {
        input.target_ids = sample->ids;
        input.target_n = sample->n;
    }
    enum engine_status status = analysis_run(engine, &input, NULL, NULL, &sinks, &count, activations, error, error_size);
    if (status == ENGINE_OK) free(sinks);
    return status;
}

/* Over all heads of one section. */
static enum engine_status compare_section(struct engine *engine, const struct activations *a, const struct activations *b,
                                          enum section section, float *largest, char *error, size_t error_size) {
    const struct model_info *info = model_describe(activations_model(a));
    bool encoder = section == SECTION_ENCODER && info->encoder_layers > 0;
    int layers = encoder ? info->encoder_layers : info->layers, heads = encoder ? info->encoder_heads : info->heads;
    size_t queries, keys;
    if (!activations_shape(a, section, &queries, &keys)) return ENGINE_OK;
    size_t cells = queries * keys;
    const struct rectangle all = {0, queries, 0, keys};
    float *x = malloc(2 * cells * sizeof *x), *y = x + cells;
    if (!x) return engine_fail_memory(error, error_size);
    enum engine_status status = ENGINE_OK;
    for (int i = 0; i < layers * heads && status == ENGINE_OK; i++) {
        const struct head_address at = {section, i / heads, i % heads};
        status = attention_read(engine, a, at, &all, x, error, error_size);
        if (status == ENGINE_OK) status = attention_read(engine, b, at, &all, y, error, error_size);
        for (size_t c = 0; c < cells && status == ENGINE_OK; c++)
            if (fabsf(x[c] - y[c]) > *largest) *largest = fabsf(x[c] - y[c]);
    }
    free(x);
    return status;
}

static enum engine_status measure(struct engine *engine, const struct model *model, float *largest, char *error, size_t error_size) {
    struct sample sample;
    struct activations *exact = NULL, *rounded = NULL;
    enum engine_status status = make_sample(model, &sample, error, error_size);
    *largest = 0;
    if (status == ENGINE_OK) status = run_sample(engine, model, &sample, PRECISION_FLOAT32, &exact, error, error_size);
    if (status == ENGINE_OK) status = run_sample(engine, model, &sample, PRECISION_BF16, &rounded, error, error_size);
    for (int section = 0; section < SECTIONS && status == ENGINE_OK; section++)
        status = compare_section(engine, exact, rounded, (enum section)section, largest, error, error_size);
    activations_destroy(exact);
    activations_destroy(rounded);
    return status;
}

enum engine_status analysis_precision_error(struct engine *engine, struct model *model, enum precision precision, double *largest,
                                            char *error, size_t error_size) {
    float found = precision == PRECISION_BF16 ? atomic_load(&model->bf16_error) : 0;
    if (precision == PRECISION_BF16 && found == 0) {
        enum engine_status status = measure(engine, model, &found, error, error_size);
        if (status != ENGINE_OK) return status;
        atomic_store(&model->bf16_error, found);
    }
    *largest = (double)found;
    return ENGINE_OK;
}

bool precision_available(enum precision precision) {
    return precision == PRECISION_FLOAT32 || bf16_avx512() != NULL;
}

const char *precision_name(enum precision precision) {
    return precision == PRECISION_BF16 ? "bf16" : "float32";
}
