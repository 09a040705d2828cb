#include "engine/utf8.h"

#include <string.h>

static bool continues(unsigned char byte) {
    return (byte & 0xc0) == 0x80;
}

size_t utf8_character(const char *text, size_t size, uint32_t *character) {
    const unsigned char *b = (const unsigned char *)text;
    if (size == 0) return 0;
    if (b[0] < 0x80) {
        *character = b[0];
        return 1;
    }
    if (b[0] >= 0xc2 && b[0] <= 0xdf) {
        if (size < 2 || !continues(b[1])) return 0;
        *character = (uint32_t)(b[0] & 0x1f) << 6 | (uint32_t)(b[1] & 0x3f);
        return 2;
    }
    if (b[0] >= 0xe0 && b[0] <= 0xef) {
        if (size < 3 || !continues(b[1]) || !continues(b[2])) return 0;
        uint32_t c = (uint32_t)(b[0] & 0x0f) << 12 | (uint32_t)(b[1] & 0x3f) << 6 | (uint32_t)(b[2] & 0x3f);
        if (c < 0x800 || (c >= 0xd800 && c <= 0xdfff)) return 0;
        *character = c;
        return 3;
    }
    if (b[0] >= 0xf0 && b[0] <= 0xf4) {
        if (size < 4 || !continues(b[1]) || !continues(b[2]) || !continues(b[3])) return 0;
        uint32_t c = (uint32_t)(b[0] & 0x07) << 18 | (uint32_t)(b[1] & 0x3f) << 12 | (uint32_t)(b[2] & 0x3f) << 6 |
                     (uint32_t)(b[3] & 0x3f);
        if (c < 0x10000 || c > 0x10ffff) return 0;
        *character = c;
        return 4;
    }
    return 0;
}

bool utf8_is_control(uint32_t character) {
    return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

size_t utf8_valid_prefix(const char *text, size_t size) {
    size_t at = 0;
    while (at < size) {
        uint64_t word;
        if (size - at >= sizeof word) { /* eight ASCII bytes at a time */
            memcpy(&word, text + at, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof word;
                continue;
            }
        }
        uint32_t character;
        size_t length = utf8_character(text + at, size - at, &character);
        if (length == 0) break;
        at += length;
    }
    return at;
}

size_t utf8_encode(uint32_t character, char bytes[4]) {
    if (character < 0x80) {
        bytes[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        bytes[0] = (char)(0xc0 | character >> 6);
        bytes[1] = (char)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000) {
        bytes[0] = (char)(0xe0 | character >> 12);
        bytes[1] = (char)(0x80 | (character >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (character & 0x3f));
        return 3;
    }
    bytes[0] = (char)(0xf0 | character >> 18);
    bytes[1] = (char)(0x80 | (character >> 12 & 0x3f));
    bytes[2] = (char)(0x80 | (character >> 6 & 0x3f));
    bytes[3] = (char)(0x80 | (character & 0x3f));
    return 4;
}
