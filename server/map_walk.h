/*
 * map_walk.h: exact weights of one or several heads of a layer, a block of rows after the other, each read by the worker. No more
 * than a block is ever held.
 */
#ifndef HEADSCOPE_SERVER_MAP_WALK_H
#define HEADSCOPE_SERVER_MAP_WALK_H

#include "server/analysis.h"
#include "server/http.h"
#include "server/patience.h"

struct map_walk {
    /* set by the caller, the rest zero */
    struct analyses *analyses;
    struct worker *worker;
    struct activation_lease lease; /* given back by map_walk_finish */
    size_t layer, head, head_end;
    struct rectangle rectangle;
    /* Of a difference: the other side, whose weights those of `lease` are taken from, and the tokens that correspond, malloc'ed; the
     * rectangle counts these. Given back and freed by map_walk_finish. */
    struct activation_lease other;
    struct token_pair *pairs;
    size_t pair_count;
    enum weighting weighting;
    bool scaled; /* cells are to be divided by the largest of the head's value-weighted map */

    /* the block: rows x columns of `head`, beginning at query rectangle.query0 + row */
    float *block;
    float largest; /* of the map, where scaled */
    size_t rows, columns, row;

    size_t rows_max, next_head, next_row;
    struct worker_read read;
    enum engine_status status;
    char error[256];
};

/* False when out of memory; finish it all the same. */
bool map_walk_begin(struct map_walk *walk);
void map_walk_finish(struct map_walk *walk);

/* The next block. 1: there; 0: no more; -1: failed, with a problem. */
int map_walk_next(struct map_walk *walk, const struct patience *patience, struct problem *problem);

/* Answers with an .npy of the whole walk, [heads, queries, keys] or, when `flat`, [queries, keys]. Takes *walk (malloc'ed) in any
 * case. The first block is read before the answer begins, so that what can go wrong is a problem and not a cut. */
void map_walk_reply_npy(struct http_request *request, struct map_walk *walk, bool flat);

#endif
