#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/json_tokenizer.h"
#include "engine/utf8.h"

enum { NESTING_MAX = 8, MARK = 0x2581 };
#define MARK_TEXT "\xe2\x96\x81"

static const char *type_of(const json_t *value) {
    const char *type = json_string_value(json_object_get(value, "type"));
    return type != NULL ? type : "";
}

/* {"String": text} or {"Regex": expression}. */
static enum engine_status read_pattern(struct json_reading *r, const json_t *value, struct pattern **pattern, const json_t **text) {
    const json_t *plain = json_object_get(value, "String"), *expression = json_object_get(value, "Regex");
    *text = plain != NULL ? plain : expression;
    if (!json_is_string(*text) || (plain != NULL && expression != NULL)) return json_broken(r, "pattern");
    const char *words = json_string_value(*text);
    size_t size = json_string_length(*text);
    return plain != NULL ? pattern_create_plain(words, size, pattern, r->error, r->error_size)
                         : pattern_create(words, size, pattern, r->error, r->error_size);
}

/* ---- normalizers ------------------------------------------------------------------------------------------- */

static enum engine_status add_step(struct json_reading *r, struct normalizer_step step) {
    return normalizer_add(&r->tokenizer->normalizer, step, NULL, 0, r->error, r->error_size);
}

static enum engine_status add_content(struct json_reading *r, struct normalizer_step step, const json_t *content,
                                      const json_t *definition) {
    step.content_size = json_string_length(content);
    step.content = malloc(step.content_size + 1);
    if (step.content == NULL) {
        pattern_destroy(step.pattern);
        return engine_fail_memory(r->error, r->error_size);
    }
    memcpy(step.content, json_string_value(content), step.content_size);
    return normalizer_add(&r->tokenizer->normalizer, step, json_string_value(definition), json_string_length(definition), r->error,
                          r->error_size);
}

static enum engine_status read_replace(struct json_reading *r, const json_t *value) {
    struct normalizer_step step = {.kind = NORMALIZE_REPLACE};
    const json_t *content = json_object_get(value, "content"), *text;
    if (!json_is_string(content)) return json_broken(r, "normalizer Replace");
    enum engine_status status = read_pattern(r, json_object_get(value, "pattern"), &step.pattern, &text);
    if (status != ENGINE_OK) return status;
    if (strcmp(json_string_value(text), " ") == 0 && strcmp(json_string_value(content), MARK_TEXT) == 0) r->space = MARK;
    return add_content(r, step, content, text);
}

static enum engine_status read_prepend(struct json_reading *r, const json_t *value) {
    const json_t *content = json_object_get(value, "prepend");
    if (!json_is_string(content)) return json_broken(r, "normalizer Prepend");
    return add_content(r, (struct normalizer_step){.kind = NORMALIZE_PREPEND}, content, NULL);
}

static enum engine_status read_strip(struct json_reading *r, const json_t *value) {
    struct normalizer_step step = {.kind = NORMALIZE_STRIP};
    if (!json_flag(value, "strip_left", true, &step.left) || !json_flag(value, "strip_right", true, &step.right))
        return json_broken(r, "normalizer Strip");
    return add_step(r, step);
}

static enum engine_status read_bert(struct json_reading *r, const json_t *value) {
    bool clean, space_out, accents, lowercase;
    if (!json_flag(value, "clean_text", true, &clean) || !json_flag(value, "handle_chinese_chars", true, &space_out) ||
        !json_flag(value, "lowercase", true, &lowercase) || !json_flag(value, "strip_accents", lowercase, &accents))
        return json_broken(r, "normalizer BertNormalizer");
    const struct { bool there; struct normalizer_step step; } steps[] = {
        {clean, {.kind = NORMALIZE_CLEAN}},
        {space_out, {.kind = NORMALIZE_SPACE_OUT}},
        {accents, {.kind = NORMALIZE_FORM, .form = FORM_NFD}},
        {accents, {.kind = NORMALIZE_DROP, .class = CLASS_MARK_NONSPACING}},
        {lowercase, {.kind = NORMALIZE_LOWERCASE}},
    };
    enum engine_status status = ENGINE_OK;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == ENGINE_OK; i++)
        if (steps[i].there) status = add_step(r, steps[i].step);
    return status;
}

