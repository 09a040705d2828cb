/*
 * utf8.h: UTF-8 as the Unicode standard defines it (table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef HEADSCOPE_ENGINE_UTF8_H
#define HEADSCOPE_ENGINE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes the character at text[0] takes, 1 to 4; 0 where the bytes are not a whole valid character. */
size_t utf8_character(const char *text, size_t size, uint32_t *character);

/* General category Cc: what terminals obey instead of showing. */
bool utf8_is_control(uint32_t character);

/* How many of the `size` bytes, from the first on, are valid: `size`, or the offset of the first bad byte. */
size_t utf8_valid_prefix(const char *text, size_t size);

/* Writes a character (at most U+10FFFF) and returns how many bytes it took. */
size_t utf8_encode(uint32_t character, char bytes[4]);

#endif
