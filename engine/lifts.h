/*
 * lifts.h: what heads did on a text beside what their own habit of distance predicts (docs/statistics.md, "Baselines"). Included by
 * engine.h. Everything here belongs to the engine's thread.
 */
#include "engine/engine.h" /* which includes this: before the guard */

#ifndef HEADSCOPE_ENGINE_LIFTS_H
#define HEADSCOPE_ENGINE_LIFTS_H

enum lift {
    LIFT_SELF, LIFT_PREVIOUS, LIFT_NEXT, LIFT_LOCAL, LIFT_DUPLICATE, LIFT_INDUCTION, LIFT_SEPARATOR, LIFT_RARITY, LIFT_SIMILARITY,
    LIFTS
};
/* "self_mass" ...; LIFT_NEXT does not apply to causal models. */
extern const char *const lift_names[LIFTS];

enum { LIFT_ROWS_MIN = 20, LIFT_RESAMPLES = 500 }; /* fewer rows are drawn grey; draws of the bootstrap */
#define LIFT_OUTSIDE_MIN 0.05 /* less weight outside the excluded keys proves nothing */
#define LIFT_SEED UINT64_C(1)

/* A head's mean weight at each offset, excluded keys left out: weight[(layer * heads + head) * offsets + reach - 1 - d] for
 * offsets d = i - j below `reach`; offsets = reach, or 2 reach - 1 where queries look ahead. */
struct offset_profile {
    size_t reach, offsets;
    const float *weight;
};

/* All means over the lift's rows; NAN where there are no rows, or no profile. */
struct lift_result {
    size_t rows;
    double observed, uniform, expected, lift, low, high; /* low, high: the 95 % interval of lift */
    bool grey;
};
struct head_lifts {
    double outside; /* mean weight outside the excluded keys */
    struct lift_result lift[LIFTS];
};

/* Step by step, on the calling thread alone: it may be asked for while the pool is in the middle of a run.
 * profile may be NULL: no expectations; it is copied. resamples: LIFT_RESAMPLES, or 0: no intervals. The activations must outlive it. */
struct lifts;
enum engine_status lifts_create(struct engine *engine, const struct activations *activations, const uint32_t *excluded,
                                size_t excluded_count, const struct offset_profile *profile, size_t resamples, struct lifts **lifts,
                                char *error, size_t error_size);
/* A millisecond or a few. True: there is more to do. */
bool lifts_step(struct lifts *lifts, struct engine *engine);
/* [layers * heads], borrowed; once lifts_step has returned false. */
const struct head_lifts *lifts_heads(const struct lifts *lifts);
void lifts_destroy(struct lifts *lifts); /* NULL is fine */

/* All at once on the pool, without intervals: for probes. heads: [layers * heads]. breathe as in analysis_observer. */
enum engine_status lifts_compute(struct engine *engine, const struct activations *activations, const uint32_t *excluded,
                                 size_t excluded_count, const struct offset_profile *profile, bool (*breathe)(void *context),
                                 void *context, struct head_lifts *heads, char *error, size_t error_size);

/* Which keys separate: special tokens, and those that are nothing but punctuation and line breaks. */
bool token_is_separator(const struct model *model, int32_t id);

#endif
