/* check_json_request.c: what a request body may be, and how each other one is refused. */
#include "server/json_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

static struct analysis_request request;
static struct problem problem;

static bool read_body(const char *body) {
    return json_request_analysis(body, strlen(body), &request, &problem);
}

START_TEST(a_text) {
    ck_assert(read_body("{\"model\":\"m\",\"text\":\"a\\u0000\xc3\xa9\"}"));
    ck_assert_str_eq(request.model, "m");
    ck_assert_uint_eq(request.text_size, 4);
    ck_assert_mem_eq(request.text, "a\0\xc3\xa9", 5);
    ck_assert(request.store && request.parse_special && request.add_special && request.exclude == EXCLUDE_AUTO);
    json_request_clear(&request);
}
END_TEST

START_TEST(token_ids_and_options) {
    ck_assert(read_body("{\"model\":\"m\",\"token_ids\":[0, 2147483647],\"exclude_keys\":[7,1,7,0,1],\"store\":false,"
                        "\"parse_special\":false,\"add_special\":false}"));
    static const uint32_t positions[] = {0, 1, 7};
    ck_assert_uint_eq(request.token_id_count, 2);
    ck_assert_int_eq(request.token_ids[1], 2147483647);
    ck_assert(request.exclude == EXCLUDE_LIST);
    ck_assert_uint_eq(request.position_count, 3);
    ck_assert_mem_eq(request.positions, positions, sizeof positions);
    ck_assert(!request.store && !request.parse_special && !request.add_special);
    json_request_clear(&request);
    ck_assert(read_body("{\"model\":\"m\",\"text\":\"a\",\"exclude_keys\":\"none\"}"));
    ck_assert(request.exclude == EXCLUDE_NONE);
    json_request_clear(&request);
    ck_assert(read_body("{\"model\":\"m\",\"text\":\"a\",\"exclude_keys\":[]}"));
    ck_assert(request.exclude == EXCLUDE_LIST && request.position_count == 0);
    json_request_clear(&request);
}
END_TEST

static const struct refusal {
    const char *body;
    int status;
    const char *pointer, *says;
} refusals[] = {
    {"", 400, "", "JSON"},
    {"{\"model\":", 400, "", "JSON"},
    {"[]", 400, "", "object"},
    {"\"text\"", 400, "", "JSON"},
    {"{} {}", 400, "", "JSON"},
    {"{\"text\":\"a\"}", 400, "/model", "missing"},
    {"{\"model\":\"m\"}", 400, "/text", "missing"},
    {"{\"model\":\"m\",\"text\":\"\"}", 422, "/text", "empty"},
    {"{\"model\":\"m\",\"token_ids\":[]}", 422, "/token_ids", "empty"},
    {"{\"model\":\"m\",\"text\":\"a\",\"token_ids\":[1]}", 400, "/token_ids", "either"},
    {"{\"model\":\"m\",\"text\":\"a\",\"text\":\"b\"}", 400, "", "duplicate"},
    {"{\"model\":\"m\",\"text\":\"a\",\"colour\":\"red\"}", 400, "/colour", "colour"},
    {"{\"model\":\"m\",\"text\":\"a\",\"a/b~c\":1}", 400, "/a~1b~0c", "there is no field"},
    {"{\"model\":1,\"text\":\"a\"}", 400, "/model", "integer"},
    {"{\"model\":\"m\",\"text\":[\"a\"]}", 400, "/text", "array"},
    {"{\"model\":\"m\",\"text\":null}", 400, "/text", "null"},
    {"{\"model\":\"m\",\"text\":\"\\ud800\"}", 400, "", "JSON"},
    {"{\"model\":\"m\",\"text\":\"\xff\xfe\"}", 400, "", "byte 21 "},
    {"{\"model\":\"m\",\"text\":\"a\xed\xa0\x80\"}", 400, "", "byte 22 "},
    {"{\"model\":\"m\",\"text\":\"\xc0\x80\"}", 400, "", "byte 21 "},
    {"{\"model\":\"m\",\"text\":\"\xf0\x9f\x98\"}", 400, "", "byte 21 "},
    {"{\"model\":\"m\\u0000\",\"text\":\"a\"}", 422, "/model", "U+0000"},
    {"{\"model\":\"m\",\"token_ids\":[1.5]}", 400, "/token_ids/0", "fraction"},
    {"{\"model\":\"m\",\"token_ids\":[1,\"2\"]}", 400, "/token_ids/1", "string"},
    {"{\"model\":\"m\",\"token_ids\":[1,true]}", 400, "/token_ids/1", "boolean"},
    {"{\"model\":\"m\",\"token_ids\":[-1]}", 422, "/token_ids/0", "-1"},
    {"{\"model\":\"m\",\"token_ids\":[2147483648]}", 422, "/token_ids/0", "2147483648"},
    {"{\"model\":\"m\",\"token_ids\":[9223372036854775808]}", 400, "", "integer"},
    {"{\"model\":\"m\",\"token_ids\":{}}", 400, "/token_ids", "object"},
    {"{\"model\":\"m\",\"token_ids\":[[1]]}", 400, "/token_ids/0", "array"},
    {"{\"model\":\"m\",\"token_ids\":[[[1]]]}", 400, "", "nests"},
    {"{\"model\":\"m\",\"token_ids\":[1e400]}", 400, "", "JSON"},
    {"{\"model\":\"m\",\"text\":\"a\",\"exclude_keys\":\"some\"}", 400, "/exclude_keys", "auto"},
    {"{\"model\":\"m\",\"text\":\"a\",\"exclude_keys\":[0.5]}", 400, "/exclude_keys/0", "fraction"},
    {"{\"model\":\"m\",\"text\":\"a\",\"exclude_keys\":true}", 400, "/exclude_keys", "boolean"},
    {"{\"model\":\"m\",\"text\":\"a\",\"store\":1}", 400, "/store", "integer"},
    {"{\"model\":\"m\",\"token_ids\":[1],\"text_pair\":\"b\"}", 400, "/text_pair", "text"},
    {"{\"model\":\"m\",\"messages\":[]}", 422, "/messages", "empty"},
    {"{\"model\":\"m\",\"messages\":{}}", 400, "/messages", "object"},
    {"{\"model\":\"m\",\"messages\":[1]}", 400, "/messages/0", "integer"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\"}]}", 400, "/messages/1", "content"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"x\":1}]}", 400, "/messages/0", "nothing else"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"robot\",\"content\":\"a\"}]}", 422, "/messages/0/role", "assistant"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":1,\"content\":\"a\"}]}", 400, "/messages/0/role", "assistant"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":null}]}", 400, "/messages/0/content", "null"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"text\":\"b\"}", 400, "/messages", "either"},
    {"{\"model\":\"m\",\"text\":\"a\",\"add_generation_prompt\":true}", 400, "/add_generation_prompt", "messages"},
};

