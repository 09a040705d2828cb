/* check_guard.c: each rule for requests alone. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include "server/guard.h"

#define HEADERS(...) ((const struct guard_header[]){__VA_ARGS__, {NULL, NULL}})

static struct guard_request make(const char *method, const char *version, const struct guard_header *headers) {
    struct guard_request request = {.method = method, .target = "/", .version = version, .headers = headers};
    while (headers[request.header_count].name) request.header_count++;
    return request;
}

static int framing_of(const char *version, const struct guard_header *headers, struct guard_framing *framing) {
    struct guard_refusal refusal = {0};
    struct guard_request request = make("POST", version, headers);
    if (guard_framing(&request, framing, &refusal)) return 0;
    ck_assert(refusal.close); /* nothing that follows may be trusted */
    ck_assert(refusal.detail[0]);
    return refusal.status;
}

START_TEST(reads_sound_framing) {
    struct guard_framing framing;
    ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"hOST", "a"}, {"content-length", "0012"}), &framing), 0);
    ck_assert(framing.has_length && !framing.chunked && framing.length == 12);
    ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"Host", "a"}, {"Transfer-Encoding", "CHUNKED"}), &framing), 0);
    ck_assert(!framing.has_length && framing.chunked);
    ck_assert_int_eq(framing_of("HTTP/1.0", HEADERS({"Host", "a"}, {"X", "caf\xe9"}, {"X", "\ttab"}), &framing), 0);
    ck_assert(!framing.has_length && !framing.chunked && framing.length == 0);
}
END_TEST

START_TEST(refuses_unsound_framing) {
    static const char *const lengths[] = {"", " 1", "1 ", "+1", "-1", "1,1", "0x10", "1e3", "1.0", "9999999999999999999", "١"};
    static const char *const codings[] = {"", "gzip", "chunked, chunked", "gzip, chunked", " chunked", "chunked ", "chunked;q=1"};
    static const char *const versions[] = {"HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/1.1 ", "http/1.1", "HTTP/1.10", ""};
    static const char *const names[] = {"", "a b", "a:", "a\t", "caf\xc3\xa9", "a\"", "a\x01"};
    struct guard_framing framing;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"Host", "a"}, {"Content-Length", lengths[i]}), &framing), 400);
    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++)
        ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"Host", "a"}, {"Transfer-Encoding", codings[i]}), &framing), 400);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        ck_assert_int_eq(framing_of(versions[i], HEADERS({"Host", "a"}), &framing), 400);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"Host", "a"}, {names[i], "b"}), &framing), 400);
    ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"X", "y"}), &framing), 400);
    ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"Host", "a"}, {"X", "a\x7f"}), &framing), 400);
    ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"Host", "a"}, {"host", "a"}), &framing), 400);
    ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"Host", "a"}, {"Content-Length", "1"}, {"CONTENT-LENGTH", "1"}), &framing), 400);
    ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"Host", "a"}, {"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}), &framing), 400);
    ck_assert_int_eq(framing_of("HTTP/1.0", HEADERS({"Host", "a"}, {"Transfer-Encoding", "chunked"}), &framing), 400);
    ck_assert_int_eq(framing_of("HTTP/1.1", HEADERS({"Host", "a"}, {"Origin", "a"}, {"Origin", "b"}), &framing), 400);
    static struct guard_header many[GUARD_HEADERS_MAX + 3] = {{"Host", "a"}};
    for (int i = 1; i < GUARD_HEADERS_MAX + 1; i++) many[i] = (struct guard_header){"X", "y"};
    ck_assert_int_eq(framing_of("HTTP/1.1", many, &framing), 431);
    many[GUARD_HEADERS_MAX].name = NULL;
    ck_assert_int_eq(framing_of("HTTP/1.1", many, &framing), 0);
}
END_TEST

static int target_of(const char *target, char *room, struct guard_target *parts) {
    struct guard_refusal refusal = {0};
    return guard_target(target, room, parts, &refusal) ? 0 : refusal.status;
}

START_TEST(takes_addresses_apart) {
    char room[256];
    struct guard_target parts;
    ck_assert_int_eq(target_of("/a%20b/%c3%a4+c?x=1+2%2B&y&&z=&w=%26%3D?", room, &parts), 0);
    ck_assert_str_eq(parts.path, "/a b/\xc3\xa4+c");
    ck_assert_uint_eq(parts.parameter_count, 4);
    ck_assert_str_eq(parts.parameter[0].value, "1 2+");
    ck_assert_str_eq(parts.parameter[1].name, "y");
    ck_assert_str_eq(parts.parameter[1].value, "");
    ck_assert_str_eq(parts.parameter[3].value, "&=?");
    ck_assert_int_eq(target_of("/", room, &parts), 0);
    ck_assert_uint_eq(parts.parameter_count, 0);
    ck_assert_int_eq(target_of("/?", room, &parts), 0);
    ck_assert_int_eq(target_of("/..%2fa", room, &parts), 0); /* the table knows no such path */
    ck_assert_str_eq(parts.path, "/../a");
}
END_TEST

