#include "server/json_lines.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/json_problem.h"

#ifndef HEADSCOPE_VERSION
#error "the build defines HEADSCOPE_VERSION"
#endif

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static void json_key(struct json_text *out, const char *key) {
    json_put(out, ",\"");
    json_put(out, key);
    json_put(out, "\":");
}

static void json_text_field(struct json_text *out, const char *key, const char *text) {
    json_key(out, key);
    json_put_string(out, text);
}

static void json_integer_field(struct json_text *out, const char *key, int64_t value) {
    json_key(out, key);
    json_put_integer(out, value);
}

void json_model(struct json_text *out, const char *id, const char *digest, const struct model_info *info) {
    json_put(out, "{\"id\":");
    json_put_string(out, id);
    json_key(out, "name");
    json_put_text(out, info->name, strlen(info->name));
    json_text_field(out, "architecture", info->architecture);
    json_text_field(out, "digest", digest);
    json_integer_field(out, "layers", info->layers);
    json_integer_field(out, "heads", info->heads);
    json_integer_field(out, "kv_heads", info->kv_heads);
    json_integer_field(out, "head_dim", info->head_dim);
    json_integer_field(out, "d_model", info->d_model);
    json_integer_field(out, "context", info->context);
    json_integer_field(out, "vocabulary", info->vocabulary);
    json_key(out, "causal");
    json_put_bool(out, info->causal);
    if (info->encoder_layers > 0) {
        json_put(out, ",\"sections\":[\"encoder\",\"decoder\",\"cross\"]");
        json_integer_field(out, "encoder_layers", info->encoder_layers);
        json_integer_field(out, "encoder_heads", info->encoder_heads);
        json_key(out, "decoder_start");
        if (info->decoder_start >= 0) json_put_integer(out, info->decoder_start);
        else json_put(out, "null");
    }
    json_text_field(out, "format", info->format);
    json_text_field(out, "dtype", info->dtype);
    json_key(out, "bytes");
    json_put_unsigned(out, info->bytes);
    json_text_field(out, "licence", info->licence);
    json_text_field(out, "tokenizer", info->tokenizer);
    json_key(out, "pairs");
    json_put_bool(out, info->pairs);
    json_key(out, "chat");
    if (info->chat[0]) json_put_string(out, info->chat);
    else json_put(out, "null");
    if (info->tokenizer_error[0]) json_text_field(out, "tokenizer_error", info->tokenizer_error);
    json_put(out, "}");
}

void json_engine(struct json_text *out, enum precision precision) {
    json_put(out, "{\"name\":\"headscope\",\"version\":\"" HEADSCOPE_VERSION "\",\"numerics\":");
    json_put_integer(out, ENGINE_NUMERICS_VERSION);
    json_text_field(out, "precision", precision_name(precision));
    json_put(out, "}");
}

/* A token's text is its own stretch of the text; a token that is not in the text, or has none, shows what it stands for. */
static void json_token_text(struct json_text *out, const struct prepared *prepared, const struct token *token,
                            const struct analysis_request *request) {
    const struct model *model = prepared->model.model;
    const char *text = token->sequence == 0 ? prepared->text : request->text_pair;
    size_t size = token->end - token->start;
    const char *bytes = text && size > 0 ? text + token->start : model_token_bytes(model, token->id, &size, NULL);
    if (!bytes) {
        json_put(out, "null");
    } else if (!json_put_text(out, bytes, size)) {
        json_key(out, "bytes");
        json_put_hex(out, bytes, size);
    }
}

static void json_tokens(struct json_text *out, const struct prepared *prepared, const struct analysis_request *request) {
    const struct token *tokens = prepared->tokens;
    json_put(out, "[");
    for (size_t i = 0; i < prepared->n; i++) {
        json_put(out, i ? ",{\"id\":" : "{\"id\":");
        json_put_integer(out, tokens[i].id);
        json_key(out, "text");
        json_token_text(out, prepared, &tokens[i], request);
        json_integer_field(out, "start", tokens[i].start);
        json_integer_field(out, "end", tokens[i].end);
        json_key(out, "special");
        json_put_bool(out, tokens[i].special);
        json_integer_field(out, "sequence", tokens[i].sequence);
        if (tokens[i].type > 0) json_integer_field(out, "type", tokens[i].type);
        json_put(out, "}");
    }
    json_put(out, "]");
}

void json_target_tokens(struct json_text *out, const struct prepared *prepared, const struct analysis_request *request) {
    if (prepared->target_n == 0) return;
    const struct prepared target = {.model = prepared->model, .tokens = prepared->target_tokens, .n = prepared->target_n,
                                    .text = request->target, .text_size = request->target_size};
    const struct analysis_request text = {.text = request->target, .text_size = request->target_size};
    json_key(out, "target_tokens");
    json_tokens(out, &target, &text);
}

