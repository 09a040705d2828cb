/*
 * chat_gguf.h: what a GGUF file says of chats: tokenizer.chat_template, and how its tokens bos and eos are spelt.
 */
#ifndef HEADSCOPE_ENGINE_CHAT_GGUF_H
#define HEADSCOPE_ENGINE_CHAT_GGUF_H

#include "engine/chat.h"
#include "engine/gguf.h"
#include "engine/tokenizer.h"

/* Fills an empty *chat, which the caller finishes in any case. A file without a template is none that fails. */
enum engine_status chat_from_gguf(const struct gguf *gguf, const struct tokenizer *tokenizer, struct chat *chat, char *error,
                                  size_t error_size);

#endif
