#include "server/analysis_job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/json_lines.h"
#include "server/prober.h"
#include "server/wait.h"

#define UNSTORED_BYTES_MAX ((size_t)64 << 20) /* results that the database does not hold */
#define PREFIX_LEAST 16                       /* tokens; what is shorter is as quick to compute again */

/* ---- one analysis ------------------------------------------------------------------------------------------------ */

struct analysis *analysis_create(struct analyses *analyses, const char *id, struct line_stream *stream) {
    struct analysis *analysis = calloc(1, sizeof *analysis);
    if (!analysis) return NULL;
    analysis->analyses = analyses;
    analysis->references = analysis->waiters = 1;
    analysis->stream = stream;
    analysis->seconds = NAN;
    memcpy(analysis->id, id, sizeof analysis->id);
    return analysis;
}

/* What the run needed; the lines stay. */
static void analysis_drop_work(struct analysis *analysis) {
    models_release(&analysis->model);
    free(analysis->ids);
    free(analysis->types);
    free(analysis->excluded);
    free(analysis->target_ids);
    free(analysis->target_excluded);
    analysis->ids = NULL;
    analysis->types = NULL;
    analysis->excluded = NULL;
    analysis->target_ids = NULL;
    analysis->target_excluded = NULL;
}

void analysis_free(struct analysis *analysis) {
    analysis_drop_work(analysis);
    line_stream_release(analysis->stream);
    free(analysis->excerpt);
    free(analysis);
}

/* Lock held. True when it was the last: the caller frees it after letting the lock go. */
bool analysis_unreference(struct analysis *analysis) {
    return --analysis->references == 0;
}

bool analysis_ended(const struct analysis *analysis) {
    return line_stream_state(analysis->stream) >= LINES_DONE;
}

/* ---- the table (lock held) --------------------------------------------------------------------------------------- */

void analyses_table_add(struct analyses *analyses, struct analysis *analysis) {
    analysis->next = analyses->table;
    analyses->table = analysis;
    analysis->listed = true;
    analysis->references++;
}

/* True when the table's was the last reference. */
bool analyses_table_remove(struct analyses *analyses, struct analysis *analysis) {
    if (!analysis->listed) return false;
    struct analysis **at = &analyses->table;
    while (*at != analysis) at = &(*at)->next;
    *at = analysis->next;
    analysis->listed = false;
    return analysis_unreference(analysis);
}

struct analysis *analyses_table_find(const struct analyses *analyses, const char *id, bool again) {
    struct analysis *analysis = analyses->table;
    while (analysis && (analysis->again != again || strcmp(analysis->id, id) != 0)) analysis = analysis->next;
    return analysis;
}

void analysis_hold(struct analysis *analysis) {
    analysis->references++;
    analysis->waiters++;
}

/* Lets the oldest results that the database does not hold go, until they fit. Returns them linked by `next`, to be freed. */
static struct analysis *analyses_table_trim(struct analyses *analyses) {
    struct analysis *gone = NULL;
    size_t bytes = 0, size;
    for (struct analysis *a = analyses->table, *next; a; a = next) {
        next = a->next;
        if (!line_stream_bytes(a->stream, &size)) continue;
        bytes += size + sizeof *a;
        if (bytes <= UNSTORED_BYTES_MAX) continue;
        if (analyses_table_remove(analyses, a)) {
            a->next = gone;
            gone = a;
        }
    }
    return gone;
}

static void analyses_free_list(struct analysis *list) {
    while (list) {
        struct analysis *next = list->next;
        analysis_free(list);
        list = next;
    }
}

/* The first end counts. Lock held. */
static void analysis_end(struct analysis *analysis, enum line_state state, const struct problem *problem, double seconds,
                         struct json_text *line) {
    if (analysis_ended(analysis)) return;
    if (problem) analysis->problem = *problem;
    analysis->seconds = seconds;
    bool written = !line->failed && line->size > 0;
    if (!written && state == LINES_DONE && !analysis->again) state = LINES_FAILED;
    line_stream_end(analysis->stream, state, written ? line->bytes : NULL, line->size);
}

bool analysis_cancel(struct analyses *analyses, struct analysis *analysis, const struct problem *problem) {
    struct json_text line = {0};
    atomic_store(&analysis->cancelled, true);
    json_line_error(&line, problem);
    analysis_end(analysis, LINES_CANCELLED, problem, NAN, &line);
    json_free(&line);
    bool last = analyses_table_remove(analyses, analysis);
    if (worker_withdraw(analyses->worker, analysis)) last |= analysis_unreference(analysis);
    return last;
}

/* ---- the database ------------------------------------------------------------------------------------------------ */

static void analyses_warn(struct analyses *analyses, const char *what, const char *error) {
    log_write(analyses->log, LEVEL_WARNING, "cache", "%s: %s", what, error);
}

