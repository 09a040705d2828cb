#include "engine/atlas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/probe_values.h"

const char *const head_kind_names[HEAD_KINDS] = {
    [HEAD_PREVIOUS_TOKEN] = "previous-token", [HEAD_POSITIONAL] = "positional", [HEAD_INDUCTION] = "induction",
    [HEAD_ANTI_INDUCTION] = "anti-induction", [HEAD_DUPLICATE] = "duplicate", [HEAD_SINK] = "sink", [HEAD_LOCAL] = "local",
    [HEAD_BROAD] = "broad", [HEAD_SEPARATOR] = "separator", [HEAD_RARE_TOKEN] = "rare-token", [HEAD_SEMANTIC] = "semantic",
};

static const char *const score_names[SCORE_NATURAL_LIFT] = {
    [SCORE_REPEAT_PREVIOUS] = "previous", [SCORE_REPEAT_DUPLICATE] = "duplicate", [SCORE_REPEAT_INDUCTION] = "induction",
    [SCORE_RANDOM_SINK_MASS] = "sink_mass", [SCORE_RANDOM_OFFSET_R2] = "offset_r2", [SCORE_RANDOM_COPYING] = "copying",
    [SCORE_LENGTH_ENTROPY_SLOPE] = "entropy_slope", [SCORE_LENGTH_SINK_SLOPE] = "sink_mass_slope",
    [SCORE_LENGTH_LOCAL_SLOPE] = "local_mass_slope", [SCORE_SAME_UNIFORM_ERROR] = "uniform_error", [SCORE_SAME_OFFSET_ERROR] = "offset_error", [SCORE_NATURAL_BREADTH] = "breadth",
    [SCORE_NATURAL_LARGEST_OFFSET] = "largest_offset_share", [SCORE_NATURAL_SEPARATOR_MASS] = "separator_mass",
    [SCORE_NATURAL_RARE_RATE] = "rarest_rate", [SCORE_NATURAL_RARE_CHANCE] = "rarest_chance",
    [SCORE_NATURAL_SIMILARITY_LOW] = "similarity_lift_low", [SCORE_NATURAL_SIMILARITY_HIGH] = "similarity_lift_high",
};

enum probe score_probe(int score) {
    return score <= SCORE_REPEAT_INDUCTION       ? PROBE_REPEAT
           : score <= SCORE_RANDOM_COPYING       ? PROBE_RANDOM
           : score <= SCORE_LENGTH_LOCAL_SLOPE   ? PROBE_LENGTH
           : score <= SCORE_SAME_OFFSET_ERROR    ? PROBE_SAME
                                                 : PROBE_NATURAL;
}

const char *score_name(int score, char name[64]) {
    const char *probe = probe_protocols[score_probe(score)].name;
    if (score >= SCORE_NATURAL)
        snprintf(name, 64, "%s.%s", probe, statistic_fields[score - SCORE_NATURAL].name);
    else if (score >= SCORE_NATURAL_LIFT)
        snprintf(name, 64, "%s.%s_lift", probe, lift_names[score - SCORE_NATURAL_LIFT]);
    else
        snprintf(name, 64, "%s.%s", probe, score_names[score]);
    return name;
}

static double mean_value(const struct mean *mean) {
    return mean->count > 0 ? mean->sum / mean->count : NAN;
}

/* ---- the natural windows ----------------------------------------------------------------------------------------- */

struct windows {
    struct natural_layout layout;
    const double *values;
    double x[WINDOWS];
    size_t count;
};