START_TEST(refuses_odd_addresses) {
    static const char *const odd[] = {"", "a", "*", "http://a/", "/%00", "/%0", "/%", "/%g0", "/%1f", "/%7f", "/a b", "/\x01", "/\xc3\xa4",
                                      "/%c3", "/%c0%80", "/%ed%a0%80", "/%f4%90%80%80", "/#a", "/\\a", "/?a=%00", "/?%00=a", "/?a=%ff",
                                      "/?a=%c3&b=%a4", "/?a=%2", "/?a=\x7f"};
    char room[16384];
    struct guard_target parts;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) ck_assert_msg(target_of(odd[i], room, &parts) == 400, "%s", odd[i]);
    static char giant[GUARD_TARGET_MAX + 2];
    memset(giant, '/', GUARD_TARGET_MAX + 1);
    ck_assert_int_eq(target_of(giant, room, &parts), 414);
    giant[GUARD_TARGET_MAX] = '\0';
    ck_assert_int_eq(target_of(giant, room, &parts), 0);
    ck_assert_int_eq(target_of("/?1&2&3&4&5&6&7&8&9&a&b&c&d&e&f&g&h", room, &parts), 400);
    ck_assert_int_eq(target_of("/?1&2&3&4&5&6&7&8&9&a&b&c&d&e&f&g", room, &parts), 0);
}
END_TEST

static int origin_of(const struct guard_names *names, const char *local, const char *method, const struct guard_header *headers) {
    struct guard_refusal refusal = {0};
    struct guard_request request = make(method, "HTTP/1.1", headers);
    return guard_origin(&request, names, local, &refusal) ? 0 : refusal.status;
}

START_TEST(knows_its_names) {
    struct guard_names names;
    char error[256];
    const char *const allow[] = {"Heads.Example", "proxy.example:443", "plain.example:80"};
    ck_assert(guard_names_make(&names, "192.168.1.5", 8642, allow, 3, error, sizeof error));
    static const struct {
        const char *host, *origin;
        int status;
    } cases[] = {
        {"localhost:8642", NULL, 0},
        {"LocalHost:8642", "http://localhost:8642", 0},
        {"127.0.0.1:8642", "http://127.0.0.1:8642", 0},
        {"127.0.0.1:08642", NULL, 0},
        {"[::1]:8642", "http://[::1]:8642", 0},
        {"192.168.1.5:8642", NULL, 0},
        {"heads.example:8642", NULL, 0},
        {"proxy.example", "https://proxy.example", 0},
        {"proxy.example:443", "https://proxy.example", 0},
        {"plain.example", "http://plain.example", 0},
        {"10.0.0.9:8642", NULL, 0}, /* the address it was reached at */
        {"localhost", NULL, 403},
        {"localhost:80", NULL, 403},
        {"heads.example", NULL, 403},
        {"heads.example.evil:8642", NULL, 403},
        {"xheads.example:8642", NULL, 403},
        {"localhost:8642:8642", NULL, 403},
        {"localhost:", NULL, 403},
        {"localhost:8642x", NULL, 403},
        {"localhost.:8642", NULL, 403},
        {"localhost:18642", NULL, 403},
        {"[::1:8642", NULL, 403},
        {"::1:8642", NULL, 403},
        {"user@localhost:8642", NULL, 403},
        {"localhost:8642/", NULL, 403},
        {"", NULL, 403},
        {"10.0.0.8:8642", NULL, 403},
        {"localhost:8642", "null", 403},
        {"localhost:8642", "", 403},
        {"localhost:8642", "http://127.0.0.1:8642", 403},
        {"localhost:8642", "https://localhost:8642x", 403},
        {"localhost:8642", "http://localhost:8643", 403},
        {"localhost:8642", "http://localhost", 403},
        {"localhost:8642", "http://localhost:8642.evil.example", 403},
        {"localhost:8642", "http://evil.example", 403},
        {"localhost:8642", "ftp://localhost:8642", 403},
        {"localhost:8642", "localhost:8642", 403},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct guard_header headers[] = {{"Host", cases[i].host}, {cases[i].origin ? "Origin" : NULL, cases[i].origin}, {NULL, NULL}};
        ck_assert_msg(origin_of(&names, "10.0.0.9", "GET", headers) == cases[i].status, "%s from %s", cases[i].host,
                      cases[i].origin ? cases[i].origin : "nowhere");
    }
    guard_names_free(&names);
    static const char *const bad[] = {"", "a b", "a:0", "a:65536", "a:x", "a/", "*", "http://a", "[a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!guard_names_make(&names, "::1", 1, &bad[i], 1, error, sizeof error), "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(error, "--allow-host"));
    }
    ck_assert(guard_names_make(&names, "fe80::1", 9, NULL, 0, error, sizeof error));
    ck_assert_int_eq(origin_of(&names, NULL, "GET", HEADERS({"Host", "[FE80::1]:9"})), 0);
    guard_names_free(&names);
}
END_TEST

