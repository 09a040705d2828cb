/*
 * family_weights.h: a model's weights from the named tensors of its files, by the names that its family gives them. Knows no file
 * format: folder.c and gguf_model.c list what their files hold, and this finds, checks, splits and assigns it.
 */
#ifndef HEADSCOPE_ENGINE_FAMILY_WEIGHTS_H
#define HEADSCOPE_ENGINE_FAMILY_WEIGHTS_H

#include "engine/families.h"

enum { TENSOR_DIMENSIONS = 8 };

/* A tensor as its file holds it; nothing is copied. */
struct named_tensor {
    const char *name; /* name_size bytes, not terminated */
    size_t name_size;
    const char *dtype; /* what the file calls its numbers: "F32", "Q4_K" */
    bool readable;     /* false: numbers of this kind are not read, and `type` says nothing */
    enum tensor_type type;
    const void *data;
    size_t bytes;
    int dimensions;
    size_t shape[TENSOR_DIMENSIONS]; /* outermost first; the innermost is contiguous */
    bool used;                       /* by family_weights_read */
};

/* All tensors of a model, in the order of their names' bytes. */
struct named_tensors {
    struct named_tensor *list;
    size_t count;
    const char *prefix; /* that stands before every name in this file: "model." */
};

/* Sorts the list. ENGINE_BROKEN where a name comes twice. */
enum engine_status named_tensors_sort(struct named_tensors *tensors, char *error, size_t error_size);
/* NULL: there is none of this whole name. O(log n). */
struct named_tensor *named_tensors_find(const struct named_tensors *tensors, const char *name);

/* Fills the embeddings and all layers of a model whose config is complete and whose layers are allocated; marks the tensors that
 * it takes. ENGINE_BROKEN for what is missing or has another shape, ENGINE_UNSUPPORTED for numbers that are not read. What is
 * allocated is the model's, also on failure. */
enum engine_status family_weights_read(const struct family *family, struct named_tensors *tensors, struct model *model, char *error,
                                       size_t error_size);

#endif
