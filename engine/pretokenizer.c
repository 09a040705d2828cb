#include "engine/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"

/* ---- the patterns ------------------------------------------------------------------------------------------ */

/* The characters with Unicode's White_Space property. PCRE2's \s also takes U+180E, which lost it in Unicode 6.3. */
#define SPACE "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

/* GPT-2 (Radford et al. 2019): contractions, words, numbers, the rest, each with the space before it. */
#define GPT2                                                                                                   \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"

/* Llama 3: numbers in threes, line breaks apart, any one character that is no letter before a word. */
#define LLAMA3                                                                                                 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n]*"  \
    "|[" SPACE "]*[\\r\\n]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"

/* Tekken (Mistral NeMo): words also part where small letters are followed by capitals; digits one by one. */
#define TEKKEN                                                                                                 \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"                \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"               \
    "|\\p{N}| ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n/]*|[" SPACE "]*[\\r\\n]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"

enum { PATTERNS_MAX = 2 };

/* Names whose tokenizers also normalise the text (qwen2, command-r, ...) must not be added without their normalisation. */
static const struct description {
    const char *name;
    const char *patterns[PATTERNS_MAX];
    bool takes_whole_words, adds_start;
} descriptions[] = {
    {"gpt-2", {GPT2}, false, false},
    {"phi-2", {GPT2}, false, false},
    {"smollm", {"\\p{N}", GPT2}, false, false},
    {"starcoder", {"\\p{N}", GPT2}, false, false},
    {"refact", {"\\p{N}", GPT2}, false, false},
    {"llama-bpe", {LLAMA3}, true, true},
    {"llama3", {LLAMA3}, true, true},
    {"llama-v3", {LLAMA3}, true, true},
    {"tekken", {TEKKEN}, true, true},
};

/* Generous for patterns that hardly backtrack, yet an end for every text. */
enum { MATCH_LIMIT = 50000000, DEPTH_LIMIT = 50000000, HEAP_LIMIT_KIB = 256 << 10 };
enum { JIT_STACK_MIN = 32 << 10, JIT_STACK_MAX = 1 << 20 };

struct pretokenizer {
    const struct description *description;
    int pattern_count;
    pcre2_code *patterns[PATTERNS_MAX];
};

struct splitter {
    const struct pretokenizer *pretokenizer;
    pcre2_match_data *found[PATTERNS_MAX];
    pcre2_match_context *limits;
    pcre2_jit_stack *stack; /* NULL where there is no JIT */
    const char *text;
    enum engine_status (*word)(void *context, size_t start, size_t end);
    void *context;
    char *error;
    size_t error_size;
};

/* ---- making ------------------------------------------------------------------------------------------------ */

static enum engine_status compile(const char *pattern, pcre2_code **code, char *error, size_t error_size) {
    int reason;
    PCRE2_SIZE where;
    *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &reason, &where, NULL);
    if (*code == NULL && reason == PCRE2_ERROR_HEAP_FAILED) return engine_fail_memory(error, error_size);
    if (*code == NULL)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "this PCRE2 refuses a pre-tokenizer's pattern (error %d at %zu)",
                           reason, (size_t)where);
    pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE); /* where it fails, pcre2_match interprets: slower, not different */
    return ENGINE_OK;
}

enum engine_status pretokenizer_create(const char *name, size_t name_size, struct pretokenizer **pretokenizer, char *error,
                                       size_t error_size) {
    const struct description *description = NULL;
    for (size_t i = 0; i < sizeof descriptions / sizeof descriptions[0]; i++)
        if (strlen(descriptions[i].name) == name_size && memcmp(descriptions[i].name, name, name_size) == 0)
            description = &descriptions[i];
    if (description == NULL)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "the pre-tokenizer \"%.*s\" (tokenizer.ggml.pre) is not supported",
                           (int)(name_size < 64 ? name_size : 64), name);
    struct pretokenizer *made = calloc(1, sizeof *made);
    if (made == NULL) return engine_fail_memory(error, error_size);
    made->description = description;
    enum engine_status status = ENGINE_OK;
    while (status == ENGINE_OK && made->pattern_count < PATTERNS_MAX && description->patterns[made->pattern_count] != NULL) {
        int i = made->pattern_count;
        status = compile(description->patterns[i], &made->patterns[i], error, error_size);
        if (status == ENGINE_OK) made->pattern_count++;
    }
    if (status != ENGINE_OK) {
        pretokenizer_destroy(made);
        return status;
    }
    *pretokenizer = made;
    return ENGINE_OK;
}

void pretokenizer_destroy(struct pretokenizer *pretokenizer) {
    if (pretokenizer == NULL) return;
    for (int i = 0; i < pretokenizer->pattern_count; i++) pcre2_code_free(pretokenizer->patterns[i]);
    free(pretokenizer);
}

