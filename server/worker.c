#include "server/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/wait.h"

#define IDLE_AFTER_MS 500

/* The engine uses its free time after so long without work. */
enum { IDLE_MS = 50 };

struct waiting_job {
    struct worker_job job;
    struct waiting_job *next;
};

/* One client's jobs, in order. Lines with jobs stand in a ring; the worker serves the first and sends it to the end. */
struct client_line {
    char *client;
    struct waiting_job *first, **last;
    struct client_line *next;
};

struct worker {
    pthread_mutex_t lock;
    pthread_cond_t work;      /* something to do, or stopping */
    pthread_cond_t read_over; /* a read came to its end */
    pthread_t thread;
    struct engine *engine;
    bool stopping;
    bool ready; /* the engine has nothing to do in its free time */
    struct client_line *lines;
    size_t waiting, queue_max;
    struct worker_read *reads, **reads_end;
    size_t read_count;
    bool (*idle)(void *context, struct worker *worker, struct engine *engine);
    void *idle_context;
    bool idle_wanted;
    char kernels[128];
    int threads;
};

/* ---- the ring of clients (with the lock held) ------------------------------------------------------------------ */

static struct client_line **worker_find_line(struct worker *worker, const char *client) {
    struct client_line **at = &worker->lines;
    while (*at && strcmp((*at)->client, client) != 0) at = &(*at)->next;
    return at;
}

static struct client_line *worker_new_line(const char *client) {
    struct client_line *line = calloc(1, sizeof *line);
    if (!line) return NULL;
    line->client = strdup(client);
    if (!line->client) { free(line); return NULL; }
    line->last = &line->first;
    return line;
}

static void client_line_free(struct client_line *line) {
    free(line->client);
    free(line);
}

/* Takes the next job off the ring; NULL when there is none. The caller frees it. */
static struct waiting_job *worker_next_job(struct worker *worker) {
    struct client_line *line = worker->lines;
    if (!line) return NULL;
    struct waiting_job *job = line->first;
    line->first = job->next;
    if (!line->first) line->last = &line->first;
    worker->lines = line->next;
    line->next = NULL;
    if (line->first) {
        struct client_line **end = &worker->lines;
        while (*end) end = &(*end)->next;
        *end = line;
    } else {
        client_line_free(line);
    }
    worker->waiting--;
    return job;
}

/* ---- reads ------------------------------------------------------------------------------------------------------ */

/* Serves the reads that wait now, not those that come meanwhile: the job goes on in between. Lock held, let go for each. */
static void worker_serve_reads(struct worker *worker, struct engine *engine) {
    for (size_t left = worker->read_count; left > 0 && worker->reads && !worker->stopping; left--) {
        struct worker_read *read = worker->reads;
        worker->reads = read->next;
        if (!worker->reads) worker->reads_end = &worker->reads;
        worker->read_count--;
        read->state = READ_RUNNING;
        pthread_mutex_unlock(&worker->lock);
        read->run(read->context, engine);
        pthread_mutex_lock(&worker->lock);
        read->state = READ_DONE;
        pthread_cond_broadcast(&worker->read_over);
    }
}

void worker_read_start(struct worker *worker, struct worker_read *read) {
    pthread_mutex_lock(&worker->lock);
    read->next = NULL;
    if (worker->stopping) {
        read->state = READ_FAILED;
    } else {
        read->state = READ_WAITING;
        *worker->reads_end = read;
        worker->reads_end = &read->next;
        worker->read_count++;
        pthread_cond_signal(&worker->work);
    }
    pthread_mutex_unlock(&worker->lock);
}

static bool read_over(const struct worker_read *read) {
    return read->state == READ_DONE || read->state == READ_FAILED;
}

bool worker_read_wait(struct worker *worker, struct worker_read *read, int wait_ms) {
    struct timespec until = wait_until(wait_ms);
    pthread_mutex_lock(&worker->lock);
    while (!read_over(read)) {
        if (pthread_cond_timedwait(&worker->read_over, &worker->lock, &until) == ETIMEDOUT) break;
    }
    bool over = read_over(read);
    pthread_mutex_unlock(&worker->lock);
    return over;
}

void worker_read_cancel(struct worker *worker, struct worker_read *read) {
    pthread_mutex_lock(&worker->lock);
    if (read->state == READ_WAITING) {
        struct worker_read **at = &worker->reads;
        while (*at != read) at = &(*at)->next;
        *at = read->next;
        if (!*at) worker->reads_end = at;
        worker->read_count--;
        read->state = READ_FAILED;
    }
    while (read->state == READ_RUNNING) pthread_cond_wait(&worker->read_over, &worker->lock);
    pthread_mutex_unlock(&worker->lock);
}

