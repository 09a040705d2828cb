#include "engine/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/table.h"
#include "engine/utf8.h"

/* tokenizer.ggml.token_type */
enum kind { KIND_NORMAL = 1, KIND_UNKNOWN, KIND_CONTROL, KIND_USER_DEFINED, KIND_UNUSED, KIND_BYTE };

/* vocabulary_match looks at no more bytes than the longest whole token has, at every place of a text: real ones have a few
 * dozen. */
enum { WHOLE_SIZE_MAX = 1024, VOCABULARY_MAX = 1 << 22 };

struct vocabulary {
    size_t count;
    char *bytes;       /* of all tokens, one behind the other */
    uint32_t *start;   /* [count + 1] into bytes */
    uint8_t *kind;     /* [count] */
    uint32_t *whole;   /* ids of user-defined and control tokens, in the order of their bytes */
    size_t whole_count;
    bool starts_whole[256]; /* whether a whole token starts with this byte */
    struct table *ids; /* of ordinary tokens, by table_hash of their bytes */
};

/* ---- spelling ---------------------------------------------------------------------------------------------- */

static bool is_printable(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

/* The byte that a character spells, or -1. The 68 bytes that are not printable are numbered in order: 0 to 0x20, 0x7f to 0xa0,
 * 0xad. */
static int spelt_byte(uint32_t character) {
    if (character < 0x100) return is_printable(character) ? (int)character : -1;
    uint32_t n = character - 0x100;
    if (n <= 0x20) return (int)n;
    if (n <= 0x42) return (int)(0x7f + (n - 0x21));
    return n == 0x43 ? 0xad : -1;
}

/* Writes the bytes that `spelling` stands for to `bytes` (room for `size`); returns their number, or SIZE_MAX where a
 * character spells none. */
static size_t decode_spelling(const char *spelling, size_t size, char *bytes) {
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        uint32_t character;
        size_t length = utf8_character(spelling + at, size - at, &character);
        int byte = length > 0 ? spelt_byte(character) : -1;
        if (byte < 0) return SIZE_MAX;
        bytes[count++] = (char)byte;
        at += length;
    }
    return count;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

static enum engine_status damaged(const char *key, char *error, size_t error_size) {
    return engine_fail(ENGINE_BROKEN, error, error_size,
                       "the model file is damaged: %s is missing, empty or no list of the "
                       "right kind and length", key);
}

static enum engine_status read_kinds(const struct gguf *gguf, struct vocabulary *vocabulary, char *error, size_t error_size) {
    const char *key = "tokenizer.ggml.token_type";
    const struct gguf_value *kinds = gguf_find(gguf, key);
    memset(vocabulary->kind, KIND_NORMAL, vocabulary->count);
    if (kinds == NULL) return ENGINE_OK;
    if (!kinds->array || kinds->count != vocabulary->count) return damaged(key, error, error_size);
    struct gguf_cursor cursor = gguf_elements(kinds);
    for (size_t i = 0; i < vocabulary->count; i++) {
        int64_t kind;
        if (!gguf_next_integer(&cursor, &kind) || kind < KIND_NORMAL || kind > KIND_BYTE)
            return damaged(key, error, error_size);
        vocabulary->kind[i] = (uint8_t)kind;
    }
    return ENGINE_OK;
}

static bool is_whole(const struct vocabulary *vocabulary, size_t id) {
    return vocabulary->kind[id] == KIND_CONTROL || vocabulary->kind[id] == KIND_USER_DEFINED;
}

/* Puts one token behind those before it. */
static enum engine_status add_token(struct vocabulary *vocabulary, uint32_t id, struct gguf_string spelling, char *error,
                                    size_t error_size) {
    char *bytes = vocabulary->bytes + vocabulary->start[id];
    bool plain = is_whole(vocabulary, id) || vocabulary->kind[id] == KIND_UNKNOWN;
    size_t size = plain ? SIZE_MAX : decode_spelling(spelling.data, spelling.size, bytes);
    bool ordinary = size != SIZE_MAX;
    if (!ordinary) { /* spelt plainly; a token that no word can become */
        size = spelling.size;
        memcpy(bytes, spelling.data, size);
    }
    vocabulary->start[id + 1] = vocabulary->start[id] + (uint32_t)size;
    if (is_whole(vocabulary, id) && size > WHOLE_SIZE_MAX)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "the special token %u has %zu bytes; at most %d are supported",
                           id, size, WHOLE_SIZE_MAX);
    if (is_whole(vocabulary, id) && size > 0) vocabulary->whole[vocabulary->whole_count++] = id;
    if (!ordinary) return ENGINE_OK;
    uint32_t other;
    if (vocabulary_find(vocabulary, bytes, size, &other))
        return engine_fail(ENGINE_BROKEN, error, error_size,
                           "the model file is damaged: its tokens %u and %u are the same",
                           other, id);
    table_add(vocabulary->ids, table_hash(vocabulary->ids, bytes, size), id);
    return ENGINE_OK;
}

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_whole(const void *a, const void *b, void *context) {
    size_t a_size, b_size;
    const char *a_bytes = vocabulary_bytes(context, *(const uint32_t *)a, &a_size);
    const char *b_bytes = vocabulary_bytes(context, *(const uint32_t *)b, &b_size);
    return compare_bytes(a_bytes, a_size, b_bytes, b_size);
}

