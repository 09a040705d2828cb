#include "engine/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/utf8.h"

/* Generous for patterns that hardly backtrack, yet an end for every text. */
enum { MATCH_LIMIT = 50000000, DEPTH_LIMIT = 50000000, HEAP_LIMIT_KIB = 256 << 10 };
enum { JIT_STACK_MIN = 32 << 10, JIT_STACK_MAX = 1 << 20 };
enum { EXPRESSION_MAX = 1 << 16 };

struct pattern {
    pcre2_code *code; /* NULL: `plain` */
    char *plain;
    size_t plain_size;
};

struct matcher {
    pcre2_match_data *found;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack; /* NULL where there is no JIT */
};

/* ---- translation ------------------------------------------------------------------------------------------- */

/* The White_Space property. PCRE2's \s also takes U+180E, which lost it in Unicode 6.3. */
#define SPACE "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
/* Letters, marks, numbers, connectors, and the alphabetic symbols. */
#define WORD "\\p{L}\\p{M}\\p{N}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
#define HEX "0-9A-Fa-f"

struct translation {
    const char *at, *end;
    char *out;
    size_t size, room;
    bool failed;          /* without memory */
    const char *problem;  /* what cannot be translated */
};

static void put(struct translation *t, const char *text, size_t size) {
    if (t->failed || size == 0) return; /* nothing of nothing: memcpy would not take the NULL */
    if (size > t->room - t->size) {
        size_t room = (t->size + size) * 2 + 64;
        char *out = realloc(t->out, room);
        if (out == NULL) {
            t->failed = true;
            return;
        }
        t->out = out;
        t->room = room;
    }
    memcpy(t->out + t->size, text, size);
    t->size += size;
}

static void put_text(struct translation *t, const char *text) {
    put(t, text, strlen(text));
}

/* The escape at t->at ('\' and what follows). Within a class the sets are spelt as members; their complements cannot be. */
static void translate_escape(struct translation *t, bool in_class) {
    static const struct { char letter; const char *members; } sets[] = {{'s', SPACE}, {'w', WORD}, {'h', HEX}};
    if (t->end - t->at < 2) {
        t->problem = "a lone \\ at its end";
        return;
    }
    char letter = t->at[1];
    t->at += 2;
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if (letter == sets[i].letter) {
            if (!in_class) put_text(t, "[");
            put_text(t, sets[i].members);
            if (!in_class) put_text(t, "]");
            return;
        }
        if (letter == sets[i].letter - 'a' + 'A') {
            if (in_class && letter == 'S') {
                /* every character that is no White_Space, as ranges between those that are */
                put_text(t, "\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"
                            "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}");
                return;
            }
            if (in_class) {
                t->problem = "\\W or \\H within a class";
                return;
            }
            put_text(t, "[^");
            put_text(t, sets[i].members);
            put_text(t, "]");
            return;
        }
    }
    if (strchr("GKQEgkCyYMXRONXucZ", letter) != NULL && letter != 'u' && letter != 'Z') {
        t->problem = "an escape that is not supported (\\G, \\K, \\g, \\k, \\R, \\X, \\c and the like)";
        return;
    }
    if (letter == 'u') { /* \uHHHH */
        char hex[16] = "\\x{0000}";
        if (t->end - t->at < 4) {
            t->problem = "\\u without four digits";
            return;
        }
        memcpy(hex + 3, t->at, 4);
        t->at += 4;
        put_text(t, hex);
        return;
    }
    const char both[2] = {'\\', letter};
    put(t, both, sizeof both);
    if ((letter == 'p' || letter == 'P' || letter == 'x') && t->at < t->end && *t->at == '{') {
        const char *close = memchr(t->at, '}', (size_t)(t->end - t->at));
        size_t size = close != NULL ? (size_t)(close + 1 - t->at) : (size_t)(t->end - t->at);
        put(t, t->at, size);
        t->at += size;
    }
}

