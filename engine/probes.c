#include "engine/probes.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/all_heads.h"
#include "engine/probe_loss.h"
#include "engine/probe_values.h"
#include "engine/weights.h"

const struct probe_protocol probe_protocols[PROBES] = {
    [PROBE_REPEAT] = {"repeat", 1, 1}, [PROBE_RANDOM] = {"random", 1, 2}, [PROBE_NATURAL] = {"natural", 1, 0},
    [PROBE_LENGTH] = {"length", 1, 0}, [PROBE_SAME] = {"same", 1, 3},
};

/* Rows of a window before this one have too few keys for a profile of offsets. */
enum { PROFILE_FIRST_ROW = 16, WINDOWS_MIN = 8, WINDOW_IDS_MIN = 64, LENGTH_FIRST = 64 };

static size_t heads_of(const struct model *model) {
    return (size_t)model->config.layers * (size_t)model->config.heads;
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* text_n: ids of the whole text. */
struct natural_layout natural_layout_of(const struct model *model, size_t text_n) {
    struct natural_layout l = {.heads = heads_of(model), .window_ids = WINDOW_IDS};
    struct wrapping wrapping;
    if ((size_t)model->config.context < l.window_ids) l.window_ids = (size_t)model->config.context;
    if (probe_wrapping(model, &wrapping, NULL, 0) != ENGINE_OK) return l;
    l.windows = text_n / (l.window_ids - wrapping.before_count - wrapping.after_count);
    if (l.windows > WINDOWS) l.windows = WINDOWS;
    l.reach = l.window_ids;
    l.offsets = model->config.causal ? l.reach : 2 * l.reach - 1;
    l.pairs = l.heads * l.offsets;
    l.window = l.pairs + l.offsets;
    l.lift = l.window + l.windows * l.heads * sizeof(struct natural_window) / sizeof(double);
    l.values = l.lift + l.windows * l.heads * LIFTS;
    return l;
}

size_t atlas_lengths(const struct model *model, size_t lengths[ATLAS_LENGTHS]) {
    size_t count = 0;
    for (size_t n = LENGTH_FIRST; count < ATLAS_LENGTHS && n <= (size_t)model->config.context; n *= 2) lengths[count++] = n;
    return count;
}

static enum engine_status plan_text(const struct model *model, enum probe probe, struct probe_plan *plan, char *error, size_t error_size) {
    int32_t *ids = NULL;
    size_t n, lengths[ATLAS_LENGTHS];
    if (model->config.context < WINDOW_IDS_MIN)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "this probe needs %d tokens at once, and the model reads %d", WINDOW_IDS_MIN,
                           model->config.context);
    enum engine_status status = probe_text_ids(model, &ids, &n, error, error_size);
    if (status != ENGINE_OK) return status;
    free(ids);
    if (probe == PROBE_LENGTH) {
        plan->steps = atlas_lengths(model, lengths);
        plan->values = ATLAS_LENGTHS * heads_of(model) * sizeof(struct length_head) / sizeof(double);
        return ENGINE_OK;
    }
    struct natural_layout l = natural_layout_of(model, n);
    if (l.windows < WINDOWS_MIN)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the model's tokenizer makes only %zu tokens of the text of this probe", n);
    plan->steps = 2 * l.windows;
    plan->values = l.values;
    return ENGINE_OK;
}

static bool knows_positions(const struct model *model) {
    return model->positions.data || model->config.position_bias != BIAS_NONE || model->relative_bias.data;
}

static size_t drawn_ids(enum probe probe) {
    return probe == PROBE_REPEAT ? 2 * REPEAT_IDS : probe == PROBE_RANDOM ? RANDOM_IDS : SAME_IDS;
}

