/* libFuzzer: any bytes as a model file. What opens is described, tokenises, and names weights that lie within the bytes. */
#include <stdlib.h>
#include <string.h>

#include "engine/gguf.h"
#include "engine/gguf_model.h"
#include "engine/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

static void touch(const struct tensor *tensor) {
    const unsigned char *bytes = tensor->data;
    size_t size = tensor->rows * tensor->row_bytes;
    sink += bytes[0];
    sink += bytes[size - 1];
}

static void use_tokenizer(const struct tokenizer *tokenizer) {
    static const char text[] = "The  <|end|>start in12 \xc3\xa9\0\n\n";
    const struct tokenize_options options = {.parse_special = true, .add_special = true};
    struct token *tokens = NULL;
    size_t n = 0, bytes;
    char digest[65], error[200];
    tokenizer_digest(tokenizer, digest);
    if (tokenizer_run(tokenizer, text, sizeof text - 1, &options, &tokens, &n, error, sizeof error) != ENGINE_OK) return;
    for (size_t i = 0; i < n; i++)
        if (tokenizer_bytes(tokenizer, tokens[i].id, &bytes, NULL) == NULL || tokens[i].end > sizeof text - 1) abort();
    free(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char error[200] = "";
    struct gguf *gguf = NULL;
    struct tokenizer *tokenizer = NULL;
    struct model *model = calloc(1, sizeof *model);
    size_t count;
    if (model == NULL) return 0;
    model->references = 1;
    if (gguf_open(data, size, &gguf, error, sizeof error) != ENGINE_OK) {
        if (error[0] == '\0') abort();
        free(model);
        return 0;
    }
    const struct gguf_tensor *tensors = gguf_tensors(gguf, &count);
    for (size_t i = 0; i < count; i++) touch(&tensors[i].tensor);
    if (gguf_model_read((const struct gguf *const[]){gguf}, 1, model, error, sizeof error) == ENGINE_OK) {
        touch(&model->embedding);
        for (int layer = 0; layer < model->config.layers; layer++) touch(&model->layer[layer].down);
    }
    model_release(model);
    if (tokenizer_from_gguf(gguf, &tokenizer, error, sizeof error) == ENGINE_OK && tokenizer != NULL) use_tokenizer(tokenizer);
    tokenizer_destroy(tokenizer);
    gguf_close(gguf);
    return 0;
}