static enum engine_status sort_whole(struct vocabulary *vocabulary, char *error, size_t error_size) {
    qsort_r(vocabulary->whole, vocabulary->whole_count, sizeof *vocabulary->whole, compare_whole, vocabulary);
    for (size_t i = 0; i < vocabulary->whole_count; i++) {
        size_t size;
        vocabulary->starts_whole[(unsigned char)*vocabulary_bytes(vocabulary, vocabulary->whole[i], &size)] = true;
        if (i > 0 && compare_whole(&vocabulary->whole[i - 1], &vocabulary->whole[i], vocabulary) == 0)
            return engine_fail(ENGINE_BROKEN, error, error_size,
                               "the model file is damaged: its tokens %u and %u are the same",
                               vocabulary->whole[i - 1], vocabulary->whole[i]);
    }
    return ENGINE_OK;
}

/* What all spellings take together; the bytes that they stand for are no more. */
static bool measure(const struct gguf_value *tokens, size_t *total) {
    struct gguf_string spelling;
    struct gguf_cursor cursor = gguf_elements(tokens);
    *total = 0;
    while (gguf_next_string(&cursor, &spelling)) *total += spelling.size; /* cannot wrap: all lie in one file */
    return cursor.left == 0 && *total <= UINT32_MAX;
}

static enum engine_status read_tokens(const struct gguf_value *tokens, size_t room, struct vocabulary *vocabulary,
                                      char *error, size_t error_size) {
    struct gguf_cursor cursor = gguf_elements(tokens);
    enum engine_status status = ENGINE_OK;
    for (uint32_t id = 0; id < vocabulary->count && status == ENGINE_OK; id++) {
        struct gguf_string spelling;
        if (!gguf_next_string(&cursor, &spelling) || spelling.size > room - vocabulary->start[id])
            return damaged("tokenizer.ggml.tokens", error, error_size); /* changed since it was measured */
        status = add_token(vocabulary, id, spelling, error, error_size);
    }
    return status == ENGINE_OK ? sort_whole(vocabulary, error, error_size) : status;
}

enum engine_status vocabulary_from_gguf(const struct gguf *gguf, struct vocabulary **vocabulary, char *error,
                                        size_t error_size) {
    const char *key = "tokenizer.ggml.tokens";
    const struct gguf_value *tokens = gguf_find(gguf, key);
    size_t room;
    if (tokens == NULL || !tokens->array || tokens->type != GGUF_STRING || tokens->count == 0 ||
        tokens->count > VOCABULARY_MAX || !measure(tokens, &room))
        return damaged(key, error, error_size);
    struct vocabulary *made = calloc(1, sizeof *made);
    if (made == NULL) return engine_fail_memory(error, error_size);
    made->count = tokens->count;
    made->bytes = malloc(room + 1);
    made->start = calloc(made->count + 1, sizeof *made->start);
    made->kind = malloc(made->count);
    made->whole = malloc(made->count * sizeof *made->whole);
    made->ids = table_create(made->count);
    bool enough = made->bytes != NULL && made->start != NULL && made->kind != NULL && made->whole != NULL && made->ids != NULL;
    enum engine_status status = enough ? read_kinds(gguf, made, error, error_size) : engine_fail_memory(error, error_size);
    if (status == ENGINE_OK) status = read_tokens(tokens, room, made, error, error_size);
    if (status != ENGINE_OK) {
        vocabulary_destroy(made);
        return status;
    }
    *vocabulary = made;
    return ENGINE_OK;
}

