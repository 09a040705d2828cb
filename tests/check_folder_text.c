/* What a folder holds beside weights: a tokenizer that works, is missing, broken or not supported; and its licence. */
#include "engine/folder_text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/failing_malloc.h"
#include "tests/models.h"

#define TOKENIZER "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"vocab\":{\"[UNK]\":0,\"ab\":1,\"##c\":2}}}"

static char folder[] = "/tmp/check_folder_text.XXXXXX", error[512];

/* The weights of a tiny BERT, linked. */
static void make_folder(void) {
    static const char *const files[] = {"config.json", "model.safetensors"};
    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (int i = 0; i < 2; i++) {
        char inner[128], from[1024], to[128];
        snprintf(inner, sizeof inner, "tests/golden/zoo/bert/%s", files[i]);
        source_path(from, sizeof from, inner);
        snprintf(to, sizeof to, "%s/%s", folder, files[i]);
        ck_assert_int_eq(symlink(from, to), 0);
    }
}

static void put_file(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    if (text == NULL) return;
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void remove_folder(void) {
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json", "README.md", "tokenizer_config.json"};
    for (int i = 0; i < 5; i++) put_file(files[i], NULL);
    rmdir(folder);
}

static struct model *open_folder(void) {
    struct model *model = NULL;
    ck_assert_msg(model_open(folder, &model, error, sizeof error) == ENGINE_OK, "%s", error);
    return model;
}

static enum engine_status tokenize(const struct model *model, const char *text, struct token **tokens, size_t *n) {
    return model_tokenize(model, text, strlen(text), &(struct tokenize_options){0}, tokens, n, error, sizeof error);
}

START_TEST(takes_texts) {
    put_file("tokenizer.json", TOKENIZER);
    struct model *model = open_folder();
    struct token *tokens = NULL;
    size_t n = 0;
    ck_assert_str_eq(model_describe(model)->tokenizer, "wordpiece");
    ck_assert_str_eq(model_describe(model)->tokenizer_error, "");
    ck_assert_uint_eq(strlen(model_tokenizer_digest(model)), 64);
    ck_assert_int_eq(tokenize(model, "abc", &tokens, &n), ENGINE_OK);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(tokens[1].id, 2);
    free(tokens);
    model_release(model);
}
END_TEST

/* The model opens for token ids all the same. */
START_TEST(says_why_it_takes_no_texts) {
    static const struct { const char *file, *names; } cases[] = {
        {NULL, ""}, {"{\"model\":", "JSON"}, {"", "empty"}, {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{}}}", "WordLevel"},
        {"{\"model\":{\"type\":\"WordPiece\"},\"fresh\":1}", "fresh"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_file("tokenizer.json", cases[i].file);
        struct model *model = open_folder();
        struct token *tokens = NULL;
        size_t n = 0;
        const struct model_info *info = model_describe(model);
        ck_assert_str_eq(info->tokenizer, "");
        ck_assert_int_eq(info->tokenizer_error[0] != '\0', cases[i].file != NULL);
        ck_assert_msg(strstr(info->tokenizer_error, cases[i].names) != NULL, "case %zu: %s", i, info->tokenizer_error);
        ck_assert_int_ne(tokenize(model, "abc", &tokens, &n), ENGINE_OK);
        ck_assert_msg(strstr(error, cases[i].names) != NULL && strstr(error, "token ids") != NULL, "case %zu: %s", i, error);
        ck_assert_str_eq(model_tokenizer_digest(model), "");
        model_release(model);
    }
    put_file("tokenizer.json", NULL);
}
END_TEST

#define CHATML "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}" \
               "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

/* A format, or a reason that chats are refused with. */
START_TEST(reads_the_chat_template) {
    static const struct { const char *config, *jinja, *chat, *bos, *names; } cases[] = {
        {NULL, NULL, "", NULL, "no chat template"},
        {"{\"chat_template\":\"" CHATML "\",\"bos_token\":\"<s>\",\"eos_token\":null}", NULL, "chatml", "<s>", NULL},
        {"{\"chat_template\":[{\"name\":\"default\",\"template\":\"" CHATML "\"}],\"bos_token\":{\"content\":\"<b>\"}}", NULL, "chatml", "<b>", NULL},
        {"{\"chat_template\":[{\"name\":\"rag\",\"template\":\"x\"}]}", NULL, "", NULL, "no chat template"},
        {"{\"chat_template\":\"" CHATML "\"}", "other", "", NULL, "SHA-256"}, /* the file of its own counts */
        {"{\"chat_template\":\"other\",\"bos_token\":\"<s>\"}", NULL, "", "<s>", "SHA-256"},
        {"{\"chat_template\":", NULL, "", NULL, "damaged"},
        {"{\"bos_token\":\"a\",\"bos_token\":\"b\"}", NULL, "", NULL, "damaged"},
        {"{\"bos_token\":{\"content\":1,}}", NULL, "", NULL, "damaged"},
        {"[]", NULL, "", NULL, "damaged"}, {"\xff", NULL, "", NULL, "damaged"}, {"{} {}", NULL, "", NULL, "damaged"},
        {"{\"chat_template\":1,\"bos_token\":[2]}", NULL, "", NULL, "no chat template"},
    };
    put_file("tokenizer.json", TOKENIZER);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_file("tokenizer_config.json", cases[i].config);
        put_file("chat_template.jinja", cases[i].jinja);
        struct model *model = open_folder();
        ck_assert_msg(strcmp(model_describe(model)->chat, cases[i].chat) == 0, "case %zu", i);
        ck_assert_msg(cases[i].bos ? model->chat.bos && strcmp(model->chat.bos, cases[i].bos) == 0 : !model->chat.bos, "case %zu", i);
        struct chat_text chat = {0};
        struct chat_message message = {CHAT_USER, "Hi", 2};
        enum engine_status status = model_chat(model, &message, 1, false, &chat, error, sizeof error);
        if (cases[i].names == NULL) ck_assert_int_eq(status, ENGINE_OK);
        else ck_assert_msg(status == ENGINE_UNSUPPORTED && strstr(error, cases[i].names) != NULL, "case %zu: %s", i, error);
        chat_text_finish(&chat);
        model_release(model);
    }
    put_file("chat_template.jinja", NULL);
}
END_TEST

