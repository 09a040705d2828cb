/*
 * probe_ids.h: the token ids that probes run on: drawn by a seeded generator, or cut out of the text that ships with the program
 * (probe_text.txt: the first five chapters of Lewis Carroll's "Alice's Adventures in Wonderland", 1865, in the public domain).
 */
#ifndef HEADSCOPE_ENGINE_PROBE_IDS_H
#define HEADSCOPE_ENGINE_PROBE_IDS_H

#include "engine/model.h"
#include "engine/probes.h"

enum { REPEAT_IDS = 50, RANDOM_IDS = 100, SAME_IDS = 64, WINDOW_IDS = 256, WINDOWS = 32, SEQUENCES = 10 };

/* SplitMix64 (Steele, Lea & Flood 2014): the next 64 bits of a sequence that starts with its seed. */
uint64_t random_next(uint64_t *state);
/* floor(upper 32 bits * bound / 2^32): below `bound`, at most 2^32. */
size_t random_below(uint64_t *state, size_t bound);

/* What the tokenizer puts around a text by itself; none without a tokenizer. */
struct wrapping {
    int32_t before[4], after[4];
    size_t before_count, after_count;
};
enum engine_status probe_wrapping(const struct model *model, struct wrapping *wrapping, char *error, size_t error_size);

/* `count` different ids: those that are neither special nor a single byte, nor among the first or last 4 % of the vocabulary; from
 * a Fisher-Yates shuffle broken off. Number `sequence` of a seed begins with state = seed * 2^32 + sequence. ENGINE_UNSUPPORTED
 * where there are fewer. */
enum engine_status probe_draw(const struct model *model, uint64_t seed, size_t sequence, size_t count, int32_t *ids, char *error,
                              size_t error_size);

/* All ids of the text, without what the tokenizer adds. *ids: malloc'ed. ENGINE_UNSUPPORTED without a tokenizer. */
enum engine_status probe_text_ids(const struct model *model, int32_t **ids, size_t *n, char *error, size_t error_size);

#endif
