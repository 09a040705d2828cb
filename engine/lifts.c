#include "engine/lifts.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/all_heads.h"
#include "engine/memory.h"
#include "engine/probe_ids.h"
#include "engine/unicode.h"
#include "engine/utf8.h"
#include "engine/weights.h"

const char *const lift_names[LIFTS] = {
    [LIFT_SELF] = "self_mass", [LIFT_PREVIOUS] = "previous_mass", [LIFT_NEXT] = "next_mass", [LIFT_LOCAL] = "local_mass",
    [LIFT_DUPLICATE] = "duplicate_mass", [LIFT_INDUCTION] = "induction_mass", [LIFT_SEPARATOR] = "separator_mass",
    [LIFT_RARITY] = "rarity", [LIFT_SIMILARITY] = "similarity",
};

/* Blocks of queries that the bootstrap draws from: at most so many, of at least so many queries. */
enum { BLOCKS_MAX = 64, BLOCK_QUERIES_MIN = 8 };
/* Offsets whose mean goes on beyond the profile's reach. */
enum { TAIL_OFFSETS = 32 };

struct block_sum {
    double difference, rows;
};

/* Sums over rows of one head and one kind of keys. */
struct lift_sums {
    double rows, observed, expected, difference, predicted_rows, uniform, outside;
    struct block_sum block[BLOCKS_MAX];
};

struct lifts {
    const struct kernels *kernels;
    const struct activations *activations;
    const struct model *model;
    const struct offset_profile *profile; /* while it is made */
    struct text_facts facts[2]; /* of layers that see all, and of those with a window */
    int kinds;
    size_t n, layers, heads, block_queries, blocks;
    float *separates, *rarity;   /* [n] 0 in S */
    double *separates_sum, *rarity_sum; /* [n + 1] running sums */
    double similar_sum[2][BLOCK_ROWS];  /* over what each row of the block sees, for each of the facts */
    float *embedded;             /* [n, width] centred, of length 1; 0 in S */
    float *similar;              /* [BLOCK_ROWS, n] of the block's rows */
    size_t width;
    float *expected;             /* [layers * heads, offsets] at [n - 1 - d]: the profile at every offset of this text */
    double *running;             /* [layers * heads, offsets + 1] its running sums */
    size_t offsets;
    struct lift_sums *sums;      /* [layers * heads, LIFTS] */
    double *outside;             /* [layers * heads] */
    double *draws;               /* [resamples, blocks] how often each block is drawn */
    size_t resamples;
    struct head_lifts *result;   /* [layers * heads] */
    struct attention_scratch scratch;
    float *scratch_memory;
    size_t query0, rows, layer;  /* the next step's; query0 = n: the sums are complete */
};

/* ---- what tokens are --------------------------------------------------------------------------------------------- */

bool token_is_separator(const struct model *model, int32_t id) {
    size_t size;
    bool special = false, mark = false;
    const char *bytes = model_token_bytes(model, id, &size, &special);
    if (special) return true;
    if (!bytes) return false;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        size_t length = utf8_character(bytes + at, size - at, &c);
        if (length == 0) return false;
        if (unicode_is(c, CLASS_PUNCTUATION) || c == '\n') mark = true;
        else if (!unicode_is(c, CLASS_WHITESPACE)) return false;
        at += length;
    }
    return mark;
}

