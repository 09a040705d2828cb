#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/checked.h"
#include "engine/failure.h"
#include "engine/json_tokenizer.h"
#include "engine/table.h"

/* ---- entries ----------------------------------------------------------------------------------------------- */

static enum engine_status add_entry(struct json_reading *r, struct vocabulary_entry entry) {
    if (r->count == r->room) {
        size_t room = r->room > 0 ? r->room * 2 : 1024, bytes;
        struct vocabulary_entry *entries = checked_multiply(room, sizeof entry, &bytes) ? realloc(r->entries, bytes) : NULL;
        if (entries == NULL) return engine_fail_memory(r->error, r->error_size);
        r->entries = entries;
        r->room = room;
    }
    r->entries[r->count++] = entry;
    return ENGINE_OK;
}

static bool is_named_byte(const char *text, size_t size) {
    return size == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>' && strspn(text + 3, "0123456789ABCDEF") == 2;
}

/* {"token": id, ...} or, with scores, [["token", score], ...]. r->text has room for all of it. */
static enum engine_status read_vocabulary(struct json_reading *r, struct scan list, bool byte_fallback, double **scores) {
    const char open = scores != NULL ? '[' : '{', close = scores != NULL ? ']' : '}';
    bool first = true;
    size_t used = 0, size, score_room = 0, room = (size_t)(list.end - list.at);
    enum engine_status status = ENGINE_OK;
    if ((r->text = malloc(room + 1)) == NULL) return engine_fail_memory(r->error, r->error_size);
    scan_enter(&list, open);
    while (status == ENGINE_OK && scan_more(&list, close, &first)) {
        uint32_t id = (uint32_t)r->count;
        double score = 0;
        char *text = r->text + used;
        if (scores == NULL) {
            if (!scan_key(&list, text, room - used, &size) || !scan_integer(&list, &id)) break;
        } else {
            bool inner = true;
            if (!scan_enter(&list, '[') || !scan_more(&list, ']', &inner) || !scan_string(&list, text, room - used, &size) ||
                !scan_more(&list, ']', &inner) || !scan_number(&list, &score) || scan_more(&list, ']', &inner) ||
                list.broken || !isfinite(score))
                return json_broken(r, "vocabulary");
            if (r->count == score_room) {
                double *grown = realloc(*scores, (score_room = score_room > 0 ? score_room * 2 : 1024) * sizeof **scores);
                if (grown == NULL) return engine_fail_memory(r->error, r->error_size);
                *scores = grown;
            }
            (*scores)[r->count] = score;
        }
        if (id >= VOCABULARY_MAX || r->count >= VOCABULARY_MAX) return json_broken(r, "vocabulary (an id is too large)");
        status = add_entry(r, (struct vocabulary_entry){
                                  .spelling = text,
                                  .size = (uint32_t)size,
                                  .id = id,
                                  .byte = byte_fallback && is_named_byte(text, size),
                              });
        used += size;
    }
    if (status == ENGINE_OK && (list.broken || r->count == 0)) return json_broken(r, "vocabulary");
    return status;
}

/* Whether a token is there twice is seen here: the vocabulary itself looks only at those that a model makes. */
static enum engine_status index_entries(struct json_reading *r, size_t more) {
    r->by_spelling = table_create(r->count + more);
    if (r->by_spelling == NULL) return engine_fail_memory(r->error, r->error_size);
    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t other;
        const struct vocabulary_entry *entry = &r->entries[i];
        if (json_find_token(r, entry->spelling, entry->size, &other))
            return engine_fail(ENGINE_BROKEN, r->error, r->error_size,
                               "the tokenizer (tokenizer.json) is damaged: \"%.*s\" is there twice, as %u and %u",
                               (int)(entry->size < 64 ? entry->size : 64), entry->spelling, other, entry->id);
        table_add(r->by_spelling, table_hash(r->by_spelling, entry->spelling, entry->size), i);
    }
    return ENGINE_OK;
}

static struct vocabulary_entry *find_entry(struct json_reading *r, const char *spelling, size_t size) {
    uint64_t key = table_hash(r->by_spelling, spelling, size);
    uint32_t place;
    for (size_t probe = 0; table_next(r->by_spelling, key, &probe, &place);)
        if (r->entries[place].size == size && memcmp(r->entries[place].spelling, spelling, size) == 0) return &r->entries[place];
    return NULL;
}