enum engine_status probe_plan(const struct model *model, enum probe probe, struct probe_plan *plan, char *error, size_t error_size) {
    if (model->encoder) return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "models with an encoder and a decoder are not probed");
    if (probe == PROBE_NATURAL || probe == PROBE_LENGTH) return plan_text(model, probe, plan, error, error_size);
    if (probe == PROBE_SAME && knows_positions(model))
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "only where positions do nothing but turn queries and keys do equal tokens get equal weights; this model adds them");
    int32_t *ids = NULL;
    size_t n, heads = heads_of(model);
    enum engine_status status = probe_step_ids(model, probe, 0, &ids, &n, error, error_size);
    if (status != ENGINE_OK) return status;
    free(ids);
    if (n > (size_t)model->config.context)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "this probe needs %zu tokens at once, and the model reads %d", n,
                           model->config.context);
    size_t head = probe == PROBE_REPEAT ? sizeof(struct repeat_head) : probe == PROBE_RANDOM ? sizeof(struct random_head) : sizeof(struct same_head);
    *plan = (struct probe_plan){.steps = probe == PROBE_SAME ? 1 : SEQUENCES,
                                .values = ((probe == PROBE_REPEAT ? sizeof(struct repeat_values) : 0) + heads * head) / sizeof(double)};
    return ENGINE_OK;
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

static enum engine_status drawn(const struct model *model, enum probe probe, size_t step, int32_t *ids, char *error, size_t error_size) {
    size_t different = probe == PROBE_REPEAT ? REPEAT_IDS : probe == PROBE_RANDOM ? RANDOM_IDS : 1;
    enum engine_status status = probe_draw(model, probe_protocols[probe].seed, step, different, ids, error, error_size);
    if (status != ENGINE_OK) return status;
    for (size_t i = different; i < drawn_ids(probe); i++) ids[i] = ids[i - different];
    return ENGINE_OK;
}

static enum engine_status wrapped(const struct model *model, const int32_t *inner, size_t count, int32_t **ids, size_t *n, char *error,
                                  size_t error_size) {
    struct wrapping w;
    enum engine_status status = probe_wrapping(model, &w, error, error_size);
    if (status != ENGINE_OK) return status;
    *n = w.before_count + count + w.after_count;
    *ids = malloc((*n + 1) * sizeof **ids);
    if (!*ids) return engine_fail_memory(error, error_size);
    memcpy(*ids, w.before, w.before_count * sizeof **ids);
    memcpy(*ids + w.before_count, inner, count * sizeof **ids);
    memcpy(*ids + w.before_count + count, w.after, w.after_count * sizeof **ids);
    return ENGINE_OK;
}

static enum engine_status text_step_ids(const struct model *model, enum probe probe, size_t step, int32_t **ids, size_t *n, char *error,
                                        size_t error_size) {
    int32_t *text = NULL;
    size_t text_n, first = 0, lengths[ATLAS_LENGTHS], count;
    struct wrapping w;
    enum engine_status status = probe_text_ids(model, &text, &text_n, error, error_size);
    if (status == ENGINE_OK) status = probe_wrapping(model, &w, error, error_size);
    if (status == ENGINE_OK) {
        if (probe == PROBE_NATURAL) {
            struct natural_layout l = natural_layout_of(model, text_n);
            count = l.window_ids - w.before_count - w.after_count;
            first = step % l.windows * count;
        } else {
            atlas_lengths(model, lengths);
            count = lengths[step] - w.before_count - w.after_count;
        }
        if (first + count > text_n)
            status = engine_fail(ENGINE_TOO_LARGE, error, error_size, "the text of this probe has only %zu tokens", text_n);
        else
            status = wrapped(model, text + first, count, ids, n, error, error_size);
    }
    free(text);
    return status;
}

enum engine_status probe_step_ids(const struct model *model, enum probe probe, size_t step, int32_t **ids, size_t *n, char *error,
                                  size_t error_size) {
    int32_t inner[2 * REPEAT_IDS];
    if (probe == PROBE_NATURAL || probe == PROBE_LENGTH) return text_step_ids(model, probe, step, ids, n, error, error_size);
    enum engine_status status = drawn(model, probe, step, inner, error, error_size);
    if (status != ENGINE_OK) return status;
    if (probe != PROBE_SAME) return wrapped(model, inner, drawn_ids(probe), ids, n, error, error_size);
    *n = SAME_IDS; /* one token and nothing else */
    *ids = malloc(sizeof inner);
    if (!*ids) return engine_fail_memory(error, error_size);
    memcpy(*ids, inner, SAME_IDS * sizeof *inner);
    return ENGINE_OK;
}

