/*
 * tokenizer_parts.h: what a tokenizer is made of, for those who make one from a file (tokenizer_gguf.c, json_tokenizer.c) and for
 * tokenizer.c, which runs it. A family of tokenizers is data: no part knows a model's name.
 */
#ifndef HEADSCOPE_ENGINE_TOKENIZER_PARTS_H
#define HEADSCOPE_ENGINE_TOKENIZER_PARTS_H

#include "engine/added_tokens.h"
#include "engine/bpe.h"
#include "engine/normalizer.h"
#include "engine/pretokenizer.h"
#include "engine/tokenizer.h"
#include "engine/unigram.h"
#include "engine/vocabulary.h"
#include "engine/wordpiece.h"

/* What stands around a text or two. */
struct template_piece {
    bool text;       /* the text `sequence`, else the token `id` */
    uint8_t sequence;
    uint8_t type;    /* token type (segment) */
    uint32_t id;
};

enum { TEMPLATE_MAX = 64 };

struct template {
    size_t count;
    struct template_piece pieces[TEMPLATE_MAX];
};

struct tokenizer {
    char name[64];
    struct vocabulary *vocabulary;
    struct added_tokens *plain;      /* found in the text as it is; may be NULL */
    struct normalizer normalizer;
    struct added_tokens *normalised; /* found in the normalised text; may be NULL */
    struct pretokenizer pretokenizer;
    struct bpe *bpe;                 /* one of these three */
    struct wordpiece *wordpiece;
    struct unigram *unigram;
    struct template single, pair;    /* an empty pair: two texts do not go together */
};

/* Empty, but for a template of the text alone. NULL without memory. */
struct tokenizer *tokenizer_create(void);

/* False where the template is full. */
bool template_add(struct template *template, struct template_piece piece);

#endif
