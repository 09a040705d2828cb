/*
 * similarity_map.c: a matrix of distances as clusters and as a plane.
 *
 * Clusters   Average linkage (UPGMA): the two nearest clusters become one, its distance to others the mean over all pairs of members,
 *            until none are nearer than the cut.
 * Plane      Classical multidimensional scaling (Torgerson 1952): B = -1/2 J D^2 J, the two largest eigenpairs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/failure.h"

/* LAPACK, as OpenBLAS has it: selected eigenpairs of a symmetric matrix. Column-major; destroys a. */
void dsyevr_(const char *jobz, const char *range, const char *uplo, const int *n, double *a, const int *lda, const double *vl,
             const double *vu, const int *il, const int *iu, const double *abstol, int *m, double *w, double *z, const int *ldz,
             int *isuppz, double *work, const int *lwork, int *iwork, const int *liwork, int *info);

static double distance(const float *matrix, size_t n, enum similarity_kind kind, size_t i, size_t j) {
    double value = (double)matrix[i * n + j];
    if (i == j) return 0;
    if (isnan(value)) return 1;
    return kind == SIMILARITY_CKA ? 1 - value : value;
}

/* ---- clusters ---------------------------------------------------------------------------------------------------- */

struct linkage {
    size_t n;
    double *d;         /* [n, n] between clusters, each known by its first member */
    size_t *size;      /* [n] 0: has gone into another */
    uint32_t *into;    /* [n] the cluster's first member */
    size_t *nearest;   /* [n] among the later ones; n: none */
};

static void find_nearest(struct linkage *l, size_t i) {
    l->nearest[i] = l->n;
    for (size_t j = i + 1; j < l->n; j++)
        if (l->size[j] > 0 && (l->nearest[i] == l->n || l->d[i * l->n + j] < l->d[i * l->n + l->nearest[i]])) l->nearest[i] = j;
}

/* Two clusters i < j become i. */
static void join(struct linkage *l, size_t i, size_t j) {
    double wi = (double)l->size[i], wj = (double)l->size[j];
    for (size_t k = 0; k < l->n; k++) {
        if (l->size[k] == 0 || k == i || k == j) continue;
        double d = (wi * l->d[i * l->n + k] + wj * l->d[j * l->n + k]) / (wi + wj);
        l->d[i * l->n + k] = l->d[k * l->n + i] = d;
    }
    l->size[i] += l->size[j];
    l->size[j] = 0;
    for (size_t k = 0; k < l->n; k++)
        if (l->into[k] == j) l->into[k] = (uint32_t)i;
    for (size_t k = 0; k <= j; k++) {
        if (l->size[k] == 0) continue;
        size_t was = l->nearest[k];
        if (k == i || was == i || was == j) find_nearest(l, k);
        else if (k < i && was < l->n && l->d[k * l->n + i] < l->d[k * l->n + was]) l->nearest[k] = i;
    }
}

static void link_up(struct linkage *l) {
    for (size_t i = 0; i < l->n; i++) find_nearest(l, i);
    for (;;) {
        size_t best = l->n;
        for (size_t i = 0; i < l->n; i++) {
            if (l->size[i] == 0 || l->nearest[i] == l->n) continue;
            if (best == l->n || l->d[i * l->n + l->nearest[i]] < l->d[best * l->n + l->nearest[best]]) best = i;
        }
        if (best == l->n || l->d[best * l->n + l->nearest[best]] >= CLUSTER_CUT) return;
        join(l, best, l->nearest[best]);
    }
}

/* Numbers clusters by size, then by their first member. */
static void number(const struct linkage *l, struct similarity_map *map) {
    for (size_t i = 0; i < l->n; i++) map->cluster[i] = UINT32_MAX;
    map->clusters = 0;
    for (;;) {
        size_t best = l->n;
        for (size_t i = 0; i < l->n; i++)
            if (l->size[i] > 0 && map->cluster[i] == UINT32_MAX && (best == l->n || l->size[i] > l->size[best])) best = i;
        if (best == l->n) return;
        for (size_t k = 0; k < l->n; k++)
            if (l->into[k] == best) map->cluster[k] = (uint32_t)map->clusters;
        map->clusters++;
    }
}

static bool make_clusters(const float *matrix, size_t n, enum similarity_kind kind, struct similarity_map *map) {
    struct linkage l = {n, malloc(n * n * sizeof *l.d), malloc(n * sizeof *l.size), malloc(n * sizeof *l.into), malloc(n * sizeof *l.nearest)};
    bool fine = l.d && l.size && l.into && l.nearest;
    for (size_t i = 0; fine && i < n; i++) {
        l.size[i] = 1;
        l.into[i] = (uint32_t)i;
        for (size_t j = 0; j < n; j++) l.d[i * n + j] = distance(matrix, n, kind, i, j);
    }
    if (fine) {
        link_up(&l);
        number(&l, map);
    }
    free(l.d);
    free(l.size);
    free(l.into);
    free(l.nearest);
    return fine;
}

