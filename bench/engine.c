/*
 * engine: the time of analysis_run alone, without server, cache or peers.
 *
 * usage: engine MODEL.gguf PATH ROUNDS TOKENS...       PATH: best, plain, avx2, avx512
 *
 * Random ids, position 0 excluded. "seconds" is the minimum and the mean of the rounds; "processor" the minimum of processor
 * time divided by threads, which hardly minds what else the machine is doing; "appended" a run that reuses all but the last
 * token of the one before it; "tile" and "coarsest" the time of a 256 x 256 tile of the last rows and of the whole map in one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/engine_internal.h"

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(const char *why) {
    fprintf(stderr, "engine: %s\n", why);
    exit(1);
}

static const struct kernels *path_named(const char *name) {
    if (strcmp(name, "plain") == 0) return &kernels_plain;
    if (strcmp(name, "avx2") == 0) return kernels_avx2();
    return strcmp(name, "avx512") == 0 ? kernels_avx512() : kernels_best();
}

static struct activations *one_run(struct engine *engine, const struct model *model, const int32_t *ids, size_t n,
                                   const struct activations *prefix) {
    static const uint32_t first = 0;
    struct analysis_input input = {.model = model, .ids = ids, .n = n, .excluded = &first, .excluded_count = 1};
    struct activations *activations;
    uint32_t *sinks;
    size_t count;
    char error[256];
    if (analysis_run(engine, &input, prefix, NULL, &sinks, &count, &activations, error, sizeof error) != ENGINE_OK) stop(error);
    free(sinks);
    return activations;
}

static double tile_seconds(struct engine *engine, const struct activations *activations, size_t n, int zoom) {
    static uint8_t pixels[65536];
    int width, height;
    char error[256];
    size_t last = ((n + ((size_t)1 << zoom) - 1) / ((size_t)1 << zoom) - 1) / 256;
    double start = seconds(CLOCK_MONOTONIC);
    if (attention_tile(engine, activations, (struct head_address){SECTION_DECODER, 5, 1}, zoom, last / 2, last, POOL_MAX, WEIGHTING_NONE, pixels, &width,
                       &height, error, sizeof error) != ENGINE_OK)
        stop(error);
    return seconds(CLOCK_MONOTONIC) - start;
}

static void least(double *best, double value) {
    if (value < *best) *best = value;
}

static void measure(struct engine *engine, const struct model *model, size_t n, int rounds) {
    int32_t *ids = malloc(n * sizeof *ids);
    double best = 1e9, sum = 0, processor = 1e9, appended = 1e9, tile = 1e9, coarsest = 1e9;
    int zoom = 0;
    if (!ids) stop("out of memory");
    while (n >> zoom > 256) zoom++;
    for (size_t i = 0; i < n; i++) ids[i] = rand() % model_describe(model)->vocabulary;
    for (int round = 0; round < rounds; round++) {
        double start = seconds(CLOCK_MONOTONIC), used = seconds(CLOCK_PROCESS_CPUTIME_ID);
        struct activations *activations = one_run(engine, model, ids, n, NULL);
        double took = seconds(CLOCK_MONOTONIC) - start;
        least(&processor, (seconds(CLOCK_PROCESS_CPUTIME_ID) - used) / engine_threads(engine));
        least(&best, took);
        sum += took;
        ids[n - 1] ^= 1;
        start = seconds(CLOCK_MONOTONIC);
        activations_destroy(one_run(engine, model, ids, n, activations));
        least(&appended, seconds(CLOCK_MONOTONIC) - start);
        least(&tile, tile_seconds(engine, activations, n, 0));
        least(&coarsest, tile_seconds(engine, activations, n, zoom));
        activations_destroy(activations);
    }
    printf("%6zu  %8.4f %8.4f  %9.4f  %8.4f  %7.2f ms  %7.2f ms\n", n, best, sum / rounds, processor, appended, tile * 1e3,
           coarsest * 1e3);
    fflush(stdout);
    free(ids);
}

int main(int argc, char **argv) {
    char error[256];
    struct model *model;
    struct engine *engine;
    if (argc < 5) stop("usage: engine MODEL.gguf best|plain|avx2|avx512 ROUNDS TOKENS...");
    const struct kernels *kernels = path_named(argv[2]);
    if (!kernels) stop("this processor has no such path");
    if (model_open(argv[1], &model, error, sizeof error) != ENGINE_OK) stop(error);
    if (engine_create_with(&(struct engine_options){0}, kernels, &engine, error, sizeof error) != ENGINE_OK) stop(error);
    printf("%s, %d threads\ntokens   seconds     mean  processor  appended        tile    coarsest\n", engine_kernels(engine),
           engine_threads(engine));
    for (int i = 4; i < argc; i++) measure(engine, model, (size_t)atol(argv[i]), atoi(argv[3]) > 0 ? atoi(argv[3]) : 1);
    engine_destroy(engine);
    model_release(model);
    return 0;
}
