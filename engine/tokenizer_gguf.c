#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/tokenizer_gguf.h"

enum { MARK = 0x2581 }; /* SentencePiece's space */
#define MARK_TEXT "\xe2\x96\x81"

/* Keys that some kinds read; what the others do is what they do where it is false. */
static const char *const llama_keys[] = {PREFIX "add_space_prefix", PREFIX "escape_whitespaces", NULL};
static const char *const t5_keys[] = {PREFIX "add_space_prefix", PREFIX "escape_whitespaces",
                                      PREFIX "remove_extra_whitespaces", PREFIX "precompiled_charsmap", NULL};
static const char *const bert_keys[] = {PREFIX "add_sep_token", NULL};
static const char *const no_keys[] = {NULL};

/* ---- gpt2: byte-level BPE ---------------------------------------------------------------------------------- */

/* "left right". A part may start with a space only where its token is spelt so, hence the search from the second byte. */
static bool next_merge(void *context, const char **left, size_t *left_size, const char **right, size_t *right_size) {
    struct gguf_string text;
    if (!gguf_next_string(context, &text)) return false;
    const char *space = text.size > 2 ? memchr(text.data + 1, ' ', text.size - 2) : NULL;
    if (space == NULL) return false;
    *left = text.data;
    *left_size = (size_t)(space - text.data);
    *right = space + 1;
    *right_size = text.size - *left_size - 1;
    return true;
}

static enum engine_status add_named(struct reading *r, const struct named_pretokenizer *named) {
    enum engine_status status = ENGINE_OK;
    if (named->normalises) status = reading_add_step(r, (struct normalizer_step){.kind = NORMALIZE_FORM, .form = FORM_NFC});
    for (size_t i = 0; i < sizeof named->patterns / sizeof named->patterns[0] && named->patterns[i] != NULL; i++) {
        struct pretokenizer_step step = {.kind = SPLIT_PATTERN, .behaviour = SPLIT_ISOLATED};
        const char *text = named->patterns[i];
        if (status == ENGINE_OK) status = pattern_create(text, strlen(text), &step.pattern, r->error, r->error_size);
        if (status == ENGINE_OK)
            status = pretokenizer_add(&r->tokenizer->pretokenizer, step, text, strlen(text), r->error, r->error_size);
    }
    return status;
}

static enum engine_status make_merges(struct reading *r, struct bpe_options options) {
    const struct gguf_value *value = gguf_find(r->gguf, PREFIX "merges");
    if (value == NULL || !value->array || (value->type != GGUF_STRING && value->count > 0)) return reading_damaged(r, PREFIX "merges");
    struct gguf_cursor cursor = gguf_elements(value);
    const struct bpe_merge_source source = {.next = next_merge, .context = &cursor, .count = value->count};
    return bpe_create(r->tokenizer->vocabulary, options, &source, &r->tokenizer->bpe, r->error, r->error_size);
}

static enum engine_status read_gpt2(struct reading *r) {
    struct gguf_string pre;
    struct bpe_options options = {.bytes = true};
    uint32_t start, end;
    const struct gguf_value *value = gguf_find(r->gguf, PREFIX "pre");
    if (value != NULL && !gguf_string(value, &pre))
        return engine_fail(ENGINE_BROKEN, r->error, r->error_size, "the model file is damaged: tokenizer.ggml.pre is no text");
    if (value == NULL)
        return engine_fail(ENGINE_UNSUPPORTED, r->error, r->error_size,
                           "the model file does not name its pre-tokenizer (tokenizer.ggml.pre); take a newer file of the model");
    const struct named_pretokenizer *named = pretokenizer_named(pre.data, pre.size);
    if (named == NULL)
        return engine_fail(ENGINE_UNSUPPORTED, r->error, r->error_size,
                           "the pre-tokenizer \"%.*s\" (tokenizer.ggml.pre) is not supported",
                           (int)(pre.size < 64 ? pre.size : 64), pre.data);
    snprintf(r->tokenizer->name, sizeof r->tokenizer->name, "bpe (%s)", named->name);
    options.whole_words = named->takes_whole_words;
    enum engine_status status = reading_tokens(r);
    if (status == ENGINE_OK) status = reading_make_vocabulary(r, (struct vocabulary_style){.byte_level = true});
    if (status == ENGINE_OK) status = reading_make_added(r);
    if (status == ENGINE_OK) status = add_named(r, named);
    if (status == ENGINE_OK) status = reading_token(r, PREFIX "unknown_token_id", &options.unknown);
    if (status == ENGINE_OK) status = make_merges(r, options);
    if (status == ENGINE_OK)
        status = reading_added_token(r, PREFIX "add_bos_token", PREFIX "bos_token_id", named->adds_start, &start);
    if (status == ENGINE_OK) status = reading_added_token(r, PREFIX "add_eos_token", PREFIX "eos_token_id", false, &end);
    return status == ENGINE_OK ? reading_make_template(r, start, end, false) : status;
}

