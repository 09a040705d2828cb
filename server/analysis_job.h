/*
 * analysis_job.h: inside analysis.h: the one object behind it, the table of those that are unfinished or only in memory, and
 * the run itself. Only analysis.c and analysis_job.c include it.
 *
 * Locks     analyses->lock guards the table and every analysis' counts and flags. The worker's and the streams' locks are taken
 *           inside it, never around it.
 */
#ifndef HEADSCOPE_SERVER_ANALYSIS_JOB_H
#define HEADSCOPE_SERVER_ANALYSIS_JOB_H

#include <pthread.h>
#include <stdatomic.h>

#include "db/cache.h"
#include "server/analysis.h"

/* One analysis: in the table while it is unfinished or not in the database; otherwise it belongs to its holders alone. */
struct analysis {
    struct analyses *analyses;
    struct analysis *next;     /* in the table, newest first */
    int references;            /* the table's, the job's, the holders' */
    int waiters;               /* the holders */
    bool listed, for_ever;
    bool again;                /* computed for its activations alone: the lines are known */
    bool store, stored;
    bool forgotten;            /* deleted while it ran */
    atomic_bool cancelled;
    char id[65];
    struct line_stream *stream;
    struct problem problem;    /* of a failed or cancelled one; set, with the lock held, before the stream ends */
    double seconds;            /* likewise, of a finished one */
    int64_t created;           /* Unix time, milliseconds */

    /* what to run */
    struct model_lease model;
    int32_t *ids;
    uint8_t *types;            /* NULL: all 0 */
    size_t n;
    uint32_t *excluded;
    size_t excluded_count;
    int32_t *target_ids;       /* of a model with an encoder and a decoder */
    size_t target_n;
    uint32_t *target_excluded;
    size_t target_excluded_count;
    enum precision precision;
    char *excerpt;
};

struct analyses {
    struct models *models;
    struct worker *worker;
    struct prober *prober; /* may be NULL */
    struct cache *cache;
    struct log *log;
    enum precision precision;
    uint64_t memory_max;
    struct activation_cache *activations;
    pthread_mutex_t lock; /* the table, and every analysis' counts and flags */
    struct analysis *table;
    bool stopping;
};

/* Held by its caller, who gave the stream away with it (on NULL the stream stays the caller's). */
struct analysis *analysis_create(struct analyses *analyses, const char *id, struct line_stream *stream);
void analysis_free(struct analysis *analysis);
bool analysis_ended(const struct analysis *analysis);

/* All of these with the lock held. What returns true has given up the last reference: the caller lets the lock go, then frees. */
void analysis_hold(struct analysis *analysis);
bool analysis_unreference(struct analysis *analysis);
void analyses_table_add(struct analyses *analyses, struct analysis *analysis);
bool analyses_table_remove(struct analyses *analyses, struct analysis *analysis);
struct analysis *analyses_table_find(const struct analyses *analyses, const char *id, bool again);
/* Ends an unfinished one, the problem its last line. The worker notices at its next breath. */
bool analysis_cancel(struct analyses *analyses, struct analysis *analysis, const struct problem *problem);

/* Without the lock. The database's one of this id, held by the caller; NULL with problem->status 0: there is none. */
struct analysis *analysis_load(struct analyses *analyses, const char *id, struct problem *problem);
/* Puts a finished one into the database; false when it is not there now. */
bool analysis_store(struct analysis *analysis);

/* The job: what worker_submit wants. It owns one reference. */
void analysis_job_run(void *context, struct worker *worker, struct engine *engine);
void analysis_job_drop(void *context);

#endif
