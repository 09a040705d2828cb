/*
 * unigram.h: a unigram language model over tokens (Kudo 2018; SentencePiece): of all ways to cover a word with tokens, the one
 * whose log probabilities sum to the most. One pass from left to right: O(n) for a longest token.
 */
#ifndef HEADSCOPE_ENGINE_UNIGRAM_H
#define HEADSCOPE_ENGINE_UNIGRAM_H

#include <nettle/sha2.h>

#include "engine/vocabulary.h"

struct unigram; /* immutable: one for all threads */

#define UNIGRAM_NONE UINT32_MAX

struct unigram_options {
    uint32_t unknown;   /* UNIGRAM_NONE: none */
    bool byte_fallback; /* what is unknown becomes the tokens of its bytes, if there are all */
};

/* scores: [vocabulary_count], finite, copied. The vocabulary is borrowed for as long as the unigram lives. */
enum engine_status unigram_create(const struct vocabulary *vocabulary, struct unigram_options options, const double *scores,
                                  struct unigram **unigram, char *error, size_t error_size);
void unigram_destroy(struct unigram *unigram); /* NULL is fine */
void unigram_hash(const struct unigram *unigram, struct sha256_ctx *context);

/* Grows to the longest word. Start with {0}, end with unigram_scratch_finish. */
struct unigram_scratch {
    struct unigram_step *steps;
    size_t room;
};
void unigram_scratch_finish(struct unigram_scratch *scratch);

/* As bpe_word. Neighbouring unknown characters are one unknown stretch. */
enum engine_status unigram_word(const struct unigram *unigram, struct unigram_scratch *scratch, const char *word, size_t size,
                                enum engine_status (*token)(void *context, uint32_t id, size_t start, size_t end),
                                void *context);

#endif
