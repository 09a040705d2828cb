/* command_serve.c: `headscope serve`: everything is opened, the address printed, then it waits for a signal. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db/cache.h"
#include "server/analysis.h"
#include "server/app.h"
#include "server/commands.h"
#include "server/guard.h"
#include "server/options.h"
#include "server/prober.h"
#include "server/routes.h"
#include "server/similarities.h"
#include "server/tiles.h"
#include "server/version.h"

#define TILES_KEPT 128 /* of 64 KB */
#define DRAIN_MS 5000
#define LAST_RESORT_S 15 /* after the signal: whatever still runs then is left behind */

/* ---- what tells how the process is ----------------------------------------------------------------------------- */

static void reply_text(struct http_request *request, const char *type, const char *text) {
    char *body = strdup(text);
    if (body)
        http_reply(request, 200, type, body, strlen(text));
    else
        http_reply_problem(request, 503, "the server is out of memory", NULL);
}

void route_healthz(struct app *app, struct http_request *request) {
    (void)app;
    reply_text(request, "text/plain; charset=utf-8", "ok\n");
}

/* Ready: the default model is open, its digest known, and the worker takes jobs. Never waits. */
void route_readyz(struct app *app, struct http_request *request) {
    struct problem problem = {0};
    if (models_ready(app->models, &problem)) {
        reply_text(request, "text/plain; charset=utf-8", "ready\n");
        return;
    }
    http_set_header(request, "Retry-After", "1");
    http_reply_problem(request, 503, problem.detail, NULL);
}

void route_version(struct app *app, struct http_request *request) {
    char json[VERSION_JSON_MAX];
    (void)app;
    reply_text(request, "application/json", version_json(json));
}

/* ---- the parts -------------------------------------------------------------------------------------------------- */

/* Each connection takes a descriptor, and so do model files, the database and its readers. */
static void raise_descriptor_limit(const struct options *options, struct log *log) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)options->connections + 256;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted) return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > wanted ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < wanted)
        log_write(log, LEVEL_WARNING, "serve", "only %llu files may be open at once, %llu are wanted for %d connections; raise it "
                  "with \"ulimit -n\" or lower --connections", (unsigned long long)limit.rlim_cur, (unsigned long long)wanted,
                  options->connections);
}

static struct cache *open_cache(const struct options *options, struct log *log) {
    struct cache_options cache_options = {.path = options->cache, .max_bytes = options->cache_max};
    struct cache *cache = NULL;
    char error[512] = "";
    if (cache_open(&cache_options, &cache, error, sizeof error) == CACHE_OK) return cache;
    log_write(log, LEVEL_WARNING, "cache", "%s; going on without it: results live only as long as this process", error);
    return NULL;
}

/* Runs beside the server once it listens: finding digests reads whole files, and the first request should not wait for that. */
static void *look_at_models(void *context) {
    const struct app *app = context;
    struct log *log = app->log;
    struct models_list list = {0};
    size_t usable = 0;
    if (!models_list(app->models, -1, &list)) return NULL;
    for (size_t i = 0; i < list.count; i++) usable += !list.items[i].error; /* models.c says what is wrong with the others */
    if (!usable)
        log_write(log, LEVEL_WARNING, "models", "no model in %s; \"scripts/fetch_model smollm2-135m-instruct\" gets one, and the "
                  "page shows it without a restart", app->options->models_dir);
    models_list_clear(&list);
    return NULL;
}

struct idle {
    struct worker *worker;
    struct engine *engine;
};

static bool idle_breathe(void *context) {
    const struct idle *idle = context;
    return worker_breathe_idle(idle->worker, idle->engine);
}

/* The worker has nothing else to do. */
static bool run_probes(void *context, struct worker *worker, struct engine *engine) {
    const struct app *app = context;
    struct idle idle = {worker, engine};
    return prober_step(app->prober, engine, idle_breathe, &idle);
}

static void make_room_for_probe(void *context, struct engine *engine, const struct analysis_input *input) {
    const struct app *app = context;
    analyses_make_room(app->analyses, engine, input);
}

static bool open_parts(struct app *app, char *error, size_t error_size) {
    const struct options *options = app->options;
    struct worker_options worker = {.threads = options->threads, .memory_max = options->memory_max, .queue_max = (size_t)options->queue};
    if (!precision_available(options->precision)) {
        snprintf(error, error_size, "--precision %s needs a processor with AVX512_BF16, and this one has none; leave it out",
                 precision_name(options->precision));
        return false;
    }
    app->cache = open_cache(options, app->log);
    struct models_options models = {.folder = options->models_dir, .named = options->models, .named_count = options->model_count,
                                    .cache = app->cache, .log = app->log, .memory_max = options->memory_max};
    if (options->stores) models.stores = options->store_folders;
    app->models = models_create(&models);
    if (!app->models) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    if (!worker_create(&worker, &app->worker, error, error_size)) return false;
    app->prober = prober_create(app->cache, app->log);
    struct analyses_options analyses = {.prober = options->probes ? app->prober : NULL, .models = app->models, .worker = app->worker, .cache = app->cache, .log = app->log,
                                        .precision = options->precision, .memory_max = options->memory_max};
    app->analyses = analyses_create(&analyses);
    app->similarities = similarities_create();
    app->tiles = tiles_create(TILES_KEPT);
    if (app->analyses && app->similarities && app->tiles && app->prober) {
        prober_set_room(app->prober, make_room_for_probe, app);
        worker_set_idle(app->worker, run_probes, app);
        return true;
    }
    snprintf(error, error_size, "out of memory");
    return false;
}

