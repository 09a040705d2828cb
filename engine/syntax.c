/* syntax.c: how often a head's weights point along the relations of a parse (Clark et al. 2019), and how often a fixed offset would. */
#include <stdlib.h>
#include <string.h>

#include "engine/attention.h"
#include "engine/memory.h"
#include "engine/reading.h"

enum { OFFSET_MAX = 32 };

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static enum engine_status check_words(const struct activations *a, const struct parsed_word *words, size_t count, size_t relations,
                                      char *error, size_t error_size) {
    for (size_t w = 0; w < count; w++) {
        const struct parsed_word *x = &words[w];
        bool fine = x->token0 < x->token1 && x->token1 <= a->n && x->head < count && x->relation < relations &&
                    words[x->head].sentence == x->sentence && (w == 0 || x->sentence >= words[w - 1].sentence);
        if (!fine) return engine_fail(ENGINE_INVALID, error, error_size, "word %zu of the parse does not lie within the text", w);
    }
    return ENGINE_OK;
}

static size_t sentence_end(const struct parsed_word *words, size_t count, size_t first) {
    size_t end = first;
    while (end < count && words[end].sentence == words[first].sentence) end++;
    return end;
}

static bool sees(const struct activations *a, size_t word, size_t other) {
    return a->model->config.causal ? other < word : other != word;
}

/* Whether `answer` is a right one for the word, asked for a relation in a direction. */
static bool is_right(const struct parsed_word *words, size_t word, size_t answer, size_t relation, enum syntax_direction direction) {
    if (direction == SYNTAX_TO_HEAD) return words[word].relation == relation && words[word].head == answer;
    return words[answer].relation == relation && words[answer].head == word && answer != word;
}

/* Calls `each` for every case of the word: each relation and direction in which a right answer can be seen, once. */
typedef void each_case(void *context, size_t word, size_t relation, enum syntax_direction direction);

static void cases_of(const struct activations *a, const struct parsed_word *words, size_t first, size_t end, size_t word, each_case *each,
                     void *context) {
    const struct parsed_word *x = &words[word];
    if (x->head != word && sees(a, word, x->head)) each(context, word, x->relation, SYNTAX_TO_HEAD);
    for (size_t u = first; u < end; u++) {
        if (words[u].head != word || u == word || !sees(a, word, u)) continue;
        bool before = false; /* an earlier dependent of the same relation has been the case */
        for (size_t v = first; v < u && !before; v++)
            before = words[v].head == word && v != word && words[v].relation == words[u].relation && sees(a, word, v);
        if (!before) each(context, word, words[u].relation, SYNTAX_TO_DEPENDENT);
    }
}

/* ---- offsets ----------------------------------------------------------------------------------------------------- */

struct offsets {
    const struct activations *activations;
    const struct parsed_word *words;
    size_t first, end;
    struct syntax_baseline *baselines;
    uint32_t *right; /* [relations, SYNTAX_DIRECTIONS, 2 OFFSET_MAX + 1] */
};

static void try_offsets(void *context, size_t word, size_t relation, enum syntax_direction direction) {
    struct offsets *o = context;
    size_t at = relation * SYNTAX_DIRECTIONS + direction;
    o->baselines[at].cases++;
    for (int by = -OFFSET_MAX; by <= OFFSET_MAX; by++) {
        long answer = (long)word + by;
        if (answer < (long)o->first || answer >= (long)o->end || !sees(o->activations, word, (size_t)answer)) continue;
        if (is_right(o->words, word, (size_t)answer, relation, direction)) o->right[at * (2 * OFFSET_MAX + 1) + (size_t)(by + OFFSET_MAX)]++;
    }
}

