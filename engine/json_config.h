/*
 * json_config.h: a folder's config.json as a model_config. Whatever would change a number and is not done here is refused by its
 * name, an unknown key included; a key that is absent takes the value that Hugging Face's configuration class gives it.
 */
#ifndef HEADSCOPE_ENGINE_JSON_CONFIG_H
#define HEADSCOPE_ENGINE_JSON_CONFIG_H

#include "engine/families.h"

/* Whether linear layers have biases, as a flag says (or its absence). key NULL: the family has no such flag. */
struct bias_claim {
    const char *key;
    bool has;
};
struct config_claims {
    struct bias_claim attention, feed_forward;
};

/* Fills model->config (but for the vocabulary), allocates model->layer and sets its windows and rotary tables; what is allocated
 * is the model's, also on failure. */
enum engine_status config_read(const char *path, struct model *model, const struct family **family, struct config_claims *claims, char *error,
                               size_t error_size);

/* The files that a model.safetensors.index.json names, each once, in the order of their names: one block of
 * strings one behind the other, freed with free(). */
enum engine_status config_read_index(const char *path, char **files, size_t *count, char *error, size_t error_size);

#endif
