#include "engine/pretokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/utf8.h"

enum { STEPS_MAX = 64 };

struct splitter {
    const struct pretokenizer *pretokenizer;
    struct matcher *matcher;
    struct rewriting *changed; /* [count]: what the steps that change a piece wrote */
    enum engine_status (*word)(void *context, struct stretch word);
    void *context;
    char *error;
    size_t error_size;
};

/* ---- making ------------------------------------------------------------------------------------------------ */

enum engine_status pretokenizer_add(struct pretokenizer *pretokenizer, struct pretokenizer_step step, const void *definition,
                                    size_t definition_size, char *error, size_t error_size) {
    struct pretokenizer_step *steps = NULL;
    if (pretokenizer->count < STEPS_MAX) steps = realloc(pretokenizer->steps, (pretokenizer->count + 1) * sizeof *steps);
    if (steps == NULL) {
        pattern_destroy(step.pattern);
        if (pretokenizer->count < STEPS_MAX) return engine_fail_memory(error, error_size);
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the tokenizer has more than %d pre-tokenizers", STEPS_MAX);
    }
    const uint8_t head[] = {(uint8_t)step.kind, (uint8_t)step.behaviour, step.invert, step.only_first, (uint8_t)step.class,
                            (uint8_t)step.character, (uint8_t)(step.character >> 8), (uint8_t)(step.character >> 16),
                            (uint8_t)definition_size, (uint8_t)(definition_size >> 8)};
    if (pretokenizer->count == 0) sha256_init(&pretokenizer->digest);
    sha256_update(&pretokenizer->digest, sizeof head, head);
    if (definition_size > 0) sha256_update(&pretokenizer->digest, definition_size, definition);
    pretokenizer->steps = steps;
    pretokenizer->steps[pretokenizer->count++] = step;
    return ENGINE_OK;
}

void pretokenizer_finish(struct pretokenizer *pretokenizer) {
    for (size_t i = 0; i < pretokenizer->count; i++) pattern_destroy(pretokenizer->steps[i].pattern);
    free(pretokenizer->steps);
    *pretokenizer = (struct pretokenizer){0};
}

void pretokenizer_hash(const struct pretokenizer *pretokenizer, struct sha256_ctx *context) {
    uint8_t digest[SHA256_DIGEST_SIZE] = {0};
    struct sha256_ctx so_far = pretokenizer->digest;
    if (pretokenizer->count > 0) sha256_digest(&so_far, sizeof digest, digest);
    sha256_update(context, sizeof digest, digest);
}

struct splitter *splitter_create(const struct pretokenizer *pretokenizer, struct matcher *matcher) {
    struct splitter *splitter = calloc(1, sizeof *splitter);
    if (splitter == NULL) return NULL;
    splitter->pretokenizer = pretokenizer;
    splitter->matcher = matcher;
    splitter->changed = calloc(pretokenizer->count + 1, sizeof *splitter->changed);
    if (splitter->changed == NULL) {
        free(splitter);
        return NULL;
    }
    return splitter;
}

void splitter_destroy(struct splitter *splitter) {
    if (splitter == NULL) return;
    for (size_t i = 0; i < splitter->pretokenizer->count; i++) rewriting_finish(&splitter->changed[i]);
    free(splitter->changed);
    free(splitter);
}

/* ---- cutting ----------------------------------------------------------------------------------------------- */

static enum engine_status run_step(struct splitter *splitter, size_t level, struct stretch piece);

/* A piece that one step cuts. What it matches and what lies between arrives in order; parts that still may grow wait. */
struct cut {
    struct splitter *splitter;
    size_t level;
    struct stretch piece;
    const struct pretokenizer_step *step;
    bool waits, last_match;
    size_t start, end; /* of what waits */
};

static enum engine_status emit(struct cut *cut, size_t start, size_t end) {
    if (start == end) return ENGINE_OK;
    return run_step(cut->splitter, cut->level + 1, stretch_part(cut->piece, start, end));
}

static enum engine_status flush(struct cut *cut) {
    bool waited = cut->waits;
    cut->waits = false;
    return waited ? emit(cut, cut->start, cut->end) : ENGINE_OK;
}

static void wait_for_more(struct cut *cut, size_t start, size_t end) {
    cut->waits = true;
    cut->start = start;
    cut->end = end;
}

static enum engine_status part(struct cut *cut, size_t start, size_t end, bool match) {
    enum engine_status status = ENGINE_OK;
    bool before = cut->last_match;
    if (cut->step->invert) match = !match;
    cut->last_match = match;
    switch (cut->step->behaviour) {
    case SPLIT_REMOVED:
        return match ? ENGINE_OK : emit(cut, start, end);
    case SPLIT_ISOLATED:
        return emit(cut, start, end);
    case SPLIT_MERGED_WITH_NEXT:
        if (cut->waits && !match) {
            cut->waits = false;
            return emit(cut, cut->start, end);
        }
        status = flush(cut);
        if (status != ENGINE_OK || !match) return status == ENGINE_OK ? emit(cut, start, end) : status;
        wait_for_more(cut, start, end);
        return ENGINE_OK;
    case SPLIT_MERGED_WITH_PREVIOUS:
    case SPLIT_CONTIGUOUS:
        if (cut->waits && (cut->step->behaviour == SPLIT_CONTIGUOUS ? match == before : match && !before)) {
            cut->end = end;
            return ENGINE_OK;
        }
        status = flush(cut);
        wait_for_more(cut, start, end);
        return status;
    }
    return status;
}

