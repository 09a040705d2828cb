/* check_kernels.c: every vector path of this machine against formulas in float64, and unpacking bit for bit against plain C. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels.h"

static const struct kernels *path(int i) {
    return i == 0 ? &kernels_plain : i == 1 ? kernels_avx2() : kernels_avx512();
}

/* A test of a path that this machine lacks has nothing to test. */
#define PATH_OR_RETURN(k) \
    const struct kernels *k = path(_i); \
    if (!k) return

static float uniform(void) {
    return (float)rand() / (float)RAND_MAX * 2 - 1;
}

static float *random_floats(size_t n, float scale) {
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = uniform() * scale;
    return x;
}

static double ulps(float got, double want) {
    int exponent;
    frexp(want, &exponent);
    return fabs((double)got - want) / ldexp(1, exponent - 24);
}

START_TEST(exponential) {
    PATH_OR_RETURN(k);
    float x[PANEL], y[PANEL];
    double worst = 0;
    for (double at = -87.3; at < 88.3; at += 0.00093) {
        for (int i = 0; i < PANEL; i++) x[i] = (float)(at + i * 0.00005);
        k->exp_row(x, PANEL, y);
        for (int i = 0; i < PANEL; i++) {
            double off = ulps(y[i], exp((double)x[i]));
            if (off > worst) worst = off;
        }
    }
    printf("%s exp: at most %.2f ulp from libm (allowed 2)\n", k->name, worst);
    ck_assert_double_le(worst, 2);
    float edges[PANEL] = {MASKED_SCORE, -INFINITY, -200, -87.5f, 0, -0.0f, -1e-30f};
    k->exp_row(edges, PANEL, y);
    for (int i = 0; i < 4; i++) ck_assert(y[i] == 0);
    for (int i = 4; i < PANEL; i++) ck_assert(y[i] == 1);
}
END_TEST

START_TEST(products) {
    PATH_OR_RETURN(k);
    static const size_t shapes[][3] = {{1, 1, 1}, {2, 2, 3}, {3, 3, 64}, {5, 4, 64}, {6, 4, 17}, {7, 5, 33}, {8, 6, 64}, {9, 7, 8},
                                       {15, 1, 100}, {48, 9, 64}, {47, 4, 512}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        size_t m = shapes[s][0], panels = shapes[s][1], depth = shapes[s][2], stride = depth + 3, width = panels * PANEL + 5;
        float *a = random_floats(m * stride, 1), *b = random_floats(panels * depth * PANEL, 1), *c = random_floats(m * width, 1);
        float *before = malloc(m * width * sizeof *c);
        memcpy(before, c, m * width * sizeof *c);
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            memcpy(c, before, m * width * sizeof *c);
            k->multiply(&(struct product){m, panels, depth, a, stride, b, depth * PANEL, c, width, PANEL, 0.5f, accumulate});
            for (size_t r = 0; r < m; r++) {
                for (size_t j = 0; j < panels * PANEL; j++) {
                    double want = accumulate ? before[r * width + j] : 0;
                    for (size_t d = 0; d < depth; d++)
                        want += 0.5 * (double)a[r * stride + d] * (double)b[(j / PANEL * depth + d) * PANEL + j % PANEL];
                    ck_assert_double_eq_tol(c[r * width + j], want, 2e-5);
                }
                for (size_t j = panels * PANEL; j < width; j++) ck_assert(c[r * width + j] == before[r * width + j]);
            }
        }
        free(a);
        free(b);
        free(c);
        free(before);
    }
}
END_TEST

