/*
 * json_request.h: request bodies, read strictly: every key known and at most once, every type and range as stated, nothing
 * built in memory before its size is known to be bounded. A problem carries a JSON pointer to the culprit.
 */
#ifndef HEADSCOPE_SERVER_JSON_REQUEST_H
#define HEADSCOPE_SERVER_JSON_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "server/problem.h"

enum exclude_keys { EXCLUDE_AUTO, EXCLUDE_NONE, EXCLUDE_LIST };

struct analysis_request {
    char *model;         /* an id */
    char *text;          /* NULL: messages or token_ids were given. May hold NULs; ends in one more */
    size_t text_size;
    char *text_pair;     /* NULL: none */
    size_t text_pair_size;
    struct chat_message *messages; /* NULL: none; contents are malloc'ed */
    size_t message_count;
    bool add_generation_prompt;
    int32_t *token_ids;
    size_t token_id_count;
    char *target;        /* what the decoder of a model with an encoder reads; NULL: target_ids, or nothing but its start */
    size_t target_size;
    int32_t *target_ids;
    size_t target_id_count;
    enum exclude_keys exclude;
    uint32_t *positions; /* EXCLUDE_LIST: ascending, unique */
    size_t position_count;
    bool store, parse_special, add_special;
    bool parse_special_given, add_special_given;
};

/* POST /analyses. On success the caller clears it. */
bool json_request_analysis(const void *body, size_t size, struct analysis_request *request, struct problem *problem);
/* POST /tokenize: model, text, text_pair, target, messages and what goes with them; an empty text is fine. */
bool json_request_tokenize(const void *body, size_t size, struct analysis_request *request, struct problem *problem);
/* A list of messages by itself, as a file may hold one. */
bool json_request_messages(const char *bytes, size_t size, struct analysis_request *request, struct problem *problem);
/* With messages the format writes what special tokens there are: parse_special and add_special are false unless asked for. */
void json_request_chat_defaults(struct analysis_request *request);
void json_request_clear(struct analysis_request *request);

#endif
