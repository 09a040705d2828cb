#include "engine/text_facts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint64_t text_facts_size(size_t n) {
    return (uint64_t)n * (sizeof(float) + 4 * sizeof(uint32_t) + sizeof(double) + sizeof(uint64_t)) +
           THUMBNAIL_BINS * THUMBNAIL_BINS * sizeof(float);
}

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Every row learns of all copies; those that are out of its sight are left out when they are looked up. */
static void count_rows_with_copies(struct text_facts *facts) {
    for (size_t k = facts->n; k-- > 0;) { /* the last of a group knows how many there are */
        size_t i = facts->positions[k], first = facts->copy_first[i], last = k;
        if (k + 1 < facts->n && facts->copy_first[facts->positions[k + 1]] == first)
            last = first + facts->copy_count[facts->positions[k + 1]] - 1;
        facts->copy_count[i] = (uint32_t)(last - first + 1);
    }
    for (size_t i = facts_first_row(facts); i < facts->n; i++) {
        bool copy = false, follows = false;
        const uint32_t *positions = facts->positions + facts->copy_first[i];
        for (size_t c = 0; c < facts->copy_count[i] && !(copy && follows); c++) {
            copy = copy || facts_is_copy(facts, i, positions[c]);
            follows = follows || facts_is_induction(facts, i, positions[c] + 1);
        }
        facts->duplicate_rows += copy;
        facts->induction_rows += follows;
    }
}

/* Sorted by (id, position), the earlier copies of a token are the ones before it in its group. */
static bool find_copies(struct text_facts *facts) {
    size_t n = facts->n;
    bool plain = visibility_is_plain(facts->sees);
    uint64_t *order = malloc(n * sizeof *order);
    if (!order) return false;
    for (size_t i = 0; i < n; i++) order[i] = (uint64_t)(uint32_t)facts->ids[i] << 32 | (uint64_t)i;
    qsort(order, n, sizeof *order, compare_u64);
    for (size_t k = 0, first = 0; k < n; k++) {
        if (order[k] >> 32 != order[first] >> 32) first = k;
        uint32_t i = (uint32_t)order[k];
        facts->positions[k] = i;
        facts->copy_first[i] = (uint32_t)first;
        facts->copy_count[i] = (uint32_t)(k - first);
    }
    free(order);
    if (!plain) {
        count_rows_with_copies(facts);
        return true;
    }
    for (size_t i = 1; i < n; i++) {
        facts->duplicate_rows += facts->copy_count[i] > 0;
        facts->induction_rows += induction_count(facts, i) > 0;
    }
    return true;
}

static void find_excluded(struct text_facts *facts) {
    for (size_t j = 0; j < facts->keys; j++) facts->keep[j] = 1;
    for (size_t s = 0; s < facts->excluded_count; s++) facts->keep[facts->excluded[s]] = 0;
    if (facts->cross) return;
    for (size_t i = 0, s = 0; i < facts->n; i++) {
        while (s < facts->excluded_count && facts->excluded[s] + LOCAL_DISTANCE < i) s++;
        facts->near_excluded[i] = (uint32_t)s;
    }
}

/* visible[a, b] of any visibility. `before`: [n + 1] how many kept keys stand before each position. */
static void count_visible(struct text_facts *facts, const uint32_t *before) {
    size_t bins = (size_t)facts->bins, key_bins = (size_t)facts->key_bins;
    for (size_t a = 0; a < bins; a++)
        for (size_t i = facts->bin_start[a]; i < facts->bin_start[a + 1]; i++) {
            size_t from = visible_first(facts->sees, i), to = visible_end(facts->sees, facts->keys, i);
            for (size_t b = 0; b < key_bins; b++) {
                size_t first = facts->key_bin_start[b] > from ? facts->key_bin_start[b] : from;
                size_t end = facts->key_bin_start[b + 1] < to ? facts->key_bin_start[b + 1] : to;
                if (first < end) facts->visible[a * key_bins + b] += (float)(before[end] - before[first]);
            }
        }
}

