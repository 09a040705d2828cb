/*
 * unicode.h: what tokenizers ask of characters, and the Unicode normal forms, by utf8proc's tables.
 */
#ifndef HEADSCOPE_ENGINE_UNICODE_H
#define HEADSCOPE_ENGINE_UNICODE_H

#include "engine/stretch.h"

enum character_class {
    CLASS_WHITESPACE,  /* the White_Space property */
    CLASS_PUNCTUATION, /* categories P*, and all of ASCII that is neither letter, digit, space nor control */
    CLASS_NUMERIC,     /* Nd, Nl, No */
    CLASS_WORD,        /* \w: alphabetic, marks, decimal digits, connectors, joiners (Unicode TR 18, annex C) */
    CLASS_MARK,        /* M* */
    CLASS_MARK_NONSPACING, /* Mn */
    CLASS_OTHER,       /* Cc, Cf, Co: control, format and private characters */
    CLASS_IDEOGRAPH,   /* the blocks of CJK ideographs that BERT sets apart */
};

bool unicode_is(uint32_t character, enum character_class class);

/* The character in lower case, one or two characters; returns how many. No context (no final sigma). */
int unicode_lower(uint32_t character, uint32_t lower[2]);

enum unicode_form { FORM_NFC, FORM_NFD, FORM_NFKC, FORM_NFKD };

/* Appends the normal form (Unicode TR 15) of a stretch; O(n log n). A character that was composed comes from all bytes of its parts. */
void unicode_normalise(struct stretch in, enum unicode_form form, struct rewriting *out);

/* How many bytes the grapheme cluster (Unicode TR 29) at the start of a stretch takes; > 0 where size > 0. */
size_t unicode_grapheme(const char *text, size_t size);

#endif
