#include "tests/naive_statistics.h"

#include <math.h>
#include <stdlib.h>

static bool in(const uint32_t *excluded, size_t count, size_t j) {
    for (size_t s = 0; s < count; s++)
        if (excluded[s] == j) return true;
    return false;
}

/* The keys that a statistic is about. */
enum kind { SELF, PREVIOUS, LOCAL, DUPLICATE, INDUCTION, KINDS };

static bool is_kind(enum kind kind, const int32_t *ids, size_t i, size_t j) {
    switch (kind) {
    case SELF: return j == i;
    case PREVIOUS: return j + 1 == i;
    case LOCAL: return i - j <= 16;
    case DUPLICATE: return j < i && ids[j] == ids[i];
    default: return j >= 1 && j < i && ids[j - 1] == ids[i];
    }
}

static void naive_kind(const double *a, const int32_t *ids, size_t n, const uint32_t *excluded, size_t count, enum kind kind,
                       double *rows_out, double *mass_out, double *without_out) {
    double rows = 0, mass = 0, kept = 0, outside = 0;
    for (size_t i = 1; i < n; i++) {
        bool eligible = kind == SELF || kind == PREVIOUS || kind == LOCAL;
        for (size_t j = 0; j <= i; j++) eligible = eligible || is_kind(kind, ids, i, j);
        if (!eligible) continue;
        rows++;
        for (size_t j = 0; j <= i; j++) {
            double weight = a[i * n + j];
            bool is = is_kind(kind, ids, i, j), keep = !in(excluded, count, j);
            if (is) mass += weight;
            if (is && keep) kept += weight;
            if (keep) outside += weight;
        }
    }
    if (rows_out) *rows_out = rows;
    *mass_out = rows > 0 ? mass / rows : NAN;
    *without_out = rows > 0 && outside / rows >= 0.05 ? kept / outside : NAN;
}

static double naive_offset_r2(const double *a, size_t n) {
    double *sum = calloc(n, sizeof *sum), *count = calloc(n, sizeof *count), total = 0, cells = 0, all = 0, left = 0;
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            sum[i - j] += a[i * n + j];
            count[i - j]++;
            total += a[i * n + j];
            cells++;
        }
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double weight = a[i * n + j], of_offset = weight - sum[i - j] / count[i - j], of_all = weight - total / cells;
            left += of_offset * of_offset;
            all += of_all * of_all;
        }
    free(sum);
    free(count);
    return all > 0 ? 1 - left / all : NAN;
}

void naive_statistics(const double *a, const int32_t *ids, size_t n, const uint32_t *excluded, size_t excluded_count,
                      struct head_statistics *statistics) {
    double *v = statistics->value, rows = (double)n - 1;
    for (int s = 0; s < STAT_COUNT; s++) v[s] = NAN;
    v[STAT_DUPLICATE_ROWS] = v[STAT_INDUCTION_ROWS] = 0;
    if (n < 2) return;
    double entropy = 0, normalised = 0, effective = 0, largest = 0, distance = 0, sink = 0;
    size_t *modes = calloc(n, sizeof *modes), mode = 0;
    for (size_t i = 1; i < n; i++) {
        double h = 0, max = -1;
        size_t argmax = 0;
        for (size_t j = 0; j <= i; j++) {
            double weight = a[i * n + j];
            if (weight > 0) h -= weight * log(weight);
            if (weight >= max) max = weight, argmax = j;
            distance += weight * (double)(i - j);
            if (in(excluded, excluded_count, j)) sink += weight;
        }
        entropy += h;
        normalised += h / log((double)i + 1);
        effective += exp(h);
        largest += max;
        modes[i - argmax]++;
    }
    for (size_t d = 0; d < n; d++)
        if (modes[d] > modes[mode]) mode = d;
    v[STAT_ENTROPY] = entropy / rows;
    v[STAT_ENTROPY_NORMALISED] = normalised / rows;
    v[STAT_EFFECTIVE_KEYS] = effective / rows;
    v[STAT_MAX_WEIGHT] = largest / rows;
    v[STAT_MEAN_DISTANCE] = distance / rows;
    v[STAT_SINK_MASS] = sink / rows;
    v[STAT_OFFSET_MODE] = (double)mode;
    v[STAT_OFFSET_RATE] = (double)modes[mode] / rows;
    v[STAT_OFFSET_R2] = naive_offset_r2(a, n);
    free(modes);
    naive_kind(a, ids, n, excluded, excluded_count, SELF, NULL, &v[STAT_SELF_MASS], &v[STAT_SELF_MASS_WITHOUT_SINKS]);
    naive_kind(a, ids, n, excluded, excluded_count, PREVIOUS, NULL, &v[STAT_PREVIOUS_MASS], &v[STAT_PREVIOUS_MASS_WITHOUT_SINKS]);
    naive_kind(a, ids, n, excluded, excluded_count, LOCAL, NULL, &v[STAT_LOCAL_MASS], &v[STAT_LOCAL_MASS_WITHOUT_SINKS]);
    naive_kind(a, ids, n, excluded, excluded_count, DUPLICATE, &v[STAT_DUPLICATE_ROWS], &v[STAT_DUPLICATE_MASS],
               &v[STAT_DUPLICATE_MASS_WITHOUT_SINKS]);
    naive_kind(a, ids, n, excluded, excluded_count, INDUCTION, &v[STAT_INDUCTION_ROWS], &v[STAT_INDUCTION_MASS],
               &v[STAT_INDUCTION_MASS_WITHOUT_SINKS]);
}

void naive_thumbnail(const double *a, size_t n, const uint32_t *excluded, size_t excluded_count, double *max, double *mean,
                     double *on_excluded) {
    size_t bins = n < 48 ? n : 48;
    for (size_t x = 0; x < bins; x++) {
        size_t query0 = x * n / bins, query1 = (x + 1) * n / bins;
        double sink = 0;
        for (size_t i = query0; i < query1; i++)
            for (size_t j = 0; j <= i; j++)
                if (in(excluded, excluded_count, j)) sink += a[i * n + j];
        on_excluded[x] = sink / (double)(query1 - query0);
        for (size_t y = 0; y < bins; y++) {
            double largest = 0, sum = 0, count = 0;
            for (size_t i = query0; i < query1; i++)
                for (size_t j = y * n / bins; j < (y + 1) * n / bins && j <= i; j++) {
                    if (in(excluded, excluded_count, j)) continue;
                    largest = a[i * n + j] > largest ? a[i * n + j] : largest;
                    sum += a[i * n + j];
                    count++;
                }
            max[x * bins + y] = largest;
            mean[x * bins + y] = count > 0 ? sum / count : 0;
        }
    }
}

double naive_received(const double *a, size_t n, size_t j) {
    double sum = 0;
    for (size_t i = j + 1; i < n; i++) sum += a[i * n + j];
    return j + 1 < n ? sum / (double)(n - 1 - j) : NAN;
}
