#include "server/prepare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/analysis_id.h"

/* The contents: parts where no special token counts. */
static struct byte_range *contents_of(const struct chat_text *chat) {
    struct byte_range *contents = malloc((chat->count + 1) * sizeof *contents);
    for (size_t i = 0; contents && i < chat->count; i++) contents[i] = chat->parts[i].content;
    return contents;
}

static bool prepare_chat(const struct analysis_request *request, struct prepared *prepared, struct problem *problem) {
    char error[512] = "";
    enum engine_status status = model_chat(prepared->model.model, request->messages, request->message_count,
                                           request->add_generation_prompt, &prepared->chat, error, sizeof error);
    if (status != ENGINE_OK) {
        problem_engine(problem, status, error);
        return problem->status == 422 ? problem_at(problem, 422, "/messages", "%s", error) : false;
    }
    prepared->text = prepared->chat.text;
    prepared->text_size = prepared->chat.size;
    return true;
}

static bool prepare_text(const struct analysis_request *request, struct prepared *prepared, struct problem *problem) {
    const struct model *model = prepared->model.model;
    const struct model_info *info = model_describe(model);
    char error[256] = "";
    const char *pointer = request->messages ? "/messages" : "/text";
    if (info->tokenizer_error[0])
        return problem_at(problem, 422, pointer, "model '%s' takes no text: %s; give token_ids instead", prepared->model.id,
                          info->tokenizer_error);
    if (!info->tokenizer[0])
        return problem_at(problem, 422, pointer, "model '%s' has no tokenizer; give token_ids instead of a text",
                          prepared->model.id);
    if (request->text_pair && !info->pairs)
        return problem_at(problem, 422, "/text_pair",
                          "the tokenizer of model '%s', %s, does not say how a pair of texts goes together; leave text_pair out",
                          prepared->model.id, info->tokenizer);
    struct tokenize_options options = {.parse_special = request->parse_special, .add_special = request->add_special,
                                       .pair = request->text_pair, .pair_size = request->text_pair_size};
    struct byte_range *contents = NULL;
    prepared->text = request->text;
    prepared->text_size = request->text_size;
    if (request->messages && !prepare_chat(request, prepared, problem)) return false;
    if (request->messages && !request->parse_special) {
        if (!(contents = contents_of(&prepared->chat))) return problem_memory(problem);
        options.parse_special = true; /* in what the format writes, but in no content */
        options.plain = contents;
        options.plain_count = prepared->chat.count;
    }
    enum engine_status status = model_tokenize(model, prepared->text, prepared->text_size, &options, &prepared->tokens,
                                               &prepared->n, error, sizeof error);
    free(contents);
    if (status != ENGINE_OK) return problem_engine(problem, status, error);
    for (size_t i = 0; i < prepared->n && info->token_types == 0; i++) prepared->tokens[i].type = 0; /* the model does not read them */
    return true;
}

/* field: that the ids came in. */
static bool tokens_of_ids(const struct model *model, const char *field, const int32_t *ids, size_t count, struct token **tokens, size_t *n,
                          struct problem *problem) {
    const struct model_info *info = model_describe(model);
    *tokens = calloc(count + 1, sizeof **tokens);
    if (!*tokens) return problem_memory(problem);
    *n = count;
    for (size_t i = 0; i < count; i++) {
        char pointer[48];
        if (ids[i] >= info->vocabulary) {
            snprintf(pointer, sizeof pointer, "/%s/%zu", field, i);
            return problem_at(problem, 422, pointer, "token id %d is not in the model's vocabulary of %d", ids[i], info->vocabulary);
        }
        (*tokens)[i].id = ids[i];
        size_t size;
        bool special = false;
        if (model_token_bytes(model, ids[i], &size, &special)) (*tokens)[i].special = special;
    }
    return true;
}

static bool prepare_ids(const struct analysis_request *request, struct prepared *prepared, struct problem *problem) {
    return tokens_of_ids(prepared->model.model, "token_ids", request->token_ids, request->token_id_count, &prepared->tokens, &prepared->n,
                         problem);
}

/* The target as a decoder reads it while it is trained: its start in front, and without the token that the tokenizer puts at the end. */
static bool shift_target(struct prepared *prepared, struct token *tokens, size_t n, struct problem *problem) {
    int start = model_describe(prepared->model.model)->decoder_start;
    if (start < 0)
        return problem_at(problem, 422, "/target_ids", "model '%s' does not say what its decoder begins with; give target_ids",
                          prepared->model.id);
    if (n > 0 && tokens[n - 1].special && tokens[n - 1].start == 0 && tokens[n - 1].end == 0) n--;
    prepared->target_tokens = calloc(n + 1, sizeof *tokens);
    if (!prepared->target_tokens) return problem_memory(problem);
    size_t size;
    bool special = true;
    if (!model_token_bytes(prepared->model.model, start, &size, &special)) special = true;
    prepared->target_tokens[0] = (struct token){.id = start, .special = special};
    if (n > 0) memcpy(prepared->target_tokens + 1, tokens, n * sizeof *tokens);
    prepared->target_n = n + 1;
    return true;
}

static bool prepare_target_text(const struct analysis_request *request, struct prepared *prepared, struct problem *problem) {
    const struct model_info *info = model_describe(prepared->model.model);
    struct tokenize_options options = {.parse_special = request->parse_special, .add_special = request->add_special};
    struct token *tokens = NULL;
    size_t n = 0;
    char error[256] = "";
    if (!info->tokenizer[0])
        return problem_at(problem, 422, "/target", "model '%s' takes no text; give target_ids instead", prepared->model.id);
    enum engine_status status =
        model_tokenize(prepared->model.model, request->target, request->target_size, &options, &tokens, &n, error, sizeof error);
    if (status != ENGINE_OK) return problem_engine(problem, status, error);
    bool fine = shift_target(prepared, tokens, n, problem);
    free(tokens);
    return fine;
}

