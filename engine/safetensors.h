/*
 * safetensors.h: reads safetensors files: named tensors, knows no model.
 *
 * A file is the header's length (8 bytes), the header (a JSON object), and the data. The header is hostile and may be long, so it
 * is read here in one pass with memory in proportion to the number of tensors; only what the format allows in it is accepted.
 * The tensors must cover the data from its first byte to its last without holes or overlaps, and no name may come twice.
 *
 * Nothing is copied: names and data point into the bytes given to safetensors_open, which must outlive the result.
 * Format: https://github.com/huggingface/safetensors#format
 */
#ifndef HEADSCOPE_ENGINE_SAFETENSORS_H
#define HEADSCOPE_ENGINE_SAFETENSORS_H

#include "engine/engine.h"

enum { SAFETENSORS_DIMENSIONS = 8 };

struct safetensors_tensor {
    const char *name; /* name_size bytes, not terminated */
    size_t name_size;
    const char *dtype; /* "F32", "I64", ... */
    int dimensions;
    size_t shape[SAFETENSORS_DIMENSIONS]; /* outermost first; no dimensions: one number */
    const unsigned char *data;
    size_t bytes;
};

struct safetensors;

/* ENGINE_BROKEN for what no sound file holds, ENGINE_UNSUPPORTED for a dtype that is not known here. */
enum engine_status safetensors_open(const unsigned char *bytes, size_t size, struct safetensors **safetensors, char *error,
                                    size_t error_size);
void safetensors_close(struct safetensors *safetensors); /* NULL is fine */

/* In the order of the names' bytes. */
const struct safetensors_tensor *safetensors_tensors(const struct safetensors *safetensors, size_t *count);

#endif
