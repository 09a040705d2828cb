/*
 * utf8.h: where UTF-8 is sound and where not. Pure functions on bytes.
 */
#ifndef HEADSCOPE_SERVER_UTF8_H
#define HEADSCOPE_SERVER_UTF8_H

#include <stddef.h>

/* Length (1 to 4) of the well-formed character at the start of `bytes` (size >= 1), or 0: overlong forms, surrogates and
 * everything above U+10FFFF are not well-formed (Unicode, table 3-7). */
size_t utf8_length(const char *bytes, size_t size);

/* Offset of the first byte that does not belong to a well-formed character; `size` when all is sound. */
size_t utf8_check(const char *bytes, size_t size);

/* How many bytes one U+FFFD stands for at `bytes`, where utf8_length is 0: the longest beginning of a character that
 * is cut short there, else 1 (Unicode, section 3.9). */
size_t utf8_broken(const char *bytes, size_t size);

#endif