static bool prepare_target(const struct analysis_request *request, struct prepared *prepared, struct problem *problem) {
    if (model_describe(prepared->model.model)->encoder_layers == 0) {
        if (!request->target && !request->target_ids) return true;
        return problem_at(problem, 422, request->target ? "/target" : "/target_ids",
                          "model '%s' has no decoder beside an encoder; leave the target out", prepared->model.id);
    }
    if (request->target) return prepare_target_text(request, prepared, problem);
    if (!request->target_ids) return shift_target(prepared, NULL, 0, problem);
    return tokens_of_ids(prepared->model.model, "target_ids", request->target_ids, request->target_id_count, &prepared->target_tokens,
                         &prepared->target_n, problem);
}

bool prepare_tokens(struct models *models, const struct analysis_request *request, struct prepared *prepared,
                    struct problem *problem) {
    *prepared = (struct prepared){0};
    if (!models_acquire(models, request->model, &prepared->model, problem)) return false;
    bool fine = (!request->token_ids ? prepare_text : prepare_ids)(request, prepared, problem) && prepare_target(request, prepared, problem);
    if (!fine) prepare_clear(prepared);
    return fine;
}

static bool prepare_excluded(const struct analysis_request *request, struct prepared *prepared, struct problem *problem) {
    size_t n = prepared->n;
    prepared->excluded = malloc((n + 1) * sizeof *prepared->excluded);
    if (!prepared->excluded) return problem_memory(problem);
    if (request->exclude == EXCLUDE_AUTO) {
        prepared->excluded_count = analysis_default_exclusions(prepared->model.model, prepared->ids, n, prepared->excluded);
    } else if (request->exclude == EXCLUDE_LIST) {
        size_t count = request->position_count;
        if (count > 0 && request->positions[count - 1] >= n)
            return problem_at(problem, 422, "/exclude_keys",
                              "position %u is outside the text, which has %zu tokens (0 to %zu)",
                              request->positions[count - 1], n, n - 1);
        if (count) memcpy(prepared->excluded, request->positions, count * sizeof *prepared->excluded);
        prepared->excluded_count = count;
    }
    return true;
}

static bool prepare_target_rest(const struct analysis_request *request, struct prepared *prepared, struct problem *problem) {
    size_t n = prepared->target_n;
    int context = model_describe(prepared->model.model)->context;
    if (n == 0) return true;
    if (n > (size_t)context)
        return problem_at(problem, 422, request->target ? "/target" : "/target_ids",
                          "the target has %zu tokens, and model '%s' reads %d at most; shorten it", n, prepared->model.id, context);
    prepared->target_ids = malloc(n * sizeof *prepared->target_ids);
    prepared->target_excluded = malloc(n * sizeof *prepared->target_excluded);
    if (!prepared->target_ids || !prepared->target_excluded) return problem_memory(problem);
    for (size_t i = 0; i < n; i++) prepared->target_ids[i] = prepared->target_tokens[i].id;
    if (request->exclude != EXCLUDE_NONE)
        prepared->target_excluded_count =
            analysis_default_exclusions(prepared->model.model, prepared->target_ids, n, prepared->target_excluded);
    return true;
}

static bool prepare_types(struct prepared *prepared, struct problem *problem) {
    bool any = false;
    for (size_t i = 0; i < prepared->n; i++) any = any || prepared->tokens[i].type > 0;
    if (!any) return true;
    prepared->types = malloc(prepared->n * sizeof *prepared->types);
    if (!prepared->types) return problem_memory(problem);
    for (size_t i = 0; i < prepared->n; i++) prepared->types[i] = prepared->tokens[i].type;
    return true;
}

static bool prepare_rest(const struct analysis_request *request, struct prepared *prepared, struct problem *problem) {
    int context = model_describe(prepared->model.model)->context;
    const char *pointer = request->text ? "/text" : request->messages ? "/messages" : "/token_ids";
    if (prepared->n == 0) return problem_at(problem, 422, pointer, "the text gives no token; write something");
    if (prepared->n > (size_t)context)
        return problem_at(problem, 422, pointer, "the text has %zu tokens, and model '%s' reads %d at most; shorten it",
                          prepared->n,
                          prepared->model.id, context);
    prepared->ids = malloc(prepared->n * sizeof *prepared->ids);
    if (!prepared->ids) return problem_memory(problem);
    for (size_t i = 0; i < prepared->n; i++) prepared->ids[i] = prepared->tokens[i].id;
    if (!prepare_types(prepared, problem) || !prepare_excluded(request, prepared, problem)) return false;
    if (!prepare_target_rest(request, prepared, problem)) return false;
    analysis_id_make(prepared, request, prepared->id);
    return true;
}

bool prepare_analysis(struct models *models, const struct analysis_request *request, enum precision precision,
                      struct prepared *prepared, struct problem *problem) {
    if (!prepare_tokens(models, request, prepared, problem)) return false;
    prepared->precision = precision;
    if (prepare_rest(request, prepared, problem)) return true;
    prepare_clear(prepared);
    return false;
}

void prepare_clear(struct prepared *prepared) {
    models_release(&prepared->model);
    chat_text_finish(&prepared->chat);
    free(prepared->tokens);
    free(prepared->ids);
    free(prepared->types);
    free(prepared->excluded);
    free(prepared->target_tokens);
    free(prepared->target_ids);
    free(prepared->target_excluded);
    *prepared = (struct prepared){0};
}