START_TEST(keeps_pages_of_other_sites_out) {
    struct guard_names names;
    char error[256];
    ck_assert(guard_names_make(&names, "127.0.0.1", 80, NULL, 0, error, sizeof error));
    static const struct {
        const char *method, *site, *mode;
        int status;
    } cases[] = {
        {"GET", "same-origin", "cors", 0},        {"POST", "same-origin", "cors", 0},
        {"GET", "none", "navigate", 0},           {"GET", "cross-site", "navigate", 0},
        {"GET", "same-site", "navigate", 0},      {"GET", "cross-site", "no-cors", 403},
        {"GET", "same-site", "no-cors", 403},     {"POST", "cross-site", "navigate", 403},
        {"GET", "cross-site", "websocket", 403},  {"GET", "anything", "cors", 403},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct guard_header headers[] = {
            {"Host", "localhost"}, {"Sec-Fetch-Site", cases[i].site}, {"Sec-Fetch-Mode", cases[i].mode}, {NULL, NULL}};
        ck_assert_msg(origin_of(&names, NULL, cases[i].method, headers) == cases[i].status, "case %zu", i);
    }
    guard_names_free(&names);
}
END_TEST

START_TEST(takes_json_only) {
    static const char *const fine[] = {"application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;a"};
    static const char *const bad[] = {"text/plain", "application/jsonp", "application/json, text/plain", "application/x-www-form-urlencoded",
                                      "", "text/plain; application/json", " application/json"};
    struct guard_refusal refusal = {0};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        struct guard_request request = make("POST", "HTTP/1.1", HEADERS({"Content-Type", fine[i]}));
        ck_assert_msg(guard_content_type(&request, &refusal), "%s", fine[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct guard_request request = make("POST", "HTTP/1.1", HEADERS({"Content-Type", bad[i]}));
        ck_assert_msg(!guard_content_type(&request, &refusal) && refusal.status == 415, "%s", bad[i]);
    }
    struct guard_request request = make("POST", "HTTP/1.1", HEADERS({"Host", "a"}));
    ck_assert(!guard_content_type(&request, &refusal));
}
END_TEST

START_TEST(knows_loopback) {
    static const char *const inside[] = {"127.0.0.1", "127.255.255.254", "::1", "localhost", "::ffff:127.0.0.1"};
    static const char *const outside[] = {"0.0.0.0", "::", "128.0.0.1", "10.0.0.1", "::2", "localhost.evil", "", "::ffff:10.0.0.1"};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) ck_assert_msg(guard_is_loopback(inside[i]), "%s", inside[i]);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) ck_assert_msg(!guard_is_loopback(outside[i]), "%s", outside[i]);
}
END_TEST

START_TEST(matches_tags) {
    ck_assert(guard_etag_matches("\"a\"", "\"a\""));
    ck_assert(guard_etag_matches("W/\"b\" , \"a\"", "\"a\""));
    ck_assert(guard_etag_matches("W/\"a\"", "\"a\""));
    ck_assert(guard_etag_matches("*", "\"a\""));
    ck_assert(guard_etag_matches("\"a,b\", \"c\"", "\"c\""));
    ck_assert(!guard_etag_matches("\"ab\"", "\"a\""));
    ck_assert(!guard_etag_matches("a", "\"a\""));
    ck_assert(!guard_etag_matches("\"a", "\"a\""));
    ck_assert(!guard_etag_matches("", "\"a\""));
    ck_assert(!guard_etag_matches("W/", "\"a\""));
}
END_TEST

/* ---- the token --------------------------------------------------------------------------------------------------- */