static bool analysis_put(struct analysis *analysis, double seconds, char *lines, size_t size) {
    struct analyses *analyses = analysis->analyses;
    char error[512] = "";
    if (!analyses->cache) return false;
    struct cache_entry entry = {
        .id = analysis->id,
        .model = analysis->model.id,
        .model_digest = analysis->model.digest,
        .n_tokens = (uint32_t)analysis->n,
        .excerpt = analysis->excerpt,
        .seconds = seconds,
        .created = analysis->created,
        .lines = lines,
        .lines_size = size,
    };
    if (cache_put(analyses->cache, &entry, error, sizeof error) == CACHE_OK) return true;
    analyses_warn(analyses, "an analysis was served but not kept", error);
    return false;
}

/* Puts a finished one into the database; false when it is not there. Without the lock. */
bool analysis_store(struct analysis *analysis) {
    size_t size = 0;
    const char *lines = line_stream_bytes(analysis->stream, &size);
    return lines && analysis_put(analysis, analysis->seconds, (char *)lines, size);
}

/* Before anyone hears `done`: who has heard it finds the analysis in every list, and after a crash. Some 3 ms. */
static bool analysis_store_first(struct analysis *analysis, double seconds, const struct json_text *done) {
    pthread_mutex_lock(&analysis->analyses->lock);
    bool store = analysis->store && !analysis->again && !analysis->forgotten && !analysis_ended(analysis);
    pthread_mutex_unlock(&analysis->analyses->lock);
    size_t size = 0;
    char *lines = store && !done->failed ? line_stream_copy(analysis->stream, &size) : NULL;
    char *whole = lines ? realloc(lines, size + done->size + 1) : NULL;
    if (whole) {
        memcpy(whole + size, done->bytes, done->size);
        whole[size + done->size] = '\n';
    }
    bool stored = whole && analysis_put(analysis, seconds, whole, size + done->size + 1);
    free(whole ? whole : lines);
    return stored;
}

/* A stored one, held by the caller. NULL and no problem: there is none. */
struct analysis *analysis_load(struct analyses *analyses, const char *id, struct problem *problem) {
    struct cache_entry entry;
    char error[512] = "";
    problem->status = 0;
    if (!analyses->cache) return NULL;
    enum cache_status status = cache_get(analyses->cache, id, &entry, error, sizeof error);
    if (status != CACHE_OK) {
        if (status != CACHE_MISS) analyses_warn(analyses, "a stored analysis could not be read", error);
        return NULL;
    }
    struct line_stream *stream = line_stream_of_bytes(entry.lines, entry.lines_size);
    struct analysis *analysis = stream ? analysis_create(analyses, id, stream) : NULL;
    if (stream) entry.lines = NULL;
    if (analysis) {
        analysis->seconds = entry.seconds;
        analysis->created = entry.created;
        analysis->stored = true;
    } else {
        line_stream_release(stream);
        problem_memory(problem);
    }
    cache_entry_clear(&entry);
    return analysis;
}

/* ---- running (the worker's thread) ------------------------------------------------------------------------------- */

struct run {
    struct analysis *analysis;
    struct worker *worker;
    struct engine *engine;
    struct problem problem;
    double seconds;
    uint32_t *sinks;
    size_t sink_count;
    double max_weight_error;
    int not_finite;
    enum section section;
    struct activation_lease kept; /* what the run left behind, until its end is told */
};

static bool run_layer(void *context, const struct layer_result *result) {
    struct run *run = context;
    struct analysis *analysis = run->analysis;
    struct json_text line = {0};
    if (analysis->again) return true;
    json_line_layer(&line, result, model_describe(analysis->model.model));
    bool fine = !line.failed && line_stream_append(analysis->stream, line.bytes, line.size);
    if (!fine && !atomic_load(&analysis->cancelled)) problem_memory(&run->problem);
    json_free(&line);
    return fine;
}

static bool run_breathe(void *context) {
    struct run *run = context;
    return worker_breathe(run->worker, run->engine) && !atomic_load(&run->analysis->cancelled);
}

void analyses_make_room(struct analyses *analyses, struct engine *engine, const struct analysis_input *input) {
    struct analysis_estimate estimate;
    char error[256];
    if (analyses->memory_max == 0) return;
    if (analysis_estimate(engine, input, &estimate, error, sizeof error) != ENGINE_OK) return;
    uint64_t most = analyses->memory_max, taken = estimate.bytes + engine_idle_bytes(engine);
    activation_cache_shrink(analyses->activations, taken < most ? most - taken : 0);
}

