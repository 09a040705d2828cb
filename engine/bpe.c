#include "engine/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "engine/checked.h"
#include "engine/failure.h"
#include "engine/table.h"
#include "engine/utf8.h"

enum { MERGES_MAX = 1 << 22 };

struct merge {
    uint32_t left, right, whole;
};

struct bpe {
    const struct vocabulary *vocabulary;
    struct bpe_options options;
    struct merge *merges; /* [count], the first wins */
    size_t count;
    struct table *ranks;  /* (left, right) -> place in merges */
    uint32_t *score_rank; /* [vocabulary_count], equal scores equal; NULL: by merges */
    size_t longest;       /* bytes of the longest token */
    uint32_t byte_token[256]; /* where words start as bytes */
};

/* A stretch of the word, in a doubly linked list. A symbol that was merged into the one before has end == start. */
struct bpe_symbol {
    uint32_t id, start, end;
    uint32_t before, after; /* places in symbols; NONE */
};
#define NONE UINT32_MAX

/* The pair that starts at symbol `place` and ends at byte `end`. Symbols only grow: once the pair there ends elsewhere, this one
 * is stale. */
struct bpe_candidate {
    uint32_t rank, place, whole, end;
};

/* ---- making ------------------------------------------------------------------------------------------------ */

static uint64_t pair_key(uint32_t left, uint32_t right) {
    return (uint64_t)left << 32 | right;
}

static bool find_merge(const struct vocabulary *vocabulary, const struct bpe_merge_source *source, struct merge *merge) {
    char joined[SPELLING_SIZE_MAX];
    const char *left, *right;
    size_t left_size, right_size;
    if (!source->next(source->context, &left, &left_size, &right, &right_size) || left_size == 0 || right_size == 0 ||
        left_size > sizeof joined || right_size > sizeof joined - left_size)
        return false;
    memcpy(joined, left, left_size);
    memcpy(joined + left_size, right, right_size);
    return vocabulary_find_spelt(vocabulary, joined, left_size, &merge->left) &&
           vocabulary_find_spelt(vocabulary, joined + left_size, right_size, &merge->right) &&
           vocabulary_find_spelt(vocabulary, joined, left_size + right_size, &merge->whole);
}

static enum engine_status read_merges(struct bpe *bpe, const struct bpe_merge_source *source, char *error, size_t error_size) {
    for (bpe->count = 0; bpe->count < source->count; bpe->count++) {
        struct merge *merge = &bpe->merges[bpe->count];
        uint32_t other;
        if (!find_merge(bpe->vocabulary, source, merge))
            return engine_fail(ENGINE_BROKEN, error, error_size,
                               "the tokenizer is damaged: its merge %zu does not join two tokens to a third", bpe->count);
        uint64_t key = pair_key(merge->left, merge->right);
        if (table_find(bpe->ranks, key, &other))
            return engine_fail(ENGINE_BROKEN, error, error_size, "the tokenizer is damaged: its merges %u and %zu are the same",
                               other, bpe->count);
        table_add(bpe->ranks, key, (uint32_t)bpe->count);
    }
    return ENGINE_OK;
}

static struct bpe *start(const struct vocabulary *vocabulary, struct bpe_options options) {
    struct bpe *made = calloc(1, sizeof *made);
    if (made == NULL) return NULL;
    made->vocabulary = vocabulary;
    made->options = options;
    for (unsigned byte = 0; byte < 256; byte++) {
        const char text = (char)byte;
        if (!vocabulary_find(vocabulary, &text, 1, &made->byte_token[byte])) made->byte_token[byte] = BPE_NONE;
    }
    for (uint32_t id = 0; id < vocabulary_count(vocabulary); id++) {
        size_t size;
        vocabulary_bytes(vocabulary, id, &size);
        if (vocabulary_is_made(vocabulary, id) && size > made->longest) made->longest = size;
    }
    return made;
}

enum engine_status bpe_create(const struct vocabulary *vocabulary, struct bpe_options options,
                              const struct bpe_merge_source *merges, struct bpe **bpe, char *error, size_t error_size) {
    if (merges->count > MERGES_MAX)
        return engine_fail(ENGINE_BROKEN, error, error_size, "the tokenizer is damaged: it has %zu merges", merges->count);
    struct bpe *made = start(vocabulary, options);
    if (made == NULL) return engine_fail_memory(error, error_size);
    made->merges = calloc(merges->count + 1, sizeof *made->merges);
    made->ranks = table_create(merges->count);
    enum engine_status status = made->merges != NULL && made->ranks != NULL ? read_merges(made, merges, error, error_size)
                                                                           : engine_fail_memory(error, error_size);
    if (status != ENGINE_OK) {
        bpe_destroy(made);
        return status;
    }
    *bpe = made;
    return ENGINE_OK;
}

static int by_score(const void *a, const void *b, void *context) {
    const float *scores = context;
    float left = scores[*(const uint32_t *)a], right = scores[*(const uint32_t *)b];
    return (left < right) - (left > right);
}

