/* libFuzzer: a tokenizer.json, a NUL, and a text (without one, a text that is built in). What opens tokenises: ids are tokens, and byte
 * ranges lie within the text and ascend. */
#include <stdlib.h>
#include <string.h>

#include "engine/tokenizer_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_text(const struct tokenizer *tokenizer, const char *text, size_t size, bool parse_special) {
    const struct tokenize_options options = {.parse_special = parse_special, .add_special = true};
    struct token *tokens = NULL;
    size_t n = 0, bytes;
    char error[200] = "";
    if (tokenizer_run(tokenizer, text, size, &options, &tokens, &n, error, sizeof error) != ENGINE_OK) {
        if (error[0] == '\0') abort();
        return;
    }
    uint32_t start = 0;
    for (size_t i = 0; i < n; i++) {
        if (tokens[i].start > tokens[i].end || tokens[i].end > size) abort();
        if (tokens[i].end == 0) continue;
        if (tokens[i].start < start) abort();
        start = tokens[i].start;
        tokenizer_bytes(tokenizer, tokens[i].id, &bytes, NULL);
    }
    free(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char built_in[] = "The  <s>start[MASK] in12 \xc3\xa9\xe4\xb8\xad A\xcc\x81 ab abc\0\n\n\xf0\x9f\x98\x80";
    const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
    size_t length = end ? (size_t)(end - data) : size;
    struct tokenizer *tokenizer = NULL;
    char error[200] = "", digest[65];
    enum engine_status status = tokenizer_open_json((const char *)data, length, &tokenizer, error, sizeof error);
    if (status != ENGINE_OK) {
        if (error[0] == '\0' || tokenizer != NULL) abort();
        return 0;
    }
    tokenizer_digest(tokenizer, digest);
    for (int special = 0; special < 2; special++) {
        if (end) try_text(tokenizer, (const char *)end + 1, size - length - 1, special);
        else try_text(tokenizer, built_in, sizeof built_in - 1, special);
    }
    tokenizer_destroy(tokenizer);
    return 0;
}
