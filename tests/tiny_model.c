#include "tests/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct tiny_model tiny_model_default = {
    .layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 8, .d_ff = 64, .context = 256, .seed = 1, .pre = "smollm",
};

/* ---- tokens ------------------------------------------------------------------------------------------------ */

/* "\u0120" is how byte-level BPE spells a space. */
static const char *const merges[] = {"t h", "th e", "\u0120 t", "h e", "\u0120t he", "i n", "a a", "aa aa", "\u0120 \u0120", "o n", "r e"};
static const char *const merged[] = {"th", "the", "\u0120t", "he", "\u0120the", "in", "aa", "aaaa", "\u0120\u0120", "on", "re"};
enum { MERGES = sizeof merges / sizeof merges[0] };

/* Printable bytes stand for themselves, the others for U+0100 and on, in order (GPT-2's bytes_to_unicode). */
static void spell_bytes(char spelt[256][4]) {
    unsigned next = 0x100;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        unsigned c = printable ? byte : next++;
        if (c < 0x80) snprintf(spelt[byte], 4, "%c", (int)c);
        else snprintf(spelt[byte], 4, "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 0x3f)));
    }
}

void tiny_model_put_tokenizer(struct gguf_writer *writer, const struct tiny_model *tiny) {
    char spelt[256][4], unused[TINY_VOCABULARY][16];
    const char *tokens[TINY_VOCABULARY];
    int32_t types[TINY_VOCABULARY];
    spell_bytes(spelt);
    for (int i = 0; i < TINY_VOCABULARY; i++) {
        snprintf(unused[i], sizeof unused[i], "[PAD%d]", i);
        tokens[i] = i < 256 ? spelt[i] : unused[i];
        types[i] = i < 256 ? 1 : 5;
    }
    tokens[TINY_BOS] = "<|bos|>";
    tokens[TINY_END] = "<|end|>";
    tokens[TINY_START] = "<|end|>start";
    for (int i = TINY_BOS; i <= TINY_START; i++) types[i] = 3;
    for (int i = 0; i < MERGES; i++) {
        tokens[TINY_START + 1 + i] = merged[i];
        types[TINY_START + 1 + i] = 1;
    }
    gguf_put_string(writer, "tokenizer.ggml.model", "gpt2");
    gguf_put_string(writer, "tokenizer.ggml.pre", tiny->pre);
    gguf_put_strings(writer, "tokenizer.ggml.tokens", tokens, TINY_VOCABULARY);
    gguf_put_i32s(writer, "tokenizer.ggml.token_type", types, TINY_VOCABULARY);
    gguf_put_strings(writer, "tokenizer.ggml.merges", merges, MERGES);
    gguf_put_u32(writer, "tokenizer.ggml.bos_token_id", TINY_BOS);
    gguf_put_u32(writer, "tokenizer.ggml.eos_token_id", TINY_END);
    gguf_put_bool(writer, "tokenizer.ggml.add_bos_token", tiny->add_bos);
}

/* ---- weights ----------------------------------------------------------------------------------------------- */

static float next_random(uint32_t *state) { /* xorshift32 (Marsaglia 2003), -1 to 1 */
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

/* Truncates: the value that a reader finds is the test's own, whichever way it was rounded. Normal numbers only. */
static uint16_t to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    int exponent = (int)(bits >> 23 & 0xff) - 127 + 15;
    if (exponent <= 0) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)exponent << 10 | (bits >> 13 & 0x3ff));
}

static void put_random(struct gguf_writer *writer, const struct tiny_model *tiny, uint32_t *state, const char *name,
                       int rows, int cols) {
    size_t count = (size_t)rows * (size_t)cols;
    float *weights = malloc(count * sizeof *weights);
    uint16_t *halves = malloc(count * sizeof *halves);
    if (weights == NULL || halves == NULL) abort();
    float scale = 2.0f / sqrtf((float)cols);
    for (size_t i = 0; i < count; i++) {
        weights[i] = scale * next_random(state);
        halves[i] = to_half(weights[i]);
    }
    if (tiny->type == 1) gguf_put_tensor(writer, name, 1, (uint64_t)rows, (uint64_t)cols, halves, count * sizeof *halves);
    else gguf_put_tensor(writer, name, 0, (uint64_t)rows, (uint64_t)cols, weights, count * sizeof *weights);
    free(weights);
    free(halves);
}

static void put_norm(struct gguf_writer *writer, uint32_t *state, const char *name, int size) {
    float *weights = malloc((size_t)size * sizeof *weights);
    if (weights == NULL) abort();
    for (int i = 0; i < size; i++) weights[i] = 1 + 0.25f * next_random(state);
    gguf_put_tensor(writer, name, 0, 0, (uint64_t)size, weights, (size_t)size * sizeof *weights);
    free(weights);
}

void tiny_model_put(struct gguf_writer *writer, const struct tiny_model *tiny) {
    uint32_t state = tiny->seed * 2654435761u | 1;
    int d_model = tiny->heads * tiny->head_dim, kv_dim = tiny->kv_heads * tiny->head_dim;
    gguf_put_string(writer, "general.architecture", "llama");
    gguf_put_string(writer, "general.name", "Tiny");
    gguf_put_string(writer, "general.license", "cc0-1.0");
    gguf_put_u32(writer, "llama.block_count", (uint32_t)tiny->layers);
    gguf_put_u32(writer, "llama.context_length", (uint32_t)tiny->context);
    gguf_put_u32(writer, "llama.embedding_length", (uint32_t)d_model);
    gguf_put_u32(writer, "llama.feed_forward_length", (uint32_t)tiny->d_ff);
    gguf_put_u32(writer, "llama.attention.head_count", (uint32_t)tiny->heads);
    gguf_put_u32(writer, "llama.attention.head_count_kv", (uint32_t)tiny->kv_heads);
    gguf_put_f32(writer, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_put_f32(writer, "llama.rope.freq_base", 10000.0f);
    if (tiny->pre != NULL) tiny_model_put_tokenizer(writer, tiny);
    put_random(writer, tiny, &state, "token_embd.weight", TINY_VOCABULARY, d_model);
    put_norm(writer, &state, "output_norm.weight", d_model);
    for (int layer = 0; layer < tiny->layers; layer++) {
        const struct { const char *name; int rows, cols; } parts[] = {
            {"attn_norm", 0, d_model}, {"attn_q", d_model, d_model}, {"attn_k", kv_dim, d_model},
            {"attn_v", kv_dim, d_model}, {"attn_output", d_model, d_model}, {"ffn_norm", 0, d_model},
            {"ffn_gate", tiny->d_ff, d_model}, {"ffn_up", tiny->d_ff, d_model}, {"ffn_down", d_model, tiny->d_ff},
        };
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s.weight", layer, parts[i].name);
            if (parts[i].rows == 0) put_norm(writer, &state, name, parts[i].cols);
            else put_random(writer, tiny, &state, name, parts[i].rows, parts[i].cols);
        }
    }
}

bool tiny_model_write(const char *path, const struct tiny_model *tiny) {
    struct gguf_writer writer;
    size_t size;
    gguf_writer_start(&writer);
    tiny_model_put(&writer, tiny != NULL ? tiny : &tiny_model_default);
    unsigned char *file = gguf_writer_finish(&writer, &size);
    gguf_writer_drop(&writer);
    bool written = write_file(path, file, size);
    free(file);
    return written;
}