const char *pretokenizer_name(const struct pretokenizer *pretokenizer) {
    return pretokenizer->description->name;
}

bool pretokenizer_takes_whole_words(const struct pretokenizer *pretokenizer) {
    return pretokenizer->description->takes_whole_words;
}

bool pretokenizer_adds_start(const struct pretokenizer *pretokenizer) {
    return pretokenizer->description->adds_start;
}

void pretokenizer_hash(const struct pretokenizer *pretokenizer, struct sha256_ctx *context) {
    for (int i = 0; i < pretokenizer->pattern_count; i++) {
        const char *pattern = pretokenizer->description->patterns[i];
        sha256_update(context, strlen(pattern) + 1, (const uint8_t *)pattern);
    }
    const uint8_t end[2] = {0, pretokenizer->description->takes_whole_words};
    sha256_update(context, sizeof end, end);
}

/* ---- splitting --------------------------------------------------------------------------------------------- */

struct splitter *splitter_create(const struct pretokenizer *pretokenizer) {
    struct splitter *splitter = calloc(1, sizeof *splitter);
    if (splitter == NULL) return NULL;
    splitter->pretokenizer = pretokenizer;
    splitter->limits = pcre2_match_context_create(NULL);
    bool enough = splitter->limits != NULL;
    for (int i = 0; i < pretokenizer->pattern_count; i++) {
        splitter->found[i] = pcre2_match_data_create(1, NULL);
        enough = enough && splitter->found[i] != NULL;
    }
    if (!enough) {
        splitter_destroy(splitter);
        return NULL;
    }
    pcre2_set_match_limit(splitter->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(splitter->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(splitter->limits, HEAP_LIMIT_KIB);
    splitter->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    if (splitter->stack != NULL) pcre2_jit_stack_assign(splitter->limits, NULL, splitter->stack);
    return splitter;
}

void splitter_destroy(struct splitter *splitter) {
    if (splitter == NULL) return;
    for (int i = 0; i < PATTERNS_MAX; i++) pcre2_match_data_free(splitter->found[i]);
    pcre2_match_context_free(splitter->limits);
    pcre2_jit_stack_free(splitter->stack);
    free(splitter);
}

static enum engine_status split_failed(struct splitter *splitter, int reason, size_t where) {
    if (reason == PCRE2_ERROR_NOMEMORY) return engine_fail_memory(splitter->error, splitter->error_size);
    return engine_fail(ENGINE_INVALID, splitter->error, splitter->error_size,
                       "the text cannot be split into words near byte %zu (PCRE2 error %d); part it there", where, reason);
}

/* Cuts text[start .. end) by pattern `level` and hands each piece to the next level, the last one's to `word`. The piece is all
 * that a pattern sees: what lies around it does not count for lookaheads. */
static enum engine_status split(struct splitter *splitter, int level, size_t start, size_t end) {
    if (start == end) return ENGINE_OK;
    if (level == splitter->pretokenizer->pattern_count) return splitter->word(splitter->context, start, end);
    const pcre2_code *pattern = splitter->pretokenizer->patterns[level];
    PCRE2_SPTR piece = (PCRE2_SPTR)splitter->text + start;
    size_t size = end - start, done = 0;
    enum engine_status status = ENGINE_OK;
    while (done < size && status == ENGINE_OK) {
        int result = pcre2_match(pattern, piece, size, done, PCRE2_NO_UTF_CHECK, splitter->found[level], splitter->limits);
        if (result == PCRE2_ERROR_JIT_STACKLIMIT)
            result = pcre2_match(pattern, piece, size, done, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, splitter->found[level],
                                 splitter->limits);
        if (result == PCRE2_ERROR_NOMATCH) break;
        if (result < 0) return split_failed(splitter, result, start + done);
        const PCRE2_SIZE *match = pcre2_get_ovector_pointer(splitter->found[level]);
        size_t match_start = match[0], match_end = match[1];
        if (match_end <= match_start) return split_failed(splitter, PCRE2_ERROR_INTERNAL, start + done);
        status = split(splitter, level + 1, start + done, start + match_start);
        if (status == ENGINE_OK) status = split(splitter, level + 1, start + match_start, start + match_end);
        done = match_end;
    }
    return status == ENGINE_OK ? split(splitter, level + 1, start + done, end) : status;
}

enum engine_status splitter_run(struct splitter *splitter, const char *text, size_t size,
                                enum engine_status (*word)(void *context, size_t start, size_t end), void *context,
                                char *error, size_t error_size) {
    splitter->text = text;
    splitter->word = word;
    splitter->context = context;
    splitter->error = error;
    splitter->error_size = error_size;
    return split(splitter, 0, 0, size);
}
