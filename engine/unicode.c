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

/* Tokenizers were trained with tables of Unicode 8: what became punctuation, a format
 * character or a mark since is none to them. */
struct range {
    uint32_t first, last;
};
static const struct range later_punctuation[] = {
    {0x61d, 0x61d}, {0x9fd, 0x9fd}, {0xa76, 0xa76}, {0xc77, 0xc77}, {0xc84, 0xc84}, {0x1b7d, 0x1b7e}, {0x2e43, 0x2e4f},
    {0x2e52, 0x2e5d}, {0x10ead, 0x10ead}, {0x10f55, 0x10f59}, {0x10f86, 0x10f89}, {0x1144b, 0x1144f},
    {0x1145a, 0x1145b}, {0x1145d, 0x1145d}, {0x11660, 0x1166c}, {0x116b9, 0x116b9}, {0x1183b, 0x1183b},
    {0x11944, 0x11946}, {0x119e2, 0x119e2}, {0x11a3f, 0x11a46}, {0x11a9a, 0x11a9c}, {0x11a9e, 0x11aa2},
    {0x11c41, 0x11c45}, {0x11c70, 0x11c71}, {0x11ef7, 0x11ef8}, {0x11fff, 0x11fff}, {0x12ff1, 0x12ff2},
    {0x16e97, 0x16e9a}, {0x16fe2, 0x16fe2}, {0x1e95e, 0x1e95f},
};
static const struct range later_nonspacing[] = {
    {0x7fd, 0x7fd}, {0x898, 0x89f}, {0x8ca, 0x8e1}, {0x9fe, 0x9fe}, {0xafa, 0xaff}, {0xb55, 0xb55}, {0xc04, 0xc04},
    {0xc3c, 0xc3c}, {0xd00, 0xd00}, {0xd3b, 0xd3c}, {0xd81, 0xd81}, {0xeba, 0xeba}, {0x180f, 0x180f}, {0x1885, 0x1886},
    {0x1abf, 0x1ace}, {0x1df6, 0x1dfb}, {0xa82c, 0xa82c}, {0xa8c5, 0xa8c5}, {0xa8ff, 0xa8ff}, {0xa9bd, 0xa9bd},
    {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070},
    {0x11073, 0x11074}, {0x110c2, 0x110c2}, {0x111c9, 0x111c9}, {0x111cf, 0x111cf}, {0x1123e, 0x1123e},
    {0x1133b, 0x1133b}, {0x11438, 0x1143f}, {0x11442, 0x11444}, {0x11446, 0x11446}, {0x1145e, 0x1145e},
    {0x1182f, 0x11837}, {0x11839, 0x1183a}, {0x1193b, 0x1193c}, {0x1193e, 0x1193e}, {0x11943, 0x11943},
    {0x119d4, 0x119d7}, {0x119da, 0x119db}, {0x119e0, 0x119e0}, {0x11a01, 0x11a0a}, {0x11a33, 0x11a38},
    {0x11a3b, 0x11a3e}, {0x11a47, 0x11a47}, {0x11a51, 0x11a56}, {0x11a59, 0x11a5b}, {0x11a8a, 0x11a96},
    {0x11a98, 0x11a99}, {0x11c30, 0x11c36}, {0x11c38, 0x11c3d}, {0x11c3f, 0x11c3f}, {0x11c92, 0x11ca7},
    {0x11caa, 0x11cb0}, {0x11cb2, 0x11cb3}, {0x11cb5, 0x11cb6}, {0x11d31, 0x11d36}, {0x11d3a, 0x11d3a},
    {0x11d3c, 0x11d3d}, {0x11d3f, 0x11d45}, {0x11d47, 0x11d47}, {0x11d90, 0x11d91}, {0x11d95, 0x11d95},
    {0x11d97, 0x11d97}, {0x11ef3, 0x11ef4}, {0x16f4f, 0x16f4f}, {0x16fe4, 0x16fe4}, {0x1cf00, 0x1cf2d},
    {0x1cf30, 0x1cf46}, {0x1e000, 0x1e006}, {0x1e008, 0x1e018}, {0x1e01b, 0x1e021}, {0x1e023, 0x1e024},
    {0x1e026, 0x1e02a}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e944, 0x1e94a},
};
static const struct range later_other[] = {
    {0x890, 0x891}, {0x8e2, 0x8e2}, {0x110cd, 0x110cd}, {0x13430, 0x13438},
};

static bool in_ranges(uint32_t c, const struct range *ranges, size_t count) {
    for (size_t i = 0; i < count && c >= ranges[i].first; i++)
        if (c <= ranges[i].last) return true;
    return false;
}

static bool is_punctuation(uint32_t c, utf8proc_category_t category) {
    if (c == 0x166d || c == 0x111c9) return true; /* was */
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO &&
           !in_ranges(c, later_punctuation, sizeof later_punctuation / sizeof later_punctuation[0]);
}

static bool is_other(uint32_t c, utf8proc_category_t category) {
    return (category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO) &&
           !in_ranges(c, later_other, sizeof later_other / sizeof later_other[0]);
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
        return is_ascii_punctuation(character) || is_punctuation(character, category);
    case CLASS_NUMERIC:
        return in_category(category, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
    case CLASS_WORD:
        return is_word(character, category);
    case CLASS_MARK:
        return in_category(category, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME);
    case CLASS_MARK_NONSPACING:
        return character == 0x1734 /* was */ ||
               (category == UTF8PROC_CATEGORY_MN && !in_ranges(character, later_nonspacing,
                                                               sizeof later_nonspacing / sizeof later_nonspacing[0]));
    case CLASS_OTHER:
        return is_other(character, category);
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
