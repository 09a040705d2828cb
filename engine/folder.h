/*
 * folder.h: a model as Hugging Face lays it out: a folder with config.json and model.safetensors, or several files with a
 * model.safetensors.index.json that names them.
 */
#ifndef HEADSCOPE_ENGINE_FOLDER_H
#define HEADSCOPE_ENGINE_FOLDER_H

#include "engine/model.h"

/* True if `path` is a folder (which need not hold a model). */
bool folder_is(const char *path);

/* The files that make up the model, config.json among them, in the order of their names: strings one behind the other in one
 * block, freed with free(). ENGINE_UNSUPPORTED for a folder that has its weights in another format, named in `error`. */
enum engine_status folder_files(const char *path, char **files, size_t *count, char *error, size_t error_size);

/* Fills the model's config, weights, mappings and format, dtype, architecture and bytes of its info. What is allocated is the
 * model's, also on failure. */
enum engine_status folder_read(const char *path, struct model *model, char *error, size_t error_size);

#endif