/* ---- llama: SentencePiece's BPE ---------------------------------------------------------------------------- */

static enum engine_status make_scored(struct reading *r, struct bpe_options options) {
    double *scores = NULL;
    enum engine_status status = reading_scores(r, &scores);
    if (status != ENGINE_OK) return status;
    float *narrow = malloc(r->count * sizeof *narrow);
    if (narrow != NULL)
        for (size_t i = 0; i < r->count; i++) narrow[i] = (float)scores[i];
    status = narrow == NULL ? engine_fail_memory(r->error, r->error_size)
                            : bpe_create_scored(r->tokenizer->vocabulary, options, narrow, &r->tokenizer->bpe, r->error,
                                                r->error_size);
    free(narrow);
    free(scores);
    return status;
}

static enum engine_status read_llama(struct reading *r) {
    struct bpe_options options = {.byte_fallback = true};
    uint32_t start, end;
    bool prefix, escape;
    snprintf(r->tokenizer->name, sizeof r->tokenizer->name, "bpe (sentencepiece)");
    enum engine_status status = reading_tokens(r);
    if (status == ENGINE_OK) status = reading_make_vocabulary(r, (struct vocabulary_style){.space = MARK});
    if (status == ENGINE_OK) status = reading_make_added(r);
    if (status == ENGINE_OK) status = reading_flag(r, PREFIX "add_space_prefix", true, &prefix);
    if (status == ENGINE_OK) status = reading_flag(r, PREFIX "escape_whitespaces", true, &escape);
    if (status == ENGINE_OK && prefix)
        status = reading_add_content(r, (struct normalizer_step){.kind = NORMALIZE_PREPEND}, escape ? MARK_TEXT : " ");
    if (status == ENGINE_OK && escape) status = reading_add_replacement(r, " ", false, MARK_TEXT);
    if (status == ENGINE_OK) status = reading_token(r, PREFIX "unknown_token_id", &options.unknown);
    if (status == ENGINE_OK) status = make_scored(r, options);
    if (status == ENGINE_OK) status = reading_added_token(r, PREFIX "add_bos_token", PREFIX "bos_token_id", true, &start);
    if (status == ENGINE_OK) status = reading_added_token(r, PREFIX "add_eos_token", PREFIX "eos_token_id", false, &end);
    return status == ENGINE_OK ? reading_make_template(r, start, end, false) : status;
}

/* ---- bert: WordPiece --------------------------------------------------------------------------------------- */

/* Files mark the tokens that start a word; here, as BERT does, those that do not. */
static enum engine_status respell(struct reading *r) {
    size_t room = 0, used = 0;
    for (size_t i = 0; i < r->count; i++) room += (size_t)r->entries[i].size + 2;
    r->respelt = malloc(room);
    if (r->respelt == NULL) return engine_fail_memory(r->error, r->error_size);
    for (size_t i = 0; i < r->count; i++) {
        struct vocabulary_entry *entry = &r->entries[i];
        if (entry->whole) continue;
        char *start = r->respelt + used;
        bool starts = entry->size >= sizeof MARK_TEXT - 1 && memcmp(entry->spelling, MARK_TEXT, sizeof MARK_TEXT - 1) == 0;
        uint32_t skip = starts ? (uint32_t)sizeof MARK_TEXT - 1 : 0, prefix = starts ? 0 : 2;
        memcpy(start, "##", prefix);
        memcpy(start + prefix, entry->spelling + skip, entry->size - skip);
        entry->spelling = start;
        entry->size = entry->size - skip + prefix;
        used += entry->size;
    }
    return ENGINE_OK;
}