static const struct natural_window *window_of(const struct windows *w, size_t window, size_t head) {
    return (const struct natural_window *)(const void *)(w->values + w->layout.window) + window * w->layout.heads + head;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One number of every window, in ascending order; those that are NAN are left out. at: bytes into a natural_window. */
static void collect(struct windows *w, size_t head, size_t at) {
    w->count = 0;
    for (size_t k = 0; k < w->layout.windows; k++) {
        double x = *(const double *)(const void *)((const char *)window_of(w, k, head) + at);
        if (!isnan(x)) w->x[w->count++] = x;
    }
    qsort(w->x, w->count, sizeof *w->x, compare_doubles);
}

static double mean_of(const struct windows *w) {
    double sum = 0;
    for (size_t k = 0; k < w->count; k++) sum += w->x[k];
    return w->count ? sum / (double)w->count : NAN;
}

static double deviation_of(const struct windows *w) { /* of the mean */
    double mean = mean_of(w), squares = 0;
    for (size_t k = 0; k < w->count; k++) squares += (w->x[k] - mean) * (w->x[k] - mean);
    return w->count > 1 ? sqrt(squares / (double)(w->count - 1) / (double)w->count) : NAN;
}

static double percentile(const struct windows *w, double share) {
    if (w->count == 0) return NAN;
    double place = share * (double)(w->count - 1);
    size_t below = (size_t)place, above = below + 1 < w->count ? below + 1 : below;
    return w->x[below] + (place - (double)below) * (w->x[above] - w->x[below]);
}

/* The most frequent one; of several the smallest. */
static double mode_of(const struct windows *w) {
    size_t best = 0, run = 0;
    double mode = NAN;
    for (size_t k = 0; k < w->count; k++) {
        run = k > 0 && w->x[k] == w->x[k - 1] ? run + 1 : 1;
        if (run > best) best = run, mode = w->x[k];
    }
    return mode;
}

static double largest_offset_share(const struct windows *w, size_t head) {
    const double *profile = w->values + head * w->layout.offsets;
    double sum = 0, largest = 0;
    for (size_t o = 0; o < w->layout.offsets; o++) {
        sum += profile[o];
        largest = fmax(largest, profile[o]);
    }
    return sum > 0 ? largest / sum : NAN;
}

static void natural_scores(struct windows *w, size_t head, struct atlas_head *to) {
    for (int s = 0; s < STAT_COUNT; s++) {
        collect(w, head, offsetof(struct natural_window, statistic) + (size_t)s * sizeof(double));
        to->score[SCORE_NATURAL + s] = s == STAT_OFFSET_MODE ? mode_of(w) : mean_of(w);
        to->low[s] = percentile(w, 0.1);
        to->high[s] = percentile(w, 0.9);
    }
    collect(w, head, offsetof(struct natural_window, breadth));
    to->score[SCORE_NATURAL_BREADTH] = mean_of(w);
    collect(w, head, offsetof(struct natural_window, separator_mass));
    to->score[SCORE_NATURAL_SEPARATOR_MASS] = mean_of(w);
    collect(w, head, offsetof(struct natural_window, rare_rate));
    to->score[SCORE_NATURAL_RARE_RATE] = mean_of(w);
    collect(w, head, offsetof(struct natural_window, rare_chance));
    to->score[SCORE_NATURAL_RARE_CHANCE] = mean_of(w);
    to->score[SCORE_NATURAL_LARGEST_OFFSET] = largest_offset_share(w, head);
    for (size_t k = 0; k < LIFTS; k++) {
        w->count = 0;
        for (size_t window = 0; window < w->layout.windows; window++) {
            double x = w->values[w->layout.lift + (window * w->layout.heads + head) * LIFTS + k];
            if (!isnan(x)) w->x[w->count++] = x;
        }
        to->score[SCORE_NATURAL_LIFT + k] = mean_of(w);
        if (k != LIFT_SIMILARITY) continue;
        to->score[SCORE_NATURAL_SIMILARITY_LOW] = mean_of(w) - 1.96 * deviation_of(w);
        to->score[SCORE_NATURAL_SIMILARITY_HIGH] = mean_of(w) + 1.96 * deviation_of(w);
    }
}

float *atlas_profile(const struct model *model, const double *values, struct offset_profile *profile) {
    int32_t *text = NULL;
    size_t text_n;
    if (probe_text_ids(model, &text, &text_n, NULL, 0) != ENGINE_OK) return NULL;
    free(text);
    struct natural_layout l = natural_layout_of(model, text_n);
    float *weight = malloc(l.heads * l.offsets * sizeof *weight);
    if (!weight) return NULL;
    for (size_t h = 0; h < l.heads; h++)
        for (size_t o = 0; o < l.offsets; o++) {
            double pairs = values[l.pairs + o];
            weight[h * l.offsets + o] = pairs > 0 ? (float)(values[h * l.offsets + o] / pairs) : 0;
        }
    *profile = (struct offset_profile){.reach = l.reach, .offsets = l.offsets, .weight = weight};
    return weight;
}

/* ---- the other probes -------------------------------------------------------------------------------------------- */

void atlas_losses(const double *repeat_values, double losses[2]) {
    const struct repeat_values *values = (const struct repeat_values *)(const void *)repeat_values;
    for (int copy = 0; copy < 2; copy++) losses[copy] = values ? mean_value(&values->loss[copy]) : NAN;
}

/* Least squares of y on ln length, over the lengths that were run. */
static double slope_on_length(const size_t *lengths, const double *y, size_t count) {
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (size_t k = 0; k < count; k++) {
        double x = log((double)lengths[k]);
        if (isnan(y[k])) continue;
        n++, sx += x, sy += y[k], sxx += x * x, sxy += x * y[k];
    }
    double spread = sxx - sx * sx / n;
    return n >= 2 && spread > 0 ? (sxy - sx * sy / n) / spread : NAN;
}

static void length_scores(const struct model *model, const double *values, size_t heads, size_t head, struct atlas_head *to) {
    size_t lengths[ATLAS_LENGTHS], count = atlas_lengths(model, lengths);
    const struct length_head *at = (const struct length_head *)(const void *)values + head;
    for (size_t k = 0; k < count; k++, at += heads) {
        to->length_entropy[k] = at->entropy;
        to->length_sink[k] = at->sink_mass;
        to->length_local[k] = at->local_mass;
        if (!isnan(at->slope)) to->score[SCORE_LENGTH_ENTROPY_SLOPE] = at->slope; /* of the longest */
    }
    if (isnan(to->score[SCORE_LENGTH_ENTROPY_SLOPE])) /* all rows see the same: from text to text then */
        to->score[SCORE_LENGTH_ENTROPY_SLOPE] = slope_on_length(lengths, to->length_entropy, count);
    to->score[SCORE_LENGTH_SINK_SLOPE] = slope_on_length(lengths, to->length_sink, count);
    to->score[SCORE_LENGTH_LOCAL_SLOPE] = slope_on_length(lengths, to->length_local, count);
}

static void drawn_scores(const struct model *model, const double *const values[PROBES], size_t head, struct atlas_head *to) {
    if (values[PROBE_REPEAT]) {
        const struct repeat_head *repeat = &((const struct repeat_values *)(const void *)values[PROBE_REPEAT])->head[head];
        to->score[SCORE_REPEAT_PREVIOUS] = mean_value(&repeat->previous);
        to->score[SCORE_REPEAT_DUPLICATE] = mean_value(&repeat->duplicate);
        to->score[SCORE_REPEAT_INDUCTION] = mean_value(&repeat->induction);
    }
    if (values[PROBE_RANDOM]) {
        const struct random_head *random = (const struct random_head *)(const void *)values[PROBE_RANDOM] + head;
        to->score[SCORE_RANDOM_SINK_MASS] = mean_value(&random->sink_mass);
        to->score[SCORE_RANDOM_OFFSET_R2] = mean_value(&random->offset_r2);
        to->score[SCORE_RANDOM_COPYING] = 2 * mean_value(&random->copying) - 1;
    }
    if (values[PROBE_SAME]) {
        const struct same_head *same = (const struct same_head *)(const void *)values[PROBE_SAME] + head;
        to->score[SCORE_SAME_UNIFORM_ERROR] = same->uniform_error;
        to->score[SCORE_SAME_OFFSET_ERROR] = model->config.causal ? same->offset_error : NAN;
    }
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

static void give(struct atlas_head *head, enum head_kind kind, int which, double strong, double weak) {
    double score = head->score[which];
    if (!(score >= weak)) return; /* NAN, too */
    head->type[head->types++] = (struct head_type){.kind = kind, .strong = score >= strong, .score = score,
                                                   .threshold = score >= strong ? strong : weak, .which = which};
}

/* The first by similarity lift: how many heads make up 2 %. */
static const double semantic_share = 0.02;

static size_t heads_above(const struct atlas_head *heads, size_t count, double lift) {
    size_t above = 0;
    for (size_t h = 0; h < count; h++) above += heads[h].score[SCORE_NATURAL_LIFT + LIFT_SIMILARITY] > lift;
    return above;
}

static void give_types(struct atlas_head *head, const struct atlas_head *heads, size_t count) {
    const double *score = head->score;
    double similarity = score[SCORE_NATURAL_LIFT + LIFT_SIMILARITY];
    head->types = 0;
    give(head, HEAD_PREVIOUS_TOKEN, SCORE_REPEAT_PREVIOUS, 0.5, 0.3);
    if (!(score[SCORE_NATURAL_BREADTH] >= 0.5)) /* in a row that is nearly even, where the largest weight lies says nothing */
        give(head, HEAD_POSITIONAL, SCORE_NATURAL + STAT_OFFSET_RATE, 0.9, 0.9);
    if (head->types && head->type[head->types - 1].kind == HEAD_POSITIONAL)
        head->type[head->types - 1].offset = (int)score[SCORE_NATURAL + STAT_OFFSET_MODE];
    if (score[SCORE_RANDOM_COPYING] > 0) give(head, HEAD_INDUCTION, SCORE_REPEAT_INDUCTION, 0.4, 0.1);
    if (score[SCORE_RANDOM_COPYING] < 0) give(head, HEAD_ANTI_INDUCTION, SCORE_REPEAT_INDUCTION, 0.4, 0.1);
    give(head, HEAD_DUPLICATE, SCORE_REPEAT_DUPLICATE, 0.3, 0.1);
    give(head, HEAD_SINK, SCORE_NATURAL + STAT_SINK_MASS, 0.5, 0.5);
    if (score[SCORE_NATURAL_LARGEST_OFFSET] < 0.5) give(head, HEAD_LOCAL, SCORE_NATURAL + STAT_LOCAL_MASS_WITHOUT_SINKS, 0.8, 0.8);
    give(head, HEAD_BROAD, SCORE_NATURAL_BREADTH, 0.5, 0.5);
    give(head, HEAD_SEPARATOR, SCORE_NATURAL_SEPARATOR_MASS, 0.6, 0.6);
    if (score[SCORE_NATURAL_RARE_RATE] > score[SCORE_NATURAL_RARE_CHANCE])
        give(head, HEAD_RARE_TOKEN, SCORE_NATURAL_RARE_RATE, 0.5, 0.5);
    if (score[SCORE_NATURAL_SIMILARITY_LOW] > 0 && (double)heads_above(heads, count, similarity) < floor(semantic_share * (double)count))
        give(head, HEAD_SEMANTIC, SCORE_NATURAL_LIFT + LIFT_SIMILARITY, 0, 0);
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

void atlas_heads(const struct model *model, const double *const values[PROBES], struct atlas_head *heads) {
    size_t count = (size_t)model->config.layers * (size_t)model->config.heads, text_n = 0;
    struct windows windows = {.values = values[PROBE_NATURAL]};
    int32_t *text = NULL;
    if (windows.values && probe_text_ids(model, &text, &text_n, NULL, 0) == ENGINE_OK) windows.layout = natural_layout_of(model, text_n);
    free(text);
    for (size_t h = 0; h < count; h++) {
        struct atlas_head *head = &heads[h];
        for (int s = 0; s < SCORES; s++) head->score[s] = NAN;
        for (int s = 0; s < STAT_COUNT; s++) head->low[s] = head->high[s] = NAN;
        for (int k = 0; k < ATLAS_LENGTHS; k++) head->length_entropy[k] = head->length_sink[k] = head->length_local[k] = NAN;
        drawn_scores(model, values, h, head);
        if (values[PROBE_LENGTH]) length_scores(model, values[PROBE_LENGTH], count, h, head);
        if (windows.layout.windows) natural_scores(&windows, h, head);
    }
    for (size_t h = 0; h < count; h++) give_types(&heads[h], heads, count);
}
