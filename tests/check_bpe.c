/* Byte-pair encoding with a heap against the definition, on random lists of merges; special tokens against a plain search. */
#include "engine/bpe.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gguf_writer.h"

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

static unsigned char *toy_file(const struct toy *toy, size_t *size) {
    const char *tokens[TOKENS], *merges[MERGES];
    char merge[MERGES][2 * TOKEN_SIZE + 2];
    for (int i = 0; i < toy->tokens; i++) tokens[i] = toy->token[i];
    for (int i = 0; i < toy->merges; i++) {
        snprintf(merge[i], sizeof merge[i], "%s %s", toy->token[toy->merge[i].left], toy->token[toy->merge[i].right]);
        merges[i] = merge[i];
    }
    struct gguf_writer writer;
    gguf_writer_start(&writer);
    gguf_put_strings(&writer, "tokenizer.ggml.tokens", tokens, (size_t)toy->tokens);
    gguf_put_strings(&writer, "tokenizer.ggml.merges", merges, (size_t)toy->merges);
    unsigned char *file = gguf_writer_finish(&writer, size);
    gguf_writer_drop(&writer);
    return file;
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
    char error[200];
    unsigned words = 0;
    state = 12345;
    for (int round = 0; round < 300; round++) {
        struct toy toy;
        size_t size;
        struct gguf *gguf = NULL;
        struct vocabulary *vocabulary = NULL;
        struct bpe *bpe = NULL;
        struct bpe_scratch scratch = {0};
        draw_toy(&toy);
        unsigned char *file = toy_file(&toy, &size);
        ck_assert_int_eq(gguf_open(file, size, &gguf, error, sizeof error), ENGINE_OK);
        ck_assert_msg(vocabulary_from_gguf(gguf, &vocabulary, error, sizeof error) == ENGINE_OK, "%s", error);
        ck_assert_msg(bpe_from_gguf(gguf, vocabulary, false, &bpe, error, sizeof error) == ENGINE_OK, "%s", error);
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
        gguf_close(gguf);
        free(file);
    }
    printf("bpe: %u random words as defined\n", words);
}
END_TEST

START_TEST(matches_the_longest_whole_token) {
    static const char *const tokens[] = {"a", "<", "<a>", "<a", "<ab>c", "<ab", "", "b<", "\xff<", "<a>b"};
    static const int32_t types[] = {1, 4, 3, 4, 3, 3, 3, 4, 3, 1};
    enum { COUNT = sizeof types / sizeof types[0] };
    char error[200];
    struct gguf_writer writer;
    size_t size;
    struct gguf *gguf = NULL;
    struct vocabulary *vocabulary = NULL;
    gguf_writer_start(&writer);
    gguf_put_strings(&writer, "tokenizer.ggml.tokens", tokens, COUNT);
    gguf_put_i32s(&writer, "tokenizer.ggml.token_type", types, COUNT);
    unsigned char *file = gguf_writer_finish(&writer, &size);
    ck_assert_int_eq(gguf_open(file, size, &gguf, error, sizeof error), ENGINE_OK);
    ck_assert_msg(vocabulary_from_gguf(gguf, &vocabulary, error, sizeof error) == ENGINE_OK, "%s", error);
    state = 99;
    for (int trial = 0; trial < 20000; trial++) {
        char text[9];
        size_t length = draw(sizeof text), longest = 0;
        bool control = draw(2) == 1;
        uint32_t expected = 0, found;
        for (size_t i = 0; i < length; i++) text[i] = "<<<aab>c\xff"[draw(9)];
        for (uint32_t id = 0; id < COUNT; id++) {
            size_t token_size = strlen(tokens[id]);
            if (types[id] == 1 || (types[id] == 3 && !control) || token_size > length || token_size <= longest) continue;
            if (memcmp(tokens[id], text, token_size) != 0) continue;
            expected = id;
            longest = token_size;
        }
        ck_assert(vocabulary_match(vocabulary, text, length, control, &found) == (longest > 0));
        if (longest > 0) ck_assert_uint_eq(found, expected);
    }
    vocabulary_destroy(vocabulary);
    gguf_close(gguf);
    free(file);
    gguf_writer_drop(&writer);
}
END_TEST

START_TEST(refuses_broken_lists) {
    static const char *const bad[] = {
        "ab", "a  ", " ", "a x", "a b c", "", "\xff a", "b a",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *tokens[] = {"a", "b", "ab"}, *merges[] = {"a b", bad[i]};
        char error[200];
        struct gguf_writer writer;
        size_t size;
        struct gguf *gguf = NULL;
        struct vocabulary *vocabulary = NULL;
        struct bpe *bpe = NULL;
        gguf_writer_start(&writer);
        gguf_put_strings(&writer, "tokenizer.ggml.tokens", tokens, 3);
        gguf_put_strings(&writer, "tokenizer.ggml.merges", merges, 2);
        unsigned char *file = gguf_writer_finish(&writer, &size);
        ck_assert_int_eq(gguf_open(file, size, &gguf, error, sizeof error), ENGINE_OK);
        ck_assert_int_eq(vocabulary_from_gguf(gguf, &vocabulary, error, sizeof error), ENGINE_OK);
        ck_assert_int_eq(bpe_from_gguf(gguf, vocabulary, false, &bpe, error, sizeof error), ENGINE_BROKEN);
        ck_assert_msg(strstr(error, "merge 1") != NULL, "%s", error);
        vocabulary_destroy(vocabulary);
        gguf_close(gguf);
        gguf_writer_drop(&writer);
        free(file);
    }
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("bpe");
    TCase *words = tcase_create("words");
    tcase_set_timeout(words, 60);
    tcase_add_test(words, merges_as_defined);
    tcase_add_test(words, matches_the_longest_whole_token);
    tcase_add_test(words, refuses_broken_lists);
    suite_add_tcase(all, words);
    return all;
}

#include "tests/check_main.h"