static bool take_keys(struct lifts *l) {
    size_t n = l->n;
    const float *keep = l->facts[0].keep;
    l->separates = malloc(n * sizeof *l->separates);
    l->rarity = malloc(n * sizeof *l->rarity);
    l->width = l->model->embedding.cols;
    l->embedded = malloc(n * l->width * sizeof *l->embedded);
    l->similar = malloc(BLOCK_ROWS * n * sizeof *l->similar);
    l->separates_sum = calloc(n + 1, sizeof *l->separates_sum);
    l->rarity_sum = calloc(n + 1, sizeof *l->rarity_sum);
    double *mean = calloc(l->width, sizeof *mean), kept = 0;
    bool fine = l->separates && l->rarity && l->embedded && l->similar && l->separates_sum && l->rarity_sum && mean;
    for (size_t j = 0; fine && j < n; j++) {
        int32_t id = l->activations->ids[j];
        l->separates[j] = token_is_separator(l->model, id) ? keep[j] : 0;
        l->rarity[j] = keep[j] * (float)((double)id / fmax(1, (double)l->model->config.vocabulary - 1));
        l->separates_sum[j + 1] = l->separates_sum[j] + (double)l->separates[j];
        l->rarity_sum[j + 1] = l->rarity_sum[j] + (double)l->rarity[j];
        weights_row(l->kernels, &l->model->embedding, (size_t)id, l->embedded + j * l->width);
        for (size_t d = 0; keep[j] > 0 && d < l->width; d++) mean[d] += (double)l->embedded[j * l->width + d];
        kept += keep[j] > 0;
    }
    for (size_t j = 0; fine && j < n; j++) {
        float *x = l->embedded + j * l->width;
        double squares = 0;
        for (size_t d = 0; d < l->width; d++) {
            double centred = kept > 0 ? (double)x[d] - mean[d] / kept : 0;
            x[d] = (float)centred;
            squares += centred * centred;
        }
        double scale = squares > 0 ? 1 / sqrt(squares) : 0;
        for (size_t d = 0; d < l->width; d++) x[d] = (float)((double)x[d] * scale);
    }
    free(mean);
    return fine;
}

/* Cosines of the block's rows with all keys; copies of the token itself and excluded keys count 0. */
static void begin_block(void *context, size_t query0, size_t rows) {
    struct lifts *l = context;
    size_t n = l->n, keys = visible_end(l->facts[0].sees, n, query0 + rows - 1);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)keys, (int)l->width, 1, l->embedded + query0 * l->width,
                (int)l->width, l->embedded, (int)l->width, 0, l->similar, (int)n);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < keys; j++)
            if (l->activations->ids[j] == l->activations->ids[query0 + r] || !(l->facts[0].keep[j] > 0)) l->similar[r * n + j] = 0;
    for (int kind = 0; kind < l->kinds; kind++)
        for (size_t r = 0; r < rows; r++) {
            double sum = 0;
            for (size_t j = visible_first(l->facts[kind].sees, query0 + r); j < visible_end(l->facts[kind].sees, n, query0 + r); j++)
                sum += (double)l->similar[r * n + j];
            l->similar_sum[kind][r] = sum;
        }
}

/* ---- the profile at this text's length --------------------------------------------------------------------------- */

static double tail_mean(const float *at, ptrdiff_t step, size_t reach) {
    double sum = 0;
    size_t count = reach < TAIL_OFFSETS ? reach : TAIL_OFFSETS;
    for (size_t k = 0; k < count; k++) sum += (double)at[(ptrdiff_t)(reach - 1 - k) * step];
    return sum / (double)count;
}

static bool take_profile(struct lifts *l) {
    const struct offset_profile *p = l->profile;
    size_t heads = l->layers * l->heads, n = l->n;
    if (!p) return true;
    l->offsets = visibility_is_causal(l->facts[0].sees) ? n : 2 * n - 1;
    l->expected = malloc(heads * l->offsets * sizeof *l->expected);
    l->running = malloc(heads * (l->offsets + 1) * sizeof *l->running);
    if (!l->expected || !l->running) return false;
    for (size_t h = 0; h < heads; h++) {
        const float *zero = p->weight + h * p->offsets + p->reach - 1; /* at offset 0; a step to the left is an offset more */
        double behind = tail_mean(zero, -1, p->reach), ahead = p->offsets > p->reach ? tail_mean(zero, 1, p->reach) : 0;
        float *to = l->expected + h * l->offsets;
        double *running = l->running + h * (l->offsets + 1);
        running[0] = 0;
        for (size_t o = 0; o < l->offsets; o++) {
            ptrdiff_t d = (ptrdiff_t)(n - 1) - (ptrdiff_t)o;
            size_t far = (size_t)(d < 0 ? -d : d);
            to[o] = far < p->reach ? zero[-d] : (float)(d < 0 ? ahead : behind);
            running[o + 1] = running[o] + (double)to[o];
        }
    }
    return true;
}

/* ---- one row of one head ----------------------------------------------------------------------------------------- */

struct row {
    const struct text_facts *facts;
    const float *e, *expected; /* both by key */
    size_t i, first, end;
    double inverse, outside, divisor; /* divisor: sum of expected over the visible keys outside S */
};

struct seen {
    double observed, expected, keys;
};