START_TEST(softmax) {
    PATH_OR_RETURN(k);
    static const size_t sizes[] = {16, 32, 48, 512, 528, 8192};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int kind = 0; kind < 3; kind++) { /* ordinary; all equal; masked but for the first */
            size_t n = sizes[s], argmax = 0;
            float *x = random_floats(n, 12), *e = malloc(n * sizeof *e), *w = malloc(n * sizeof *w);
            for (size_t j = 0; j < n; j++) x[j] = kind == 1 ? 3.25f : kind == 2 && j > 0 ? MASKED_SCORE : x[j];
            memcpy(e, x, n * sizeof *e);
            struct softmax_sums sums;
            k->softmax_row(e, n, &sums);
            double sum = 0, weighted = 0, squares = 0;
            float max = -INFINITY;
            for (size_t j = 0; j < n; j++)
                if (x[j] >= max) max = x[j], argmax = j;
            for (size_t j = 0; j < n; j++) {
                double below = (double)x[j] - (double)max, exact = exp(below);
                ck_assert_double_eq_tol(e[j], exact, 3e-7);
                sum += exact;
                if (exact > 0) weighted += exact * below;
                squares += exact * exact;
            }
            ck_assert(sums.max == max);
            ck_assert_uint_eq(sums.argmax, argmax);
            ck_assert_double_le(fabs(sums.sum - sum), 4e-7 * sum);
            ck_assert_double_le(fabs(sums.weighted - weighted), 2e-6 * (1 + fabs(weighted)));
            ck_assert_double_le(fabs(sums.squares - squares), 1e-6 * squares);
            ck_assert_double_le(fabs(k->exp_sum(x, n, sums.max) - sum), 4e-7 * sum);
            memcpy(w, x, n * sizeof *w);
            k->weights_row(w, n, sums.max, 1, w);
            ck_assert_mem_eq(w, e, n * sizeof *w); /* reading gives the bits of the run */
            free(x);
            free(e);
            free(w);
        }
}
END_TEST

START_TEST(not_a_number_is_noticed) {
    PATH_OR_RETURN(k);
    float x[32] = {0};
    struct softmax_sums sums;
    x[7] = NAN;
    k->softmax_row(x, 32, &sums);
    ck_assert(!isfinite(sums.weighted));
    float y[32] = {0};
    y[9] = INFINITY;
    k->softmax_row(y, 32, &sums);
    ck_assert(!isfinite(sums.weighted));
    float z[20], weight[20], out[20];
    for (int i = 0; i < 20; i++) z[i] = weight[i] = 1;
    z[18] = NAN;
    ck_assert(!isfinite(k->rms_norm(z, weight, 20, 1e-5f, out)));
}
END_TEST

START_TEST(sweeps) {
    PATH_OR_RETURN(k);
    enum { ROWS = 13, STRIDE = 300, N = 208 };
    float *e = random_floats(STRIDE * (ROWS + 2), 1), scale[ROWS], sum[N], max[N];
    for (size_t i = 0; i < STRIDE * (ROWS + 2); i++) e[i] = fabsf(e[i]);
    for (int r = 0; r < ROWS; r++) scale[r] = fabsf(uniform());
    for (size_t n = PANEL; n <= N; n += PANEL) {
        k->column_sweep(e, STRIDE, ROWS, scale, n, sum, max);
        for (size_t j = 0; j < n; j++) {
            double want = 0, largest = 0;
            for (size_t r = 0; r < ROWS; r++) {
                double a = (double)e[r * STRIDE + j] * (double)scale[r];
                want += a;
                largest = a > largest ? a : largest;
            }
            ck_assert_double_eq_tol(sum[j], want, 1e-5);
            ck_assert_double_eq_tol(max[j], largest, 1e-6);
        }
        k->diagonal_sweep(e, STRIDE, ROWS, scale, n, sum);
        for (size_t t = 0; t < n; t++) {
            double want = 0;
            for (size_t r = 0; r < ROWS; r++) want += (double)e[r * (STRIDE + 1) + t] * (double)scale[r];
            ck_assert_double_eq_tol(sum[t], want, 1e-5);
        }
    }
    for (size_t n = 0; n < 70; n++) {
        double total, want = 0, totals[70], plain = 0, dots = 0;
        float largest, most = 0;
        for (size_t i = 0; i < n; i++) {
            want += (double)e[i];
            most = e[100 + i] > most ? e[100 + i] : most;
            dots += (double)e[i] * (double)e[100 + i];
            totals[i] = plain = 0.25;
        }
        k->pool_cell(e, e + 100, n, &total, &largest);
        ck_assert_double_eq_tol(total, want, 1e-5);
        ck_assert(largest == most);
        ck_assert_double_eq_tol(k->dot(e, e + 100, n), dots, 1e-5);
        k->add_to_double(totals, e, n);
        for (size_t i = 0; i < n; i++) ck_assert(totals[i] == plain + (double)e[i]);
    }
    free(e);
}
END_TEST

