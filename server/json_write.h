/*
 * json_write.h: JSON text, written front to back into a growing buffer. Callers write the punctuation; this knows strings,
 * numbers and base64. Running out of memory is remembered in `failed`, so that only the end needs a check.
 */
#ifndef HEADSCOPE_SERVER_JSON_WRITE_H
#define HEADSCOPE_SERVER_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_text {
    char *bytes; /* not terminated */
    size_t size, room;
    bool failed;
};

void json_put(struct json_text *out, const char *text);               /* as it stands */
void json_put_bytes(struct json_text *out, const char *bytes, size_t size);
void json_put_string(struct json_text *out, const char *text);            /* with quotes, escaped */
/* Any bytes: what is no UTF-8 becomes U+FFFD. False if there was such. */
bool json_put_text(struct json_text *out, const char *bytes, size_t size);
void json_put_integer(struct json_text *out, int64_t value);
void json_put_unsigned(struct json_text *out, uint64_t value);
void json_put_real(struct json_text *out, double value);                  /* 9 significant digits; null when not finite */
void json_put_bool(struct json_text *out, bool value);
void json_put_hex(struct json_text *out, const void *bytes, size_t size);    /* with quotes */
void json_put_base64(struct json_text *out, const void *bytes, size_t size); /* with quotes */

/* Hands the buffer over (malloc'ed) and empties *out; NULL when memory ran out on the way. */
char *json_take(struct json_text *out, size_t *size);
void json_free(struct json_text *out);

#endif
