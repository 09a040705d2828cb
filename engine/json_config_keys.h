/*
 * json_config_keys.h: the keys of a config.json: which are known, which must have one value, and what flags claim of the weights.
 */
#ifndef HEADSCOPE_ENGINE_JSON_CONFIG_KEYS_H
#define HEADSCOPE_ENGINE_JSON_CONFIG_KEYS_H

#include <jansson.h>

#include "engine/json_config.h"

/* ENGINE_UNSUPPORTED for a key that is not known, and for one that asks for what is not done here; `error` names it. with_encoder: of a
 * family with an encoder and a decoder. */
enum engine_status config_check_keys(json_t *root, bool with_encoder, char *error, size_t error_size);

/* type: the model_type. */
void config_read_claims(const json_t *root, const char *type, struct config_claims *claims);

#endif
