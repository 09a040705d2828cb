/* tokenizer.json and the other kinds of GGUF tokenizers: reference texts, small files for each part, hostile files. */
#include "engine/tokenizer_json.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/mapping.h"
#include "tests/failing_malloc.h"
#include "tests/models.h"

static char error[400];

static struct tokenizer *open_file(const char *file) {
    char path[4096];
    struct mapping *mapping = NULL;
    struct gguf *gguf = NULL;
    struct tokenizer *tokenizer = NULL;
    models_path(path, sizeof path, file);
    ck_assert_msg(mapping_open(path, &mapping, error, sizeof error) == ENGINE_OK, "%s", error);
    enum engine_status status;
    if (strstr(file, ".gguf") != NULL) {
        status = gguf_open(mapping_data(mapping), mapping_size(mapping), &gguf, error, sizeof error);
        if (status == ENGINE_OK) status = tokenizer_from_gguf(gguf, &tokenizer, error, sizeof error);
    } else {
        status = tokenizer_open_json((const char *)mapping_data(mapping), mapping_size(mapping), &tokenizer, error, sizeof error);
    }
    ck_assert_msg(status == ENGINE_OK, "%s: %s", file, error);
    gguf_close(gguf);
    mapping_close(mapping);
    return tokenizer;
}

static enum engine_status open_text(const char *text, struct tokenizer **tokenizer) {
    return tokenizer_open_json(text, strlen(text), tokenizer, error, sizeof error);
}

static void check_reference(const struct tokenizer *tokenizer, const char *file, int expected) {
    static const struct tokenize_options options = {.parse_special = true, .add_special = true};
    char path[4096];
    source_path(path, sizeof path, file);
    FILE *lines = fopen(path, "r");
    ck_assert_msg(lines != NULL, "%s", path);
    json_t *line;
    int count = 0;
    for (; (line = json_loadf(lines, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL)) != NULL; count++) {
        const json_t *text = json_object_get(line, "text"), *ids = json_object_get(line, "ids");
        struct token *tokens = NULL;
        size_t n = 0;
        ck_assert_msg(tokenizer_run(tokenizer, json_string_value(text), json_string_length(text), &options, &tokens, &n, error,
                                    sizeof error) == ENGINE_OK, "%s", error);
        ck_assert_msg(n == json_array_size(ids), "\"%s\": %zu tokens", json_string_value(text), n);
        for (size_t i = 0; i < n; i++) ck_assert_int_eq(tokens[i].id, json_integer_value(json_array_get(ids, i)));
        free(tokens);
        json_decref(line);
    }
    fclose(lines);
    ck_assert_int_eq(count, expected);
    printf("tokenizer: %d texts of %s equal\n", count, file);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

START_TEST(equals_the_reference) {
    static const struct { const char *model, *golden; int count; } cases[] = {
        {"MiniLM-L6-v2/tokenizer.json", "tests/golden/tokenizers/minilm.jsonl", 203},
        {"gemma-3-270m.Q4_K_M.gguf", "tests/golden/tokenizers/gemma3.jsonl", 201},
    };
    static const struct tokenize_options options = {.parse_special = true, .add_special = true};
    enum { SIZE = 1 << 20 };
    struct tokenizer *tokenizer = open_file(cases[_i].model);
    check_reference(tokenizer, cases[_i].golden, cases[_i].count);
    char *text = malloc(SIZE);
    struct token *tokens = NULL;
    size_t n = 0;
    memset(text, 'a', SIZE);
    double start = seconds();
    ck_assert_int_eq(tokenizer_run(tokenizer, text, SIZE, &options, &tokens, &n, error, sizeof error), ENGINE_OK);
    printf("tokenizer: a MiB of a: %zu tokens in %.3f s\n", n, seconds() - start);
    free(tokens);
    free(text);
    tokenizer_destroy(tokenizer);
}
END_TEST

#define WORDPIECE "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"vocab\":{\"[UNK]\":0,\"ab\":1,\"##c\":2,\"[CLS]\":3,\"[SEP]\":4}}"
#define BERT_POST ",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"[CLS]\",3],\"sep\":[\"[SEP]\",4]}"

START_TEST(tokenises_pairs) {
    static const int expected[][5] = {{3, 0, 0, 0, 0}, {1, 0, 2, 0, 0}, {2, 2, 3, 0, 0}, {4, 0, 0, 0, 0}, {1, 1, 3, 1, 1}, {4, 0, 0, 1, 1}};
    struct tokenizer *tokenizer = NULL;
    ck_assert_msg(open_text("{\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"}," WORDPIECE BERT_POST "}", &tokenizer) == ENGINE_OK, "%s", error);
    const struct tokenize_options options = {.add_special = true, .pair = " ab", .pair_size = 3};
    struct token *tokens = NULL;
    size_t n = 0;
    ck_assert_int_eq(tokenizer_run(tokenizer, "abc", 3, &options, &tokens, &n, error, sizeof error), ENGINE_OK);
    ck_assert_uint_eq(n, 6);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(tokens[i].id, expected[i][0]);
        ck_assert_int_eq((int)tokens[i].start, expected[i][1]);
        ck_assert_int_eq((int)tokens[i].end, expected[i][2]);
        ck_assert_int_eq(tokens[i].sequence, expected[i][3]);
        ck_assert_int_eq(tokens[i].type, expected[i][4]);
    }
    free(tokens);
    tokenizer_destroy(tokenizer);
}
END_TEST

