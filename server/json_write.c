#include "server/json_write.h"

#include <inttypes.h>
#include <math.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/utf8.h"

/* Room for `more` bytes at the end, or NULL. */
static char *json_reserve(struct json_text *out, size_t more) {
    if (out->failed) return NULL;
    if (more > out->room - out->size) {
        size_t room = out->room ? out->room : 512;
        while (room - out->size < more) {
            if (room > SIZE_MAX / 2) { out->failed = true; return NULL; }
            room *= 2;
        }
        char *bytes = realloc(out->bytes, room);
        if (!bytes) { out->failed = true; return NULL; }
        out->bytes = bytes;
        out->room = room;
    }
    return out->bytes + out->size;
}

void json_put_bytes(struct json_text *out, const char *bytes, size_t size) {
    char *to = json_reserve(out, size);
    if (!to || size == 0) return;
    memcpy(to, bytes, size);
    out->size += size;
}

void json_put(struct json_text *out, const char *text) {
    json_put_bytes(out, text, strlen(text));
}

/* The escape of a character below 0x80, or NULL where it stands for itself. */
static const char *json_escape(unsigned char c, char room[8]) {
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
    }
    if (c >= 0x20 && c != 0x7F) return NULL;
    snprintf(room, 8, "\\u%04x", c);
    return room;
}

bool json_put_text(struct json_text *out, const char *bytes, size_t size) {
    bool sound = true;
    size_t begin = 0, i = 0;
    char room[8];
    json_put_bytes(out, "\"", 1);
    while (i < size) {
        unsigned char c = (unsigned char)bytes[i];
        const char *instead = NULL;
        size_t length = 1;
        if (c < 0x80) {
            instead = json_escape(c, room);
        } else {
            length = utf8_length(bytes + i, size - i);
            if (length == 0) {
                length = utf8_broken(bytes + i, size - i);
                instead = "\xEF\xBF\xBD";
                sound = false;
            }
        }
        if (instead) {
            json_put_bytes(out, bytes + begin, i - begin);
            json_put(out, instead);
            begin = i + length;
        }
        i += length;
    }
    json_put_bytes(out, bytes + begin, size - begin);
    json_put_bytes(out, "\"", 1);
    return sound;
}

void json_put_string(struct json_text *out, const char *text) {
    json_put_text(out, text, strlen(text));
}

void json_put_integer(struct json_text *out, int64_t value) {
    char room[24];
    json_put_bytes(out, room, (size_t)snprintf(room, sizeof room, "%" PRId64, value));
}

void json_put_unsigned(struct json_text *out, uint64_t value) {
    char room[24];
    json_put_bytes(out, room, (size_t)snprintf(room, sizeof room, "%" PRIu64, value));
}

void json_put_real(struct json_text *out, double value) {
    char room[40];
    if (!isfinite(value)) { json_put(out, "null"); return; }
    if (value == 0) value = fabs(value); /* no -0 */
    json_put_bytes(out, room, (size_t)snprintf(room, sizeof room, "%.9g", value));
}

void json_put_bool(struct json_text *out, bool value) {
    json_put(out, value ? "true" : "false");
}

void json_put_hex(struct json_text *out, const void *bytes, size_t size) {
    const unsigned char *from = bytes;
    char *to = size < SIZE_MAX / 4 ? json_reserve(out, 2 * size + 2) : NULL;
    if (!to) { out->failed = true; return; }
    *to++ = '"';
    for (size_t i = 0; i < size; i++) {
        *to++ = "0123456789abcdef"[from[i] >> 4];
        *to++ = "0123456789abcdef"[from[i] & 15];
    }
    *to = '"';
    out->size += 2 * size + 2;
}

void json_put_base64(struct json_text *out, const void *bytes, size_t size) {
    size_t length = BASE64_ENCODE_RAW_LENGTH(size);
    char *to = json_reserve(out, length + 2);
    if (!to) return;
    to[0] = '"';
    base64_encode_raw(to + 1, size, bytes);
    to[length + 1] = '"';
    out->size += length + 2;
}

char *json_take(struct json_text *out, size_t *size) {
    char *bytes = out->failed ? NULL : out->bytes;
    if (bytes) {
        *size = out->size;
        *out = (struct json_text){0};
    } else {
        json_free(out);
    }
    return bytes;
}

void json_free(struct json_text *out) {
    free(out->bytes);
    *out = (struct json_text){0};
}