/* An added token is a token of the model's vocabulary, or one more. */
static enum engine_status merge_added(struct json_reading *r, const json_t *token) {
    const json_t *id = json_object_get(token, "id"), *content = json_object_get(token, "content");
    bool special;
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= VOCABULARY_MAX ||
        !json_is_string(content) || !json_flag(token, "special", false, &special))
        return json_broken(r, "list of added tokens");
    const char *text = json_string_value(content);
    size_t size = json_string_length(content);
    struct vocabulary_entry *entry = find_entry(r, text, size);
    uint32_t number = (uint32_t)json_integer_value(id);
    if (entry != NULL && entry->id != number)
        return engine_fail(ENGINE_BROKEN, r->error, r->error_size,
                           "the tokenizer (tokenizer.json) is damaged: \"%.64s\" is %u in its vocabulary and %u among its added tokens",
                           text, entry->id, number);
    if (entry != NULL) {
        entry->special = entry->special || special;
        entry->whole = entry->whole || (special && r->byte_level);
        return ENGINE_OK;
    }
    enum engine_status status = add_entry(r, (struct vocabulary_entry){
                                                 .spelling = text,
                                                 .size = (uint32_t)size,
                                                 .id = number,
                                                 .special = special,
                                                 .whole = true,
                                             });
    if (status == ENGINE_OK)
        table_add(r->by_spelling, table_hash(r->by_spelling, text, size), (uint32_t)r->count - 1);
    return status;
}

static enum engine_status make_vocabulary(struct json_reading *r, const json_t *added, const char *continuation) {
    size_t i;
    json_t *token;
    enum engine_status status = index_entries(r, json_array_size(added));
    json_array_foreach(added, i, token) if (status == ENGINE_OK) status = merge_added(r, token);
    if (status != ENGINE_OK) return status;
    const struct vocabulary_style style = {.byte_level = r->byte_level, .space = r->space, .continuation = continuation};
    return vocabulary_create(r->entries, r->count, style, &r->tokenizer->vocabulary, r->error, r->error_size);
}

/* ---- models ------------------------------------------------------------------------------------------------ */

/* What a model's object holds: small options parsed, long lists where they lie. */
struct model_value {
    json_t *options;
    struct scan vocab, merges;
};

/* Merges as "left right" or as ["left", "right"]. */
struct merge_list {
    struct scan list;
    bool first;
    char left[SPELLING_SIZE_MAX], right[SPELLING_SIZE_MAX];
};

static bool next_pair(struct merge_list *merges, size_t *left_size, size_t *right_size) {
    bool first = true;
    struct scan *list = &merges->list;
    return scan_enter(list, '[') && scan_more(list, ']', &first) &&
           scan_string(list, merges->left, sizeof merges->left, left_size) && scan_more(list, ']', &first) &&
           scan_string(list, merges->right, sizeof merges->right, right_size) && !scan_more(list, ']', &first) && !list->broken;
}

static bool next_merge(void *context, const char **left, size_t *left_size, const char **right, size_t *right_size) {
    struct merge_list *merges = context;
    *left = merges->left;
    *right = merges->right;
    if (!scan_more(&merges->list, ']', &merges->first)) return false;
    if (scan_is(&merges->list, '[')) return next_pair(merges, left_size, right_size);
    size_t size;
    do {
        if (!scan_string(&merges->list, merges->left, sizeof merges->left, &size)) return false;
    } while (size >= 8 && memcmp(merges->left, "#version", 8) == 0 && scan_more(&merges->list, ']', &merges->first));
    const char *space = memchr(merges->left, ' ', size);
    if (space == NULL) return false;
    *left_size = (size_t)(space - merges->left);
    *right = space + 1;
    *right_size = size - *left_size - 1;
    return memchr(*right, ' ', *right_size) == NULL;
}

static bool count_merges(struct scan list, size_t *count) {
    bool first = true;
    struct scan value;
    *count = 0;
    scan_enter(&list, '[');
    while (scan_more(&list, ']', &first) && scan_value(&list, &value))
        *count += value.end - value.at < 9 || memcmp(value.at, "\"#version", 9) != 0;
    return !list.broken;
}

/* The token that an option names; BPE_NONE where it is null or missing. False where it is of another kind; *known says whether the
 * vocabulary has it. */
