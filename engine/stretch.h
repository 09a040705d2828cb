/*
 * stretch.h: a stretch of text on its way to tokens, and where in the user's own text each of its bytes comes from.
 *
 * Normalisation changes, drops and inserts characters; each byte of the result keeps the range of original bytes that it
 * stands for. A byte that was copied comes from one byte; those of a character that was made from others come from all of
 * theirs; an inserted byte has an empty range at its place.
 */
#ifndef HEADSCOPE_ENGINE_STRETCH_H
#define HEADSCOPE_ENGINE_STRETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the user's text, half-open. */
struct origin {
    uint32_t start, end;
};

/* Borrowed. Valid UTF-8, at most INT32_MAX bytes. */
struct stretch {
    const char *bytes;
    size_t size;
    const struct origin *origin; /* [size]; NULL: nothing was changed, byte i is byte `first` + i of the text */
    size_t first;
};

struct stretch stretch_part(struct stretch whole, size_t start, size_t end);

/* Where bytes [start, end) come from. For start == end the place between two bytes. */
struct origin stretch_origin(struct stretch stretch, size_t start, size_t end);

/* A stretch that is being written. Start with {0}, end with rewriting_finish; rewriting_clear keeps its room. Once an allocation
 * fails nothing more is written and `failed` stays true. */
struct rewriting {
    char *bytes;
    struct origin *origin;
    size_t size, room;
    bool failed;
};

void rewriting_clear(struct rewriting *rewriting);
void rewriting_finish(struct rewriting *rewriting);

/* Appends bytes [start, end) of a stretch as they are. */
void rewriting_keep(struct rewriting *rewriting, struct stretch from, size_t start, size_t end);
/* Appends bytes that all come from `origin`. */
void rewriting_put(struct rewriting *rewriting, const char *bytes, size_t size, struct origin origin);
void rewriting_put_character(struct rewriting *rewriting, uint32_t character, struct origin origin);

/* What has been written. Borrowed until the next change. */
struct stretch rewriting_result(const struct rewriting *rewriting);

#endif
