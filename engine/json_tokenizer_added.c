#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/json_tokenizer.h"

/* ---- added tokens ------------------------------------------------------------------------------------------ */

/* Added tokens that are normalised are looked for in the normalised text, as they look there. */
static enum engine_status normalise_contents(struct json_reading *r, struct added_token *tokens, size_t count, char **texts) {
    struct matcher *matcher = matcher_create();
    struct rewriting scratch[2] = {{0}};
    enum engine_status status = matcher != NULL ? ENGINE_OK : engine_fail_memory(r->error, r->error_size);
    size_t room = 0, used = 0;
    for (size_t i = 0; i < count && status == ENGINE_OK; i++) {
        struct stretch out;
        status = normalizer_run(&r->tokenizer->normalizer, (struct stretch){.bytes = tokens[i].content, .size = tokens[i].size},
                                matcher, scratch, &out, r->error, r->error_size);
        if (status != ENGINE_OK) break;
        if (out.size > room - used) {
            char *grown = realloc(*texts, room = (room + out.size) * 2 + 64);
            if (grown == NULL) {
                status = engine_fail_memory(r->error, r->error_size);
                break;
            }
            *texts = grown;
        }
        memcpy(*texts + used, out.bytes, out.size);
        tokens[i].size = out.size;
        used += out.size;
    }
    used = 0;
    for (size_t i = 0; i < count && status == ENGINE_OK; i++) {
        tokens[i].content = *texts != NULL ? *texts + used : "";
        used += tokens[i].size;
    }
    rewriting_finish(&scratch[0]);
    rewriting_finish(&scratch[1]);
    matcher_destroy(matcher);
    return status;
}

static enum engine_status read_token(struct json_reading *r, const json_t *value, struct added_token *token, bool *normalised) {
    static const char *const keys[] = {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special", NULL};
    const json_t *content = json_object_get(value, "content");
    enum engine_status status = json_only(r, value, "an added token with", keys);
    if (status != ENGINE_OK) return status;
    *token = (struct added_token){
        .content = json_string_value(content),
        .size = json_string_length(content),
        .id = (uint32_t)json_integer_value(json_object_get(value, "id")),
    };
    if (!json_flag(value, "special", false, &token->special) || !json_flag(value, "single_word", false, &token->single_word) ||
        !json_flag(value, "lstrip", false, &token->lstrip) || !json_flag(value, "rstrip", false, &token->rstrip) ||
        !json_flag(value, "normalized", !token->special, normalised))
        return json_broken(r, "list of added tokens");
    return ENGINE_OK;
}

enum engine_status json_read_added(struct json_reading *r, const json_t *added) {
    size_t count = json_array_size(added), plain = 0, normal = 0, i;
    if (count == 0) return ENGINE_OK;
    struct added_token *tokens = malloc(2 * count * sizeof *tokens);
    if (tokens == NULL) return engine_fail_memory(r->error, r->error_size);
    struct added_token *normalised = tokens + count;
    enum engine_status status = ENGINE_OK;
    json_t *value;
    char *texts = NULL;
    json_array_foreach(added, i, value) {
        struct added_token token;
        bool normalise;
        status = read_token(r, value, &token, &normalise);
        if (status != ENGINE_OK) break;
        if (normalise) normalised[normal++] = token;
        else tokens[plain++] = token;
    }
    if (status == ENGINE_OK && plain > 0)
        status = added_tokens_create(tokens, plain, &r->tokenizer->plain, r->error, r->error_size);
    if (status == ENGINE_OK && normal > 0) status = normalise_contents(r, normalised, normal, &texts);
    if (status == ENGINE_OK && normal > 0)
        status = added_tokens_create(normalised, normal, &r->tokenizer->normalised, r->error, r->error_size);
    free(texts);
    free(tokens);
    return status;
}

/* ---- post-processors --------------------------------------------------------------------------------------- */

static enum engine_status put(struct json_reading *r, struct template *template, struct template_piece piece) {
    if (!piece.text && piece.id >= vocabulary_count(r->tokenizer->vocabulary)) return json_broken(r, "post_processor (a token's id)");
    return template_add(template, piece) ? ENGINE_OK : json_unsupported(r, "post_processor", "with more than 64 pieces");
}

/* The ids that a template's special token stands for. */
static enum engine_status put_special(struct json_reading *r, struct template *template, const json_t *specials, const char *name,
                                      uint8_t type) {
    const json_t *ids = json_object_get(json_object_get(specials, name), "ids"), *id;
    size_t i;
    enum engine_status status = ENGINE_OK;
    if (name == NULL || !json_is_array(ids)) return json_broken(r, "post_processor");
    json_array_foreach(ids, i, id) {
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= VOCABULARY_MAX)
            return json_broken(r, "post_processor (a token's id)");
        status = put(r, template, (struct template_piece){.id = (uint32_t)json_integer_value(id), .type = type});
        if (status != ENGINE_OK) return status;
    }
    return status;
}

