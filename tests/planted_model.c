#include "tests/planted_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gguf_writer.h"

/* A score that decides: what lies 0.2 of it below has a weight of e^-60. */
static const double gap = 300;
enum { LETTERS = 13, FEED_FORWARD = 32 };

struct planting {
    const struct planted_model *planted;
    int d_model, head_dim;
    int token, position, previous, out; /* where each code begins in the residual; its negative follows it */
    float *codes;                       /* [vocabulary, code], each of length 1 */
    struct gguf_writer writer;
};

static float *zeros(size_t count) {
    float *x = calloc(count, sizeof *x);
    if (!x) abort();
    return x;
}

static uint32_t next_random(uint32_t *state) { /* xorshift32 (Marsaglia 2003) */
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state >> 8;
}

static void put(struct planting *p, const char *name, int rows, int cols, float *weights) {
    gguf_put_tensor(&p->writer, name, 0, (uint64_t)rows, (uint64_t)cols, weights, (size_t)(rows ? rows : 1) * (size_t)cols * sizeof *weights);
    free(weights);
}

static float *filled(size_t count, float value) {
    float *x = zeros(count);
    for (size_t i = 0; i < count; i++) x[i] = value;
    return x;
}

/* ---- tokens: the bytes, and pairs of letters so that there are enough to draw from ---------------------------------- */

