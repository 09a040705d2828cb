/*
 * conllu.h: a parse in CoNLL-U (universaldependencies.org/format.html), laid onto the tokens of the text it is of. No library of Debian
 * reads the format for C; of its ten columns ID, FORM, HEAD and DEPREL matter here.
 *
 * Words     Their forms follow each other in the text, with nothing but white space between them. A multiword token ("1-2 don't") stands
 *           for its words: each of them where its form is what the next bytes are, else all of them over the whole. Empty nodes
 *           ("8.1") are passed over.
 * Tokens    A word has the tokens that its bytes touch; a token over two words is the first one's, but where the second would have none.
 */
#ifndef HEADSCOPE_SERVER_CONLLU_H
#define HEADSCOPE_SERVER_CONLLU_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/engine.h"
#include "server/json_stored.h"
#include "server/problem.h"

#define CONLLU_SENTENCE_MAX 1000 /* words */
#define CONLLU_RELATIONS_MAX 256
#define CONLLU_NAME_MAX 32       /* bytes of a relation's name */

struct parse {
    struct parsed_word *words;
    size_t count, sentences;
    char (*relation)[CONLLU_NAME_MAX + 1]; /* names, without subtypes */
    size_t relations;
};

/* `parse`: NUL-terminated. False with a problem that names the line. The caller clears it. */
bool conllu_read(const char *conllu, const struct stored_text *text, struct parse *parse, struct problem *problem);
void conllu_clear(struct parse *parse);

#endif
