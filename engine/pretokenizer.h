/*
 * pretokenizer.h: splits a text into the words within which BPE may merge, by the patterns that go with the name in
 * tokenizer.ggml.pre. The words tile the text.
 *
 * A pre-tokenizer is a list of patterns: the first cuts the text into what it matches and what lies between, the next cuts each
 * of these pieces on its own, and so on.
 */
#ifndef HEADSCOPE_ENGINE_PRETOKENIZER_H
#define HEADSCOPE_ENGINE_PRETOKENIZER_H

#include <nettle/sha2.h>

#include "engine/engine.h"

struct pretokenizer; /* immutable: one for all threads */

/* ENGINE_UNSUPPORTED for a name that is not known. */
enum engine_status pretokenizer_create(const char *name, size_t name_size, struct pretokenizer **pretokenizer, char *error,
                                       size_t error_size);
void pretokenizer_destroy(struct pretokenizer *pretokenizer); /* NULL is fine */

const char *pretokenizer_name(const struct pretokenizer *pretokenizer);
/* What goes with the name besides the patterns: a word that is a token is never merged from parts; the start token is added
 * where the file does not say. */
bool pretokenizer_takes_whole_words(const struct pretokenizer *pretokenizer);
bool pretokenizer_adds_start(const struct pretokenizer *pretokenizer);
void pretokenizer_hash(const struct pretokenizer *pretokenizer, struct sha256_ctx *context);

/* What one thread needs while it splits. NULL without memory. */
struct splitter;
struct splitter *splitter_create(const struct pretokenizer *pretokenizer);
void splitter_destroy(struct splitter *splitter); /* NULL is fine */

/* Calls word(context, start, end) for each word of text[0 .. size), in order; the text is valid UTF-8. Ends with the first status
 * that is not ENGINE_OK, that of `word` or its own. */
enum engine_status splitter_run(struct splitter *splitter, const char *text, size_t size,
                                enum engine_status (*word)(void *context, size_t start, size_t end), void *context,
                                char *error, size_t error_size);

#endif
