/*
 * atlas.h: what finished probes say each head is: scores and types (docs/atlas.md). Included by engine.h. Pure functions of what
 * probe_step has filled.
 */
#include "engine/engine.h" /* which includes this: before the guard */

#ifndef HEADSCOPE_ENGINE_ATLAS_H
#define HEADSCOPE_ENGINE_ATLAS_H

enum score {
    SCORE_REPEAT_PREVIOUS, SCORE_REPEAT_DUPLICATE, SCORE_REPEAT_INDUCTION,
    SCORE_RANDOM_SINK_MASS, SCORE_RANDOM_OFFSET_R2, SCORE_RANDOM_COPYING,
    SCORE_LENGTH_ENTROPY_SLOPE, SCORE_LENGTH_SINK_SLOPE, SCORE_LENGTH_LOCAL_SLOPE,
    SCORE_SAME_UNIFORM_ERROR, SCORE_SAME_OFFSET_ERROR,
    SCORE_NATURAL_BREADTH, SCORE_NATURAL_LARGEST_OFFSET, SCORE_NATURAL_SEPARATOR_MASS, SCORE_NATURAL_RARE_RATE, SCORE_NATURAL_RARE_CHANCE,
    SCORE_NATURAL_SIMILARITY_LOW, SCORE_NATURAL_SIMILARITY_HIGH,
    SCORE_NATURAL_LIFT,                                /* and LIFTS - 1 more: natural.self_mass_lift ... */
    SCORE_NATURAL = SCORE_NATURAL_LIFT + LIFTS,        /* and STAT_COUNT - 1 more: natural.entropy ... */
    SCORES = SCORE_NATURAL + STAT_COUNT
};
/* "repeat.previous". */
const char *score_name(int score, char name[64]);
enum probe score_probe(int score);

enum head_kind {
    HEAD_PREVIOUS_TOKEN, HEAD_POSITIONAL, HEAD_INDUCTION, HEAD_ANTI_INDUCTION, HEAD_DUPLICATE, HEAD_SINK, HEAD_LOCAL, HEAD_BROAD,
    HEAD_SEPARATOR, HEAD_RARE_TOKEN, HEAD_SEMANTIC, HEAD_KINDS
};
extern const char *const head_kind_names[HEAD_KINDS];

struct head_type {
    enum head_kind kind;
    bool strong;
    double score, threshold; /* of the strength that it has */
    int which;               /* enum score */
    int offset;              /* of HEAD_POSITIONAL */
};

enum { ATLAS_LENGTHS = 8 }; /* 64, 128 ... 8192 */

struct atlas_head {
    double score[SCORES];               /* NAN: its probe is not done, or it does not apply */
    double low[STAT_COUNT], high[STAT_COUNT]; /* 10th and 90th percentile of the statistic over the natural windows */
    double length_entropy[ATLAS_LENGTHS], length_sink[ATLAS_LENGTHS], length_local[ATLAS_LENGTHS];
    struct head_type type[HEAD_KINDS];
    size_t types;
};

/* heads: [layers * heads]. values[probe]: NULL unless all steps are done. */
void atlas_heads(const struct model *model, const double *const values[PROBES], struct atlas_head *heads);
/* Mean loss in nats a token on the first and the second copy of the repeat probe; NAN for models whose loss is not computed. */
void atlas_losses(const double *repeat_values, double losses[2]);
/* The profile of offsets from the natural probe's first half: floats [layers * heads * offsets], freed with free(). NULL: no memory. */
float *atlas_profile(const struct model *model, const double *natural_values, struct offset_profile *profile);
/* Lengths that the length probe runs for this model, at most ATLAS_LENGTHS. */
size_t atlas_lengths(const struct model *model, size_t lengths[ATLAS_LENGTHS]);

#endif
