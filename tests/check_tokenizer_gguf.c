/* Tokenizers as GGUF files hold them, each kind and every pre-tokenizer by its name, against llama.cpp (golden/gguf_tokenizers.json); and
 * that no kind takes more than in proportion to its text. */
#include "engine/tokenizer_parts.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/gguf_writer.h"
#include "tests/models.h"

static char error[512];
static json_t *facts;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void read_facts(void) {
    char path[1024];
    source_path(path, sizeof path, "tests/golden/gguf_tokenizers.json");
    facts = json_load_file(path, JSON_ALLOW_NUL, NULL);
    ck_assert_msg(facts != NULL, "%s", path);
}

static void drop_facts(void) {
    json_decref(facts);
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

static void put_texts(struct gguf_writer *writer, const char *key, const json_t *list) {
    size_t count = json_array_size(list);
    const char **texts = malloc((count + 1) * sizeof *texts);
    for (size_t i = 0; i < count; i++) texts[i] = json_string_value(json_array_get(list, i));
    if (list != NULL) gguf_put_strings(writer, key, texts, count);
    free(texts);
}

static void put_types(struct gguf_writer *writer, const json_t *list) {
    size_t count = json_array_size(list);
    int32_t *types = malloc((count + 1) * sizeof *types);
    for (size_t i = 0; i < count; i++) types[i] = (int32_t)json_integer_value(json_array_get(list, i));
    gguf_put_i32s(writer, "tokenizer.ggml.token_type", types, count);
    free(types);
}

static void put_scores(struct gguf_writer *writer, const json_t *list) {
    enum { ARRAY = 9, FLOAT32 = 6 };
    uint32_t kind = FLOAT32;
    uint64_t count = json_array_size(list);
    size_t head = sizeof kind + sizeof count;
    unsigned char *bytes = malloc(head + (size_t)count * sizeof(float));
    memcpy(bytes, &kind, sizeof kind);
    memcpy(bytes + sizeof kind, &count, sizeof count);
    for (size_t i = 0; i < count; i++) {
        float score = (float)json_number_value(json_array_get(list, i));
        memcpy(bytes + head + i * sizeof score, &score, sizeof score);
    }
    if (list != NULL) gguf_put_raw(writer, "tokenizer.ggml.scores", ARRAY, bytes, head + (size_t)count * sizeof(float));
    free(bytes);
}

static enum engine_status open_vocabulary(const json_t *vocabulary, const char *pre, struct tokenizer **tokenizer) {
    static const char *const ids[][2] = {{"bos", "bos_token_id"}, {"eos", "eos_token_id"}, {"unknown", "unknown_token_id"}, {"separator", "seperator_token_id"}};
    struct gguf_writer writer;
    struct gguf *gguf = NULL;
    size_t size;
    gguf_writer_start(&writer);
    gguf_put_string(&writer, "tokenizer.ggml.model", json_string_value(json_object_get(vocabulary, "model")));
    gguf_put_string(&writer, "tokenizer.ggml.pre", pre);
    put_texts(&writer, "tokenizer.ggml.tokens", json_object_get(vocabulary, "tokens"));
    put_types(&writer, json_object_get(vocabulary, "types"));
    put_scores(&writer, json_object_get(vocabulary, "scores"));
    put_texts(&writer, "tokenizer.ggml.merges", json_object_get(vocabulary, "merges"));
    for (size_t i = 0; i < 4; i++) {
        char key[64];
        const json_t *id = json_object_get(vocabulary, ids[i][0]);
        snprintf(key, sizeof key, "tokenizer.ggml.%s", ids[i][1]);
        if (id != NULL) gguf_put_u32(&writer, key, (uint32_t)json_integer_value(id));
    }
    const char *flag;
    json_t *value;
    json_object_foreach(json_object_get(vocabulary, "flags"), flag, value) {
        char key[64];
        snprintf(key, sizeof key, "tokenizer.ggml.%s", flag);
        gguf_put_bool(&writer, key, json_is_true(value));
    }
    unsigned char *bytes = gguf_writer_finish(&writer, &size);
    enum engine_status status = gguf_open(bytes, size, &gguf, error, sizeof error);
    if (status == ENGINE_OK) status = tokenizer_from_gguf(gguf, tokenizer, error, sizeof error);
    gguf_close(gguf);
    free(bytes);
    gguf_writer_drop(&writer);
    return status;
}

static struct tokenizer *opened(size_t vocabulary, const char *pre) {
    struct tokenizer *tokenizer = NULL;
    const json_t *list = json_object_get(facts, "vocabularies");
    ck_assert_msg(open_vocabulary(json_array_get(list, vocabulary), pre, &tokenizer) == ENGINE_OK, "%s: %s", pre, error);
    return tokenizer;
}

/* ---- equal --------------------------------------------------------------------------------------------------------- */

static size_t differing(const struct tokenizer *tokenizer, const char *name, const json_t *expected) {
    size_t i, wrong = 0;
    const json_t *text;
    json_array_foreach(json_object_get(facts, "texts"), i, text) {
        struct token *tokens = NULL;
        size_t n = 0;
        const json_t *ids = json_array_get(expected, i);
        ck_assert_msg(tokenizer_run(tokenizer, json_string_value(text), json_string_length(text), &(struct tokenize_options){0}, &tokens, &n,
                                    error, sizeof error) == ENGINE_OK, "%s", error);
        bool equal = n == json_array_size(ids);
        for (size_t t = 0; t < n && equal; t++) equal = tokens[t].id == json_integer_value(json_array_get(ids, t));
        if (!equal) {
            printf("%s: \"%s\":", name, json_string_value(text));
            for (size_t t = 0; t < n; t++) printf(" %d", tokens[t].id);
            printf(", not");
            for (size_t t = 0; t < json_array_size(ids); t++) printf(" %d", (int)json_integer_value(json_array_get(ids, t)));
            printf("\n");
        }
        wrong += !equal;
        free(tokens);
    }
    return wrong;
}

START_TEST(equals_llama_cpp) {
    size_t c, n, wrong = 0, names = 0;
    const json_t *one, *name;
    json_array_foreach(json_object_get(facts, "cases"), c, one) json_array_foreach(json_object_get(one, "names"), n, name) {
        struct tokenizer *tokenizer = opened((size_t)json_integer_value(json_object_get(one, "vocabulary")), json_string_value(name));
        wrong += differing(tokenizer, json_string_value(name), json_object_get(one, "ids"));
        tokenizer_destroy(tokenizer);
        names++;
    }
    printf("tokenizer_gguf: %zu tokenizers, %zu texts each, %zu differ\n", names, json_array_size(json_object_get(facts, "texts")), wrong);
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* A kind that took the square of its text's length would not come to an end in the time that the test has. */
START_TEST(takes_long_words) {
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    struct tokenizer *tokenizer = opened((size_t)_i, "gpt-2");
    static const char *const units[] = {"a", " ", "ab", "a ", "1", ".", "\n"};
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        struct token *tokens = NULL;
        size_t n = 0, length = strlen(units[u]), size = u == 0 ? SIZE : SIZE / 16; /* one in full, the others cheaper */
        for (size_t i = 0; i < size; i++) text[i] = units[u][i % length];
        double start = seconds();
        ck_assert_msg(tokenizer_run(tokenizer, text, size, &(struct tokenize_options){0}, &tokens, &n, error, sizeof error) == ENGINE_OK, "%s", error);
        if (u == 0) printf("tokenizer_gguf: %s: a MiB of \"a\": %zu tokens in %.2f s\n", tokenizer_name(tokenizer), n, seconds() - start);
        free(tokens);
    }
    tokenizer_destroy(tokenizer);
    free(text);
}
END_TEST

static void check_refused(const char *pre, const char *word) {
    struct tokenizer *tokenizer = NULL;
    ck_assert_int_eq(open_vocabulary(json_array_get(json_object_get(facts, "vocabularies"), 0), pre, &tokenizer), ENGINE_UNSUPPORTED);
    ck_assert_ptr_null(tokenizer);
    ck_assert_msg(strstr(error, word) != NULL, "%s", error);
}

START_TEST(refuses_other_names) {
    check_refused("kimi-k2", "kimi-k2");
    check_refused("", "pre-tokenizer");
    check_refused("gpt-22", "gpt-22");
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("tokenizer_gguf");
    TCase *tests = tcase_create("tokenizer_gguf");
    tcase_add_unchecked_fixture(tests, read_facts, drop_facts);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, equals_llama_cpp);
    tcase_add_loop_test(tests, takes_long_words, 0, 5);
    tcase_add_test(tests, refuses_other_names);
    suite_add_tcase(all, tests);
    return all;
}

#include "tests/check_main.h"
