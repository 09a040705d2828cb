/* Tokens cut out of texts, against a plain search, and what their flags do. */
#include "engine/added_tokens.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static uint32_t state = 99;

static unsigned draw(unsigned below) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (state >> 4) % below;
}

START_TEST(matches_the_longest_token) {
    static const char *const contents[] = {"<", "<a>", "<a", "<ab>c", "<ab", "", "b<", "\xff<"};
    static const bool special[] = {false, true, false, true, true, true, false, true};
    enum { COUNT = sizeof special / sizeof special[0] };
    struct added_token tokens[COUNT];
    struct added_tokens *set = NULL;
    for (uint32_t id = 0; id < COUNT; id++)
        tokens[id] = (struct added_token){.content = contents[id], .size = strlen(contents[id]), .id = id, .special = special[id]};
    ck_assert_int_eq(added_tokens_create(tokens, COUNT, &set, NULL, 0), ENGINE_OK);
    for (int trial = 0; trial < 20000; trial++) {
        char text[9];
        size_t length = draw(sizeof text), longest = 0, start = 0;
        bool with_special = draw(2) == 1;
        uint32_t expected = 0;
        for (size_t i = 0; i < length; i++) text[i] = "<<<aab>c\xff"[draw(9)];
        for (; start < length && longest == 0; start++)
            for (uint32_t id = 0; id < COUNT; id++) {
                size_t size = strlen(contents[id]);
                if ((special[id] && !with_special) || size > length - start || size <= longest) continue;
                if (memcmp(contents[id], text + start, size) != 0) continue;
                expected = id;
                longest = size;
            }
        struct added_match match;
        ck_assert(added_tokens_find(set, text, length, 0, (struct added_filter){.special = with_special}, &match) == (longest > 0));
        if (longest == 0) continue;
        ck_assert_uint_eq(match.id, expected);
        ck_assert_uint_eq(match.start, start - 1);
        ck_assert_uint_eq(match.end, start - 1 + longest);
    }
    added_tokens_destroy(set);
}
END_TEST

START_TEST(follows_the_flags) {
    static const struct { bool single, left, right; const char *text; size_t from; bool found; size_t start, end; } cases[] = {
        {false, false, false, "a  ab  b", 0, true, 3, 5},
        {false, true, false, "a  ab  b", 0, true, 1, 5},
        {false, false, true, "a  ab  b", 0, true, 3, 7},
        {false, true, true, " \xe3\x80\x80" "ab\xc2\xa0\n", 0, true, 0, 9},
        {false, true, false, "   ab", 2, true, 2, 5}, /* what lies before was taken */
        {true, false, false, "xab ab", 0, true, 4, 6},
        {true, false, false, "abx", 0, false, 0, 0},
        {true, false, false, "\xc3\xa9" "ab", 0, false, 0, 0},
        {true, false, false, "ab\xcc\x81", 0, false, 0, 0},
        {true, false, false, "-ab-", 0, true, 1, 3},
        {true, false, false, "ab", 0, true, 0, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct added_token token = {.content = "ab", .size = 2, .id = 7, .single_word = cases[i].single, .lstrip = cases[i].left,
                                    .rstrip = cases[i].right};
        struct added_tokens *set = NULL;
        struct added_match match = {0};
        ck_assert_int_eq(added_tokens_create(&token, 1, &set, NULL, 0), ENGINE_OK);
        ck_assert(added_tokens_find(set, cases[i].text, strlen(cases[i].text), cases[i].from, (struct added_filter){0}, &match) == cases[i].found);
        ck_assert_msg(match.start == cases[i].start && match.end == cases[i].end, "case %zu: %zu to %zu", i, match.start, match.end);
        added_tokens_destroy(set);
    }
}
END_TEST

START_TEST(refuses_twins_and_giants) {
    static char giant[2000];
    struct added_token tokens[2] = {{.content = "ab", .size = 2, .id = 3}, {.content = "ab", .size = 2, .id = 5}};
    struct added_tokens *set = NULL;
    char error[200];
    ck_assert_int_eq(added_tokens_create(tokens, 2, &set, error, sizeof error), ENGINE_BROKEN);
    ck_assert_ptr_nonnull(strstr(error, "3 and 5"));
    memset(giant, 'a', sizeof giant);
    tokens[1] = (struct added_token){.content = giant, .size = sizeof giant, .id = 5};
    ck_assert_int_eq(added_tokens_create(tokens, 2, &set, error, sizeof error), ENGINE_UNSUPPORTED);
    ck_assert_ptr_null(set);
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("added_tokens");
    TCase *tokens = tcase_create("tokens");
    tcase_add_test(tokens, matches_the_longest_token);
    tcase_add_test(tokens, follows_the_flags);
    tcase_add_test(tokens, refuses_twins_and_giants);
    suite_add_tcase(all, tokens);
    return all;
}

#include "tests/check_main.h"
