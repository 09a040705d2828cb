#include "engine/statistics.h"

#include <math.h>
#include <string.h>

const struct statistic_field statistic_fields[STAT_COUNT] = {
    [STAT_ENTROPY] = {"entropy", false, false, false},
    [STAT_ENTROPY_NORMALISED] = {"entropy_normalised", false, false, false},
    [STAT_EFFECTIVE_KEYS] = {"effective_keys", false, false, false},
    [STAT_MAX_WEIGHT] = {"max_weight", false, false, false},
    [STAT_MEAN_DISTANCE] = {"mean_distance", false, false, false},
    [STAT_SINK_MASS] = {"sink_mass", false, false, false},
    [STAT_SELF_MASS] = {"self_mass", false, false, false},
    [STAT_SELF_MASS_WITHOUT_SINKS] = {"self_mass_without_sinks", false, false, false},
    [STAT_PREVIOUS_MASS] = {"previous_mass", false, false, false},
    [STAT_PREVIOUS_MASS_WITHOUT_SINKS] = {"previous_mass_without_sinks", false, false, false},
    [STAT_NEXT_MASS] = {"next_mass", false, true, false},
    [STAT_NEXT_MASS_WITHOUT_SINKS] = {"next_mass_without_sinks", false, true, false},
    [STAT_LOCAL_MASS] = {"local_mass", false, false, false},
    [STAT_LOCAL_MASS_WITHOUT_SINKS] = {"local_mass_without_sinks", false, false, false},
    [STAT_DUPLICATE_ROWS] = {"duplicate_rows", true, false, false},
    [STAT_DUPLICATE_MASS] = {"duplicate_mass", false, false, false},
    [STAT_DUPLICATE_MASS_WITHOUT_SINKS] = {"duplicate_mass_without_sinks", false, false, false},
    [STAT_INDUCTION_ROWS] = {"induction_rows", true, false, false},
    [STAT_INDUCTION_MASS] = {"induction_mass", false, false, false},
    [STAT_INDUCTION_MASS_WITHOUT_SINKS] = {"induction_mass_without_sinks", false, false, false},
    [STAT_OFFSET_MODE] = {"offset_mode", true, false, false},
    [STAT_OFFSET_RATE] = {"offset_rate", false, false, false},
    [STAT_OFFSET_R2] = {"offset_r2", false, false, false},
    [STAT_VALUE_SINK_SHARE] = {"value_sink_share", false, false, false},
    [STAT_OUTPUT_RATIO] = {"output_ratio", false, false, false},
    [STAT_MISSING_MASS] = {"missing_mass", false, false, true},
};

/* Below this share of a row's weight outside S, a ratio to it proves nothing. */
static const double smallest_remainder = 0.05;

/* ---- sums ---------------------------------------------------------------------------------------------------- */

size_t head_sums_size(size_t keys, size_t offsets) {
    return keys * sizeof(double) + offsets * (sizeof(double) + sizeof(uint32_t)) + sizeof(double);
}

void head_sums_init(struct head_sums *sums, size_t keys, size_t offsets, void *memory) {
    memset(memory, 0, head_sums_size(keys, offsets));
    *sums = (struct head_sums){.keys = keys, .offsets = offsets, .offset = memory, .key = (double *)memory + offsets,
                               .modes = (uint32_t *)((double *)memory + offsets + keys)};
}

static void add_kind(struct kind_sums *to, const struct kind_sums *from) {
    to->mass += from->mass;
    to->kept += from->kept;
    to->outside += from->outside;
}

