#include "engine/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/table.h"
#include "engine/utf8.h"

enum flags { FLAG_THERE = 1, FLAG_SPECIAL = 2, FLAG_MADE = 4, FLAG_BYTE = 8 };
#define NO_TOKEN UINT32_MAX

/* Byte strings, one behind the other. */
struct strings {
    char *bytes;
    uint32_t *start; /* [count + 1] */
};

struct vocabulary {
    size_t count;
    struct vocabulary_style style;
    struct strings model, shown; /* shown.bytes == NULL: as model */
    uint8_t *flags;    /* [count] */
    struct table *ids; /* of tokens that a model makes, by table_hash of their bytes */
    uint32_t byte_token[256];
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

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "<0x0A>" names, or -1. */
static int named_byte(const char *spelling, size_t size) {
    if (size != 6 || memcmp(spelling, "<0x", 3) != 0 || spelling[5] != '>') return -1;
    int high = hex_digit(spelling[3]), low = hex_digit(spelling[4]);
    return high >= 0 && low >= 0 ? high * 16 + low : -1;
}

/* What people see; never longer than the spelling. */
static size_t show(const struct vocabulary_style *style, const char *bytes, size_t size, bool byte, char *shown) {
    int named = byte ? named_byte(bytes, size) : -1;
    if (named >= 0) {
        shown[0] = (char)named;
        return 1;
    }
    char mark[4];
    size_t mark_size = style->space != 0 ? utf8_encode(style->space, mark) : 0, count = 0, at = 0;
    size_t prefix = style->continuation != NULL ? strlen(style->continuation) : 0;
    if (prefix > 0 && size > prefix && memcmp(bytes, style->continuation, prefix) == 0) at = prefix;
    while (at < size) {
        if (mark_size > 0 && size - at >= mark_size && memcmp(bytes + at, mark, mark_size) == 0) {
            shown[count++] = ' ';
            at += mark_size;
        } else {
            shown[count++] = bytes[at++];
        }
    }
    return count;
}

/* ---- making ------------------------------------------------------------------------------------------------ */

static enum engine_status twice(uint32_t one, uint32_t other, char *error, size_t error_size) {
    return engine_fail(ENGINE_BROKEN, error, error_size, "the tokenizer is damaged: its tokens %u and %u are the same", one, other);
}

/* Puts one token behind those before it. `entry` NULL: an id that is left out. */
static enum engine_status add_token(struct vocabulary *v, uint32_t id, const struct vocabulary_entry *entry, char *error,
                                    size_t error_size) {
    char *bytes = v->model.bytes + v->model.start[id];
    size_t size = 0;
    if (entry != NULL) {
        bool made = !entry->whole && !entry->byte;
        size = v->style.byte_level && made ? decode_spelling(entry->spelling, entry->size, bytes) : SIZE_MAX;
        if (v->style.byte_level && size == SIZE_MAX) made = false; /* no word can become it */
        if (size == SIZE_MAX) {
            size = entry->size;
            memcpy(bytes, entry->spelling, size);
        }
        made = made && size > 0;
        v->flags[id] = (uint8_t)(FLAG_THERE | (entry->special ? FLAG_SPECIAL : 0) | (made ? FLAG_MADE : 0) |
                                 (entry->byte ? FLAG_BYTE : 0));
        int byte = entry->byte ? named_byte(bytes, size) : -1;
        if (entry->byte && byte < 0)
            return engine_fail(ENGINE_BROKEN, error, error_size,
                               "the tokenizer is damaged: its token %u is to stand for a byte, but is not spelt so", id);
        if (byte >= 0 && v->byte_token[byte] != NO_TOKEN) return twice(v->byte_token[byte], id, error, error_size);
        if (byte >= 0) v->byte_token[byte] = id;
    }
    v->model.start[id + 1] = v->model.start[id] + (uint32_t)size;
    if (v->shown.bytes != NULL) {
        size_t shown = show(&v->style, bytes, size, (v->flags[id] & FLAG_BYTE) != 0, v->shown.bytes + v->shown.start[id]);
        v->shown.start[id + 1] = v->shown.start[id] + (uint32_t)shown;
    }
    if ((v->flags[id] & FLAG_MADE) == 0) return ENGINE_OK;
    uint32_t other;
    if (vocabulary_find(v, bytes, size, &other)) return twice(other, id, error, error_size);
    table_add(v->ids, table_hash(v->ids, bytes, size), id);
    return ENGINE_OK;
}

/* Entries in the order of their ids: by_id[id] is a place in entries and one. */
static enum engine_status order(const struct vocabulary_entry *entries, size_t count, uint32_t *by_id, char *error,
                                size_t error_size) {
    for (size_t i = 0; i < count; i++) {
        if (by_id[entries[i].id] != 0)
            return engine_fail(ENGINE_BROKEN, error, error_size,
                               "the tokenizer is damaged: two of its tokens have the id %u", entries[i].id);
        by_id[entries[i].id] = (uint32_t)i + 1;
    }
    return ENGINE_OK;
}

static bool allocate(struct vocabulary *v, size_t room) {
    bool apart = v->style.space != 0 || v->style.continuation != NULL;
    v->model.bytes = malloc(room + 1);
    v->model.start = calloc(v->count + 1, sizeof *v->model.start);
    v->shown.bytes = apart ? malloc(room + 1) : NULL;
    v->shown.start = apart ? calloc(v->count + 1, sizeof *v->shown.start) : NULL;
    v->flags = calloc(v->count, sizeof *v->flags);
    v->ids = table_create(v->count);
    for (unsigned byte = 0; byte < 256; byte++) v->byte_token[byte] = NO_TOKEN;
    return v->model.bytes != NULL && v->model.start != NULL && v->flags != NULL && v->ids != NULL &&
           (!apart || (v->shown.bytes != NULL && v->shown.start != NULL));
}

static enum engine_status fill(struct vocabulary *v, const struct vocabulary_entry *entries, size_t count, size_t room,
                               char *error, size_t error_size) {
    uint32_t *by_id = calloc(v->count, sizeof *by_id);
    enum engine_status status = ENGINE_OK;
    if (by_id == NULL || !allocate(v, room)) status = engine_fail_memory(error, error_size);
    if (status == ENGINE_OK) status = order(entries, count, by_id, error, error_size);
    for (uint32_t id = 0; id < v->count && status == ENGINE_OK; id++)
        status = add_token(v, id, by_id[id] != 0 ? &entries[by_id[id] - 1] : NULL, error, error_size);
    free(by_id);
    return status;
}

enum engine_status vocabulary_create(const struct vocabulary_entry *entries, size_t count, struct vocabulary_style style,
                                     struct vocabulary **vocabulary, char *error, size_t error_size) {
    size_t ids = 0, room = 0;
    if (count == 0 || count > VOCABULARY_MAX)
        return engine_fail(ENGINE_BROKEN, error, error_size, "the tokenizer is damaged: it has %zu tokens", count);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].id >= VOCABULARY_MAX)
            return engine_fail(ENGINE_BROKEN, error, error_size,
                               "the tokenizer is damaged: a token has the id %u; at most %d are supported", entries[i].id,
                               VOCABULARY_MAX);
        if (entries[i].id >= ids) ids = (size_t)entries[i].id + 1;
        room += entries[i].size;
    }
    if (room > UINT32_MAX)
        return engine_fail(ENGINE_BROKEN, error, error_size, "the tokenizer is damaged: its tokens have %zu bytes", room);
    struct vocabulary *made = calloc(1, sizeof *made);
    if (made == NULL) return engine_fail_memory(error, error_size);
    made->count = ids;
    made->style = style;
    enum engine_status status = fill(made, entries, count, room, error, error_size);
    made->style.continuation = NULL; /* borrowed until here */
    if (status != ENGINE_OK) {
        vocabulary_destroy(made);
        return status;
    }
    *vocabulary = made;
    return ENGINE_OK;
}

