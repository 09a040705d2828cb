/*
 * floor: the time of a model's matrix products alone, in OpenBLAS, with nothing around them: the yardstick of
 * bench/run. Shapes are SmolLM2-135M's; the numbers in the matrices do not matter.
 *
 *   linear     every layer's q/k/v, output, gate/up and down products, OpenBLAS's own threads
 *   attention  scores and weights x values of the causal half only, in blocks of 64 queries, a head a call, the heads
 *              spread over as many threads, each calling OpenBLAS single-threaded
 *
 * Reads token counts from stdin, a line each; answers each with one line of JSON. All layers share one layer's weights, which
 * then stay in cache: a floor that no real model reaches at few tokens. A query block sees its visible keys rounded up
 * to the block.
 */
#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LAYERS = 30, HEADS = 9, KV_HEADS = 3, HEAD_DIM = 64, WIDTH = 576, FFN = 1536, BLOCK = 64 };
enum { QKV = (HEADS + 2 * KV_HEADS) * HEAD_DIM, LAYER_WEIGHTS = WIDTH * (QKV + HEADS * HEAD_DIM + 3 * FFN) };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *filled(size_t n) {
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);
    if (!p) {
        fprintf(stderr, "floor: out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < n; i++) p[i] = (float)(i % 97) * 1e-3f - 0.048f;
    return p;
}

/* y[n, out] = x[n, in] W^T, W[out, in] */
static void product(int n, int out, int in, const float *x, int ldx, const float *w, float *y, int ldy) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, out, in, 1, x, ldx, w, in, 0, y, ldy);
}

static double linear(int n, const float *weights, const float *x, float *qkv, float *wide) {
    double start = now();
    for (int l = 0; l < LAYERS; l++) {
        const float *w = weights;
        product(n, QKV, WIDTH, x, WIDTH, w, qkv, QKV);
        w += WIDTH * QKV;
        product(n, WIDTH, WIDTH, x, WIDTH, w, wide, WIDTH);
        w += WIDTH * WIDTH;
        product(n, 2 * FFN, WIDTH, x, WIDTH, w, wide, 2 * FFN);
        w += WIDTH * 2 * FFN;
        product(n, WIDTH, FFN, wide, 2 * FFN, w, qkv, QKV);
    }
    return now() - start;
}

struct share {
    pthread_t thread;
    int n, first, step;
    const float *qkv;
    float *scores, *out;
};

static void *attend(void *argument) {
    struct share *s = argument;
    int blocks = (s->n + BLOCK - 1) / BLOCK;
    for (int unit = s->first; unit < LAYERS * HEADS * blocks; unit += s->step) {
        int head = unit / blocks % HEADS, q0 = unit % blocks * BLOCK;
        int rows = s->n - q0 < BLOCK ? s->n - q0 : BLOCK, keys = q0 + rows;
        const float *q = s->qkv + (size_t)q0 * QKV + head * HEAD_DIM;
        const float *k = s->qkv + (HEADS + head / (HEADS / KV_HEADS)) * HEAD_DIM, *v = k + KV_HEADS * HEAD_DIM;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, keys, HEAD_DIM, 0.125f, q, QKV, k, QKV, 0, s->scores,
                    keys);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, HEAD_DIM, keys, 1, s->scores, keys, v, QKV, 0,
                    s->out + (size_t)q0 * WIDTH + head * HEAD_DIM, WIDTH);
    }
    return NULL;
}

int main(void) {
    int threads = (int)sysconf(_SC_NPROCESSORS_ONLN), n;
    float *weights = filled((size_t)LAYER_WEIGHTS);
    fprintf(stderr, "floor: OpenBLAS kernel %s, %d threads\n", openblas_get_corename(), threads);
    while (scanf("%d", &n) == 1 && n > 0) {
        float *x = filled((size_t)n * WIDTH), *qkv = filled((size_t)n * QKV), *wide = filled((size_t)n * 2 * FFN);
        openblas_set_num_threads(threads);
        double matrices = linear(n, weights, x, qkv, wide);
        openblas_set_num_threads(1);
        struct share shares[64];
        double start = now();
        for (int t = 0; t < threads; t++) {
            shares[t] = (struct share){.n = n, .first = t, .step = threads, .qkv = qkv, .out = x};
            shares[t].scores = filled((size_t)BLOCK * (size_t)(n + BLOCK));
        }
        start = now();
        for (int t = 0; t < threads; t++) pthread_create(&shares[t].thread, NULL, attend, &shares[t]);
        for (int t = 0; t < threads; t++) pthread_join(shares[t].thread, NULL);
        double attention = now() - start;
        printf("{\"seconds\": %.6f, \"linear\": %.6f, \"attention\": %.6f, \"kernel\": \"%s\"}\n", matrices + attention,
               matrices, attention, openblas_get_corename());
        fflush(stdout);
        for (int t = 0; t < threads; t++) free(shares[t].scores);
        free(x), free(qkv), free(wide);
    }
    free(weights);
    return 0;
}
