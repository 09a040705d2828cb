/*
 * pretokenizer.h: splits a text into the words within which a model finds tokens: a list of steps. The first cuts the text, the
 * next cuts each of its pieces on its own, and so on; the piece is all that a step sees.
 */
#ifndef HEADSCOPE_ENGINE_PRETOKENIZER_H
#define HEADSCOPE_ENGINE_PRETOKENIZER_H

#include <nettle/sha2.h>

#include "engine/pattern.h"
#include "engine/stretch.h"
#include "engine/unicode.h"

enum pretokenizer_kind {
    SPLIT_PATTERN,   /* at the matches of `pattern` */
    SPLIT_CLASS,     /* at every character of `class` */
    SPLIT_CHARACTER, /* at every `character` */
    SPLIT_WORDS,     /* keeps runs of \w and runs of what is neither \w nor white space */
    SPLIT_PREFIX,    /* changes a piece: `character` goes before it where it does not start with it */
    SPLIT_MARK,      /* changes a piece: each space becomes `character` */
};

/* What becomes of a match that cuts. "the-final--countdown" at "-": */
enum split_behaviour {
    SPLIT_REMOVED,              /* the, final, countdown */
    SPLIT_ISOLATED,             /* the, -, final, -, -, countdown */
    SPLIT_MERGED_WITH_PREVIOUS, /* the-, final-, -, countdown */
    SPLIT_MERGED_WITH_NEXT,     /* the, -final, -, -countdown */
    SPLIT_CONTIGUOUS,           /* the, -, final, --, countdown */
};

struct pretokenizer_step {
    enum pretokenizer_kind kind;
    enum split_behaviour behaviour;
    bool invert;     /* what is no match cuts */
    bool only_first; /* SPLIT_PREFIX: only a piece from the text's very start */
    enum character_class class;
    uint32_t character;
    struct pattern *pattern;
};

/* Start with {0}, fill with pretokenizer_add, end with pretokenizer_finish. Never changes once a tokenizer has it. */
struct pretokenizer {
    struct pretokenizer_step *steps;
    size_t count;
    struct sha256_ctx digest; /* of what was added */
};

/* The pretokenizer owns the step's pattern from then on, also where it fails. `definition`: the pattern's text. */
enum engine_status pretokenizer_add(struct pretokenizer *pretokenizer, struct pretokenizer_step step, const void *definition,
                                    size_t definition_size, char *error, size_t error_size);
void pretokenizer_finish(struct pretokenizer *pretokenizer);
void pretokenizer_hash(const struct pretokenizer *pretokenizer, struct sha256_ctx *context);

/* The split of GPT-2 (Radford et al. 2019): contractions, words, numbers, the rest, each with the space before it. */
extern const char pretokenizer_gpt2[];

/* The pre-tokenizer that goes with a name in a GGUF file's tokenizer.ggml.pre, as data. */
struct named_pretokenizer {
    const char *name;
    const char *patterns[8]; /* up to the first NULL */
    bool takes_whole_words; /* a word that is a token is never merged from parts */
    bool adds_start;        /* the start token is added where the file does not say */
    bool normalises;        /* to NFC, first */
};
/* NULL for a name that is not known. */
const struct named_pretokenizer *pretokenizer_named(const char *name, size_t size);

/* What one thread needs while it splits. NULL without memory. The matcher is borrowed. */
struct splitter;
struct splitter *splitter_create(const struct pretokenizer *pretokenizer, struct matcher *matcher);
void splitter_destroy(struct splitter *splitter); /* NULL is fine */

/* Calls word(context, word) for each word, in order; none is empty. Ends with the first status that is not ENGINE_OK, that of
 * `word` or its own. */
enum engine_status splitter_run(struct splitter *splitter, struct stretch text,
                                enum engine_status (*word)(void *context, struct stretch word), void *context, char *error,
                                size_t error_size);

#endif
