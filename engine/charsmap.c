#include "engine/charsmap.h"

#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/unicode.h"
#include "engine/utf8.h"

struct charsmap {
    size_t unit_count, text_size;
    uint32_t *units;
    char *text; /* ends with a NUL */
};

static uint32_t read_u32(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

enum engine_status charsmap_create(const void *bytes, size_t size, struct charsmap **map, char *error, size_t error_size) {
    const unsigned char *at = bytes;
    size_t trie = size >= 4 ? read_u32(at) : 0;
    if (size < 4 || trie == 0 || trie % 4 != 0 || trie > size - 4 || size - 4 == trie || at[size - 1] != '\0' ||
        utf8_valid_prefix((const char *)at + 4 + trie, size - 4 - trie) != size - 4 - trie)
        return engine_fail(ENGINE_BROKEN, error, error_size, "the tokenizer is damaged: its precompiled normalisation is no table");
    struct charsmap *made = calloc(1, sizeof *made);
    if (made == NULL) return engine_fail_memory(error, error_size);
    made->unit_count = trie / 4;
    made->text_size = size - 4 - trie;
    made->units = malloc(trie);
    made->text = malloc(made->text_size);
    if (made->units == NULL || made->text == NULL) {
        charsmap_destroy(made);
        return engine_fail_memory(error, error_size);
    }
    for (size_t i = 0; i < made->unit_count; i++) made->units[i] = read_u32(at + 4 + 4 * i);
    memcpy(made->text, at + 4 + trie, made->text_size);
    *map = made;
    return ENGINE_OK;
}

void charsmap_destroy(struct charsmap *map) {
    if (map == NULL) return;
    free(map->units);
    free(map->text);
    free(map);
}

static uint32_t unit_offset(uint32_t unit) {
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

/* The replacement that belongs to the shortest string of the table that text[0 .. size) starts with; NULL where there is none. */
static const char *find(const struct charsmap *map, const char *text, size_t size) {
    uint32_t place = unit_offset(map->units[0]);
    for (size_t i = 0; i < size && text[i] != '\0'; i++) {
        unsigned char byte = (unsigned char)text[i];
        place ^= byte;
        if (place >= map->unit_count) return NULL;
        uint32_t unit = map->units[place];
        if ((unit & (1u << 31 | 0xff)) != byte) return NULL;
        place ^= unit_offset(unit);
        if (place >= map->unit_count) return NULL;
        if ((unit >> 8 & 1) == 0) continue;
        uint32_t value = map->units[place] & ~(1u << 31);
        if (value >= map->text_size || ((unsigned char)map->text[value] & 0xc0) == 0x80) return NULL;
        return map->text + value;
    }
    return NULL;
}

void charsmap_apply(const struct charsmap *map, struct stretch in, struct rewriting *out) {
    enum { CLUSTER_MAX = 5 };
    for (size_t at = 0; at < in.size && !out->failed;) {
        size_t end = at + unicode_grapheme(in.bytes + at, in.size - at);
        const char *whole = end - at <= CLUSTER_MAX ? find(map, in.bytes + at, end - at) : NULL;
        if (whole != NULL) {
            rewriting_put(out, whole, strlen(whole), stretch_origin(in, at, end));
            at = end;
        }
        while (at < end) {
            uint32_t character;
            size_t length = utf8_character(in.bytes + at, end - at, &character);
            if (length == 0) return; /* cannot be: stretches are valid */
            const char *one = find(map, in.bytes + at, length);
            if (one != NULL) rewriting_put(out, one, strlen(one), stretch_origin(in, at, at + length));
            else rewriting_keep(out, in, at, at + length);
            at += length;
        }
    }
}
