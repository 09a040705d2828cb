#include "engine/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "engine/checked.h"
#include "engine/utf8.h"

/* ---- classes ----------------------------------------------------------------------------------------------- */

static bool is_whitespace(uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool is_ascii_punctuation(uint32_t c) {
    return (c >= 0x21 && c <= 0x2f) || (c >= 0x3a && c <= 0x40) || (c >= 0x5b && c <= 0x60) || (c >= 0x7b && c <= 0x7e);
}

static bool is_ideograph(uint32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/* Alphabetic symbols that are no letters: circled and squared Latin letters. */
static bool is_letter_symbol(uint32_t c) {
    return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
           (c >= 0x1f170 && c <= 0x1f189);
}

static bool is_word(uint32_t c, utf8proc_category_t category) {
    switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return c == 0x200c || c == 0x200d || is_letter_symbol(c);
    }
}

static bool in_category(utf8proc_category_t category, utf8proc_category_t first, utf8proc_category_t last) {
    return category >= first && category <= last;
}

bool unicode_is(uint32_t character, enum character_class class) {
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)character);
    switch (class) {
    case CLASS_WHITESPACE:
        return is_whitespace(character);
    case CLASS_PUNCTUATION:
        return is_ascii_punctuation(character) || in_category(category, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO);
    case CLASS_NUMERIC:
        return in_category(category, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
    case CLASS_WORD:
        return is_word(character, category);
    case CLASS_MARK:
        return in_category(category, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME);
    case CLASS_MARK_NONSPACING:
        return category == UTF8PROC_CATEGORY_MN;
    case CLASS_OTHER:
        return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
    case CLASS_IDEOGRAPH:
        return is_ideograph(character);
    }
    return false;
}

int unicode_lower(uint32_t character, uint32_t lower[2]) {
    if (character == 0x130) { /* the one character whose lower case is two, in any language */
        lower[0] = 'i';
        lower[1] = 0x307;
        return 2;
    }
    lower[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)character);
    return 1;
}

size_t unicode_grapheme(const char *text, size_t size) {
    uint32_t before, after;
    utf8proc_int32_t state = 0;
    size_t at = utf8_character(text, size, &before), length;
    while (at < size && (length = utf8_character(text + at, size - at, &after)) > 0) {
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)after, &state)) break;
        before = after;
        at += length;
    }
    return at;
}

/* ---- normal forms ------------------------------------------------------------------------------------------ */

/* A character on its way, and the bytes of the stretch that it was made from. */
struct part {
    uint32_t character, start, end;
    uint32_t order; /* within the cluster */
    int combining;
};

/* Characters among which some may be reordered or composed: from one that begins anew to the next such. */
struct cluster {
    struct part *parts;
    size_t count, room;
};

static bool add_part(struct cluster *cluster, uint32_t character, size_t start, size_t end) {
    if (cluster->count == cluster->room) {
        size_t room = cluster->room > 0 ? cluster->room * 2 : 32, bytes;
        struct part *parts = checked_multiply(room, sizeof *parts, &bytes) ? realloc(cluster->parts, bytes) : NULL;
        if (parts == NULL) return false;
        cluster->parts = parts;
        cluster->room = room;
    }
    cluster->parts[cluster->count] = (struct part){
        .character = character,
        .start = (uint32_t)start,
        .end = (uint32_t)end,
        .order = (uint32_t)cluster->count,
        .combining = utf8proc_get_property((utf8proc_int32_t)character)->combining_class,
    };
    cluster->count++;
    return true;
}

static int by_combining_class(const void *a, const void *b) {
    const struct part *left = a, *right = b;
    if (left->combining != right->combining) return left->combining < right->combining ? -1 : 1;
    return left->order < right->order ? -1 : 1;
}