START_TEST(refused) {
    const struct refusal *want = &refusals[_i];
    ck_assert_msg(!read_body(want->body), "accepted: %s", want->body);
    ck_assert_msg(problem.status == want->status, "%s: %d, %s", want->body, problem.status, problem.detail);
    ck_assert_msg(!strcmp(problem.pointer, want->pointer), "%s: pointer %s", want->body, problem.pointer);
    ck_assert_msg(strstr(problem.detail, want->says) != NULL, "%s: %s", want->body, problem.detail);
    ck_assert_ptr_null(request.model);
    ck_assert_ptr_null(request.text);
}
END_TEST

START_TEST(chats) {
    ck_assert(read_body("{\"model\":\"m\",\"messages\":[{\"content\":\"a\\u0000b\",\"role\":\"user\"},{\"role\":\"assistant\",\"content\":\"\"}]}"));
    ck_assert_uint_eq(request.message_count, 2);
    ck_assert_int_eq(request.messages[1].role, CHAT_ASSISTANT);
    ck_assert_uint_eq(request.messages[0].size, 3);
    ck_assert(!request.parse_special && !request.add_special && !request.add_generation_prompt);
    json_request_clear(&request);
    ck_assert(read_body("{\"model\":\"m\",\"parse_special\":true,\"add_generation_prompt\":true,\"messages\":[{\"role\":\"system\",\"content\":\"s\"}]}"));
    ck_assert(request.parse_special && !request.add_special && request.add_generation_prompt);
    json_request_clear(&request);
}
END_TEST

/* Bodies made to take much memory are refused before anything is built from them. */
START_TEST(bombs) {
    enum { COUNT = 300000 };
    char *body = malloc(COUNT * 3 + 64);
    memset(body, '[', COUNT);
    memset(body + COUNT, ']', COUNT);
    ck_assert(!json_request_analysis(body, 2 * COUNT, &request, &problem));
    ck_assert_int_eq(problem.status, 400);
    size_t size = (size_t)sprintf(body, "{\"model\":\"m\",\"token_ids\":[{}");
    for (int i = 1; i < COUNT; i++, size += 3) memcpy(body + size, ",{}", 3);
    size += (size_t)sprintf(body + size, "]}");
    ck_assert(!json_request_analysis(body, size, &request, &problem));
    ck_assert_int_eq(problem.status, 413);
    size = (size_t)sprintf(body, "{\"model\":\"m\",\"token_ids\":[1");
    for (int i = 1; i < COUNT; i++, size += 2) memcpy(body + size, ",1", 2);
    size += (size_t)sprintf(body + size, "]}");
    ck_assert(!json_request_analysis(body, size, &request, &problem));
    ck_assert_int_eq(problem.status, 413);
    free(body);
}
END_TEST

/* A long text is no bomb, whatever it holds. */
START_TEST(brackets_in_a_text) {
    enum { COUNT = 400000 };
    char *body = malloc(COUNT + 64);
    size_t size = (size_t)sprintf(body, "{\"model\":\"m\",\"text\":\"\\\"");
    memset(body + size, '[', COUNT / 2);
    memset(body + size + COUNT / 2, ',', COUNT / 2);
    size += COUNT;
    size += (size_t)sprintf(body + size, "\"}");
    ck_assert_msg(json_request_analysis(body, size, &request, &problem), "%s", problem.detail);
    ck_assert_uint_eq(request.text_size, COUNT + 1);
    json_request_clear(&request);
    free(body);
}
END_TEST

START_TEST(tokenize) {
    static const char empty[] = "{\"model\":\"m\",\"text\":\"\"}", stored[] = "{\"model\":\"m\",\"text\":\"a\",\"store\":true}";
    ck_assert(json_request_tokenize(empty, strlen(empty), &request, &problem));
    ck_assert_uint_eq(request.text_size, 0);
    json_request_clear(&request);
    ck_assert(!json_request_tokenize(stored, strlen(stored), &request, &problem));
    ck_assert_str_eq(problem.pointer, "/store");
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("json_request");
    TCase *t = tcase_create("bodies");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_text);
    tcase_add_test(t, token_ids_and_options);
    tcase_add_loop_test(t, refused, 0, sizeof refusals / sizeof refusals[0]);
    tcase_add_test(t, chats);
    tcase_add_test(t, bombs);
    tcase_add_test(t, brackets_in_a_text);
    tcase_add_test(t, tokenize);
    suite_add_tcase(s, t);
    return s;
}

#include "tests/check_main.h"
