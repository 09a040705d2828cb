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

/* Sorted by (id, position), the earlier copies of a token are the ones before it in its group. */
static bool find_copies(struct text_facts *facts) {
    size_t n = facts->n;
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
    for (size_t i = 1; i < n; i++) {
        facts->duplicate_rows += facts->copy_count[i] > 0;
        facts->induction_rows += induction_count(facts, i) > 0;
    }
    return true;
}

static void find_excluded(struct text_facts *facts) {
    for (size_t i = 0; i < facts->n; i++) facts->keep[i] = 1;
    for (size_t s = 0; s < facts->excluded_count; s++) facts->keep[facts->excluded[s]] = 0;
    for (size_t i = 0, s = 0; i < facts->n; i++) {
        while (s < facts->excluded_count && facts->excluded[s] + LOCAL_DISTANCE < i) s++;
        facts->near_excluded[i] = (uint32_t)s;
    }
}

static void find_bins(struct text_facts *facts) {
    size_t n = facts->n, bins = n < THUMBNAIL_BINS ? n : THUMBNAIL_BINS;
    facts->bins = (int)bins;
    for (size_t b = 0; b <= bins; b++) facts->bin_start[b] = b * n / bins;
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

bool text_facts_init(struct text_facts *facts, const int32_t *ids, size_t n, const uint32_t *excluded, size_t excluded_count) {
    *facts = (struct text_facts){.n = n, .ids = ids, .excluded = excluded, .excluded_count = excluded_count};
    facts->keep = malloc(n * sizeof *facts->keep);
    facts->near_excluded = malloc(4 * n * sizeof *facts->near_excluded); /* and the three others behind it */
    facts->log_visible = malloc(n * sizeof *facts->log_visible);
    facts->visible = malloc(THUMBNAIL_BINS * THUMBNAIL_BINS * sizeof *facts->visible);
    if (!facts->keep || !facts->near_excluded || !facts->log_visible || !facts->visible) goto failed;
    facts->positions = facts->near_excluded + n;
    facts->copy_first = facts->positions + n;
    facts->copy_count = facts->copy_first + n;
    for (size_t i = 0; i < n; i++) facts->log_visible[i] = log((double)(i + 1));
    find_excluded(facts);
    if (!find_copies(facts)) goto failed;
    find_bins(facts);
    return true;
failed:
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