static const char *write_file(const char *bytes, size_t size, mode_t mode) {
    static char path[128];
    snprintf(path, sizeof path, "/tmp/check_guard.%d", (int)getpid());
    unlink(path);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

START_TEST(reads_token_files) {
    static char long_one[GUARD_TOKEN_MAX + 1];
    char token[GUARD_TOKEN_MAX + 1], error[512];
    memset(long_one, 'a', sizeof long_one);
    ck_assert(guard_token_read(write_file("0123456789abcdef\n", 17, 0600), token, error, sizeof error));
    ck_assert_str_eq(token, "0123456789abcdef");
    ck_assert(guard_token_read(write_file("0123456789abcdef\r\n", 18, 0400), token, error, sizeof error));
    ck_assert_str_eq(token, "0123456789abcdef");
    ck_assert(guard_token_read(write_file(long_one, GUARD_TOKEN_MAX, 0600), token, error, sizeof error));
    static const struct {
        const char *bytes;
        size_t size;
        mode_t mode;
        const char *why;
    } bad[] = {
        {"0123456789abcde\n", 16, 0600, "shorter"},        {"", 0, 0600, "shorter"},
        {"0123456789abcdef", 16, 0640, "chmod 600"},       {"0123456789abcdef", 16, 0604, "chmod 600"},
        {"0123456789 abcdef", 17, 0600, "printable"},      {"0123456789abcd\0f", 16, 0600, "printable"},
        {"0123456789abcd\xc3\xa4", 16, 0600, "printable"}, {"0123456789abcdef\nab", 19, 0600, "printable"},
        {long_one, GUARD_TOKEN_MAX + 1, 0600, "longer"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!guard_token_read(write_file(bad[i].bytes, bad[i].size, bad[i].mode), token, error, sizeof error), "case %zu", i);
        ck_assert_msg(strstr(error, bad[i].why), "case %zu: %s", i, error);
    }
    const char *path = write_file("", 0, 0600);
    unlink(path);
    ck_assert(!guard_token_read(path, token, error, sizeof error));
    ck_assert_ptr_nonnull(strstr(error, "No such file"));
    ck_assert(!guard_token_read("/tmp", token, error, sizeof error));
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert(!guard_token_read(path, token, error, sizeof error)); /* and does not wait */
    unlink(path);
}
END_TEST

START_TEST(compares_tokens) {
    struct guard_token token, other;
    guard_token_make(&token, "0123456789abcdef", 8642);
    guard_token_make(&other, "0123456789abcdeg", 8642);
    ck_assert_str_eq(token.cookie_name, "headscope_8642");
    ck_assert_uint_eq(strlen(token.cookie), 64);
    ck_assert_str_ne(token.cookie, other.cookie);
    ck_assert(guard_token_fits(&token, "0123456789abcdef"));
    ck_assert(!guard_token_fits(&token, "0123456789abcdeg"));
    ck_assert(!guard_token_fits(&token, "0123456789abcde"));
    ck_assert(!guard_token_fits(&token, ""));
    char mine[256], theirs[256], half[256];
    snprintf(mine, sizeof mine, "a=b; headscope_8642=%s", token.cookie);
    snprintf(theirs, sizeof theirs, "headscope_8642=%s; headscope_1=%s", other.cookie, token.cookie);
    snprintf(half, sizeof half, "headscope_8642=%.63s", token.cookie);
    const struct {
        const char *name, *value;
        bool shown;
    } cases[] = {
        {"Authorization", "Bearer 0123456789abcdef", true},  {"Authorization", "bearer  0123456789abcdef", true},
        {"Authorization", "Bearer 0123456789abcdeF", false}, {"Authorization", "0123456789abcdef", false},
        {"Authorization", "Bearer ", false},                 {"Cookie", mine, true},
        {"Cookie", theirs, false},                           {"Cookie", half, false},
        {"Cookie", "headscope_8642=0123456789abcdef", false}, {"X", "0123456789abcdef", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct guard_request request = make("GET", "HTTP/1.1", HEADERS({cases[i].name, cases[i].value}));
        ck_assert_msg(guard_token_shown(&token, &request) == cases[i].shown, "case %zu", i);
    }
    struct guard_request request = make("GET", "HTTP/1.1", HEADERS({"Cookie", theirs}, {"Cookie", mine}));
    ck_assert(guard_token_shown(&token, &request));
}
END_TEST

static Suite *suite(void) {
    Suite *made = suite_create("guard");
    TCase *rules = tcase_create("rules");
    suite_add_tcase(made, rules);
    tcase_add_test(rules, reads_sound_framing);
    tcase_add_test(rules, refuses_unsound_framing);
    tcase_add_test(rules, takes_addresses_apart);
    tcase_add_test(rules, refuses_odd_addresses);
    tcase_add_test(rules, knows_its_names);
    tcase_add_test(rules, keeps_pages_of_other_sites_out);
    tcase_add_test(rules, takes_json_only);
    tcase_add_test(rules, knows_loopback);
    tcase_add_test(rules, matches_tags);
    tcase_add_test(rules, reads_token_files);
    tcase_add_test(rules, compares_tokens);
    return made;
}

#include "check_main.h"
