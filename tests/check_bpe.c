/* Byte-pair encoding with a heap against the definition, on random lists of merges and random scores. */
#include "engine/bpe.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 40, MERGES = 60, TOKEN_SIZE = 24, WORD = 60 };

/* A random tokenizer over the letters a to c: tokens 0 to 2 are the letters. */
struct toy {
    char token[TOKENS][TOKEN_SIZE + 1];
    int tokens;
    struct { int left, right, whole; } merge[MERGES];
    int merges;
};

static uint32_t state;

static unsigned draw(unsigned below) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (state >> 4) % below;
}

static int find_token(const struct toy *toy, const char *text) {
    for (int i = 0; i < toy->tokens; i++)
        if (strcmp(toy->token[i], text) == 0) return i;
    return -1;
}

static bool has_pair(const struct toy *toy, int left, int right) {
    for (int i = 0; i < toy->merges; i++)
        if (toy->merge[i].left == left && toy->merge[i].right == right) return true;
    return false;
}

/* The ranks are in no sensible order: a merge may come before those that make its parts. */
static void draw_toy(struct toy *toy) {
    toy->tokens = 3;
    toy->merges = 0;
    for (int i = 0; i < 3; i++) snprintf(toy->token[i], sizeof toy->token[i], "%c", 'a' + i);
    for (int tries = 0; tries < 200 && toy->merges < MERGES; tries++) {
        int left = (int)draw((unsigned)toy->tokens), right = (int)draw((unsigned)toy->tokens);
        char joined[2 * TOKEN_SIZE + 1];
        snprintf(joined, sizeof joined, "%s%s", toy->token[left], toy->token[right]);
        int whole = find_token(toy, joined);
        if (strlen(joined) > TOKEN_SIZE || has_pair(toy, left, right) || (whole < 0 && toy->tokens == TOKENS)) continue;
        if (whole < 0) strcpy(toy->token[whole = toy->tokens++], joined);
        toy->merge[toy->merges].left = left;
        toy->merge[toy->merges].right = right;
        toy->merge[toy->merges++].whole = whole;
    }
    for (int i = toy->merges - 1; i > 0; i--) {
        int j = (int)draw((unsigned)i + 1);
        __typeof__(toy->merge[0]) swapped = toy->merge[i];
        toy->merge[i] = toy->merge[j];
        toy->merge[j] = swapped;
    }
}

struct list {
    const char *const (*pairs)[2];
    size_t at;
};

static bool next_merge(void *context, const char **left, size_t *left_size, const char **right, size_t *right_size) {
    struct list *list = context;
    *left = list->pairs[list->at][0];
    *right = list->pairs[list->at++][1];
    *left_size = strlen(*left);
    *right_size = strlen(*right);
    return true;
}

static struct vocabulary *make_vocabulary(const char *const *tokens, size_t count) {
    struct vocabulary_entry entries[TOKENS];
    struct vocabulary *vocabulary = NULL;
    for (uint32_t i = 0; i < count; i++)
        entries[i] = (struct vocabulary_entry){.spelling = tokens[i], .size = (uint32_t)strlen(tokens[i]), .id = i};
    ck_assert_int_eq(vocabulary_create(entries, count, (struct vocabulary_style){.byte_level = false}, &vocabulary, NULL, 0),
                     ENGINE_OK);
    return vocabulary;
}

static void make_toy(const struct toy *toy, struct vocabulary **vocabulary, struct bpe **bpe) {
    const char *tokens[TOKENS], *pairs[MERGES][2];
    for (int i = 0; i < toy->tokens; i++) tokens[i] = toy->token[i];
    for (int i = 0; i < toy->merges; i++) {
        pairs[i][0] = toy->token[toy->merge[i].left];
        pairs[i][1] = toy->token[toy->merge[i].right];
    }
    struct list list = {.pairs = pairs};
    const struct bpe_merge_source source = {next_merge, &list, (size_t)toy->merges};
    *vocabulary = make_vocabulary(tokens, (size_t)toy->tokens);
    ck_assert_int_eq(bpe_create(*vocabulary, (struct bpe_options){.bytes = true, .unknown = BPE_NONE}, &source, bpe, NULL, 0),
                     ENGINE_OK);
}

/* By the definition: as long as any pair is in the list, join the leftmost of those that come first in it. */
static int encode_plainly(const struct toy *toy, const char *word, int *ids) {
    int count = 0;
    for (; word[count] != '\0'; count++) ids[count] = word[count] - 'a';
    for (;;) {
        int best = MERGES, place = 0;
        for (int i = 0; i + 1 < count; i++)
            for (int rank = 0; rank < best && rank < toy->merges; rank++)
                if (toy->merge[rank].left == ids[i] && toy->merge[rank].right == ids[i + 1]) {
                    best = rank;
                    place = i;
                }
        if (best == MERGES) return count;
        ids[place] = toy->merge[best].whole;
        count--;
        memmove(ids + place + 1, ids + place + 2, (size_t)(count - place - 1) * sizeof *ids);
    }
}

struct collected {
    int ids[WORD + 1], count;
    size_t end;
};

static enum engine_status collect(void *context, uint32_t id, size_t start, size_t end) {
    struct collected *collected = context;
    if (start != collected->end || collected->count > WORD) return ENGINE_BROKEN;
    collected->ids[collected->count++] = (int)id;
    collected->end = end;
    return ENGINE_OK;
}