/* ---- one step ---------------------------------------------------------------------------------------------------- */

struct step {
    struct engine *engine;
    const struct model *model;
    enum probe probe;
    size_t number;
    bool (*breathe)(void *context);
    void *context;
    int32_t *ids;
    size_t n, first; /* first: where the drawn ids begin */
    uint32_t *excluded;
    size_t excluded_count, heads;
    float *keep; /* [n] */
    struct head_statistics *statistics; /* [heads] of all layers */
    struct activations *activations;
    double *values;        /* as the caller's, with this step added */
    struct natural_layout natural;
    float *unembedded;     /* random: [layers, RANDOM_IDS, heads * head_dim] */
    bool *separates;       /* natural: [n] */
    float *maps;           /* same: [heads, SAME_IDS, SAME_IDS] */
};

static bool keep_statistics(void *context, const struct layer_result *result) {
    struct step *s = context;
    memcpy(s->statistics + (size_t)result->layer * (size_t)result->heads, result->statistics,
           (size_t)result->heads * sizeof *result->statistics);
    return true;
}

static bool step_breathe(void *context) {
    const struct step *s = context;
    return !s->breathe || s->breathe(s->context);
}

static enum engine_status run_model(struct step *s, float *residual, char *error, size_t error_size) {
    struct analysis_observer observer = {.context = s, .layer = keep_statistics, .breathe = step_breathe};
    struct analysis_input input = {.model = s->model, .ids = s->ids, .n = s->n, .excluded = s->excluded, .excluded_count = s->excluded_count,
                                   .residual = residual};
    uint32_t *sinks = NULL;
    size_t sink_count;
    enum engine_status status =
        analysis_run(s->engine, &input, NULL, &observer, &sinks, &sink_count, &s->activations, error, error_size);
    free(sinks);
    return status;
}

static enum engine_status visit(struct step *s, void (*head)(void *, int, int, int, struct attention_scratch *), char *error,
                                size_t error_size) {
    struct all_heads all = {.context = s, .head = head, .breathe = step_breathe, .breathe_context = s};
    return all_heads_visit(s->engine, s->activations, &all, error, error_size);
}

static size_t index_of(const struct step *s, int layer, int head) {
    return (size_t)layer * (size_t)s->model->config.heads + (size_t)head;
}

/* ---- repeat ------------------------------------------------------------------------------------------------------ */

/* The queries of the second copy alone: in the first, whatever lies on these diagonals is an accident. */
static void repeat_head(void *context, int worker, int layer, int head, struct attention_scratch *scratch) {
    struct step *s = context;
    const struct weight_block *block = &scratch->block;
    struct repeat_head *to = &((struct repeat_values *)(void *)s->values)->head[index_of(s, layer, head)];
    (void)worker;
    for (size_t r = 0; r < block->rows; r++) {
        size_t i = block->query0 + r;
        if (i < s->first + REPEAT_IDS || i >= s->first + 2 * REPEAT_IDS) continue;
        const float *e = block->e + r * block->stride;
        mean_add(&to->previous, (double)e[i - 1] / block->sums[r].sum);
        mean_add(&to->duplicate, (double)e[i - REPEAT_IDS] / block->sums[r].sum);
        mean_add(&to->induction, (double)e[i - REPEAT_IDS + 1] / block->sums[r].sum);
    }
}