static bool find_visible(struct text_facts *facts) {
    uint32_t *before = malloc((facts->keys + 1) * sizeof *before);
    if (!before) return false;
    before[0] = 0;
    for (size_t j = 0; j < facts->keys; j++) before[j + 1] = before[j] + (facts->keep[j] > 0);
    memset(facts->visible, 0, (size_t)facts->bins * (size_t)facts->key_bins * sizeof *facts->visible);
    count_visible(facts, before);
    free(before);
    return true;
}

static int start_bins(size_t n, size_t start[THUMBNAIL_BINS + 1]) {
    size_t bins = n < THUMBNAIL_BINS ? n : THUMBNAIL_BINS;
    for (size_t b = 0; b <= bins; b++) start[b] = b * n / bins;
    return (int)bins;
}

static void find_bins(struct text_facts *facts) {
    facts->bins = start_bins(facts->n, facts->bin_start);
    facts->key_bins = start_bins(facts->keys, facts->key_bin_start);
}

/* visible[a, b] where visibility is plain. */
static void count_visible_plainly(struct text_facts *facts) {
    size_t bins = (size_t)facts->bins;
    memset(facts->visible, 0, bins * bins * sizeof *facts->visible);
    for (size_t b = 0; b < bins; b++) {
        size_t first = facts->bin_start[b], end = facts->bin_start[b + 1], kept = 0;
        for (size_t a = b, i = first; a < bins; a++) {
            double pairs = 0;
            for (; i < facts->bin_start[a + 1]; i++) {
                if (i < end && facts->keep[i] > 0) kept++;
                pairs += (double)kept;
            }
            facts->visible[a * bins + b] = (float)pairs;
        }
    }
}

static void find_rows(struct text_facts *facts) {
    size_t n = facts->n, first = facts_first_row(facts);
    facts->rows = n - first;
    for (size_t i = 0; i < n; i++) {
        size_t keys = visible_end(facts->sees, facts->keys, i) - visible_first(facts->sees, i);
        facts->log_visible[i] = log((double)keys);
        facts->many_rows += i >= first && keys > 1;
    }
}

static bool take_memory(struct text_facts *facts) {
    size_t n = facts->n;
    facts->keep = malloc(facts->keys * sizeof *facts->keep);
    facts->near_excluded = malloc(4 * n * sizeof *facts->near_excluded); /* and the three others behind it */
    facts->log_visible = malloc(n * sizeof *facts->log_visible);
    facts->visible = malloc(THUMBNAIL_BINS * THUMBNAIL_BINS * sizeof *facts->visible);
    if (!facts->keep || !facts->near_excluded || !facts->log_visible || !facts->visible) return false;
    facts->positions = facts->near_excluded + n;
    facts->copy_first = facts->positions + n;
    facts->copy_count = facts->copy_first + n;
    return true;
}

static bool find_all(struct text_facts *facts) {
    if (!take_memory(facts)) return false;
    find_rows(facts);
    find_excluded(facts);
    find_bins(facts);
    if (!facts->cross && !find_copies(facts)) return false;
    if (!visibility_is_plain(facts->sees)) return find_visible(facts);
    count_visible_plainly(facts);
    return true;
}

bool text_facts_init(struct text_facts *facts, struct visibility sees, const int32_t *ids, size_t n, const uint32_t *excluded,
                     size_t excluded_count) {
    *facts = (struct text_facts){.n = n, .keys = n, .sees = sees, .offsets = visible_offsets(sees, n), .ids = ids,
                                 .excluded = excluded, .excluded_count = excluded_count};
    if (find_all(facts)) return true;
    text_facts_finish(facts);
    return false;
}

bool text_facts_init_cross(struct text_facts *facts, size_t queries, size_t keys, const uint32_t *excluded, size_t excluded_count) {
    *facts = (struct text_facts){.n = queries, .keys = keys, .cross = true, .sees = {SIZE_MAX, SIZE_MAX}, .excluded = excluded,
                                 .excluded_count = excluded_count};
    if (find_all(facts)) return true;
    text_facts_finish(facts);
    return false;
}

void text_facts_finish(struct text_facts *facts) {
    free(facts->keep);
    free(facts->near_excluded);
    free(facts->log_visible);
    free(facts->visible);
    *facts = (struct text_facts){0};
}
