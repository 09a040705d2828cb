#include "engine/wordpiece.h"

#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/trie.h"

struct wordpiece {
    struct trie *tokens;
    uint32_t within; /* the trie's node from which tokens that do not start a word go on, or TRIE_NONE */
    size_t characters_max;
    uint32_t unknown;
    uint8_t prefix_digest[SHA256_DIGEST_SIZE];
};

/* Every token that a model makes, as entries of a trie. */
static struct trie *create_trie(const struct vocabulary *vocabulary) {
    size_t count = 0;
    struct trie_entry *entries = malloc(vocabulary_count(vocabulary) * sizeof *entries);
    if (entries == NULL) return NULL;
    for (uint32_t id = 0; id < vocabulary_count(vocabulary); id++) {
        size_t size;
        const char *bytes = vocabulary_bytes(vocabulary, id, &size);
        if (vocabulary_is_made(vocabulary, id)) entries[count++] = (struct trie_entry){bytes, (uint32_t)size, id};
    }
    struct trie *trie = trie_create(entries, count);
    free(entries);
    return trie;
}

enum engine_status wordpiece_create(const struct vocabulary *vocabulary, struct wordpiece_options options,
                                    struct wordpiece **wordpiece, char *error, size_t error_size) {
    struct wordpiece *made = calloc(1, sizeof *made);
    if (made == NULL) return engine_fail_memory(error, error_size);
    made->characters_max = options.characters_max;
    made->unknown = options.unknown;
    made->tokens = create_trie(vocabulary);
    if (made->tokens == NULL) {
        wordpiece_destroy(made);
        return engine_fail_memory(error, error_size);
    }
    made->within = TRIE_ROOT;
    for (const char *at = options.continuation; *at != '\0' && made->within != TRIE_NONE; at++)
        made->within = trie_step(made->tokens, made->within, (unsigned char)*at);
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, strlen(options.continuation), (const uint8_t *)options.continuation);
    sha256_digest(&context, sizeof made->prefix_digest, made->prefix_digest);
    *wordpiece = made;
    return ENGINE_OK;
}

void wordpiece_destroy(struct wordpiece *wordpiece) {
    if (wordpiece == NULL) return;
    trie_destroy(wordpiece->tokens);
    free(wordpiece);
}

void wordpiece_hash(const struct wordpiece *wordpiece, struct sha256_ctx *context) {
    uint8_t numbers[12];
    for (unsigned i = 0; i < 8; i++) numbers[i] = (uint8_t)((uint64_t)wordpiece->characters_max >> 8 * i);
    for (unsigned i = 0; i < 4; i++) numbers[8 + i] = (uint8_t)(wordpiece->unknown >> 8 * i);
    sha256_update(context, sizeof numbers, numbers);
    sha256_update(context, sizeof wordpiece->prefix_digest, wordpiece->prefix_digest);
}

/* The longest token at word[at ..); its end, or `at` where there is none. */
static size_t longest(const struct wordpiece *wordpiece, const char *word, size_t size, size_t at, uint32_t *id) {
    uint32_t node = at == 0 ? TRIE_ROOT : wordpiece->within;
    size_t end = at;
    for (size_t i = at; i < size && node != TRIE_NONE; i++) {
        node = trie_step(wordpiece->tokens, node, (unsigned char)word[i]);
        uint32_t value = node != TRIE_NONE ? trie_value(wordpiece->tokens, node) : TRIE_NONE;
        if (value == TRIE_NONE) continue;
        *id = value;
        end = i + 1;
    }
    return end;
}

static bool is_too_long(const struct wordpiece *wordpiece, const char *word, size_t size) {
    size_t characters = 0;
    for (size_t i = 0; i < size; i++) characters += ((unsigned char)word[i] & 0xc0) != 0x80;
    return characters > wordpiece->characters_max;
}

enum engine_status wordpiece_word(const struct wordpiece *wordpiece, const char *word, size_t size,
                                  enum engine_status (*token)(void *context, uint32_t id, size_t start, size_t end),
                                  void *context) {
    uint32_t id = 0;
    size_t at = 0;
    if (size == 0) return ENGINE_OK;
    if (!is_too_long(wordpiece, word, size)) /* once to see whether it can be covered */
        for (size_t end; at < size && (end = longest(wordpiece, word, size, at, &id)) > at;) at = end;
    if (at < size) return token(context, wordpiece->unknown, 0, size);
    enum engine_status status = ENGINE_OK;
    for (at = 0; at < size && status == ENGINE_OK;) {
        size_t end = longest(wordpiece, word, size, at, &id);
        status = token(context, id, at, end);
        at = end;
    }
    return status;
}