static enum engine_status run_repeat(struct step *s, char *error, size_t error_size) {
    size_t d_model = (size_t)s->model->config.d_model;
    struct mean *loss = ((struct repeat_values *)(void *)s->values)->loss;
    bool predicts = probe_loss_known(s->model);
    float *residual = predicts ? malloc(s->n * d_model * sizeof *residual) : NULL;
    if (predicts && !residual) return engine_fail_memory(error, error_size);
    enum engine_status status = run_model(s, residual, error, error_size);
    if (status == ENGINE_OK) status = visit(s, repeat_head, error, error_size);
    double sum[2] = {0, 0};
    for (size_t copy = 0; copy < 2 && predicts && status == ENGINE_OK; copy++) {
        size_t from = s->first + copy * REPEAT_IDS, count = REPEAT_IDS - 1; /* the first of a copy cannot be known */
        status = probe_loss(s->engine, s->model, residual + from * d_model, s->ids + from + 1, count, &sum[copy], error, error_size);
    }
    for (size_t copy = 0; copy < 2 && predicts && status == ENGINE_OK; copy++) mean_add(&loss[copy], sum[copy]);
    free(residual);
    return status;
}

/* ---- random ------------------------------------------------------------------------------------------------------ */

/* What the head's output at each of its dimensions adds to the logit of each of the sample's tokens: U W_O, a layer at a time. */
static enum engine_status unembed_heads(struct step *s, char *error, size_t error_size) {
    const struct model_config *c = &s->model->config;
    size_t d = (size_t)c->d_model, width = (size_t)c->heads * (size_t)c->head_dim, layers = (size_t)c->layers;
    float *rows = malloc(RANDOM_IDS * d * sizeof *rows), *o = malloc(d * width * sizeof *o);
    s->unembedded = malloc(layers * RANDOM_IDS * width * sizeof *s->unembedded);
    bool fine = rows && o && s->unembedded;
    for (size_t t = 0; fine && t < RANDOM_IDS; t++)
        weights_row(s->engine->kernels, &s->model->unembedding, (size_t)s->ids[s->first + t], rows + t * d);
    for (size_t layer = 0; fine && layer < layers; layer++) {
        for (size_t r = 0; r < d; r++) weights_row(s->engine->kernels, &s->model->layer[layer].o, r, o + r * width);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, RANDOM_IDS, (int)width, (int)d, 1, rows, (int)d, o, (int)width, 0,
                    s->unembedded + layer * RANDOM_IDS * width, (int)width);
    }
    free(rows);
    free(o);
    return fine ? ENGINE_OK : engine_fail_memory(error, error_size);
}

static size_t largest_kept(const float *e, const float *keep, size_t first, size_t end) {
    size_t best = end;
    for (size_t j = first; j < end; j++)
        if (keep[j] > 0 && (best == end || e[j] > e[best])) best = j;
    return best;
}

/* Share of the sample's other tokens whose logit lies below that of token t; equal ones count half. */
static double rank_share(const double *logit, size_t t) {
    double below = 0;
    for (size_t u = 0; u < RANDOM_IDS; u++)
        if (u != t) below += logit[u] < logit[t] ? 1 : logit[u] > logit[t] ? 0 : 0.5;
    return below / (RANDOM_IDS - 1);
}

static void random_head(void *context, int worker, int layer, int head, struct attention_scratch *scratch) {
    struct step *s = context;
    const struct model_config *c = &s->model->config;
    const struct weight_block *block = &scratch->block;
    struct random_head *to = &((struct random_head *)(void *)s->values)[index_of(s, layer, head)];
    size_t head_dim = (size_t)c->head_dim, width = (size_t)c->heads * head_dim, out = s->activations->dim_panels * PANEL;
    const float *unembedded = s->unembedded + (size_t)layer * RANDOM_IDS * width + (size_t)head * head_dim;
    struct visibility sees = attention_visibility(s->model, layer);
    (void)worker;
    attention_output(s->activations, s->engine->kernels, layer, head, scratch);
    for (size_t r = 0; r < block->rows; r++) {
        size_t i = block->query0 + r, first = visible_first(sees, i), end = visible_end(sees, s->n, i);
        size_t best = largest_kept(block->e + r * block->stride, s->keep, first, end);
        if (i == 0 || best == end || best < s->first || best >= s->first + RANDOM_IDS) continue;
        double logit[RANDOM_IDS];
        for (size_t t = 0; t < RANDOM_IDS; t++)
            logit[t] = s->engine->kernels->dot(scratch->output + r * out, unembedded + t * width, head_dim);
        mean_add(&to->copying, rank_share(logit, best - s->first));
    }
}

