/* Tokens of SmolLM2 against reference tokenisations, and of the tiny model against what its merges say. */
#include "engine/engine.h"

#include <check.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/failing_malloc.h"
#include "tests/models.h"
#include "tests/tiny_model.h"

static const struct tokenize_options by_default = {.parse_special = true, .add_special = true};
static char error[256];
static struct model *smollm2, *tiny;

/* ---- models ------------------------------------------------------------------------------------------------ */

static struct model *open_path(const char *path) {
    struct model *model = NULL;
    ck_assert_msg(model_open(path, &model, error, sizeof error) == ENGINE_OK, "%s", error);
    return model;
}

static struct model *open_tiny(const struct tiny_model *kind) {
    char path[] = "/tmp/check_tokenizer.XXXXXX";
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
    ck_assert(tiny_model_write(path, kind));
    struct model *model = open_path(path);
    unlink(path);
    return model;
}

static void open_models(void) {
    char path[4096];
    models_path(path, sizeof path, SMOLLM2_FILE);
    smollm2 = open_path(path);
    tiny = open_tiny(NULL);
}

static void close_models(void) {
    model_release(smollm2);
    model_release(tiny);
}

/* ---- comparing --------------------------------------------------------------------------------------------- */

/* The ranges tile the text: each starts where the one before ended. Added tokens have 0, 0. */
static void check_tiling(const struct token *tokens, size_t n, size_t size) {
    size_t at = 0, i = 0;
    for (; i < n; i++) {
        if (tokens[i].start == 0 && tokens[i].end == 0) continue;
        if (tokens[i].start != at || tokens[i].end <= at) break;
        at = tokens[i].end;
    }
    ck_assert_msg(i == n && at == size, "token %zu of %zu leaves a gap at byte %zu of %zu", i, n, at, size);
}

static void check_ids(const struct model *model, const char *text, size_t size, const struct tokenize_options *options,
                      const json_t *ids) {
    struct token *tokens = NULL;
    size_t n = 0;
    ck_assert_msg(model_tokenize(model, text, size, options, &tokens, &n, error, sizeof error) == ENGINE_OK, "%s: %s", text,
                  error);
    check_tiling(tokens, n, size);
    for (size_t i = 0; i < n && i < json_array_size(ids); i++)
        ck_assert_msg(tokens[i].id == json_integer_value(json_array_get(ids, i)), "\"%s\": token %zu is %d, not %d", text, i,
                      tokens[i].id, (int)json_integer_value(json_array_get(ids, i)));
    ck_assert_msg(n == json_array_size(ids), "\"%s\": %zu tokens, not %zu", text, n, json_array_size(ids));
    free(tokens);
}

