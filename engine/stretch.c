#include "engine/stretch.h"

#include <stdlib.h>
#include <string.h>

#include "engine/checked.h"
#include "engine/utf8.h"

struct stretch stretch_part(struct stretch whole, size_t start, size_t end) {
    return (struct stretch){
        .bytes = whole.bytes + start,
        .size = end - start,
        .origin = whole.origin != NULL ? whole.origin + start : NULL,
        .first = whole.first + start,
    };
}

struct origin stretch_origin(struct stretch stretch, size_t start, size_t end) {
    if (stretch.origin == NULL) return (struct origin){(uint32_t)(stretch.first + start), (uint32_t)(stretch.first + end)};
    if (start < end) {
        struct origin first = stretch.origin[start], last = stretch.origin[end - 1];
        return (struct origin){first.start < last.start ? first.start : last.start,
                               first.end > last.end ? first.end : last.end};
    }
    uint32_t place = start < stretch.size ? stretch.origin[start].start : start > 0 ? stretch.origin[start - 1].end : 0;
    return (struct origin){place, place};
}

void rewriting_clear(struct rewriting *rewriting) {
    rewriting->size = 0;
    rewriting->failed = false;
}

void rewriting_finish(struct rewriting *rewriting) {
    free(rewriting->bytes);
    free(rewriting->origin);
    *rewriting = (struct rewriting){0};
}

static bool make_room(struct rewriting *rewriting, size_t more) {
    size_t needed, room = rewriting->room > 0 ? rewriting->room : 64, bytes;
    if (rewriting->failed) return false;
    rewriting->failed = true;
    if (!checked_add(rewriting->size, more, &needed) || needed > UINT32_MAX) return false;
    while (room < needed) room *= 2;
    if (room > rewriting->room) {
        char *text = realloc(rewriting->bytes, room);
        if (text == NULL) return false;
        rewriting->bytes = text;
        struct origin *origin = checked_multiply(room, sizeof *origin, &bytes) ? realloc(rewriting->origin, bytes) : NULL;
        if (origin == NULL) return false;
        rewriting->origin = origin;
        rewriting->room = room;
    }
    rewriting->failed = false;
    return true;
}

void rewriting_keep(struct rewriting *rewriting, struct stretch from, size_t start, size_t end) {
    if (start >= end || !make_room(rewriting, end - start)) return;
    memcpy(rewriting->bytes + rewriting->size, from.bytes + start, end - start);
    struct origin *origin = rewriting->origin + rewriting->size;
    if (from.origin != NULL)
        memcpy(origin, from.origin + start, (end - start) * sizeof *origin);
    else
        for (size_t i = 0; i < end - start; i++) origin[i] = stretch_origin(from, start + i, start + i + 1);
    rewriting->size += end - start;
}

void rewriting_put(struct rewriting *rewriting, const char *bytes, size_t size, struct origin origin) {
    if (size == 0 || !make_room(rewriting, size)) return;
    memcpy(rewriting->bytes + rewriting->size, bytes, size);
    for (size_t i = 0; i < size; i++) rewriting->origin[rewriting->size + i] = origin;
    rewriting->size += size;
}

void rewriting_put_character(struct rewriting *rewriting, uint32_t character, struct origin origin) {
    char bytes[4];
    rewriting_put(rewriting, bytes, utf8_encode(character, bytes), origin);
}

struct stretch rewriting_result(const struct rewriting *rewriting) {
    static const struct origin none;
    return (struct stretch){
        .bytes = rewriting->size > 0 ? rewriting->bytes : "",
        .size = rewriting->size,
        .origin = rewriting->size > 0 ? rewriting->origin : &none,
    };
}
