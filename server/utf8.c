#include "server/utf8.h"

#include <stdint.h>

/* How many bytes the first one asks for, and what the second may be. 0: no first byte. */
static size_t utf8_shape(uint8_t first, uint8_t *low, uint8_t *high) {
    *low = 0x80;
    *high = 0xBF;
    if (first < 0x80) return 1;
    if (first < 0xC2) return 0;
    if (first < 0xE0) return 2;
    if (first < 0xF0) {
        if (first == 0xE0) *low = 0xA0;
        if (first == 0xED) *high = 0x9F;
        return 3;
    }
    if (first < 0xF5) {
        if (first == 0xF0) *low = 0x90;
        if (first == 0xF4) *high = 0x8F;
        return 4;
    }
    return 0;
}

/* How many of the bytes fit the shape; equal to *length when the character is whole. */
static size_t utf8_fitting(const char *bytes, size_t size, size_t *length) {
    const uint8_t *b = (const uint8_t *)bytes;
    uint8_t low, high;
    *length = utf8_shape(b[0], &low, &high);
    if (*length == 0) return 0;
    size_t i = 1;
    for (; i < *length && i < size; i++) {
        if (b[i] < low || b[i] > high) break;
        low = 0x80;
        high = 0xBF;
    }
    return i;
}

size_t utf8_length(const char *bytes, size_t size) {
    size_t length;
    return utf8_fitting(bytes, size, &length) == length ? length : 0;
}

size_t utf8_broken(const char *bytes, size_t size) {
    size_t length, fitting = utf8_fitting(bytes, size, &length);
    return fitting ? fitting : 1;
}

size_t utf8_check(const char *bytes, size_t size) {
    size_t i = 0;
    while (i < size) {
        if ((unsigned char)bytes[i] < 0x80) { i++; continue; }
        size_t length = utf8_length(bytes + i, size - i);
        if (length == 0) return i;
        i += length;
    }
    return size;
}
