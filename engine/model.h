/*
 * model.h: what a model is inside the engine: a config struct (how the forward pass goes) and named weights (where the
 * numbers lie, mapped in their file's precision). gguf.c reads files, llama.c turns them into this, model.c owns it; forward.c
 * reads nothing else.
 */
#ifndef HEADSCOPE_ENGINE_MODEL_H
#define HEADSCOPE_ENGINE_MODEL_H

#include "engine/engine.h"

/* GGUF's numbers (ggml_type), so that a file's value needs no translation. */
enum tensor_type {
    TENSOR_F32 = 0,
    TENSOR_F16 = 1,
    TENSOR_Q4_0 = 2,
    TENSOR_Q4_1 = 3,
    TENSOR_Q5_0 = 6,
    TENSOR_Q5_1 = 7,
    TENSOR_Q8_0 = 8,
    TENSOR_Q2_K = 10,
    TENSOR_Q3_K = 11,
    TENSOR_Q4_K = 12,
    TENSOR_Q5_K = 13,
    TENSOR_Q6_K = 14,
    TENSOR_BF16 = 30,
};

/* A weight matrix y = W x: rows = outputs, cols = inputs, row-major; a vector has rows = 1. Borrowed from the mapping.
 * data == NULL: the model has no such weight. */
struct tensor {
    enum tensor_type type;
    const void *data;
    size_t rows, cols;
    size_t row_bytes;
};

enum rope_pairing {
    ROPE_ADJACENT, /* dimensions 2i and 2i + 1 turn together: llama weights in GGUF files, whose q and k rows are permuted so */
    ROPE_HALVES,   /* dimensions i and i + head_dim / 2: Hugging Face's rotate_half */
};

struct model_config {
    int layers, heads, kv_heads, head_dim, d_model, d_ff, vocabulary, context;
    bool causal;
    float norm_epsilon;       /* RMSNorm: x / sqrt(mean(x^2) + epsilon) * weight (Zhang & Sennrich 2019) */
    float rope_theta;         /* base of the rotary angles (Su et al. 2021) */
    int rope_dim;             /* how many dimensions of a head turn; the rest pass through */
    enum rope_pairing rope_pairing;
    float attention_scale;    /* scores = scale * q.k, 1 / sqrt(head_dim) */
};

struct layer_weights {
    struct tensor attention_norm;  /* [d_model] */
    struct tensor q, k, v;         /* [heads * head_dim, d_model], [kv_heads * head_dim, d_model] twice */
    struct tensor o;               /* [d_model, heads * head_dim] */
    struct tensor ffn_norm;        /* [d_model] */
    struct tensor gate, up;        /* [d_ff, d_model] */
    struct tensor down;            /* [d_model, d_ff] */
};

struct mapping;   /* mapping.h: the mapped file, guarded against being cut short */
struct tokenizer; /* tokenizer.h */

struct model {
    struct model_info info;
    struct model_config config;
    struct tensor embedding;     /* [vocabulary, d_model] */
    struct tensor output_norm;   /* [d_model] */
    struct tensor output;        /* [vocabulary, d_model]; the embedding where tied */
    struct layer_weights *layer; /* [config.layers] */
    struct mapping *mapping;
    struct tokenizer *tokenizer;     /* NULL: token ids only */
    char tokenizer_digest[65];
    char *strings;               /* one block that holds what info points to */
    _Atomic int references;
};

/* True once a page of the model's file could not be read (cut short while mapped): whatever was computed since the model was
 * opened with it is worthless. Checked by the forward pass after each layer. */
bool model_is_broken(const struct model *model);

#endif
