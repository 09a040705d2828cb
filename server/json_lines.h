/*
 * json_lines.h: the lines of an analysis, as they are streamed and stored: start, tokens, a layer each, done or error.
 * Each function appends one line, without its '\n'. json_document.c and json_stored.c read them back: the names and the order of
 * the fields are known there.
 */
#ifndef HEADSCOPE_SERVER_JSON_LINES_H
#define HEADSCOPE_SERVER_JSON_LINES_H

#include "server/json_write.h"
#include "server/prepare.h"

/* {"id","name","architecture",...}: also an item of GET /models. */
void json_model(struct json_text *out, const char *id, const char *digest, const struct model_info *info);
void json_engine(struct json_text *out, enum precision precision);
/* The answer of /tokenize: {"model","tokens":[{"id","text","start","end","special","sequence"}...]}, the type of a token where it is not
 * 0; of a chat also "text", "chat" and "messages":[{"role","first","end","content","given"}...]. */
void json_tokenized(struct json_text *out, const struct prepared *prepared, const struct analysis_request *request);

/* The same of the target; nothing is appended without one. */
void json_target_tokens(struct json_text *out, const struct prepared *prepared, const struct analysis_request *request);
/* "encoder", "decoder" or "cross". */
const char *section_name(enum section section);

void json_line_start(struct json_text *out, const struct prepared *prepared, const struct analysis_request *request,
                     const struct analysis_estimate *estimate);
void json_line_tokens(struct json_text *out, const struct prepared *prepared, const struct analysis_request *request);
void json_line_layer(struct json_text *out, const struct layer_result *result, const struct model_info *info);
/* What a run ends with. */
struct run_end {
    const uint32_t *sinks;
    size_t sink_count;
    enum precision precision;
    double max_weight_error; /* of a precision other than float32, analysis_precision_error */
    int not_finite;          /* activations_not_finite, and of which section; -1: all are */
    enum section section;
    const struct activations *activations; /* whose sections' sinks are told where there are several */
};
void json_line_done(struct json_text *out, const char *id, const struct run_end *end);
void json_line_error(struct json_text *out, const struct problem *problem);

#endif