/* Ranks from the highest score down; equal scores share one. */
static bool rank_scores(struct bpe *bpe, const float *scores) {
    size_t count = vocabulary_count(bpe->vocabulary);
    uint32_t *ids = malloc(count * sizeof *ids);
    bpe->score_rank = malloc(count * sizeof *bpe->score_rank);
    if (ids != NULL && bpe->score_rank != NULL) {
        for (size_t i = 0; i < count; i++) ids[i] = (uint32_t)i;
        qsort_r(ids, count, sizeof *ids, by_score, (void *)(uintptr_t)scores);
        for (uint32_t i = 0, rank = 0; i < count; i++) {
            if (i > 0 && scores[ids[i]] < scores[ids[i - 1]]) rank = i;
            bpe->score_rank[ids[i]] = rank;
        }
    }
    free(ids);
    return ids != NULL && bpe->score_rank != NULL;
}

enum engine_status bpe_create_scored(const struct vocabulary *vocabulary, struct bpe_options options, const float *scores,
                                     struct bpe **bpe, char *error, size_t error_size) {
    struct bpe *made = start(vocabulary, options);
    if (made == NULL || !rank_scores(made, scores)) {
        bpe_destroy(made);
        return engine_fail_memory(error, error_size);
    }
    *bpe = made;
    return ENGINE_OK;
}

void bpe_destroy(struct bpe *bpe) {
    if (bpe == NULL) return;
    free(bpe->merges);
    free(bpe->score_rank);
    table_destroy(bpe->ranks);
    free(bpe);
}

static void hash_u32s(struct sha256_ctx *context, const uint32_t *numbers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint8_t bytes[4] = {(uint8_t)numbers[i], (uint8_t)(numbers[i] >> 8), (uint8_t)(numbers[i] >> 16),
                                  (uint8_t)(numbers[i] >> 24)};
        sha256_update(context, sizeof bytes, bytes);
    }
}