static enum engine_status add_bert_steps(struct reading *r) {
    static const struct normalizer_step steps[] = {
        {.kind = NORMALIZE_CLEAN}, {.kind = NORMALIZE_SPACE_OUT}, {.kind = NORMALIZE_FORM, .form = FORM_NFD},
        {.kind = NORMALIZE_DROP, .class = CLASS_MARK_NONSPACING}, {.kind = NORMALIZE_LOWERCASE},
    };
    static const struct pretokenizer_step splits[] = {
        {.kind = SPLIT_CLASS, .class = CLASS_WHITESPACE, .behaviour = SPLIT_REMOVED},
        {.kind = SPLIT_CLASS, .class = CLASS_PUNCTUATION, .behaviour = SPLIT_ISOLATED},
    };
    enum engine_status status = ENGINE_OK;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == ENGINE_OK; i++) status = reading_add_step(r, steps[i]);
    for (size_t i = 0; i < sizeof splits / sizeof splits[0] && status == ENGINE_OK; i++)
        status = pretokenizer_add(&r->tokenizer->pretokenizer, splits[i], NULL, 0, r->error, r->error_size);
    return status;
}

/* The token under the first of two keys that the file has. */
static enum engine_status read_either(struct reading *r, const char *key, const char *other, uint32_t *token) {
    enum engine_status status = reading_token(r, key, token);
    if (status == ENGINE_OK && *token == BPE_NONE) status = reading_token(r, other, token);
    if (status == ENGINE_OK && *token == BPE_NONE)
        return engine_fail(ENGINE_BROKEN, r->error, r->error_size, "the model file is damaged: %s is missing", key);
    return status;
}

static enum engine_status read_bert(struct reading *r) {
    uint32_t start, end;
    struct wordpiece_options options = {.continuation = "##", .characters_max = 100};
    snprintf(r->tokenizer->name, sizeof r->tokenizer->name, "wordpiece (bert)");
    enum engine_status status = reading_tokens(r);
    if (status == ENGINE_OK) status = respell(r);
    if (status == ENGINE_OK) status = reading_make_vocabulary(r, (struct vocabulary_style){.continuation = "##"});
    if (status == ENGINE_OK) status = reading_make_added(r);
    if (status == ENGINE_OK) status = add_bert_steps(r);
    if (status == ENGINE_OK) status = reading_token(r, PREFIX "unknown_token_id", &options.unknown);
    if (status == ENGINE_OK && options.unknown == BPE_NONE)
        return engine_fail(ENGINE_BROKEN, r->error, r->error_size,
                           "the model file is damaged: tokenizer.ggml.unknown_token_id is missing");
    if (status == ENGINE_OK)
        status = wordpiece_create(r->tokenizer->vocabulary, options, &r->tokenizer->wordpiece, r->error, r->error_size);
    if (status == ENGINE_OK) status = read_either(r, PREFIX "cls_token_id", PREFIX "bos_token_id", &start);
    if (status == ENGINE_OK) status = read_either(r, PREFIX "seperator_token_id", PREFIX "eos_token_id", &end);
    return status == ENGINE_OK ? reading_make_template(r, start, end, true) : status;
}

/* ---- t5: unigram ------------------------------------------------------------------------------------------- */

static enum engine_status add_charsmap(struct reading *r) {
    const char *key = PREFIX "precompiled_charsmap";
    const struct gguf_value *value = gguf_find(r->gguf, key);
    struct normalizer_step step = {.kind = NORMALIZE_CHARSMAP};
    if (value == NULL) return ENGINE_OK;
    if (!value->array || (value->type != GGUF_UINT8 && value->type != GGUF_INT8) ||
        value->count > (size_t)(value->end - value->data))
        return reading_damaged(r, key);
    enum engine_status status = charsmap_create(value->data, value->count, &step.map, r->error, r->error_size);
    if (status != ENGINE_OK) return status;
    return normalizer_add(&r->tokenizer->normalizer, step, value->data, value->count, r->error, r->error_size);
}

