/*
 * bpe.h: byte-pair encoding of one word (Sennrich et al. 2016): starting from single bytes or characters, the pair of neighbours
 * that ranks first becomes one token, the leftmost first among equals, until no pair ranks.
 *
 * Pairs rank by a list of merges, or (SentencePiece) by the score of the token that their bytes together spell. With a heap of
 * candidate pairs a word of n bytes takes O(n log n), whatever it holds.
 */
#ifndef HEADSCOPE_ENGINE_BPE_H
#define HEADSCOPE_ENGINE_BPE_H

#include <nettle/sha2.h>

#include "engine/vocabulary.h"

struct bpe; /* immutable: one for all threads */

/* Stands for no token. */
#define BPE_NONE UINT32_MAX

struct bpe_options {
    bool bytes;         /* words start as bytes, else as characters */
    bool whole_words;   /* a word that is a token is taken as that token, merges or not */
    bool byte_fallback; /* a character that is no token becomes the tokens of its bytes, if there are all */
    bool fuse_unknown;  /* neighbouring unknown characters become one unknown token */
    bool drop_unknown;  /* without an unknown token, what is unknown is left out; else it is an error */
    uint32_t unknown;   /* BPE_NONE: none */
};

/* Hands out the next merge, as files spell its two sides: "left" and "right". False at the end or for what is no merge. */
struct bpe_merge_source {
    bool (*next)(void *context, const char **left, size_t *left_size, const char **right, size_t *right_size);
    void *context;
    size_t count;
};

/* The vocabulary is borrowed for as long as the bpe lives. */
enum engine_status bpe_create(const struct vocabulary *vocabulary, struct bpe_options options,
                              const struct bpe_merge_source *merges, struct bpe **bpe, char *error, size_t error_size);
/* scores: [vocabulary_count], finite, copied. */
enum engine_status bpe_create_scored(const struct vocabulary *vocabulary, struct bpe_options options, const float *scores,
                                     struct bpe **bpe, char *error, size_t error_size);
void bpe_destroy(struct bpe *bpe); /* NULL is fine */
void bpe_hash(const struct bpe *bpe, struct sha256_ctx *context);

/* What one thread needs while it merges; grows to the longest word. Start with {0}, end with bpe_scratch_finish. */
struct bpe_scratch {
    struct bpe_symbol *symbols;
    size_t symbol_count, symbol_room;
    struct bpe_candidate *heap;
    size_t heap_size, heap_room;
};
void bpe_scratch_finish(struct bpe_scratch *scratch);

/* Calls token(context, id, start, end) for each token of word[0 .. size), size < 2^32, in order; BPE_NONE where there is none for
 * what is unknown. ENGINE_NO_MEMORY, or the first status of `token` that is not ENGINE_OK; writes no message. */
enum engine_status bpe_word(const struct bpe *bpe, struct bpe_scratch *scratch, const char *word, size_t size,
                            enum engine_status (*token)(void *context, uint32_t id, size_t start, size_t end), void *context);

#endif
