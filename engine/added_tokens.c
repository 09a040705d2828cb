#include "engine/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/trie.h"
#include "engine/unicode.h"
#include "engine/utf8.h"

/* A search looks at no more bytes than the longest token has, at every place of a text: real ones have a few dozen. */
enum { CONTENT_MAX = 1024, COUNT_MAX = 1 << 20 };

struct rule {
    uint32_t id;
    bool special, single_word, lstrip, rstrip;
};

struct added_tokens {
    struct trie *contents; /* -> place in rules */
    struct rule *rules;
    uint8_t digest[SHA256_DIGEST_SIZE];
};

/* ---- making ------------------------------------------------------------------------------------------------ */

static void hash_token(struct sha256_ctx *context, const struct added_token *token) {
    const uint8_t head[] = {token->special, token->single_word, token->lstrip, token->rstrip, (uint8_t)token->id,
                            (uint8_t)(token->id >> 8), (uint8_t)(token->id >> 16), (uint8_t)(token->id >> 24),
                            (uint8_t)token->size, (uint8_t)(token->size >> 8)};
    sha256_update(context, sizeof head, head);
    sha256_update(context, token->size, (const uint8_t *)token->content);
}

static enum engine_status check(const struct added_token *tokens, size_t count, char *error, size_t error_size) {
    if (count > COUNT_MAX)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the tokenizer has %zu added tokens; at most %d are supported",
                           count, COUNT_MAX);
    for (size_t i = 0; i < count; i++)
        if (tokens[i].size > CONTENT_MAX)
            return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                               "the special token %u has %zu bytes; at most %d are supported", tokens[i].id, tokens[i].size,
                               CONTENT_MAX);
    return ENGINE_OK;
}

/* The entries are sorted: equal ones lie side by side. */
static enum engine_status check_twins(const struct trie_entry *entries, size_t count, const struct rule *rules, char *error,
                                      size_t error_size) {
    for (size_t i = 1; i < count; i++)
        if (entries[i].size == entries[i - 1].size && memcmp(entries[i].bytes, entries[i - 1].bytes, entries[i].size) == 0)
            return engine_fail(ENGINE_BROKEN, error, error_size, "the tokenizer is damaged: its tokens %u and %u are the same",
                               rules[entries[i - 1].value].id, rules[entries[i].value].id);
    return ENGINE_OK;
}

enum engine_status added_tokens_create(const struct added_token *tokens, size_t count, struct added_tokens **set, char *error,
                                       size_t error_size) {
    enum engine_status status = check(tokens, count, error, error_size);
    if (status != ENGINE_OK) return status;
    struct added_tokens *made = calloc(1, sizeof *made);
    struct trie_entry *entries = malloc((count + 1) * sizeof *entries);
    if (made != NULL) made->rules = malloc((count + 1) * sizeof *made->rules);
    if (made == NULL || entries == NULL || made->rules == NULL) {
        free(entries);
        added_tokens_destroy(made);
        return engine_fail_memory(error, error_size);
    }
    struct sha256_ctx context;
    size_t used = 0;
    sha256_init(&context);
    for (size_t i = 0; i < count; i++) {
        const struct added_token *token = &tokens[i];
        hash_token(&context, token);
        made->rules[i] = (struct rule){token->id, token->special, token->single_word, token->lstrip, token->rstrip};
        if (token->size > 0) entries[used++] = (struct trie_entry){token->content, (uint32_t)token->size, (uint32_t)i};
    }
    sha256_digest(&context, sizeof made->digest, made->digest);
    made->contents = trie_create(entries, used);
    status = made->contents != NULL ? check_twins(entries, used, made->rules, error, error_size)
                                    : engine_fail_memory(error, error_size);
    free(entries);
    if (status != ENGINE_OK) {
        added_tokens_destroy(made);
        return status;
    }
    *set = made;
    return ENGINE_OK;
}

void added_tokens_destroy(struct added_tokens *set) {
    if (set == NULL) return;
    trie_destroy(set->contents);
    free(set->rules);
    free(set);
}

void added_tokens_hash(const struct added_tokens *set, struct sha256_ctx *context) {
    static const uint8_t none[SHA256_DIGEST_SIZE];
    sha256_update(context, SHA256_DIGEST_SIZE, set != NULL ? set->digest : none);
}

/* ---- finding ----------------------------------------------------------------------------------------------- */

/* The character that ends before `at`, and where it starts; at > 0. */
static size_t character_before(const char *text, size_t at, uint32_t *character) {
    size_t start = at - 1;
    while (start > 0 && ((unsigned char)text[start] & 0xc0) == 0x80) start--;
    if (utf8_character(text + start, at - start, character) == 0) *character = 0xfffd;
    return start;
}

static bool stands_alone(const char *text, size_t size, size_t start, size_t end) {
    uint32_t character;
    if (start > 0) {
        character_before(text, start, &character);
        if (unicode_is(character, CLASS_WORD)) return false;
    }
    return end == size || utf8_character(text + end, size - end, &character) == 0 || !unicode_is(character, CLASS_WORD);
}

static void take_space(const struct rule *rule, const char *text, size_t size, size_t from, struct added_match *match) {
    uint32_t character;
    while (rule->lstrip && match->start > from) {
        size_t before = character_before(text, match->start, &character);
        if (!unicode_is(character, CLASS_WHITESPACE)) break;
        match->start = before;
    }
    while (rule->rstrip && match->end < size) {
        size_t length = utf8_character(text + match->end, size - match->end, &character);
        if (length == 0 || !unicode_is(character, CLASS_WHITESPACE)) break;
        match->end += length;
    }
}

static bool counts(const struct added_filter *filter, size_t start, size_t end) {
    return filter->special && (filter->counts == NULL || filter->counts(filter->context, start, end));
}

/* The longest token at text[at ..); its end, or `at`. */
static size_t longest(const struct added_tokens *set, const char *text, size_t size, size_t at, const struct added_filter *filter,
                      uint32_t *place) {
    size_t end = at;
    uint32_t node = TRIE_ROOT;
    for (size_t i = at; i < size; i++) {
        node = trie_step(set->contents, node, (unsigned char)text[i]);
        if (node == TRIE_NONE) break;
        uint32_t value = trie_value(set->contents, node);
        if (value == TRIE_NONE || (set->rules[value].special && !counts(filter, at, i + 1))) continue;
        *place = value;
        end = i + 1;
    }
    return end;
}

bool added_tokens_find(const struct added_tokens *set, const char *text, size_t size, size_t from, struct added_filter filter,
                       struct added_match *match) {
    if (set == NULL) return false;
    for (size_t at = from; at < size;) {
        uint32_t place = 0;
        size_t end = longest(set, text, size, at, &filter, &place);
        const struct rule *rule = &set->rules[place];
        if (end == at) {
            at++;
        } else if (rule->single_word && !stands_alone(text, size, at, end)) {
            at = end;
        } else {
            *match = (struct added_match){at, end, rule->id};
            take_space(rule, text, size, from, match);
            return true;
        }
    }
    return false;
}