static enum engine_status read_precompiled(struct json_reading *r, const json_t *value) {
    const json_t *text = json_object_get(value, "precompiled_charsmap");
    struct normalizer_step step = {.kind = NORMALIZE_CHARSMAP};
    struct base64_decode_ctx context;
    size_t size = BASE64_DECODE_LENGTH(json_string_length(text));
    if (text == NULL || json_is_null(text)) return ENGINE_OK;
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL) return engine_fail_memory(r->error, r->error_size);
    base64_decode_init(&context);
    enum engine_status status;
    if (!json_is_string(text) || !base64_decode_update(&context, &size, bytes, json_string_length(text), json_string_value(text)) ||
        !base64_decode_final(&context))
        status = json_broken(r, "normalizer Precompiled");
    else
        status = charsmap_create(bytes, size, &step.map, r->error, r->error_size);
    if (status == ENGINE_OK) status = normalizer_add(&r->tokenizer->normalizer, step, bytes, size, r->error, r->error_size);
    free(bytes);
    return status;
}

#define FORM(form_) {.kind = NORMALIZE_FORM, .form = form_}

/* A normalizer is a step, or has a reader of its own. */
static const struct {
    const char *type;
    enum engine_status (*read)(struct json_reading *r, const json_t *value);
    struct normalizer_step step;
    const char *keys[7];
} normalizers[] = {
    {"NFC", NULL, FORM(FORM_NFC), {"type"}},
    {"NFD", NULL, FORM(FORM_NFD), {"type"}},
    {"NFKC", NULL, FORM(FORM_NFKC), {"type"}},
    {"NFKD", NULL, FORM(FORM_NFKD), {"type"}},
    {"Lowercase", NULL, {.kind = NORMALIZE_LOWERCASE}, {"type"}},
    {"StripAccents", NULL, {.kind = NORMALIZE_DROP, .class = CLASS_MARK}, {"type"}},
    {"Strip", read_strip, {0}, {"type", "strip_left", "strip_right"}},
    {"Replace", read_replace, {0}, {"type", "pattern", "content"}},
    {"Prepend", read_prepend, {0}, {"type", "prepend"}},
    {"Precompiled", read_precompiled, {0}, {"type", "precompiled_charsmap"}},
    {"BertNormalizer", read_bert, {0}, {"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"}},
};

static enum engine_status read_normalizer(struct json_reading *r, const json_t *value, int depth) {
    const char *type = type_of(value);
    const json_t *list = json_object_get(value, "normalizers"), *one;
    enum engine_status status = ENGINE_OK;
    size_t i;
    if (strcmp(type, "Sequence") == 0) {
        if (!json_is_array(list) || depth == NESTING_MAX) return json_broken(r, "normalizer Sequence");
        json_array_foreach(list, i, one) if (status == ENGINE_OK) status = read_normalizer(r, one, depth + 1);
        return status;
    }
    for (i = 0; i < sizeof normalizers / sizeof normalizers[0]; i++) {
        if (strcmp(normalizers[i].type, type) != 0) continue;
        status = json_only(r, value, "the normalizer's option", normalizers[i].keys);
        if (status != ENGINE_OK) return status;
        return normalizers[i].read != NULL ? normalizers[i].read(r, value) : add_step(r, normalizers[i].step);
    }
    return json_unsupported(r, "the normalizer", type);
}

enum engine_status json_read_normalizer(struct json_reading *r, const json_t *value) {
    return value != NULL ? read_normalizer(r, value, 0) : ENGINE_OK;
}

/* ---- pre-tokenizers ---------------------------------------------------------------------------------------- */