/* Runs the model and keeps its activations. */
static bool run_model(struct run *run) {
    struct analysis *analysis = run->analysis;
    struct activation_cache *kept = analysis->analyses->activations;
    struct analysis_input input = {
        .model = analysis->model.model,
        .ids = analysis->ids,
        .types = analysis->types,
        .n = analysis->n,
        .excluded = analysis->excluded,
        .excluded_count = analysis->excluded_count,
        .target_ids = analysis->target_ids,
        .target_n = analysis->target_n,
        .target_excluded = analysis->target_excluded,
        .target_excluded_count = analysis->target_excluded_count,
        .precision = analysis->precision,
    };
    struct analysis_observer observer = {.context = run, .layer = run_layer, .breathe = run_breathe};
    struct activation_lease prefix;
    struct activations *activations = NULL;
    char error[512] = "";

    enum engine_status status = ENGINE_OK;
    double begin = wait_now();
    if (!analysis->again)
        status = analysis_precision_error(run->engine, analysis->model.model, input.precision, &run->max_weight_error, error, sizeof error);
    if (status != ENGINE_OK) return problem_engine(&run->problem, status, error);
    activation_cache_best_prefix(kept, input.model, input.ids, input.n, PREFIX_LEAST, &prefix);
    analyses_make_room(analysis->analyses, run->engine, &input);
    status = analysis_run(run->engine, &input, prefix.activations, &observer, &run->sinks,
                                             &run->sink_count, &activations, error, sizeof error);
    activation_cache_release(kept, &prefix);
    run->seconds = wait_now() - begin;

    if (status == ENGINE_CANCELLED)
        return run->problem.status ? false
                                   : problem_set(&run->problem, 503, "the server is stopping; ask again when it is back");
    if (status != ENGINE_OK) return problem_engine(&run->problem, status, error);
    run->not_finite = activations_not_finite(activations, &run->section);
    bool current = models_lease_current(&analysis->model);
    if (!current || !activation_cache_put(kept, analysis->id, analysis->model.digest, activations, &input))
        activations_destroy(activations);
    else
        activation_cache_get(kept, analysis->id, &run->kept);
    struct prober *prober = analysis->analyses->prober;
    if (current && prober && prober_note(prober, &analysis->model)) worker_wake(run->worker);
    return current || problem_set(&run->problem, 503, "the model's file was written to while it was being read; ask again");
}

/* After the end: into the database, or kept in memory, or gone. Takes the job's reference. */
static void analysis_settle(struct analysis *analysis, bool done, bool stored) {
    struct analyses *analyses = analysis->analyses;
    char error[256];
    pthread_mutex_lock(&analyses->lock);
    bool store = done && !stored && !analysis->again && analysis->store && !analysis->forgotten; /* someone joined late */
    pthread_mutex_unlock(&analyses->lock);
    bool last = false;
    stored |= store && analysis_store(analysis);

    pthread_mutex_lock(&analyses->lock);
    analysis->stored = stored;
    if (stored && analysis->forgotten) cache_delete(analyses->cache, analysis->id, error, sizeof error);
    if (stored || analysis->again || (!done && !analysis->for_ever)) last = analyses_table_remove(analyses, analysis);
    last |= analysis_unreference(analysis);
    struct analysis *gone = analyses_table_trim(analyses);
    pthread_mutex_unlock(&analyses->lock);
    analyses_free_list(gone);
    if (last) analysis_free(analysis);
}

/* The last line, and what becomes of the analysis. */
static void run_finish(struct run *run, bool done) {
    struct analysis *analysis = run->analysis;
    struct analyses *analyses = analysis->analyses;
    struct json_text line = {0};
    if (!done) json_line_error(&line, &run->problem);
    else if (!analysis->again) {
        const struct run_end end = {run->sinks, run->sink_count, analysis->precision, run->max_weight_error, run->not_finite, run->section, run->kept.activations};
        json_line_done(&line, analysis->id, &end);
    }
    activation_cache_release(analyses->activations, &run->kept);
    free(run->sinks);
    if (done && line.failed) problem_memory(&run->problem);
    bool stored = done && analysis_store_first(analysis, run->seconds, &line);

    pthread_mutex_lock(&analyses->lock);
    analysis_end(analysis, done ? LINES_DONE : LINES_FAILED, run->problem.status ? &run->problem : NULL, run->seconds,
                 &line);
    enum line_state state = line_stream_state(analysis->stream);
    pthread_mutex_unlock(&analyses->lock);
    json_free(&line);
    if (done && !analysis->again && run->not_finite >= 0)
        log_write(analyses->log, LEVEL_WARNING, "analysis", "%.12s: numbers of model '%s' are not finite from layer %d on", analysis->id, analysis->model.id,
                  run->not_finite);
    log_write(analyses->log, LEVEL_INFO, "analysis", "%.12s: %zu tokens, %s after %.3f s%s%s", analysis->id, analysis->n,
              line_state_name(state), run->seconds, state == LINES_FAILED ? ": " : "",
              state == LINES_FAILED ? run->problem.detail : "");
    analysis_settle(analysis, state == LINES_DONE, stored);
}

void analysis_job_run(void *context, struct worker *worker, struct engine *engine) {
    struct run run = {.analysis = context, .worker = worker, .engine = engine};
    bool done = false;
    if (!atomic_load(&run.analysis->cancelled)) {
        line_stream_begin(run.analysis->stream);
        done = run_model(&run);
    }
    run_finish(&run, done);
}

void analysis_job_drop(void *context) {
    struct run run = {.analysis = context};
    problem_set(&run.problem, 503, "the server is stopping; ask again when it is back");
    run_finish(&run, false);
}
