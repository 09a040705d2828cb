#include "engine/statistics.h"

#include <math.h>
#include <string.h>

const struct statistic_field statistic_fields[STAT_COUNT] = {
    [STAT_ENTROPY] = {"entropy", false, false},
    [STAT_ENTROPY_NORMALISED] = {"entropy_normalised", false, false},
    [STAT_EFFECTIVE_KEYS] = {"effective_keys", false, false},
    [STAT_MAX_WEIGHT] = {"max_weight", false, false},
    [STAT_MEAN_DISTANCE] = {"mean_distance", false, false},
    [STAT_SINK_MASS] = {"sink_mass", false, false},
    [STAT_SELF_MASS] = {"self_mass", false, false},
    [STAT_SELF_MASS_WITHOUT_SINKS] = {"self_mass_without_sinks", false, false},
    [STAT_PREVIOUS_MASS] = {"previous_mass", false, false},
    [STAT_PREVIOUS_MASS_WITHOUT_SINKS] = {"previous_mass_without_sinks", false, false},
    [STAT_NEXT_MASS] = {"next_mass", false, true},
    [STAT_NEXT_MASS_WITHOUT_SINKS] = {"next_mass_without_sinks", false, true},
    [STAT_LOCAL_MASS] = {"local_mass", false, false},
    [STAT_LOCAL_MASS_WITHOUT_SINKS] = {"local_mass_without_sinks", false, false},
    [STAT_DUPLICATE_ROWS] = {"duplicate_rows", true, false},
    [STAT_DUPLICATE_MASS] = {"duplicate_mass", false, false},
    [STAT_DUPLICATE_MASS_WITHOUT_SINKS] = {"duplicate_mass_without_sinks", false, false},
    [STAT_INDUCTION_ROWS] = {"induction_rows", true, false},
    [STAT_INDUCTION_MASS] = {"induction_mass", false, false},
    [STAT_INDUCTION_MASS_WITHOUT_SINKS] = {"induction_mass_without_sinks", false, false},
    [STAT_OFFSET_MODE] = {"offset_mode", true, false},
    [STAT_OFFSET_RATE] = {"offset_rate", false, false},
    [STAT_OFFSET_R2] = {"offset_r2", false, false},
};

/* Below this share of a row's weight outside S, a ratio to it proves nothing. */
static const double smallest_remainder = 0.05;

/* ---- sums ---------------------------------------------------------------------------------------------------- */

size_t head_sums_size(size_t n) {
    return n * (2 * sizeof(double) + sizeof(uint32_t)) + sizeof(double);
}

void head_sums_init(struct head_sums *sums, size_t n, void *memory) {
    memset(memory, 0, head_sums_size(n));
    *sums = (struct head_sums){.offset = memory, .key = (double *)memory + n, .modes = (uint32_t *)((double *)memory + 2 * n)};
}

static void add_kind(struct kind_sums *to, const struct kind_sums *from) {
    to->mass += from->mass;
    to->kept += from->kept;
    to->outside += from->outside;
}