/* ---- plane ------------------------------------------------------------------------------------------------------- */

/* b = D^2 -> -1/2 J D^2 J, J = 1 - 11^T / n. */
static void centre(double *b, double *mean, size_t n) {
    double all = 0;
    for (size_t i = 0; i < n; i++) {
        mean[i] = 0;
        for (size_t j = 0; j < n; j++) mean[i] += b[i * n + j] / (double)n;
        all += mean[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) b[i * n + j] = -0.5 * (b[i * n + j] - mean[i] - mean[j] + all);
}

static double stress_of(const float *matrix, size_t n, enum similarity_kind kind, const double *place) {
    double off = 0, all = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) {
            double d = distance(matrix, n, kind, i, j);
            double by = d - hypot(place[2 * i] - place[2 * j], place[2 * i + 1] - place[2 * j + 1]);
            off += by * by;
            all += d * d;
        }
    return all > 0 ? sqrt(off / all) : NAN;
}

/* Eigenvalues ascend; vectors of the last two. An eigenvector's sign is chance: its largest component is made positive. */
static void take_places(const double *values, const double *vectors, size_t n, struct similarity_map *map) {
    double positive = 0;
    for (size_t i = 0; i < n; i++) positive += fmax(values[i], 0);
    for (size_t axis = 0; axis < 2; axis++) {
        double value = axis < n ? fmax(values[n - 1 - axis], 0) : 0, largest = 0;
        const double *v = vectors + (n - 1 - (axis < n ? axis : 0)) * n;
        for (size_t i = 0; i < n; i++)
            if (fabs(v[i]) > fabs(largest) + 1e-9) largest = v[i];
        for (size_t i = 0; i < n; i++) map->place[2 * i + axis] = sqrt(value) * (largest < 0 ? -v[i] : v[i]);
        map->explained += positive > 0 ? value / positive : NAN;
    }
}

/* ENGINE_NO_MEMORY, or ENGINE_BROKEN where LAPACK finds no eigenvalues. */
static enum engine_status make_plane(const float *matrix, size_t n, enum similarity_kind kind, struct similarity_map *map) {
    int order = (int)n, found = 0, info = 0, none = 0, work_size = 40 * order, whole_size = 20 * order;
    double zero = 0, *b = malloc((2 * n * n + 2 * n + 40 * n) * sizeof *b), *vectors = b ? b + n * n : NULL;
    int *whole = malloc(22 * n * sizeof *whole);
    if (!b || !whole) {
        free(b);
        free(whole);
        return ENGINE_NO_MEMORY;
    }
    double *values = vectors + n * n, *mean = values + n, *work = mean + n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) b[i * n + j] = distance(matrix, n, kind, i, j) * distance(matrix, n, kind, i, j);
    centre(b, mean, n);
    dsyevr_("V", "A", "U", &order, b, &order, &zero, &zero, &none, &none, &zero, &found, values, vectors, &order, whole + 20 * n, work,
            &work_size, whole, &whole_size, &info);
    bool fine = info == 0 && found == order;
    if (fine) {
        map->explained = 0;
        take_places(values, vectors, n, map);
        map->stress = stress_of(matrix, n, kind, map->place);
    }
    free(b);
    free(whole);
    return fine ? ENGINE_OK : ENGINE_BROKEN;
}

enum engine_status similarity_map_make(const float *matrix, size_t n, enum similarity_kind kind, struct similarity_map *map,
                                       char *error, size_t error_size) {
    struct similarity_map made = {.cluster = malloc((n + 1) * sizeof *made.cluster), .place = malloc((2 * n + 1) * sizeof *made.place)};
    enum engine_status status = made.cluster && made.place && make_clusters(matrix, n, kind, &made) ? make_plane(matrix, n, kind, &made)
                                                                                                  : ENGINE_NO_MEMORY;
    if (status == ENGINE_OK) {
        *map = made;
        return ENGINE_OK;
    }
    similarity_map_clear(&made);
    if (status == ENGINE_NO_MEMORY) return engine_fail_memory(error, error_size);
    return engine_fail(status, error, error_size, "the distances between heads have no eigenvalues; this should not happen: please report it");
}

void similarity_map_clear(struct similarity_map *map) {
    free(map->cluster);
    free(map->place);
    *map = (struct similarity_map){0};
}
