/* guard.c: the rules for requests; see guard.h. */
#include "server/guard.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool guard_refuse(struct guard_refusal *refusal, int status, bool close, const char *format, ...) {
    va_list arguments;
    refusal->status = status;
    refusal->close = close;
    va_start(arguments, format);
    vsnprintf(refusal->detail, sizeof refusal->detail, format, arguments);
    va_end(arguments);
    return false;
}

const char *guard_find(const struct guard_request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (!strcasecmp(request->headers[i].name, name)) return request->headers[i].value;
    return NULL;
}

static size_t count_headers(const struct guard_request *request, const char *name) {
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++) count += !strcasecmp(request->headers[i].name, name);
    return count;
}

/* ---- framing -------------------------------------------------------------------------------------------------- */

/* RFC 9110, section 5.6.2 */
static bool is_token(const char *text) {
    if (!*text) return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text)) return false;
    return true;
}

static bool is_field_value(const char *text) {
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7F) return false;
    return true;
}

/* Digits alone: no sign, no list ("5, 5"), no space, nothing that another reader might take for another number. */
static bool read_length(const char *text, uint64_t *length) {
    if (!*text || strlen(text) > 18) return false;
    *length = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return false;
        *length = *length * 10 + (uint64_t)(*text - '0');
    }
    return true;
}

static bool check_fields(const struct guard_request *request, struct guard_refusal *refusal) {
    static const char *const once[] = {"Host",   "Content-Length", "Transfer-Encoding", "Content-Type",
                                       "Origin", "Authorization",  "Expect"};
    if (request->header_count > GUARD_HEADERS_MAX)
        return guard_refuse(refusal, 431, true, "more than %d header fields", GUARD_HEADERS_MAX);
    for (size_t i = 0; i < request->header_count; i++) {
        if (!is_token(request->headers[i].name)) return guard_refuse(refusal, 400, true, "a header field's name is malformed");
        if (!is_field_value(request->headers[i].value))
            return guard_refuse(refusal, 400, true, "a header field's value has a control character");
    }
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++)
        if (count_headers(request, once[i]) > 1)
            return guard_refuse(refusal, 400, true, "%s is given twice; give it once", once[i]);
    return true;
}

bool guard_framing(const struct guard_request *request, struct guard_framing *framing, struct guard_refusal *refusal) {
    memset(framing, 0, sizeof *framing);
    bool old = !strcmp(request->version, "HTTP/1.0");
    if (!old && strcmp(request->version, "HTTP/1.1"))
        return guard_refuse(refusal, 400, true, "the request line must end in HTTP/1.1 or HTTP/1.0");
    if (!is_token(request->method)) return guard_refuse(refusal, 400, true, "the method is malformed");
    if (!check_fields(request, refusal)) return false;
    if (!guard_find(request, "Host")) return guard_refuse(refusal, 400, true, "there is no Host header field");
    const char *length = guard_find(request, "Content-Length"), *coding = guard_find(request, "Transfer-Encoding");
    if (length && coding)
        return guard_refuse(refusal, 400, true, "both Content-Length and Transfer-Encoding are given; give one");
    if (length && !read_length(length, &framing->length))
        return guard_refuse(refusal, 400, true, "Content-Length is not a number of bytes");
    if (coding && (old || strcasecmp(coding, "chunked")))
        return guard_refuse(refusal, 400, true, "the only Transfer-Encoding understood here is chunked, in HTTP/1.1");
    framing->has_length = length;
    framing->chunked = coding;
    return true;
}

/* ---- the target ----------------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes in place. False: a broken escape, or a control character behind one. */
static bool decode(char *text, bool plus_is_space) {
    char *out = text;
    for (const char *in = text; *in; in++) {
        unsigned char byte = (unsigned char)*in;
        if (*in == '%') {
            int high = hex_digit(in[1]), low = high < 0 ? -1 : hex_digit(in[2]);
            if (low < 0) return false;
            byte = (unsigned char)(high * 16 + low);
            in += 2;
        } else if (*in == '+' && plus_is_space) {
            byte = ' ';
        }
        if (byte < 0x20 || byte == 0x7F) return false;
        *out++ = (char)byte;
    }
    *out = '\0';
    return true;
}

