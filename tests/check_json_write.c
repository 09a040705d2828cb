/* check_json_write.c: strings, numbers and bytes as JSON; UTF-8 that is none. */
#include "server/json_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/utf8.h"

#include <check.h>

static void is(struct json_text *out, const char *want) {
    ck_assert(!out->failed);
    ck_assert_msg(out->size == strlen(want) && memcmp(out->bytes, want, out->size) == 0, "%.*s", (int)out->size, out->bytes);
    json_free(out);
}

START_TEST(strings) {
    struct json_text out = {0};
    json_put_text(&out, "a\"\\/\b\n\r\t\0\x7f\xc3\xa9", 12);
    is(&out, "\"a\\\"\\\\/\\u0008\\n\\r\\t\\u0000\\u007f\xc3\xa9\"");
    json_put_string(&out, "");
    is(&out, "\"\"");
}
END_TEST

static const struct {
    const char *bytes, *want;
} broken[] = {
    {"\xff", "\"\xef\xbf\xbd\""},
    {"a\xf0\x9f\x98", "\"a\xef\xbf\xbd\""},          /* one beginning, cut short: one */
    {"\x98\x80z", "\"\xef\xbf\xbd\xef\xbf\xbdz\""},  /* two that begin nothing: two */
    {"\xe2\x82\x41", "\"\xef\xbf\xbd" "A\""},
    {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
};

START_TEST(broken_characters) {
    struct json_text out = {0};
    ck_assert(!json_put_text(&out, broken[_i].bytes, strlen(broken[_i].bytes)));
    is(&out, broken[_i].want);
}
END_TEST

START_TEST(numbers) {
    struct json_text out = {0};
    json_put_real(&out, 0.1);
    json_put(&out, " ");
    json_put_real(&out, -0.0);
    json_put(&out, " ");
    json_put_real(&out, 1e-12);
    json_put(&out, " ");
    json_put_real(&out, NAN);
    json_put(&out, " ");
    json_put_real(&out, INFINITY);
    json_put(&out, " ");
    json_put_integer(&out, INT64_MIN);
    json_put(&out, " ");
    json_put_unsigned(&out, UINT64_MAX);
    is(&out, "0.1 0 1e-12 null null -9223372036854775808 18446744073709551615");
}
END_TEST

START_TEST(bytes) {
    struct json_text out = {0};
    json_put_hex(&out, "\x00\xffz", 3);
    json_put_base64(&out, "abcd", 4);
    json_put_base64(&out, "", 0);
    is(&out, "\"00ff7a\"\"YWJjZA==\"\"\"");
}
END_TEST

START_TEST(soundness) {
    ck_assert_uint_eq(utf8_check("ab\xc3\xa9\xf4\x8f\xbf\xbf", 8), 8);
    ck_assert_uint_eq(utf8_check("ab\xc3", 3), 2);
    ck_assert_uint_eq(utf8_check("\xf4\x90\x80\x80", 4), 0);
    ck_assert_uint_eq(utf8_check("", 0), 0);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("json_write");
    TCase *t = tcase_create("text");
    tcase_add_test(t, strings);
    tcase_add_loop_test(t, broken_characters, 0, sizeof broken / sizeof broken[0]);
    tcase_add_test(t, numbers);
    tcase_add_test(t, bytes);
    tcase_add_test(t, soundness);
    suite_add_tcase(s, t);
    return s;
}

#include "tests/check_main.h"
