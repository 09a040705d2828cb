#include "server/prober.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/wait.h"

/* A probe that has run so long is written, though it is not done. */
#define SAVE_SECONDS 4

const char *const probe_state_names[] = {
    [PROBE_MISSING] = "missing", [PROBE_RUNNING] = "running", [PROBE_DONE] = "done", [PROBE_IMPOSSIBLE] = "impossible",
};

struct probing {
    bool impossible;
    struct probe_plan plan;
    size_t done, saved; /* steps */
    double *values;
    char reason[256];
};

/* One model, by its digest. Entries stay until the end: a few megabytes each. */
struct probed {
    struct probed *next;
    char digest[65];
    struct model_lease lease; /* empty unless steps are to be run */
    struct probing probe[PROBES];
};

struct prober {
    pthread_mutex_t lock;
    struct cache *cache;
    struct log *log;
    struct probed *models;
    struct probed *running; /* one of them while its step runs; its values are then the step's own */
    double saved_at;
    bool stopped;
    void (*make_room)(void *context, struct engine *engine, const struct analysis_input *input);
    void *room_context;
};

struct prober *prober_create(struct cache *cache, struct log *log) {
    struct prober *prober = calloc(1, sizeof *prober);
    if (!prober) return NULL;
    if (pthread_mutex_init(&prober->lock, NULL) != 0) {
        free(prober);
        return NULL;
    }
    prober->cache = cache;
    prober->log = log;
    return prober;
}

void prober_set_room(struct prober *prober, void (*make_room)(void *context, struct engine *engine, const struct analysis_input *input),
                     void *context) {
    prober->make_room = make_room;
    prober->room_context = context;
}

void prober_stop(struct prober *prober) {
    prober_save(prober);
    pthread_mutex_lock(&prober->lock);
    prober->stopped = true;
    for (struct probed *model = prober->models; model; model = model->next) models_release(&model->lease);
    pthread_mutex_unlock(&prober->lock);
}

static void probed_free(struct probed *model) {
    models_release(&model->lease);
    for (int p = 0; p < PROBES; p++) free(model->probe[p].values);
    free(model);
}

void prober_destroy(struct prober *prober) {
    if (!prober) return;
    while (prober->models) {
        struct probed *model = prober->models;
        prober->models = model->next;
        probed_free(model);
    }
    pthread_mutex_destroy(&prober->lock);
    free(prober);
}

/* ---- the cache --------------------------------------------------------------------------------------------------- */

static struct cache_probe key_of(const struct probed *model, int probe) {
    return (struct cache_probe){model->digest, probe_protocols[probe].name, probe_protocols[probe].version};
}

static void probing_load(struct prober *prober, const struct probed *model, int probe, struct probing *to) {
    struct cache_probe key = key_of(model, probe);
    void *bytes = NULL;
    size_t steps, size;
    char error[512] = "";
    if (!prober->cache) return;
    enum cache_status status = cache_get_probe(prober->cache, &key, &steps, &bytes, &size, error, sizeof error);
    if (status == CACHE_OK && size == to->plan.values * sizeof *to->values && steps <= to->plan.steps) {
        memcpy(to->values, bytes, size);
        to->done = to->saved = steps;
    } else if (status != CACHE_OK && status != CACHE_MISS) {
        log_write(prober->log, LEVEL_WARNING, "probe", "%s", error);
    }
    free(bytes);
}

static void probing_save(struct prober *prober, const struct probed *model, int probe, struct probing *from) {
    struct cache_probe key = key_of(model, probe);
    char error[512] = "";
    if (!prober->cache || from->impossible || from->saved == from->done) return;
    if (cache_put_probe(prober->cache, &key, from->done, from->values, from->plan.values * sizeof *from->values, error,
                        sizeof error) != CACHE_OK)
        log_write(prober->log, LEVEL_WARNING, "probe", "%s; the probe %s lives as long as this process", error, key.name);
    from->saved = from->done;
}