static enum engine_status run_random(struct step *s, char *error, size_t error_size) {
    struct random_head *heads = (struct random_head *)(void *)s->values;
    enum engine_status status = run_model(s, NULL, error, error_size);
    for (size_t h = 0; status == ENGINE_OK && h < s->heads; h++) {
        const double *value = s->statistics[h].value;
        if (!isnan(value[STAT_SINK_MASS])) mean_add(&heads[h].sink_mass, value[STAT_SINK_MASS]);
        if (!isnan(value[STAT_OFFSET_R2])) mean_add(&heads[h].offset_r2, value[STAT_OFFSET_R2]);
    }
    if (status != ENGINE_OK || !s->model->unembedding.data) return status;
    status = unembed_heads(s, error, error_size);
    if (status == ENGINE_OK) status = visit(s, random_head, error, error_size);
    return status;
}

/* ---- natural ----------------------------------------------------------------------------------------------------- */

static struct natural_window *window_of(struct step *s, size_t window, size_t head) {
    return (struct natural_window *)(void *)(s->values + s->natural.window) + window * s->heads + head;
}

/* How many keys outside S the row spreads over, exp of its entropy there, as a share of those that it sees. */
static double breadth_of(const float *e, const float *keep, size_t first, size_t end) {
    double sum = 0, weighted = 0, keys = 0;
    for (size_t j = first; j < end; j++) {
        if (!(keep[j] > 0)) continue;
        keys++;
        if (e[j] > 0) sum += (double)e[j], weighted += (double)e[j] * log((double)e[j]);
    }
    return sum > 0 ? exp(log(sum) - weighted / sum) / keys : NAN;
}

/* Whether the largest weight outside S lies on the rarest token there, by id, and how likely that is by chance. */
static bool look_at_rarest(const struct step *s, const float *e, size_t first, size_t end, double *hit, double *chance) {
    int32_t rarest = -1;
    double keys = 0, rare = 0;
    for (size_t j = first; j < end; j++) {
        if (!(s->keep[j] > 0)) continue;
        keys++;
        if (s->ids[j] > rarest) rarest = s->ids[j], rare = 0;
        rare += s->ids[j] == rarest;
    }
    if (keys < 2) return false;
    *hit = s->ids[largest_kept(e, s->keep, first, end)] == rarest;
    *chance = rare / keys;
    return true;
}

static void natural_head(void *context, int worker, int layer, int head, struct attention_scratch *scratch) {
    struct step *s = context;
    const struct weight_block *block = &scratch->block;
    size_t h = index_of(s, layer, head), reach = s->natural.reach;
    struct natural_window *window = window_of(s, s->number, h);
    double *profile = s->values + h * s->natural.offsets + reach - 1;
    struct visibility sees = attention_visibility(s->model, layer);
    (void)worker;
    for (size_t r = block->query0 == 0 && s->model->config.causal; r < block->rows; r++) {
        size_t i = block->query0 + r, first = visible_first(sees, i), end = visible_end(sees, s->n, i);
        const float *e = block->e + r * block->stride;
        double inverse = 1 / block->sums[r].sum, hit, chance, breadth = breadth_of(e, s->keep, first, end);
        for (size_t j = first; j < end; j++) {
            double weight = (double)e[j] * inverse, kept = weight * (double)s->keep[j];
            window->outside += kept;
            if (s->separates[j]) window->separator_mass += weight;
            if (i >= PROFILE_FIRST_ROW) profile[(ptrdiff_t)j - (ptrdiff_t)i] += kept;
        }
        if (!isnan(breadth)) window->breadth += breadth;
        if (!look_at_rarest(s, e, first, end, &hit, &chance)) continue;
        window->rare_rate += hit;
        window->rare_chance += chance;
    }
}

