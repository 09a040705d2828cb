/*
 * planted_model.h: a GPT-2 model whose heads are built by hand to do one thing each, as exactly as single precision allows. Tokens
 * are random codes of signs, positions are unit vectors, and feed-forward layers do nothing; every code stands twice in the
 * residual, once negated, so that layer norms have no mean to take away.
 */
#ifndef HEADSCOPE_TESTS_PLANTED_MODEL_H
#define HEADSCOPE_TESTS_PLANTED_MODEL_H

#include <stdbool.h>

enum planted_kind { PLANTED_PREVIOUS, PLANTED_OFFSET_3, PLANTED_FIRST, PLANTED_UNIFORM, PLANTED_DUPLICATE, PLANTED_INDUCTION, PLANTED_RANDOM };

struct planted_model {
    int layers, heads, code; /* code: dimensions of a token's code */
    const enum planted_kind *kind; /* [layers * heads]; PLANTED_INDUCTION needs PLANTED_PREVIOUS in an earlier layer */
};

enum { PLANTED_CONTEXT = 256, PLANTED_VOCABULARY = 416 };

/* False with errno set. */
bool planted_model_write(const char *path, const struct planted_model *planted);

#endif