START_TEST(reads_the_licence) {
    static const struct { const char *readme, *licence; } cases[] = {
        {NULL, ""}, {"", ""}, {"# license: mit\n", ""}, {"---\nlicense: mit\n---\n# x", "mit"}, {"---\r\nlicense: 'mit' \r\n---\r\n", "mit"},
        {"---\ntags:\n- a\nlicense: other\nlicense_name: own-terms\n---\n", "own-terms"}, {"---\nlicense: other\n---\n", "other"},
        {"---\na: b\n---\nlicense: mit\n", ""}, {"---\nlicense:\n---\n", ""}, {"---\nlicense: a\x1b[3m\xff\n---\n", "a?[3m?"}, {"---\nlicense: mit", "mit"},
        {"---\n license: mit\n---\n", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_file("README.md", cases[i].readme);
        struct model *model = open_folder();
        ck_assert_msg(strcmp(model_describe(model)->licence, cases[i].licence) == 0, "case %zu: %s", i, model_describe(model)->licence);
        model_release(model);
    }
    put_file("README.md", NULL);
}
END_TEST

START_TEST(survives_failing_allocations) {
    put_file("tokenizer.json", TOKENIZER);
    put_file("README.md", "---\nlicense: mit\n---\n");
    put_file("tokenizer_config.json", "{\"chat_template\":\"" CHATML "\",\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"</s>\"}}");
    for (long turn = 0;; turn++) {
        struct model *model = NULL;
        failing_malloc_after(turn);
        enum engine_status status = model_open(folder, &model, error, sizeof error);
        bool failed = failing_malloc_stop();
        if (status == ENGINE_OK) { /* patterns do without what makes them fast */
            ck_assert_str_eq(model_describe(model)->tokenizer, "wordpiece");
            ck_assert_str_eq(model_describe(model)->licence, "mit");
            ck_assert_str_eq(model_describe(model)->chat, "chatml");
            ck_assert_str_eq(model->chat.eos, "</s>");
            model_release(model);
        } else {
            ck_assert_int_eq(status, ENGINE_NO_MEMORY);
        }
        if (failed) continue;
        printf("folder_text: %ld allocations failed in turn\n", turn);
        break;
    }
    put_file("tokenizer.json", NULL);
    put_file("README.md", NULL);
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("folder_text");
    TCase *tests = tcase_create("folder_text");
    tcase_add_unchecked_fixture(tests, make_folder, remove_folder);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, takes_texts);
    tcase_add_test(tests, says_why_it_takes_no_texts);
    tcase_add_test(tests, reads_the_chat_template);
    tcase_add_test(tests, reads_the_licence);
    tcase_add_test(tests, survives_failing_allocations);
    suite_add_tcase(all, tests);
    return all;
}

#include "tests/check_main.h"
