/*
 * tokenizer.h: text to tokens and back, as a model file describes it. Immutable once made; any number of threads may use one.
 *
 * A text goes through a pipeline, the same for every model (tokenizer_parts.h): tokens that stand for themselves are cut out of it
 * (added_tokens.h); what is left is normalised (normalizer.h), split into words (pretokenizer.h), and each word becomes tokens by
 * the model (bpe.h, wordpiece.h, unigram.h); a template adds the tokenizer's own tokens around the text or the pair of texts.
 */
#ifndef HEADSCOPE_ENGINE_TOKENIZER_H
#define HEADSCOPE_ENGINE_TOKENIZER_H

#include "engine/gguf.h"

struct tokenizer;

/* *tokenizer is NULL for a file without one. A kind that is not known is refused by its name. */
enum engine_status tokenizer_from_gguf(const struct gguf *gguf, struct tokenizer **tokenizer, char *error,
                                       size_t error_size);
void tokenizer_destroy(struct tokenizer *tokenizer); /* NULL is fine */

const char *tokenizer_name(const struct tokenizer *tokenizer); /* "bpe (smollm)" */
size_t tokenizer_vocabulary(const struct tokenizer *tokenizer); /* the largest id and one */
bool tokenizer_takes_pairs(const struct tokenizer *tokenizer);
void tokenizer_digest(const struct tokenizer *tokenizer, char digest[65]);

/* As model_tokenize and model_token_bytes. */
enum engine_status tokenizer_run(const struct tokenizer *tokenizer, const char *text, size_t size,
                                 const struct tokenize_options *options, struct token **tokens, size_t *n, char *error,
                                 size_t error_size);
const char *tokenizer_bytes(const struct tokenizer *tokenizer, int32_t id, size_t *size, bool *special);

#endif
