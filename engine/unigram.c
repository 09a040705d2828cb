#include "engine/unigram.h"

#include <stdlib.h>
#include <string.h>

#include "engine/checked.h"
#include "engine/failure.h"
#include "engine/trie.h"
#include "engine/utf8.h"

struct unigram {
    const struct vocabulary *vocabulary;
    struct unigram_options options;
    struct trie *tokens;
    double *scores;
    double unknown_score; /* an unknown character costs more than any token */
};

/* The best way to the end of byte `place`: its last token and where that starts. */
struct unigram_step {
    double score;
    uint32_t id, start; /* id UNREACHED: no way yet; `unknown` may be UNIGRAM_NONE, so it has a mark of its own */
    bool unknown;
};
#define UNREACHED (UINT32_MAX - 1)

static const double unknown_penalty = 10;

enum engine_status unigram_create(const struct vocabulary *vocabulary, struct unigram_options options, const double *scores,
                                  struct unigram **unigram, char *error, size_t error_size) {
    size_t count = vocabulary_count(vocabulary), used = 0;
    struct unigram *made = calloc(1, sizeof *made);
    if (made == NULL) return engine_fail_memory(error, error_size);
    struct trie_entry *entries = malloc(count * sizeof *entries);
    made->vocabulary = vocabulary;
    made->options = options;
    made->scores = malloc(count * sizeof *made->scores);
    if (entries != NULL && made->scores != NULL) {
        double least = 0;
        memcpy(made->scores, scores, count * sizeof *made->scores);
        for (uint32_t id = 0; id < count; id++) {
            size_t size;
            const char *bytes = vocabulary_bytes(vocabulary, id, &size);
            if (id == 0 || scores[id] < least) least = scores[id];
            if (vocabulary_is_made(vocabulary, id)) entries[used++] = (struct trie_entry){bytes, (uint32_t)size, id};
        }
        made->unknown_score = least - unknown_penalty;
        made->tokens = trie_create(entries, used);
    }
    free(entries);
    if (made->tokens == NULL) {
        unigram_destroy(made);
        return engine_fail_memory(error, error_size);
    }
    *unigram = made;
    return ENGINE_OK;
}

void unigram_destroy(struct unigram *unigram) {
    if (unigram == NULL) return;
    trie_destroy(unigram->tokens);
    free(unigram->scores);
    free(unigram);
}

void unigram_hash(const struct unigram *unigram, struct sha256_ctx *context) {
    const uint8_t flags[] = {unigram->options.byte_fallback, (uint8_t)unigram->options.unknown,
                             (uint8_t)(unigram->options.unknown >> 8), (uint8_t)(unigram->options.unknown >> 16),
                             (uint8_t)(unigram->options.unknown >> 24)};
    sha256_update(context, sizeof flags, flags);
    for (size_t id = 0; id < vocabulary_count(unigram->vocabulary); id++) {
        uint64_t bits;
        uint8_t bytes[8];
        memcpy(&bits, &unigram->scores[id], sizeof bits);
        for (unsigned i = 0; i < 8; i++) bytes[i] = (uint8_t)(bits >> 8 * i);
        sha256_update(context, sizeof bytes, bytes);
    }
}

void unigram_scratch_finish(struct unigram_scratch *scratch) {
    free(scratch->steps);
    *scratch = (struct unigram_scratch){0};
}

static void offer(struct unigram_step *step, double score, uint32_t id, size_t start, bool unknown) {
    if (step->id != UNREACHED && score <= step->score) return;
    *step = (struct unigram_step){.score = score, .id = id, .start = (uint32_t)start, .unknown = unknown};
}

/* All tokens that start at word[at ..), which is reached. `length`: of the character there. */
static void extend(const struct unigram *unigram, struct unigram_step *steps, const char *word, size_t size, size_t at,
                   size_t length) {
    uint32_t node = TRIE_ROOT;
    bool single = false;
    for (size_t i = at; i < size; i++) {
        node = trie_step(unigram->tokens, node, (unsigned char)word[i]);
        if (node == TRIE_NONE) break;
        uint32_t id = trie_value(unigram->tokens, node);
        if (id == TRIE_NONE) continue;
        offer(&steps[i + 1], steps[at].score + unigram->scores[id], id, at, id == unigram->options.unknown);
        single = single || i + 1 - at == length;
    }
    if (!single) offer(&steps[at + length], steps[at].score + unigram->unknown_score, unigram->options.unknown, at, true);
}

typedef enum engine_status token_function(void *context, uint32_t id, size_t start, size_t end);

static enum engine_status put_unknown(const struct unigram *unigram, const char *word, size_t start, size_t end,
                                      token_function *token, void *context) {
    uint32_t id;
    if (vocabulary_find(unigram->vocabulary, word + start, end - start, &id)) return token(context, id, start, end);
    bool all = unigram->options.byte_fallback;
    for (size_t i = start; i < end && all; i++) all = vocabulary_find_byte(unigram->vocabulary, (unsigned char)word[i], &id);
    if (!all) return token(context, unigram->options.unknown, start, end);
    enum engine_status status = ENGINE_OK;
    for (size_t i = start; i < end && status == ENGINE_OK; i++) {
        vocabulary_find_byte(unigram->vocabulary, (unsigned char)word[i], &id);
        status = token(context, id, i, i + 1);
    }
    return status;
}

/* Turns the way to the word's end around: afterwards steps[start].start is where the token that starts there ends. */
static void turn_around(struct unigram_step *steps, size_t size) {
    struct unigram_step behind = steps[size];
    for (size_t end = size; end > 0;) {
        size_t start = behind.start;
        struct unigram_step before = steps[start];
        steps[start] = behind;
        steps[start].start = (uint32_t)end;
        behind = before;
        end = start;
    }
}

enum engine_status unigram_word(const struct unigram *unigram, struct unigram_scratch *scratch, const char *word, size_t size,
                                token_function *token, void *context) {
    if (size == 0) return ENGINE_OK;
    if (size + 1 > scratch->room) {
        size_t bytes;
        if (!checked_multiply(size + 1, sizeof(struct unigram_step), &bytes)) return ENGINE_NO_MEMORY;
        struct unigram_step *steps = realloc(scratch->steps, bytes);
        if (steps == NULL) return ENGINE_NO_MEMORY;
        scratch->steps = steps;
        scratch->room = size + 1;
    }
    struct unigram_step *steps = scratch->steps;
    for (size_t i = 0; i <= size; i++) steps[i] = (struct unigram_step){.id = UNREACHED};
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t character;
        length = utf8_character(word + at, size - at, &character);
        if (length == 0) length = 1; /* cannot be: words are valid */
        extend(unigram, steps, word, size, at, length);
    }
    turn_around(steps, size);
    enum engine_status status = ENGINE_OK;
    for (size_t at = 0, end; at < size && status == ENGINE_OK; at = end) {
        end = steps[at].start;
        if (!steps[at].unknown) {
            status = token(context, steps[at].id, at, end);
            continue;
        }
        while (end < size && steps[end].unknown) end = steps[end].start;
        status = put_unknown(unigram, word, at, end, token, context);
    }
    return status;
}
