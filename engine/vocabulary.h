/*
 * vocabulary.h: the tokens of a byte-level tokenizer: what each stands for, as bytes, and which of them are special.
 *
 * A GGUF file spells the bytes of ordinary tokens as characters, one a byte (GPT-2's bytes_to_unicode: printable bytes as
 * themselves, the others as U+0100 and on); control and user-defined tokens are spelt plainly. Here all are plain bytes.
 */
#ifndef HEADSCOPE_ENGINE_VOCABULARY_H
#define HEADSCOPE_ENGINE_VOCABULARY_H

#include <nettle/sha2.h>

#include "engine/gguf.h"

struct vocabulary;

/* Reads tokenizer.ggml.tokens and .token_type. */
enum engine_status vocabulary_from_gguf(const struct gguf *gguf, struct vocabulary **vocabulary, char *error,
                                        size_t error_size);
void vocabulary_destroy(struct vocabulary *vocabulary); /* NULL is fine */

size_t vocabulary_count(const struct vocabulary *vocabulary);

/* id < vocabulary_count. Borrowed. */
const char *vocabulary_bytes(const struct vocabulary *vocabulary, uint32_t id, size_t *size);
bool vocabulary_is_special(const struct vocabulary *vocabulary, uint32_t id); /* a control token or the unknown one */

/* The ordinary token that stands for exactly these bytes. */
bool vocabulary_find(const struct vocabulary *vocabulary, const char *bytes, size_t size, uint32_t *id);

/* The ordinary token that is spelt so in a GGUF file; false also where the spelling stands for no bytes or is too long. */
enum { SPELLING_SIZE_MAX = 4096 };
bool vocabulary_find_spelt(const struct vocabulary *vocabulary, const char *spelling, size_t size, uint32_t *id);

/* The longest token that is cut out of texts whole and that text[0 .. size) starts with: a user-defined one, or with
 * `control` also a control token. */
bool vocabulary_match(const struct vocabulary *vocabulary, const char *text, size_t size, bool control, uint32_t *id);

/* Adds all of it to a digest. */
void vocabulary_hash(const struct vocabulary *vocabulary, struct sha256_ctx *context);

#endif
