#include "engine/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "engine/checked.h"
#include "engine/failure.h"
#include "engine/table.h"

enum { MERGES_MAX = 1 << 22 };

struct merge {
    uint32_t left, right, whole;
};

struct bpe {
    const struct vocabulary *vocabulary;
    bool whole_words;
    struct merge *merges; /* [count], the first wins */
    size_t count;
    struct table *ranks;  /* (left, right) -> place in merges */
    uint32_t byte_token[256];
};

/* A stretch of the word, in a doubly linked list. A symbol that was merged into the one before has end == start. */
struct bpe_symbol {
    uint32_t id, start, end;
    uint32_t before, after; /* places in symbols; NONE */
};
#define NONE UINT32_MAX

/* The pair that starts at symbol `place`. It is stale once the symbols there are no longer the merge's left and right. */
struct bpe_candidate {
    uint32_t rank, place;
};

/* ---- reading ----------------------------------------------------------------------------------------------- */

static uint64_t pair_key(uint32_t left, uint32_t right) {
    return (uint64_t)left << 32 | right;
}

/* "left right". A part may start with a space only where its token is spelt so, hence the search from the second byte. */
static bool parse_merge(const struct vocabulary *vocabulary, struct gguf_string text, char *joined, struct merge *merge) {
    const char *space = text.size > 2 ? memchr(text.data + 1, ' ', text.size - 2) : NULL;
    if (space == NULL) return false;
    size_t left = (size_t)(space - text.data), right = text.size - left - 1;
    memcpy(joined, text.data, left);
    memcpy(joined + left, space + 1, right);
    return vocabulary_find_spelt(vocabulary, joined, left, &merge->left) &&
           vocabulary_find_spelt(vocabulary, joined + left, right, &merge->right) &&
           vocabulary_find_spelt(vocabulary, joined, left + right, &merge->whole);
}

static enum engine_status read_merges(const struct gguf_value *value, struct bpe *bpe, char *error, size_t error_size) {
    char joined[SPELLING_SIZE_MAX];
    struct gguf_cursor cursor = gguf_elements(value);
    for (bpe->count = 0; bpe->count < value->count; bpe->count++) {
        struct merge *merge = &bpe->merges[bpe->count];
        struct gguf_string text;
        uint32_t other;
        if (!gguf_next_string(&cursor, &text) || text.size > sizeof joined ||
            !parse_merge(bpe->vocabulary, text, joined, merge))
            return engine_fail(ENGINE_BROKEN, error, error_size,
                               "the model file is damaged: merge %zu of its tokenizer does not "
                               "join two tokens to a third", bpe->count);
        uint64_t key = pair_key(merge->left, merge->right);
        if (table_find(bpe->ranks, key, &other))
            return engine_fail(ENGINE_BROKEN, error, error_size,
                               "the model file is damaged: merges %u and %zu of its tokenizer "
                               "are the same", other, bpe->count);
        table_add(bpe->ranks, key, (uint32_t)bpe->count);
    }
    return ENGINE_OK;
}

enum engine_status bpe_from_gguf(const struct gguf *gguf, const struct vocabulary *vocabulary, bool whole_words,
                                 struct bpe **bpe, char *error, size_t error_size) {
    const struct gguf_value *value = gguf_find(gguf, "tokenizer.ggml.merges");
    if (value == NULL || !value->array || (value->type != GGUF_STRING && value->count > 0) || value->count > MERGES_MAX)
        return engine_fail(ENGINE_BROKEN, error, error_size,
                           "the model file is damaged: tokenizer.ggml.merges is missing or no "
                           "list of texts");
    struct bpe *made = calloc(1, sizeof *made);
    if (made == NULL) return engine_fail_memory(error, error_size);
    made->vocabulary = vocabulary;
    made->whole_words = whole_words;
    made->merges = calloc(value->count + 1, sizeof *made->merges);
    made->ranks = table_create(value->count);
    enum engine_status status = made->merges != NULL && made->ranks != NULL ? read_merges(value, made, error, error_size)
                                                                           : engine_fail_memory(error, error_size);
    for (unsigned byte = 0; byte < 256; byte++) {
        const char text = (char)byte;
        if (!vocabulary_find(vocabulary, &text, 1, &made->byte_token[byte])) made->byte_token[byte] = BPE_UNKNOWN;
    }
    if (status != ENGINE_OK) {
        bpe_destroy(made);
        return status;
    }
    *bpe = made;
    return ENGINE_OK;
}

void bpe_destroy(struct bpe *bpe) {
    if (bpe == NULL) return;
    free(bpe->merges);
    table_destroy(bpe->ranks);
    free(bpe);
}

void bpe_hash(const struct bpe *bpe, struct sha256_ctx *context) {
    for (size_t i = 0; i < bpe->count; i++) {
        uint8_t bytes[8];
        for (unsigned j = 0; j < 4; j++) {
            bytes[j] = (uint8_t)(bpe->merges[i].left >> 8 * j);
            bytes[4 + j] = (uint8_t)(bpe->merges[i].right >> 8 * j);
        }
        sha256_update(context, sizeof bytes, bytes);
    }
}

