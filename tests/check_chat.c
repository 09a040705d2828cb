/* Chats: what is written is what the models' own templates write (golden/chats.json); parts say what is where; what is refused. */
#include "engine/chat.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/failing_malloc.h"
#include "tests/models.h"

static char error[512];

/* ---- golden -------------------------------------------------------------------------------------------------------- */

static json_t *golden(void) {
    char path[1024];
    source_path(path, sizeof path, "tests/golden/chats.json");
    json_t *facts = json_load_file(path, 0, NULL);
    ck_assert_msg(facts != NULL, "%s", path);
    return facts;
}

static enum chat_role role_of(const char *name) {
    return !strcmp(name, "system") ? CHAT_SYSTEM : !strcmp(name, "user") ? CHAT_USER : CHAT_ASSISTANT;
}

static size_t messages_of(const json_t *chat, struct chat_message messages[16]) {
    size_t count = json_array_size(chat);
    ck_assert_uint_le(count, 16);
    for (size_t i = 0; i < count; i++) {
        const json_t *message = json_array_get(chat, i), *content = json_array_get(message, 1);
        messages[i] = (struct chat_message){role_of(json_string_value(json_array_get(message, 0))), json_string_value(content),
                                            json_string_length(content)};
    }
    return count;
}

/* Parts ascend, lie within the text, and hold the contents (trimmed or not); those given are the messages, in their roles. */
static void check_parts(const struct chat_text *chat, const struct chat_message *messages, size_t count) {
    size_t at = 0, given = 0, roles[2][CHAT_ROLES] = {{0}};
    for (size_t i = 0; i < chat->count; i++) {
        const struct chat_part *part = &chat->parts[i];
        ck_assert_uint_ge(part->whole.start, at);
        ck_assert_uint_le(part->whole.start, part->content.start);
        ck_assert_uint_le(part->content.start, part->content.end);
        ck_assert_uint_le(part->content.end, part->whole.end);
        at = part->whole.end;
        if (!part->given) continue;
        given++;
        roles[0][part->role]++;
        bool found = false;
        size_t size = part->content.end - part->content.start;
        for (size_t m = 0; m < count && !found; m++)
            found = messages[m].role == part->role && memmem(messages[m].content, messages[m].size, chat->text + part->content.start, size);
        ck_assert_msg(found, "part %zu of \"%s\"", i, chat->text);
    }
    ck_assert_uint_eq(given, count);
    for (size_t m = 0; m < count; m++) roles[1][messages[m].role]++;
    ck_assert_mem_eq(roles[0], roles[1], sizeof roles[0]);
    ck_assert_uint_eq(at, chat->size); /* nothing stands behind the last part */
}

START_TEST(equals_the_templates) {
    json_t *facts = golden(), *templates = json_object_get(facts, "templates"), *chats = json_object_get(facts, "chats"), *set, *digest;
    const char *bos = json_string_value(json_object_get(facts, "bos")), *eos = json_string_value(json_object_get(facts, "eos"));
    size_t t, d, written = 0, refused = 0, digests = 0;
    json_array_foreach(templates, t, set) json_array_foreach(json_object_get(set, "digests"), d, digest) {
        const struct chat_format *format = chat_find_digest(json_string_value(digest));
        ck_assert_msg(format != NULL, "%s", json_string_value(digest));
        digests++;
        for (size_t i = 0; i < 2 * json_array_size(chats); i++) {
            const char *text = json_string_value(json_array_get(json_object_get(set, "texts"), i));
            struct chat_message messages[16];
            struct chat_text chat;
            size_t count = messages_of(json_array_get(chats, i / 2), messages);
            enum engine_status status = chat_write(format, bos, eos, messages, count, i % 2, &chat, error, sizeof error);
            if (text == NULL) {
                ck_assert_msg(status == ENGINE_INVALID, "%s (%s), chat %zu: not refused", format->name, json_string_value(digest), i / 2);
                refused++;
                continue;
            }
            ck_assert_msg(status == ENGINE_OK, "%s (%s), chat %zu: %s", format->name, json_string_value(digest), i / 2, error);
            ck_assert_msg(strcmp(chat.text, text) == 0, "%s (%s), chat %zu:\n%s\nnot\n%s", format->name, json_string_value(digest), i / 2,
                          chat.text, text);
            ck_assert_uint_eq(chat.size, strlen(text));
            check_parts(&chat, messages, count);
            chat_text_finish(&chat);
            written++;
        }
    }
    for (size_t i = 0; chat_digest(i) != NULL; i++, digests--) ck_assert_uint_gt(digests, 0);
    ck_assert_uint_eq(digests, 0); /* every template of the list has been held against its facts */
    printf("chat: %zu texts of %zu sets of templates equal, %zu refused as there\n", written, json_array_size(templates), refused);
    json_decref(facts);
}
END_TEST

/* ---- parts and refusals -------------------------------------------------------------------------------------------- */

#define SMOLLM2_TEMPLATE "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788"
#define LLAMA_2_TEMPLATE "ea2472f29dbd93c3eb696795f6403228fcc4b775518869c771f83fbae5c11dbf"

static struct chat_message user(const char *content) {
    return (struct chat_message){CHAT_USER, content, strlen(content)};
}

