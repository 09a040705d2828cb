/*
 * llama.h: what a GGUF file of the llama architecture says, as a config and named weights.
 *
 * Whatever would change a number and is not done by the forward pass (scaled rotary angles, windows, biases, experts, an
 * unknown key or tensor) is refused by its name. Absent keys take the values that the format's documentation gives them.
 */
#ifndef HEADSCOPE_ENGINE_LLAMA_H
#define HEADSCOPE_ENGINE_LLAMA_H

#include "engine/gguf.h"
#include "engine/model.h"

/* Fills model->config, the weights and model->layer (allocated, also on failure: the caller frees it with the model). */
enum engine_status llama_read(const struct gguf *gguf, struct model *model, char *error, size_t error_size);

#endif
