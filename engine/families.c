#include "engine/families.h"

#include <string.h>

#define LLAMA_ATTENTION .q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj", .o = "self_attn.o_proj"
#define LLAMA_START .embedding = "embed_tokens", .layer = "layers.%d."
#define LLAMA_NORMS .attention_norm = "input_layernorm", .ffn_norm = "post_attention_layernorm"
#define LLAMA_FFN .gate = "mlp.gate_proj", .up = "mlp.up_proj", .down = "mlp.down_proj"
#define LLAMA_NAMES LLAMA_START, LLAMA_NORMS, LLAMA_ATTENTION, LLAMA_FFN

#define GEMMA2_NAMES                                                                                                    \
    LLAMA_START, LLAMA_ATTENTION, LLAMA_FFN, .attention_norm = "input_layernorm",                                       \
    .attention_out_norm = "post_attention_layernorm", .ffn_norm = "pre_feedforward_layernorm",                          \
    .ffn_out_norm = "post_feedforward_layernorm"

#define BERT_START                                                                                                      \
    .embedding = "embeddings.word_embeddings", .positions = "embeddings.position_embeddings",                           \
    .token_types = "[embeddings.token_type_embeddings]", .embedding_norm = "embeddings.LayerNorm", .layer = "encoder.layer.%d."
#define BERT_FFN .up = "intermediate.dense", .down = "output.dense", .ffn_out_norm = "output.LayerNorm"
#define BERT_NAMES                                                                                                      \
    BERT_START, BERT_FFN, .q = "attention.self.query", .k = "attention.self.key", .v = "attention.self.value",          \
    .o = "attention.output.dense", .attention_out_norm = "attention.output.LayerNorm"

#define T5_ATTENTION(of)                                                                                                \
    .attention_norm = "layer.0.layer_norm", .q = "layer.0.SelfAttention.q", .k = "layer.0.SelfAttention.k",             \
    .v = "layer.0.SelfAttention.v", .o = "layer.0.SelfAttention.o", .layer = of ".block.%d.",                           \
    .relative_bias = of ".block.0.layer.0.SelfAttention.relative_attention_bias", .embedding = of ".embed_tokens|shared"
#define T5_FFN(place)                                                                                                   \
    .ffn_norm = place "layer_norm", .gate = "[" place "DenseReluDense.wi_0]",                                           \
    .up = place "DenseReluDense.wi|" place "DenseReluDense.wi_1", .down = place "DenseReluDense.wo"
#define T5_CROSS                                                                                                        \
    .cross_norm = "layer.1.layer_norm", .cross_q = "layer.1.EncDecAttention.q", .cross_k = "layer.1.EncDecAttention.k", \
    .cross_v = "layer.1.EncDecAttention.v", .cross_o = "layer.1.EncDecAttention.o"
#define T5_MANNER                                                                                                       \
    .no_rope = true, .unscaled = true, .position_bias = BIAS_BUCKETS, .epsilon = 1e-6, .context = 1 << 15

#define BART_STACK(of)                                                                                                  \
    .embedding = of ".embed_tokens|shared", .layer = of ".layers.%d.", .q = "self_attn.q_proj", .k = "self_attn.k_proj", \
    .v = "self_attn.v_proj", .o = "self_attn.out_proj", .up = "fc1", .down = "fc2"
#define BART_CROSS                                                                                                      \
    .cross_q = "encoder_attn.q_proj", .cross_k = "encoder_attn.k_proj", .cross_v = "encoder_attn.v_proj",               \
    .cross_o = "encoder_attn.out_proj"
#define NORMS_BEFORE .attention_norm = "self_attn_layer_norm", .ffn_norm = "final_layer_norm"
#define NORMS_BEHIND .attention_out_norm = "self_attn_layer_norm", .ffn_out_norm = "final_layer_norm"
#define BART_MANNER .norm = NORM_LAYER, .no_rope = true, .activation = "gelu", .epsilon = 1e-5

/* Encoders that belong to a decoder. */
static const struct family t5_encoder = {.type = "t5 encoder", .names = {T5_ATTENTION("encoder"), T5_FFN("layer.1."), .output_norm = "encoder.final_layer_norm"},
                                         T5_MANNER, .encoder = true, .activation = "relu"};
static const struct family mt5_encoder = {.type = "mt5 encoder", .names = {T5_ATTENTION("encoder"), T5_FFN("layer.1."), .output_norm = "encoder.final_layer_norm"},
                                          T5_MANNER, .encoder = true, .activation = "gated-gelu"};