/* Pairs outside S at each offset; a layer's window hides some, where its weights are 0. */
static void count_pairs(struct step *s) {
    struct visibility sees = s->model->config.causal ? visibility_causal : (struct visibility){SIZE_MAX, SIZE_MAX};
    double *pairs = s->values + s->natural.pairs + s->natural.reach - 1;
    for (size_t i = PROFILE_FIRST_ROW; i < s->n; i++)
        for (size_t j = 0; j < visible_end(sees, s->n, i); j++)
            if (s->keep[j] > 0) pairs[(ptrdiff_t)j - (ptrdiff_t)i]++;
}

static enum engine_status measure_window(struct step *s, char *error, size_t error_size) {
    size_t first = s->model->config.causal ? 1 : 0, rare_rows = 0;
    s->separates = malloc(s->n * sizeof *s->separates);
    if (!s->separates) return engine_fail_memory(error, error_size);
    for (size_t j = 0; j < s->n; j++) s->separates[j] = token_is_separator(s->model, s->ids[j]);
    enum engine_status status = visit(s, natural_head, error, error_size);
    if (status != ENGINE_OK) return status;
    count_pairs(s);
    double kept = 0;
    for (size_t i = 0; i < s->n; i++) { /* rows of look_at_rarest in layers that see all */
        kept += s->keep[i] > 0;
        if (i >= first) rare_rows += s->model->config.causal ? kept >= 2 : 1;
    }
    for (size_t h = 0; h < s->heads; h++) {
        struct natural_window *window = window_of(s, s->number, h);
        double rows = (double)(s->n - first);
        memcpy(window->statistic, s->statistics[h].value, sizeof window->statistic);
        window->outside /= rows;
        window->separator_mass /= rows;
        window->breadth = window->outside >= LIFT_OUTSIDE_MIN ? window->breadth / rows : NAN;
        window->rare_rate = rare_rows ? window->rare_rate / (double)rare_rows : NAN;
        window->rare_chance = rare_rows ? window->rare_chance / (double)rare_rows : NAN;
    }
    return ENGINE_OK;
}

static enum engine_status measure_lifts(struct step *s, char *error, size_t error_size) {
    size_t window = s->number - s->natural.windows;
    double *to = s->values + s->natural.lift + window * s->heads * LIFTS;
    struct offset_profile profile;
    float *weights = atlas_profile(s->model, s->values, &profile);
    struct head_lifts *lifts = calloc(s->heads, sizeof *lifts);
    enum engine_status status = weights && lifts ? ENGINE_OK : engine_fail_memory(error, error_size);
    if (status == ENGINE_OK)
        status = lifts_compute(s->engine, s->activations, s->excluded, s->excluded_count, &profile, step_breathe, s, lifts, error, error_size);
    for (size_t h = 0; status == ENGINE_OK && h < s->heads; h++)
        for (size_t k = 0; k < LIFTS; k++) to[h * LIFTS + k] = lifts[h].lift[k].lift;
    free(lifts);
    free(weights);
    return status;
}

/* First every window's statistics and the profile of offsets, then every window's lifts over that profile. */
static enum engine_status run_natural(struct step *s, char *error, size_t error_size) {
    enum engine_status status = run_model(s, NULL, error, error_size);
    if (status != ENGINE_OK) return status;
    return (s->number < s->natural.windows ? measure_window : measure_lifts)(s, error, error_size);
}

/* ---- length ------------------------------------------------------------------------------------------------------ */

struct regression {
    double n, x, y, xx, xy;
};

struct slopes {
    struct step *step;
    struct regression *head; /* [heads] */
};

