/*
 * across.h: questions across heads and across two texts. Included by engine.h, whose words on threads and errors hold here, too.
 * Source    docs/statistics.md, "Between heads".
 */
#include "engine/engine.h" /* which includes this: before the guard */

#ifndef HEADSCOPE_ENGINE_ACROSS_H
#define HEADSCOPE_ENGINE_ACROSS_H

/* ---- all heads of one text -------------------------------------------------------------------------------- */

/* Sums over rows; the caller divides by how many queries it asked for. */
struct between_sums {
    double weight;   /* on the keys */
    double uniform;  /* the same of a head that spreads evenly over what it sees */
    double kept;     /* on the keys that are not excluded */
    double expected; /* what the offset profile puts on these; 0 without a profile */
    size_t rows;     /* queries that see any of the keys */
};
struct offset_profile; /* lifts.h */
/* The profile of head number `head` (layer * heads + head) at every offset of a text: to[queries + keys - 1], from offset -(keys - 1)
 * on; beyond its reach the mean of its last 32 offsets goes on. */
void offset_profile_extend(const struct offset_profile *profile, size_t head, size_t queries, size_t keys, double *to);
/* Adds the rows of `rectangle` to *sums. profile: [queries + keys - 1] the head's mean weight at each offset from -(keys - 1) on, or
 * NULL. O(rectangle + queries x excluded). */
enum engine_status attention_between(struct engine *engine, const struct activations *activations, struct head_address at,
                                     const struct rectangle *rectangle, const uint32_t *excluded, size_t excluded_count,
                                     const double *profile, struct between_sums *sums, char *error, size_t error_size);
/* The same for the heads number first .. first + count - 1 (layer * heads + head) of a section, side by side on the engine's pool:
 * adds to sums[count]. profile: of all heads, or NULL. */
enum engine_status attention_between_heads(struct engine *engine, const struct activations *activations, enum section section,
                                           size_t first, size_t count, const struct rectangle *rectangle, const uint32_t *excluded,
                                           size_t excluded_count, const struct offset_profile *profile, struct between_sums *sums,
                                           char *error, size_t error_size);

/* Sums over rows. */
struct dilution_sums {
    double entropy, sink_mass, local_mass;
};
/* Adds `rows` rows from query0 on, 48 at most. */
enum engine_status attention_dilution(struct engine *engine, const struct activations *activations, struct head_address at,
                                      size_t query0, size_t rows, const uint32_t *excluded, size_t excluded_count,
                                      struct dilution_sums *sums, char *error, size_t error_size);

/* How alike all heads are. Made in steps of a few milliseconds, each on the engine's thread; the rest is anybody's, one at a time. The
 * activations and the excluded keys are borrowed until destroyed. */
enum similarity_kind { SIMILARITY_JS, SIMILARITY_CKA };
struct similarity;
enum engine_status similarity_create(const struct activations *activations, enum section section, enum similarity_kind kind,
                                     const uint32_t *excluded, size_t excluded_count, struct similarity **similarity, char *error,
                                     size_t error_size);
void similarity_destroy(struct similarity *similarity); /* NULL is fine */
/* On ENGINE_OK *done says whether the matrix is whole. */
enum engine_status similarity_step(struct engine *engine, struct similarity *similarity, bool *done, char *error, size_t error_size);
/* [heads of all layers, the same], symmetric: a distance (JS, 0 on the diagonal) or a similarity (CKA, 1 on it); NAN where there is
 * none. Borrowed. */
const float *similarity_matrix(const struct similarity *similarity, size_t *heads);
size_t similarity_queries(const struct similarity *similarity); /* how many of the text's it was made of */

/* Clusters and a plane for a matrix of distances [n, n]; NAN counts as 1. */
struct similarity_map {
    uint32_t *cluster; /* [n] from 0, the largest first */
    size_t clusters;
    double *place;     /* [n, 2] */
    double stress, explained; /* NAN where nothing differs */
};
#define CLUSTER_CUT 0.3 /* average linkage stops at this distance */
/* kind: a CKA matrix is turned into distances, 1 - similarity. On the engine's thread: uses LAPACK. *map's arrays are freed with
 * similarity_map_clear. */
enum engine_status similarity_map_make(const float *matrix, size_t n, enum similarity_kind kind, struct similarity_map *map,
                                       char *error, size_t error_size);
void similarity_map_clear(struct similarity_map *map);

/* ---- two texts ------------------------------------------------------------------------------------------- */

struct token_pair {
    uint32_t a, b; /* positions */
};
/* Longest common subsequence of two lists of ids, ascending in both. *pairs: malloc'ed. Memory a_n x b_n / 8 bytes beyond what both
 * begin and end with; ENGINE_TOO_LARGE where that is over 64 MiB. */
enum engine_status tokens_align(const int32_t *a, size_t a_n, const int32_t *b, size_t b_n, struct token_pair **pairs,
                                size_t *count, char *error, size_t error_size);

/* One side of a comparison: both of one model, at one head. */
struct text_side {
    const struct activations *activations;
    const uint32_t *excluded;
    size_t excluded_count;
};
/* Adds to *change the total variation distance of each of the pairs first .. end - 1 of rows, over the aligned keys outside both
 * sides' excluded ones and all the rest as one. */
enum engine_status attention_change(struct engine *engine, const struct text_side *a, const struct text_side *b,
                                    struct head_address at, const struct token_pair *pairs, size_t count, size_t first, size_t end,
                                    double *change, char *error, size_t error_size);
/* difference[(query1 - query0) x (key1 - key0)], b's weights minus a's; the rectangle counts pairs. */
enum engine_status attention_difference(struct engine *engine, const struct activations *a, const struct activations *b,
                                        struct head_address at, const struct token_pair *pairs, size_t count,
                                        const struct rectangle *rectangle, float *difference, char *error, size_t error_size);

/* ---- words of a parse --------------------------------------------------------------------------------------- */

struct parsed_word {
    uint32_t token0, token1; /* its tokens, half-open, within the text; ascending from word to word */
    uint32_t sentence;       /* ascending from 0 */
    uint32_t head;           /* index of the word that it depends on; itself: of none */
    uint32_t relation;       /* which, below `relations` */
};
enum syntax_direction { SYNTAX_TO_HEAD, SYNTAX_TO_DEPENDENT, SYNTAX_DIRECTIONS };
/* How many cases of a relation in a direction there are, and the best fixed offset in words. */
struct syntax_baseline {
    uint32_t cases;
    uint32_t right; /* of the best offset */
    int offset;
};
/* baselines: [relations, SYNTAX_DIRECTIONS]. */
enum engine_status syntax_baselines(const struct activations *activations, const struct parsed_word *words, size_t count,
                                    size_t relations, struct syntax_baseline *baselines, char *error, size_t error_size);
/* Adds to right[relations, SYNTAX_DIRECTIONS] the cases in which a head's weights point at a right word, for the words first ..
 * end - 1 of whole sentences. */
enum engine_status syntax_right(struct engine *engine, const struct activations *activations, struct head_address at,
                                const struct parsed_word *words, size_t first, size_t end, uint32_t *right, char *error,
                                size_t error_size);

#endif