static void sort_marks(struct cluster *cluster) {
    for (size_t at = 0; at < cluster->count;) {
        size_t end = at, unsorted = 0;
        for (; end < cluster->count && cluster->parts[end].combining != 0; end++)
            unsorted += end > at && cluster->parts[end].combining < cluster->parts[end - 1].combining;
        if (unsorted > 0) qsort(cluster->parts + at, end - at, sizeof *cluster->parts, by_combining_class);
        at = end > at ? end : at + 1;
    }
}

/* The primary composite of two characters, or 0. */
static uint32_t compose_pair(uint32_t first, uint32_t second) {
    utf8proc_int32_t pair[2] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second};
    if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) != 1) return 0;
    return (uint32_t)pair[0];
}

static void compose(struct cluster *cluster) {
    struct part *parts = cluster->parts, *starter = NULL;
    size_t kept = 0;
    int last = -1; /* the class of the part before, once one stands between it and the starter */
    for (size_t i = 0; i < cluster->count; i++) {
        struct part part = parts[i];
        uint32_t whole = starter != NULL && last < part.combining ? compose_pair(starter->character, part.character) : 0;
        if (whole != 0) {
            starter->character = whole;
            if (part.start < starter->start) starter->start = part.start;
            if (part.end > starter->end) starter->end = part.end;
            continue;
        }
        parts[kept] = part;
        last = part.combining;
        if (part.combining == 0) {
            starter = &parts[kept];
            last = -1;
        }
        kept++;
    }
    cluster->count = kept;
}

/* A character that came out as it went in keeps its bytes apart. */
static void put_part(struct stretch in, const struct part *part, struct rewriting *out) {
    char bytes[4];
    size_t size = utf8_encode(part->character, bytes);
    if (size == part->end - part->start && memcmp(bytes, in.bytes + part->start, size) == 0)
        rewriting_keep(out, in, part->start, part->end);
    else
        rewriting_put(out, bytes, size, stretch_origin(in, part->start, part->end));
}

static void put_cluster(struct stretch in, struct cluster *cluster, bool composed, struct rewriting *out) {
    sort_marks(cluster);
    if (composed) compose(cluster);
    for (size_t i = 0; i < cluster->count; i++) put_part(in, &cluster->parts[i], out);
    cluster->count = 0;
}

/* Whether nothing before this decomposed character is reordered with it or composed with it. */
static bool begins_anew(uint32_t character) {
    if (character < 0x300) return true;
    if (character >= 0x1160 && character <= 0x11ff) return false; /* vowels and finals of Hangul syllables */
    return utf8proc_get_property((utf8proc_int32_t)character)->combining_class == 0 && !unicode_is(character, CLASS_MARK);
}

void unicode_normalise(struct stretch in, enum unicode_form form, struct rewriting *out) {
    enum { DECOMPOSED_MAX = 32 }; /* U+FDFA becomes 18 characters */
    bool composed = form == FORM_NFC || form == FORM_NFKC;
    int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (form == FORM_NFKC || form == FORM_NFKD) options |= UTF8PROC_COMPAT;
    struct cluster cluster = {0};
    for (size_t at = 0; at < in.size && !out->failed;) {
        uint32_t character;
        utf8proc_int32_t decomposed[DECOMPOSED_MAX];
        int boundary = 0;
        size_t length = utf8_character(in.bytes + at, in.size - at, &character);
        if (length == 0) break; /* cannot be: stretches are valid */
        utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)character, decomposed, DECOMPOSED_MAX,
                                                        (utf8proc_option_t)options, &boundary);
        if (count < 1 || count > DECOMPOSED_MAX) {
            decomposed[0] = (utf8proc_int32_t)character;
            count = 1;
        }
        if (begins_anew((uint32_t)decomposed[0])) put_cluster(in, &cluster, composed, out);
        for (utf8proc_ssize_t i = 0; i < count; i++)
            if (!add_part(&cluster, (uint32_t)decomposed[i], at, at + length)) out->failed = true;
        at += length;
    }
    put_cluster(in, &cluster, composed, out);
    free(cluster.parts);
}