static void length_head(void *context, int worker, int layer, int head, struct attention_scratch *scratch) {
    struct slopes *slopes = context;
    const struct step *s = slopes->step;
    struct regression *g = &slopes->head[index_of(s, layer, head)];
    struct visibility sees = attention_visibility(s->model, layer);
    (void)worker;
    for (size_t r = 0; r < scratch->block.rows; r++) {
        size_t i = scratch->block.query0 + r, keys = visible_end(sees, s->n, i) - visible_first(sees, i);
        if (keys < 2) continue;
        double x = log((double)keys), y = row_entropy(&scratch->block.sums[r], scratch->block.sink[r]);
        g->n++, g->x += x, g->y += y, g->xx += x * x, g->xy += x * y;
    }
}

static double slope_of(const struct regression *g) {
    double spread = g->xx - g->x * g->x / g->n;
    return g->n >= 2 && spread > 1e-9 ? (g->xy - g->x * g->y / g->n) / spread : NAN; /* an encoder's rows all see the same */
}

static enum engine_status run_length(struct step *s, char *error, size_t error_size) {
    struct length_head *to = (struct length_head *)(void *)s->values + s->number * s->heads;
    struct slopes slopes = {s, calloc(s->heads, sizeof *slopes.head)};
    if (!slopes.head) return engine_fail_memory(error, error_size);
    enum engine_status status = run_model(s, NULL, error, error_size);
    if (status == ENGINE_TOO_LARGE) { /* not within --memory-max: what is shorter stands */
        for (size_t h = 0; h < s->heads; h++) to[h] = (struct length_head){NAN, NAN, NAN, NAN};
        status = ENGINE_OK;
    } else if (status == ENGINE_OK) {
        struct all_heads all = {.context = &slopes, .head = length_head, .breathe = step_breathe, .breathe_context = s};
        status = all_heads_visit(s->engine, s->activations, &all, error, error_size);
        for (size_t h = 0; status == ENGINE_OK && h < s->heads; h++) {
            const double *value = s->statistics[h].value;
            to[h] = (struct length_head){value[STAT_ENTROPY], value[STAT_SINK_MASS], value[STAT_LOCAL_MASS], slope_of(&slopes.head[h])};
        }
    }
    free(slopes.head);
    return status;
}

/* ---- same -------------------------------------------------------------------------------------------------------- */

static void same_head(void *context, int worker, int layer, int head, struct attention_scratch *scratch) {
    struct step *s = context;
    float *map = s->maps + index_of(s, layer, head) * SAME_IDS * SAME_IDS;
    (void)worker;
    for (size_t r = 0; r < scratch->block.rows; r++) {
        double own = scratch->block.sums[r].sum - scratch->block.sink[r]; /* a sink that is no key takes its part of all alike */
        for (size_t j = 0; j < s->n; j++)
            map[(scratch->block.query0 + r) * SAME_IDS + j] = (float)((double)scratch->block.e[r * scratch->block.stride + j] / own);
    }
}

/* Not fmax: GCC 12 breaks off over it in such loops on aarch64. */
static double larger(double a, double b) {
    return a > b ? a : b;
}

/* Row `like` is what row i would be if weights depended on nothing but i - j: its weights at the same offsets, made to sum to 1. */
static double offset_error(const float *map, struct visibility sees, size_t n, size_t i, size_t like) {
    double sum = 0, worst = 0;
    size_t first = visible_first(sees, i), end = visible_end(sees, n, i);
    for (size_t j = first; j < end; j++) sum += (double)map[like * SAME_IDS + (j + like - i)];
    for (size_t j = first; j < end; j++)
        worst = larger(worst, fabs((double)map[i * SAME_IDS + j] - (double)map[like * SAME_IDS + (j + like - i)] / sum));
    return worst;
}

