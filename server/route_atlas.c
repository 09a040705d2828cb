#include "server/route_atlas.h"

#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/json_atlas.h"
#include "server/models.h"
#include "server/patience.h"
#include "server/prober.h"
#include "server/worker.h"

void route_model_heads(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct model_lease lease = {0};
    struct probe_view views[PROBES];
    struct json_text out = {0};
    struct problem problem;
    bool fine = api_query_known(request, no_query, &problem);
    if (fine && !models_acquire(app->models, http_capture(request, 0), &lease, &problem)) {
        if (!strcmp(problem.pointer, "/model")) problem.pointer[0] = '\0'; /* there is no body that it could point into */
        fine = false;
    }
    fine = fine && prober_look(app->prober, lease.model, lease.digest, views, &problem);
    if (fine && !json_atlas(&out, &lease, views)) fine = problem_memory(&problem);
    models_release(&lease);
    if (fine) {
        http_set_header(request, "Cache-Control", "no-cache");
        api_reply(request, 200, TYPE_JSON, &out);
    } else {
        json_free(&out);
        problem_reply(request, &problem);
    }
}

/* ---- lifts ------------------------------------------------------------------------------------------------------- */

struct lifting {
    struct activation_lease lease;
    struct offset_profile profile;
    float *weights; /* of the profile; NULL: none yet */
    struct lifts *lifts;
    enum engine_status status;
    char error[256];
};

/* The first step makes what the others go by. */
static bool lifting_step(void *context, struct engine *engine) {
    struct lifting *l = context;
    if (l->lifts) return lifts_step(l->lifts, engine);
    l->status = lifts_create(engine, l->lease.activations, l->lease.excluded, l->lease.excluded_count, l->weights ? &l->profile : NULL,
                             LIFT_RESAMPLES, &l->lifts, l->error, sizeof l->error);
    return l->status == ENGINE_OK;
}

static bool lifting_answer(struct app *app, struct http_request *request, struct lifting *l, struct json_text *out, struct problem *problem) {
    struct patience patience = patience_of_request(request);
    struct probe_view views[PROBES];
    const struct model *model = activations_model(l->lease.activations);
    if (!prober_look(app->prober, model, l->lease.model_digest, views, problem)) return false;
    const struct probe_view *natural = &views[PROBE_NATURAL];
    if (natural->values && !(l->weights = atlas_profile(model, natural->values, &l->profile))) return problem_memory(problem);
    if (!worker_ask_steps(app->worker, lifting_step, l, &patience, problem)) return false;
    if (l->status != ENGINE_OK) return problem_engine(problem, l->status, l->error);
    json_lifts(out, http_capture(request, 0), model, natural->state, lifts_heads(l->lifts));
    return true;
}

void route_lifts(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct lifting lifting = {0};
    struct json_text out = {0};
    struct problem problem;
    if (!api_query_known(request, no_query, &problem)) {
        problem_reply(request, &problem);
        return;
    }
    if (!api_activations(app, request, http_capture(request, 0), &lifting.lease)) return;
    bool fine = lifting_answer(app, request, &lifting, &out, &problem);
    lifts_destroy(lifting.lifts);
    free(lifting.weights);
    analyses_release_activations(app->analyses, &lifting.lease);
    if (fine) {
        http_set_header(request, "Cache-Control", "no-cache"); /* the profile may come later */
        api_reply(request, 200, TYPE_JSON, &out);
    } else {
        problem_reply(request, &problem);
    }
}
