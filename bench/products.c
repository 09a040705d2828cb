/*
 * products: our own matrix product against OpenBLAS's, one thread, at the shapes of SmolLM2-135M, on every vector path of this
 * machine. Our kernel stays only where it is a tenth faster.
 *
 * OpenBLAS picks its kernel by the processor; for a fair answer on the path of an older one, set OPENBLAS_CORETYPE (Haswell for
 * AVX2). Thread time, minimum of rounds: other programs disturb it little.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine/kernels.h"

enum { FLOATS = 4 << 20, ROUNDS = 15 };

struct shape {
    const char *name;
    size_t rows, outputs, depth;
};

static const struct shape shapes[] = {
    {"scores of a block", 48, 1024, 64},       {"weights x values", 48, 64, 512},    {"linear, 64 tokens", 64, 48, 576},
    {"linear, 256 tokens", 256, 48, 576},      {"linear, 1024 tokens", 1024, 48, 576}, {"down, 256 tokens", 256, 48, 1536},
    {"linear, 256 tokens, all outputs", 256, 1536, 576},
};

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct operands {
    float *a, *b, *c;
};

static void own(const struct kernels *kernels, const struct shape *s, const struct operands *o) {
    kernels->multiply(&(struct product){s->rows, s->outputs / PANEL, s->depth, o->a, s->depth, o->b, s->depth * PANEL, o->c, s->outputs,
                                        PANEL, 1, false});
}

static void blas(const struct shape *s, const struct operands *o) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)s->rows, (int)s->outputs, (int)s->depth, 1, o->a, (int)s->depth, o->b,
                (int)s->depth, 0, o->c, (int)s->outputs);
}

/* GFLOPS, best of the rounds; kernels == NULL: OpenBLAS. */
static double rate(const struct kernels *kernels, const struct shape *s, const struct operands *o) {
    double operations = 2.0 * (double)(s->rows * s->outputs * s->depth), best = 0;
    int times = (int)(1e8 / operations) + 1;
    for (int round = 0; round < ROUNDS; round++) {
        double start = thread_seconds();
        for (int i = 0; i < times; i++) {
            if (kernels)
                own(kernels, s, o);
            else
                blas(s, o);
        }
        double got = operations * times / (thread_seconds() - start) * 1e-9;
        best = got > best ? got : best;
    }
    return best;
}

static float *filled(void) {
    float *x = aligned_alloc(64, FLOATS * sizeof *x);
    if (!x) {
        fprintf(stderr, "products: out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < FLOATS; i++) x[i] = (float)(i % 97) * 1e-3f - 0.048f;
    return x;
}

int main(void) {
    const struct kernels *paths[] = {&kernels_plain, kernels_avx2(), kernels_avx512()};
    struct operands o = {filled(), filled(), filled()};
    openblas_set_num_threads(1);
    printf("GFLOPS on one thread; OpenBLAS runs its %s kernel\n%-34s %8s", openblas_get_corename(), "", "OpenBLAS");
    for (size_t p = 0; p < sizeof paths / sizeof paths[0]; p++)
        if (paths[p]) printf(" %8s", paths[p]->name);
    printf("\n");
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        printf("%-34s %8.0f", shapes[i].name, rate(NULL, &shapes[i], &o));
        for (size_t p = 0; p < sizeof paths / sizeof paths[0]; p++)
            if (paths[p]) printf(" %8.0f", rate(paths[p], &shapes[i], &o));
        printf("\n");
    }
    free(o.a);
    free(o.b);
    free(o.c);
    return 0;
}
