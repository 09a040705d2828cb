#include "tests/naive_statistics.h"

#include <math.h>
#include <stdlib.h>

/* A map, what its queries see, and which rows count. */
struct map {
    const double *a;
    struct visibility sees;
    const int32_t *ids;
    size_t n;
    bool *out; /* [n] is a key excluded */
};

static bool *mask_of(const uint32_t *excluded, size_t count, size_t n) {
    bool *out = calloc(n + 1, sizeof *out);
    for (size_t s = 0; s < count; s++) out[excluded[s]] = true;
    return out;
}

static bool seen(const struct map *m, size_t i, size_t j) {
    return (j <= i ? i - j <= m->sees.before : j - i <= m->sees.after) && j < m->n;
}

static size_t first_row(const struct map *m) {
    return m->sees.after == 0 ? 1 : 0;
}

/* The keys that a statistic is about. */
enum kind { SELF, PREVIOUS, NEXT, LOCAL, DUPLICATE, INDUCTION, KINDS };

static bool is_kind(enum kind kind, const struct map *m, size_t i, size_t j) {
    const int32_t *ids = m->ids;
    switch (kind) {
    case SELF: return j == i;
    case PREVIOUS: return j + 1 == i;
    case NEXT: return j == i + 1;
    case LOCAL: return (i > j ? i - j : j - i) <= 16;
    case DUPLICATE: return j != i && ids[j] == ids[i];
    default: return j >= 1 && j != i && j - 1 != i && ids[j - 1] == ids[i];
    }
}

static void naive_kind(const struct map *m, enum kind kind, double *rows_out, double *mass_out, double *without_out) {
    double rows = 0, mass = 0, kept = 0, outside = 0;
    size_t n = m->n;
    for (size_t i = first_row(m); i < n; i++) {
        bool eligible = kind != DUPLICATE && kind != INDUCTION;
        for (size_t j = 0; j < n; j++) eligible = eligible || (seen(m, i, j) && is_kind(kind, m, i, j));
        if (!eligible) continue;
        rows++;
        for (size_t j = 0; j < n; j++) {
            if (!seen(m, i, j)) continue;
            double weight = m->a[i * n + j];
            bool is = is_kind(kind, m, i, j), keep = !m->out[j];
            if (is) mass += weight;
            if (is && keep) kept += weight;
            if (keep) outside += weight;
        }
    }
    if (rows_out) *rows_out = rows;
    *mass_out = rows > 0 ? mass / rows : NAN;
    *without_out = rows > 0 && outside / rows >= 0.05 ? kept / outside : NAN;
}

static double naive_offset_r2(const struct map *m) {
    size_t n = m->n, zero = n;
    double *sum = calloc(2 * n + 1, sizeof *sum), *count = calloc(2 * n + 1, sizeof *count), total = 0, cells = 0, all = 0, left = 0;
    for (size_t i = first_row(m); i < n; i++)
        for (size_t j = 0; j < n; j++) {
            if (!seen(m, i, j)) continue;
            sum[zero + i - j] += m->a[i * n + j];
            count[zero + i - j]++;
            total += m->a[i * n + j];
            cells++;
        }
    for (size_t i = first_row(m); i < n; i++)
        for (size_t j = 0; j < n; j++) {
            if (!seen(m, i, j)) continue;
            double weight = m->a[i * n + j], of_offset = weight - sum[zero + i - j] / count[zero + i - j], of_all = weight - total / cells;
            left += of_offset * of_offset;
            all += of_all * of_all;
        }
    free(sum);
    free(count);
    return all > 0 ? 1 - left / all : NAN;
}

/* Of equal weights the nearest, then the earlier key. */
static size_t largest_of(const struct map *m, size_t i) {
    size_t best = i; /* always seen */
    for (size_t distance = 0; distance < m->n; distance++) {
        if (distance <= i && seen(m, i, i - distance) && m->a[i * m->n + i - distance] > m->a[i * m->n + best]) best = i - distance;
        if (seen(m, i, i + distance) && m->a[i * m->n + i + distance] > m->a[i * m->n + best]) best = i + distance;
    }
    return best;
}

