/*
 * gemma3.h: what a GGUF file of the gemma3 architecture says, as a config and named weights. As llama.h; the layers are general
 * ones (general.h). The file's norms hold 1 + weight already, and q and k are not permuted.
 */
#ifndef HEADSCOPE_ENGINE_GEMMA3_H
#define HEADSCOPE_ENGINE_GEMMA3_H

#include "engine/gguf.h"
#include "engine/model.h"

enum engine_status gemma3_read(const struct gguf *gguf, struct model *model, char *error, size_t error_size);

#endif