void prober_save(struct prober *prober) {
    pthread_mutex_lock(&prober->lock);
    for (struct probed *model = prober->models; model; model = model->next)
        for (int p = 0; p < PROBES; p++) probing_save(prober, model, p, &model->probe[p]);
    pthread_mutex_unlock(&prober->lock);
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

static struct probed *probed_find(struct prober *prober, const char *digest) {
    struct probed *model = prober->models;
    while (model && strcmp(model->digest, digest) != 0) model = model->next;
    return model;
}

static struct probed *probed_create(struct prober *prober, const struct model *open, const char *digest) {
    struct probed *model = calloc(1, sizeof *model);
    if (!model) return NULL;
    memcpy(model->digest, digest, sizeof model->digest);
    for (int p = 0; p < PROBES; p++) {
        struct probing *probe = &model->probe[p];
        enum engine_status status = probe_plan(open, (enum probe)p, &probe->plan, probe->reason, sizeof probe->reason);
        if (status == ENGINE_NO_MEMORY || (status == ENGINE_OK && !(probe->values = calloc(probe->plan.values, sizeof *probe->values)))) {
            probed_free(model);
            return NULL;
        }
        probe->impossible = status != ENGINE_OK;
        if (!probe->impossible) probing_load(prober, model, p, probe);
    }
    return model;
}

/* Lock held, let go while the entry is made. NULL: no memory. */
static struct probed *probed_of(struct prober *prober, const struct model *open, const char *digest) {
    struct probed *found = probed_find(prober, digest);
    if (found) return found;
    pthread_mutex_unlock(&prober->lock);
    struct probed *made = probed_create(prober, open, digest);
    pthread_mutex_lock(&prober->lock);
    found = probed_find(prober, digest); /* somebody else may have been faster */
    if (found && made) {
        probed_free(made);
    } else if (made) {
        made->next = prober->models;
        prober->models = found = made;
    }
    return found;
}

static int probed_missing(const struct probed *model) {
    for (int p = 0; p < PROBES; p++)
        if (!model->probe[p].impossible && model->probe[p].done < model->probe[p].plan.steps) return p;
    return -1;
}

bool prober_note(struct prober *prober, const struct model_lease *lease) {
    pthread_mutex_lock(&prober->lock);
    struct probed *model = probed_of(prober, lease->model, lease->digest);
    bool wanted = model && !prober->stopped && !model->lease.model && model != prober->running && probed_missing(model) >= 0;
    bool fine = model && (!wanted || models_lease_copy(lease, &model->lease));
    pthread_mutex_unlock(&prober->lock);
    return fine;
}

bool prober_look(struct prober *prober, const struct model *open, const char *digest, struct probe_view views[PROBES],
                 struct problem *problem) {
    pthread_mutex_lock(&prober->lock);
    struct probed *model = probed_of(prober, open, digest);
    for (int p = 0; model && p < PROBES; p++) {
        const struct probing *probe = &model->probe[p];
        struct probe_view *view = &views[p];
        *view = (struct probe_view){.steps = probe->plan.steps, .done = probe->done};
        bool waits = model->lease.model != NULL;
        view->state = probe->impossible                ? PROBE_IMPOSSIBLE
                      : probe->done == probe->plan.steps ? PROBE_DONE
                      : waits && (probe->done > 0 || p == probed_missing(model)) ? PROBE_RUNNING
                                                         : PROBE_MISSING;
        memcpy(view->reason, probe->reason, sizeof view->reason);
        if (view->state == PROBE_DONE) view->values = probe->values;
    }
    pthread_mutex_unlock(&prober->lock);
    return model || problem_memory(problem);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* Lock held. The first model with something to run; those that have nothing are let go. */
static struct probed *probed_next(struct prober *prober, int *probe) {
    for (struct probed *model = prober->models; model; model = model->next) {
        if (!model->lease.model) continue;
        *probe = probed_missing(model);
        if (*probe >= 0 && models_lease_current(&model->lease)) return model;
        models_release(&model->lease);
    }
    return NULL;
}

/* Lock held. */
static void step_ended(struct prober *prober, struct probed *model, int probe, enum engine_status status, const char *error) {
    struct probing *p = &model->probe[probe];
    if (status == ENGINE_OK) {
        p->done++;
        if (p->done == p->plan.steps) log_write(prober->log, LEVEL_INFO, "probe", "%.12s: %s is done", model->digest, probe_protocols[probe].name);
    } else if (status == ENGINE_NO_MEMORY) {
        models_release(&model->lease); /* until it is used again */
    } else if (status != ENGINE_CANCELLED) {
        p->impossible = true;
        memcpy(p->reason, error, sizeof p->reason);
        log_write(prober->log, LEVEL_WARNING, "probe", "%.12s: %s: %s", model->digest, probe_protocols[probe].name, error);
    }
    if (p->done == p->plan.steps || status != ENGINE_OK || wait_now() - prober->saved_at > SAVE_SECONDS) {
        probing_save(prober, model, probe, p);
        prober->saved_at = wait_now();
    }
}

static void make_room(struct prober *prober, struct engine *engine, const struct model *model, int probe, size_t step) {
    struct analysis_input input = {.model = model};
    int32_t *ids = NULL;
    if (!prober->make_room || probe_step_ids(model, (enum probe)probe, step, &ids, &input.n, NULL, 0) != ENGINE_OK) return;
    input.ids = ids;
    prober->make_room(prober->room_context, engine, &input);
    free(ids);
}

bool prober_step(struct prober *prober, struct engine *engine, bool (*breathe)(void *context), void *context) {
    int probe = -1;
    char error[256] = "";
    pthread_mutex_lock(&prober->lock);
    struct probed *model = prober->stopped ? NULL : probed_next(prober, &probe);
    if (model) {
        struct probing *p = &model->probe[probe];
        prober->running = model;
        pthread_mutex_unlock(&prober->lock);
        make_room(prober, engine, model->lease.model, probe, p->done);
        enum engine_status status = probe_step(engine, model->lease.model, (enum probe)probe, p->done, breathe, context, p->values, error,
                                               sizeof error);
        pthread_mutex_lock(&prober->lock);
        prober->running = NULL;
        step_ended(prober, model, probe, status, error);
        if (probed_missing(model) < 0) models_release(&model->lease);
    }
    pthread_mutex_unlock(&prober->lock);
    return model != NULL;
}
