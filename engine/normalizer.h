/*
 * normalizer.h: what happens to a text before it is split into words: a list of steps, each of which rewrites it and keeps track
 * of where every byte comes from.
 */
#ifndef HEADSCOPE_ENGINE_NORMALIZER_H
#define HEADSCOPE_ENGINE_NORMALIZER_H

#include <nettle/sha2.h>

#include "engine/charsmap.h"
#include "engine/pattern.h"
#include "engine/unicode.h"

enum normalizer_kind {
    NORMALIZE_FORM,       /* a Unicode normal form: `form` */
    NORMALIZE_LOWERCASE,
    NORMALIZE_DROP,       /* drops all characters of `class` */
    NORMALIZE_CLEAN,      /* BERT: drops NUL, U+FFFD and CLASS_OTHER but tab and line ends; white space becomes a space */
    NORMALIZE_SPACE_OUT,  /* BERT: a space before and after every ideograph */
    NORMALIZE_STRIP,      /* drops white space at `left`, `right` */
    NORMALIZE_REPLACE,    /* every match of `pattern` becomes `content` */
    NORMALIZE_PREPEND,    /* `content` before a text that is not empty */
    NORMALIZE_CHARSMAP,   /* `map` */
};

struct normalizer_step {
    enum normalizer_kind kind;
    enum unicode_form form;
    enum character_class class;
    bool left, right;
    struct pattern *pattern;
    char *content;
    size_t content_size;
    struct charsmap *map;
};

/* Start with {0}, fill with normalizer_add, end with normalizer_finish. Never changes once a tokenizer has it. */
struct normalizer {
    struct normalizer_step *steps;
    size_t count;
    struct sha256_ctx digest; /* of what was added */
};

/* The normalizer owns the step's pattern, content and map from then on, also where it fails. `definition`: bytes that tell this step
 * from all others of its kind (its pattern's text, its map). ENGINE_NO_MEMORY, or ENGINE_UNSUPPORTED for more than 64 steps. */
enum engine_status normalizer_add(struct normalizer *normalizer, struct normalizer_step step, const void *definition,
                                  size_t definition_size, char *error, size_t error_size);
void normalizer_finish(struct normalizer *normalizer);
void normalizer_hash(const struct normalizer *normalizer, struct sha256_ctx *context);

/* *out points into `in` or into one of the two scratch buffers. */
enum engine_status normalizer_run(const struct normalizer *normalizer, struct stretch in, struct matcher *matcher,
                                  struct rewriting scratch[2], struct stretch *out, char *error, size_t error_size);

#endif
