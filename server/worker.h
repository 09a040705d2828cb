/*
 * worker.h: the one thread that owns the engine.
 *
 * Jobs      Whole analyses, in a bounded queue, taken fairly: clients in turn, each client's own in order.
 * Reads     Small pieces of work on finished activations (a tile, a few rows) that go first: they run between jobs and, while a
 *           job runs, whenever it calls worker_breathe.
 * Idle work  A function that runs when there has been nothing to do for a while, and gives up as soon as there is.
 *
 * Threads   Everything may be called from any thread but worker_breathe, which belongs to the running job, and worker_breathe_idle,
 *           which belongs to the idle work.
 */
#ifndef HEADSCOPE_SERVER_WORKER_H
#define HEADSCOPE_SERVER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

struct worker;

struct worker_options {
    int threads;         /* of the engine; 0: one per core */
    uint64_t memory_max; /* of one run; 0: no limit */
    size_t queue_max;    /* jobs that may wait */
};

/* Makes the engine and starts the thread. False with a sentence in `error`. */
bool worker_create(const struct worker_options *options, struct worker **worker, char *error, size_t error_size);
/* From now on: nothing new is accepted, waiting jobs are given up, reads fail, worker_breathe says stop. Returns at once. */
void worker_stop(struct worker *worker);
/* Stops, waits for the thread, frees. NULL is fine. */
void worker_destroy(struct worker *worker);

/* What engine_kernels and engine_threads said; constant. */
const char *worker_kernels(const struct worker *worker);
int worker_threads(const struct worker *worker);

/* ---- jobs -------------------------------------------------------------------------------------------------- */

struct worker_job {
    void (*run)(void *context, struct worker *worker, struct engine *engine);
    void (*drop)(void *context); /* instead of run, when the worker stops first */
    void *context;
};

enum worker_accept { WORKER_ACCEPTED, WORKER_FULL, WORKER_STOPPED, WORKER_NO_MEMORY };

/* `client` is copied. */
enum worker_accept worker_submit(struct worker *worker, const char *client, const struct worker_job *job);
/* Takes a job that has not begun out of the queue; neither run nor drop is called then. False: it has begun, or is not there. */
bool worker_withdraw(struct worker *worker, const void *context);
size_t worker_waiting(struct worker *worker);

/* Serves the reads that are waiting. False once the worker is stopping: the job must give up. */
bool worker_breathe(struct worker *worker, struct engine *engine);

/* ---- idle work ----------------------------------------------------------------------------------------------- */

/* From now on `run` is called when nothing has waited for half a second, as long as it returns true, and after that again once
 * worker_wake was called. Set before the first job. */
void worker_set_idle(struct worker *worker, bool (*run)(void *context, struct worker *worker, struct engine *engine), void *context);
/* There may be idle work. */
void worker_wake(struct worker *worker);
/* Serves the reads that are waiting. False once a job waits or the worker is stopping: the idle work must give up. */
bool worker_breathe_idle(struct worker *worker, struct engine *engine);

/* ---- reads ------------------------------------------------------------------------------------------------- */

/* Lives with the caller, who fills the first two fields and zeroes the rest; `context` must stay until done or cancelled. */
struct worker_read {
    void (*run)(void *context, struct engine *engine);
    void *context;
    struct worker_read *next;
    enum { READ_IDLE, READ_WAITING, READ_RUNNING, READ_DONE, READ_FAILED } state;
};

void worker_read_start(struct worker *worker, struct worker_read *read);
/* True when it is over: read->state says whether it ran (READ_DONE) or the worker stopped first (READ_FAILED). */
bool worker_read_wait(struct worker *worker, struct worker_read *read, int wait_ms);
/* Takes it back; waits the few milliseconds if it is running. */
void worker_read_cancel(struct worker *worker, struct worker_read *read);

#endif