static const struct family bart_encoder = {.type = "bart encoder", .names = {BART_STACK("encoder"), NORMS_BEHIND, .positions = "encoder.embed_positions",
                                                     .embedding_norm = "encoder.layernorm_embedding"},
                                           BART_MANNER, .encoder = true, .norm_after_residual = true, .position_offset = 2};
static const struct family mbart_encoder = {.type = "mbart encoder", .names = {BART_STACK("encoder"), NORMS_BEFORE, .positions = "encoder.embed_positions",
                                                      .embedding_norm = "encoder.layernorm_embedding", .output_norm = "encoder.layer_norm"},
                                            BART_MANNER, .encoder = true, .position_offset = 2};
static const struct family marian_encoder = {.type = "marian encoder", .names = {BART_STACK("encoder"), NORMS_BEHIND, .positions = "[encoder.embed_positions]"},
                                             BART_MANNER, .encoder = true, .norm_after_residual = true, .sinusoidal = true};
static const struct family pegasus_encoder = {.type = "pegasus encoder", .names = {BART_STACK("encoder"), NORMS_BEFORE, .positions = "[encoder.embed_positions]",
                                                        .output_norm = "encoder.layer_norm"},
                                              BART_MANNER, .encoder = true, .sinusoidal = true};

static const struct family families[] = {
    /* ---- decoders ---- */
    {.type = "llama", .names = {LLAMA_NAMES}, .gated = true, .activation = "silu", .epsilon = 1e-6, .theta = 10000},
    {.type = "mistral", .names = {LLAMA_NAMES}, .gated = true, .activation = "silu", .epsilon = 1e-6, .theta = 10000,
     .window = WINDOW_ALL},
    {.type = "qwen2", .names = {LLAMA_NAMES}, .gated = true, .activation = "silu", .epsilon = 1e-6, .theta = 10000,
     .window = WINDOW_ASKED},
    {.type = "qwen3", .names = {LLAMA_NAMES, .q_norm = "self_attn.q_norm", .k_norm = "self_attn.k_norm"}, .gated = true,
     .activation = "silu", .epsilon = 1e-6, .theta = 10000, .window = WINDOW_ASKED},
    {.type = "smollm3", .names = {LLAMA_NAMES}, .gated = true, .activation = "silu", .epsilon = 1e-6, .theta = 2000000,
     .window = WINDOW_ASKED},
    {.type = "granite", .names = {LLAMA_NAMES}, .gated = true, .activation = "silu", .epsilon = 1e-6, .theta = 10000},
    {.type = "phi3", .names = {LLAMA_START, LLAMA_NORMS, .qkv = "self_attn.qkv_proj", .o = "self_attn.o_proj",
                               .gate_up = "mlp.gate_up_proj", .down = "mlp.down_proj"},
     .gated = true, .activation = "silu", .epsilon = 1e-5, .theta = 10000, .window = WINDOW_ALL},
    {.type = "gemma", .names = {LLAMA_NAMES}, .norm = NORM_RMS_PLUS_ONE, .gated = true, .scales_embedding = true,
     .activation = "gelu_pytorch_tanh", .epsilon = 1e-6, .theta = 10000},
    {.type = "gemma2", .names = {GEMMA2_NAMES}, .norm = NORM_RMS_PLUS_ONE, .gated = true, .scales_embedding = true,
     .activation = "gelu_pytorch_tanh", .epsilon = 1e-6, .theta = 10000, .window = WINDOW_ALTERNATE},
    {.type = "gemma3_text", .names = {GEMMA2_NAMES, .q_norm = "self_attn.q_norm", .k_norm = "self_attn.k_norm"},
     .norm = NORM_RMS_PLUS_ONE, .gated = true, .scales_embedding = true, .activation = "gelu_pytorch_tanh", .epsilon = 1e-6,
     .theta = 1000000, .window = WINDOW_PATTERN},
    {.type = "olmo2", .names = {LLAMA_START, LLAMA_ATTENTION, LLAMA_FFN, .q_norm = "self_attn.q_norm", .k_norm = "self_attn.k_norm",
                                .attention_out_norm = "post_attention_layernorm", .ffn_out_norm = "post_feedforward_layernorm"},
     .gated = true, .activation = "silu", .epsilon = 1e-5, .theta = 10000},
    {.type = "starcoder2", .names = {LLAMA_START, LLAMA_NORMS, LLAMA_ATTENTION, .up = "mlp.c_fc", .down = "mlp.c_proj"},
     .norm = NORM_LAYER, .activation = "gelu_pytorch_tanh", .epsilon = 1e-5, .theta = 10000, .window = WINDOW_ALL},
    {.type = "stablelm", .names = {LLAMA_START, LLAMA_ATTENTION, LLAMA_FFN, .attention_norm = "input_layernorm",
                                   .ffn_norm = "[post_attention_layernorm]"},
     .norm = NORM_LAYER, .gated = true, .activation = "silu", .epsilon = 1e-5, .theta = 10000, .partial = 0.25},
    {.type = "cohere", .names = {LLAMA_START, LLAMA_ATTENTION, LLAMA_FFN, .attention_norm = "input_layernorm"}, .norm = NORM_LAYER,
     .adjacent = true, .parallel = true, .gated = true, .activation = "silu", .epsilon = 1e-5},
    {.type = "glm4", .names = {LLAMA_START, LLAMA_NORMS, LLAMA_ATTENTION, .attention_out_norm = "post_self_attn_layernorm",
                               .gate_up = "mlp.gate_up_proj", .down = "mlp.down_proj", .ffn_out_norm = "post_mlp_layernorm"},
     .adjacent = true, .gated = true, .activation = "silu", .epsilon = 1.5625e-07, .theta = 10000, .partial = 0.5},
    {.type = "phi", .names = {LLAMA_START, .attention_norm = "input_layernorm", .q = "self_attn.q_proj", .k = "self_attn.k_proj",
                              .v = "self_attn.v_proj", .o = "self_attn.dense", .up = "mlp.fc1", .down = "mlp.fc2"},
     .norm = NORM_LAYER, .parallel = true, .activation = "gelu_new", .epsilon = 1e-5, .theta = 10000, .partial = 0.5},
    {.type = "gpt2", .names = {.embedding = "wte", .positions = "wpe", .layer = "h.%d.", .attention_norm = "ln_1", .qkv = "attn.c_attn",
                               .o = "attn.c_proj", .ffn_norm = "ln_2", .up = "mlp.c_fc", .down = "mlp.c_proj"},
     .norm = NORM_LAYER, .no_rope = true, .transposed = true, .activation = "gelu_new", .epsilon = 1e-5},
    {.type = "gpt_neox", .names = {.embedding = "embed_in", .layer = "layers.%d.", .attention_norm = "input_layernorm",
                                   .qkv = "attention.query_key_value", .o = "attention.dense", .ffn_norm = "post_attention_layernorm",
                                   .up = "mlp.dense_h_to_4h", .down = "mlp.dense_4h_to_h"},
     .norm = NORM_LAYER, .qkv = QKV_PER_HEAD, .parallel = true, .activation = "gelu", .epsilon = 1e-5, .theta = 10000, .partial = 0.25},
    {.type = "gptj", .names = {.embedding = "wte", .layer = "h.%d.", .attention_norm = "ln_1", .q = "attn.q_proj", .k = "attn.k_proj",
                               .v = "attn.v_proj", .o = "attn.out_proj", .up = "mlp.fc_in", .down = "mlp.fc_out"},
     .norm = NORM_LAYER, .adjacent = true, .parallel = true, .activation = "gelu_new", .epsilon = 1e-5, .theta = 10000},
    {.type = "falcon", .names = {.embedding = "word_embeddings", .layer = "h.%d.", .attention_norm = "input_layernorm|ln_attn",
                                 .qkv = "self_attention.query_key_value", .o = "self_attention.dense",
                                 .ffn_norm = "[post_attention_layernorm|ln_mlp]", .up = "mlp.dense_h_to_4h",
                                 .down = "mlp.dense_4h_to_h"},
     .norm = NORM_LAYER, .qkv = QKV_PER_GROUP, .parallel = true, .activation = "gelu", .epsilon = 1e-5, .theta = 10000, .context = 2048},
    {.type = "opt", .names = {.embedding = "embed_tokens", .positions = "embed_positions", .embedding_projection = "[project_in]",
                              .layer = "layers.%d.", .attention_norm = "self_attn_layer_norm", .q = "self_attn.q_proj",
                              .k = "self_attn.k_proj", .v = "self_attn.v_proj", .o = "self_attn.out_proj",
                              .ffn_norm = "final_layer_norm", .up = "fc1", .down = "fc2"},
     .norm = NORM_LAYER, .no_rope = true, .activation = "relu", .epsilon = 1e-5, .position_offset = 2},
    {.type = "bloom", .names = {.embedding = "word_embeddings", .embedding_norm = "word_embeddings_layernorm", .layer = "h.%d.",
                                .attention_norm = "input_layernorm", .qkv = "self_attention.query_key_value",
                                .o = "self_attention.dense", .ffn_norm = "post_attention_layernorm", .up = "mlp.dense_h_to_4h",
                                .down = "mlp.dense_4h_to_h"},
     .norm = NORM_LAYER, .no_rope = true, .position_bias = BIAS_ALIBI, .qkv = QKV_PER_HEAD, .activation = "gelu_new",
     .epsilon = 1e-5, .context = 2048},
    {.type = "mixtral", .names = {LLAMA_START, LLAMA_NORMS, LLAMA_ATTENTION, .router = "block_sparse_moe.gate",
                                  .expert_gate = "block_sparse_moe.experts.%d.w1", .expert_up = "block_sparse_moe.experts.%d.w3",
                                  .expert_down = "block_sparse_moe.experts.%d.w2"},
     .gated = true, .activation = "silu", .epsilon = 1e-5, .theta = 1000000, .window = WINDOW_ALL, .router = ROUTER_SOFTMAX_NORMALISED},
    {.type = "qwen3_moe", .names = {LLAMA_START, LLAMA_NORMS, LLAMA_ATTENTION, .q_norm = "self_attn.q_norm",
                                    .k_norm = "self_attn.k_norm", .router = "mlp.gate", .expert_gate = "mlp.experts.%d.gate_proj",
                                    .expert_up = "mlp.experts.%d.up_proj", .expert_down = "mlp.experts.%d.down_proj"},
     .gated = true, .activation = "silu", .epsilon = 1e-6, .theta = 10000, .window = WINDOW_ASKED},
    {.type = "gpt_oss", .names = {LLAMA_START, LLAMA_NORMS, LLAMA_ATTENTION, .sinks = "self_attn.sinks", .router = "mlp.router",
                                  .experts_gate_up = "mlp.experts.gate_up_proj", .experts_down = "mlp.experts.down_proj"},
     .gated = true, .activation = "clamped", .epsilon = 1e-5, .theta = 150000, .window = WINDOW_ALTERNATE,
     .router = ROUTER_SOFTMAX_NORMALISED},

    /* ---- encoders ---- */
    {.type = "bert", .names = {BERT_NAMES}, .norm = NORM_LAYER, .encoder = true, .no_rope = true, .norm_after_residual = true,
     .activation = "gelu", .epsilon = 1e-12},
    {.type = "roberta", .names = {BERT_NAMES}, .norm = NORM_LAYER, .encoder = true, .no_rope = true, .norm_after_residual = true,
     .activation = "gelu", .epsilon = 1e-12, .position_offset = -1},
    {.type = "xlm-roberta", .names = {BERT_NAMES}, .norm = NORM_LAYER, .encoder = true, .no_rope = true, .norm_after_residual = true,
     .activation = "gelu", .epsilon = 1e-12, .position_offset = -1},
    {.type = "electra", .names = {BERT_NAMES, .embedding_projection = "[embeddings_project]"}, .norm = NORM_LAYER, .encoder = true,
     .no_rope = true, .norm_after_residual = true, .activation = "gelu", .epsilon = 1e-12},
    {.type = "distilbert", .names = {.embedding = "embeddings.word_embeddings", .positions = "embeddings.position_embeddings",
                                     .embedding_norm = "embeddings.LayerNorm", .layer = "transformer.layer.%d.", .q = "attention.q_lin",
                                     .k = "attention.k_lin", .v = "attention.v_lin", .o = "attention.out_lin",
                                     .attention_out_norm = "sa_layer_norm", .up = "ffn.lin1", .down = "ffn.lin2",
                                     .ffn_out_norm = "output_layer_norm"},
     .norm = NORM_LAYER, .encoder = true, .no_rope = true, .norm_after_residual = true, .activation = "gelu", .epsilon = 1e-12},
    {.type = "albert", .names = {.embedding = "embeddings.word_embeddings", .positions = "embeddings.position_embeddings",
                                 .token_types = "embeddings.token_type_embeddings", .embedding_norm = "embeddings.LayerNorm",
                                 .embedding_projection = "encoder.embedding_hidden_mapping_in",
                                 .layer = "encoder.albert_layer_groups.0.albert_layers.0.", .q = "attention.query", .k = "attention.key",
                                 .v = "attention.value", .o = "attention.dense", .attention_out_norm = "attention.LayerNorm",
                                 .up = "ffn", .down = "ffn_output", .ffn_out_norm = "full_layer_layer_norm"},
     .norm = NORM_LAYER, .encoder = true, .no_rope = true, .norm_after_residual = true, .activation = "gelu_new", .epsilon = 1e-12},
    {.type = "mpnet", .names = {BERT_START, BERT_FFN, .relative_bias = "encoder.relative_attention_bias", .q = "attention.attn.q",
                                .k = "attention.attn.k", .v = "attention.attn.v", .o = "attention.attn.o",
                                .attention_out_norm = "attention.LayerNorm"},
     .norm = NORM_LAYER, .encoder = true, .no_rope = true, .norm_after_residual = true, .position_bias = BIAS_BUCKETS,
     .activation = "gelu", .epsilon = 1e-12, .position_offset = -1},
    {.type = "deberta-v2", .names = {.embedding = "embeddings.word_embeddings", .positions = "[embeddings.position_embeddings]",
                                     .token_types = "[embeddings.token_type_embeddings]", .embedding_norm = "embeddings.LayerNorm",
                                     .layer = "encoder.layer.%d.", BERT_FFN, .q = "attention.self.query_proj",
                                     .k = "attention.self.key_proj", .v = "attention.self.value_proj", .o = "attention.output.dense",
                                     .attention_out_norm = "attention.output.LayerNorm", .relative = "encoder.rel_embeddings",
                                     .relative_norm = "[encoder.LayerNorm]"},
     .norm = NORM_LAYER, .encoder = true, .no_rope = true, .norm_after_residual = true, .activation = "gelu", .epsilon = 1e-7},
    {.type = "modernbert", .names = {.embedding = "embeddings.tok_embeddings", .embedding_norm = "embeddings.norm", .layer = "layers.%d.",
                                     .attention_norm = "[attn_norm]", .qkv = "attn.Wqkv", .o = "attn.Wo", .ffn_norm = "mlp_norm",
                                     .gate_up = "mlp.Wi", .down = "mlp.Wo"},
     .norm = NORM_LAYER, .encoder = true, .gated = true, .activation = "gelu", .epsilon = 1e-5, .theta = 160000,
     .window = WINDOW_AROUND},

    /* ---- encoders with a decoder: the decoder's row, which names its encoder's ---- */
    {.type = "t5", .names = {T5_ATTENTION("decoder"), T5_CROSS, T5_FFN("layer.2.")}, T5_MANNER, .source = &t5_encoder,
     .activation = "relu"},
    {.type = "mt5", .names = {T5_ATTENTION("decoder"), T5_CROSS, T5_FFN("layer.2.")}, T5_MANNER, .source = &mt5_encoder,
     .activation = "gated-gelu"},
    {.type = "bart", .names = {BART_STACK("decoder"), BART_CROSS, NORMS_BEHIND, .cross_out_norm = "encoder_attn_layer_norm",
                               .positions = "decoder.embed_positions", .embedding_norm = "decoder.layernorm_embedding"},
     BART_MANNER, .source = &bart_encoder, .norm_after_residual = true, .position_offset = 2, .decoder_start = 2},
    {.type = "mbart", .names = {BART_STACK("decoder"), BART_CROSS, NORMS_BEFORE, .cross_norm = "encoder_attn_layer_norm",
                                .positions = "decoder.embed_positions", .embedding_norm = "decoder.layernorm_embedding"},
     BART_MANNER, .source = &mbart_encoder, .position_offset = 2, .decoder_start = -1},
    {.type = "marian", .names = {BART_STACK("decoder"), BART_CROSS, NORMS_BEHIND, .cross_out_norm = "encoder_attn_layer_norm",
                                 .positions = "[decoder.embed_positions]"},
     BART_MANNER, .source = &marian_encoder, .norm_after_residual = true, .sinusoidal = true, .decoder_start = 58100},
    {.type = "pegasus", .names = {BART_STACK("decoder"), BART_CROSS, NORMS_BEFORE, .cross_norm = "encoder_attn_layer_norm",
                                  .positions = "[decoder.embed_positions]"},
     BART_MANNER, .source = &pegasus_encoder, .sinusoidal = true},
};

const struct family *family_find(const char *type) {
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i].type, type) == 0) return &families[i];
    return NULL;
}

bool activation_find(const char *name, enum activation_kind *kind) {
    static const struct { const char *name; enum activation_kind kind; } kinds[] = {
        {"silu", ACTIVATION_SILU}, {"swish", ACTIVATION_SILU}, {"gelu", ACTIVATION_GELU}, {"gelu_new", ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", ACTIVATION_GELU_TANH}, {"relu", ACTIVATION_RELU}, {"clamped", ACTIVATION_CLAMPED},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(name, kinds[i].name) == 0) {
            *kind = kinds[i].kind;
            return true;
        }
    return false;
}