/* A match, and what lies between it and the part before, which ended at *done. */
static enum engine_status match_part(struct cut *cut, size_t *done, size_t start, size_t end) {
    enum engine_status status = start > *done ? part(cut, *done, start, false) : ENGINE_OK;
    *done = end;
    return status == ENGINE_OK ? part(cut, start, end, true) : status;
}

static enum engine_status end_parts(struct cut *cut, size_t done) {
    enum engine_status status = done < cut->piece.size ? part(cut, done, cut->piece.size, false) : ENGINE_OK;
    return status == ENGINE_OK ? flush(cut) : status;
}

static enum engine_status cut_by_pattern(struct cut *cut) {
    struct search search = search_start(cut->step->pattern, cut->piece.bytes, cut->piece.size);
    size_t done = 0, start, end;
    bool found;
    for (;;) {
        enum engine_status status = search_next(&search, cut->splitter->matcher, &found, &start, &end);
        if (status == ENGINE_NO_MEMORY) return engine_fail_memory(cut->splitter->error, cut->splitter->error_size);
        if (status != ENGINE_OK)
            return engine_fail(ENGINE_INVALID, cut->splitter->error, cut->splitter->error_size,
                               "the text cannot be split into words near byte %u; part it there",
                               stretch_origin(cut->piece, start, start).start);
        if (!found) return end_parts(cut, done);
        status = match_part(cut, &done, start, end);
        if (status != ENGINE_OK) return status;
    }
}

static enum engine_status cut_by_character(struct cut *cut) {
    size_t done = 0;
    for (size_t at = 0, length; at < cut->piece.size; at += length) {
        uint32_t character;
        length = utf8_character(cut->piece.bytes + at, cut->piece.size - at, &character);
        if (length == 0) break; /* cannot be: stretches are valid */
        bool match = cut->step->kind == SPLIT_CHARACTER ? character == cut->step->character
                                                        : unicode_is(character, cut->step->class);
        enum engine_status status = match ? match_part(cut, &done, at, at + length) : ENGINE_OK;
        if (status != ENGINE_OK) return status;
    }
    return end_parts(cut, done);
}

enum word_kind { KIND_SPACE, KIND_WORD, KIND_REST };

static enum engine_status cut_into_words(struct cut *cut) {
    size_t start = 0;
    enum word_kind last = KIND_SPACE;
    for (size_t at = 0, length; at < cut->piece.size; at += length) {
        uint32_t character;
        length = utf8_character(cut->piece.bytes + at, cut->piece.size - at, &character);
        if (length == 0) break; /* cannot be: stretches are valid */
        enum word_kind kind = unicode_is(character, CLASS_WORD)         ? KIND_WORD
                              : unicode_is(character, CLASS_WHITESPACE) ? KIND_SPACE
                                                                        : KIND_REST;
        if (kind == last) continue;
        enum engine_status status = last != KIND_SPACE ? emit(cut, start, at) : ENGINE_OK;
        if (status != ENGINE_OK) return status;
        start = at;
        last = kind;
    }
    return last != KIND_SPACE ? emit(cut, start, cut->piece.size) : ENGINE_OK;
}

/* ---- changing ---------------------------------------------------------------------------------------------- */

static enum engine_status change(struct splitter *splitter, size_t level, struct stretch piece) {
    const struct pretokenizer_step *step = &splitter->pretokenizer->steps[level];
    struct rewriting *out = &splitter->changed[level];
    char mark[4];
    size_t mark_size = utf8_encode(step->character, mark), done = 0;
    rewriting_clear(out);
    if (step->kind == SPLIT_PREFIX) {
        bool has = piece.size >= mark_size && memcmp(piece.bytes, mark, mark_size) == 0;
        if (has || (step->only_first && stretch_origin(piece, 0, 1).start != 0)) return run_step(splitter, level + 1, piece);
        rewriting_put(out, mark, mark_size, stretch_origin(piece, 0, 0));
    } else {
        const char *space;
        while ((space = memchr(piece.bytes + done, ' ', piece.size - done)) != NULL) {
            size_t at = (size_t)(space - piece.bytes);
            rewriting_keep(out, piece, done, at);
            rewriting_put(out, mark, mark_size, stretch_origin(piece, at, at + 1));
            done = at + 1;
        }
    }
    rewriting_keep(out, piece, done, piece.size);
    if (out->failed) return engine_fail_memory(splitter->error, splitter->error_size);
    return run_step(splitter, level + 1, rewriting_result(out));
}

static enum engine_status run_step(struct splitter *splitter, size_t level, struct stretch piece) {
    if (piece.size == 0) return ENGINE_OK;
    if (level == splitter->pretokenizer->count) return splitter->word(splitter->context, piece);
    const struct pretokenizer_step *step = &splitter->pretokenizer->steps[level];
    struct cut cut = {.splitter = splitter, .level = level, .piece = piece, .step = step};
    switch (step->kind) {
    case SPLIT_PATTERN:
        return cut_by_pattern(&cut);
    case SPLIT_CLASS:
    case SPLIT_CHARACTER:
        return cut_by_character(&cut);
    case SPLIT_WORDS:
        return cut_into_words(&cut);
    case SPLIT_PREFIX:
    case SPLIT_MARK:
        return change(splitter, level, piece);
    }
    return ENGINE_OK;
}

enum engine_status splitter_run(struct splitter *splitter, struct stretch text,
                                enum engine_status (*word)(void *context, struct stretch word), void *context, char *error,
                                size_t error_size) {
    splitter->word = word;
    splitter->context = context;
    splitter->error = error;
    splitter->error_size = error_size;
    return run_step(splitter, 0, text);
}