static void check_list(const struct model *model, const char *text, const struct tokenize_options *options,
                       const int *expected, size_t count) {
    json_t *ids = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(ids, json_integer(expected[i]));
    check_ids(model, text, strlen(text), options, ids);
    json_decref(ids);
}
#define CHECK_LIST(model, text, options, ...) \
    check_list(model, text, options, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* ---- SmolLM2 ----------------------------------------------------------------------------------------------- */

START_TEST(equals_the_reference) {
    char path[4096];
    source_path(path, sizeof path, "tests/golden/tokenizers/smollm2.jsonl");
    FILE *lines = fopen(path, "r");
    ck_assert_msg(lines != NULL, "%s", path);
    json_error_t problem;
    json_t *line;
    int count = 0;
    while ((line = json_loadf(lines, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &problem)) != NULL) {
        const json_t *text = json_object_get(line, "text");
        check_ids(smollm2, json_string_value(text), json_string_length(text), &by_default, json_object_get(line, "ids"));
        json_decref(line);
        count++;
    }
    fclose(lines);
    printf("tokenizer: %d reference texts equal\n", count);
    ck_assert_int_eq(count, 203);
}
END_TEST

START_TEST(equals_the_reference_ranges) {
    static const char *const names[] = {"cat", "chat", "code", "gpl", "names", "repeat", "world"};
    char file[64], path[4096];
    snprintf(file, sizeof file, "tests/golden/smollm2/%s.json", names[_i]);
    source_path(path, sizeof path, file);
    json_t *facts = json_load_file(path, 0, NULL);
    ck_assert_msg(facts != NULL, "%s", path);
    const json_t *text = json_object_get(facts, "text"), *ids = json_object_get(facts, "ids"), *position;
    struct token *tokens = NULL;
    size_t n = 0, i;
    ck_assert_int_eq(model_tokenize(smollm2, json_string_value(text), json_string_length(text), &by_default, &tokens, &n, error,
                                    sizeof error), ENGINE_OK);
    check_tiling(tokens, n, json_string_length(text));
    ck_assert_uint_eq(n, json_array_size(ids));
    for (i = 0; i < n; i++) {
        ck_assert_int_eq(tokens[i].id, json_integer_value(json_array_get(ids, i)));
        ck_assert_uint_eq(tokens[i].start, json_integer_value(json_array_get(json_object_get(facts, "starts"), i)));
        ck_assert_uint_eq(tokens[i].end, json_integer_value(json_array_get(json_object_get(facts, "ends"), i)));
        size_t size;
        bool special;
        const char *bytes = model_token_bytes(smollm2, tokens[i].id, &size, &special);
        ck_assert(special == tokens[i].special);
        ck_assert_uint_eq(size, tokens[i].end - tokens[i].start);
        ck_assert_mem_eq(bytes, json_string_value(text) + tokens[i].start, size);
    }
    /* The reference lists special tokens but for position 0. */
    size_t special = 0;
    for (i = 1; i < n; i++) special += tokens[i].special;
    ck_assert_uint_eq(special, json_array_size(json_object_get(facts, "special")));
    json_array_foreach(json_object_get(facts, "special"), i, position) ck_assert(tokens[json_integer_value(position)].special);
    free(tokens);
    json_decref(facts);
}
END_TEST

START_TEST(leaves_special_tokens_as_text) {
    const struct tokenize_options plain = {.parse_special = false, .add_special = true};
    struct token *tokens = NULL;
    size_t n = 0;
    CHECK_LIST(smollm2, "<|im_end|>", &by_default, 2);
    ck_assert_int_eq(model_tokenize(smollm2, "<|im_end|>", 10, &plain, &tokens, &n, error, sizeof error), ENGINE_OK);
    ck_assert_uint_gt(n, 1);
    for (size_t i = 0; i < n; i++) ck_assert(!tokens[i].special);
    check_tiling(tokens, n, 10);
    free(tokens);
}
END_TEST

START_TEST(knows_the_bytes_of_tokens) {
    size_t size;
    bool special;
    const char *bytes = model_token_bytes(smollm2, 1, &size, &special);
    ck_assert_uint_eq(size, 12);
    ck_assert_mem_eq(bytes, "<|im_start|>", size);
    ck_assert(special);
    bytes = model_token_bytes(smollm2, 905, &size, NULL);
    ck_assert_uint_eq(size, 6);
    ck_assert_mem_eq(bytes, " world", size);
    ck_assert_ptr_null(model_token_bytes(smollm2, -1, &size, NULL));
    ck_assert_ptr_null(model_token_bytes(smollm2, 49152, &size, NULL));
}
END_TEST

/* ---- awkward texts ----------------------------------------------------------------------------------------- */

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

START_TEST(takes_long_texts_in_linear_time) {
    static const char *const patterns[] = {"a", " ", "\n", "1", "'", "ab", "<", "<|", "<|im_start|>", "x\n ", " \r\n", "\u00e9",
                                           "word ", "\xf0\x9f\x98\x80", "\u0301", "\u3000", "\t\u00a0"};
    const char *pattern = patterns[_i];
    size_t size = 1 << 20, period = strlen(pattern), n = 0;
    size -= size % period;
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++) text[i] = pattern[i % period];
    struct token *tokens = NULL;
    double start = seconds();
    ck_assert_msg(model_tokenize(smollm2, text, size, &by_default, &tokens, &n, error, sizeof error) == ENGINE_OK, "%s", error);
    double took = seconds() - start;
    printf("tokenizer: 1 MiB of pattern %d: %zu tokens in %.3f s\n", _i, n, took);
    check_tiling(tokens, n, size);
    free(tokens);
    free(text);
}
END_TEST
enum { LONG_PATTERNS = 17 };

