/*
 * gguf_model.h: what a GGUF file says of a model, as a config and named weights.
 *
 * Whatever would change a number and is not done here (an unknown key of the architecture, an unknown tensor, another kind of
 * rotary scaling) is refused by its name. Absent keys take the values that the format's documentation gives them.
 */
#ifndef HEADSCOPE_ENGINE_GGUF_MODEL_H
#define HEADSCOPE_ENGINE_GGUF_MODEL_H

#include "engine/gguf.h"
#include "engine/gguf_architectures.h"

/* Fills model->config, the weights and model->layer; what is allocated is the model's, also on failure. parts: the model's files, of
 * which the first has the keys. */
enum engine_status gguf_model_read(const struct gguf *const *parts, size_t count, struct model *model, char *error, size_t error_size);

#endif