static enum engine_status add_t5_steps(struct reading *r) {
    bool prefix, escape, squeeze;
    enum engine_status status = add_charsmap(r);
    if (status == ENGINE_OK) status = reading_flag(r, PREFIX "add_space_prefix", false, &prefix);
    if (status == ENGINE_OK) status = reading_flag(r, PREFIX "escape_whitespaces", true, &escape);
    if (status == ENGINE_OK) status = reading_flag(r, PREFIX "remove_extra_whitespaces", false, &squeeze);
    if (status == ENGINE_OK && squeeze) status = reading_add_replacement(r, " {2,}", true, " ");
    if (status == ENGINE_OK && squeeze) status = reading_add_replacement(r, "\\A | \\z", true, ""); /* none but these: no line breaks */
    if (status == ENGINE_OK && prefix)
        status = reading_add_content(r, (struct normalizer_step){.kind = NORMALIZE_PREPEND}, escape ? MARK_TEXT : " ");
    if (status == ENGINE_OK && escape) status = reading_add_replacement(r, " ", false, MARK_TEXT);
    return status;
}

static enum engine_status read_t5(struct reading *r) {
    struct unigram_options options = {0};
    uint32_t start, end;
    double *scores = NULL;
    snprintf(r->tokenizer->name, sizeof r->tokenizer->name, "unigram (t5)");
    enum engine_status status = reading_tokens(r);
    if (status == ENGINE_OK) status = reading_make_vocabulary(r, (struct vocabulary_style){.space = MARK});
    if (status == ENGINE_OK) status = reading_make_added(r);
    if (status == ENGINE_OK) status = add_t5_steps(r);
    if (status == ENGINE_OK) status = reading_token(r, PREFIX "unknown_token_id", &options.unknown);
    if (status == ENGINE_OK) status = reading_scores(r, &scores);
    if (status == ENGINE_OK)
        status = unigram_create(r->tokenizer->vocabulary, options, scores, &r->tokenizer->unigram, r->error, r->error_size);
    free(scores);
    if (status == ENGINE_OK) status = reading_added_token(r, PREFIX "add_bos_token", PREFIX "bos_token_id", false, &start);
    if (status == ENGINE_OK) status = reading_added_token(r, PREFIX "add_eos_token", PREFIX "eos_token_id", true, &end);
    return status == ENGINE_OK ? reading_make_template(r, start, end, true) : status;
}

/* ---- all --------------------------------------------------------------------------------------------------- */

static const struct kind_of_tokenizer {
    const char *name;
    const char *const *keys;
    enum engine_status (*read)(struct reading *r);
} kinds[] = {
    {"gpt2", no_keys, read_gpt2},
    {"llama", llama_keys, read_llama},
    {"bert", bert_keys, read_bert},
    {"t5", t5_keys, read_t5},
};

static enum engine_status read_kind(struct reading *r, const struct kind_of_tokenizer *kind) {
    enum engine_status status = reading_check_keys(r, kind->keys);
    if (status == ENGINE_OK) status = kind->read(r);
    free(r->entries);
    free(r->kinds);
    free(r->respelt);
    return status;
}

enum engine_status tokenizer_from_gguf(const struct gguf *gguf, struct tokenizer **tokenizer, char *error,
                                       size_t error_size) {
    struct gguf_string name = {"none", 4};
    const struct kind_of_tokenizer *kind = NULL;
    const struct gguf_value *value = gguf_find(gguf, PREFIX "model");
    if (value != NULL && !gguf_string(value, &name))
        return engine_fail(ENGINE_BROKEN, error, error_size, "the model file is damaged: tokenizer.ggml.model is no text");
    if (gguf_string_is(name, "none")) {
        *tokenizer = NULL;
        return ENGINE_OK;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (gguf_string_is(name, kinds[i].name)) kind = &kinds[i];
    if (kind == NULL)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "the tokenizer \"%.*s\" (tokenizer.ggml.model) is not supported; gpt2, llama, bert and t5 are",
                           (int)(name.size < 64 ? name.size : 64), name.data);
    struct reading reading = {.gguf = gguf, .tokenizer = tokenizer_create(), .error = error, .error_size = error_size};
    if (reading.tokenizer == NULL) return engine_fail_memory(error, error_size);
    enum engine_status status = read_kind(&reading, kind);
    if (status != ENGINE_OK) {
        tokenizer_destroy(reading.tokenizer);
        return status;
    }
    *tokenizer = reading.tokenizer;
    return ENGINE_OK;
}