const char *section_name(enum section section) {
    static const char *const names[SECTIONS] = {[SECTION_DECODER] = "decoder", [SECTION_ENCODER] = "encoder", [SECTION_CROSS] = "cross"};
    return names[section];
}

static void json_positions(struct json_text *out, const uint32_t *positions, size_t count) {
    json_put(out, "[");
    for (size_t i = 0; i < count; i++) {
        if (i) json_put(out, ",");
        json_put_unsigned(out, positions[i]);
    }
    json_put(out, "]");
}

/* The first token from `from` on that starts at `place` or behind it. One that was added stands nowhere in the text, and is passed over. */
static size_t token_at(const struct prepared *prepared, size_t from, size_t place) {
    size_t i = from;
    for (; i < prepared->n; i++) {
        const struct token *token = &prepared->tokens[i];
        if (token->start >= place && !(token->special && token->end == 0)) break;
    }
    return i;
}

static void json_chat(struct json_text *out, const struct prepared *prepared) {
    static const char *const roles[CHAT_ROLES] = {"system", "user", "assistant"};
    size_t first = 0;
    json_put(out, "\"chat\":");
    json_put_string(out, model_describe(prepared->model.model)->chat);
    json_key(out, "messages");
    json_put(out, "[");
    for (size_t i = 0; i < prepared->chat.count; i++) {
        const struct chat_part *part = &prepared->chat.parts[i];
        first = token_at(prepared, first, part->whole.start);
        size_t end = token_at(prepared, first, part->whole.end);
        json_put(out, i ? ",{\"role\":" : "{\"role\":");
        json_put_string(out, roles[part->role]);
        json_integer_field(out, "first", (int64_t)first);
        json_integer_field(out, "end", (int64_t)end);
        json_key(out, "content");
        json_put(out, "[");
        json_put_unsigned(out, part->content.start);
        json_put(out, ",");
        json_put_unsigned(out, part->content.end);
        json_put(out, "]");
        json_key(out, "given");
        json_put_bool(out, part->given);
        json_put(out, "}");
        first = end;
    }
    json_put(out, "]");
}

void json_tokenized(struct json_text *out, const struct prepared *prepared, const struct analysis_request *request) {
    json_put(out, "{\"model\":");
    json_put_string(out, prepared->model.id);
    if (request->messages) {
        json_key(out, "text");
        json_put_text(out, prepared->text, prepared->text_size);
        json_put(out, ",");
        json_chat(out, prepared);
    }
    json_key(out, "tokens");
    json_tokens(out, prepared, request);
    json_target_tokens(out, prepared, request);
    json_put(out, "}");
}

