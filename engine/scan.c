#include "engine/scan.h"

#include <stdlib.h>
#include <string.h>

#include "engine/utf8.h"

enum { DEPTH_MAX = 64, NUMBER_MAX = 64 };

static void skip_space(struct scan *scan) {
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r')) scan->at++;
}

static bool broken(struct scan *scan) {
    scan->broken = true;
    scan->at = scan->end;
    return false;
}

bool scan_is(struct scan *scan, char first) {
    skip_space(scan);
    return !scan->broken && scan->at < scan->end && *scan->at == first;
}

bool scan_at_end(struct scan *scan) {
    skip_space(scan);
    return !scan->broken && scan->at == scan->end;
}

bool scan_enter(struct scan *scan, char open) {
    if (!scan_is(scan, open)) return broken(scan);
    scan->at++;
    return true;
}

bool scan_more(struct scan *scan, char close, bool *first) {
    bool start = *first;
    *first = false;
    if (scan_is(scan, close)) {
        scan->at++;
        return false;
    }
    if (start) return !scan->broken && (scan->at < scan->end || broken(scan));
    if (!scan_is(scan, ',')) return broken(scan);
    scan->at++;
    return !scan_is(scan, close) || broken(scan);
}

static bool read_hex(struct scan *scan, uint32_t *unit) {
    *unit = 0;
    if (scan->end - scan->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = *scan->at++;
        uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10) : 16;
        if (digit == 16) return false;
        *unit = *unit << 4 | digit;
    }
    return true;
}

/* What follows a '\'; the bytes it stands for, or 0. */
static size_t read_escape(struct scan *scan, char bytes[4]) {
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (scan->at == scan->end) return 0;
    char letter = *scan->at++;
    const char *found = letter != '\0' ? strchr(letters, letter) : NULL;
    if (found != NULL) {
        bytes[0] = meant[found - letters];
        return 1;
    }
    uint32_t unit, low;
    if (letter != 'u' || !read_hex(scan, &unit)) return 0;
    if (unit >= 0xdc00 && unit <= 0xdfff) return 0;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        if (scan->end - scan->at < 6 || scan->at[0] != '\\' || scan->at[1] != 'u') return 0;
        scan->at += 2;
        if (!read_hex(scan, &low) || low < 0xdc00 || low > 0xdfff) return 0;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    return utf8_encode(unit, bytes);
}

bool scan_string(struct scan *scan, char *text, size_t room, size_t *size) {
    size_t count = 0;
    if (!scan_enter(scan, '"')) return false;
    for (;;) {
        char bytes[4];
        size_t length = 1;
        if (scan->at == scan->end || (unsigned char)*scan->at < 0x20) return broken(scan);
        bytes[0] = *scan->at++;
        if (bytes[0] == '"') break;
        if (bytes[0] == '\\' && (length = read_escape(scan, bytes)) == 0) return broken(scan);
        if (length > room - count) return broken(scan);
        memcpy(text + count, bytes, length);
        count += length;
    }
    *size = count;
    return true;
}

bool scan_key(struct scan *scan, char *text, size_t room, size_t *size) {
    return scan_string(scan, text, room, size) && scan_enter(scan, ':');
}

bool scan_number(struct scan *scan, double *number) {
    char digits[NUMBER_MAX + 1], *end;
    size_t size = 0;
    skip_space(scan);
    while (scan->at < scan->end && *scan->at != '\0' && strchr("+-.0123456789eE", *scan->at) != NULL) {
        if (size == NUMBER_MAX) return broken(scan);
        digits[size++] = *scan->at++;
    }
    digits[size] = '\0';
    *number = strtod(digits, &end);
    return (size > 0 && *end == '\0') || broken(scan);
}

bool scan_integer(struct scan *scan, uint32_t *number) {
    uint64_t value = 0;
    const char *start;
    skip_space(scan);
    for (start = scan->at; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++) {
        value = value * 10 + (uint64_t)(*scan->at - '0');
        if (value >= UINT32_MAX) return broken(scan);
    }
    if (scan->at == start || (scan->at < scan->end && *scan->at != '\0' && strchr(".eE", *scan->at) != NULL)) return broken(scan);
    *number = (uint32_t)value;
    return true;
}

/* Past the string that starts here. */
static bool skip_string(struct scan *scan) {
    for (scan->at++; scan->at < scan->end && *scan->at != '"'; scan->at++)
        if (*scan->at == '\\' && scan->end - scan->at > 1) scan->at++;
    if (scan->at == scan->end) return broken(scan);
    scan->at++;
    return true;
}

bool scan_value(struct scan *scan, struct scan *value) {
    char open[DEPTH_MAX];
    int depth = 0;
    skip_space(scan);
    const char *start = scan->at;
    do {
        skip_space(scan);
        if (scan->at == scan->end) return broken(scan);
        char c = *scan->at;
        if (c == '"') {
            if (!skip_string(scan)) return false;
        } else if (c == '{' || c == '[') {
            if (depth == DEPTH_MAX) return broken(scan);
            open[depth++] = c == '{' ? '}' : ']';
            scan->at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0 || open[--depth] != c) return broken(scan);
            scan->at++;
        } else if (depth > 0 && (c == ',' || c == ':')) {
            scan->at++;
        } else {
            const char *word = scan->at;
            while (scan->at < scan->end && *scan->at != '\0' && strchr("+-.0123456789eEtrufalsn", *scan->at) != NULL) scan->at++;
            if (scan->at == word) return broken(scan);
        }
    } while (depth > 0);
    *value = (struct scan){.at = start, .end = scan->at};
    return true;
}
