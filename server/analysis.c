#include "server/analysis.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/analysis_id.h"
#include "server/analysis_job.h"
#include "server/json_lines.h"
#include "server/json_stored.h"
#include "server/prepare.h"
#include "server/utf8.h"

#define EXCERPT_BYTES 160
#define RETRY_SECONDS 2

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

struct analyses *analyses_create(const struct analyses_options *options) {
    struct analyses *analyses = calloc(1, sizeof *analyses);
    if (!analyses) return NULL;
    *analyses = (struct analyses){
        .models = options->models,
        .worker = options->worker,
        .prober = options->prober,
        .cache = options->cache,
        .log = options->log,
        .precision = options->precision,
        .memory_max = options->memory_max,
    };
    analyses->activations = activation_cache_create(options->memory_max / 2);
    if (analyses->activations && pthread_mutex_init(&analyses->lock, NULL) == 0) return analyses;
    activation_cache_destroy(analyses->activations);
    free(analyses);
    return NULL;
}

void analyses_stop(struct analyses *analyses) {
    struct problem problem;
    problem_set(&problem, 503, "the server is stopping; ask again when it is back");
    pthread_mutex_lock(&analyses->lock);
    analyses->stopping = true;
    for (struct analysis *a = analyses->table, *next; a; a = next) {
        next = a->next;
        if (!analysis_ended(a) && analysis_cancel(analyses, a, &problem)) analysis_free(a);
    }
    pthread_mutex_unlock(&analyses->lock);
}

void analyses_destroy(struct analyses *analyses) {
    if (!analyses) return;
    while (analyses->table) {
        struct analysis *analysis = analyses->table;
        if (analyses_table_remove(analyses, analysis)) analysis_free(analysis);
    }
    activation_cache_destroy(analyses->activations);
    pthread_mutex_destroy(&analyses->lock);
    free(analyses);
}

/* ---- what there is of an analysis -------------------------------------------------------------------------------- */

const char *analysis_id(const struct analysis *analysis) {
    return analysis->id;
}

struct line_stream *analysis_stream(const struct analysis *analysis) {
    return analysis->stream;
}

double analysis_seconds(const struct analysis *analysis) {
    return analysis->seconds;
}

const struct problem *analysis_problem(const struct analysis *analysis) {
    return &analysis->problem;
}

bool analysis_wait(struct analysis *analysis, const struct patience *patience, struct problem *problem) {
    while (!line_stream_wait_end(analysis->stream, PATIENCE_MS))
        if (patience_over(patience, problem)) return false;
    if (line_stream_state(analysis->stream) == LINES_DONE) return true;
    if (analysis->problem.status) *problem = analysis->problem;
    else problem_memory(problem);
    return false;
}

void analysis_release(struct analyses *analyses, struct analysis *analysis) {
    if (!analysis) return;
    struct problem problem;
    bool last = false;
    pthread_mutex_lock(&analyses->lock);
    if (--analysis->waiters == 0 && !analysis->for_ever && analysis->listed && !analysis_ended(analysis)) {
        problem_set(&problem, 503, "nobody waited for this any more");
        last = analysis_cancel(analyses, analysis, &problem);
    }
    last |= analysis_unreference(analysis);
    pthread_mutex_unlock(&analyses->lock);
    if (last) analysis_free(analysis);
}

/* One of the table, held. */
static struct analysis *analyses_join(struct analyses *analyses, const char *id, bool again) {
    pthread_mutex_lock(&analyses->lock);
    struct analysis *analysis = analyses_table_find(analyses, id, again);
    if (analysis) analysis_hold(analysis);
    pthread_mutex_unlock(&analyses->lock);
    return analysis;
}

bool analyses_find(struct analyses *analyses, const char *id, struct analysis **analysis, struct problem *problem) {
    *analysis = NULL;
    problem->status = 0;
    if (analysis_id_is(id)) {
        *analysis = analyses_join(analyses, id, false);
        if (!*analysis) *analysis = analysis_load(analyses, id, problem);
        /* It may have finished, and left the table for the database, between the two looks; not the other way round. */
    }
    if (*analysis) return true;
    if (problem->status) return false;
    return problem_set(problem, 404,
                       "there is no analysis with this id: it was never made, deleted, or has made room for newer "
                       "ones; POST its text to /api/v1/analyses again");
}