/* A class, from its '['. */
static void translate_class(struct translation *t) {
    put(t, t->at++, 1);
    if (t->at < t->end && *t->at == '^') put(t, t->at++, 1);
    for (bool first = true; t->at < t->end && t->problem == NULL; first = false) {
        if (*t->at == ']' && !first) {
            put(t, t->at++, 1);
            return;
        }
        if (*t->at == '\\') {
            translate_escape(t, true);
        } else if (*t->at == '[') {
            const char *close = t->end - t->at > 2 && t->at[1] == ':' ? memchr(t->at, ']', (size_t)(t->end - t->at)) : NULL;
            if (close == NULL || close[-1] != ':') {
                t->problem = "a class within a class";
                return;
            }
            put(t, t->at, (size_t)(close + 1 - t->at));
            t->at = close + 1;
        } else if (*t->at == '&' && t->end - t->at > 1 && t->at[1] == '&') {
            t->problem = "an intersection of classes (&&)";
        } else {
            put(t, t->at++, 1);
        }
    }
    if (t->problem == NULL) t->problem = "a class without its ]";
}

/* What follows "(?": only groups, looks and the flags i and x mean the same in both. */
static bool is_known_group(const char *at, const char *end) {
    if (at < end && *at == '<') return end - at > 1 && (at[1] == '=' || at[1] == '!');
    if (at < end && strchr(":=!>#", *at) != NULL) return true;
    const char *flag = at;
    while (flag < end && (*flag == 'i' || *flag == 'x' || *flag == '-')) flag++;
    return flag > at && flag < end && (*flag == ':' || *flag == ')');
}

static void translate_one(struct translation *t) {
    char c = *t->at;
    if (c == '\\') {
        translate_escape(t, false);
    } else if (c == '[') {
        translate_class(t);
    } else if (c == '^') {
        put_text(t, "(?m:^)");
        t->at++;
    } else if (c == '$') {
        put_text(t, "(?m:$)");
        t->at++;
    } else if (c == '(' && t->end - t->at > 1 && t->at[1] == '*') {
        t->problem = "(*";
    } else if (c == '(' && t->end - t->at > 1 && t->at[1] == '?' && !is_known_group(t->at + 2, t->end)) {
        t->problem = "a kind of group that is not supported";
    } else if (c == '}' && t->end - t->at > 1 && t->at[1] == '+') {
        t->problem = "{n,m}+";
    } else {
        put(t, t->at++, 1);
    }
}

/* ---- making ------------------------------------------------------------------------------------------------ */

static enum engine_status refuse(const char *expression, size_t size, const char *problem, char *error, size_t error_size) {
    return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the tokenizer's pattern \"%.*s\" is not supported: %s",
                       (int)(size < 80 ? size : 80), expression, problem);
}

static enum engine_status compile(const char *expression, size_t size, const char *translated, size_t translated_size,
                                  struct pattern *pattern, char *error, size_t error_size) {
    int reason;
    PCRE2_SIZE where;
    pcre2_compile_context *limits = pcre2_compile_context_create(NULL);
    if (limits == NULL) return engine_fail_memory(error, error_size);
    pcre2_set_parens_nest_limit(limits, 50);
    pattern->code = pcre2_compile((PCRE2_SPTR)translated, translated_size, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                                  &reason, &where, limits);
    pcre2_compile_context_free(limits);
    if (pattern->code == NULL) {
        char words[128] = "PCRE2 refuses it";
        if (reason == PCRE2_ERROR_HEAP_FAILED) return engine_fail_memory(error, error_size);
        pcre2_get_error_message(reason, (PCRE2_UCHAR *)words, sizeof words);
        return refuse(expression, size, words, error, error_size);
    }
    pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE); /* where it fails, pcre2_match interprets: slower, not different */
    return ENGINE_OK;
}

enum engine_status pattern_create(const char *expression, size_t size, struct pattern **pattern, char *error,
                                  size_t error_size) {
    if (size > EXPRESSION_MAX) return refuse(expression, size, "it is too long", error, error_size);
    struct translation t = {.at = expression, .end = expression + size};
    put_text(&t, "");
    while (t.at < t.end && t.problem == NULL && !t.failed) translate_one(&t);
    struct pattern *made = calloc(1, sizeof *made);
    enum engine_status status = ENGINE_OK;
    if (made == NULL || t.failed) status = engine_fail_memory(error, error_size);
    else if (t.problem != NULL) status = refuse(expression, size, t.problem, error, error_size);
    else status = compile(expression, size, t.out, t.size, made, error, error_size);
    free(t.out);
    if (status != ENGINE_OK) {
        pattern_destroy(made);
        return status;
    }
    *pattern = made;
    return ENGINE_OK;
}