void vocabulary_destroy(struct vocabulary *vocabulary) {
    if (vocabulary == NULL) return;
    free(vocabulary->model.bytes);
    free(vocabulary->model.start);
    free(vocabulary->shown.bytes);
    free(vocabulary->shown.start);
    free(vocabulary->flags);
    table_destroy(vocabulary->ids);
    free(vocabulary);
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

size_t vocabulary_count(const struct vocabulary *vocabulary) {
    return vocabulary->count;
}

static const char *string_at(const struct strings *strings, uint32_t id, size_t *size) {
    *size = strings->start[id + 1] - strings->start[id];
    return strings->bytes + strings->start[id];
}

const char *vocabulary_bytes(const struct vocabulary *vocabulary, uint32_t id, size_t *size) {
    return string_at(&vocabulary->model, id, size);
}

const char *vocabulary_shown(const struct vocabulary *vocabulary, uint32_t id, size_t *size) {
    return string_at(vocabulary->shown.bytes != NULL ? &vocabulary->shown : &vocabulary->model, id, size);
}

bool vocabulary_is_special(const struct vocabulary *vocabulary, uint32_t id) {
    return (vocabulary->flags[id] & FLAG_SPECIAL) != 0;
}

bool vocabulary_is_made(const struct vocabulary *vocabulary, uint32_t id) {
    return (vocabulary->flags[id] & FLAG_MADE) != 0;
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
    if (!vocabulary->style.byte_level) return vocabulary_find(vocabulary, spelling, size, id);
    if (size > sizeof bytes) return false;
    size_t count = decode_spelling(spelling, size, bytes);
    return count != SIZE_MAX && vocabulary_find(vocabulary, bytes, count, id);
}

bool vocabulary_find_byte(const struct vocabulary *vocabulary, unsigned char byte, uint32_t *id) {
    if (vocabulary->byte_token[byte] == NO_TOKEN) return false;
    *id = vocabulary->byte_token[byte];
    return true;
}

void vocabulary_hash(const struct vocabulary *vocabulary, struct sha256_ctx *context) {
    const uint8_t style = vocabulary->style.byte_level;
    sha256_update(context, 1, &style);
    for (uint32_t id = 0; id < vocabulary->count; id++) {
        size_t size;
        const char *bytes = vocabulary_bytes(vocabulary, id, &size);
        const uint8_t head[5] = {vocabulary->flags[id], (uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16),
                                 (uint8_t)(size >> 24)};
        sha256_update(context, sizeof head, head);
        sha256_update(context, size, (const uint8_t *)bytes);
    }
}
