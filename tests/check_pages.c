/* check_pages.c: the embedded files, and those of a folder. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/pages.h"
#include "web/embedded.h"

static char folder[64], outside[64];

static void write_file(const char *base, const char *name, const char *content) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", base, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(content, file);
    fclose(file);
}

static void make_folder(void) {
    char path[256];
    strcpy(folder, "/tmp/check_pages.XXXXXX");
    strcpy(outside, "/tmp/check_pages.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_ptr_nonnull(mkdtemp(outside));
    snprintf(path, sizeof path, "%s/vendor", folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    write_file(folder, "index.html", "<p>");
    write_file(folder, "vendor/x.js", "1");
    write_file(folder, ".hidden.js", "2");
    write_file(folder, "empty.css", "");
    write_file(outside, "secret.js", "3");
    snprintf(path, sizeof path, "%s/link.js", folder);
    char target[256];
    snprintf(target, sizeof target, "%s/secret.js", outside);
    ck_assert_int_eq(symlink(target, path), 0);
    snprintf(path, sizeof path, "%s/away", folder);
    ck_assert_int_eq(symlink(outside, path), 0);
    snprintf(path, sizeof path, "%s/pipe.js", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static void remove_folder(void) {
    char command[256];
    snprintf(command, sizeof command, "rm -r %s %s", folder, outside);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(reads_files_of_the_folder) {
    char *bytes, etag[PAGES_ETAG], other[PAGES_ETAG];
    size_t size;
    ck_assert(pages_read(folder, "index.html", &bytes, &size, etag));
    ck_assert_uint_eq(size, 3);
    ck_assert(!memcmp(bytes, "<p>", 3));
    ck_assert_uint_eq(strlen(etag), 34);
    ck_assert(etag[0] == '"' && etag[33] == '"');
    free(bytes);
    ck_assert(pages_read(folder, "vendor/x.js", &bytes, &size, other));
    ck_assert_str_ne(etag, other);
    free(bytes);
    ck_assert(pages_read(folder, "empty.css", &bytes, &size, other));
    ck_assert_uint_eq(size, 0);
    free(bytes);
    write_file(folder, "index.html", "<q>");
    ck_assert(pages_read(folder, "index.html", &bytes, &size, other));
    ck_assert_str_ne(etag, other);
    free(bytes);
}
END_TEST

START_TEST(stays_in_the_folder) {
    static const char *const names[] = {"", "/", ".", "..", "../secret.js", "vendor/../index.html", "vendor", "vendor/", "/etc/passwd",
                                        "vendor//x.js", "link.js", "away/secret.js", ".hidden.js", "none.js", "index.html/x", "pipe.js",
                                        "./index.html", "vendor/./x.js"};
    char *bytes = NULL, etag[PAGES_ETAG], above[128];
    size_t size;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_msg(!pages_read(folder, names[i], &bytes, &size, etag), "\"%s\" was read", names[i]);
    snprintf(above, sizeof above, "../%s/secret.js", strrchr(outside, '/') + 1);
    ck_assert(!pages_read(folder, above, &bytes, &size, etag));
    ck_assert(!pages_read("/nowhere", "index.html", &bytes, &size, etag));
    char giant[400];
    memset(giant, 'a', sizeof giant);
    giant[399] = '\0';
    ck_assert(!pages_read(folder, giant, &bytes, &size, etag));
}
END_TEST

START_TEST(knows_content_types) {
    ck_assert_str_eq(pages_content_type("index.html"), "text/html; charset=utf-8");
    ck_assert_str_eq(pages_content_type("a/b.min.js"), "text/javascript; charset=utf-8");
    ck_assert_str_eq(pages_content_type("vendor/LICENSE"), "text/plain; charset=utf-8");
    ck_assert_ptr_null(pages_content_type("a"));
    ck_assert_ptr_null(pages_content_type("a.exe"));
    ck_assert_ptr_null(pages_content_type("a.js/b"));
}
END_TEST

/* What is embedded is what lies in web/static, and the two ways of serving it agree. */
START_TEST(embeds_the_page) {
    const char *source = getenv("HEADSCOPE_SOURCE");
    char path[512];
    bool index = false;
    ck_assert_ptr_nonnull(source);
    snprintf(path, sizeof path, "%s/web/static", source);
    ck_assert_uint_gt(web_file_count, 0);
    for (size_t i = 0; i < web_file_count; i++) {
        char *bytes, etag[PAGES_ETAG];
        size_t size;
        ck_assert_msg(pages_read(path, web_files[i].path, &bytes, &size, etag), "%s", web_files[i].path);
        ck_assert_msg(size == web_files[i].size && !memcmp(bytes, web_files[i].bytes, size), "%s differs", web_files[i].path);
        ck_assert_str_eq(etag, web_files[i].etag);
        ck_assert_str_eq(pages_content_type(web_files[i].path), web_files[i].content_type);
        ck_assert(i == 0 || strcmp(web_files[i - 1].path, web_files[i].path) < 0);
        index |= !strcmp(web_files[i].path, "index.html");
        free(bytes);
    }
    ck_assert(index);
}
END_TEST

static Suite *suite(void) {
    Suite *made = suite_create("pages");
    TCase *all = tcase_create("all");
    suite_add_tcase(made, all);
    tcase_add_checked_fixture(all, make_folder, remove_folder);
    tcase_add_test(all, reads_files_of_the_folder);
    tcase_add_test(all, stays_in_the_folder);
    tcase_add_test(all, knows_content_types);
    tcase_add_test(all, embeds_the_page);
    return made;
}

#include "check_main.h"
