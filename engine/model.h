/*
 * model.h: what a model is inside the engine: a config struct (how the forward pass goes) and named weights (where the
 * numbers lie, mapped in their file's precision). gguf.c and safetensors.c read files, gguf_model.c and folder.c turn them into this,
 * model.c owns it; forward.c reads nothing else.
 */
#ifndef HEADSCOPE_ENGINE_MODEL_H
#define HEADSCOPE_ENGINE_MODEL_H

#include <stdatomic.h>

#include "engine/chat.h"
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

/* A weight matrix y = W x: rows = outputs, cols = inputs, row-major; a vector has rows = 1, or cols = 1. Borrowed from the mapping.
 * data == NULL: the model has no such weight.
 * Some files keep several matrices in one, head by head: with group > 0, row r lies at r / group * group_stride + r % group.
 * transposed: the file holds inputs x outputs; row_bytes then lie between one input and the next. */
struct tensor {
    enum tensor_type type;
    const void *data;
    size_t rows, cols;
    size_t row_bytes;
    size_t group, group_stride;
    bool transposed;
};

enum rope_pairing {
    ROPE_ADJACENT, /* dimensions 2i and 2i + 1 turn together: llama weights in GGUF files, whose q and k rows are permuted so */
    ROPE_HALVES,   /* dimensions i and i + rope_dim / 2: Hugging Face's rotate_half */
};

enum norm_kind {
    NORM_RMS,          /* x / sqrt(mean(x^2) + epsilon) * weight (Zhang & Sennrich 2019) */
    NORM_RMS_PLUS_ONE, /* the same, * (1 + weight): Gemma */
    NORM_LAYER,        /* (x - mean) / sqrt(variance + epsilon) * weight + bias (Ba et al. 2016) */
};

enum activation_kind {
    ACTIVATION_SILU,
    ACTIVATION_GELU,      /* x Phi(x) (Hendrycks & Gimpel 2016) */
    ACTIVATION_GELU_TANH, /* its approximation by tanh */
    ACTIVATION_RELU,
    ACTIVATION_CLAMPED,   /* gpt-oss: min(g, 7) sigmoid(1.702 g) (clamp(u, 7) + 1) */
};

/* What the scores know of positions beyond rotary angles. */
enum position_bias {
    BIAS_NONE,
    BIAS_ALIBI,   /* slope_h * (j - i) (Press et al. 2022) */
    BIAS_BUCKETS, /* a learned number for each head and bucket of j - i (Raffel et al. 2020) */
};

enum router_kind {
    ROUTER_SOFTMAX,            /* weights of the chosen experts: softmax over all experts */
    ROUTER_SOFTMAX_NORMALISED, /* the same, divided by their sum */
};

/* Rotary angles of position i: i * frequency[p], cosines and sines times factor. */
struct rope_table {
    float *frequency; /* [rope_dim / 2], owned by the model; NULL: layers that name this table do not turn */
    float factor;
};

enum { ROPE_TABLES = 2 };

struct model_config {
    int layers, heads, kv_heads, head_dim, d_model, d_ff, vocabulary, context;
    bool causal;
    float norm_epsilon;
    float rope_theta;         /* base of the rotary angles (Su et al. 2021) */
    int rope_dim;             /* how many dimensions of a head turn; the rest pass through */
    enum rope_pairing rope_pairing;
    float attention_scale;    /* scores = scale * q.k, 1 / sqrt(head_dim) */

    /* False: nothing below asks for more than llama's own layers, which run the short way in forward.c. True: through general.c. */
    bool general;
    enum norm_kind norm;
    bool norm_after_residual; /* norms stand behind the sum of a layer and its residual (Vaswani et al. 2017) */
    bool parallel;            /* attention and feed-forward read the same residual (Wang & Komatsuzaki 2021) */
    bool gated;
    enum activation_kind activation;
    float embedding_scale, residual_scale;
    float score_cap;          /* scores = cap tanh(scores / cap); 0: none */
    bool sinusoidal;          /* positions are sines and cosines where the files hold none (Vaswani et al. 2017) */
    bool bias_ahead;          /* of BIAS_BUCKETS: half of the buckets are for keys ahead; else keys ahead share the nearest one */
    int position_offset;      /* row of the position embeddings that position 0 takes */
    int position_pad;         /* this token takes no position of its own but the row before the first (RoBERTa); -1: none does */
    int embedding_dim;        /* width of the embeddings before their projection; d_model without one */
    enum position_bias position_bias;
    int bias_buckets, bias_distance; /* of BIAS_BUCKETS; distance: where the last bucket begins */
    struct rope_table rope[ROPE_TABLES];
    /* Disentangled attention (disentangled.h); distance 0: none. */
    int relative_buckets, relative_distance;
    bool content_to_place, place_to_content;
    int decoder_start;        /* of a decoder with an encoder: the id that every text begins with, + 1; 0: none is known */
    int experts, experts_used, expert_ff;
    enum router_kind router;
};

