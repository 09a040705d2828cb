/*
 * wordpiece.h: WordPiece (Wu et al. 2016; BERT): from left to right the longest token that a word goes on with; tokens that do not
 * start it are spelt with a prefix, "##". A word that cannot be covered so, or has too many characters, is unknown as a whole.
 */
#ifndef HEADSCOPE_ENGINE_WORDPIECE_H
#define HEADSCOPE_ENGINE_WORDPIECE_H

#include <nettle/sha2.h>

#include "engine/vocabulary.h"

struct wordpiece; /* immutable: one for all threads */

struct wordpiece_options {
    const char *continuation; /* "##" */
    size_t characters_max;    /* of a word that is looked at */
    uint32_t unknown;
};

/* The vocabulary is borrowed for as long as the wordpiece lives. */
enum engine_status wordpiece_create(const struct vocabulary *vocabulary, struct wordpiece_options options,
                                    struct wordpiece **wordpiece, char *error, size_t error_size);
void wordpiece_destroy(struct wordpiece *wordpiece); /* NULL is fine */
void wordpiece_hash(const struct wordpiece *wordpiece, struct sha256_ctx *context);

/* As bpe_word; needs no memory. */
enum engine_status wordpiece_word(const struct wordpiece *wordpiece, const char *word, size_t size,
                                  enum engine_status (*token)(void *context, uint32_t id, size_t start, size_t end),
                                  void *context);

#endif