void naive_statistics_of(const double *a, struct visibility sees, const int32_t *ids, size_t n, const uint32_t *excluded,
                         size_t excluded_count, struct head_statistics *statistics) {
    const struct map map = {a, sees, ids, n, mask_of(excluded, excluded_count, n)}, *m = &map;
    double *v = statistics->value, rows = (double)n - (double)first_row(m), many = 0;
    for (int s = 0; s < STAT_COUNT; s++) v[s] = NAN;
    v[STAT_DUPLICATE_ROWS] = v[STAT_INDUCTION_ROWS] = 0;
    if (rows == 0) {
        free(map.out);
        return;
    }
    double entropy = 0, normalised = 0, effective = 0, largest = 0, distance = 0, sink = 0, missing = 0;
    size_t *modes = calloc(2 * n, sizeof *modes), mode = n; /* offset 0 */
    for (size_t i = first_row(m); i < n; i++) {
        double h = 0, keys = 0;
        size_t argmax = largest_of(m, i);
        for (size_t j = 0; j < n; j++) {
            if (!seen(m, i, j)) continue;
            double weight = a[i * n + j];
            keys++;
            if (weight > 0) h -= weight * log(weight);
            distance += weight * fabs((double)i - (double)j);
            if (m->out[j]) sink += weight;
        }
        missing += 1;
        for (size_t j = 0; j < n; j++) missing -= a[i * n + j];
        entropy += h;
        if (keys > 1) normalised += h / log(keys), many++;
        effective += exp(h);
        largest += a[i * n + argmax];
        modes[n + i - argmax]++;
    }
    for (size_t d = 0; d < n; d++) {
        if (modes[n + d] > modes[mode]) mode = n + d;
        if (modes[n - d] > modes[mode]) mode = n - d;
    }
    v[STAT_ENTROPY] = entropy / rows;
    v[STAT_ENTROPY_NORMALISED] = many > 0 ? normalised / many : NAN;
    v[STAT_EFFECTIVE_KEYS] = effective / rows;
    v[STAT_MAX_WEIGHT] = largest / rows;
    v[STAT_MEAN_DISTANCE] = distance / rows;
    v[STAT_SINK_MASS] = sink / rows;
    v[STAT_MISSING_MASS] = missing / rows;
    v[STAT_OFFSET_MODE] = (double)mode - (double)n;
    v[STAT_OFFSET_RATE] = (double)modes[mode] / rows;
    v[STAT_OFFSET_R2] = naive_offset_r2(m);
    free(modes);
    naive_kind(m, SELF, NULL, &v[STAT_SELF_MASS], &v[STAT_SELF_MASS_WITHOUT_SINKS]);
    naive_kind(m, PREVIOUS, NULL, &v[STAT_PREVIOUS_MASS], &v[STAT_PREVIOUS_MASS_WITHOUT_SINKS]);
    if (sees.after > 0)
        naive_kind(m, NEXT, NULL, &v[STAT_NEXT_MASS], &v[STAT_NEXT_MASS_WITHOUT_SINKS]);
    naive_kind(m, LOCAL, NULL, &v[STAT_LOCAL_MASS], &v[STAT_LOCAL_MASS_WITHOUT_SINKS]);
    naive_kind(m, DUPLICATE, &v[STAT_DUPLICATE_ROWS], &v[STAT_DUPLICATE_MASS], &v[STAT_DUPLICATE_MASS_WITHOUT_SINKS]);
    naive_kind(m, INDUCTION, &v[STAT_INDUCTION_ROWS], &v[STAT_INDUCTION_MASS], &v[STAT_INDUCTION_MASS_WITHOUT_SINKS]);
    free(map.out);
}

void naive_statistics(const double *a, const int32_t *ids, size_t n, const uint32_t *excluded, size_t excluded_count,
                      struct head_statistics *statistics) {
    naive_statistics_of(a, visibility_causal, ids, n, excluded, excluded_count, statistics);
}

void naive_cross_statistics(const double *a, size_t queries, size_t keys, const uint32_t *excluded, size_t excluded_count,
                            struct head_statistics *statistics) {
    double *v = statistics->value, entropy = 0, normalised = 0, effective = 0, largest = 0, sink = 0;
    for (int s = 0; s < STAT_COUNT; s++) v[s] = NAN;
    for (size_t i = 0; i < queries; i++) {
        double h = 0, most = 0;
        for (size_t j = 0; j < keys; j++) {
            double weight = a[i * keys + j];
            if (weight > 0) h -= weight * log(weight);
            if (weight > most) most = weight;
        }
        for (size_t s = 0; s < excluded_count; s++) sink += a[i * keys + excluded[s]];
        entropy += h;
        normalised += h / log((double)keys);
        effective += exp(h);
        largest += most;
    }
    double rows = (double)queries;
    v[STAT_ENTROPY] = entropy / rows;
    v[STAT_ENTROPY_NORMALISED] = keys > 1 ? normalised / rows : NAN;
    v[STAT_EFFECTIVE_KEYS] = effective / rows;
    v[STAT_MAX_WEIGHT] = largest / rows;
    v[STAT_SINK_MASS] = sink / rows;
}

void naive_thumbnail(const double *a, struct visibility sees, size_t n, const uint32_t *excluded, size_t excluded_count, double *max, double *mean,
                     double *on_excluded) {
    const struct map m = {a, sees, NULL, n, mask_of(excluded, excluded_count, n)};
    size_t bins = n < 48 ? n : 48;
    for (size_t x = 0; x < bins; x++) {
        size_t query0 = x * n / bins, query1 = (x + 1) * n / bins;
        double sink = 0;
        for (size_t i = query0; i < query1; i++)
            for (size_t j = 0; j < n; j++)
                if (m.out[j]) sink += a[i * n + j];
        on_excluded[x] = sink / (double)(query1 - query0);
        for (size_t y = 0; y < bins; y++) {
            double largest = 0, sum = 0, count = 0;
            for (size_t i = query0; i < query1; i++)
                for (size_t j = y * n / bins; j < (y + 1) * n / bins; j++) {
                    if (!seen(&m, i, j) || m.out[j]) continue;
                    largest = a[i * n + j] > largest ? a[i * n + j] : largest;
                    sum += a[i * n + j];
                    count++;
                }
            max[x * bins + y] = largest;
            mean[x * bins + y] = count > 0 ? sum / count : 0;
        }
    }
    free(m.out);
}

double naive_received(const double *a, struct visibility sees, size_t n, size_t j) {
    const struct map m = {a, sees, NULL, n, NULL};
    double sum = 0, queries = 0;
    for (size_t i = 0; i < n; i++)
        if (i != j && seen(&m, i, j)) sum += a[i * n + j], queries++;
    return queries > 0 ? sum / queries : NAN;
}