bool worker_breathe(struct worker *worker, struct engine *engine) {
    pthread_mutex_lock(&worker->lock);
    worker_serve_reads(worker, engine);
    bool go_on = !worker->stopping;
    pthread_mutex_unlock(&worker->lock);
    return go_on;
}

/* ---- idle work --------------------------------------------------------------------------------------------------- */

void worker_set_idle(struct worker *worker, bool (*run)(void *context, struct worker *worker, struct engine *engine), void *context) {
    pthread_mutex_lock(&worker->lock);
    worker->idle = run;
    worker->idle_context = context;
    pthread_mutex_unlock(&worker->lock);
}

void worker_wake(struct worker *worker) {
    pthread_mutex_lock(&worker->lock);
    worker->idle_wanted = worker->idle != NULL;
    pthread_cond_signal(&worker->work);
    pthread_mutex_unlock(&worker->lock);
}

bool worker_breathe_idle(struct worker *worker, struct engine *engine) {
    pthread_mutex_lock(&worker->lock);
    worker_serve_reads(worker, engine);
    bool go_on = !worker->stopping && worker->waiting == 0;
    pthread_mutex_unlock(&worker->lock);
    return go_on;
}

/* Lock held, let go while it runs. *quiet: nothing came for a while, and idle work goes on without another pause. */
static void worker_idle(struct worker *worker, bool *quiet) {
    if (!*quiet) {
        struct timespec until = wait_until(IDLE_AFTER_MS);
        *quiet = pthread_cond_timedwait(&worker->work, &worker->lock, &until) == ETIMEDOUT;
        return;
    }
    worker->idle_wanted = false; /* unless it is woken meanwhile */
    worker->ready = false;
    pthread_mutex_unlock(&worker->lock);
    bool more = worker->idle(worker->idle_context, worker, worker->engine);
    pthread_mutex_lock(&worker->lock);
    worker->idle_wanted |= more;
}

/* ---- jobs ------------------------------------------------------------------------------------------------------- */

enum worker_accept worker_submit(struct worker *worker, const char *client, const struct worker_job *job) {
    enum worker_accept answer = WORKER_NO_MEMORY;
    struct waiting_job *waiting = calloc(1, sizeof *waiting);
    if (!waiting) return answer;
    waiting->job = *job;
    pthread_mutex_lock(&worker->lock);
    struct client_line **at = worker_find_line(worker, client);
    if (worker->stopping) {
        answer = WORKER_STOPPED;
    } else if (worker->waiting >= worker->queue_max) {
        answer = WORKER_FULL;
    } else if (*at || (*at = worker_new_line(client))) {
        *(*at)->last = waiting;
        (*at)->last = &waiting->next;
        worker->waiting++;
        answer = WORKER_ACCEPTED;
        pthread_cond_signal(&worker->work);
    }
    pthread_mutex_unlock(&worker->lock);
    if (answer != WORKER_ACCEPTED) free(waiting);
    return answer;
}

bool worker_withdraw(struct worker *worker, const void *context) {
    struct waiting_job *found = NULL;
    pthread_mutex_lock(&worker->lock);
    for (struct client_line **line = &worker->lines; *line && !found; line = &(*line)->next) {
        struct waiting_job **at = &(*line)->first;
        while (*at && (*at)->job.context != context) at = &(*at)->next;
        if (!*at) continue;
        found = *at;
        *at = found->next;
        if (!*at) (*line)->last = at;
        worker->waiting--;
        if (!(*line)->first) {
            struct client_line *empty = *line;
            *line = empty->next;
            client_line_free(empty);
            break;
        }
    }
    pthread_mutex_unlock(&worker->lock);
    free(found);
    return found != NULL;
}

size_t worker_waiting(struct worker *worker) {
    pthread_mutex_lock(&worker->lock);
    size_t waiting = worker->waiting;
    pthread_mutex_unlock(&worker->lock);
    return waiting;
}