/* Those that wait are woken first, then HTTP drains, then the engine goes. `looking`: the thread of look_at_models, NULL if there
 * is none. */
static void close_parts(struct app *app, struct http_server *server, const pthread_t *looking) {
    models_stop(app->models);
    if (app->analyses) analyses_stop(app->analyses);
    if (app->worker) worker_stop(app->worker);
    http_stop(server, DRAIN_MS);
    worker_destroy(app->worker);
    analyses_destroy(app->analyses);
    similarities_destroy(app->similarities);
    tiles_destroy(app->tiles);
    if (app->prober) prober_stop(app->prober);
    prober_destroy(app->prober);
    if (looking) pthread_join(*looking, NULL);
    models_destroy(app->models);
    cache_close(app->cache);
}

static bool start_http(struct app *app, struct http_server **server, char *error, size_t error_size) {
    const struct options *options = app->options;
    struct http_options http = {.host = options->host,
                                .port = options->port,
                                .allow_hosts = options->allow_hosts,
                                .allow_host_count = options->allow_host_count,
                                .app = app,
                                .log = app->log,
                                .connections_max = (size_t)options->connections};
    char token[GUARD_TOKEN_MAX + 1];
    if (options->token_file) {
        if (!guard_token_read(options->token_file, token, error, error_size)) return false;
        http.token = token;
    }
    http.routes = routes_table(&http.route_count);
    bool started = http_start(&http, server, error, error_size);
    explicit_bzero(token, sizeof token);
    return started;
}

/* ---- the browser ------------------------------------------------------------------------------------------------ */

extern char **environ;

static void open_browser(const char *address, struct log *log) {
    const char *x = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");
    if (!(x && *x) && !(wayland && *wayland)) {
        log_write(log, LEVEL_WARNING, "serve", "--open: there is no display here; open the address yourself");
        return;
    }
    char *const arguments[] = {"xdg-open", (char *)(uintptr_t)address, NULL};
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigset_t none;
    pid_t pid;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0); /* stdout is ours */
    int failed = posix_spawnp(&pid, "xdg-open", &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failed) log_write(log, LEVEL_WARNING, "serve", "--open: cannot start xdg-open: %s", strerror(failed));
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static int wait_for_signal(const sigset_t *signals, struct log *log) {
    for (;;) {
        int number = sigwaitinfo(signals, NULL);
        if (number < 0 && errno != EINTR) return -1;
        if (number == SIGCHLD) { /* the browser's starter is done */
            while (waitpid(-1, NULL, WNOHANG) > 0) continue;
        } else if (number > 0) {
            log_write(log, LEVEL_INFO, "serve", "stopping");
            return number;
        }
    }
}

static void set_signals(sigset_t *signals) {
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGHUP);
    sigaddset(signals, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, signals, NULL); /* before any thread starts: all inherit it */
}

/* From the signal on: a second one ends the process at once, and an alarm does if something does not let go. */
static void stop(struct app *app, struct http_server *server, const sigset_t *signals, pthread_t *looking) {
    alarm(LAST_RESORT_S); /* main.c ends the program */
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    close_parts(app, server, looking);
    alarm(0);
}

static int serve(struct app *app, const sigset_t *signals) {
    struct http_server *server = NULL;
    char error[512] = "", address[4096];
    pthread_t looking;
    if (!start_http(app, &server, error, sizeof error)) {
        log_write(app->log, LEVEL_ERROR, "serve", "%s", error);
        close_parts(app, NULL, NULL);
        return 1;
    }
    http_address(server, address, sizeof address);
    printf("%s\n", address);
    if (fflush(stdout)) log_write(app->log, LEVEL_WARNING, "serve", "the address could not be written to standard output");
    bool looks = !pthread_create(&looking, NULL, look_at_models, app);
    if (app->options->open) open_browser(address, app->log);
    wait_for_signal(signals, app->log);
    stop(app, server, signals, looks ? &looking : NULL);
    return 0;
}

int command_serve(const struct options *options, struct log *log) {
    struct app app = {.options = options, .log = log};
    char error[512] = "";
    sigset_t signals;
    set_signals(&signals);
    raise_descriptor_limit(options, log);
    if (!open_parts(&app, error, sizeof error)) {
        log_write(log, LEVEL_ERROR, "serve", "%s", error);
        close_parts(&app, NULL, NULL);
        return 1;
    }
    return serve(&app, &signals);
}