void bpe_hash(const struct bpe *bpe, struct sha256_ctx *context) {
    const struct bpe_options *o = &bpe->options;
    const uint8_t flags[] = {o->bytes, o->whole_words, o->byte_fallback, o->fuse_unknown, o->drop_unknown,
                             bpe->score_rank != NULL};
    sha256_update(context, sizeof flags, flags);
    hash_u32s(context, &o->unknown, 1);
    for (size_t i = 0; i < bpe->count; i++) {
        const uint32_t pair[2] = {bpe->merges[i].left, bpe->merges[i].right};
        hash_u32s(context, pair, 2);
    }
    if (bpe->score_rank != NULL) hash_u32s(context, bpe->score_rank, vocabulary_count(bpe->vocabulary));
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

/* Pushes the pair that starts at `place`, if it ranks. */
static bool consider(const struct bpe *bpe, struct bpe_scratch *scratch, const char *word, uint32_t place) {
    if (place == NONE || scratch->symbols[place].after == NONE) return true;
    const struct bpe_symbol *left = &scratch->symbols[place], *right = &scratch->symbols[left->after];
    struct bpe_candidate candidate = {.place = place, .end = right->end};
    if (bpe->score_rank != NULL) {
        size_t size = right->end - left->start;
        if (size > bpe->longest || !vocabulary_find(bpe->vocabulary, word + left->start, size, &candidate.whole)) return true;
        candidate.rank = bpe->score_rank[candidate.whole];
    } else {
        if (left->id == BPE_NONE || right->id == BPE_NONE ||
            !table_find(bpe->ranks, pair_key(left->id, right->id), &candidate.rank))
            return true;
        candidate.whole = bpe->merges[candidate.rank].whole;
    }
    return heap_push(scratch, candidate);
}

static bool merge_symbols(const struct bpe *bpe, struct bpe_scratch *scratch, const char *word) {
    struct bpe_symbol *symbols = scratch->symbols;
    while (scratch->heap_size > 0) {
        struct bpe_candidate candidate = heap_pop(scratch);
        struct bpe_symbol *left = &symbols[candidate.place];
        if (left->end == left->start || left->after == NONE) continue;
        struct bpe_symbol *right = &symbols[left->after];
        if (right->end != candidate.end) continue;
        left->id = candidate.whole;
        left->end = right->end;
        left->after = right->after;
        right->end = right->start;
        if (left->after != NONE) symbols[left->after].before = candidate.place;
        if (!consider(bpe, scratch, word, left->before) || !consider(bpe, scratch, word, candidate.place)) return false;
    }
    return true;
}

/* There is room: no word has more symbols than bytes. */
static void add_symbol(struct bpe_scratch *scratch, uint32_t id, size_t start, size_t end) {
    uint32_t place = (uint32_t)scratch->symbol_count++;
    scratch->symbols[place] = (struct bpe_symbol){
        .id = id,
        .start = (uint32_t)start,
        .end = (uint32_t)end,
        .before = place > 0 ? place - 1 : NONE,
        .after = NONE,
    };
    if (place > 0) scratch->symbols[place - 1].after = place;
}

/* The tokens of a character's bytes, if there are all. */
static bool add_bytes(const struct bpe *bpe, struct bpe_scratch *scratch, const char *word, size_t start, size_t end) {
    uint32_t id;
    for (size_t i = start; i < end; i++)
        if (!vocabulary_find_byte(bpe->vocabulary, (unsigned char)word[i], &id)) return false;
    for (size_t i = start; i < end; i++) {
        vocabulary_find_byte(bpe->vocabulary, (unsigned char)word[i], &id);
        add_symbol(scratch, id, i, i + 1);
    }
    return true;
}

static void add_unknown(const struct bpe *bpe, struct bpe_scratch *scratch, size_t start, size_t end, bool *fusing) {
    struct bpe_symbol *last = scratch->symbol_count > 0 ? &scratch->symbols[scratch->symbol_count - 1] : NULL;
    if (*fusing && last != NULL) last->end = (uint32_t)end;
    else add_symbol(scratch, bpe->score_rank != NULL ? BPE_NONE : bpe->options.unknown, start, end);
    *fusing = bpe->options.fuse_unknown && bpe->options.unknown != BPE_NONE && bpe->score_rank == NULL;
}

static bool start_symbols(const struct bpe *bpe, struct bpe_scratch *scratch, const char *word, size_t size) {
    if (size > scratch->symbol_room) {
        size_t bytes;
        if (size >= NONE || !checked_multiply(size, sizeof(struct bpe_symbol), &bytes)) return false;
        struct bpe_symbol *symbols = realloc(scratch->symbols, bytes);
        if (symbols == NULL) return false;
        scratch->symbols = symbols;
        scratch->symbol_room = size;
    }
    scratch->symbol_count = 0;
    bool fusing = false;
    for (size_t at = 0, length = 1; at < size; at += length) {
        uint32_t id, character;
        if (bpe->options.bytes) {
            id = bpe->byte_token[(unsigned char)word[at]];
        } else {
            length = utf8_character(word + at, size - at, &character);
            if (length == 0) length = 1; /* cannot be: words are valid */
            if (!vocabulary_find(bpe->vocabulary, word + at, length, &id)) id = BPE_NONE;
        }
        if (id != BPE_NONE) {
            add_symbol(scratch, id, at, at + length);
            fusing = false;
        } else if (!bpe->options.byte_fallback || bpe->score_rank != NULL ||
                   !add_bytes(bpe, scratch, word, at, at + length)) {
            add_unknown(bpe, scratch, at, at + length, &fusing);
        }
    }
    scratch->heap_size = 0;
    for (uint32_t i = 0; i + 1 < scratch->symbol_count; i++)
        if (!consider(bpe, scratch, word, i)) return false;
    return true;
}

typedef enum engine_status token_function(void *context, uint32_t id, size_t start, size_t end);

/* What is no token: by scores, its bytes; else left out, or handed on as unknown. */
static enum engine_status put_unknown(const struct bpe *bpe, const char *word, const struct bpe_symbol *symbol,
                                      token_function *token, void *context) {
    uint32_t id;
    bool all = bpe->score_rank != NULL && bpe->options.byte_fallback;
    for (uint32_t i = symbol->start; i < symbol->end && all; i++)
        all = vocabulary_find_byte(bpe->vocabulary, (unsigned char)word[i], &id);
    if (!all) {
        if (bpe->options.unknown == BPE_NONE && bpe->options.drop_unknown) return ENGINE_OK;
        return token(context, bpe->options.unknown, symbol->start, symbol->end);
    }
    enum engine_status status = ENGINE_OK;
    for (uint32_t i = symbol->start; i < symbol->end && status == ENGINE_OK; i++) {
        vocabulary_find_byte(bpe->vocabulary, (unsigned char)word[i], &id);
        status = token(context, id, i, (size_t)i + 1);
    }
    return status;
}

enum engine_status bpe_word(const struct bpe *bpe, struct bpe_scratch *scratch, const char *word, size_t size,
                            token_function *token, void *context) {
    uint32_t whole;
    if (size == 0) return ENGINE_OK;
    if (bpe->options.whole_words && vocabulary_find(bpe->vocabulary, word, size, &whole)) return token(context, whole, 0, size);
    if (!start_symbols(bpe, scratch, word, size) || !merge_symbols(bpe, scratch, word)) return ENGINE_NO_MEMORY;
    enum engine_status status = ENGINE_OK;
    for (uint32_t place = 0; place != NONE && scratch->symbol_count > 0 && status == ENGINE_OK;
         place = scratch->symbols[place].after) {
        const struct bpe_symbol *symbol = &scratch->symbols[place];
        if (symbol->id == BPE_NONE) status = put_unknown(bpe, word, symbol, token, context);
        else status = token(context, symbol->id, symbol->start, symbol->end);
    }
    return status;
}

void bpe_scratch_finish(struct bpe_scratch *scratch) {
    free(scratch->symbols);
    free(scratch->heap);
    *scratch = (struct bpe_scratch){0};
}