static void see_key(const struct row *row, size_t j, struct seen *seen) {
    double keep = (double)row->facts->keep[j];
    seen->observed += keep * (double)row->e[j];
    if (row->expected) seen->expected += keep * (double)row->expected[j];
    seen->keys += keep;
}

static void add_seen(const struct lifts *l, const struct row *row, const struct seen *seen, struct lift_sums *to) {
    double observed = seen->observed * row->inverse;
    to->rows++;
    to->observed += observed;
    to->uniform += seen->keys / (double)(row->end - row->first);
    to->outside += row->outside;
    if (!row->expected || !(row->divisor > 0)) return; /* the habit says nothing about this row */
    double expected = row->outside * seen->expected / row->divisor;
    to->expected += expected;
    to->difference += observed - expected;
    to->predicted_rows++;
    struct block_sum *block = &to->block[row->i / l->block_queries];
    block->difference += observed - expected;
    block->rows++;
}

static void add_copies(const struct lifts *l, const struct row *row, struct lift_sums *sums) {
    const struct text_facts *facts = row->facts;
    struct seen duplicate = {0}, induction = {0};
    bool copied = false, followed = false;
    const uint32_t *positions = facts->positions + facts->copy_first[row->i];
    for (size_t c = 0; c < facts->copy_count[row->i]; c++) {
        size_t j = positions[c];
        if (facts_is_copy(facts, row->i, j)) copied = true, see_key(row, j, &duplicate);
        if (facts_is_induction(facts, row->i, j + 1)) followed = true, see_key(row, j + 1, &induction);
    }
    if (copied) add_seen(l, row, &duplicate, &sums[LIFT_DUPLICATE]);
    if (followed) add_seen(l, row, &induction, &sums[LIFT_INDUCTION]);
}

static void add_places(const struct lifts *l, const struct row *row, struct lift_sums *sums) {
    struct seen self = {0}, previous = {0}, next = {0}, local = {0};
    size_t i = row->i, from = i > row->first + LOCAL_DISTANCE ? i - LOCAL_DISTANCE : row->first;
    size_t to = row->end - i > LOCAL_DISTANCE ? i + LOCAL_DISTANCE + 1 : row->end;
    see_key(row, i, &self);
    if (i > row->first) see_key(row, i - 1, &previous);
    if (i + 1 < row->end) see_key(row, i + 1, &next);
    for (size_t j = from; j < to; j++) see_key(row, j, &local);
    add_seen(l, row, &self, &sums[LIFT_SELF]);
    add_seen(l, row, &previous, &sums[LIFT_PREVIOUS]);
    if (!visibility_is_causal(row->facts->sees)) add_seen(l, row, &next, &sums[LIFT_NEXT]);
    add_seen(l, row, &local, &sums[LIFT_LOCAL]);
}

/* value: of each key, 0 in S; sum: of those that the row sees. */
static void add_values(const struct lifts *l, const struct row *row, const float *value, double sum, struct lift_sums *sums) {
    const struct kernels *kernels = l->kernels;
    size_t count = row->end - row->first;
    struct seen seen = {.observed = kernels->dot(row->e + row->first, value + row->first, count), .keys = sum};
    if (row->expected) seen.expected = kernels->dot(row->expected + row->first, value + row->first, count);
    add_seen(l, row, &seen, sums);
}

/* The row's weight outside S, and what its habit puts there. */
static void look_outside(const struct lifts *l, size_t head, struct row *row, double sum) {
    const struct text_facts *facts = row->facts;
    const double *running = l->running ? l->running + head * (l->offsets + 1) + (l->n - 1 - row->i) : NULL;
    row->divisor = running ? running[row->end] - running[row->first] : 0;
    for (size_t s = 0; s < facts->excluded_count; s++) {
        size_t j = facts->excluded[s];
        if (j < row->first || j >= row->end) continue;
        sum -= (double)row->e[j];
        if (row->expected) row->divisor -= (double)row->expected[j];
    }
    row->outside = sum > 0 ? sum * row->inverse : 0;
    /* what is left of a difference of sums may be rounding */
    if (running && row->divisor < 1e-9 * (running[row->end] - running[row->first])) row->divisor = 0;
}