/* ---- the heap: smallest rank first, then leftmost ----------------------------------------------------------- */

static bool comes_before(struct bpe_candidate a, struct bpe_candidate b) {
    return a.rank != b.rank ? a.rank < b.rank : a.place < b.place;
}

static bool heap_push(struct bpe_scratch *scratch, struct bpe_candidate candidate) {
    if (scratch->heap_size == scratch->heap_room) {
        size_t room = scratch->heap_room > 0 ? scratch->heap_room * 2 : 64, bytes;
        struct bpe_candidate *heap = checked_multiply(room, sizeof *heap, &bytes) ? realloc(scratch->heap, bytes) : NULL;
        if (heap == NULL) return false;
        scratch->heap = heap;
        scratch->heap_room = room;
    }
    size_t at = scratch->heap_size++;
    while (at > 0 && comes_before(candidate, scratch->heap[(at - 1) / 2])) {
        scratch->heap[at] = scratch->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    scratch->heap[at] = candidate;
    return true;
}

/* The heap is not empty. */
static struct bpe_candidate heap_pop(struct bpe_scratch *scratch) {
    struct bpe_candidate first = scratch->heap[0], last = scratch->heap[--scratch->heap_size];
    size_t at = 0, size = scratch->heap_size;
    for (size_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && comes_before(scratch->heap[child + 1], scratch->heap[child])) child++;
        if (!comes_before(scratch->heap[child], last)) break;
        scratch->heap[at] = scratch->heap[child];
    }
    if (size > 0) scratch->heap[at] = last;
    return first;
}

/* ---- merging ----------------------------------------------------------------------------------------------- */

/* Makes the pair that starts at `place` a candidate, if there is one and it can merge. */
static bool consider(const struct bpe *bpe, struct bpe_scratch *scratch, uint32_t place) {
    if (place == NONE || scratch->symbols[place].after == NONE) return true;
    uint32_t rank, right = scratch->symbols[scratch->symbols[place].after].id;
    if (!table_find(bpe->ranks, pair_key(scratch->symbols[place].id, right), &rank)) return true;
    return heap_push(scratch, (struct bpe_candidate){rank, place});
}

static bool start_symbols(const struct bpe *bpe, struct bpe_scratch *scratch, const char *word, size_t size) {
    if (size > scratch->symbol_room) {
        size_t bytes;
        if (!checked_multiply(size, sizeof *scratch->symbols, &bytes)) return false;
        struct bpe_symbol *symbols = realloc(scratch->symbols, bytes);
        if (symbols == NULL) return false;
        scratch->symbols = symbols;
        scratch->symbol_room = size;
    }
    for (uint32_t i = 0; i < size; i++)
        scratch->symbols[i] = (struct bpe_symbol){
            .id = bpe->byte_token[(unsigned char)word[i]],
            .start = i,
            .end = i + 1,
            .before = i > 0 ? i - 1 : NONE,
            .after = i + 1 < size ? i + 1 : NONE,
        };
    scratch->heap_size = 0;
    for (uint32_t i = 0; i + 1 < size; i++)
        if (!consider(bpe, scratch, i)) return false;
    return true;
}

static bool merge_symbols(const struct bpe *bpe, struct bpe_scratch *scratch) {
    struct bpe_symbol *symbols = scratch->symbols;
    while (scratch->heap_size > 0) {
        struct bpe_candidate candidate = heap_pop(scratch);
        const struct merge *merge = &bpe->merges[candidate.rank];
        struct bpe_symbol *left = &symbols[candidate.place];
        if (left->end == left->start || left->after == NONE) continue;
        struct bpe_symbol *right = &symbols[left->after];
        if (left->id != merge->left || right->id != merge->right) continue;
        left->id = merge->whole;
        left->end = right->end;
        left->after = right->after;
        right->end = right->start;
        if (left->after != NONE) symbols[left->after].before = candidate.place;
        if (!consider(bpe, scratch, left->before) || !consider(bpe, scratch, candidate.place)) return false;
    }
    return true;
}

enum engine_status bpe_word(const struct bpe *bpe, struct bpe_scratch *scratch, const char *word, size_t size,
                            enum engine_status (*token)(void *context, uint32_t id, size_t start, size_t end), void *context) {
    uint32_t whole;
    if (size == 0) return ENGINE_OK;
    if (bpe->whole_words && vocabulary_find(bpe->vocabulary, word, size, &whole)) return token(context, whole, 0, size);
    if (!start_symbols(bpe, scratch, word, size) || !merge_symbols(bpe, scratch)) return ENGINE_NO_MEMORY;
    enum engine_status status = ENGINE_OK;
    for (uint32_t place = 0; place != NONE && status == ENGINE_OK; place = scratch->symbols[place].after) {
        const struct bpe_symbol *symbol = &scratch->symbols[place];
        status = token(context, symbol->id, symbol->start, symbol->end);
    }
    return status;
}

void bpe_scratch_finish(struct bpe_scratch *scratch) {
    free(scratch->symbols);
    free(scratch->heap);
    *scratch = (struct bpe_scratch){0};
}
