/*
 * tokenizer_gguf.h: what the files that read tokenizers from GGUF share: tokenizer_gguf.c has the kinds, tokenizer_gguf_parts.c the
 * keys, vocabularies and steps that they are made of.
 */
#ifndef HEADSCOPE_ENGINE_TOKENIZER_GGUF_H
#define HEADSCOPE_ENGINE_TOKENIZER_GGUF_H

#include "engine/tokenizer_parts.h"

#define PREFIX "tokenizer.ggml."

/* A tokenizer being read. All functions fail with a sentence in `error`. */
struct reading {
    const struct gguf *gguf;
    struct tokenizer *tokenizer;
    struct vocabulary_entry *entries; /* [count] by id */
    uint8_t *kinds;                   /* [count] tokenizer.ggml.token_type */
    char *respelt;                    /* spellings that are not the file's own */
    size_t count;
    char *error;
    size_t error_size;
};

/* ENGINE_BROKEN for a list. */
enum engine_status reading_damaged(struct reading *r, const char *key);

/* ENGINE_UNSUPPORTED for a key that is neither known to all kinds nor one of own_keys, which end with NULL. */
enum engine_status reading_check_keys(struct reading *r, const char *const *own_keys);
enum engine_status reading_flag(struct reading *r, const char *key, bool otherwise, bool *flag);
/* The token that `key` names; BPE_NONE where the file has no such key. */
enum engine_status reading_token(struct reading *r, const char *key, uint32_t *token);
/* The token that is added to every text where `flag_key` (`otherwise` without it) says so, else BPE_NONE. */
enum engine_status reading_added_token(struct reading *r, const char *flag_key, const char *token_key, bool otherwise, uint32_t *token);

/* Entries and their kinds; then the tokenizer's vocabulary, and its tokens that are cut out of texts: control and user-defined ones. */
enum engine_status reading_tokens(struct reading *r);
enum engine_status reading_make_vocabulary(struct reading *r, struct vocabulary_style style);
enum engine_status reading_make_added(struct reading *r);
/* [count], freed with free(). */
enum engine_status reading_scores(struct reading *r, double **scores);

/* `start` A `end`; for a pair, where there are any, B `end` behind it. Encoders are trained on pairs; GGUF files of decoders know none. */
enum engine_status reading_make_template(struct reading *r, uint32_t start, uint32_t end, bool pairs);

/* Steps of the normalizer, behind those that are there. */
enum engine_status reading_add_step(struct reading *r, struct normalizer_step step);
enum engine_status reading_add_content(struct reading *r, struct normalizer_step step, const char *content);
/* Every match of a text or (`expression`) a pattern becomes `content`. */
enum engine_status reading_add_replacement(struct reading *r, const char *what, bool expression, const char *content);

#endif
