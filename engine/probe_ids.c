#include "engine/probe_ids.h"

#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "probe_text.h"

uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

size_t random_below(uint64_t *state, size_t bound) {
    return (size_t)((random_next(state) >> 32) * (uint64_t)bound >> 32);
}

/* ---- drawn ids --------------------------------------------------------------------------------------------------- */

static bool may_be_drawn(const struct model *model, int32_t id) {
    size_t size = 0;
    bool special = false;
    const char *bytes = model_token_bytes(model, id, &size, &special);
    if (!model->tokenizer) return true;
    return bytes && !special && size > 1;
}

enum engine_status probe_draw(const struct model *model, uint64_t seed, size_t sequence, size_t count, int32_t *ids, char *error,
                              size_t error_size) {
    size_t vocabulary = (size_t)model->config.vocabulary, end = vocabulary * 4 / 100, n = 0;
    int32_t *pool = malloc((vocabulary + 1) * sizeof *pool);
    if (!pool) return engine_fail_memory(error, error_size);
    for (size_t id = end; id < vocabulary - end; id++)
        if (may_be_drawn(model, (int32_t)id)) pool[n++] = (int32_t)id;
    if (n < count) {
        free(pool);
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "this probe draws %zu different tokens, and the vocabulary of %zu has only %zu that are not special, single bytes or at "
                           "its ends", count, vocabulary, n);
    }
    uint64_t state = (seed << 32) + sequence;
    for (size_t i = 0; i < count; i++) {
        size_t j = i + random_below(&state, n - i);
        ids[i] = pool[j];
        pool[j] = pool[i];
    }
    free(pool);
    return ENGINE_OK;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static enum engine_status tokens_of(const struct model *model, const char *text, bool add_special, struct token **tokens, size_t *n,
                                    char *error, size_t error_size) {
    struct tokenize_options options = {.parse_special = false, .add_special = add_special};
    return model_tokenize(model, text, strlen(text), &options, tokens, n, error, error_size);
}

enum engine_status probe_wrapping(const struct model *model, struct wrapping *wrapping, char *error, size_t error_size) {
    *wrapping = (struct wrapping){0};
    if (!model->tokenizer) return ENGINE_OK;
    struct token *with = NULL, *without = NULL;
    size_t n, inner;
    enum engine_status status = tokens_of(model, "and", true, &with, &n, error, error_size);
    if (status == ENGINE_OK) status = tokens_of(model, "and", false, &without, &inner, error, error_size);
    if (status == ENGINE_OK) {
        size_t before = 0;
        while (before < n && (inner == 0 || with[before].id != without[0].id)) before++;
        size_t after = n >= before + inner ? n - before - inner : 0;
        if (before <= 4 && after <= 4 && before + inner + after == n) {
            wrapping->before_count = before;
            wrapping->after_count = after;
            for (size_t i = 0; i < before; i++) wrapping->before[i] = with[i].id;
            for (size_t i = 0; i < after; i++) wrapping->after[i] = with[n - after + i].id;
        } else {
            status = engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the tokenizer adds more to a text than probes provide for");
        }
    }
    free(with);
    free(without);
    return status;
}

enum engine_status probe_text_ids(const struct model *model, int32_t **ids, size_t *n, char *error, size_t error_size) {
    struct token *tokens = NULL;
    if (!model->tokenizer)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "this probe reads a text, and the model comes without a tokenizer");
    enum engine_status status = tokens_of(model, probe_text, false, &tokens, n, error, error_size);
    if (status != ENGINE_OK) return status;
    *ids = malloc((*n + 1) * sizeof **ids);
    if (*ids)
        for (size_t i = 0; i < *n; i++) (*ids)[i] = tokens[i].id;
    free(tokens);
    return *ids ? ENGINE_OK : engine_fail_memory(error, error_size);
}
