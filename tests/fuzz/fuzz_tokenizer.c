/* libFuzzer: any bytes as a text. Valid UTF-8 becomes tokens that tile it and stand for its bytes; all else is refused. The first
 * byte picks the pre-tokenizer and the options. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/utf8.h"
#include "tests/tiny_model.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODELS = 4 };
static struct model *models[MODELS];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static const char *const pres[MODELS] = {"gpt-2", "smollm", "llama-bpe", "tekken"};
    (void)argc, (void)argv;
    for (int i = 0; i < MODELS; i++) {
        char path[] = "/tmp/fuzz_tokenizer.XXXXXX", error[200];
        struct tiny_model kind = tiny_model_default;
        kind.pre = pres[i];
        kind.add_bos = i % 2 != 0;
        close(mkstemp(path));
        if (!tiny_model_write(path, &kind) || model_open(path, &models[i], error, sizeof error) != ENGINE_OK) abort();
        unlink(path);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    const struct model *model = models[data[0] % MODELS];
    const struct tokenize_options options = {.parse_special = data[0] & 16, .add_special = data[0] & 32};
    const char *text = (const char *)data + 1;
    struct token *tokens = NULL;
    size_t n = 0, at = 0, bytes;
    char error[200];
    enum engine_status status = model_tokenize(model, text, size - 1, &options, &tokens, &n, error, sizeof error);
    if ((utf8_valid_prefix(text, size - 1) == size - 1) != (status == ENGINE_OK)) abort();
    if (status != ENGINE_OK) return 0;
    for (size_t i = 0; i < n; i++) {
        bool special;
        const char *token = model_token_bytes(model, tokens[i].id, &bytes, &special);
        if (token == NULL || special != tokens[i].special || (special && !options.parse_special && !options.add_special)) abort();
        if (tokens[i].end == 0) continue;
        if (tokens[i].start != at || tokens[i].end - at != bytes || memcmp(token, text + at, bytes) != 0) abort();
        at = tokens[i].end;
    }
    if (at != size - 1) abort();
    free(tokens);
    return 0;
}