enum engine_status syntax_baselines(const struct activations *activations, const struct parsed_word *words, size_t count,
                                    size_t relations, struct syntax_baseline *baselines, char *error, size_t error_size) {
    enum engine_status status = check_words(activations, words, count, relations, error, error_size);
    if (status != ENGINE_OK) return status;
    size_t kinds = relations * SYNTAX_DIRECTIONS;
    struct offsets o = {.activations = activations, .words = words, .baselines = baselines,
                        .right = calloc(kinds + 1, (2 * OFFSET_MAX + 1) * sizeof *o.right)};
    if (!o.right) return engine_fail_memory(error, error_size);
    memset(baselines, 0, kinds * sizeof *baselines);
    for (o.first = 0; o.first < count; o.first = o.end) {
        o.end = sentence_end(words, count, o.first);
        for (size_t w = o.first; w < o.end; w++) cases_of(activations, words, o.first, o.end, w, try_offsets, &o);
    }
    for (size_t k = 0; k < kinds; k++) /* of equals the nearest, then the earlier */
        for (int distance = 1; distance <= OFFSET_MAX; distance++)
            for (int by = -distance; by <= distance; by += 2 * distance) {
                uint32_t right = o.right[k * (2 * OFFSET_MAX + 1) + (size_t)(by + OFFSET_MAX)];
                if (baselines[k].offset && right <= baselines[k].right) continue;
                baselines[k].right = right;
                baselines[k].offset = by;
            }
    free(o.right);
    return ENGINE_OK;
}

/* ---- heads ------------------------------------------------------------------------------------------------------- */

struct answers {
    const struct parsed_word *words;
    size_t answer;
    uint32_t *right;
};

static void judge(void *context, size_t word, size_t relation, enum syntax_direction direction) {
    const struct answers *a = context;
    if (is_right(a->words, word, a->answer, relation, direction)) a->right[relation * SYNTAX_DIRECTIONS + direction]++;
}

/* The word that gets most of this word's weight; itself where nothing gets any. block: [BLOCK_ROWS, stride] from key panel0 on. */
static size_t answer_of(const struct engine *engine, const struct activations *a, struct head_address at, const struct parsed_word *words,
                        size_t first, size_t end, size_t word, double *weight, float *block) {
    size_t panel0 = words[first].token0 / PANEL, panels = whole_panels(words[end - 1].token1) / PANEL - panel0, stride = panels * PANEL;
    size_t best = word;
    for (size_t u = first; u < end; u++) weight[u - first] = 0;
    for (size_t i = words[word].token0; i < words[word].token1; i += BLOCK_ROWS) {
        size_t rows = smaller(BLOCK_ROWS, words[word].token1 - i);
        reading_rows(engine, a, at, i, rows, panel0, panels, block, stride);
        for (size_t u = first; u < end; u++)
            for (size_t r = 0; r < rows; r++)
                for (size_t j = words[u].token0; j < words[u].token1; j++)
                    weight[u - first] += (double)block[r * stride + j - panel0 * PANEL];
    }
    for (size_t u = first; u < end; u++)
        if (sees(a, word, u) && weight[u - first] > (best == word ? 0 : weight[best - first])) best = u;
    return best;
}

enum engine_status syntax_right(struct engine *engine, const struct activations *activations, struct head_address at,
                                const struct parsed_word *words, size_t first, size_t end, uint32_t *right, char *error,
                                size_t error_size) {
    enum engine_status status = reading_check(activations, at, error, error_size);
    if (status != ENGINE_OK) return status;
    size_t words_most = 0, keys_most = 0;
    for (size_t f = first, e; f < end; f = e) {
        e = sentence_end(words, end, f);
        size_t keys = whole_panels(words[e - 1].token1) - words[f].token0 / PANEL * PANEL;
        words_most = e - f > words_most ? e - f : words_most;
        keys_most = keys > keys_most ? keys : keys_most;
    }
    double *weight = malloc((words_most + 1) * sizeof *weight);
    float *block = memory_aligned(BLOCK_ROWS * (keys_most + PANEL) * sizeof *block);
    if (!weight || !block) {
        free(weight);
        free(block);
        return engine_fail_memory(error, error_size);
    }
    for (size_t f = first, e; f < end; f = e) {
        e = sentence_end(words, end, f);
        for (size_t w = f; w < e; w++) {
            struct answers a = {words, answer_of(engine, activations, at, words, f, e, w, weight, block), right};
            cases_of(activations, words, f, e, w, judge, &a);
        }
    }
    free(weight);
    free(block);
    return ENGINE_OK;
}
