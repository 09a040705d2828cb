/* command_analyze.c: `headscope analyze`: one text through the engine, the result on stdout, a map into a file. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/command_input.h"
#include "server/commands.h"
#include "server/json_document.h"
#include "server/json_lines.h"
#include "server/json_stored.h"
#include "server/npy.h"
#include "server/prepare.h"
#include "server/wait.h"

#define INTERRUPTED 130
#define BLOCK_WEIGHTS ((size_t)1 << 18)

struct analyzing {
    const struct options *options;
    struct analysis_request request;
    struct prepared prepared;
    struct engine *engine;
    struct activations *activations;
    struct json_text lines;
    double seconds;
    int layers_done;
    bool bar;
    struct problem problem;
};

/* ---- while it runs ----------------------------------------------------------------------------------------------- */

/* The one thing a signal's handler may do. It cannot be blocked and looked for instead: libraries have threads of their own, which
 * would take it. */
static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

static void analyzing_catch_signals(void) {
    struct sigaction action = {.sa_handler = note_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool analyzing_breathe(void *context) {
    (void)context;
    return !interrupted;
}

/* Ends the line; with ndjson, prints it at once. */
static bool analyzing_line(struct analyzing *a, size_t begin) {
    json_put(&a->lines, "\n");
    if (a->lines.failed) return problem_memory(&a->problem);
    if (a->options->format != OUTPUT_NDJSON) return true;
    size_t size = a->lines.size - begin;
    if (fwrite(a->lines.bytes + begin, 1, size, stdout) == size && fflush(stdout) == 0) return true;
    return problem_set(&a->problem, 500, "cannot write to standard output: %s", strerror(errno));
}

static void analyzing_draw(const struct analyzing *a, int done) {
    const struct model_info *info = model_describe(a->prepared.model.model);
    int layers = info->encoder_layers > 0 ? info->encoder_layers + 2 * info->layers : info->layers, width = 30, full = done * width / layers;
    if (!a->bar) return;
    fprintf(stderr, "\r%zu tokens [%.*s%*s] %d of %d layers", a->prepared.n, full, "##############################",
            width - full, "", done,
            layers);
    if (done == layers) fprintf(stderr, "\r\033[K");
    fflush(stderr);
}

static bool analyzing_layer(void *context, const struct layer_result *result) {
    struct analyzing *a = context;
    size_t begin = a->lines.size;
    json_line_layer(&a->lines, result, model_describe(a->prepared.model.model));
    analyzing_draw(a, ++a->layers_done);
    return analyzing_line(a, begin);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static bool analyzing_first_lines(struct analyzing *a, const struct analysis_input *input) {
    struct analysis_estimate estimate;
    char error[512] = "";
    enum engine_status status = analysis_estimate(a->engine, input, &estimate, error, sizeof error);
    if (status != ENGINE_OK) return problem_engine(&a->problem, status, error);
    json_line_start(&a->lines, &a->prepared, &a->request, &estimate);
    if (!analyzing_line(a, 0)) return false;
    size_t begin = a->lines.size;
    json_line_tokens(&a->lines, &a->prepared, &a->request);
    return analyzing_line(a, begin);
}

static bool analyzing_run(struct analyzing *a) {
    struct analysis_input input = {
        .model = a->prepared.model.model,
        .ids = a->prepared.ids,
        .types = a->prepared.types,
        .n = a->prepared.n,
        .excluded = a->prepared.excluded,
        .excluded_count = a->prepared.excluded_count,
        .target_ids = a->prepared.target_ids,
        .target_n = a->prepared.target_n,
        .target_excluded = a->prepared.target_excluded,
        .target_excluded_count = a->prepared.target_excluded_count,
        .precision = a->prepared.precision,
    };
    struct analysis_observer observer = {.context = a, .layer = analyzing_layer, .breathe = analyzing_breathe};
    uint32_t *sinks = NULL;
    size_t sink_count = 0, begin;
    char error[512] = "";
    if (!analyzing_first_lines(a, &input)) return false;
    double before = wait_now(), max_weight_error = 0;
    enum engine_status status = analysis_precision_error(a->engine, a->prepared.model.model, input.precision, &max_weight_error, error,
                                                         sizeof error);
    if (status == ENGINE_OK)
        status = analysis_run(a->engine, &input, NULL, &observer, &sinks, &sink_count, &a->activations, error, sizeof error);
    a->seconds = wait_now() - before;
    if (status != ENGINE_OK) return a->problem.status ? false : problem_engine(&a->problem, status, error);
    begin = a->lines.size;
    struct run_end end = {sinks, sink_count, input.precision, max_weight_error, -1, SECTION_DECODER, a->activations};
    end.not_finite = activations_not_finite(a->activations, &end.section);
    json_line_done(&a->lines, a->prepared.id, &end);
    free(sinks);
    return analyzing_line(a, begin);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static bool analyzing_print(struct analyzing *a) {
    struct json_text out = {0};
    bool fine = true;
    if (a->options->format == OUTPUT_JSON) {
        struct document_source source = {.lines = a->lines.bytes, .size = a->lines.size, .state = "done",
                                         .seconds = a->seconds};
        fine = json_document(&out, &source);
        json_put(&out, "\n");
        if (!fine || out.failed) fine = problem_memory(&a->problem);
    } else if (a->options->format == OUTPUT_CSV) {
        fine = json_stored_heads_csv(a->lines.bytes, a->lines.size, "decoder", &out, &a->problem);
    }
    if (fine && out.size && fwrite(out.bytes, 1, out.size, stdout) != out.size)
        fine = problem_set(&a->problem, 500, "cannot write to standard output: %s", strerror(errno));
    json_free(&out);
    return fine;
}

static bool analyzing_write_rows(struct analyzing *a, FILE *file, float *weights, size_t rows_max) {
    enum section section = model_section(a->prepared.model.model);
    size_t queries = 0, keys = 0;
    char error[256] = "";
    activations_shape(a->activations, section, &queries, &keys);
    for (size_t query = 0; query < queries; query += rows_max) {
        struct rectangle rows = {.query0 = query, .query1 = query + rows_max < queries ? query + rows_max : queries, .key1 = keys};
        struct head_address at = {section, a->options->attention_layer, a->options->attention_head};
        enum engine_status status = attention_read(a->engine, a->activations, at, &rows, weights, error, sizeof error);
        size_t count = (rows.query1 - query) * keys;
        if (status != ENGINE_OK) return problem_engine(&a->problem, status, error);
        if (fwrite(weights, sizeof *weights, count, file) != count)
            return problem_set(&a->problem, 500, "%s cannot be written: %s", a->options->out, strerror(errno));
    }
    return true;
}

static bool analyzing_write_map(struct analyzing *a) {
    size_t n = a->prepared.target_n > 0 ? a->prepared.target_n : a->prepared.n, shape[2] = {n, n}, rows = BLOCK_WEIGHTS / n + 1;
    char header[NPY_HEADER_SIZE];
    if (!a->options->attention) return true;
    float *weights = malloc(rows * n * sizeof *weights);
    if (!weights) return problem_memory(&a->problem);
    FILE *file = fopen(a->options->out, "wb");
    bool fine = file || problem_set(&a->problem, 500, "%s cannot be written: %s", a->options->out, strerror(errno));
    npy_header(header, shape, 2);
    if (fine && fwrite(header, 1, sizeof header, file) != sizeof header)
        fine = problem_set(&a->problem, 500, "%s cannot be written: %s", a->options->out, strerror(errno));
    fine = fine && analyzing_write_rows(a, file, weights, rows);
    if (file && fclose(file) != 0 && fine)
        fine = problem_set(&a->problem, 500, "%s cannot be written: %s", a->options->out, strerror(errno));
    free(weights);
    return fine;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static bool analyzing_check(struct analyzing *a) {
    const struct model_info *info = model_describe(a->prepared.model.model);
    const struct options *o = a->options;
    if (!o->attention || (o->attention_layer < info->layers && o->attention_head < info->heads)) return true;
    return problem_set(&a->problem, 422, "there is no head %d.%d: the model has %d layers of %d heads, counted from 0",
                       o->attention_layer,
                       o->attention_head, info->layers, info->heads);
}

int command_analyze(const struct options *options, struct log *log) {
    struct analyzing a = {.options = options, .bar = isatty(STDERR_FILENO) == 1};
    struct engine_options engine_options = {.threads = options->threads, .memory_max = options->memory_max};
    char error[512] = "";
    if (!command_read_text(options, &a.request, &a.problem)) return command_fail(&a.problem);
    struct command_models made;
    bool fine = command_models_create(options, log, &made, &a.problem) &&
                prepare_analysis(made.models, &a.request, options->precision, &a.prepared, &a.problem) && analyzing_check(&a);
    if (fine) {
        analyzing_catch_signals();
        enum engine_status status = engine_create(&engine_options, &a.engine, error, sizeof error);
        if (status != ENGINE_OK) fine = problem_engine(&a.problem, status, error);
    }
    fine = fine && analyzing_run(&a) && analyzing_print(&a) && analyzing_write_map(&a);
    if (a.bar && !fine) fprintf(stderr, "\r\033[K");
    json_free(&a.lines);
    activations_destroy(a.activations);
    engine_destroy(a.engine);
    prepare_clear(&a.prepared);
    command_models_destroy(&made);
    json_request_clear(&a.request);
    if (interrupted) {
        fprintf(stderr, "headscope: interrupted\n");
        return INTERRUPTED;
    }
    return fine ? EXIT_SUCCESS : command_fail(&a.problem);
}