struct expert_weights {
    struct tensor gate, up, down, gate_bias, up_bias, down_bias;
};

struct layer_weights {
    struct tensor attention_norm;  /* [d_model] */
    struct tensor q, k, v;         /* [heads * head_dim, d_model], [kv_heads * head_dim, d_model] twice */
    struct tensor o;               /* [d_model, heads * head_dim] */
    struct tensor ffn_norm;        /* [d_model] */
    struct tensor gate, up;        /* [d_ff, d_model]; no gate in layers that are not gated */
    struct tensor down;            /* [d_model, d_ff] */

    /* Of general models, each where the model has it. */
    struct tensor attention_norm_bias, ffn_norm_bias;
    struct tensor q_bias, k_bias, v_bias, o_bias, gate_bias, up_bias, down_bias;
    struct tensor q_norm, k_norm;  /* [head_dim] or all heads together */
    struct tensor attention_out_norm, attention_out_norm_bias, ffn_out_norm, ffn_out_norm_bias;
    struct tensor sinks;           /* [heads] a logit of each row's softmax that belongs to no key */
    struct tensor router, router_bias;
    struct expert_weights *expert; /* [config.experts], owned by the model */
    int window;                    /* keys that a query sees: causal, so many up to itself; else so many on each side; 0: all */
    int rope;                      /* which of config.rope; -1: no rotary angles in this layer */

    _Atomic(float *) value_factors; /* value_norms.h; made when a run first needs them, owned by the model */
};

struct mapping;   /* mapping.h: the mapped file, guarded against being cut short */
struct tokenizer; /* tokenizer.h */

struct model {
    struct model_info info;
    struct model_config config;
    struct tensor embedding;     /* [vocabulary, d_model] */
    struct tensor unembedding;      /* [vocabulary, d_model] what a model of language predicts with; the embedding where tied. Probes
                                       alone read it */
    struct tensor unembedding_norm; /* [d_model] the RMS norm before it, of models that run the short way */
    struct tensor output_norm, output_norm_bias; /* [d_model] behind an encoder's last layer */
    struct tensor positions, token_types;       /* [.., embedding_dim], general models: where they have them */
    struct tensor embedding_norm, embedding_norm_bias, embedding_projection, embedding_projection_bias;
    struct tensor relative, relative_norm, relative_norm_bias; /* [2 span, d_model] embeddings of distances, disentangled.h */
    struct tensor relative_bias; /* [buckets, heads] */
    struct layer_weights *layer; /* [config.layers] */
    struct layer_weights *cross; /* [config.layers] of a decoder with an encoder: its cross-attention, norms, q, k, v and o; NULL */
    struct model *encoder;       /* whose output cross-attention reads: a model of its own in the same files; NULL: there is none */
    struct mapping **mapping;    /* [mappings] the files */
    size_t mappings;
    struct tokenizer *tokenizer;     /* NULL: token ids only */
    char tokenizer_digest[65];
    struct chat chat;                /* how chats are written; empty without a tokenizer */
    char *tokenizer_error;       /* why texts are refused where the model has a tokenizer that cannot be used; owned */
    char *strings;               /* one block that holds what info points to */
    _Atomic int references;
    _Atomic float bf16_error;    /* precision.c has measured it; 0: not yet */
};

/* True once a page of the model's file could not be read (cut short while mapped): whatever was computed since the model was
 * opened with it is worthless. Checked by the forward pass after each layer. */
bool model_is_broken(const struct model *model);

#endif