static enum engine_status read_template(struct json_reading *r, const json_t *pieces, const json_t *specials, size_t texts,
                                        struct template *template) {
    size_t i, seen[2] = {0};
    const json_t *piece;
    enum engine_status status = ENGINE_OK;
    template->count = 0;
    if (!json_is_array(pieces)) return json_broken(r, "post_processor");
    json_array_foreach(pieces, i, piece) {
        const json_t *text = json_object_get(piece, "Sequence"), *special = json_object_get(piece, "SpecialToken");
        const json_t *type = json_object_get(text != NULL ? text : special, "type_id");
        const char *name = json_string_value(json_object_get(text != NULL ? text : special, "id"));
        if (!json_is_integer(type) || json_integer_value(type) < 0 || json_integer_value(type) > 255 || name == NULL)
            return json_broken(r, "post_processor");
        uint8_t type_id = (uint8_t)json_integer_value(type);
        if (text == NULL) {
            status = put_special(r, template, specials, name, type_id);
        } else {
            uint8_t sequence = strcmp(name, "A") != 0;
            if ((sequence == 1 && strcmp(name, "B") != 0) || seen[sequence]++ > 0)
                return json_unsupported(r, "a template with the text", name);
            status = put(r, template, (struct template_piece){.text = true, .sequence = sequence, .type = type_id});
        }
        if (status != ENGINE_OK) return status;
    }
    return seen[0] == 1 && seen[1] == texts - 1 ? status : json_broken(r, "post_processor (a template without a text)");
}

/* ["[SEP]", 102] */
static bool read_pair(const json_t *value, uint32_t *id) {
    const json_t *number = json_array_get(value, 1);
    if (!json_is_string(json_array_get(value, 0)) || !json_is_integer(number) || json_integer_value(number) < 0 ||
        json_integer_value(number) >= VOCABULARY_MAX)
        return false;
    *id = (uint32_t)json_integer_value(number);
    return true;
}

/* BERT: cls A sep B sep, RoBERTa: cls A sep sep B sep, all of one type. */
static enum engine_status read_bert(struct json_reading *r, const json_t *value, bool roberta) {
    static const char *const keys[] = {"type", "sep", "cls", "trim_offsets", "add_prefix_space", NULL};
    uint32_t cls, sep;
    const uint8_t second = roberta ? 0 : 1;
    struct template *single = &r->tokenizer->single, *pair = &r->tokenizer->pair;
    enum engine_status status = json_only(r, value, "the post-processor's option", keys);
    if (status != ENGINE_OK) return status;
    if (!read_pair(json_object_get(value, "cls"), &cls) || !read_pair(json_object_get(value, "sep"), &sep))
        return json_broken(r, "post_processor");
    const struct template_piece pieces[] = {
        {.id = cls}, {.text = true}, {.id = sep}, {.id = sep}, {.text = true, .sequence = 1, .type = second}, {.id = sep, .type = second},
    };
    single->count = pair->count = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0] && status == ENGINE_OK; i++) {
        if (i < 3) status = put(r, single, pieces[i]);
        if (status == ENGINE_OK && (i != 3 || roberta)) status = put(r, pair, pieces[i]);
    }
    return status;
}

/* ByteLevel only trims ranges, which here say what each token stands for, its space included. */
static enum engine_status read_one(struct json_reading *r, const json_t *value, int *templates) {
    static const char *const keys[] = {"type", "single", "pair", "special_tokens", NULL};
    const char *type = json_string_value(json_object_get(value, "type"));
    if (type == NULL) return json_broken(r, "post_processor");
    if (strcmp(type, "ByteLevel") == 0) return ENGINE_OK;
    if ((*templates)++ > 0) return json_unsupported(r, "more than one post-processor that adds tokens, the last", type);
    if (strcmp(type, "BertProcessing") == 0) return read_bert(r, value, false);
    if (strcmp(type, "RobertaProcessing") == 0) return read_bert(r, value, true);
    if (strcmp(type, "TemplateProcessing") != 0) return json_unsupported(r, "the post-processor", type);
    const json_t *specials = json_object_get(value, "special_tokens");
    enum engine_status status = json_only(r, value, "the post-processor's option", keys);
    if (status == ENGINE_OK) status = read_template(r, json_object_get(value, "single"), specials, 1, &r->tokenizer->single);
    if (status == ENGINE_OK) status = read_template(r, json_object_get(value, "pair"), specials, 2, &r->tokenizer->pair);
    return status;
}

enum engine_status json_read_post_processor(struct json_reading *r, const json_t *value) {
    int templates = 0;
    size_t i;
    const json_t *one, *type = json_object_get(value, "type"), *list = json_object_get(value, "processors");
    enum engine_status status = ENGINE_OK;
    if (value == NULL) return ENGINE_OK;
    if (!json_is_string(type) || strcmp(json_string_value(type), "Sequence") != 0) return read_one(r, value, &templates);
    if (!json_is_array(list)) return json_broken(r, "post_processor");
    json_array_foreach(list, i, one) if (status == ENGINE_OK) status = read_one(r, one, &templates);
    return status;
}