enum engine_status pattern_create_plain(const char *text, size_t size, struct pattern **pattern, char *error,
                                        size_t error_size) {
    if (size == 0) return refuse(text, size, "it is empty", error, error_size);
    struct pattern *made = calloc(1, sizeof *made);
    if (made != NULL && (made->plain = malloc(size)) == NULL) {
        free(made);
        made = NULL;
    }
    if (made == NULL) return engine_fail_memory(error, error_size);
    memcpy(made->plain, text, size);
    made->plain_size = size;
    *pattern = made;
    return ENGINE_OK;
}

void pattern_destroy(struct pattern *pattern) {
    if (pattern == NULL) return;
    pcre2_code_free(pattern->code);
    free(pattern->plain);
    free(pattern);
}

/* ---- matching ---------------------------------------------------------------------------------------------- */

struct matcher *matcher_create(void) {
    struct matcher *matcher = calloc(1, sizeof *matcher);
    if (matcher == NULL) return NULL;
    matcher->limits = pcre2_match_context_create(NULL);
    matcher->found = pcre2_match_data_create(1, NULL);
    if (matcher->limits == NULL || matcher->found == NULL) {
        matcher_destroy(matcher);
        return NULL;
    }
    pcre2_set_match_limit(matcher->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(matcher->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(matcher->limits, HEAP_LIMIT_KIB);
    matcher->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    if (matcher->stack != NULL) pcre2_jit_stack_assign(matcher->limits, NULL, matcher->stack);
    return matcher;
}

void matcher_destroy(struct matcher *matcher) {
    if (matcher == NULL) return;
    pcre2_match_data_free(matcher->found);
    pcre2_match_context_free(matcher->limits);
    pcre2_jit_stack_free(matcher->stack);
    free(matcher);
}

struct search search_start(const struct pattern *pattern, const char *text, size_t size) {
    return (struct search){.pattern = pattern, .text = text, .size = size};
}

static enum engine_status match_code(const struct search *search, struct matcher *matcher, bool *found, size_t *start,
                                     size_t *end) {
    PCRE2_SPTR text = (PCRE2_SPTR)search->text;
    int result = pcre2_match(search->pattern->code, text, search->size, search->at, PCRE2_NO_UTF_CHECK, matcher->found,
                             matcher->limits);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
        result = pcre2_match(search->pattern->code, text, search->size, search->at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                             matcher->found, matcher->limits);
    *found = result >= 0;
    *start = search->at;
    if (result == PCRE2_ERROR_NOMEMORY) return ENGINE_NO_MEMORY;
    if (result < 0) return result == PCRE2_ERROR_NOMATCH ? ENGINE_OK : ENGINE_INVALID;
    const PCRE2_SIZE *match = pcre2_get_ovector_pointer(matcher->found);
    if (match[0] < search->at || match[1] < match[0]) return ENGINE_INVALID; /* no pattern that is compiled here does so */
    *start = match[0];
    *end = match[1];
    return ENGINE_OK;
}

static void match_plain(const struct search *search, bool *found, size_t *start, size_t *end) {
    const char *at = memmem(search->text + search->at, search->size - search->at, search->pattern->plain,
                            search->pattern->plain_size);
    *found = at != NULL;
    if (at == NULL) return;
    *start = (size_t)(at - search->text);
    *end = *start + search->pattern->plain_size;
}

enum engine_status search_next(struct search *search, struct matcher *matcher, bool *found, size_t *start, size_t *end) {
    for (;;) {
        *found = false;
        if (search->at > search->size) return ENGINE_OK;
        if (search->pattern->code == NULL) {
            match_plain(search, found, start, end);
        } else {
            enum engine_status status = match_code(search, matcher, found, start, end);
            if (status != ENGINE_OK) return status;
        }
        if (!*found) {
            search->at = search->size + 1;
            return ENGINE_OK;
        }
        if (*start < *end || !search->any || search->last_end != *end) break;
        uint32_t character; /* empty, and where the last match ended: on from the next character */
        size_t length = utf8_character(search->text + *end, search->size - *end, &character);
        search->at = *end + (length > 0 ? length : 1);
    }
    search->any = true;
    search->last_end = *end;
    search->at = *end;
    return ENGINE_OK;
}