void head_sums_add(struct head_sums *to, const struct head_sums *from) {
    to->entropy += from->entropy;
    to->entropy_normalised += from->entropy_normalised;
    to->effective_keys += from->effective_keys;
    to->max_weight += from->max_weight;
    to->squares += from->squares;
    to->missing += from->missing;
    to->self_excluded += from->self_excluded;
    to->previous_excluded += from->previous_excluded;
    to->next_excluded += from->next_excluded;
    to->local_excluded += from->local_excluded;
    to->self_value += from->self_value;
    to->self_value_excluded += from->self_value_excluded;
    add_kind(&to->duplicate, &from->duplicate);
    add_kind(&to->induction, &from->induction);
    for (size_t i = 0; i < to->offsets; i++) to->offset[i] += from->offset[i];
    for (size_t j = 0; j < to->keys; j++) to->key[j] += from->key[j];
    for (size_t i = 0; i < to->offsets; i++) to->modes[i] += from->modes[i];
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

/* own: the sum of the row's e; sum: what they are divided by. */
static void add_copies(const struct kernels *kernels, const struct text_facts *facts, const float *e, size_t i, double own, double sum,
                       struct head_sums *to) {
    size_t copies = facts->copy_count[i], follow = copies ? induction_count(facts, i) : 0;
    if (!copies) return;
    double inverse = 1 / sum, outside = outside_sum(kernels, facts, e, i, own) * inverse;
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

double row_entropy(const struct softmax_sums *row, double sink) {
    double entropy = log(row->sum) * ((row->sum - sink) / row->sum) - row->weighted / row->sum;
    return entropy < 0 ? 0 : entropy; /* rounding, where one key has all the weight */
}

static void add_row(const struct kernels *kernels, const struct text_facts *facts, const float *e, size_t i,
                    const struct softmax_sums *row, double sink, struct head_sums *to) {
    double inverse = 1 / row->sum, entropy = row_entropy(row, sink);
    to->entropy += entropy;
    to->entropy_normalised += entropy / facts->log_visible[i];
    to->effective_keys += exp(entropy);
    to->max_weight += inverse; /* the largest e is 1 */
    to->modes[i - row->argmax]++;
    add_near_excluded(facts, e, i, inverse, to);
    add_copies(kernels, facts, e, i, row->sum - sink, row->sum, to);
}

/* What a row says without distances: all of cross-attention's. */
static void add_row_across(const struct text_facts *facts, size_t i, const struct softmax_sums *row, double sink, struct head_sums *to) {
    double entropy = row_entropy(row, sink);
    to->entropy += entropy;
    if (facts->keys > 1) to->entropy_normalised += entropy / facts->log_visible[i];
    to->effective_keys += exp(entropy);
    to->max_weight += 1 / row->sum;
}

/* ---- rows of windows and encoders ---------------------------------------------------------------------------- */

static void add_near_excluded_around(const struct text_facts *facts, const float *e, size_t i, double inverse, struct head_sums *to) {
    size_t s = facts->near_excluded[i], count = facts->excluded_count;
    for (; s < count && facts->excluded[s] <= i + LOCAL_DISTANCE; s++) {
        size_t j = facts->excluded[s];
        if (!facts_sees(facts, i, j)) continue;
        double weight = (double)e[j] * inverse;
        to->local_excluded += weight;
        if (j == i) to->self_excluded += weight;
        if (j + 1 == i) to->previous_excluded += weight;
        if (j == i + 1) to->next_excluded += weight;
    }
}

static void add_copies_in_sight(const struct text_facts *facts, const float *e, size_t i, double own, double inverse,
                                struct head_sums *to) {
    struct kind_sums duplicate = {0}, induction = {0};
    bool copied = false, followed = false;
    const uint32_t *positions = facts->positions + facts->copy_first[i];
    double outside = own;
    for (size_t c = 0; c < facts->copy_count[i]; c++) {
        size_t j = positions[c];
        if (facts_is_copy(facts, i, j)) {
            copied = true;
            duplicate.mass += (double)e[j] * inverse;
            duplicate.kept += (double)(e[j] * facts->keep[j]) * inverse;
        }
        if (facts_is_induction(facts, i, j + 1)) {
            followed = true;
            induction.mass += (double)e[j + 1] * inverse;
            induction.kept += (double)(e[j + 1] * facts->keep[j + 1]) * inverse;
        }
    }
    if (!copied && !followed) return;
    for (size_t s = 0; s < facts->excluded_count; s++)
        if (facts_sees(facts, i, facts->excluded[s])) outside -= (double)e[facts->excluded[s]];
    duplicate.outside = induction.outside = (outside > 0 ? outside : 0) * inverse;
    if (copied) add_kind(&to->duplicate, &duplicate);
    if (followed) add_kind(&to->induction, &induction);
}

/* The largest weight; of equal ones the nearest, then the earlier. */
static ptrdiff_t offset_of_largest(const float *e, size_t first, size_t end, size_t i) {
    size_t best = first;
    for (size_t j = first; j < end; j++) {
        size_t distance = j > i ? j - i : i - j, least = best > i ? best - i : i - best;
        if (e[j] > e[best] || (e[j] == e[best] && distance < least)) best = j;
    }
    return (ptrdiff_t)i - (ptrdiff_t)best;
}

static void add_row_in_sight(const struct text_facts *facts, const float *e, size_t i, const struct softmax_sums *row, double sink,
                             struct head_sums *to) {
    double inverse = 1 / row->sum, entropy = row_entropy(row, sink);
    size_t n = facts->n, first = visible_first(facts->sees, i), end = visible_end(facts->sees, n, i);
    to->entropy += entropy;
    if (end - first > 1) to->entropy_normalised += entropy / facts->log_visible[i];
    to->effective_keys += exp(entropy);
    to->max_weight += inverse;
    to->modes[(ptrdiff_t)(to->offsets - n) + offset_of_largest(e, first, end, i)]++;
    for (size_t j = first; j < end; j++) {
        double weight = (double)e[j] * inverse;
        to->offset[n - 1 + j - i] += weight;
        to->squares += weight * weight;
    }
    add_near_excluded_around(facts, e, i, inverse, to);
    add_copies_in_sight(facts, e, i, row->sum - sink, inverse, to);
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
    size_t first = block->query0 == 0 ? facts_first_row(facts) : 0;
    bool plain = visibility_is_plain(facts->sees);
    for (size_t r = first; r < block->rows; r++) {
        const float *e = block->e + r * block->stride;
        sums->missing += block->sink[r] / block->sums[r].sum;
        if (facts->cross)
            add_row_across(facts, block->query0 + r, &block->sums[r], block->sink[r], sums);
        else if (plain)
            add_row(kernels, facts, e, block->query0 + r, &block->sums[r], block->sink[r], sums);
        else
            add_row_in_sight(facts, e, block->query0 + r, &block->sums[r], block->sink[r], sums);
    }
    if (!plain) return;
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

void statistics_diagonal(const struct text_facts *facts, const struct weight_block *block, struct head_sums *sums) {
    for (size_t r = 0; !facts->cross && r < block->rows; r++) {
        size_t i = block->query0 + r;
        sums->key[i] -= (double)(block->e[r * block->stride + i] * block->inverse[r]);
    }
}

void statistics_values(const struct text_facts *facts, const struct weight_block *block, const float *value_norm, struct head_sums *sums) {
    for (size_t r = block->query0 == 0 ? facts_first_row(facts) : 0; r < block->rows; r++) {
        size_t i = block->query0 + r;
        double value = (double)(block->e[r * block->stride + i] * block->inverse[r]) * (double)value_norm[i];
        sums->self_value += value;
        if (!(facts->keep[i] > 0)) sums->self_value_excluded += value;
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

/* Rows of R that see a key at offset d. */
static size_t rows_at_offset(const struct text_facts *facts, ptrdiff_t d) {
    size_t far = (size_t)(d < 0 ? -d : d), first = facts_first_row(facts);
    if (far > (d < 0 ? facts->sees.after : facts->sees.before)) return 0;
    return facts->n - (d >= 0 && far < first ? first : far);
}

/* Share of the variance of the weights that the mean of their offset explains. */
static double offset_r2(const struct text_facts *facts, const struct head_sums *sums, double total) {
    double between = 0, count = 0;
    for (size_t o = 0; o < facts->offsets; o++) {
        double rows = (double)rows_at_offset(facts, (ptrdiff_t)(facts->n - 1) - (ptrdiff_t)o), sum = sums->offset[o];
        if (rows > 0) between += sum * sum / rows;
        count += rows;
    }
    double mean_part = total * total / count, all = sums->squares - mean_part;
    if (!(all > 1e-12 * sums->squares)) return NAN; /* all weights are equal: nothing to explain */
    double share = (between - mean_part) / all;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

static bool all_finite(const struct head_sums *sums) {
    double check = sums->entropy + sums->missing + sums->effective_keys + sums->max_weight + sums->squares;
    for (size_t j = 0; j < sums->keys; j++) check += sums->key[j];
    for (size_t i = 0; i < sums->offsets; i++) check += sums->offset[i];
    return isfinite(check);
}

/* What every map has: how wide its rows are, and their weight on S, of which the key sums know all but self_excluded. */
static double finish_rows(const struct text_facts *facts, const struct head_sums *sums, double *value) {
    double rows = (double)facts->rows, sink = sums->self_excluded;
    for (size_t s = 0; s < facts->excluded_count; s++) sink += sums->key[facts->excluded[s]];
    value[STAT_ENTROPY] = sums->entropy / rows;
    value[STAT_ENTROPY_NORMALISED] = facts->many_rows > 0 ? sums->entropy_normalised / (double)facts->many_rows : NAN;
    value[STAT_EFFECTIVE_KEYS] = sums->effective_keys / rows;
    value[STAT_MAX_WEIGHT] = sums->max_weight / rows;
    value[STAT_SINK_MASS] = sink > 0 ? sink / rows : 0;
    return sink;
}

bool statistics_finish(const struct text_facts *facts, const struct head_sums *sums, struct head_statistics *statistics) {
    size_t n = facts->n;
    double *value = statistics->value;
    for (int s = 0; s < STAT_COUNT; s++) value[s] = NAN;
    if (!facts->cross) value[STAT_DUPLICATE_ROWS] = value[STAT_INDUCTION_ROWS] = 0;
    if (!all_finite(sums)) return false;
    if (facts->rows == 0) return true; /* no row counts */
    double sink = finish_rows(facts, sums, value);
    if (facts->cross) return true;

    double rows = (double)facts->rows, total = 0, distance = 0, local = 0;
    const double *at = sums->offset + (n - 1); /* at[-d] */
    for (size_t o = 0; o < sums->offsets; o++) {
        size_t d = o < n ? n - 1 - o : o - (n - 1);
        total += sums->offset[o];
        distance += (double)d * sums->offset[o];
        if (d <= LOCAL_DISTANCE) local += sums->offset[o];
    }
    double outside = total - sink;

    value[STAT_MEAN_DISTANCE] = distance / rows;
    value[STAT_MISSING_MASS] = sums->missing / rows;
    value[STAT_SELF_MASS] = at[0] / rows;
    value[STAT_SELF_MASS_WITHOUT_SINKS] = ratio_or_nan(at[0] - sums->self_excluded, outside, rows);
    double previous = n > 1 ? at[-1] : 0, next = sums->offsets > n ? at[1] : 0;
    value[STAT_PREVIOUS_MASS] = previous / rows;
    value[STAT_PREVIOUS_MASS_WITHOUT_SINKS] = ratio_or_nan(previous - sums->previous_excluded, outside, rows);
    if (!visibility_is_causal(facts->sees)) {
        value[STAT_NEXT_MASS] = next / rows;
        value[STAT_NEXT_MASS_WITHOUT_SINKS] = ratio_or_nan(next - sums->next_excluded, outside, rows);
    }
    value[STAT_LOCAL_MASS] = local / rows;
    value[STAT_LOCAL_MASS_WITHOUT_SINKS] = ratio_or_nan(local - sums->local_excluded, outside, rows);
    finish_kind(&sums->duplicate, facts->duplicate_rows, &value[STAT_DUPLICATE_ROWS], &value[STAT_DUPLICATE_MASS],
                &value[STAT_DUPLICATE_MASS_WITHOUT_SINKS]);
    finish_kind(&sums->induction, facts->induction_rows, &value[STAT_INDUCTION_ROWS], &value[STAT_INDUCTION_MASS],
                &value[STAT_INDUCTION_MASS_WITHOUT_SINKS]);
    size_t zero = sums->offsets - n, mode = zero; /* where offset 0 is */
    for (size_t d = 0; d < n; d++) { /* of equally frequent ones the nearest, then the earlier key's */
        if (sums->modes[zero + d] > sums->modes[mode]) mode = zero + d;
        if (d <= zero && sums->modes[zero - d] > sums->modes[mode]) mode = zero - d;
    }
    value[STAT_OFFSET_MODE] = (double)mode - (double)zero;
    value[STAT_OFFSET_RATE] = (double)sums->modes[mode] / rows;
    value[STAT_OFFSET_R2] = offset_r2(facts, sums, total);
    return true;
}

bool statistics_finish_values(const struct text_facts *facts, const struct head_sums *sums, const float *value_norm,
                              const float *output_ratio, struct head_statistics *statistics) {
    double all = sums->self_value, excluded = sums->self_value_excluded, ratio = 0;
    size_t rows = 0;
    for (size_t j = 0; j < facts->n; j++) all += sums->key[j] * (double)value_norm[j];
    for (size_t s = 0; s < facts->excluded_count; s++)
        excluded += sums->key[facts->excluded[s]] * (double)value_norm[facts->excluded[s]];
    for (size_t i = facts_first_row(facts); i < facts->n; i++)
        if (output_ratio[i] >= 0) ratio += (double)output_ratio[i], rows++;
    if (!isfinite(all) || !isfinite(ratio)) return false;
    statistics->value[STAT_VALUE_SINK_SHARE] = all > 0 ? fmin(fmax(excluded / all, 0), 1) : NAN;
    statistics->value[STAT_OUTPUT_RATIO] = rows ? ratio / (double)rows : NAN;
    return true;
}

double statistics_received(const struct text_facts *facts, const struct head_sums *sums, size_t j) {
    size_t queries = facts_receivers(facts, j);
    if (queries == 0) return NAN;
    double mean = sums->key[j] / (double)queries;
    return mean > 0 ? mean : 0;
}
