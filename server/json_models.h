/*
 * json_models.h: an item of GET /models and of `headscope models --json`.
 */
#ifndef HEADSCOPE_SERVER_JSON_MODELS_H
#define HEADSCOPE_SERVER_JSON_MODELS_H

#include "server/json_write.h"
#include "server/models.h"

/* with_path: only for whoever sits at the machine. */
void json_models_item(struct json_text *out, const struct models_item *item, bool with_path);

#endif
