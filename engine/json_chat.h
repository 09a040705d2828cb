/*
 * json_chat.h: what a folder's tokenizer_config.json says of chats.
 */
#ifndef HEADSCOPE_ENGINE_JSON_CHAT_H
#define HEADSCOPE_ENGINE_JSON_CHAT_H

#include "engine/chat.h"

/* Sets bos and eos of *chat, and, where it has neither format nor why yet, one of these from chat_template (of several named ones
 * the default). A file that is damaged leaves why. Hostile: only the members that are looked for are ever held as a tree, and
 * no more than 8 MB of them. `bytes` are borrowed during the call. */
enum engine_status json_chat_read(const char *bytes, size_t size, struct chat *chat, char *error, size_t error_size);

#endif
