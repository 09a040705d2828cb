#include "engine/gguf_architectures.h"

#include <string.h>

#define START .embedding = "token_embd", .layer = "blk.%d."
#define ATTENTION .qkv = "[attn_qkv]", .q = "[attn_q]", .k = "[attn_k]", .v = "[attn_v]", .o = "attn_output"
#define NORMS .attention_norm = "attn_norm", .ffn_norm = "ffn_norm"
#define HEAD_NORMS .q_norm = "attn_q_norm", .k_norm = "attn_k_norm"
#define OUT_NORMS .attention_out_norm = "post_attention_norm", .ffn_out_norm = "post_ffw_norm"
#define GATED .gate = "ffn_gate", .up = "ffn_up", .down = "ffn_down"
#define JOINED .gate_up = "ffn_up", .down = "ffn_down"
#define PLAIN .up = "ffn_up", .down = "ffn_down"
#define EXPERTS                                                                                                          \
    .router = "ffn_gate_inp", .experts_gate = "ffn_gate_exps", .experts_up = "ffn_up_exps", .experts_down = "ffn_down_exps"

#define T5_STACK(of)                                                                                                     \
    .embedding = "token_embd", .layer = of ".blk.%d.", .relative_bias = of ".blk.0.attn_rel_b", NORMS, .q = "attn_q", .k = "attn_k",  \
    .v = "attn_v", .o = "attn_o", .gate = "[ffn_gate]", PLAIN

static const struct gguf_architecture architectures[] = {
    {.name = "llama", .family = "llama", .names = {START, NORMS, ATTENTION, GATED, EXPERTS}, .adjacent = true},
    {.name = "qwen2", .family = "qwen2", .names = {START, NORMS, ATTENTION, GATED}},
    {.name = "qwen3", .family = "qwen3", .names = {START, NORMS, ATTENTION, HEAD_NORMS, GATED}},
    {.name = "qwen3moe", .family = "qwen3_moe", .names = {START, NORMS, ATTENTION, HEAD_NORMS, EXPERTS}},
    {.name = "smollm3", .family = "smollm3", .names = {START, NORMS, ATTENTION, GATED}, .adjacent = true, .no_rope_interval = 4},
    {.name = "granite", .family = "granite", .names = {START, NORMS, ATTENTION, GATED}, .adjacent = true},
    {.name = "phi3", .family = "phi3", .names = {START, NORMS, ATTENTION, JOINED}},
    {.name = "gemma", .family = "gemma", .names = {START, NORMS, ATTENTION, GATED}},
    {.name = "gemma2", .family = "gemma2", .names = {START, NORMS, ATTENTION, OUT_NORMS, GATED}, .layers_of_wide = 46, .score_cap = 50,
     .window = 4096},
    {.name = "gemma3", .family = "gemma3_text", .names = {START, NORMS, ATTENTION, HEAD_NORMS, OUT_NORMS, GATED}, .layers_of_wide = 62,
     .local_theta = 10000},
    {.name = "olmo2", .family = "olmo2", .names = {START, ATTENTION, HEAD_NORMS, OUT_NORMS, GATED}},
    {.name = "glm4", .family = "glm4", .names = {START, NORMS, ATTENTION, OUT_NORMS, JOINED}, .adjacent = true},
    {.name = "gpt-oss", .family = "gpt_oss", .exact_yarn = true,
     .names = {START, ATTENTION, .attention_norm = "attn_norm", .ffn_norm = "post_attention_norm", .sinks = "attn_sinks.weight", EXPERTS}},
    {.name = "starcoder2", .family = "starcoder2", .names = {START, NORMS, ATTENTION, PLAIN}},
    {.name = "stablelm", .family = "stablelm",
     .names = {START, ATTENTION, GATED, .attention_norm = "attn_norm", .ffn_norm = "[ffn_norm]"}},
    {.name = "command-r", .family = "cohere", .names = {START, ATTENTION, GATED, .attention_norm = "attn_norm"}, .adjacent = true},
    {.name = "phi2", .family = "phi", .names = {START, ATTENTION, PLAIN, .attention_norm = "attn_norm"}},
    {.name = "gpt2", .family = "gpt2", .names = {START, NORMS, ATTENTION, PLAIN, .positions = "position_embd"}},
    {.name = "gptneox", .family = "gpt_neox", .names = {START, NORMS, ATTENTION, PLAIN}},
    /* With two norms, attn_norm is that of the feed-forward layer. */
    {.name = "falcon", .family = "falcon",
     .names = {START, ATTENTION, PLAIN, .attention_norm = "attn_norm_2|attn_norm", .ffn_norm = "attn_norm"}},
    {.name = "bloom", .family = "bloom", .names = {START, NORMS, ATTENTION, PLAIN, .embedding_norm = "token_embd_norm"}},
    {.name = "bert", .family = "bert",
     .names = {START, ATTENTION, PLAIN, .positions = "position_embd", .token_types = "[token_types]", .embedding_norm = "token_embd_norm",
               .attention_out_norm = "attn_output_norm", .ffn_out_norm = "layer_output_norm"}},
    {.name = "t5", .family = "t5",
     .names = {T5_STACK("dec"), .cross_norm = "cross_attn_norm", .cross_q = "cross_attn_q", .cross_k = "cross_attn_k",
               .cross_v = "cross_attn_v", .cross_o = "cross_attn_o"},
     .source = {T5_STACK("enc"), .output_norm = "enc.output_norm"}},
};

const struct gguf_architecture *gguf_architecture_find(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof architectures / sizeof architectures[0]; i++)
        if (strlen(architectures[i].name) == size && memcmp(architectures[i].name, name, size) == 0) return &architectures[i];
    return NULL;
}

static struct family as_gguf(const struct gguf_architecture *architecture, const struct family *original, const struct family_names *names) {
    struct family family = *original;
    family.names = *names;
    family.qkv = QKV_STACKED;
    family.transposed = false;
    family.adjacent = architecture->adjacent;
    if (family.norm == NORM_RMS_PLUS_ONE) family.norm = NORM_RMS;
    return family;
}

void gguf_architecture_families(const struct gguf_architecture *architecture, struct family families[2]) {
    const struct family *original = family_find(architecture->family);
    families[0] = as_gguf(architecture, original, &architecture->names);
    if (!original->source) return;
    families[1] = as_gguf(architecture, original->source, &architecture->source);
    families[0].source = &families[1];
}