void head_sums_add(struct head_sums *to, const struct head_sums *from, size_t n) {
    to->entropy += from->entropy;
    to->entropy_normalised += from->entropy_normalised;
    to->effective_keys += from->effective_keys;
    to->max_weight += from->max_weight;
    to->squares += from->squares;
    to->self_excluded += from->self_excluded;
    to->previous_excluded += from->previous_excluded;
    to->local_excluded += from->local_excluded;
    add_kind(&to->duplicate, &from->duplicate);
    add_kind(&to->induction, &from->induction);
    for (size_t i = 0; i < n; i++) to->offset[i] += from->offset[i];
    for (size_t i = 0; i < n; i++) to->key[i] += from->key[i];
    for (size_t i = 0; i < n; i++) to->modes[i] += from->modes[i];
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

/* Above this many excluded keys a product with the mask is cheaper than picking them. */
enum { FEW_EXCLUDED = 64 };
/* A scan of the row passes 8 keys in the time of one that is picked from a list. */
enum { SCAN_GAIN = 8 };

/* Weight of row i outside S, before the division by the row's sum. */
static double outside_sum(const struct kernels *kernels, const struct text_facts *facts, const float *e, size_t i, double sum) {
    if (facts->excluded_count > FEW_EXCLUDED) return kernels->dot(e, facts->keep, i + 1);
    for (size_t s = 0; s < facts->excluded_count && facts->excluded[s] <= i; s++) sum -= (double)e[facts->excluded[s]];
    return sum > 0 ? sum : 0;
}

/* Sums of e over the first `count` copies of row i's token, moved right by `shift`; keys counts those that a scan would pass. */
static struct kept_sums copy_sums(const struct kernels *kernels, const struct text_facts *facts, const float *e, size_t i,
                                  size_t count, size_t shift, size_t keys) {
    struct kept_sums sums = {0, 0};
    if (count * SCAN_GAIN > keys) {
        kernels->match_sums(e + shift, facts->keep + shift, facts->ids, keys, facts->ids[i], &sums);
        return sums;
    }
    const uint32_t *positions = facts->positions + facts->copy_first[i];
    for (size_t c = 0; c < count; c++) {
        size_t j = positions[c] + shift;
        sums.all += (double)e[j];
        sums.kept += (double)(e[j] * facts->keep[j]);
    }
    return sums;
}

static void add_copies(const struct kernels *kernels, const struct text_facts *facts, const float *e, size_t i, double sum,
                       struct head_sums *to) {
    size_t copies = facts->copy_count[i], follow = copies ? induction_count(facts, i) : 0;
    if (!copies) return;
    double inverse = 1 / sum, outside = outside_sum(kernels, facts, e, i, sum) * inverse;
    struct kept_sums on = copy_sums(kernels, facts, e, i, copies, 0, i);
    add_kind(&to->duplicate, &(struct kind_sums){on.all * inverse, on.kept * inverse, outside});
    if (!follow) return;
    on = copy_sums(kernels, facts, e, i, follow, 1, i - 1);
    add_kind(&to->induction, &(struct kind_sums){on.all * inverse, on.kept * inverse, outside});
}

/* What self, previous and local mass have on S: the few excluded keys near the diagonal. */
static void add_near_excluded(const struct text_facts *facts, const float *e, size_t i, double inverse, struct head_sums *to) {
    for (size_t s = facts->near_excluded[i]; s < facts->excluded_count && facts->excluded[s] <= i; s++) {
        size_t j = facts->excluded[s];
        double weight = (double)e[j] * inverse;
        to->local_excluded += weight;
        if (j == i) to->self_excluded += weight;
        if (j + 1 == i) to->previous_excluded += weight;
    }
}

static void add_row(const struct kernels *kernels, const struct text_facts *facts, const float *e, size_t i,
                    const struct softmax_sums *row, struct head_sums *to) {
    double inverse = 1 / row->sum, entropy = log(row->sum) - row->weighted * inverse;
    if (entropy < 0) entropy = 0; /* rounding, where one key has all the weight */
    to->entropy += entropy;
    to->entropy_normalised += entropy / facts->log_visible[i];
    to->effective_keys += exp(entropy);
    to->max_weight += inverse; /* the largest e is 1 */
    to->modes[i - row->argmax]++;
    add_near_excluded(facts, e, i, inverse, to);
    add_copies(kernels, facts, e, i, row->sum, to);
}

/* Short texts: the variance of the weights may be tiny beside their squares, so float64 all the way. */
static void add_offsets_exactly(const float *e, size_t n, size_t i, double inverse, struct head_sums *to) {
    for (size_t j = 0; j <= i; j++) {
        double weight = (double)e[j] * inverse;
        to->offset[n - 1 - (i - j)] += weight;
        to->squares += weight * weight;
    }
}

/* Diagonals, from the left: t = j - (i - query) with query the first row that counts; offset d = query - t. The last row begins
 * at t = -(rows - 1), and no diagonal but t <= query is below the main one. */
static void add_offsets(const struct kernels *kernels, const struct weight_block *block, size_t n, size_t first,
                        const struct sweep_scratch *scratch, struct head_sums *to) {
    size_t rows = block->rows - first, diagonals = block->query0 + first + rows;
    const float *corner = block->e + first * block->stride - (rows - 1);
    kernels->diagonal_sweep(corner, block->stride, rows, block->inverse + first, whole_panels(diagonals), scratch->sum);
    kernels->add_to_double(to->offset + (n - diagonals), scratch->sum, diagonals);
    for (size_t r = first; r < block->rows; r++) to->squares += block->sums[r].squares / (block->sums[r].sum * block->sums[r].sum);
}

void statistics_rows(const struct kernels *kernels, const struct text_facts *facts, const struct weight_block *block,
                     const struct sweep_scratch *scratch, struct head_sums *sums) {
    size_t first = block->query0 == 0; /* row 0 is not in R */
    for (size_t r = first; r < block->rows; r++)
        add_row(kernels, facts, block->e + r * block->stride, block->query0 + r, &block->sums[r], sums);
    if (facts->n <= BLOCK_ROWS) {
        for (size_t r = first; r < block->rows; r++)
            add_offsets_exactly(block->e + r * block->stride, facts->n, block->query0 + r, 1 / block->sums[r].sum, sums);
    } else if (first < block->rows) {
        add_offsets(kernels, block, facts->n, first, scratch, sums);
    }
}

void statistics_columns(const struct kernels *kernels, const float *column_sums, size_t keys, struct head_sums *sums) {
    kernels->add_to_double(sums->key, column_sums, keys);
}

void statistics_diagonal(const struct weight_block *block, struct head_sums *sums) {
    for (size_t r = 0; r < block->rows; r++) {
        size_t i = block->query0 + r;
        sums->key[i] -= (double)(block->e[r * block->stride + i] * block->inverse[r]);
    }
}

/* ---- finish ---------------------------------------------------------------------------------------------------- */

static double ratio_or_nan(double part, double outside, double rows) {
    return outside < smallest_remainder * rows ? NAN : part > 0 ? part / outside : 0;
}

static void finish_kind(const struct kind_sums *kind, size_t rows, double *count, double *mass, double *without) {
    double n = (double)rows;
    *count = n;
    *mass = rows ? kind->mass / n : NAN;
    *without = rows ? ratio_or_nan(kind->kept, kind->outside, n) : NAN;
}

/* Share of the variance of the weights that the mean of their offset explains. */
static double offset_r2(const struct head_sums *sums, size_t n, double total) {
    double between = 0, count = 0;
    for (size_t d = 0; d < n; d++) {
        double rows = (double)(n - (d ? d : 1)), sum = sums->offset[n - 1 - d];
        between += sum * sum / rows;
        count += rows;
    }
    double mean_part = total * total / count, all = sums->squares - mean_part;
    if (!(all > 1e-12 * sums->squares)) return NAN; /* all weights are equal: nothing to explain */
    double share = (between - mean_part) / all;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

static bool all_finite(const struct head_sums *sums, size_t n) {
    double check = sums->entropy + sums->effective_keys + sums->max_weight + sums->squares;
    for (size_t i = 0; i < n; i++) check += sums->offset[i] + sums->key[i];
    return isfinite(check);
}

bool statistics_finish(const struct text_facts *facts, const struct head_sums *sums, struct head_statistics *statistics) {
    size_t n = facts->n;
    double *value = statistics->value;
    for (int s = 0; s < STAT_COUNT; s++) value[s] = NAN;
    value[STAT_DUPLICATE_ROWS] = value[STAT_INDUCTION_ROWS] = 0;
    if (!all_finite(sums, n)) return false;
    if (n < 2) return true; /* no row counts */

    double rows = (double)(n - 1), total = 0, distance = 0, local = 0, sink = sums->self_excluded;
    const double *at = sums->offset + (n - 1); /* at[-d] */
    for (size_t d = 0; d < n; d++) {
        double sum = at[-(ptrdiff_t)d];
        total += sum;
        distance += (double)d * sum;
        if (d <= LOCAL_DISTANCE) local += sum;
    }
    for (size_t s = 0; s < facts->excluded_count; s++) sink += sums->key[facts->excluded[s]];
    double outside = total - sink;

    value[STAT_ENTROPY] = sums->entropy / rows;
    value[STAT_ENTROPY_NORMALISED] = sums->entropy_normalised / rows;
    value[STAT_EFFECTIVE_KEYS] = sums->effective_keys / rows;
    value[STAT_MAX_WEIGHT] = sums->max_weight / rows;
    value[STAT_MEAN_DISTANCE] = distance / rows;
    value[STAT_SINK_MASS] = sink > 0 ? sink / rows : 0;
    value[STAT_SELF_MASS] = at[0] / rows;
    value[STAT_SELF_MASS_WITHOUT_SINKS] = ratio_or_nan(at[0] - sums->self_excluded, outside, rows);
    value[STAT_PREVIOUS_MASS] = at[-1] / rows;
    value[STAT_PREVIOUS_MASS_WITHOUT_SINKS] = ratio_or_nan(at[-1] - sums->previous_excluded, outside, rows);
    value[STAT_LOCAL_MASS] = local / rows;
    value[STAT_LOCAL_MASS_WITHOUT_SINKS] = ratio_or_nan(local - sums->local_excluded, outside, rows);
    finish_kind(&sums->duplicate, facts->duplicate_rows, &value[STAT_DUPLICATE_ROWS], &value[STAT_DUPLICATE_MASS],
                &value[STAT_DUPLICATE_MASS_WITHOUT_SINKS]);
    finish_kind(&sums->induction, facts->induction_rows, &value[STAT_INDUCTION_ROWS], &value[STAT_INDUCTION_MASS],
                &value[STAT_INDUCTION_MASS_WITHOUT_SINKS]);
    size_t mode = 0;
    for (size_t d = 1; d < n; d++)
        if (sums->modes[d] > sums->modes[mode]) mode = d;
    value[STAT_OFFSET_MODE] = (double)mode;
    value[STAT_OFFSET_RATE] = (double)sums->modes[mode] / rows;
    value[STAT_OFFSET_R2] = offset_r2(sums, n, total);
    return true;
}

double statistics_received(const struct head_sums *sums, size_t n, size_t j) {
    if (j + 1 >= n) return NAN;
    double mean = sums->key[j] / (double)(n - 1 - j);
    return mean > 0 ? mean : 0;
}