/* The patterns of every pre-tokenizer, where they could go over the same characters again and again. */
START_TEST(splits_long_texts_in_linear_time) {
    static const char *const pres[] = {"gpt-2", "smollm", "llama-bpe", "tekken"};
    static const char *const patterns[] = {"a", "A", " ", "\n", "\r\n ", " \t", "!", "'", "' ", "\xe4\xb8\xad", "\xcc\x81", "\xe3\x80\x80", "Aa",
                                           "\xc7\x85", "1", "\xf0\x9d\x9f\x98", "/\n", "  a"};
    struct tiny_model kind = tiny_model_default;
    kind.pre = pres[_i];
    struct model *model = open_tiny(&kind);
    enum { SIZE = 1 << 18 };
    char *text = malloc(SIZE);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        for (size_t tail = 0; tail < 3; tail++) {
            size_t period = strlen(patterns[i]), size = SIZE - 8 - (SIZE - 8) % period, n = 0;
            for (size_t at = 0; at < size; at++) text[at] = patterns[i][at % period];
            if (tail > 0) text[size++] = tail == 1 ? 'z' : '?';
            struct token *tokens = NULL;
            double start = seconds();
            ck_assert_msg(model_tokenize(model, text, size, &by_default, &tokens, &n, error, sizeof error) == ENGINE_OK, "%s", error);
            double took = seconds() - start;
            if (took > 0.1) printf("tokenizer: %s takes %.2f s for pattern %zu, tail %zu\n", pres[_i], took, i, tail);
            ck_assert_uint_gt(n, size / 64);
            free(tokens);
        }
    }
    free(text);
    model_release(model);
}
END_TEST

