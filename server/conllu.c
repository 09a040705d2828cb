#include "server/conllu.h"

#include <stdlib.h>
#include <string.h>

enum { ID, FORM, LEMMA, UPOS, XPOS, FEATS, HEAD, DEPREL, DEPS, MISC, COLUMNS };

struct column {
    const char *bytes;
    size_t size;
};

/* What is read so far. */
struct reading {
    const struct stored_text *text;
    struct parse *parse;
    struct problem *problem;
    size_t room;
    size_t line;               /* from 1 */
    size_t at;                 /* the next byte of the text */
    size_t first;              /* first word of the sentence */
    size_t range_from, range_end, range_last; /* bytes of a multiword token, and the number of its last word; 0: none */
    bool range_split;          /* its words' forms are what it is made of */
    size_t token;              /* first token that may touch the next word */
};

#define fail(r, status, ...) problem_at((r)->problem, status, "/conllu", __VA_ARGS__)

/* ---- places ------------------------------------------------------------------------------------------------------ */

/* White space that may stand between words: bytes of it at `at`. */
static size_t space_at(const struct stored_text *text, size_t at) {
    static const char *const wide[] = {"\xc2\xa0", "\xe2\x80\xaf", "\xe3\x80\x80"};
    if (at < text->size && text->text[at] && strchr(" \t\r\n\v\f", text->text[at])) return 1;
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        size_t length = strlen(wide[i]);
        if (text->size - at >= length && !memcmp(text->text + at, wide[i], length)) return length;
    }
    return 0;
}

/* Whether the form is what comes next; r->at goes behind it. */
static bool take_form(struct reading *r, struct column form) {
    const struct stored_text *text = r->text;
    size_t at = r->at, space;
    while (at < text->size && (space = space_at(text, at)) > 0) at += space;
    if (text->size - at < form.size || memcmp(text->text + at, form.bytes, form.size) != 0)
        return fail(r, 422, "line %zu: the text does not go on with '%.*s' at byte %zu; the parse must be of this very text", r->line,
                    (int)(form.size < 40 ? form.size : 40), form.bytes, at);
    r->at = at + form.size;
    return true;
}