/* Unicode, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(const char *text) {
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t more = *at < 0x80 ? 0 : *at < 0xC2 ? 4 : *at < 0xE0 ? 1 : *at < 0xF0 ? 2 : *at < 0xF5 ? 3 : 4;
        unsigned char low = *at == 0xE0 ? 0xA0 : *at == 0xF0 ? 0x90 : 0x80;
        unsigned char high = *at == 0xED ? 0x9F : *at == 0xF4 ? 0x8F : 0xBF;
        if (more == 4 || (more && (at[1] < low || at[1] > high))) return false;
        for (size_t i = 2; i <= more; i++)
            if ((at[i] & 0xC0) != 0x80) return false;
        at += more + 1;
    }
    return true;
}

static bool decode_parameters(char *query, struct guard_target *parts, struct guard_refusal *refusal) {
    while (query && *query) {
        char *next = strchr(query, '&');
        if (next) *next++ = '\0';
        if (*query) {
            if (parts->parameter_count == GUARD_PARAMETERS_MAX)
                return guard_refuse(refusal, 400, false, "more than %d query parameters", GUARD_PARAMETERS_MAX);
            char *value = strchr(query, '=');
            if (value) *value++ = '\0';
            if (!decode(query, true) || (value && !decode(value, true)) || !is_utf8(query) || (value && !is_utf8(value)))
                return guard_refuse(refusal, 400, false, "the query holds a broken escape or a character that may not be there");
            struct guard_parameter *parameter = &parts->parameter[parts->parameter_count++];
            parameter->name = query;
            parameter->value = value ? value : "";
        }
        query = next;
    }
    return true;
}

bool guard_target(const char *target, char *room, struct guard_target *parts, struct guard_refusal *refusal) {
    memset(parts, 0, sizeof *parts);
    size_t length = strlen(target);
    if (length > GUARD_TARGET_MAX)
        return guard_refuse(refusal, 414, true, "the address has %zu characters; %d is the limit", length, GUARD_TARGET_MAX);
    if (*target != '/') return guard_refuse(refusal, 400, true, "the request's target must begin with /");
    for (const char *at = target; *at; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7F || *at == '#' || *at == '\\')
            return guard_refuse(refusal, 400, true, "the address holds a character that must be escaped");
    memcpy(room, target, length + 1);
    char *query = strchr(room, '?');
    if (query) *query++ = '\0';
    if (!decode(room, false) || !is_utf8(room))
        return guard_refuse(refusal, 400, true, "the address holds a broken escape or a character that may not be there");
    parts->path = room;
    return decode_parameters(query, parts, refusal);
}

/* ---- small things --------------------------------------------------------------------------------------------- */

bool guard_content_type(const struct guard_request *request, struct guard_refusal *refusal) {
    static const char json[] = "application/json";
    const char *type = guard_find(request, "Content-Type");
    if (type && !strncasecmp(type, json, sizeof json - 1)) {
        const char *rest = type + sizeof json - 1;
        rest += strspn(rest, " \t");
        if (!*rest || *rest == ';') return true;
    }
    return guard_refuse(refusal, 415, false, "send the body as Content-Type: application/json%s%.60s", type ? ", not " : "",
                        type ? type : "");
}

bool guard_etag_matches(const char *list, const char *etag) {
    size_t length = strlen(etag);
    while (list && *list) {
        list += strspn(list, " \t,");
        if (*list == '*') return true;
        if (!strncmp(list, "W/", 2)) list += 2;
        if (*list != '"') return false;
        const char *end = strchr(list + 1, '"');
        if (!end) return false;
        if ((size_t)(end + 1 - list) == length && !memcmp(list, etag, length)) return true;
        list = end + 1;
    }
    return false;
}
