/*
 * json_tokenizer.h: what the files that read tokenizer.json share.
 */
#ifndef HEADSCOPE_ENGINE_JSON_TOKENIZER_H
#define HEADSCOPE_ENGINE_JSON_TOKENIZER_H

#include <jansson.h>

#include "engine/scan.h"
#include "engine/tokenizer_parts.h"

struct table;

/* A tokenizer being read. */
struct json_reading {
    struct tokenizer *tokenizer;
    bool byte_level;  /* a pre-tokenizer of this name stands last */
    uint32_t space;   /* what a space becomes, U+2581; 0: nothing */
    struct vocabulary_entry *entries;
    size_t count, room;
    char *text;       /* of the entries */
    struct table *by_spelling; /* -> place in entries */
    char *error;
    size_t error_size;
};

/* The parts, in this order. Each takes its value, null where there is none. */
enum engine_status json_read_normalizer(struct json_reading *r, const json_t *value);
enum engine_status json_read_pretokenizer(struct json_reading *r, const json_t *value);
enum engine_status json_read_model(struct json_reading *r, struct scan model, const json_t *added);
enum engine_status json_read_added(struct json_reading *r, const json_t *added);
enum engine_status json_read_post_processor(struct json_reading *r, const json_t *value);

/* `what`: "normalizer Strip". */
enum engine_status json_broken(struct json_reading *r, const char *what);
enum engine_status json_unsupported(struct json_reading *r, const char *what, const char *name);

/* Parses a value by itself. NULL with *status set. */
json_t *json_parse(struct json_reading *r, struct scan value, const char *what, enum engine_status *status);

/* ENGINE_UNSUPPORTED, naming the key, if the object has keys that are not in the list, which ends with NULL. */
enum engine_status json_only(struct json_reading *r, const json_t *object, const char *what, const char *const *keys);
/* Reads true or false; `otherwise` where it is missing or null. False: of another kind. */
bool json_flag(const json_t *object, const char *key, bool otherwise, bool *flag);

/* The id of a token of the vocabulary or an added one, as the file spells it. */
bool json_find_token(const struct json_reading *r, const char *spelling, size_t size, uint32_t *id);

#endif