bool analyses_delete(struct analyses *analyses, const char *id, struct problem *problem) {
    struct problem cancelled;
    char error[512] = "";
    bool found = false, last = false, listed_last = false;
    if (!analysis_id_is(id)) return problem_set(problem, 404, "there is no analysis with this id");
    problem_set(&cancelled, 409, "this analysis was cancelled by a DELETE of its id");
    pthread_mutex_lock(&analyses->lock);
    struct analysis *analysis = analyses_table_find(analyses, id, false), *again = analyses_table_find(analyses, id, true);
    if (analysis) {
        found = analysis->forgotten = true;
        last = analysis_ended(analysis) ? analyses_table_remove(analyses, analysis)
                                        : analysis_cancel(analyses, analysis, &cancelled);
    }
    if (again && !analysis_ended(again)) listed_last = analysis_cancel(analyses, again, &cancelled);
    pthread_mutex_unlock(&analyses->lock);
    if (last) analysis_free(analysis);
    if (listed_last) analysis_free(again);

    activation_cache_remove(analyses->activations, id);
    enum cache_status status = analyses->cache ? cache_delete(analyses->cache, id, error, sizeof error) : CACHE_MISS;
    if (status == CACHE_OK || (found && status == CACHE_MISS)) return true;
    if (status == CACHE_MISS) return problem_set(problem, 404, "there is no analysis with this id");
    return problem_set(problem, 503, "the database did not let it go: %s", error);
}

/* ---- a request --------------------------------------------------------------------------------------------------- */

/* The start of the text, for lists: whole characters, and no NUL, which ends a string. */
static char *excerpt_of(const struct prepared *prepared, const struct analysis_request *request) {
    char *excerpt = malloc(EXCERPT_BYTES + 1);
    size_t size = 0;
    if (!excerpt) return NULL;
    const char *text = request->text;
    size_t whole = request->text_size;
    for (size_t i = 0; i < request->message_count && !text; i++) { /* of a chat what was said first */
        if (request->messages[i].role == CHAT_SYSTEM) continue;
        text = request->messages[i].content;
        whole = request->messages[i].size;
    }
    if (text) {
        size = whole < EXCERPT_BYTES ? whole : EXCERPT_BYTES;
        memcpy(excerpt, text, size);
    }
    for (size_t i = 0; !text && i < prepared->n && size < EXCERPT_BYTES; i++) {
        size_t length;
        const char *bytes = model_token_bytes(prepared->model.model, prepared->ids[i], &length, NULL);
        if (!bytes) break;
        if (length > EXCERPT_BYTES - size) length = EXCERPT_BYTES - size;
        memcpy(excerpt + size, bytes, length);
        size += length;
    }
    size = utf8_check(excerpt, size);
    for (size_t i = 0; i < size; i++)
        if (!excerpt[i]) excerpt[i] = ' ';
    excerpt[size] = '\0';
    return excerpt;
}

struct estimating {
    struct analysis_input input;
    struct analysis_estimate estimate;
    enum engine_status status;
    char error[512];
};

static void estimate_run(void *context, struct engine *engine) {
    struct estimating *e = context;
    e->status = analysis_estimate(engine, &e->input, &e->estimate, e->error, sizeof e->error);
}

