/*
 * alignment.c: which tokens of two texts correspond: a longest common subsequence, a bit for each pair of places (Hyyroe 2004).
 *
 * Row j stands for b's first j tokens. Bit i of it is 0 where a's token i makes the longest common subsequence with them longer by one:
 *   V' = (V + (V & M)) | (V & ~M),   M: the places of a that hold b[j]
 * All rows are kept, so that the way back can be walked.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/failure.h"

static const size_t rows_bytes_max = (size_t)64 << 20;

struct sorted_id {
    int32_t id;
    uint32_t place;
};

static int by_id(const void *x, const void *y) {
    const struct sorted_id *a = x, *b = y;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

/* Sets the places of `id` in mask. */
static void mark(const struct sorted_id *sorted, size_t n, int32_t id, uint64_t *mask) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (sorted[middle].id < id) lo = middle + 1;
        else hi = middle;
    }
    for (; lo < n && sorted[lo].id == id; lo++) mask[sorted[lo].place / 64] |= (uint64_t)1 << sorted[lo].place % 64;
}

static void next_row(const uint64_t *row, const uint64_t *mask, size_t words, uint64_t *next) {
    uint64_t carry = 0;
    for (size_t w = 0; w < words; w++) {
        uint64_t v = row[w], both = v & mask[w], sum = v + carry;
        carry = sum < carry;
        sum += both;
        carry |= sum < both;
        next[w] = sum | (v & ~mask[w]);
    }
}

static bool bit(const uint64_t *row, size_t i) {
    return row[i / 64] >> i % 64 & 1;
}

/* The way back from the end of both; pairs are written from *count on downwards. */
static size_t walk_back(const uint64_t *rows, size_t words, size_t a_n, size_t b_n, struct token_pair *pairs, size_t room) {
    size_t i = a_n, j = b_n, at = room;
    while (i > 0 && j > 0) {
        if (bit(rows + j * words, i - 1)) {
            i--; /* a's token adds nothing here */
        } else if (!bit(rows + (j - 1) * words, i - 1)) {
            j--; /* nor does b's */
        } else {
            i--, j--;
            pairs[--at] = (struct token_pair){(uint32_t)i, (uint32_t)j};
        }
    }
    return room - at;
}

/* Between common ends; *count pairs at the end of `pairs`, which has room for the shorter. NULL memory: false. */
static bool align_middle(const int32_t *a, size_t a_n, const int32_t *b, size_t b_n, struct token_pair *pairs, size_t *count) {
    size_t words = (a_n + 63) / 64, room = a_n < b_n ? a_n : b_n;
    struct sorted_id *sorted = malloc(a_n * sizeof *sorted);
    uint64_t *rows = malloc((b_n + 2) * words * sizeof *rows);
    if (!sorted || !rows) {
        free(sorted);
        free(rows);
        return false;
    }
    uint64_t *mask = rows + (b_n + 1) * words;
    for (size_t i = 0; i < a_n; i++) sorted[i] = (struct sorted_id){a[i], (uint32_t)i};
    qsort(sorted, a_n, sizeof *sorted, by_id);
    memset(rows, 0xff, words * sizeof *rows);
    for (size_t j = 0; j < b_n; j++) {
        memset(mask, 0, words * sizeof *mask);
        mark(sorted, a_n, b[j], mask);
        next_row(rows + j * words, mask, words, rows + (j + 1) * words);
    }
    *count = walk_back(rows, words, a_n, b_n, pairs, room);
    memmove(pairs, pairs + room - *count, *count * sizeof *pairs);
    free(sorted);
    free(rows);
    return true;
}

enum engine_status tokens_align(const int32_t *a, size_t a_n, const int32_t *b, size_t b_n, struct token_pair **pairs, size_t *count,
                                char *error, size_t error_size) {
    size_t shorter = a_n < b_n ? a_n : b_n, begin = 0, end = 0, middle = 0;
    while (begin < shorter && a[begin] == b[begin]) begin++;
    while (end < shorter - begin && a[a_n - 1 - end] == b[b_n - 1 - end]) end++;
    size_t a_middle = a_n - begin - end, b_middle = b_n - begin - end;
    if (b_middle > 0 && (a_middle + 63) / 64 > rows_bytes_max / 8 / (b_middle + 2))
        return engine_fail(ENGINE_TOO_LARGE, error, error_size,
                           "texts that differ over %zu and %zu tokens are too long to be compared; compare parts of them", a_middle, b_middle);
    struct token_pair *made = malloc((shorter + 1) * sizeof *made);
    if (!made) return engine_fail_memory(error, error_size);
    for (size_t k = 0; k < begin; k++) made[k] = (struct token_pair){(uint32_t)k, (uint32_t)k};
    if (a_middle > 0 && b_middle > 0 && !align_middle(a + begin, a_middle, b + begin, b_middle, made + begin, &middle)) {
        free(made);
        return engine_fail_memory(error, error_size);
    }
    for (size_t k = begin; k < begin + middle; k++) {
        made[k].a += (uint32_t)begin;
        made[k].b += (uint32_t)begin;
    }
    for (size_t k = 0; k < end; k++)
        made[begin + middle + k] = (struct token_pair){(uint32_t)(a_n - end + k), (uint32_t)(b_n - end + k)};
    *pairs = made;
    *count = begin + middle + end;
    return ENGINE_OK;
}
