/*
 * analysis.h: from a request to lines. Every analysis has one id, and for one id there is one of: work that is queued or running
 * (equal requests join it), a stored result, or nothing (a new job).
 *
 * Waiters   Whoever holds a `struct analysis` from analyses_request or analyses_wait_on counts as waiting until
 *           analysis_release. When the last one leaves, work that is not finished is cancelled; an asynchronous request waits
 *           for ever.
 * Results   A finished result goes to the database, byte for byte. If that fails, or it was not to be stored, it stays in memory
 *           among the latest few. Activations stay in a cache of their own, bounded in bytes.
 * Threads   All calls from any thread. Those that wait do so as long as `patience` lasts.
 */
#ifndef HEADSCOPE_SERVER_ANALYSIS_H
#define HEADSCOPE_SERVER_ANALYSIS_H

#include "server/activation_cache.h"
#include "server/json_request.h"
#include "server/line_stream.h"
#include "server/models.h"
#include "server/patience.h"
#include "server/problem.h"
#include "server/worker.h"

struct analyses;
struct analysis;
struct cache_entry;

struct prober;

struct analyses_options {
    struct prober *prober; /* NULL: none; is told which models are used */
    struct models *models;
    struct worker *worker;
    struct cache *cache;   /* may be NULL */
    struct log *log;       /* may be NULL */
    enum precision precision; /* of new analyses; those that are stored keep theirs */
    uint64_t memory_max;   /* of runs and kept activations together; 0: no limit */
};

struct analyses *analyses_create(const struct analyses_options *options);
/* Ends all streams and wakes all that wait; nothing new is taken. Call before http_stop. */
void analyses_stop(struct analyses *analyses);
/* After http_stop and worker_destroy. NULL is fine. */
void analyses_destroy(struct analyses *analyses);

/* A request's analysis: stored, joined or new. On success *analysis is the caller's, and *hit says that nothing will run. */
bool analyses_request(struct analyses *analyses, const struct analysis_request *request, const char *client,
                      bool for_ever, const struct patience *patience, struct analysis **analysis, bool *hit,
                      struct problem *problem);

/* An analysis by id, finished or not: 404 when there is none. The caller waits on it until analysis_release. */
bool analyses_find(struct analyses *analyses, const char *id, struct analysis **analysis, struct problem *problem);
void analysis_release(struct analyses *analyses, struct analysis *analysis); /* NULL is fine */

/* Forgets a finished one, cancels an unfinished one. 404 when there is none. */
bool analyses_delete(struct analyses *analyses, const char *id, struct problem *problem);

const char *analysis_id(const struct analysis *analysis);
struct line_stream *analysis_stream(const struct analysis *analysis); /* lives as long as the analysis */
double analysis_seconds(const struct analysis *analysis);             /* of a finished one */
/* Of a failed one. */
const struct problem *analysis_problem(const struct analysis *analysis);

/* Waits until it is done: false, with a problem, when it failed, was cancelled or patience was over. */
bool analysis_wait(struct analysis *analysis, const struct patience *patience, struct problem *problem);

/* The activations of an analysis, running the model again where they are gone, but not for a head that it does not have (404). section: "encoder", "decoder" or "cross" (400,
 * 422 where the model has but one); NULL: the only one, or the decoder's. The
 * caller releases the lease. */
bool analyses_activations(struct analyses *analyses, const char *id, const char *section, size_t layer, size_t head, const char *client,
                          const struct patience *patience, struct activation_lease *lease, struct problem *problem);

/* On the worker's thread, before a run: lets kept activations go, the oldest first, until there is memory for it. */
void analyses_make_room(struct analyses *analyses, struct engine *engine, const struct analysis_input *input);

void analyses_release_activations(struct analyses *analyses, struct activation_lease *lease); /* an empty one is fine */

/* What stays in memory only, newest first, for lists when there is no database. *items: array, each entry cleared with
 * cache_entry_clear, then free(). */
bool analyses_unstored(struct analyses *analyses, struct cache_entry **items, size_t *count);

#endif
