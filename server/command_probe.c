/* command_probe.c: `headscope probe`: runs the probes that are missing, and says on stdout what has been found. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/command_input.h"
#include "server/commands.h"
#include "server/json_atlas.h"
#include "server/prober.h"
#include "server/wait.h"

#define INTERRUPTED 130

/* The one thing a signal's handler may do. */
static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

static bool breathe(void *context) {
    (void)context;
    return !interrupted;
}

static void draw(const struct probe_view views[PROBES], bool bar) {
    size_t done = 0, total = 0, width = 30, full;
    if (!bar) return;
    for (int p = 0; p < PROBES; p++) {
        done += views[p].done;
        total += views[p].steps;
    }
    full = total ? done * width / total : width;
    fprintf(stderr, "\rprobes [%.*s%*s] %zu of %zu", (int)full, "##############################", (int)(width - full), "", done, total);
    if (done == total) fprintf(stderr, "\r\033[K");
    fflush(stderr);
}

static void print_types(const struct model *model, const struct probe_view views[PROBES]) {
    const struct model_info *info = model_describe(model);
    size_t heads = (size_t)info->heads, all = (size_t)info->layers * heads;
    const double *values[PROBES];
    struct atlas_head *atlas = malloc(all * sizeof *atlas);
    if (!atlas) return;
    for (int p = 0; p < PROBES; p++) values[p] = views[p].values;
    atlas_heads(model, values, atlas);
    for (int kind = 0; kind < HEAD_KINDS; kind++) {
        size_t strong = 0, weak = 0;
        for (size_t h = 0; h < all; h++)
            for (size_t t = 0; t < atlas[h].types; t++)
                if (atlas[h].type[t].kind == (enum head_kind)kind) *(atlas[h].type[t].strong ? &strong : &weak) += 1;
        printf("%-16s %4zu strong, %4zu weak\n", head_kind_names[kind], strong, weak);
    }
    free(atlas);
}

static bool print(const struct options *options, const struct model_lease *lease, const struct probe_view views[PROBES],
                  struct problem *problem) {
    if (options->json) {
        struct json_text out = {0};
        bool fine = json_atlas(&out, lease, views);
        json_put(&out, "\n");
        fine = fine && !out.failed && fwrite(out.bytes, 1, out.size, stdout) == out.size;
        json_free(&out);
        return fine || problem_memory(problem);
    }
    for (int p = 0; p < PROBES; p++)
        printf("%-16s %s%s%s\n", probe_protocols[p].name, probe_state_names[views[p].state], views[p].reason[0] ? ": " : "", views[p].reason);
    printf("\n");
    print_types(lease->model, views);
    return true;
}

static bool run(struct prober *prober, const struct model_lease *lease, struct engine *engine, struct probe_view views[PROBES],
                struct problem *problem) {
    bool bar = isatty(STDERR_FILENO) == 1, fine = prober_note(prober, lease) || problem_memory(problem);
    for (bool more = true; fine && more && !interrupted;) {
        fine = prober_look(prober, lease->model, lease->digest, views, problem);
        if (fine) draw(views, bar);
        more = fine && prober_step(prober, engine, breathe, NULL);
    }
    prober_save(prober);
    fine = fine && prober_look(prober, lease->model, lease->digest, views, problem);
    if (bar) fprintf(stderr, "\r\033[K");
    for (int p = 0; fine && p < PROBES && !interrupted; p++) /* what could not be run to its end */
        if (views[p].state != PROBE_DONE && views[p].state != PROBE_IMPOSSIBLE)
            fine = problem_set(problem, 503, "the probe %s came to no end: out of memory, or the model's file has changed; run it again",
                               probe_protocols[p].name);
    return fine;
}

int command_probe(const struct options *options, struct log *log) {
    struct engine_options engine_options = {.threads = options->threads, .memory_max = options->memory_max};
    struct cache_options cache_options = {.path = options->cache, .max_bytes = options->cache_max};
    struct command_models made;
    struct model_lease lease = {0};
    struct cache *cache = NULL;
    struct prober *prober = NULL;
    struct engine *engine = NULL;
    struct probe_view views[PROBES];
    struct problem problem;
    char error[512] = "";
    struct sigaction action = {.sa_handler = note_interrupt};
    bool fine = command_models_create(options, log, &made, &problem) && models_acquire(made.models, NULL, &lease, &problem);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (fine && cache_open(&cache_options, &cache, error, sizeof error) != CACHE_OK) fine = problem_set(&problem, 500, "%s", error);
    if (fine && engine_create(&engine_options, &engine, error, sizeof error) != ENGINE_OK) fine = problem_set(&problem, 500, "%s", error);
    if (fine && !(prober = prober_create(cache, log))) fine = problem_memory(&problem);
    fine = fine && run(prober, &lease, engine, views, &problem);
    if (fine && !interrupted) fine = print(options, &lease, views, &problem);
    if (prober) prober_stop(prober);
    prober_destroy(prober);
    engine_destroy(engine);
    models_release(&lease);
    cache_close(cache);
    command_models_destroy(&made);
    if (interrupted) {
        fprintf(stderr, "headscope: interrupted; the next run goes on from here\n");
        return INTERRUPTED;
    }
    return fine ? EXIT_SUCCESS : command_fail(&problem);
}