/* Equal tokens have equal values, so every position of every layer has the same residual: weights can differ by offset alone. */
static void finish_same(struct step *s) {
    struct same_head *to = (struct same_head *)(void *)s->values;
    for (size_t h = 0; h < s->heads; h++) {
        const float *map = s->maps + h * SAME_IDS * SAME_IDS;
        struct visibility sees = attention_visibility(s->model, (int)(h / (size_t)s->model->config.heads));
        for (size_t i = 0; i < s->n; i++) {
            double even = 1 / (double)(visible_end(sees, s->n, i) - visible_first(sees, i));
            for (size_t j = visible_first(sees, i); j < visible_end(sees, s->n, i); j++)
                to[h].uniform_error = larger(to[h].uniform_error, fabs((double)map[i * SAME_IDS + j] - even));
            if (s->model->config.causal) to[h].offset_error = larger(to[h].offset_error, offset_error(map, sees, s->n, i, s->n - 1));
        }
    }
}

static enum engine_status run_same(struct step *s, char *error, size_t error_size) {
    enum engine_status status = run_model(s, NULL, error, error_size);
    s->maps = malloc(s->heads * SAME_IDS * SAME_IDS * sizeof *s->maps);
    if (status == ENGINE_OK && !s->maps) status = engine_fail_memory(error, error_size);
    if (status == ENGINE_OK) status = visit(s, same_head, error, error_size);
    if (status == ENGINE_OK) finish_same(s);
    return status;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static bool step_init(struct step *s, const double *values, size_t count) {
    struct wrapping w = {0};
    size_t n = s->n;
    s->heads = heads_of(s->model);
    s->excluded = malloc(n * sizeof *s->excluded);
    s->keep = malloc(n * sizeof *s->keep);
    s->statistics = calloc(s->heads, sizeof *s->statistics);
    s->values = malloc(count * sizeof *s->values);
    if (!s->excluded || !s->keep || !s->statistics || !s->values) return false;
    memcpy(s->values, values, count * sizeof *values);
    s->excluded_count = analysis_default_exclusions(s->model, s->ids, n, s->excluded);
    for (size_t i = 0; i < n; i++) s->keep[i] = 1;
    for (size_t k = 0; k < s->excluded_count; k++) s->keep[s->excluded[k]] = 0;
    if (probe_wrapping(s->model, &w, NULL, 0) == ENGINE_OK && s->probe != PROBE_SAME) s->first = w.before_count;
    return true;
}

static void step_finish(struct step *s) {
    activations_destroy(s->activations);
    free(s->ids);
    free(s->excluded);
    free(s->keep);
    free(s->statistics);
    free(s->values);
    free(s->unembedded);
    free(s->separates);
    free(s->maps);
}

enum engine_status probe_step(struct engine *engine, const struct model *model, enum probe probe, size_t step,
                              bool (*breathe)(void *context), void *context, double *values, char *error, size_t error_size) {
    static enum engine_status (*const run[PROBES])(struct step *, char *, size_t) = {
        [PROBE_REPEAT] = run_repeat, [PROBE_RANDOM] = run_random, [PROBE_NATURAL] = run_natural, [PROBE_LENGTH] = run_length,
        [PROBE_SAME] = run_same,
    };
    struct step s = {.engine = engine, .model = model, .probe = probe, .number = step, .breathe = breathe, .context = context};
    struct probe_plan plan;
    enum engine_status status = probe_plan(model, probe, &plan, error, error_size);
    if (status == ENGINE_OK && step >= plan.steps) status = engine_fail(ENGINE_INVALID, error, error_size, "the probe has %zu steps", plan.steps);
    if (status == ENGINE_OK) status = probe_step_ids(model, probe, step, &s.ids, &s.n, error, error_size);
    if (status != ENGINE_OK) return status;
    if (probe == PROBE_NATURAL) {
        int32_t *text = NULL;
        size_t text_n = 0;
        status = probe_text_ids(model, &text, &text_n, error, error_size);
        free(text);
        if (status == ENGINE_OK) s.natural = natural_layout_of(model, text_n);
    }
    if (status == ENGINE_OK && !step_init(&s, values, plan.values)) status = engine_fail_memory(error, error_size);
    if (status == ENGINE_OK) status = run[probe](&s, error, error_size);
    if (status == ENGINE_OK) memcpy(values, s.values, plan.values * sizeof *values);
    step_finish(&s);
    return status;
}