static bool read_unknown(struct json_reading *r, const json_t *options, uint32_t *id, bool *known) {
    const json_t *value = json_object_get(options, "unk_token");
    *id = BPE_NONE;
    *known = true;
    if (value == NULL || json_is_null(value)) return true;
    if (!json_is_string(value)) return false;
    *known = json_find_token(r, json_string_value(value), json_string_length(value), id);
    return true;
}

/* Options that change words, and are not supported but for values that change nothing. */
static enum engine_status refuse_affixes(struct json_reading *r, const json_t *options) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(options, affixes[i]);
        if (value != NULL && !json_is_null(value) && (!json_is_string(value) || json_string_length(value) > 0))
            return json_unsupported(r, "BPE with", affixes[i]);
    }
    const json_t *dropout = json_object_get(options, "dropout");
    if (dropout != NULL && !json_is_null(dropout) && (!json_is_number(dropout) || json_number_value(dropout) != 0))
        return json_unsupported(r, "BPE with", "dropout");
    return ENGINE_OK;
}

static enum engine_status read_bpe(struct json_reading *r, const struct model_value *model, const json_t *added) {
    static const char *const keys[] = {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                                       "fuse_unk", "byte_fallback", "ignore_merges", NULL};
    struct bpe_options options = {.bytes = r->byte_level};
    bool known;
    enum engine_status status = json_only(r, model->options, "the option of BPE", keys);
    if (status == ENGINE_OK) status = refuse_affixes(r, model->options);
    if (status != ENGINE_OK) return status;
    if (!json_flag(model->options, "fuse_unk", false, &options.fuse_unknown) ||
        !json_flag(model->options, "byte_fallback", false, &options.byte_fallback) ||
        !json_flag(model->options, "ignore_merges", false, &options.whole_words))
        return json_broken(r, "model");
    status = read_vocabulary(r, model->vocab, options.byte_fallback, NULL);
    if (status == ENGINE_OK) status = make_vocabulary(r, added, NULL);
    if (status != ENGINE_OK) return status;
    if (!read_unknown(r, model->options, &options.unknown, &known)) return json_broken(r, "unk_token");
    options.drop_unknown = known;
    struct merge_list *merges = calloc(1, sizeof *merges);
    if (merges == NULL) return engine_fail_memory(r->error, r->error_size);
    *merges = (struct merge_list){.list = model->merges, .first = true};
    struct bpe_merge_source source = {.next = next_merge, .context = merges};
    if (model->merges.at == NULL || !count_merges(model->merges, &source.count)) {
        status = json_broken(r, "list of merges");
    } else {
        scan_enter(&merges->list, '[');
        status = bpe_create(r->tokenizer->vocabulary, options, &source, &r->tokenizer->bpe, r->error, r->error_size);
    }
    free(merges);
    return status;
}