/* Whether it can be run at all: asked before it is accepted, so that a refusal is an answer with a status. */
static bool analyses_admit(struct analyses *analyses, const struct prepared *prepared, const struct patience *patience,
                           struct analysis_estimate *estimate, struct problem *problem) {
    struct estimating e = {
        .input = {
            .model = prepared->model.model,
            .ids = prepared->ids,
            .types = prepared->types,
            .n = prepared->n,
            .excluded = prepared->excluded,
            .excluded_count = prepared->excluded_count,
            .target_ids = prepared->target_ids,
            .target_n = prepared->target_n,
            .target_excluded = prepared->target_excluded,
            .target_excluded_count = prepared->target_excluded_count,
            .precision = prepared->precision,
        },
    };
    if (!worker_ask(analyses->worker, estimate_run, &e, patience, problem)) return false;
    *estimate = e.estimate;
    return e.status == ENGINE_OK || problem_engine(problem, e.status, e.error);
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Takes the work out of *prepared. */
static struct analysis *analysis_of_prepared(struct analyses *analyses, struct prepared *prepared) {
    struct line_stream *stream = line_stream_create();
    struct analysis *analysis = stream ? analysis_create(analyses, prepared->id, stream) : NULL;
    if (!analysis) {
        line_stream_release(stream);
        return NULL;
    }
    analysis->model = prepared->model;
    analysis->ids = prepared->ids;
    analysis->types = prepared->types;
    analysis->n = prepared->n;
    analysis->excluded = prepared->excluded;
    analysis->excluded_count = prepared->excluded_count;
    analysis->target_ids = prepared->target_ids;
    analysis->target_n = prepared->target_n;
    analysis->target_excluded = prepared->target_excluded;
    analysis->target_excluded_count = prepared->target_excluded_count;
    analysis->precision = prepared->precision;
    analysis->created = now_ms();
    prepared->model = (struct model_lease){0};
    prepared->ids = NULL;
    prepared->types = NULL;
    prepared->excluded = NULL;
    prepared->target_ids = NULL;
    prepared->target_excluded = NULL;
    return analysis;
}

/* A new analysis with its first two lines; nobody else knows it yet. */
static struct analysis *analyses_new(struct analyses *analyses, struct prepared *prepared,
                                     const struct analysis_request *request, const struct analysis_estimate *estimate) {
    struct json_text line = {0};
    size_t first;
    char *excerpt = excerpt_of(prepared, request);
    json_line_start(&line, prepared, request, estimate);
    first = line.size;
    json_line_tokens(&line, prepared, request);
    struct analysis *analysis = excerpt && !line.failed ? analysis_of_prepared(analyses, prepared) : NULL;
    if (!analysis) {
        free(excerpt);
    } else {
        analysis->excerpt = excerpt;
        if (!line_stream_append(analysis->stream, line.bytes, first) ||
            !line_stream_append(analysis->stream, line.bytes + first, line.size - first)) {
            analysis_free(analysis);
            analysis = NULL;
        }
    }
    json_free(&line);
    return analysis;
}

/* Enters it into the table and the queue, unless an equal one is there by now, which is joined instead. Takes the analysis. */
static bool analyses_enter(struct analyses *analyses, struct analysis *analysis, const char *client,
                           struct analysis **entered,
                           struct problem *problem) {
    struct worker_job job = {.run = analysis_job_run, .drop = analysis_job_drop, .context = analysis};
    pthread_mutex_lock(&analyses->lock);
    struct analysis *there = analyses_table_find(analyses, analysis->id, analysis->again);
    enum worker_accept accepted = WORKER_STOPPED;
    if (there && !there->problem.status) {
        analysis_hold(there);
        there->store |= analysis->store;
        there->for_ever |= analysis->for_ever;
    } else if (!analyses->stopping) {
        analysis->references++; /* the job's */
        if (there && analyses_table_remove(analyses, there)) analysis_free(there); /* a failed one makes way */
        there = NULL;
        analyses_table_add(analyses, analysis);
        accepted = worker_submit(analyses->worker, client, &job);
        if (accepted != WORKER_ACCEPTED) {
            analyses_table_remove(analyses, analysis);
            analysis->references--;
        }
    }
    pthread_mutex_unlock(&analyses->lock);
    if (!there && accepted == WORKER_ACCEPTED) {
        *entered = analysis;
        return true;
    }
    analysis_free(analysis);
    *entered = there;
    if (there) return true;
    if (accepted == WORKER_NO_MEMORY) return problem_memory(problem);
    if (accepted == WORKER_STOPPED) return problem_set(problem, 503, "the server is stopping; ask again when it is back");
    problem_set(problem, 503, "%zu analyses are waiting already, which is as many as may; ask again in a moment",
                worker_waiting(analyses->worker));
    problem->retry_after = RETRY_SECONDS;
    return false;
}

/* One that is there already: running, finished in memory, or in the database. NULL: none. */
static struct analysis *analyses_known(struct analyses *analyses, const char *id, bool store, bool for_ever, bool *hit) {
    struct problem ignored;
    pthread_mutex_lock(&analyses->lock);
    struct analysis *analysis = analyses_table_find(analyses, id, false);
    bool put = false;
    if (analysis && analysis->problem.status) analysis = NULL; /* failed: to be tried again */
    if (analysis) {
        analysis_hold(analysis);
        *hit = analysis_ended(analysis);
        put = *hit && store && !analysis->stored && analysis->store != store;
        analysis->store |= store;
        analysis->for_ever |= for_ever;
    }
    pthread_mutex_unlock(&analyses->lock);
    if (put && analysis_store(analysis)) { /* was asked for with "store": false before */
        pthread_mutex_lock(&analyses->lock);
        analysis->stored = true;
        analyses_table_remove(analyses, analysis);
        pthread_mutex_unlock(&analyses->lock);
    }
    if (analysis) return analysis;
    analysis = analysis_load(analyses, id, &ignored);
    *hit = analysis != NULL;
    return analysis;
}

bool analyses_request(struct analyses *analyses, const struct analysis_request *request, const char *client, bool for_ever,
                      const struct patience *patience, struct analysis **analysis, bool *hit, struct problem *problem) {
    struct prepared prepared;
    struct analysis_estimate estimate;
    *hit = false;
    if (!prepare_analysis(analyses->models, request, analyses->precision, &prepared, problem)) return false;
    *analysis = analyses_known(analyses, prepared.id, request->store, for_ever, hit);
    bool fine = *analysis != NULL;
    if (!fine && analyses_admit(analyses, &prepared, patience, &estimate, problem)) {
        struct analysis *fresh = analyses_new(analyses, &prepared, request, &estimate);
        if (fresh) {
            fresh->store = request->store;
            fresh->for_ever = for_ever;
            fine = analyses_enter(analyses, fresh, client, analysis, problem);
        } else {
            problem_memory(problem);
        }
    }
    prepare_clear(&prepared);
    return fine;
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

/* Who wants the activations, and of which head. */
struct wanted {
    const char *id, *client;
    const char *section; /* NULL: the model's only one, or its decoder's */
    size_t layer, head;
};

/* A model's layers and heads; those of its encoder, beside a decoder, or 0. */
struct shape {
    int layers, heads, encoder_layers, encoder_heads;
};

static bool wanted_is_there(const struct wanted *wanted, const struct shape *shape, struct problem *problem) {
    int layers = shape->layers, heads = shape->heads;
    const char *section = wanted->section;
    if (section && shape->encoder_layers == 0)
        return problem_set(problem, 422, "the model has one section, not an encoder and a decoder; leave section=%.24s out", section);
    if (section && strcmp(section, "encoder") != 0 && strcmp(section, "decoder") != 0 && strcmp(section, "cross") != 0)
        return problem_set(problem, 400, "section must be encoder, decoder or cross, not '%.24s'", section);
    if (section && strcmp(section, "encoder") == 0) {
        layers = shape->encoder_layers;
        heads = shape->encoder_heads;
    }
    if (wanted->layer >= (size_t)layers)
        return problem_set(problem, 404, "layer %zu is not there; the model has %d, counted from 0", wanted->layer, layers);
    if (wanted->head >= (size_t)heads)
        return problem_set(problem, 404, "head %zu is not there; a layer has %d, counted from 0", wanted->head, heads);
    return true;
}

/* Runs the model once more on a stored analysis' ids, or joins whoever does. */
static bool analyses_run_again(struct analyses *analyses, const struct wanted *wanted, struct analysis *stored,
                               struct analysis **again, struct problem *problem) {
    struct stored_analysis what;
    struct prepared prepared = {0};
    size_t size = 0;
    const char *lines = line_stream_bytes(stored->stream, &size);
    if (!json_stored_read(lines, size, &what, problem)) return false;
    if (!wanted_is_there(wanted, &(struct shape){what.layers, what.heads, what.encoder_layers, what.encoder_heads}, problem) ||
        !models_acquire_digest(analyses->models, what.digest, &prepared.model, problem)) {
        json_stored_clear(&what);
        return false;
    }
    memcpy(prepared.id, wanted->id, sizeof prepared.id);
    prepared.ids = what.ids;
    prepared.types = what.types;
    prepared.n = what.n;
    prepared.excluded = what.excluded;
    prepared.excluded_count = what.excluded_count;
    prepared.target_ids = what.target_ids;
    prepared.target_n = what.target_n;
    prepared.target_excluded = what.target_excluded;
    prepared.target_excluded_count = what.target_excluded_count;
    prepared.precision = what.precision;
    struct analysis *fresh = analysis_of_prepared(analyses, &prepared);
    prepare_clear(&prepared); /* with the lists of `what`, where they were not taken */
    if (!fresh) return problem_memory(problem);
    fresh->again = true;
    return analyses_enter(analyses, fresh, wanted->client, again, problem);
}

/* Whoever will bring the activations: the analysis itself when it is unfinished, or a run of its own. */
static bool analyses_bringer(struct analyses *analyses, const struct wanted *wanted, struct analysis **bringer,
                             struct problem *problem) {
    struct analysis *analysis;
    if (!analyses_find(analyses, wanted->id, &analysis, problem)) return false;
    if (!analysis_ended(analysis)) {
        *bringer = analysis;
        return true;
    }
    bool fine;
    if (line_stream_state(analysis->stream) != LINES_DONE) {
        *problem = analysis->problem;
        fine = false;
    } else {
        fine = analyses_run_again(analyses, wanted, analysis, bringer, problem);
    }
    analysis_release(analyses, analysis);
    return fine;
}

static bool analyses_lend(struct analyses *analyses, const struct wanted *wanted, struct activation_lease *lease,
                          struct problem *problem) {
    const struct model_info *info = model_describe(activations_model(lease->activations));
    if (wanted_is_there(wanted, &(struct shape){info->layers, info->heads, info->encoder_layers, info->encoder_heads}, problem)) {
        const char *section = wanted->section;
        lease->section = !section                          ? model_section(activations_model(lease->activations))
                         : strcmp(section, "encoder") == 0 ? SECTION_ENCODER
                         : strcmp(section, "cross") == 0   ? SECTION_CROSS
                                                           : SECTION_DECODER;
        if (info->encoder_layers > 0 && lease->section == SECTION_DECODER) {
            lease->excluded = lease->target_excluded;
            lease->excluded_count = lease->target_excluded_count;
        }
        return true;
    }
    activation_cache_release(analyses->activations, lease);
    return false;
}

bool analyses_activations(struct analyses *analyses, const char *id, const char *section, size_t layer, size_t head, const char *client,
                          const struct patience *patience, struct activation_lease *lease, struct problem *problem) {
    struct wanted wanted = {.id = id, .client = client, .section = section, .layer = layer, .head = head};
    /* What was just computed may be pushed out again before it is picked up, when many ask for many texts. */
    for (int tries = 0; tries < 4; tries++) {
        struct analysis *bringer;
        if (activation_cache_get(analyses->activations, id, lease)) return analyses_lend(analyses, &wanted, lease, problem);
        if (!analyses_bringer(analyses, &wanted, &bringer, problem)) return false;
        bool fine = analysis_wait(bringer, patience, problem);
        bool there = activation_cache_get(analyses->activations, id, lease);
        analysis_release(analyses, bringer);
        if (there) return analyses_lend(analyses, &wanted, lease, problem);
        if (!fine) return false;
    }
    return problem_set(problem, 503, "too many maps are asked for at once for the memory there is; ask again in a moment");
}

void analyses_release_activations(struct analyses *analyses, struct activation_lease *lease) {
    activation_cache_release(analyses->activations, lease);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

bool analyses_unstored(struct analyses *analyses, struct cache_entry **items, size_t *count) {
    size_t room = 0;
    bool fine = true;
    *count = 0;
    pthread_mutex_lock(&analyses->lock);
    for (struct analysis *a = analyses->table; a; a = a->next) room++;
    *items = calloc(room + 1, sizeof **items);
    for (struct analysis *a = analyses->table; *items && fine && a; a = a->next) {
        if (a->again || !a->store || line_stream_state(a->stream) != LINES_DONE) continue;
        struct cache_entry *item = &(*items)[(*count)++];
        *item = (struct cache_entry){
            .id = strdup(a->id),
            .model = strdup(a->model.id),
            .model_digest = strdup(a->model.digest),
            .excerpt = strdup(a->excerpt),
            .n_tokens = (uint32_t)a->n,
            .seconds = a->seconds,
            .created = a->created,
        };
        fine = item->id && item->model && item->model_digest && item->excerpt;
    }
    pthread_mutex_unlock(&analyses->lock);
    if (*items && fine) return true;
    for (size_t i = 0; *items && i < *count; i++) cache_entry_clear(&(*items)[i]);
    free(*items);
    return false;
}