static void json_options(struct json_text *out, const struct prepared *prepared, const struct analysis_request *request) {
    json_put(out, "{\"exclude_keys\":");
    if (request->exclude == EXCLUDE_LIST) json_positions(out, request->positions, request->position_count);
    else json_put_string(out, request->exclude == EXCLUDE_AUTO ? "auto" : "none");
    json_key(out, "excluded");
    json_positions(out, prepared->excluded, prepared->excluded_count);
    if (prepared->target_n > 0) {
        json_key(out, "target_excluded");
        json_positions(out, prepared->target_excluded, prepared->target_excluded_count);
    }
    json_key(out, "parse_special");
    json_put_bool(out, request->parse_special);
    json_key(out, "add_special");
    json_put_bool(out, request->add_special);
    if (request->messages) {
        json_key(out, "add_generation_prompt");
        json_put_bool(out, request->add_generation_prompt);
    }
    json_put(out, "}");
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

void json_line_start(struct json_text *out, const struct prepared *prepared, const struct analysis_request *request,
                     const struct analysis_estimate *estimate) {
    json_put(out, "{\"event\":\"start\"");
    json_text_field(out, "id", prepared->id);
    json_key(out, "model");
    json_model(out, prepared->model.id, prepared->model.digest, model_describe(prepared->model.model));
    json_key(out, "engine");
    json_engine(out, prepared->precision);
    json_key(out, "options");
    json_options(out, prepared, request);
    json_key(out, "text");
    if (prepared->text) json_put_text(out, prepared->text, prepared->text_size);
    else json_put(out, "null");
    if (request->text_pair) {
        json_key(out, "text_pair");
        json_put_text(out, request->text_pair, request->text_pair_size);
    }
    if (request->messages) {
        json_put(out, ",");
        json_chat(out, prepared);
    }
    if (prepared->target_n > 0) {
        json_key(out, "target");
        if (request->target) json_put_text(out, request->target, request->target_size);
        else json_put(out, "null");
        json_integer_field(out, "n_target_tokens", (int64_t)prepared->target_n);
    }
    json_integer_field(out, "n_tokens", (int64_t)prepared->n);
    json_put(out, ",\"estimate\":{\"seconds\":");
    json_put_real(out, estimate->seconds);
    json_key(out, "bytes");
    json_put_unsigned(out, estimate->bytes);
    json_put(out, "}}");
}

void json_line_tokens(struct json_text *out, const struct prepared *prepared, const struct analysis_request *request) {
    json_put(out, "{\"event\":\"tokens\",\"tokens\":");
    json_tokens(out, prepared, request);
    json_target_tokens(out, prepared, request);
    json_put(out, "}");
}

static void json_statistics(struct json_text *out, const struct head_statistics *statistics, bool causal, bool sink_logits) {
    bool first = true;
    json_put(out, "{");
    for (int i = 0; i < STAT_COUNT; i++) {
        const struct statistic_field *field = &statistic_fields[i];
        double value = statistics->value[i];
        if ((causal && field->encoder_only) || (!sink_logits && field->sink_logits_only)) continue;
        json_put(out, first ? "\"" : ",\"");
        json_put(out, field->name);
        json_put(out, "\":");
        if (field->integer && isfinite(value)) json_put_integer(out, (int64_t)value);
        else json_put_real(out, value);
        first = false;
    }
    json_put(out, "}");
}

void json_line_layer(struct json_text *out, const struct layer_result *result, const struct model_info *info) {
    size_t cells = (size_t)result->heads * (size_t)result->rows * (size_t)result->cols;
    bool causal = info->encoder_layers > 0 ? result->section == SECTION_DECODER : info->causal;
    json_put(out, "{\"event\":\"layer\"");
    if (info->encoder_layers > 0) json_text_field(out, "section", section_name(result->section));
    json_integer_field(out, "layer", result->layer);
    json_put(out, ",\"heads\":[");
    for (int head = 0; head < result->heads; head++) {
        json_put(out, head ? ",{\"head\":" : "{\"head\":");
        json_put_integer(out, head);
        json_key(out, "stats");
        json_statistics(out, &result->statistics[head], causal, info->sink_logits);
        json_put(out, "}");
    }
    json_put(out, "],\"thumbs\":{\"rows\":");
    json_put_integer(out, result->rows);
    json_integer_field(out, "cols", result->cols);
    json_text_field(out, "scale", "sqrt");
    json_key(out, "max");
    json_put_base64(out, result->max, cells);
    json_key(out, "mean");
    json_put_base64(out, result->mean, cells);
    json_key(out, "excluded");
    json_put_base64(out, result->excluded, (size_t)result->heads * (size_t)result->rows);
    json_put(out, "}}");
}

static void json_warning(struct json_text *out, const struct run_end *end) {
    char warning[256];
    snprintf(warning, sizeof warning,
             "from layer %d%s on, numbers are not finite: the model's file holds some that are not, or is damaged; what they decide is null",
             end->not_finite, end->section == SECTION_ENCODER ? " of the encoder" : "");
    json_key(out, "warnings");
    json_put(out, "[");
    json_put_string(out, warning);
    json_put(out, "]");
}

void json_line_done(struct json_text *out, const char *id, const struct run_end *end) {
    json_put(out, "{\"event\":\"done\"");
    json_text_field(out, "id", id);
    json_key(out, "sinks");
    json_positions(out, end->sinks, end->sink_count);
    if (end->activations && model_describe(activations_model(end->activations))->encoder_layers > 0) {
        size_t count;
        const uint32_t *sinks = activations_sinks(end->activations, SECTION_DECODER, &count);
        json_key(out, "target_sinks");
        json_positions(out, sinks, count);
        sinks = activations_sinks(end->activations, SECTION_CROSS, &count);
        json_key(out, "cross_sinks");
        json_positions(out, sinks, count);
    }
    if (end->not_finite >= 0) json_warning(out, end);
    if (end->precision != PRECISION_FLOAT32) {
        json_key(out, "max_weight_error");
        json_put_real(out, end->max_weight_error);
    }
    json_put(out, "}");
}

void json_line_error(struct json_text *out, const struct problem *problem) {
    size_t size = 0;
    char *document = json_problem(problem->status, problem->detail, problem->pointer[0] ? problem->pointer : NULL, &size);
    if (!document) {
        out->failed = true;
        return;
    }
    json_put(out, "{\"event\":\"error\",\"problem\":");
    json_put_bytes(out, document, size);
    json_put(out, "}");
    free(document);
}