static enum engine_status add_split(struct json_reading *r, struct pretokenizer_step step, const char *definition, size_t size) {
    return pretokenizer_add(&r->tokenizer->pretokenizer, step, definition, size, r->error, r->error_size);
}

static bool read_behaviour(const json_t *value, enum split_behaviour *behaviour) {
    static const struct { const char *name; enum split_behaviour behaviour; } names[] = {
        {"Removed", SPLIT_REMOVED}, {"Isolated", SPLIT_ISOLATED}, {"MergedWithPrevious", SPLIT_MERGED_WITH_PREVIOUS},
        {"MergedWithNext", SPLIT_MERGED_WITH_NEXT}, {"Contiguous", SPLIT_CONTIGUOUS},
    };
    const char *name = json_string_value(json_object_get(value, "behavior"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (name == NULL || strcmp(names[i].name, name) != 0) continue;
        *behaviour = names[i].behaviour;
        return true;
    }
    return false;
}

static enum engine_status read_split(struct json_reading *r, const json_t *value) {
    struct pretokenizer_step step = {.kind = SPLIT_PATTERN};
    const json_t *text;
    if (!read_behaviour(value, &step.behaviour) || !json_flag(value, "invert", false, &step.invert))
        return json_broken(r, "pre_tokenizer Split");
    enum engine_status status = read_pattern(r, json_object_get(value, "pattern"), &step.pattern, &text);
    return status == ENGINE_OK ? add_split(r, step, json_string_value(text), json_string_length(text)) : status;
}

static enum engine_status read_byte_level(struct json_reading *r, const json_t *value) {
    bool prefix, split;
    struct pretokenizer_step step = {.kind = SPLIT_PATTERN, .behaviour = SPLIT_ISOLATED};
    enum engine_status status = ENGINE_OK;
    if (!json_flag(value, "add_prefix_space", true, &prefix) || !json_flag(value, "use_regex", true, &split))
        return json_broken(r, "pre_tokenizer ByteLevel");
    r->byte_level = true;
    if (prefix) status = add_split(r, (struct pretokenizer_step){.kind = SPLIT_PREFIX, .character = ' '}, NULL, 0);
    if (status != ENGINE_OK || !split) return status;
    size_t size = strlen(pretokenizer_gpt2);
    status = pattern_create(pretokenizer_gpt2, size, &step.pattern, r->error, r->error_size);
    return status == ENGINE_OK ? add_split(r, step, pretokenizer_gpt2, size) : status;
}

static enum engine_status read_metaspace(struct json_reading *r, const json_t *value) {
    const json_t *mark = json_object_get(value, "replacement"), *scheme = json_object_get(value, "prepend_scheme");
    const char *name = scheme != NULL ? json_string_value(scheme) : "always";
    bool prefix, split;
    uint32_t character;
    if (!json_is_string(mark) || name == NULL || !json_flag(value, "add_prefix_space", true, &prefix) ||
        !json_flag(value, "split", true, &split) || json_string_length(mark) == 0 ||
        utf8_character(json_string_value(mark), json_string_length(mark), &character) != json_string_length(mark))
        return json_broken(r, "pre_tokenizer Metaspace");
    if (strcmp(name, "always") != 0 && strcmp(name, "first") != 0 && strcmp(name, "never") != 0)
        return json_unsupported(r, "Metaspace with the scheme", name);
    r->space = character;
    enum engine_status status = add_split(r, (struct pretokenizer_step){.kind = SPLIT_MARK, .character = character}, NULL, 0);
    if (status == ENGINE_OK && prefix && strcmp(name, "never") != 0)
        status = add_split(r, (struct pretokenizer_step){.kind = SPLIT_PREFIX, .character = character,
                                                         .only_first = strcmp(name, "first") == 0}, NULL, 0);
    if (status == ENGINE_OK && split)
        status = add_split(r, (struct pretokenizer_step){.kind = SPLIT_CHARACTER, .character = character,
                                                         .behaviour = SPLIT_MERGED_WITH_NEXT}, NULL, 0);
    return status;
}

static enum engine_status read_bert_split(struct json_reading *r, const json_t *value) {
    (void)value;
    enum engine_status status = add_split(
        r, (struct pretokenizer_step){.kind = SPLIT_CLASS, .class = CLASS_WHITESPACE, .behaviour = SPLIT_REMOVED}, NULL, 0);
    if (status != ENGINE_OK) return status;
    return add_split(r, (struct pretokenizer_step){.kind = SPLIT_CLASS, .class = CLASS_PUNCTUATION, .behaviour = SPLIT_ISOLATED},
                     NULL, 0);
}

static enum engine_status read_words(struct json_reading *r, const json_t *value) {
    (void)value;
    return add_split(r, (struct pretokenizer_step){.kind = SPLIT_WORDS}, NULL, 0);
}

static enum engine_status read_space_split(struct json_reading *r, const json_t *value) {
    (void)value;
    return add_split(r, (struct pretokenizer_step){.kind = SPLIT_CLASS, .class = CLASS_WHITESPACE, .behaviour = SPLIT_REMOVED},
                     NULL, 0);
}

static enum engine_status read_digits(struct json_reading *r, const json_t *value) {
    bool individual;
    if (!json_flag(value, "individual_digits", false, &individual)) return json_broken(r, "pre_tokenizer Digits");
    return add_split(r, (struct pretokenizer_step){.kind = SPLIT_CLASS, .class = CLASS_NUMERIC,
                                                   .behaviour = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS}, NULL, 0);
}

static enum engine_status read_punctuation(struct json_reading *r, const json_t *value) {
    struct pretokenizer_step step = {.kind = SPLIT_CLASS, .class = CLASS_PUNCTUATION, .behaviour = SPLIT_ISOLATED};
    if (json_object_get(value, "behavior") != NULL && !read_behaviour(value, &step.behaviour))
        return json_broken(r, "pre_tokenizer Punctuation");
    return add_split(r, step, NULL, 0);
}

static const struct {
    const char *type;
    enum engine_status (*read)(struct json_reading *r, const json_t *value);
    const char *keys[7];
} pretokenizers[] = {
    {"ByteLevel", read_byte_level, {"type", "add_prefix_space", "trim_offsets", "use_regex"}},
    {"Split", read_split, {"type", "pattern", "behavior", "invert"}},
    {"Metaspace", read_metaspace, {"type", "replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"}},
    {"BertPreTokenizer", read_bert_split, {"type"}},
    {"Whitespace", read_words, {"type"}},
    {"WhitespaceSplit", read_space_split, {"type"}},
    {"Digits", read_digits, {"type", "individual_digits"}},
    {"Punctuation", read_punctuation, {"type", "behavior"}},
};

static enum engine_status read_pretokenizer(struct json_reading *r, const json_t *value, int depth) {
    const char *type = type_of(value);
    const json_t *list = json_object_get(value, "pretokenizers"), *one;
    enum engine_status status = ENGINE_OK;
    size_t i;
    if (strcmp(type, "Sequence") == 0) {
        if (!json_is_array(list) || depth == NESTING_MAX) return json_broken(r, "pre_tokenizer Sequence");
        json_array_foreach(list, i, one) if (status == ENGINE_OK) status = read_pretokenizer(r, one, depth + 1);
        return status;
    }
    if (r->byte_level) return json_unsupported(r, "ByteLevel followed by the pre-tokenizer", type);
    for (i = 0; i < sizeof pretokenizers / sizeof pretokenizers[0]; i++) {
        if (strcmp(pretokenizers[i].type, type) != 0) continue;
        status = json_only(r, value, "the pre-tokenizer's option", pretokenizers[i].keys);
        return status == ENGINE_OK ? pretokenizers[i].read(r, value) : status;
    }
    return json_unsupported(r, "the pre-tokenizer", type);
}

enum engine_status json_read_pretokenizer(struct json_reading *r, const json_t *value) {
    return value != NULL ? read_pretokenizer(r, value, 0) : ENGINE_OK;
}