void vocabulary_destroy(struct vocabulary *vocabulary) {
    if (vocabulary == NULL) return;
    free(vocabulary->bytes);
    free(vocabulary->start);
    free(vocabulary->kind);
    free(vocabulary->whole);
    table_destroy(vocabulary->ids);
    free(vocabulary);
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

size_t vocabulary_count(const struct vocabulary *vocabulary) {
    return vocabulary->count;
}

const char *vocabulary_bytes(const struct vocabulary *vocabulary, uint32_t id, size_t *size) {
    *size = vocabulary->start[id + 1] - vocabulary->start[id];
    return vocabulary->bytes + vocabulary->start[id];
}

bool vocabulary_is_special(const struct vocabulary *vocabulary, uint32_t id) {
    return vocabulary->kind[id] == KIND_CONTROL || vocabulary->kind[id] == KIND_UNKNOWN;
}

bool vocabulary_find(const struct vocabulary *vocabulary, const char *bytes, size_t size, uint32_t *id) {
    uint64_t key = table_hash(vocabulary->ids, bytes, size);
    uint32_t candidate;
    for (size_t probe = 0; table_next(vocabulary->ids, key, &probe, &candidate);) {
        size_t candidate_size;
        const char *candidate_bytes = vocabulary_bytes(vocabulary, candidate, &candidate_size);
        if (candidate_size != size || memcmp(candidate_bytes, bytes, size) != 0) continue;
        *id = candidate;
        return true;
    }
    return false;
}

bool vocabulary_find_spelt(const struct vocabulary *vocabulary, const char *spelling, size_t size, uint32_t *id) {
    char bytes[SPELLING_SIZE_MAX];
    if (size > sizeof bytes) return false;
    size_t count = decode_spelling(spelling, size, bytes);
    return count != SIZE_MAX && vocabulary_find(vocabulary, bytes, count, id);
}

/* Among whole[low .. high), all of which agree with the text in their first `depth` bytes: the first whose next byte is at
 * least `byte`. */
static size_t lower_bound(const struct vocabulary *vocabulary, size_t low, size_t high, size_t depth, unsigned byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2, size;
        const char *bytes = vocabulary_bytes(vocabulary, vocabulary->whole[middle], &size);
        if (size <= depth || (unsigned char)bytes[depth] < byte) low = middle + 1;
        else high = middle;
    }
    return low;
}

bool vocabulary_match(const struct vocabulary *vocabulary, const char *text, size_t size, bool control, uint32_t *id) {
    if (size == 0 || !vocabulary->starts_whole[(unsigned char)text[0]]) return false;
    size_t low = 0, high = vocabulary->whole_count;
    bool found = false;
    for (size_t depth = 0; depth < size; depth++) {
        unsigned byte = (unsigned char)text[depth];
        low = lower_bound(vocabulary, low, high, depth, byte);
        high = lower_bound(vocabulary, low, high, depth, byte + 1);
        if (low == high) break;
        size_t first_size;
        vocabulary_bytes(vocabulary, vocabulary->whole[low], &first_size);
        if (first_size != depth + 1 || (!control && vocabulary->kind[vocabulary->whole[low]] == KIND_CONTROL)) continue;
        *id = vocabulary->whole[low];
        found = true;
    }
    return found;
}

void vocabulary_hash(const struct vocabulary *vocabulary, struct sha256_ctx *context) {
    for (uint32_t id = 0; id < vocabulary->count; id++) {
        size_t size;
        const char *bytes = vocabulary_bytes(vocabulary, id, &size);
        const uint8_t head[5] = {vocabulary->kind[id], (uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16),
                                 (uint8_t)(size >> 24)};
        sha256_update(context, sizeof head, head);
        sha256_update(context, size, (const uint8_t *)bytes);
    }
}