static enum engine_status read_wordpiece(struct json_reading *r, const struct model_value *model, const json_t *added) {
    static const char *const keys[] = {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", NULL};
    const json_t *prefix = json_object_get(model->options, "continuing_subword_prefix");
    const json_t *longest = json_object_get(model->options, "max_input_chars_per_word");
    struct wordpiece_options options = {.continuation = "##", .characters_max = 100};
    bool known;
    enum engine_status status = json_only(r, model->options, "the option of WordPiece", keys);
    if (status != ENGINE_OK) return status;
    if (r->byte_level) return json_unsupported(r, "ByteLevel with the model", "WordPiece");
    if ((prefix != NULL && !json_is_string(prefix)) ||
        (longest != NULL && (!json_is_integer(longest) || json_integer_value(longest) < 0)))
        return json_broken(r, "model");
    if (prefix != NULL) options.continuation = json_string_value(prefix);
    if (longest != NULL) options.characters_max = (size_t)json_integer_value(longest);
    status = read_vocabulary(r, model->vocab, false, NULL);
    if (status == ENGINE_OK) status = make_vocabulary(r, added, options.continuation);
    if (status != ENGINE_OK) return status;
    if (!read_unknown(r, model->options, &options.unknown, &known) || options.unknown == BPE_NONE) return json_broken(r, "unk_token");
    return wordpiece_create(r->tokenizer->vocabulary, options, &r->tokenizer->wordpiece, r->error, r->error_size);
}

static enum engine_status read_unigram(struct json_reading *r, const struct model_value *model, const json_t *added) {
    static const char *const keys[] = {"type", "unk_id", "byte_fallback", NULL};
    const json_t *unknown = json_object_get(model->options, "unk_id");
    struct unigram_options options = {.unknown = UNIGRAM_NONE};
    double *scores = NULL;
    enum engine_status status = json_only(r, model->options, "the option of Unigram", keys);
    if (status != ENGINE_OK) return status;
    if (r->byte_level) return json_unsupported(r, "ByteLevel with the model", "Unigram");
    if (!json_flag(model->options, "byte_fallback", false, &options.byte_fallback)) return json_broken(r, "model");
    status = read_vocabulary(r, model->vocab, options.byte_fallback, &scores);
    size_t scored = r->count;
    if (status == ENGINE_OK && unknown != NULL && !json_is_null(unknown)) {
        if (!json_is_integer(unknown) || json_integer_value(unknown) < 0 || (size_t)json_integer_value(unknown) >= scored)
            status = json_broken(r, "unk_id");
        else
            options.unknown = (uint32_t)json_integer_value(unknown);
    }
    if (status == ENGINE_OK) status = make_vocabulary(r, added, NULL);
    if (status == ENGINE_OK) { /* tokens that were added have no score and are made by no model */
        size_t count = vocabulary_count(r->tokenizer->vocabulary);
        double *all = realloc(scores, count * sizeof *scores);
        if (all == NULL) status = engine_fail_memory(r->error, r->error_size);
        else scores = all;
        for (size_t i = scored; all != NULL && i < count; i++) scores[i] = scores[0];
    }
    if (status == ENGINE_OK)
        status = unigram_create(r->tokenizer->vocabulary, options, scores, &r->tokenizer->unigram, r->error, r->error_size);
    free(scores);
    return status;
}

static const struct {
    const char *type, *name;
    enum engine_status (*read)(struct json_reading *r, const struct model_value *model, const json_t *added);
} models[] = {{"BPE", "bpe", read_bpe}, {"WordPiece", "wordpiece", read_wordpiece}, {"Unigram", "unigram", read_unigram}};

static enum engine_status split_model(struct json_reading *r, struct scan object, struct model_value *model) {
    bool first = true;
    char key[64];
    size_t size;
    enum engine_status status = ENGINE_OK;
    scan_enter(&object, '{');
    while (status == ENGINE_OK && scan_more(&object, '}', &first)) {
        struct scan value;
        if (!scan_key(&object, key, sizeof key - 1, &size) || !scan_value(&object, &value)) break;
        key[size] = '\0';
        struct scan *list = strcmp(key, "vocab") == 0 ? &model->vocab : strcmp(key, "merges") == 0 ? &model->merges : NULL;
        if (list != NULL) {
            if (list->at != NULL) return json_broken(r, key);
            *list = value;
            continue;
        }
        json_t *parsed = json_parse(r, value, key, &status);
        if (parsed == NULL) return status;
        if (json_object_get(model->options, key) != NULL) {
            json_decref(parsed);
            return json_broken(r, key);
        }
        if (json_object_set_new(model->options, key, parsed) != 0) return engine_fail_memory(r->error, r->error_size);
    }
    return object.broken || model->vocab.at == NULL ? json_broken(r, "model") : status;
}

/* Files from before models had a type: only BPE has merges, only Unigram a list. */
static const char *model_type(const struct model_value *model) {
    struct scan vocab = model->vocab;
    const json_t *type = json_object_get(model->options, "type");
    if (type != NULL) return json_is_string(type) ? json_string_value(type) : "";
    return model->merges.at != NULL ? "BPE" : scan_is(&vocab, '[') ? "Unigram" : "WordPiece";
}

enum engine_status json_read_model(struct json_reading *r, struct scan value, const json_t *added) {
    struct model_value model = {.options = json_object()};
    if (model.options == NULL) return engine_fail_memory(r->error, r->error_size);
    enum engine_status status = split_model(r, value, &model);
    if (status == ENGINE_OK) {
        const char *type = model_type(&model);
        size_t i = 0;
        while (i < 3 && strcmp(models[i].type, type) != 0) i++;
        if (i == 3) {
            status = json_unsupported(r, "the model", type);
        } else {
            snprintf(r->tokenizer->name, sizeof r->tokenizer->name, "%s", models[i].name);
            status = models[i].read(r, &model, added);
        }
    }
    json_decref(model.options);
    return status;
}
