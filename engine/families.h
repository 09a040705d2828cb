/*
 * families.h: what kinds of model there are, as a table: for each model_type of a config.json the names of its tensors and how its
 * layers go. A family that is not here is refused by its name.
 */
#ifndef HEADSCOPE_ENGINE_FAMILIES_H
#define HEADSCOPE_ENGINE_FAMILIES_H

#include "engine/model.h"

/* How one tensor holds q, k and v. */
enum qkv_layout {
    QKV_STACKED,   /* all of q, then k, then v */
    QKV_PER_HEAD,  /* for each head q, k, v */
    QKV_PER_GROUP, /* for each key and value head its queries, then k, then v */
};

enum window_rule {
    WINDOW_NONE,
    WINDOW_ALL,       /* sliding_window holds for every layer, where it is given */
    WINDOW_ASKED,     /* only with use_sliding_window; from layer max_window_layers on, unless layer_types says */
    WINDOW_ALTERNATE, /* layers 0, 2, 4, ... unless layer_types says */
    WINDOW_PATTERN,   /* all but every sixth (sliding_window_pattern), unless layer_types says */
    WINDOW_AROUND,    /* local_attention / 2 on each side, all but every third (global_attn_every_n_layers) */
};

/* Names without ".weight" and ".bias"; "a|b": either. Those of layers stand behind `layer`, whose %d is the layer; those of
 * experts have a %d for the expert. NULL: the family has no such tensor. A name in brackets may be missing. */
struct family_names {
    const char *embedding, *positions, *token_types, *embedding_norm, *embedding_projection, *relative_bias;
    const char *relative, *relative_norm; /* embeddings of distances */
    const char *layer;
    const char *attention_norm, *q, *k, *v, *qkv, *q_norm, *k_norm, *sinks, *o, *attention_out_norm;
    const char *cross_norm, *cross_q, *cross_k, *cross_v, *cross_o, *cross_out_norm; /* of a decoder with an encoder */
    const char *ffn_norm, *gate, *up, *gate_up, *down, *ffn_out_norm;
    const char *router, *expert_gate, *expert_up, *expert_down;
    /* One tensor for all experts. With experts_gate_up: inputs x outputs, gate and up in turn. */
    const char *experts_gate_up, *experts_gate, *experts_up, *experts_down;
    const char *output_norm; /* of an encoder whose output a decoder reads */
};

struct family {
    const char *type;
    struct family_names names;
    const struct family *source; /* of a decoder with an encoder: the encoder's; found through its decoder only */
    enum norm_kind norm;
    enum qkv_layout qkv;
    enum window_rule window;
    enum position_bias position_bias;
    enum router_kind router;
    bool encoder, no_rope, adjacent, norm_after_residual, parallel, gated, transposed, scales_embedding;
    bool unscaled, sinusoidal; /* scores are q.k as it is; positions are sines and cosines */
    int position_offset;    /* -1: the padding token's id + 1 */
    /* What Hugging Face's configuration class gives where config.json is silent. */
    const char *activation;
    double epsilon, theta, partial;
    int context;
    int decoder_start;      /* the id that a decoder with an encoder begins with; -1: there is none */
};

/* NULL: not known. */
const struct family *family_find(const char *type);

/* An activation by the name that configurations give it: "silu", "gelu_new". False: not known. */
bool activation_find(const char *name, enum activation_kind *kind);

#endif