static void put_tokenizer(struct planting *p) {
    static char spelt[PLANTED_VOCABULARY][16], merge[LETTERS * LETTERS][8];
    const char *tokens[PLANTED_VOCABULARY], *merges[LETTERS * LETTERS];
    int32_t types[PLANTED_VOCABULARY];
    unsigned next = 0x100;
    for (int i = 0; i < PLANTED_VOCABULARY; i++) {
        int pair = i - 256;
        bool printable = (i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) || (i >= 0xae && i < 256);
        unsigned c = printable ? (unsigned)i : i < 256 ? next++ : 0;
        types[i] = 1;
        if (pair >= 0) {
            int first = 'a' + 2 * (pair / LETTERS), second = 'a' + 2 * (pair % LETTERS);
            snprintf(spelt[i], sizeof spelt[i], "%c%c", first, second);
            snprintf(merge[pair], sizeof merge[pair], "%c %c", first, second);
            merges[pair] = merge[pair];
        } else if (c < 0x80) {
            snprintf(spelt[i], sizeof spelt[i], "%c", (int)c);
        } else {
            snprintf(spelt[i], sizeof spelt[i], "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 0x3f)));
        }
        tokens[i] = spelt[i];
    }
    gguf_put_string(&p->writer, "tokenizer.ggml.model", "gpt2");
    gguf_put_string(&p->writer, "tokenizer.ggml.pre", "smollm");
    gguf_put_strings(&p->writer, "tokenizer.ggml.tokens", tokens, PLANTED_VOCABULARY);
    gguf_put_i32s(&p->writer, "tokenizer.ggml.token_type", types, PLANTED_VOCABULARY);
    gguf_put_strings(&p->writer, "tokenizer.ggml.merges", merges, PLANTED_VOCABULARY - 256);
    gguf_put_bool(&p->writer, "tokenizer.ggml.add_bos_token", false);
}

static void put_embeddings(struct planting *p) {
    int code = p->planted->code, d = p->d_model;
    uint32_t state = 12345;
    float *tokens = zeros((size_t)PLANTED_VOCABULARY * (size_t)d), *positions = zeros((size_t)PLANTED_CONTEXT * (size_t)d);
    float *output = zeros((size_t)PLANTED_VOCABULARY * (size_t)d);
    p->codes = zeros((size_t)PLANTED_VOCABULARY * (size_t)code);
    for (int t = 0; t < PLANTED_VOCABULARY; t++)
        for (int i = 0; i < code; i++) {
            float x = (next_random(&state) & 1 ? 1 : -1) / sqrtf((float)code);
            p->codes[t * code + i] = x;
            tokens[t * d + p->token + i] = x;
            tokens[t * d + p->token + code + i] = -x;
            output[t * d + p->out + i] = x;
        }
    for (int i = 0; i < PLANTED_CONTEXT; i++) {
        positions[i * d + p->position + i] = 1;
        positions[i * d + p->position + PLANTED_CONTEXT + i] = -1;
    }
    put(p, "token_embd.weight", PLANTED_VOCABULARY, d, tokens);
    put(p, "position_embd.weight", PLANTED_CONTEXT, d, positions);
    put(p, "output.weight", PLANTED_VOCABULARY, d, output);
    put(p, "output_norm.weight", 0, d, filled((size_t)d, 1));
    put(p, "output_norm.bias", 0, d, zeros((size_t)d));
}

/* ---- heads ----------------------------------------------------------------------------------------------------------- */

struct head_weights {
    float *q, *k, *v, *q_bias; /* [head_dim, d_model] each; [head_dim] */
    float *o;                  /* [d_model, d_model], all heads; this one's columns begin at `column` */
    int column;
};

/* Queries of position i meet keys of position i - back. */
static void plant_offset(const struct planting *p, struct head_weights *w, int back, float gain) {
    for (int i = back; i < PLANTED_CONTEXT; i++) {
        w->q[(i - back) * p->d_model + p->position + i] = gain;
        w->k[(i - back) * p->d_model + p->position + (i - back)] = 1;
    }
}

/* A score for the first key, whatever the query. scale: of a key behind the norm. */
static void plant_first(const struct planting *p, struct head_weights *w, float score) {
    w->q_bias[0] += score;
    w->k[p->position] = 1;
}

/* Tokens meet the codes that begin at `keys`; dimensions behind the positions'. */
static void plant_match(const struct planting *p, struct head_weights *w, int keys, float gain) {
    for (int i = 0; i < p->planted->code; i++) {
        w->q[(PLANTED_CONTEXT + i) * p->d_model + p->token + i] = gain;
        w->k[(PLANTED_CONTEXT + i) * p->d_model + keys + i] = 1;
    }
}

/* What a key's token is goes to the codes that begin at `to`. scale: of a code behind the norm. */
static void plant_copy(const struct planting *p, struct head_weights *w, int to, float scale) {
    int code = p->planted->code;
    for (int i = 0; i < code; i++) {
        w->v[i * p->d_model + p->token + i] = 1;
        w->o[(to + i) * p->d_model + w->column + i] = 1 / scale;
        w->o[(to + code + i) * p->d_model + w->column + i] = -1 / scale;
    }
}

/* scale: a code of length 1 in the residual has this length behind the layer's norm. */
static void plant(const struct planting *p, enum planted_kind kind, struct head_weights *w, double scale, uint32_t *state) {
    float gain = (float)(gap * sqrt((double)p->head_dim) / (scale * scale)), first = (float)(gap * sqrt((double)p->head_dim) / scale);
    switch (kind) {
    case PLANTED_PREVIOUS:
        plant_offset(p, w, 1, gain);
        plant_copy(p, w, p->previous, (float)scale);
        break;
    case PLANTED_OFFSET_3: plant_offset(p, w, 3, gain); break;
    case PLANTED_FIRST: plant_first(p, w, first); break;
    case PLANTED_UNIFORM: break;
    case PLANTED_DUPLICATE:
        plant_offset(p, w, 0, -2 * gain); /* not itself; and where there is no copy, the first */
        plant_match(p, w, p->token, gain);
        plant_first(p, w, 0.8f * first);
        break;
    case PLANTED_INDUCTION:
        plant_match(p, w, p->previous, gain);
        plant_first(p, w, 0.8f * first);
        plant_copy(p, w, p->out, (float)scale);
        break;
    case PLANTED_RANDOM:
        for (int i = 0; i < p->head_dim * p->d_model; i++) {
            float spread = 3 / sqrtf((float)p->d_model);
            w->q[i] = spread * ((float)next_random(state) / 8388608.0f - 1);
            w->k[i] = spread * ((float)next_random(state) / 8388608.0f - 1);
            w->v[i] = spread * ((float)next_random(state) / 8388608.0f - 1);
        }
        for (int i = 0; i < p->d_model; i++)
            for (int j = 0; j < p->head_dim; j++)
                w->o[i * p->d_model + w->column + j] = 0.1f * ((float)next_random(state) / 8388608.0f - 1);
        break;
    }
}

static void put_layer(struct planting *p, int layer, bool knows_previous, uint32_t *state) {
    int d = p->d_model, rows = p->head_dim;
    size_t part = (size_t)d * (size_t)d;
    float *qkv = zeros(3 * part), *bias = zeros(3 * (size_t)d), *o = zeros(part);
    double length = 2 * (knows_previous ? 3 : 2); /* squared, of the residual: each code stands twice */
    for (int h = 0; h < p->planted->heads; h++) {
        size_t at = (size_t)h * (size_t)rows * (size_t)d;
        struct head_weights w = {.q = qkv + at, .k = qkv + part + at, .v = qkv + 2 * part + at, .q_bias = bias + h * rows, .o = o,
                                 .column = h * rows};
        plant(p, p->planted->kind[layer * p->planted->heads + h], &w, sqrt((double)d / length), state);
    }
    const struct { const char *name; int rows, cols; float *weights; } parts[] = {
        {"attn_norm.weight", 0, d, filled((size_t)d, 1)}, {"attn_norm.bias", 0, d, zeros((size_t)d)},
        {"attn_qkv.weight", 3 * d, d, qkv}, {"attn_qkv.bias", 0, 3 * d, bias},
        {"attn_output.weight", d, d, o}, {"attn_output.bias", 0, d, zeros((size_t)d)},
        {"ffn_norm.weight", 0, d, filled((size_t)d, 1)}, {"ffn_norm.bias", 0, d, zeros((size_t)d)},
        {"ffn_up.weight", FEED_FORWARD, d, zeros(FEED_FORWARD * (size_t)d)}, {"ffn_up.bias", 0, FEED_FORWARD, zeros(FEED_FORWARD)},
        {"ffn_down.weight", d, FEED_FORWARD, zeros(FEED_FORWARD * (size_t)d)}, {"ffn_down.bias", 0, d, zeros((size_t)d)},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s", layer, parts[i].name);
        put(p, name, parts[i].rows, parts[i].cols, parts[i].weights);
    }
}

bool planted_model_write(const char *path, const struct planted_model *planted) {
    struct planting p = {.planted = planted};
    int heads = planted->heads, code = planted->code, needed = 2 * (PLANTED_CONTEXT + 3 * code);
    p.head_dim = PLANTED_CONTEXT + code;
    if (heads * p.head_dim < needed) p.head_dim = (needed + heads - 1) / heads;
    p.head_dim = (p.head_dim + 31) / 32 * 32;
    p.d_model = heads * p.head_dim;
    p.position = 2 * code;
    p.previous = p.position + 2 * PLANTED_CONTEXT;
    p.out = p.previous + 2 * code;
    gguf_writer_start(&p.writer);
    gguf_put_string(&p.writer, "general.architecture", "gpt2");
    gguf_put_string(&p.writer, "general.name", "Planted");
    gguf_put_u32(&p.writer, "gpt2.block_count", (uint32_t)planted->layers);
    gguf_put_u32(&p.writer, "gpt2.context_length", PLANTED_CONTEXT);
    gguf_put_u32(&p.writer, "gpt2.embedding_length", (uint32_t)p.d_model);
    gguf_put_u32(&p.writer, "gpt2.feed_forward_length", FEED_FORWARD);
    gguf_put_u32(&p.writer, "gpt2.attention.head_count", (uint32_t)heads);
    gguf_put_f32(&p.writer, "gpt2.attention.layer_norm_epsilon", 1e-9f);
    put_tokenizer(&p);
    put_embeddings(&p);
    uint32_t state = 99;
    bool knows_previous = false;
    for (int layer = 0; layer < planted->layers; layer++) {
        put_layer(&p, layer, knows_previous, &state);
        for (int h = 0; h < heads; h++) knows_previous = knows_previous || planted->kind[layer * heads + h] == PLANTED_PREVIOUS;
    }
    size_t size;
    unsigned char *file = gguf_writer_finish(&p.writer, &size);
    gguf_writer_drop(&p.writer);
    free(p.codes);
    bool written = write_file(path, file, size);
    free(file);
    return written;
}