static void check_part(const struct chat_text *chat, size_t i, enum chat_role role, bool given, const char *whole, const char *content) {
    const struct chat_part *part = &chat->parts[i];
    ck_assert_int_eq(part->role, role);
    ck_assert_int_eq(part->given, given);
    ck_assert_uint_eq(part->whole.end - part->whole.start, strlen(whole));
    ck_assert_mem_eq(chat->text + part->whole.start, whole, strlen(whole));
    ck_assert_uint_eq(part->content.end - part->content.start, strlen(content));
    ck_assert_mem_eq(chat->text + part->content.start, content, strlen(content));
}

START_TEST(says_what_is_where) {
    struct chat_text chat;
    struct chat_message hi = user("Hi");
    ck_assert_int_eq(chat_write(chat_find_digest(SMOLLM2_TEMPLATE), NULL, NULL, &hi, 1, true, &chat, error, sizeof error), ENGINE_OK);
    ck_assert_uint_eq(chat.count, 3);
    check_part(&chat, 0, CHAT_SYSTEM, false,
               "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n",
               "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
    check_part(&chat, 1, CHAT_USER, true, "<|im_start|>user\nHi<|im_end|>\n", "Hi");
    check_part(&chat, 2, CHAT_ASSISTANT, false, "<|im_start|>assistant\n", "");
    chat_text_finish(&chat);

    struct chat_message two[] = {{CHAT_SYSTEM, "Be brief.", 9}, user(" Hi ")};
    ck_assert_int_eq(chat_write(chat_find_digest(LLAMA_2_TEMPLATE), "<s>", "</s>", two, 2, false, &chat, error, sizeof error), ENGINE_OK);
    ck_assert_uint_eq(chat.count, 2);
    check_part(&chat, 0, CHAT_SYSTEM, true, "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n", "Be brief.");
    check_part(&chat, 1, CHAT_USER, true, " Hi [/INST]", " Hi");
    chat_text_finish(&chat);
}
END_TEST

/* U+0000 is a character like any other. */
START_TEST(writes_any_character) {
    struct chat_text chat;
    struct chat_message message = {CHAT_USER, "a\0b", 3};
    ck_assert_int_eq(chat_write(chat_find_digest(SMOLLM2_TEMPLATE), NULL, NULL, &message, 1, false, &chat, error, sizeof error), ENGINE_OK);
    ck_assert_uint_eq(chat.parts[1].content.end - chat.parts[1].content.start, 3);
    ck_assert_mem_eq(chat.text + chat.parts[1].content.start, "a\0b", 3);
    chat_text_finish(&chat);
}
END_TEST

START_TEST(refuses_what_has_no_place) {
    const struct chat_format *smollm2 = chat_find_digest(SMOLLM2_TEMPLATE);
    const struct { struct chat_message messages[2]; size_t count; const char *word; } cases[] = {
        {{user("x")}, 0, "no message"},
        {{{CHAT_SYSTEM, "s", 1}}, 1, "no message of a user"},
        {{{CHAT_SYSTEM, "", 0}, user("x")}, 2, "message 0"},
        {{user("x"), {CHAT_SYSTEM, "s", 1}}, 2, "message 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_text chat = {0};
        ck_assert_int_eq(chat_write(smollm2, NULL, NULL, cases[i].messages, cases[i].count, false, &chat, error, sizeof error), ENGINE_INVALID);
        ck_assert_msg(strstr(error, cases[i].word) != NULL, "case %zu: %s", i, error);
        ck_assert_ptr_null(chat.text);
    }
}
END_TEST

START_TEST(knows_templates_by_their_text) {
    static const char text[] = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
                               "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}\n";
    char digest[65];
    struct chat chat = {0};
    ck_assert_ptr_nonnull(chat_find(text, sizeof text - 1, digest));
    ck_assert_ptr_eq(chat_find(text, sizeof text - 2, digest), chat_find_digest(digest)); /* a newline at the end is none of it */
    ck_assert_ptr_null(chat_find(text, sizeof text - 3, digest));
    ck_assert_ptr_null(chat_find("", 0, digest));
    ck_assert(chat_set_template(&chat, "{{ 1 }}", 7));
    ck_assert_ptr_null(chat.format);
    ck_assert_msg(strstr(chat.why, "SHA-256") != NULL, "%s", chat.why);
    chat_finish(&chat);
}
END_TEST

START_TEST(survives_failing_allocations) {
    static char long_text[4000];
    memset(long_text, 'x', sizeof long_text - 1);
    struct chat_message message = user(long_text);
    for (long turn = 0;; turn++) {
        struct chat_text chat = {0};
        failing_malloc_after(turn);
        enum engine_status status = chat_write(chat_find_digest(SMOLLM2_TEMPLATE), NULL, NULL, &message, 1, true, &chat, error, sizeof error);
        bool failed = failing_malloc_stop();
        ck_assert_int_eq(status, failed ? ENGINE_NO_MEMORY : ENGINE_OK);
        chat_text_finish(&chat);
        if (!failed) break;
    }
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("chat");
    TCase *tests = tcase_create("chat");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, equals_the_templates);
    tcase_add_test(tests, says_what_is_where);
    tcase_add_test(tests, writes_any_character);
    tcase_add_test(tests, refuses_what_has_no_place);
    tcase_add_test(tests, knows_templates_by_their_text);
    tcase_add_test(tests, survives_failing_allocations);
    suite_add_tcase(all, tests);
    return all;
}

#include "tests/check_main.h"
