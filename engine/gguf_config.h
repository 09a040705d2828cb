/*
 * gguf_config.h: the keys of a GGUF file as a model_config.
 */
#ifndef HEADSCOPE_ENGINE_GGUF_CONFIG_H
#define HEADSCOPE_ENGINE_GGUF_CONFIG_H

#include "engine/family_weights.h"
#include "engine/gguf.h"
#include "engine/gguf_architectures.h"

/* Fills model->config (but for the vocabulary), allocates model->layer and sets its windows and rotary tables, for which it takes
 * the factors among `tensors`. What is allocated is the model's, also on failure. */
enum engine_status gguf_config_read(const struct gguf *gguf, const struct gguf_architecture *architecture, const struct family *family,
                                    struct named_tensors *tensors, struct model *model, char *error, size_t error_size);

#endif
