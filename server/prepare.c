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

static bool prepare_ids(const struct analysis_request *request, struct prepared *prepared, struct problem *problem) {
    const struct model *model = prepared->model.model;
    const struct model_info *info = model_describe(model);
    prepared->tokens = calloc(request->token_id_count + 1, sizeof *prepared->tokens);
    if (!prepared->tokens) return problem_memory(problem);
    prepared->n = request->token_id_count;
    for (size_t i = 0; i < prepared->n; i++) {
        int32_t id = request->token_ids[i];
        char pointer[48];
        if (id >= info->vocabulary) {
            snprintf(pointer, sizeof pointer, "/token_ids/%zu", i);
            return problem_at(problem, 422, pointer, "token id %d is not in the model's vocabulary of %d", id,
                              info->vocabulary);
        }
        prepared->tokens[i].id = id;
        size_t size;
        bool special = false;
        if (model_token_bytes(model, id, &size, &special)) prepared->tokens[i].special = special;
    }
    return true;
}

bool prepare_tokens(struct models *models, const struct analysis_request *request, struct prepared *prepared,
                    struct problem *problem) {
    *prepared = (struct prepared){0};
    if (!models_acquire(models, request->model, &prepared->model, problem)) return false;
    bool fine = !request->token_ids ? prepare_text(request, prepared, problem) : prepare_ids(request, prepared, problem);
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
    *prepared = (struct prepared){0};
}
