/*
 * tokenizer_json.h: tokenizers from Hugging Face's tokenizer.json.
 *
 * The bytes are hostile: size, nesting, ids and counts are checked; a key that is there twice, a part that is not known or an option
 * that is not supported is refused by its name. Takes memory in proportion to the file: the long lists (vocabulary and merges) are
 * read where they lie.
 */
#ifndef HEADSCOPE_ENGINE_TOKENIZER_JSON_H
#define HEADSCOPE_ENGINE_TOKENIZER_JSON_H

#include "engine/tokenizer.h"

/* `bytes` are borrowed during the call only. On failure *tokenizer is untouched. */
enum engine_status tokenizer_open_json(const char *bytes, size_t size, struct tokenizer **tokenizer, char *error,
                                       size_t error_size);

#endif
