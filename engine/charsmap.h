/*
 * charsmap.h: SentencePiece's precompiled table of normalisations: a trie from strings to their replacements.
 *
 * Format: the trie's size in bytes as 32 bits, the units of a double array (darts-clone), then NUL-terminated replacements that
 * the trie's values point into. Hostile: every step is checked.
 */
#ifndef HEADSCOPE_ENGINE_CHARSMAP_H
#define HEADSCOPE_ENGINE_CHARSMAP_H

#include "engine/engine.h"
#include "engine/stretch.h"

struct charsmap;

/* Copies the bytes. */
enum engine_status charsmap_create(const void *bytes, size_t size, struct charsmap **map, char *error, size_t error_size);
void charsmap_destroy(struct charsmap *map); /* NULL is fine */

/* Appends the stretch with all replacements made: of a whole grapheme cluster of up to five bytes, else of single characters. */
void charsmap_apply(const struct charsmap *map, struct stretch in, struct rewriting *out);

#endif
