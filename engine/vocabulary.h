/*
 * vocabulary.h: the tokens of a tokenizer: how a model finds each, what each stands for, which are special.
 *
 * Tokens are kept as the bytes that a model looks for in a (normalised) text. Byte-level vocabularies are spelt with one
 * character a byte in files (GPT-2's bytes_to_unicode: printable bytes as themselves, the others as U+0100 and on); here they are
 * plain bytes.
 */
#ifndef HEADSCOPE_ENGINE_VOCABULARY_H
#define HEADSCOPE_ENGINE_VOCABULARY_H

#include <nettle/sha2.h>

#include "engine/engine.h"

struct vocabulary;

/* One token as a file has it. */
struct vocabulary_entry {
    const char *spelling; /* borrowed while the vocabulary is made */
    uint32_t size, id;
    bool special;
    bool whole; /* spelt plainly whatever the style, and no token that a model makes */
    bool byte;  /* stands for the one byte that "<0x0A>" names; a model falls back on it */
};

struct vocabulary_style {
    bool byte_level;
    uint32_t space;           /* a character that stands for a space in texts shown, U+2581; 0: none */
    const char *continuation; /* what starts a token within a word, "##"; NULL: nothing */
};

enum { VOCABULARY_MAX = 1 << 22 };

/* Ids need not be in order, but each at most once; ids that are left out name tokens of no bytes that no model makes. */
enum engine_status vocabulary_create(const struct vocabulary_entry *entries, size_t count, struct vocabulary_style style,
                                     struct vocabulary **vocabulary, char *error, size_t error_size);
void vocabulary_destroy(struct vocabulary *vocabulary); /* NULL is fine */

size_t vocabulary_count(const struct vocabulary *vocabulary); /* the largest id and one */

/* id < vocabulary_count. Borrowed. What a model looks for, and what people see. */
const char *vocabulary_bytes(const struct vocabulary *vocabulary, uint32_t id, size_t *size);
const char *vocabulary_shown(const struct vocabulary *vocabulary, uint32_t id, size_t *size);
bool vocabulary_is_special(const struct vocabulary *vocabulary, uint32_t id);
bool vocabulary_is_made(const struct vocabulary *vocabulary, uint32_t id); /* by a model */

/* The token that a model makes of exactly these bytes. */
bool vocabulary_find(const struct vocabulary *vocabulary, const char *bytes, size_t size, uint32_t *id);

/* The same for a token as a file spells it; false also where the spelling stands for no bytes or is too long. */
enum { SPELLING_SIZE_MAX = 4096 };
bool vocabulary_find_spelt(const struct vocabulary *vocabulary, const char *spelling, size_t size, uint32_t *id);

/* The token to fall back on for a byte. */
bool vocabulary_find_byte(const struct vocabulary *vocabulary, unsigned char byte, uint32_t *id);

/* Adds all of it to a digest. */
void vocabulary_hash(const struct vocabulary *vocabulary, struct sha256_ctx *context);

#endif
