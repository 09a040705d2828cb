#include "engine/chat_gguf.h"

#include <string.h>

#include "engine/failure.h"

/* The spelling of the token that `key` names; NULL where it names none. False without memory. */
static bool read_spelling(const struct gguf *gguf, const struct tokenizer *tokenizer, const char *key, char **spelling) {
    const struct gguf_value *value = gguf_find(gguf, key);
    uint64_t id;
    size_t size;
    if (value == NULL || !gguf_unsigned(value, &id) || id > INT32_MAX) return true;
    const char *bytes = tokenizer_bytes(tokenizer, (int32_t)id, &size, NULL);
    if (bytes == NULL || memchr(bytes, '\0', size) != NULL) return true;
    *spelling = strndup(bytes, size);
    return *spelling != NULL;
}

enum engine_status chat_from_gguf(const struct gguf *gguf, const struct tokenizer *tokenizer, struct chat *chat, char *error,
                                  size_t error_size) {
    const struct gguf_value *value = gguf_find(gguf, "tokenizer.chat_template");
    struct gguf_string text;
    if (value == NULL || !gguf_string(value, &text)) return ENGINE_OK;
    bool fine = chat_set_template(chat, text.data, text.size) &&
                read_spelling(gguf, tokenizer, "tokenizer.ggml.bos_token_id", &chat->bos) &&
                read_spelling(gguf, tokenizer, "tokenizer.ggml.eos_token_id", &chat->eos);
    return fine ? ENGINE_OK : engine_fail_memory(error, error_size);
}
