/*
 * bpe.h: byte-pair encoding of one word (Sennrich et al. 2016): starting from single bytes, the pair of neighbours that comes
 * first in the list of merges becomes one token, the leftmost first among equals, until no pair is in the list.
 *
 * With a heap of candidate pairs a word of n bytes takes O(n log n), whatever it holds.
 */
#ifndef HEADSCOPE_ENGINE_BPE_H
#define HEADSCOPE_ENGINE_BPE_H

#include <nettle/sha2.h>

#include "engine/gguf.h"
#include "engine/vocabulary.h"

struct bpe; /* immutable: one for all threads */

/* Reads tokenizer.ggml.merges. The vocabulary is borrowed for as long as the bpe lives. `whole_words`: a word that is a token is
 * taken as that token, merges or not. */
enum engine_status bpe_from_gguf(const struct gguf *gguf, const struct vocabulary *vocabulary, bool whole_words,
                                 struct bpe **bpe, char *error, size_t error_size);
void bpe_destroy(struct bpe *bpe); /* NULL is fine */
void bpe_hash(const struct bpe *bpe, struct sha256_ctx *context);

/* Stands for a byte that no token stands for. */
#define BPE_UNKNOWN UINT32_MAX

/* What one thread needs while it merges; grows to the longest word. Start with {0}, end with bpe_scratch_finish. */
struct bpe_scratch {
    struct bpe_symbol *symbols;
    size_t symbol_room;
    struct bpe_candidate *heap;
    size_t heap_size, heap_room;
};
void bpe_scratch_finish(struct bpe_scratch *scratch);

/* Calls token(context, id, start, end) for each token of word[0 .. size), size < 2^32, in order. ENGINE_NO_MEMORY, or the first
 * status of `token` that is not ENGINE_OK; writes no message. */
enum engine_status bpe_word(const struct bpe *bpe, struct bpe_scratch *scratch, const char *word, size_t size,
                            enum engine_status (*token)(void *context, uint32_t id, size_t start, size_t end), void *context);

#endif
