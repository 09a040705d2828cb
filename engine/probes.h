/*
 * probes.h: texts made to tell one habit of heads from another, run once a model (docs/atlas.md). Included by engine.h.
 *
 * A probe goes step by step, each of a second or so; what the steps have found so far is an array of doubles that the caller
 * keeps, zeros at first. Steps come in order, and depend on nothing but the model, the number of the step and that array.
 */
#include "engine/engine.h" /* which includes this: before the guard */

#ifndef HEADSCOPE_ENGINE_PROBES_H
#define HEADSCOPE_ENGINE_PROBES_H

enum probe { PROBE_REPEAT, PROBE_RANDOM, PROBE_NATURAL, PROBE_LENGTH, PROBE_SAME, PROBES };

struct probe_protocol {
    const char *name;
    int version;   /* raised when any number may change */
    uint64_t seed; /* of the ids, drawn by SplitMix64 (Steele, Lea & Flood 2014); 0: nothing is drawn */
};
extern const struct probe_protocol probe_protocols[PROBES];

struct probe_plan {
    size_t steps, values; /* how many steps there are, and doubles that they fill */
};

/* What a probe of this model takes. ENGINE_UNSUPPORTED with the reason in `error` where the model cannot be probed so. */
enum engine_status probe_plan(const struct model *model, enum probe probe, struct probe_plan *plan, char *error, size_t error_size);

/* Runs one step and adds what it finds to values[plan.values]; untouched unless ENGINE_OK. breathe as in analysis_observer, may be NULL. On the
 * engine's thread. */
enum engine_status probe_step(struct engine *engine, const struct model *model, enum probe probe, size_t step,
                              bool (*breathe)(void *context), void *context, double *values, char *error, size_t error_size);

/* The ids of a step: for tests and for whoever wants to repeat it elsewhere. *ids: malloc'ed. */
enum engine_status probe_step_ids(const struct model *model, enum probe probe, size_t step, int32_t **ids, size_t *n, char *error,
                                  size_t error_size);

#endif