static void add_head(void *context, int worker, int layer, int head, struct attention_scratch *scratch) {
    struct lifts *l = context;
    const struct weight_block *block = &scratch->block;
    size_t index = (size_t)layer * l->heads + (size_t)head;
    int kind = l->kinds > 1 && l->model->layer[layer].window > 0;
    struct row row = {.facts = &l->facts[kind]};
    struct lift_sums *sums = l->sums + index * LIFTS;
    (void)worker;
    for (size_t r = block->query0 == 0 ? facts_first_row(row.facts) : 0; r < block->rows; r++) {
        row.i = block->query0 + r;
        row.first = visible_first(row.facts->sees, row.i);
        row.end = visible_end(row.facts->sees, l->n, row.i);
        row.e = block->e + r * block->stride;
        row.expected = l->expected ? l->expected + index * l->offsets + (l->n - 1 - row.i) : NULL;
        row.inverse = 1 / block->sums[r].sum;
        look_outside(l, index, &row, block->sums[r].sum - block->sink[r]);
        l->outside[index] += row.outside;
        add_places(l, &row, sums);
        add_copies(l, &row, sums);
        add_values(l, &row, l->separates, l->separates_sum[row.end] - l->separates_sum[row.first], &sums[LIFT_SEPARATOR]);
        add_values(l, &row, l->rarity, l->rarity_sum[row.end] - l->rarity_sum[row.first], &sums[LIFT_RARITY]);
        add_values(l, &row, l->similar + r * l->n, l->similar_sum[kind][r], &sums[LIFT_SIMILARITY]);
    }
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* As numpy.percentile: linear between neighbours. */
static double percentile(const double *sorted, size_t count, double share) {
    double place = share * (double)(count - 1);
    size_t below = (size_t)place, above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

static void interval(const struct lifts *l, const struct lift_sums *sums, struct lift_result *result) {
    double mean[LIFT_RESAMPLES];
    size_t count = 0;
    for (size_t r = 0; r < l->resamples; r++) {
        double difference = 0, rows = 0;
        for (size_t b = 0; b < l->blocks; b++) {
            difference += l->draws[r * l->blocks + b] * sums->block[b].difference;
            rows += l->draws[r * l->blocks + b] * sums->block[b].rows;
        }
        if (rows > 0) mean[count++] = difference / rows;
    }
    if (count == 0) return;
    qsort(mean, count, sizeof *mean, compare_doubles);
    result->low = percentile(mean, count, 0.025);
    result->high = percentile(mean, count, 0.975);
}

static void finish_head(struct lifts *l, size_t h) {
    size_t rows = l->facts[0].rows;
    l->result[h].outside = rows ? l->outside[h] / (double)rows : NAN;
    for (int k = 0; k < LIFTS; k++) {
        const struct lift_sums *sums = &l->sums[h * LIFTS + (size_t)k];
        struct lift_result *result = &l->result[h].lift[k];
        double n = sums->rows, predicted = sums->predicted_rows;
        *result = (struct lift_result){.rows = (size_t)n, .observed = n > 0 ? sums->observed / n : NAN, .uniform = n > 0 ? sums->uniform / n : NAN,
                                       .expected = predicted > 0 ? sums->expected / predicted : NAN,
                                       .lift = predicted > 0 ? sums->difference / predicted : NAN, .low = NAN, .high = NAN,
                                       .grey = n < LIFT_ROWS_MIN || sums->outside < LIFT_OUTSIDE_MIN * n};
        if (predicted > 0) interval(l, sums, result);
    }
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static bool take_draws(struct lifts *l) {
    uint64_t state = LIFT_SEED;
    l->draws = calloc(l->resamples * l->blocks + 1, sizeof *l->draws);
    if (!l->draws) return false;
    for (size_t r = 0; r < l->resamples; r++)
        for (size_t b = 0; b < l->blocks; b++) l->draws[r * l->blocks + random_below(&state, l->blocks)]++;
    return true;
}

static bool lifts_init(struct lifts *l, const uint32_t *excluded, size_t excluded_count) {
    const struct model *model = l->model;
    struct visibility all = model->config.causal ? visibility_causal : (struct visibility){SIZE_MAX, SIZE_MAX};
    if (!text_facts_init(&l->facts[l->kinds], all, l->activations->ids, l->n, excluded, excluded_count)) return false;
    l->kinds++;
    for (int i = 0; i < model->config.layers && l->kinds == 1; i++) {
        if (!model->config.general || model->layer[i].window <= 0) continue;
        if (!text_facts_init(&l->facts[1], attention_visibility(model, i), l->activations->ids, l->n, excluded, excluded_count)) return false;
        l->kinds++;
    }
    l->block_queries = (l->n + BLOCKS_MAX - 1) / BLOCKS_MAX;
    if (l->block_queries < BLOCK_QUERIES_MIN) l->block_queries = BLOCK_QUERIES_MIN;
    l->blocks = (l->n + l->block_queries - 1) / l->block_queries;
    l->sums = calloc(l->layers * l->heads * LIFTS, sizeof *l->sums);
    l->outside = calloc(l->layers * l->heads, sizeof *l->outside);
    l->result = calloc(l->layers * l->heads, sizeof *l->result);
    return l->sums && l->outside && l->result && take_keys(l) && take_profile(l) && take_draws(l);
}

void lifts_destroy(struct lifts *l) {
    if (!l) return;
    for (int k = 0; k < l->kinds; k++) text_facts_finish(&l->facts[k]);
    free(l->separates);
    free(l->rarity);
    free(l->separates_sum);
    free(l->rarity_sum);
    free(l->embedded);
    free(l->similar);
    free(l->expected);
    free(l->running);
    free(l->sums);
    free(l->outside);
    free(l->draws);
    free(l->result);
    free(l->scratch_memory);
    free(l);
}

enum engine_status lifts_create(struct engine *engine, const struct activations *activations, const uint32_t *excluded,
                                size_t excluded_count, const struct offset_profile *profile, size_t resamples, struct lifts **lifts,
                                char *error, size_t error_size) {
    const struct model *model = activations->model;
    struct lifts *l = calloc(1, sizeof *l);
    if (!l) return engine_fail_memory(error, error_size);
    *l = (struct lifts){.kernels = engine->kernels, .activations = activations, .model = model, .profile = profile, .n = activations->n,
                        .layers = (size_t)model->config.layers, .heads = (size_t)model->config.heads,
                        .resamples = resamples < LIFT_RESAMPLES ? resamples : LIFT_RESAMPLES};
    bool fine = lifts_init(l, excluded, excluded_count);
    l->profile = NULL;
    if (fine) l->scratch_memory = memory_aligned(attention_scratch_floats(model, l->n) * sizeof *l->scratch_memory);
    if (!fine || !l->scratch_memory) {
        lifts_destroy(l);
        return engine_fail_memory(error, error_size);
    }
    attention_scratch_init(&l->scratch, model, l->n, l->scratch_memory);
    *lifts = l;
    return ENGINE_OK;
}

/* A layer of a block of rows at a time; then a layer's results. */
bool lifts_step(struct lifts *l, struct engine *engine) {
    bool sums = l->query0 < l->n;
    if (sums && l->layer == 0) {
        size_t most = attention_block_rows(l->n);
        l->rows = l->n - l->query0 < most ? l->n - l->query0 : most;
        begin_block(l, l->query0, l->rows);
    }
    for (size_t h = 0; h < l->heads; h++) {
        if (sums) {
            attention_weights(l->activations, engine->kernels, (int)l->layer, (int)h, l->query0, l->rows, &l->scratch);
            add_head(l, 0, (int)l->layer, (int)h, &l->scratch);
        } else {
            finish_head(l, l->layer * l->heads + h);
        }
    }
    if (++l->layer < l->layers) return true;
    l->layer = 0;
    l->query0 += l->rows;
    return sums;
}

const struct head_lifts *lifts_heads(const struct lifts *lifts) {
    return lifts->result;
}

enum engine_status lifts_compute(struct engine *engine, const struct activations *activations, const uint32_t *excluded,
                                 size_t excluded_count, const struct offset_profile *profile, bool (*breathe)(void *context),
                                 void *context, struct head_lifts *heads, char *error, size_t error_size) {
    struct lifts *l = NULL;
    enum engine_status status = lifts_create(engine, activations, excluded, excluded_count, profile, 0, &l, error, error_size);
    if (status != ENGINE_OK) return status;
    struct all_heads visit = {.context = l, .begin = begin_block, .head = add_head, .breathe = breathe, .breathe_context = context};
    status = all_heads_visit(engine, activations, &visit, error, error_size);
    for (size_t h = 0; status == ENGINE_OK && h < l->layers * l->heads; h++) {
        finish_head(l, h);
        heads[h] = l->result[h];
    }
    lifts_destroy(l);
    return status;
}
