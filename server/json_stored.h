/*
 * json_stored.h: reading an analysis' lines back: what it was run on, and the statistics of its heads.
 */
#ifndef HEADSCOPE_SERVER_JSON_STORED_H
#define HEADSCOPE_SERVER_JSON_STORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "server/json_write.h"
#include "server/problem.h"

struct stored_analysis {
    char digest[65]; /* of the model */
    enum precision precision;
    int layers, heads, encoder_layers, encoder_heads;
    int32_t *ids;
    uint8_t *types; /* NULL: all 0 */
    size_t n;
    uint32_t *excluded;
    size_t excluded_count;
    int32_t *target_ids; /* of a model with an encoder and a decoder; NULL */
    size_t target_n;
    uint32_t *target_excluded;
    size_t target_excluded_count;
};

/* From the start and tokens lines. False with a problem (500: damaged; 503: memory). The caller clears it. */
bool json_stored_read(const char *lines, size_t size, struct stored_analysis *stored, struct problem *problem);
void json_stored_clear(struct stored_analysis *stored);

/* The text, and where its tokens lie in it. */
struct stored_text {
    char *text;             /* may hold NULs; ends in one more */
    size_t size;
    uint32_t *start, *end;  /* [n] bytes; both 0: not a token of this text */
    size_t n;
};

/* 422 where the analysis was made of token ids. As json_stored_read. */
bool json_stored_text(const char *lines, size_t size, struct stored_text *stored, struct problem *problem);
void json_stored_text_clear(struct stored_text *stored);

/* One row a head, of the section (NULL: all there are): layer, head and every statistic. CSV by RFC 4180, an empty field where the number does not apply. */
bool json_stored_heads_csv(const char *lines, size_t size, const char *section, struct json_text *out, struct problem *problem);
/* {"items":[{"layer","head","entropy",...}...]} */
bool json_stored_heads_json(const char *lines, size_t size, const char *section, struct json_text *out, struct problem *problem);

#endif
