/*
 * prober.h: what the probes of each model have found: read from the cache, run step by step where they are missing, written back.
 * In the server the worker runs steps when it has nothing else to do; `headscope probe` runs them in a row.
 *
 * Threads   prober_note and prober_look may be called from any thread; prober_step belongs to the thread of the engine.
 * Cache     May be NULL or fail: then probes live as long as the prober. A probe is written when it is done, whenever it has run for
 *           some seconds, and when it is interrupted.
 */
#ifndef HEADSCOPE_SERVER_PROBER_H
#define HEADSCOPE_SERVER_PROBER_H

#include "db/cache.h"
#include "engine/engine.h"
#include "server/log.h"
#include "server/models.h"

struct prober;

struct prober *prober_create(struct cache *cache, struct log *log); /* NULL: no memory */
/* Called before each run, on the engine's thread: the place to let go of memory. */
void prober_set_room(struct prober *prober, void (*make_room)(void *context, struct engine *engine, const struct analysis_input *input),
                     void *context);
/* Lets go of the models; no step may be going on from here on. */
void prober_stop(struct prober *prober);
void prober_destroy(struct prober *prober); /* NULL is fine */

/* The model has been used: what is missing of its probes is to be run. False when out of memory. */
bool prober_note(struct prober *prober, const struct model_lease *lease);

enum probe_state { PROBE_MISSING, PROBE_RUNNING, PROBE_DONE, PROBE_IMPOSSIBLE };
extern const char *const probe_state_names[];

struct probe_view {
    enum probe_state state;
    size_t steps, done;
    char reason[256];     /* PROBE_IMPOSSIBLE */
    const double *values; /* PROBE_DONE: valid as long as the prober; NULL otherwise */
};
/* How far each probe of the model is. False with a problem. */
bool prober_look(struct prober *prober, const struct model *model, const char *digest, struct probe_view views[PROBES],
                 struct problem *problem);

/* Runs one step of what is to be run. `breathe` false: the step is given up, and comes again. True: there may be more. */
bool prober_step(struct prober *prober, struct engine *engine, bool (*breathe)(void *context), void *context);
/* Writes what has been found and not been written. */
void prober_save(struct prober *prober);

#endif
