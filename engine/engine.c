#include "engine/engine_internal.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine/forward.h"
#include "engine/model.h"

/* Floating point operations a second and thread, before anything has been measured. */
static const double rate_guess = 5e10;

/* Touched memory for the next run: at most so much (2048 tokens of a small model) and this share of the limit. At first enough for
 * 256 tokens of such a model, later what the runs so far have taken. */
#define RESERVE_MAX ((uint64_t)288 << 20)
#define RESERVE_FIRST ((uint64_t)40 << 20)
enum { RESERVE_SHARE = 16 };

enum engine_status engine_create_with(const struct engine_options *options, const struct kernels *kernels, struct engine **engine,
                                      char *error, size_t error_size) {
    int threads = options->threads > 0 ? options->threads : pool_cores();
    if (options->threads < 0 || threads > 1024)
        return engine_fail(ENGINE_INVALID, error, error_size, "%d threads: between 1 and 1024, or 0 for all cores", options->threads);
    struct engine *e = calloc(1, sizeof *e);
    if (!e) return engine_fail_memory(error, error_size);
    e->options = *options;
    e->kernels = kernels;
    e->bf16 = bf16_avx512();
    e->rate = rate_guess * threads;
    e->pool = pool_create(threads);
    e->reserve = reserve_create(options->memory_max > 0 && options->memory_max / RESERVE_SHARE < RESERVE_MAX ? options->memory_max / RESERVE_SHARE
                                                                                                            : RESERVE_MAX);
    if (!e->pool || !e->reserve) {
        engine_destroy(e);
        return engine_fail_memory(error, error_size);
    }
    reserve_expect(e->reserve, RESERVE_FIRST);
    openblas_set_num_threads(1); /* the pool's threads each multiply their own share */
    snprintf(e->description, sizeof e->description, "%s, OpenBLAS %s", kernels->name, openblas_get_corename());
    *engine = e;
    return ENGINE_OK;
}

enum engine_status engine_create(const struct engine_options *options, struct engine **engine, char *error, size_t error_size) {
    return engine_create_with(options, kernels_best(), engine, error, error_size);
}

void engine_destroy(struct engine *engine) {
    if (!engine) return;
    pool_destroy(engine->pool);
    reserve_release(engine->reserve);
    free(engine);
}

bool engine_idle(struct engine *engine) {
    return reserve_touch(engine->reserve);
}

uint64_t engine_idle_bytes(const struct engine *engine) {
    return reserve_bytes(engine->reserve);
}

int engine_threads(const struct engine *engine) {
    return pool_threads(engine->pool);
}

const char *engine_kernels(const struct engine *engine) {
    return engine->description;
}

/* A text of one stack of layers. what: "", or " of the target". */
static enum engine_status check_text(const struct model *model, const char *what, const int32_t *ids, size_t n, const uint32_t *excluded,
                                     size_t excluded_count, char *error, size_t error_size) {
    if (n > (size_t)model->config.context)
        return engine_fail(ENGINE_TOO_LARGE, error, error_size, "%zu tokens%s are more than the %d that the model reads; shorten the text",
                           n, what, model->config.context);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= model->config.vocabulary)
            return engine_fail(ENGINE_INVALID, error, error_size, "token %zu%s has id %d; the model's ids are 0 to %d", i, what,
                               (int)ids[i], model->config.vocabulary - 1);
    for (size_t s = 0; s < excluded_count; s++)
        if (excluded[s] >= n || (s > 0 && excluded[s] <= excluded[s - 1]))
            return engine_fail(ENGINE_INVALID, error, error_size,
                               "excluded key %u%s: positions must be ascending and below the number of tokens, %zu", (unsigned)excluded[s],
                               what, n);
    return ENGINE_OK;
}

static enum engine_status check_target(const struct analysis_input *input, char *error, size_t error_size) {
    if (input->model->encoder && input->target_n == 0)
        return engine_fail(ENGINE_INVALID, error, error_size, "the model has a decoder, and there are no tokens for it; give a target");
    if (!input->model->encoder && input->target_n > 0)
        return engine_fail(ENGINE_INVALID, error, error_size, "the model has no decoder beside its encoder; leave the target out");
    return check_text(input->model, " of the target", input->target_ids, input->target_n, input->target_excluded, input->target_excluded_count,
                      error, error_size);
}

static enum engine_status check_input(const struct engine *engine, const struct analysis_input *input, uint64_t *bytes, char *error,
                                      size_t error_size) {
    const struct model *model = input->model, *reader = model->encoder ? model->encoder : model;
    size_t n = input->n;
    if (n == 0) return engine_fail(ENGINE_INVALID, error, error_size, "there are no tokens to analyse; give some text");
    enum engine_status status = check_text(reader, "", input->ids, n, input->excluded, input->excluded_count, error, error_size);
    if (status != ENGINE_OK) return status;
    size_t types = reader->token_types.data ? reader->token_types.rows : 1;
    for (size_t i = 0; input->types && i < n; i++)
        if (input->types[i] >= types)
            return engine_fail(ENGINE_INVALID, error, error_size, "token %zu is of type %u; the model knows types 0 to %zu", i,
                               (unsigned)input->types[i], types - 1);
    if (input->precision == PRECISION_BF16 && !engine->bf16)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "bf16 needs a processor with AVX512_BF16, and this one has none; use float32");
    status = check_target(input, error, error_size);
    if (status != ENGINE_OK) return status;
    *bytes = forward_size(engine->kernels, model, pool_threads(engine->pool), n, input->target_n);
    if (engine->options.memory_max > 0 && *bytes > engine->options.memory_max)
        return engine_fail(ENGINE_TOO_LARGE, error, error_size,
                           "%zu tokens need %.1f MB of memory and %.1f MB are allowed; shorten the text or raise --memory-max", n,
                           (double)*bytes * 1e-6, (double)engine->options.memory_max * 1e-6);
    return ENGINE_OK;
}

enum engine_status analysis_estimate(struct engine *engine, const struct analysis_input *input, struct analysis_estimate *estimate,
                                     char *error, size_t error_size) {
    uint64_t bytes = 0;
    enum engine_status status = check_input(engine, input, &bytes, error, error_size);
    if (status != ENGINE_OK) return status;
    *estimate = (struct analysis_estimate){.seconds = forward_operations(input->model, input->n, input->target_n) / engine->rate, .bytes = bytes};
    return ENGINE_OK;
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

enum engine_status analysis_run(struct engine *engine, const struct analysis_input *input, const struct activations *prefix,
                                const struct analysis_observer *observer, uint32_t **sinks, size_t *sink_count,
                                struct activations **activations, char *error, size_t error_size) {
    uint64_t bytes = 0;
    enum engine_status status = check_input(engine, input, &bytes, error, error_size);
    if (status != ENGINE_OK) return status;
    reserve_expect(engine->reserve, bytes);
    if (engine->options.memory_max > 0) reserve_shrink(engine->reserve, engine->options.memory_max - bytes);
    double start = seconds_now();
    status = forward_run(engine, input, prefix, observer, sinks, sink_count, activations, error, error_size);
    double seconds = seconds_now() - start;
    if (status == ENGINE_OK && !prefix && seconds > 1e-4)
        engine->rate += (forward_operations(input->model, input->n, input->target_n) / seconds - engine->rate) / 2;
    return status;
}

size_t analysis_default_exclusions(const struct model *model, const int32_t *ids, size_t n, uint32_t *excluded) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t size;
        bool special = false;
        model_token_bytes(model, ids[i], &size, &special);
        if (i == 0 || special) excluded[count++] = (uint32_t)i;
    }
    return count;
}