#define BPE(vocab, merges) "{\"model\":{\"type\":\"BPE\",\"vocab\":" vocab ",\"merges\":" merges "}}"

START_TEST(refuses_hostile_files) {
    static const struct { const char *text, *name; } cases[] = {
        {"", "JSON"}, {"[]", "JSON"}, {"{}", "model"}, {"{\"model\":{}} x", "JSON"}, {"{\"model\":1,\"model\":2}", "twice"},
        {"{\"news\":1}", "news"}, {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{}}}", "WordLevel"},
        {BPE("{\"a\":0,\"a\":1}", "[]"), "twice"}, {BPE("{\"a\":0,\"b\":0}", "[]"), "id 0"},
        {BPE("{\"a\":4194304}", "[]"), "too large"}, {BPE("{\"a\":1e30}", "[]"), "vocabulary"},
        {BPE("{\"a\":99999999999999999999}", "[]"), "vocabulary"}, {BPE("{\"a\":-1}", "[]"), "vocabulary"},
        {BPE("{\"a\":0}", "[\"a\"]"), "merge 0"}, {BPE("{\"a\":0}", "[[\"a\",\"a\"]]"), "merge 0"},
        {BPE("{\"a\":0,\"\":1}", "[[\"a\",\"\"]]"), "merge 0"}, {BPE("{\"a\":0,\"aa\":1}", "[\"a a\",[\"a\",\"a\"]]"), "the same"},
        {BPE("{\"\\ud800\":0}", "[]"), "vocabulary"}, {BPE("{}", "[]"), "vocabulary"},
        {"{\"normalizer\":{\"type\":\"Nmt\"}," WORDPIECE "}", "Nmt"},
        {"{\"normalizer\":{\"type\":\"NFC\",\"x\":1}," WORDPIECE "}", "\"x\""},
        {"{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}," WORDPIECE "}", "UnicodeScripts"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},\"behavior\":\"Removed\",\"invert\":false}," WORDPIECE "}", "&&"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"}," WORDPIECE "}", "ByteLevel"},
        {"{\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"x\",77],\"sep\":[\"y\",4]}," WORDPIECE "}", "id"},
        {"{\"added_tokens\":[{\"id\":2,\"content\":\"ab\"}]," WORDPIECE "}", "among its added tokens"},
        {"{\"added_tokens\":[{\"id\":5,\"content\":\"x\",\"odd\":1}]," WORDPIECE "}", "odd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tokenizer *tokenizer = NULL;
        error[0] = '\0';
        ck_assert_msg(open_text(cases[i].text, &tokenizer) != ENGINE_OK, "case %zu", i);
        ck_assert_ptr_null(tokenizer);
        ck_assert_msg(strstr(error, cases[i].name) != NULL, "case %zu: %s", i, error);
    }
    static char deep[4000];
    memset(deep, '[', sizeof deep - 1);
    memcpy(deep, "{\"decoder\":", 11);
    struct tokenizer *tokenizer = NULL;
    ck_assert_int_eq(open_text(deep, &tokenizer), ENGINE_BROKEN);
}
END_TEST

/* Every byte-truncation ends in an error, and none reads beyond (under AddressSanitizer). */
START_TEST(refuses_every_truncation) {
    static const char text[] = "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":5,\"content\":\"<x>\",\"special\":true}],\"normalizer\":{\"type\":\"NFC\"},"
                               "\"pre_tokenizer\":{\"type\":\"Whitespace\"}," WORDPIECE BERT_POST "}";
    for (size_t size = 0; size < sizeof text - 1; size++) {
        struct tokenizer *tokenizer = NULL;
        char *copy = malloc(size + 1);
        memcpy(copy, text, size);
        ck_assert_int_ne(tokenizer_open_json(copy, size, &tokenizer, error, sizeof error), ENGINE_OK);
        free(copy);
    }
    for (long turn = 0;; turn++) {
        struct tokenizer *tokenizer = NULL;
        failing_malloc_after(turn);
        enum engine_status status = tokenizer_open_json(text, sizeof text - 1, &tokenizer, error, sizeof error);
        if (!failing_malloc_stop()) {
            ck_assert_msg(status == ENGINE_OK, "%s", error);
            tokenizer_destroy(tokenizer);
            printf("tokenizer: %ld allocations of reading failed in turn\n", turn);
            break;
        }
        if (status == ENGINE_OK) tokenizer_destroy(tokenizer); /* what JIT or a matcher does without */
        else ck_assert_int_eq(status, ENGINE_NO_MEMORY);
    }
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("tokenizer_json");
    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 60);
    tcase_add_loop_test(files, equals_the_reference, 0, 2);
    tcase_add_test(files, tokenises_pairs);
    tcase_add_test(files, refuses_hostile_files);
    tcase_add_test(files, refuses_every_truncation);
    suite_add_tcase(all, files);
    return all;
}

#include "tests/check_main.h"
