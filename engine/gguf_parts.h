/*
 * gguf_parts.h: the files that a model in GGUF lies in. llama.cpp splits large ones: NAME-00001-of-00003.gguf holds all keys and some of
 * the tensors, the other parts the rest.
 */
#ifndef HEADSCOPE_ENGINE_GGUF_PARTS_H
#define HEADSCOPE_ENGINE_GGUF_PARTS_H

#include "engine/gguf.h"

/* Paths one behind the other in one block, freed with free(): `path` alone, or all parts where its name says that it is the first of
 * several. ENGINE_INVALID for another part than the first, and for a path that is too long. */
enum engine_status gguf_part_files(const char *path, char **files, size_t *count, char *error, size_t error_size);

/* Whether the file says of itself that it is part `index` of `count`, from 0 on. ENGINE_BROKEN if not. */
enum engine_status gguf_check_part(const struct gguf *gguf, size_t index, size_t count, char *error, size_t error_size);

#endif
