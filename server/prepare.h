/*
 * prepare.h: a request made ready to run: its model opened, its tokens found, everything in range, its id known.
 * Runs on the thread that asks.
 */
#ifndef HEADSCOPE_SERVER_PREPARE_H
#define HEADSCOPE_SERVER_PREPARE_H

#include "server/json_request.h"
#include "server/models.h"
#include "server/problem.h"

struct prepared {
    struct model_lease model;
    const char *text;     /* what tokens point into: the request's own text, or chat.text; NULL: ids were given */
    size_t text_size;
    struct chat_text chat; /* what became of messages */
    struct token *tokens; /* [n] */
    int32_t *ids;         /* [n] */
    uint8_t *types;       /* [n] token types; NULL: all 0 */
    size_t n;
    uint32_t *excluded;   /* ascending: what exclude_keys means on this text */
    size_t excluded_count;
    /* Of a model with an encoder and a decoder: what the decoder reads, its start first. NULL and 0 else. */
    struct token *target_tokens; /* [target_n] */
    int32_t *target_ids;
    size_t target_n;
    uint32_t *target_excluded; /* what exclude_keys means there: a list of positions counts in the source, and means auto here */
    size_t target_excluded_count;
    enum precision precision;
    char id[65];
};

/* On success the caller clears it; fields may be taken out (set to NULL) before. A request without a model (NULL) means the
 * default one. */
bool prepare_analysis(struct models *models, const struct analysis_request *request, enum precision precision,
                      struct prepared *prepared, struct problem *problem);
/* Model and tokens only; an empty text is fine. */
bool prepare_tokens(struct models *models, const struct analysis_request *request, struct prepared *prepared,
                    struct problem *problem);
void prepare_clear(struct prepared *prepared);

#endif