START_TEST(matches) {
    PATH_OR_RETURN(k);
    enum { N = 1300 };
    float *e = random_floats(N, 1), *keep = random_floats(N, 1);
    int32_t ids[N];
    for (int j = 0; j < N; j++) {
        ids[j] = rand() % 3;
        keep[j] = keep[j] > 0;
    }
    for (size_t n = 0; n < N; n += 37) {
        struct kept_sums sums;
        double all = 0, kept = 0;
        for (size_t j = 0; j < n; j++)
            if (ids[j] == 2) all += (double)e[j], kept += (double)(e[j] * keep[j]);
        k->match_sums(e, keep, ids, n, 2, &sums);
        ck_assert_double_eq_tol(sums.all, all, 1e-5);
        ck_assert_double_eq_tol(sums.kept, kept, 1e-5);
    }
    free(e);
    free(keep);
}
END_TEST

START_TEST(rows) {
    PATH_OR_RETURN(k);
    for (size_t n = 1; n < 100; n++) {
        float *x = random_floats(n, 3), *w = random_floats(n, 1), *y = malloc(n * sizeof *y);
        double squares = 0;
        for (size_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
        ck_assert_double_eq_tol(k->rms_norm(x, w, n, 1e-5f, y), squares, 1e-4);
        for (size_t i = 0; i < n; i++)
            ck_assert_double_eq_tol(y[i], (double)x[i] / sqrt(squares / (double)n + 1e-5) * (double)w[i], 1e-6);
        free(x);
        free(w);
        free(y);
    }
    float *gate = random_floats(160, 100), *up = random_floats(160, 1), *before = malloc(160 * sizeof *before);
    memcpy(before, gate, 160 * sizeof *gate);
    k->swiglu(gate, up, 160);
    for (int i = 0; i < 160; i++) {
        double want = (double)before[i] / (1 + exp(-(double)before[i])) * (double)up[i];
        ck_assert_double_le(fabs(gate[i] - want), 1e-6 * (1 + fabs(want)));
    }
    free(gate);
    free(up);
    free(before);
}
END_TEST

START_TEST(transposing) {
    PATH_OR_RETURN(k);
    float *source = random_floats(PANEL * 100, 1), panel[96 * PANEL];
    for (size_t n = PANEL; n <= 96; n += PANEL) {
        k->transpose_panel(source, 100, n, panel);
        for (size_t d = 0; d < n; d++)
            for (size_t r = 0; r < PANEL; r++) ck_assert(panel[d * PANEL + r] == source[r * 100 + d]);
    }
    free(source);
}
END_TEST

START_TEST(best_path_is_one_of_them) {
    const struct kernels *best = kernels_best();
    ck_assert(best == &kernels_plain || best == kernels_avx2() || best == kernels_avx512());
    printf("the fastest path here: %s\n", best->name);
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("kernels");
    TCase *c = tcase_create("every path");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, exponential, 0, 3);
    tcase_add_loop_test(c, products, 0, 3);
    tcase_add_loop_test(c, softmax, 0, 3);
    tcase_add_loop_test(c, not_a_number_is_noticed, 0, 3);
    tcase_add_loop_test(c, sweeps, 0, 3);
    tcase_add_loop_test(c, matches, 0, 3);
    tcase_add_loop_test(c, rows, 0, 3);
    tcase_add_loop_test(c, transposing, 0, 3);
    tcase_add_test(c, best_path_is_one_of_them);
    suite_add_tcase(suite, c);
    return suite;
}

#include "tests/check_main.h"
