/*
 * text_facts.h: what statistics and thumbnails need to know of a text, found once before a run: excluded keys, earlier
 * copies of each token, pooling bins. Nothing here depends on a model but for what its queries see. In cross-attention queries are of
 * one text and keys of another: distances and copies mean nothing there.
 */
#ifndef HEADSCOPE_ENGINE_TEXT_FACTS_H
#define HEADSCOPE_ENGINE_TEXT_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/visibility.h"

enum { THUMBNAIL_BINS = 48, LOCAL_DISTANCE = 16 };

struct text_facts {
    size_t n, keys;           /* queries; keys, as many but in cross-attention */
    bool cross;
    struct visibility sees;
    size_t offsets;           /* different i - j: n, or 2 n - 1 where queries look ahead; 0 in cross-attention */
    const int32_t *ids;       /* [n], borrowed; NULL in cross-attention */
    const uint32_t *excluded; /* [excluded_count] ascending, borrowed: S */
    size_t excluded_count;
    float *keep;              /* [keys] 0 in S, 1 elsewhere */
    uint32_t *near_excluded;  /* [n] index of the first excluded key >= i - LOCAL_DISTANCE */
    double *log_visible;      /* [n] ln of how many keys query i sees */
    size_t rows;              /* R: queries that count; all but the first of a causal model */
    size_t many_rows;         /* of these, how many see more than one key */
    /* Where visibility is plain: earlier copies of row i's token: positions[copy_first[i]] ... , copy_count[i] of them, ascending. The keys of
     * induction follow them by one: p + 1 for every such p < i - 1. Elsewhere these are all copies, i itself among them. */
    uint32_t *positions, *copy_first, *copy_count;
    size_t duplicate_rows, induction_rows;
    int bins, key_bins;                   /* min(THUMBNAIL_BINS, n), min(THUMBNAIL_BINS, keys) */
    size_t bin_start[THUMBNAIL_BINS + 1]; /* floor(b n / bins) */
    size_t key_bin_start[THUMBNAIL_BINS + 1];
    float *visible;                       /* [bins, key_bins] how many (query, key) of a cell are visible and not in S */
};

/* The first row of R. */
static inline size_t facts_first_row(const struct text_facts *facts) {
    return visibility_is_causal(facts->sees) ? 1 : 0;
}

static inline bool facts_sees(const struct text_facts *facts, size_t i, size_t j) {
    return j >= visible_first(facts->sees, i) && j < visible_end(facts->sees, facts->n, i);
}

/* Where visibility is not plain: is j a key that copies row i's token, or one that follows a copy? */
static inline bool facts_is_copy(const struct text_facts *facts, size_t i, size_t j) {
    return j != i && facts->ids[j] == facts->ids[i] && facts_sees(facts, i, j);
}
static inline bool facts_is_induction(const struct text_facts *facts, size_t i, size_t j) {
    return j >= 1 && j < facts->n && j != i && j - 1 != i && facts->ids[j - 1] == facts->ids[i] && facts_sees(facts, i, j);
}

/* Where visibility is plain: how many of those copies are followed by a key before i. */
static inline size_t induction_count(const struct text_facts *facts, size_t i) {
    size_t copies = facts->copy_count[i];
    return copies && facts->positions[facts->copy_first[i] + copies - 1] + 1 == i ? copies - 1 : copies;
}

/* How many queries a key's received weight is the mean of: those that see it, itself left out. */
static inline size_t facts_receivers(const struct text_facts *facts, size_t j) {
    return facts->cross ? facts->n : visible_receivers(facts->sees, facts->n, j);
}

/* How many different i - j a map of n tokens has. */
static inline size_t visible_offsets(struct visibility sees, size_t n) {
    return visibility_is_causal(sees) ? n : 2 * n - 1;
}

/* false: no memory, and nothing to free. ids and excluded must outlive the facts. */
bool text_facts_init(struct text_facts *facts, struct visibility sees, const int32_t *ids, size_t n, const uint32_t *excluded,
                     size_t excluded_count);
/* Of cross-attention: every query sees every key. */
bool text_facts_init_cross(struct text_facts *facts, size_t queries, size_t keys, const uint32_t *excluded, size_t excluded_count);
void text_facts_finish(struct text_facts *facts);
/* n: the larger number of queries and keys. */
uint64_t text_facts_size(size_t n);

#endif
