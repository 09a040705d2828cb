/*
 * text_facts.h: what statistics and thumbnails need to know of a text, found once before a run: excluded keys, earlier
 * copies of each token, pooling bins. Nothing here depends on a model but for being causal.
 */
#ifndef HEADSCOPE_ENGINE_TEXT_FACTS_H
#define HEADSCOPE_ENGINE_TEXT_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { THUMBNAIL_BINS = 48, LOCAL_DISTANCE = 16 };

struct text_facts {
    size_t n;
    const int32_t *ids;       /* [n], borrowed */
    const uint32_t *excluded; /* [excluded_count] ascending, borrowed: S */
    size_t excluded_count;
    float *keep;              /* [n] 0 in S, 1 elsewhere */
    uint32_t *near_excluded;  /* [n] index of the first excluded key >= i - LOCAL_DISTANCE */
    double *log_visible;      /* [n] ln(i + 1) */
    /* Earlier copies of row i's token: positions[copy_first[i]] ... , copy_count[i] of them, ascending. The keys of
     * induction follow them by one: p + 1 for every such p < i - 1. */
    uint32_t *positions, *copy_first, *copy_count;
    size_t duplicate_rows, induction_rows;
    int bins;                             /* min(THUMBNAIL_BINS, n) */
    size_t bin_start[THUMBNAIL_BINS + 1]; /* floor(b n / bins) */
    float *visible;                       /* [bins, bins] how many (query, key) of a cell are visible and not in S */
};

/* How many of those copies are followed by a key before i. */
static inline size_t induction_count(const struct text_facts *facts, size_t i) {
    size_t copies = facts->copy_count[i];
    return copies && facts->positions[facts->copy_first[i] + copies - 1] + 1 == i ? copies - 1 : copies;
}

/* false: no memory, and nothing to free. ids and excluded must outlive the facts. */
bool text_facts_init(struct text_facts *facts, const int32_t *ids, size_t n, const uint32_t *excluded, size_t excluded_count);
void text_facts_finish(struct text_facts *facts);
uint64_t text_facts_size(size_t n);

#endif