/* Lock held. The engine readies itself once nothing has come for a moment: whoever got an answer may want a core to draw it. */
static void worker_wait(struct worker *worker) {
    if (!worker->ready) {
        struct timespec until = wait_until(IDLE_MS);
        if (pthread_cond_timedwait(&worker->work, &worker->lock, &until) != ETIMEDOUT) return;
        while (!worker->ready && !worker->reads && !worker->lines && !worker->stopping) {
            pthread_mutex_unlock(&worker->lock);
            bool more = engine_idle(worker->engine);
            pthread_mutex_lock(&worker->lock);
            worker->ready = !more;
        }
        return;
    }
    pthread_cond_wait(&worker->work, &worker->lock);
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    bool quiet = false;
    pthread_mutex_lock(&worker->lock);
    while (!worker->stopping) {
        if (worker->reads) {
            quiet = false;
            worker_serve_reads(worker, worker->engine);
        } else if (worker->lines) {
            quiet = false;
            struct waiting_job *next = worker_next_job(worker);
            worker->ready = false;
            pthread_mutex_unlock(&worker->lock);
            next->job.run(next->job.context, worker, worker->engine);
            free(next);
            pthread_mutex_lock(&worker->lock);
        } else if (worker->idle_wanted && worker->ready) {
            worker_idle(worker, &quiet);
        } else {
            worker_wait(worker);
        }
    }
    struct waiting_job *next;
    while ((next = worker_next_job(worker))) {
        pthread_mutex_unlock(&worker->lock);
        next->job.drop(next->job.context);
        free(next);
        pthread_mutex_lock(&worker->lock);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

static bool worker_init_locks(struct worker *worker) {
    if (pthread_mutex_init(&worker->lock, NULL) != 0) return false;
    if (wait_condition_init(&worker->work)) {
        if (wait_condition_init(&worker->read_over)) return true;
        pthread_cond_destroy(&worker->work);
    }
    pthread_mutex_destroy(&worker->lock);
    return false;
}

static void worker_finish_locks(struct worker *worker) {
    pthread_cond_destroy(&worker->read_over);
    pthread_cond_destroy(&worker->work);
    pthread_mutex_destroy(&worker->lock);
}

/* Signals from outside are for the main thread: the worker, and the threads that the engine starts, must not receive them. Those
 * that a thread causes itself stay open (a mapped file that was cut short is a SIGBUS). */
static void worker_block_signals(sigset_t *before) {
    static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP};
    sigset_t outside;
    sigfillset(&outside);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) sigdelset(&outside, own[i]);
    pthread_sigmask(SIG_SETMASK, &outside, before);
}

static enum engine_status worker_start(struct worker *worker, const struct engine_options *options, char *error,
                                       size_t error_size) {
    enum engine_status status = engine_create(options, &worker->engine, error, error_size);
    if (status != ENGINE_OK) return status;
    if (pthread_create(&worker->thread, NULL, worker_main, worker) == 0) return ENGINE_OK;
    engine_destroy(worker->engine);
    snprintf(error, error_size, "no thread could be started; close other programs or raise the limit of processes");
    return ENGINE_NO_MEMORY;
}

bool worker_create(const struct worker_options *options, struct worker **worker, char *error, size_t error_size) {
    struct engine_options engine_options = {.threads = options->threads, .memory_max = options->memory_max};
    struct worker *made = calloc(1, sizeof *made);
    if (!made) goto no_memory;
    made->queue_max = options->queue_max;
    made->reads_end = &made->reads;
    if (!worker_init_locks(made)) goto no_locks;
    sigset_t before;
    worker_block_signals(&before);
    enum engine_status status = worker_start(made, &engine_options, error, error_size);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != ENGINE_OK) goto no_start;
    snprintf(made->kernels, sizeof made->kernels, "%s", engine_kernels(made->engine));
    made->threads = engine_threads(made->engine);
    *worker = made;
    return true;

no_start:
    worker_finish_locks(made);
    free(made);
    return false;
no_locks:
    free(made);
no_memory:
    snprintf(error, error_size, "out of memory");
    return false;
}

void worker_stop(struct worker *worker) {
    pthread_mutex_lock(&worker->lock);
    worker->stopping = true;
    for (struct worker_read *read = worker->reads; read; read = read->next) read->state = READ_FAILED;
    worker->reads = NULL;
    worker->reads_end = &worker->reads;
    worker->read_count = 0;
    pthread_cond_broadcast(&worker->work);
    pthread_cond_broadcast(&worker->read_over);
    pthread_mutex_unlock(&worker->lock);
}

void worker_destroy(struct worker *worker) {
    if (!worker) return;
    worker_stop(worker);
    pthread_join(worker->thread, NULL);
    engine_destroy(worker->engine);
    worker_finish_locks(worker);
    free(worker);
}

const char *worker_kernels(const struct worker *worker) {
    return worker->kernels;
}

int worker_threads(const struct worker *worker) {
    return worker->threads;
}
