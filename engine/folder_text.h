/*
 * folder_text.h: what a Hugging Face folder holds beside its weights: how texts become tokens (tokenizer.json), how
 * chats become texts (chat_template.jinja, tokenizer_config.json), and the licence (README.md).
 */
#ifndef HEADSCOPE_ENGINE_FOLDER_TEXT_H
#define HEADSCOPE_ENGINE_FOLDER_TEXT_H

#include "engine/model.h"

/* Sets model->tokenizer where the folder has a tokenizer.json. One that is damaged or not supported leaves the model usable by token
 * ids, and model->tokenizer_error says why; only a lack of memory is a failure. */
enum engine_status folder_read_tokenizer(const char *path, struct model *model, char *error, size_t error_size);

/* Fills an empty model->chat from chat_template.jinja and tokenizer_config.json, where the folder has them. */
enum engine_status folder_read_chat(const char *path, struct model *model, char *error, size_t error_size);

/* The licence that the front matter of README.md names, one line of UTF-8; "" where it names none or cannot be read. Of
 * `license: other` the license_name. */
enum engine_status folder_read_licence(const char *path, char *licence, size_t size, char *error, size_t error_size);

#endif
