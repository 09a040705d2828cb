/*
 * tiny_model.h: a whole llama model of a few dozen kilobytes with random weights, for tests that need a model but not a good
 * one. Its tokenizer is byte-level BPE with every byte, a handful of merges and three special tokens.
 */
#ifndef HEADSCOPE_TESTS_TINY_MODEL_H
#define HEADSCOPE_TESTS_TINY_MODEL_H

#include "tests/gguf_writer.h"

enum {
    TINY_BOS = 256,        /* "<|bos|>" */
    TINY_END = 257,        /* "<|end|>" */
    TINY_START = 258,      /* "<|end|>start": longer than the one before and starting with it */
    TINY_VOCABULARY = 288, /* bytes, special tokens, merged tokens, and unused ones up to a multiple of 32 */
};

struct tiny_model {
    int layers, heads, kv_heads, head_dim, d_ff, context; /* d_model is heads * head_dim; a multiple of 32, as d_ff */
    uint32_t seed;
    uint32_t type;         /* of the matrices: 0 F32 or 1 F16 */
    bool add_bos;
    const char *pre;       /* tokenizer.ggml.pre; NULL: no tokenizer at all */
};

/* 2 layers, 4 heads on 2, 8 dimensions, d_ff 64, context 256, seed 1, F32, add_bos false, "smollm". */
extern const struct tiny_model tiny_model_default;

/* Adds the keys and tensors of the model to a started writer, so that a test can add its own. */
void tiny_model_put(struct gguf_writer *writer, const struct tiny_model *tiny);
void tiny_model_put_tokenizer(struct gguf_writer *writer, const struct tiny_model *tiny);

/* Writes the model to `path`. NULL: tiny_model_default. False with errno set. */
bool tiny_model_write(const char *path, const struct tiny_model *tiny);

#endif
