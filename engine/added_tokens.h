/*
 * added_tokens.h: tokens that are cut out of a text whole, before it is split into words: special tokens and those that people
 * added to a vocabulary.
 */
#ifndef HEADSCOPE_ENGINE_ADDED_TOKENS_H
#define HEADSCOPE_ENGINE_ADDED_TOKENS_H

#include <nettle/sha2.h>

#include "engine/engine.h"

struct added_token {
    const char *content; /* borrowed while the set is made */
    size_t size;
    uint32_t id;
    bool special;
    bool single_word;    /* not where a word goes on before or behind it */
    bool lstrip, rstrip; /* takes the white space before, behind it too */
};

struct added_tokens; /* immutable: one for all threads */

/* Empty contents are passed over; two that are the same, or too long ones, are refused. */
enum engine_status added_tokens_create(const struct added_token *tokens, size_t count, struct added_tokens **set, char *error,
                                       size_t error_size);
void added_tokens_destroy(struct added_tokens *set); /* NULL is fine */
void added_tokens_hash(const struct added_tokens *set, struct sha256_ctx *context); /* NULL is fine */

struct added_match {
    size_t start, end;
    uint32_t id;
};

/* Which special tokens count. */
struct added_filter {
    bool special;                                                   /* false: none */
    bool (*counts)(const void *context, size_t start, size_t end);  /* one at text[start .. end)? NULL: all do */
    const void *context;
};

/* The first match in text[from .. size), and the longest of those that start there; text before `from` is looked at, not taken.
 * NULL for the set: none. */
bool added_tokens_find(const struct added_tokens *set, const char *text, size_t size, size_t from, struct added_filter filter,
                       struct added_match *match);

#endif