START_TEST(merges_as_defined) {
    unsigned words = 0;
    state = 12345;
    for (int round = 0; round < 300; round++) {
        struct toy toy;
        struct vocabulary *vocabulary = NULL;
        struct bpe *bpe = NULL;
        struct bpe_scratch scratch = {0};
        draw_toy(&toy);
        make_toy(&toy, &vocabulary, &bpe);
        for (int trial = 0; trial < 50; trial++, words++) {
            char word[WORD + 1];
            int expected[WORD], length = (int)draw(WORD + 1), letters = 1 + (int)draw(3);
            for (int i = 0; i < length; i++) word[i] = (char)('a' + draw((unsigned)letters));
            word[length] = '\0';
            int count = encode_plainly(&toy, word, expected);
            struct collected found = {.count = 0};
            ck_assert_int_eq(bpe_word(bpe, &scratch, word, (size_t)length, collect, &found), ENGINE_OK);
            ck_assert_msg(found.count == count && memcmp(found.ids, expected, (size_t)count * sizeof *expected) == 0,
                          "round %d: %s", round, word);
            ck_assert_uint_eq(found.end, length);
        }
        bpe_scratch_finish(&scratch);
        bpe_destroy(bpe);
        vocabulary_destroy(vocabulary);
    }
    printf("bpe: %u random words as defined\n", words);
}
END_TEST

/* SentencePiece: the pair whose token has the highest score, the leftmost among equals. */
static int encode_by_score(const struct toy *toy, const float *scores, const char *word, char parts[WORD][WORD + 1]) {
    int count = 0;
    for (; word[count] != '\0'; count++) snprintf(parts[count], WORD + 1, "%c", word[count]);
    for (;;) {
        int best = -1, place = 0;
        for (int i = 0; i + 1 < count; i++) {
            char joined[2 * WORD + 1];
            strcpy(joined, parts[i]);
            strcat(joined, parts[i + 1]);
            int whole = find_token(toy, joined);
            if (whole < 0 || (best >= 0 && scores[whole] <= scores[best])) continue;
            best = whole;
            place = i;
        }
        if (best < 0) return count;
        strcpy(parts[place], toy->token[best]);
        count--;
        memmove(parts[place + 1], parts[place + 2], (size_t)(count - place - 1) * sizeof *parts);
    }
}

START_TEST(merges_by_score_as_defined) {
    unsigned words = 0;
    state = 777;
    for (int round = 0; round < 200; round++) {
        struct toy toy;
        float scores[TOKENS];
        const char *tokens[TOKENS];
        struct bpe *bpe = NULL;
        struct bpe_scratch scratch = {0};
        draw_toy(&toy);
        for (int i = 0; i < toy.tokens; i++) {
            tokens[i] = toy.token[i];
            scores[i] = -(float)draw(12); /* with ties */
        }
        struct vocabulary *vocabulary = make_vocabulary(tokens, (size_t)toy.tokens);
        ck_assert_int_eq(bpe_create_scored(vocabulary, (struct bpe_options){.unknown = BPE_NONE}, scores, &bpe, NULL, 0),
                         ENGINE_OK);
        for (int trial = 0; trial < 30; trial++, words++) {
            static char parts[WORD][WORD + 1];
            char word[WORD + 1];
            int length = (int)draw(WORD + 1), letters = 1 + (int)draw(3);
            for (int i = 0; i < length; i++) word[i] = (char)('a' + draw((unsigned)letters));
            word[length] = '\0';
            int count = encode_by_score(&toy, scores, word, parts);
            struct collected found = {.count = 0};
            ck_assert_int_eq(bpe_word(bpe, &scratch, word, (size_t)length, collect, &found), ENGINE_OK);
            ck_assert_int_eq(found.count, count);
            for (int i = 0; i < count; i++) ck_assert_str_eq(toy.token[found.ids[i]], parts[i]);
        }
        bpe_scratch_finish(&scratch);
        bpe_destroy(bpe);
        vocabulary_destroy(vocabulary);
    }
    printf("bpe: %u random words by score as defined\n", words);
}
END_TEST

START_TEST(refuses_broken_lists) {
    static const char *const tokens[] = {"a", "b", "ab"};
    static const char *const bad[][2] = {{"a", "x"}, {"x", "b"}, {"b", "a"}, {"a", ""}, {"", "a"}, {"a", "b"}, {"\xff", "a"}};
    struct vocabulary *vocabulary = make_vocabulary(tokens, 3);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *const pairs[2][2] = {{"a", "b"}, {bad[i][0], bad[i][1]}};
        struct list list = {.pairs = pairs};
        const struct bpe_merge_source source = {next_merge, &list, 2};
        char error[200];
        struct bpe *bpe = NULL;
        ck_assert_int_eq(bpe_create(vocabulary, (struct bpe_options){.unknown = BPE_NONE}, &source, &bpe, error, sizeof error),
                         ENGINE_BROKEN);
        ck_assert_msg(strstr(error, "1") != NULL, "%s", error);
    }
    vocabulary_destroy(vocabulary);
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("bpe");
    TCase *words = tcase_create("words");
    tcase_set_timeout(words, 60);
    tcase_add_test(words, merges_as_defined);
    tcase_add_test(words, merges_by_score_as_defined);
    tcase_add_test(words, refuses_broken_lists);
    suite_add_tcase(all, words);
    return all;
}

#include "tests/check_main.h"