/* The tokens that touch the bytes from .. end - 1. */
static bool place_word(struct reading *r, size_t from, size_t end, struct parsed_word *word) {
    const struct stored_text *text = r->text;
    const struct parsed_word *before = r->parse->count > 0 ? word - 1 : NULL;
    size_t t = r->token;
    while (t < text->n && text->end[t] <= from) t++;
    r->token = t;
    size_t first = t;
    while (t < text->n && (text->start[t] < end || text->end[t] == 0)) t++;
    while (t > first && text->end[t - 1] == 0) t--; /* tokens that are not of the text */
    if (t == first) return fail(r, 422, "line %zu: no token of the analysis lies where this word is", r->line);
    if (before && before->token1 > first && before->token1 < t) first = before->token1;
    word->token0 = (uint32_t)first;
    word->token1 = (uint32_t)t;
    return true;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static bool read_number(struct column c, size_t *number) {
    *number = 0;
    if (c.size == 0 || c.size > 6) return false;
    for (size_t i = 0; i < c.size; i++) {
        if (c.bytes[i] < '0' || c.bytes[i] > '9') return false;
        *number = *number * 10 + (size_t)(c.bytes[i] - '0');
    }
    return true;
}

static bool take_relation(struct reading *r, struct column name, uint32_t *relation) {
    struct parse *parse = r->parse;
    const char *colon = memchr(name.bytes, ':', name.size);
    size_t size = colon ? (size_t)(colon - name.bytes) : name.size;
    if (size == 0 || size > CONLLU_NAME_MAX)
        return fail(r, 422, "line %zu: the relation (column 8) must be a name of 1 to %d bytes", r->line, CONLLU_NAME_MAX);
    for (*relation = 0; *relation < parse->relations; ++*relation)
        if (strlen(parse->relation[*relation]) == size && !memcmp(parse->relation[*relation], name.bytes, size)) return true;
    if (parse->relations == CONLLU_RELATIONS_MAX)
        return fail(r, 422, "line %zu: there are more than %d kinds of relations", r->line, CONLLU_RELATIONS_MAX);
    memcpy(parse->relation[parse->relations], name.bytes, size);
    parse->relation[parse->relations++][size] = '\0';
    return true;
}

static bool add_room(struct reading *r) {
    if (r->parse->count < r->room) return true;
    size_t room = r->room ? 2 * r->room : 256;
    struct parsed_word *words = realloc(r->parse->words, room * sizeof *words);
    if (!words) return problem_memory(r->problem);
    r->parse->words = words;
    r->room = room;
    return true;
}

static bool take_range(struct reading *r, size_t first, size_t last, struct column form) {
    size_t expected = r->parse->count - r->first + 1;
    if (first != expected || last <= first || r->range_last > 0)
        return fail(r, 422, "line %zu: the multiword token %zu-%zu does not stand before its words", r->line, first, last);
    if (!take_form(r, form)) return false;
    r->range_from = r->at - form.size;
    r->range_end = r->at;
    r->range_last = last;
    r->range_split = true;
    return true;
}

/* Where the word's form lies: next in the text, or within the multiword token. */
static bool find_word(struct reading *r, struct column form, size_t *from, size_t *end) {
    if (r->range_last == 0) {
        if (!take_form(r, form)) return false;
        *from = r->at - form.size;
        *end = r->at;
        return true;
    }
    size_t left = r->range_end - r->range_from;
    r->range_split = r->range_split && form.size <= left && !memcmp(r->text->text + r->range_from, form.bytes, form.size);
    *from = r->range_from;
    *end = r->range_split && form.size > 0 ? r->range_from + form.size : r->range_end;
    if (r->range_split && *end < r->range_end) r->range_from = *end;
    return true;
}

static bool take_word(struct reading *r, size_t number, const struct column *column) {
    struct parse *parse = r->parse;
    size_t expected = parse->count - r->first + 1, head = 0, from = 0, end = 0;
    if (number != expected) return fail(r, 422, "line %zu: word %zu of the sentence is numbered %zu", r->line, expected, number);
    if (number > CONLLU_SENTENCE_MAX) return fail(r, 422, "line %zu: a sentence may have %d words", r->line, CONLLU_SENTENCE_MAX);
    if (!read_number(column[HEAD], &head)) return fail(r, 422, "line %zu: the head (column 7) must be a word's number, or 0", r->line);
    if (column[FORM].size == 0) return fail(r, 422, "line %zu: the form (column 2) is empty", r->line);
    if (!add_room(r) || !find_word(r, column[FORM], &from, &end)) return false;
    struct parsed_word *word = &parse->words[parse->count];
    if (!place_word(r, from, end, word) || !take_relation(r, column[DEPREL], &word->relation)) return false;
    word->sentence = (uint32_t)parse->sentences;
    word->head = (uint32_t)(head == 0 ? parse->count : r->first + head - 1);
    parse->count++;
    if (number == r->range_last) r->range_last = 0;
    return true;
}

static bool end_sentence(struct reading *r) {
    struct parse *parse = r->parse;
    if (r->range_last > 0) return fail(r, 422, "line %zu: words of a multiword token are missing", r->line);
    for (size_t w = r->first; w < parse->count; w++)
        if (parse->words[w].head >= parse->count)
            return fail(r, 422, "the sentence before line %zu has %zu words, and one of them has head %zu", r->line, parse->count - r->first,
                        parse->words[w].head - r->first + 1);
    if (parse->count > r->first) parse->sentences++;
    r->first = parse->count;
    return true;
}

static bool take_line(struct reading *r, const char *line, size_t size) {
    struct column column[COLUMNS];
    size_t columns = 0, first = 0, last = 0;
    if (size == 0) return end_sentence(r);
    if (line[0] == '#') return true;
    for (const char *at = line; at && columns < COLUMNS; columns++) {
        const char *tab = memchr(at, '\t', size - (size_t)(at - line));
        column[columns] = (struct column){at, tab ? (size_t)(tab - at) : size - (size_t)(at - line)};
        at = tab ? tab + 1 : NULL;
        if (columns == COLUMNS - 1 && tab) columns++;
    }
    if (columns != COLUMNS) return fail(r, 422, "line %zu: CoNLL-U has ten columns with tabs between them", r->line);
    struct column id = column[ID];
    const char *dash = memchr(id.bytes, '-', id.size);
    if (memchr(id.bytes, '.', id.size)) return true;
    if (dash) {
        struct column begin = {id.bytes, (size_t)(dash - id.bytes)}, end = {dash + 1, id.size - begin.size - 1};
        if (!read_number(begin, &first) || !read_number(end, &last)) return fail(r, 422, "line %zu: this is no word's number", r->line);
        return take_range(r, first, last, column[FORM]);
    }
    return read_number(id, &first) ? take_word(r, first, column) : fail(r, 422, "line %zu: this is no word's number", r->line);
}

bool conllu_read(const char *conllu, const struct stored_text *text, struct parse *parse, struct problem *problem) {
    struct reading r = {.text = text, .parse = parse, .problem = problem, .line = 1};
    *parse = (struct parse){.relation = malloc(CONLLU_RELATIONS_MAX * sizeof *parse->relation)};
    bool fine = parse->relation || problem_memory(problem);
    for (const char *end; fine && *conllu; conllu = *end ? end + 1 : end, r.line++) {
        end = strchr(conllu, '\n');
        if (!end) end = conllu + strlen(conllu);
        size_t size = (size_t)(end - conllu);
        if (size > 0 && conllu[size - 1] == '\r') size--;
        fine = take_line(&r, conllu, size);
    }
    fine = fine && end_sentence(&r);
    if (fine && parse->count == 0) fine = fail(&r, 422, "the parse has no words");
    if (!fine) conllu_clear(parse);
    return fine;
}

void conllu_clear(struct parse *parse) {
    free(parse->words);
    free(parse->relation);
    *parse = (struct parse){0};
}