START_TEST(refuses_what_is_not_utf8) {
    static const struct { const char *text; size_t size; const char *where; } cases[] = {
        {"abc\x80", 4, "byte 3 "}, {"\xff", 1, "byte 0 "}, {"a\xc0\xaf", 3, "byte 1 "}, {"ab\xe2\x82", 4, "byte 2 "},
        {"\xed\xa0\x80", 3, "byte 0 "}, {"12345678\xf4\x90\x80\x80", 12, "byte 8 "}, {"\xf0\x9f\x98\x80\xf0\x9f\x98", 7, "byte 4 "},
        {"\xe0\x80\x80", 3, "byte 0 "}, {"\0\0\xc3\x28", 4, "byte 2 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct token *tokens = NULL;
        size_t n = 77;
        ck_assert_int_eq(model_tokenize(smollm2, cases[i].text, cases[i].size, &by_default, &tokens, &n, error, sizeof error),
                         ENGINE_INVALID);
        ck_assert_msg(strstr(error, cases[i].where) != NULL, "case %zu: %s", i, error);
        ck_assert_ptr_null(tokens);
        ck_assert_uint_eq(n, 77);
    }
}
END_TEST

START_TEST(takes_a_nul_as_a_character) {
    struct token *tokens = NULL;
    size_t n = 0;
    ck_assert_int_eq(model_tokenize(tiny, "a\0b\0", 4, &by_default, &tokens, &n, error, sizeof error), ENGINE_OK);
    ck_assert_uint_eq(n, 4);
    ck_assert_int_eq(tokens[0].id, 'a');
    ck_assert_int_eq(tokens[1].id, 0);
    ck_assert_int_eq(tokens[2].id, 'b');
    ck_assert_int_eq(tokens[3].id, 0);
    free(tokens);
}
END_TEST

/* ---- the tiny model: what its merges say ------------------------------------------------------------------- */

enum { TH = TINY_START + 1, THE, SPACE_T, HE, SPACE_THE, IN, AA, AAAA, SPACES, ON, RE };

START_TEST(merges_in_the_order_of_the_list) {
    CHECK_LIST(tiny, "the", &by_default, THE);
    CHECK_LIST(tiny, " the", &by_default, ' ', THE); /* "t h" comes before "Ġ t" */
    CHECK_LIST(tiny, "aaaaaaa", &by_default, AAAA, AA, 'a');
    CHECK_LIST(tiny, "thhe", &by_default, TH, HE);
    CHECK_LIST(tiny, " ta", &by_default, SPACE_T, 'a');
    CHECK_LIST(tiny, "12 ", &by_default, '1', '2', ' ');
    CHECK_LIST(tiny, "a  ", &by_default, 'a', SPACES);
    CHECK_LIST(tiny, "\xc3\xa9", &by_default, 0xc3, 0xa9);
    check_list(tiny, "", &by_default, NULL, 0);
}
END_TEST

START_TEST(cuts_out_the_longest_special_token) {
    const struct tokenize_options plain = {.parse_special = false, .add_special = true};
    CHECK_LIST(tiny, "<|end|>", &by_default, TINY_END);
    CHECK_LIST(tiny, "<|end|>start", &by_default, TINY_START);
    CHECK_LIST(tiny, "<|end|>star", &by_default, TINY_END, 's', 't', 'a', 'r');
    CHECK_LIST(tiny, "<<|end|><|en", &by_default, '<', TINY_END, '<', '|', 'e', 'n');
    CHECK_LIST(tiny, "t<|bos|>he", &by_default, 't', TINY_BOS, HE);
    CHECK_LIST(tiny, "<|end|>", &plain, '<', '|', 'e', 'n', 'd', '|', '>');
}
END_TEST

START_TEST(adds_the_start_token_where_the_file_says_so) {
    struct tiny_model kind = tiny_model_default;
    const struct tokenize_options plain = {.parse_special = true, .add_special = false};
    kind.add_bos = true;
    struct model *model = open_tiny(&kind);
    struct token *tokens = NULL;
    size_t n = 0;
    ck_assert_int_eq(model_tokenize(model, "the", 3, &by_default, &tokens, &n, error, sizeof error), ENGINE_OK);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(tokens[0].id, TINY_BOS);
    ck_assert(tokens[0].special && tokens[0].start == 0 && tokens[0].end == 0);
    ck_assert(!tokens[1].special && tokens[1].start == 0 && tokens[1].end == 3);
    free(tokens);
    CHECK_LIST(model, "", &by_default, TINY_BOS);
    CHECK_LIST(model, "the", &plain, THE);
    ck_assert_str_ne(model_tokenizer_digest(model), model_tokenizer_digest(tiny));
    model_release(model);
}
END_TEST

START_TEST(follows_the_pre_tokenizer_of_the_name) {
    static const struct { const char *pre; bool start; const char *text; int ids[12]; } cases[] = {
        {"gpt-2", false, "a  in12", {'a', ' ', ' ', IN, '1', '2', -1}},
        {"smollm", false, "a 12", {'a', ' ', '1', '2', -1}},
        {"llama-bpe", true, "the\n\n in", {TINY_BOS, THE, '\n', '\n', ' ', IN, -1}},
        {"llama-bpe", true, " the", {TINY_BOS, SPACE_THE, -1}}, /* whole words first */
        {"tekken", true, "inTHin", {TINY_BOS, IN, 'T', 'H', IN, -1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tiny_model kind = tiny_model_default;
        size_t count = 0;
        kind.pre = cases[i].pre;
        kind.add_bos = cases[i].start;
        struct model *model = open_tiny(&kind);
        while (cases[i].ids[count] >= 0) count++;
        check_list(model, cases[i].text, &by_default, cases[i].ids, count);
        model_release(model);
    }
}
END_TEST

START_TEST(takes_ids_only_without_a_tokenizer) {
    struct tiny_model kind = tiny_model_default;
    struct token *tokens = NULL;
    size_t n = 0;
    kind.pre = NULL;
    struct model *model = open_tiny(&kind);
    ck_assert_int_eq(model_tokenize(model, "the", 3, &by_default, &tokens, &n, error, sizeof error), ENGINE_INVALID);
    ck_assert_ptr_null(model_token_bytes(model, 0, &n, NULL));
    ck_assert_str_eq(model_tokenizer_digest(model), "");
    ck_assert_str_eq(model_describe(model)->tokenizer, "");
    model_release(model);
}
END_TEST

/* ---- many threads, little memory --------------------------------------------------------------------------- */

static bool same_tokens(const struct token *a, const struct token *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (a[i].id != b[i].id || a[i].start != b[i].start || a[i].end != b[i].end || a[i].special != b[i].special) return false;
    return true;
}

static void *tokenize_often(void *context) {
    const char *text = context;
    struct token *first = NULL;
    size_t first_n = 0;
    if (model_tokenize(smollm2, text, strlen(text), &by_default, &first, &first_n, NULL, 0) != ENGINE_OK) return "failed";
    for (int i = 0; i < 200; i++) {
        struct token *tokens = NULL;
        size_t n = 0;
        if (model_tokenize(smollm2, text, strlen(text), &by_default, &tokens, &n, NULL, 0) != ENGINE_OK) return "failed";
        if (n != first_n || !same_tokens(tokens, first, n)) return "different";
        free(tokens);
    }
    free(first);
    return NULL;
}

START_TEST(serves_many_threads) {
    char texts[4][400];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        snprintf(texts[i], sizeof texts[i], "<|im_start|>user %d\nMany threads ask one model, each with \u00e9 text of its own: %d "
                 "<|im_end|>\n\n  and spaces, 12345 digits, can't and won't \xf0\x9f\x98\x80", i, i * 1237);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, tokenize_often, texts[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *failure;
        ck_assert_int_eq(pthread_join(threads[i], &failure), 0);
        ck_assert_msg(failure == NULL, "%s", (const char *)failure);
    }
}
END_TEST

START_TEST(survives_every_failing_allocation) {
    char text[600];
    for (size_t i = 0; i < sizeof text - 1; i++) text[i] = "the <|end|>aa1"[i % 14];
    text[sizeof text - 1] = '\0';
    for (long turn = 0;; turn++) {
        struct token *tokens = NULL;
        size_t n = 0;
        failing_malloc_after(turn);
        enum engine_status status = model_tokenize(tiny, text, strlen(text), &by_default, &tokens, &n, error, sizeof error);
        if (!failing_malloc_stop()) {
            ck_assert_int_eq(status, ENGINE_OK);
            free(tokens);
            printf("tokenizer: %ld allocations failed in turn\n", turn);
            ck_assert_int_gt(turn, 3);
            break;
        }
        ck_assert_int_eq(status, ENGINE_NO_MEMORY);
        ck_assert_ptr_null(tokens);
    }
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("tokenizer");
    TCase *texts = tcase_create("texts");
    tcase_add_unchecked_fixture(texts, open_models, close_models);
    tcase_set_timeout(texts, 60);
    tcase_add_test(texts, equals_the_reference);
    tcase_add_loop_test(texts, equals_the_reference_ranges, 0, 7);
    tcase_add_test(texts, leaves_special_tokens_as_text);
    tcase_add_test(texts, knows_the_bytes_of_tokens);
    tcase_add_loop_test(texts, takes_long_texts_in_linear_time, 0, LONG_PATTERNS);
    tcase_add_loop_test(texts, splits_long_texts_in_linear_time, 0, 4);
    tcase_add_test(texts, refuses_what_is_not_utf8);
    tcase_add_test(texts, takes_a_nul_as_a_character);
    tcase_add_test(texts, merges_in_the_order_of_the_list);
    tcase_add_test(texts, cuts_out_the_longest_special_token);
    tcase_add_test(texts, adds_the_start_token_where_the_file_says_so);
    tcase_add_test(texts, follows_the_pre_tokenizer_of_the_name);
    tcase_add_test(texts, takes_ids_only_without_a_tokenizer);
    tcase_add_test(texts, serves_many_threads);
    tcase_add_test(texts, survives_every_failing_allocation);
    suite_add_tcase(all, texts);
    return all;
}

#include "tests/check_main.h"
