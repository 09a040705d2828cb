/* Mapped files: what may be mapped, and what happens when a file changes under our hands. */
#include "engine/mapping.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 5 };

static char folder[] = "/tmp/check_mapping.XXXXXX", path[64];
static char error[256];

static void write_pages(size_t size) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < size; i++) ck_assert_int_ne(fputc(1 + (int)(i / PAGE), file), EOF);
    ck_assert_int_eq(fclose(file), 0);
}

static void make_folder(void) {
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

static void remove_folder(void) {
    unlink(path);
    rmdir(folder);
    strcpy(strrchr(folder, '.'), ".XXXXXX");
}

static struct mapping *open_pages(size_t size) {
    struct mapping *mapping = NULL;
    write_pages(size);
    ck_assert_int_eq(mapping_open(path, &mapping, error, sizeof error), ENGINE_OK);
    ck_assert_uint_eq(mapping_size(mapping), size);
    return mapping;
}

static unsigned sum(const struct mapping *mapping) {
    const volatile unsigned char *data = mapping_data(mapping);
    unsigned total = 0;
    for (size_t i = 0; i < mapping_size(mapping); i++) total += data[i];
    return total;
}

START_TEST(maps_a_file) {
    struct mapping *mapping = open_pages(PAGES * PAGE - 7);
    ck_assert_uint_eq(sum(mapping), (1 + 2 + 3 + 4) * PAGE + 5 * (PAGE - 7));
    ck_assert(!mapping_is_broken(mapping));
    mapping_close(mapping);
    mapping_close(NULL);
}
END_TEST

START_TEST(refuses_what_is_no_model_file) {
    struct mapping *mapping = NULL;
    ck_assert_int_eq(mapping_open(path, &mapping, error, sizeof error), ENGINE_NOT_FOUND);
    ck_assert_int_eq(mapping_open(folder, &mapping, error, sizeof error), ENGINE_INVALID);
    ck_assert_ptr_nonnull(strstr(error, "folder"));
    ck_assert_int_eq(mapping_open("/dev/zero", &mapping, error, sizeof error), ENGINE_INVALID);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(mapping_open(path, &mapping, error, sizeof error), ENGINE_INVALID); /* and does not wait for a writer */
    unlink(path);
    write_pages(0);
    ck_assert_int_eq(mapping_open(path, &mapping, error, sizeof error), ENGINE_BROKEN);
    ck_assert_int_eq(mapping_open(path, &mapping, NULL, 0), ENGINE_BROKEN);
    ck_assert_ptr_null(mapping);
}
END_TEST

START_TEST(survives_a_file_cut_short) {
    struct mapping *other = open_pages(PAGE), *mapping = open_pages(PAGES * PAGE);
    ck_assert_int_eq(truncate(path, 2 * PAGE), 0);
    ck_assert_uint_eq(sum(mapping), (1 + 2) * PAGE); /* zeros for what is gone */
    ck_assert(mapping_is_broken(mapping));
    mapping_close(mapping);
    mapping_close(other);
}
END_TEST

START_TEST(survives_a_file_emptied) {
    struct mapping *mapping = open_pages(PAGES * PAGE - 1);
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_uint_eq(mapping_data(mapping)[PAGES * PAGE - 2], 0);
    ck_assert_uint_eq(sum(mapping), 0);
    ck_assert(mapping_is_broken(mapping));
    mapping_close(mapping);
    mapping = open_pages(PAGE); /* a guard that is used again knows nothing of what was before */
    ck_assert(!mapping_is_broken(mapping));
    mapping_close(mapping);
}
END_TEST

/* The kernel gives zeros, not SIGBUS, for the rest of a file's last page. */
START_TEST(notices_a_cut_within_the_last_page) {
    struct mapping *mapping = open_pages(PAGE);
    ck_assert_int_eq(truncate(path, PAGE - 100), 0);
    ck_assert_uint_eq(sum(mapping), PAGE - 100);
    ck_assert(mapping_is_broken(mapping));
    mapping_close(mapping);
}
END_TEST

START_TEST(notices_a_file_written_over) {
    struct mapping *mapping = open_pages(PAGE);
    int file = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(file, "x", 1, 10), 1);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    ck_assert_int_eq(futimens(file, times), 0); /* the clock of a file system may be coarse */
    close(file);
    ck_assert(mapping_is_broken(mapping));
    mapping_close(mapping);
}
END_TEST

START_TEST(is_untouched_by_a_new_file_of_the_name) {
    struct mapping *mapping = open_pages(PAGES * PAGE);
    unlink(path);
    write_pages(1);
    ck_assert_uint_eq(sum(mapping), (1 + 2 + 3 + 4 + 5) * PAGE);
    ck_assert(!mapping_is_broken(mapping));
    mapping_close(mapping);
}
END_TEST

/* ---- the handler that was there before --------------------------------------------------------------------- */

static sigjmp_buf before_fault;
static volatile sig_atomic_t faults;

static void count_fault(int signal_number) {
    (void)signal_number;
    faults++;
    siglongjmp(before_fault, 1);
}

/* A page of our file, mapped behind the back of mapping.c and then cut off. */
static volatile unsigned char *foreign_page(void) {
    int file = open(path, O_RDWR);
    volatile unsigned char *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
    ck_assert_ptr_ne((void *)page, MAP_FAILED);
    ck_assert_int_eq(ftruncate(file, 0), 0);
    close(file);
    return page;
}

START_TEST(leaves_other_faults_to_the_handler_before) {
    struct sigaction action = {.sa_handler = count_fault};
    ck_assert_int_eq(sigaction(SIGBUS, &action, NULL), 0);
    struct mapping *mapping = open_pages(PAGE);
    volatile unsigned char *page = foreign_page();
    if (sigsetjmp(before_fault, 1) == 0) ck_abort_msg("read %d", page[0]);
    ck_assert_int_eq(faults, 1);
    ck_assert_uint_eq(sum(mapping), 0); /* ours, which the same cut emptied */
    ck_assert_int_eq(faults, 1);
    if (sigsetjmp(before_fault, 1) == 0) raise(SIGBUS);
    ck_assert_int_eq(faults, 2);
    mapping_close(mapping);
    mapping = NULL;
}
END_TEST

START_TEST(dies_of_other_faults_where_nobody_handles_them) {
    signal(SIGBUS, SIG_DFL);
    struct mapping *mapping = open_pages(PAGE);
    volatile unsigned char *page = foreign_page();
    unlink(path);
    rmdir(folder);
    ck_abort_msg("read %d of %p", page[0], (void *)mapping);
}
END_TEST

/* ---- many at once ------------------------------------------------------------------------------------------ */

static void *open_cut_and_close(void *context) {
    char name[80];
    snprintf(name, sizeof name, "%s.%d", path, *(int *)context);
    for (int i = 0; i < 200; i++) {
        struct mapping *mapping = NULL;
        FILE *file = fopen(name, "wb");
        for (int byte = 0; byte < PAGES * PAGE; byte++) putc(1, file);
        fclose(file);
        if (mapping_open(name, &mapping, NULL, 0) != ENGINE_OK) return "not opened";
        if (truncate(name, (i % PAGES) * PAGE) != 0) return "not cut";
        if (sum(mapping) != (unsigned)(i % PAGES) * PAGE) return "wrong bytes";
        if (!mapping_is_broken(mapping)) return "not noticed";
        mapping_close(mapping);
    }
    unlink(name);
    return NULL;
}

START_TEST(guards_many_files_at_once) {
    pthread_t threads[4];
    int numbers[4] = {0, 1, 2, 3};
    write_pages(1);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, open_cut_and_close, &numbers[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *failure;
        ck_assert_int_eq(pthread_join(threads[i], &failure), 0);
        ck_assert_msg(failure == NULL, "%s", (const char *)failure);
    }
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("mapping");
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, make_folder, remove_folder);
    tcase_set_timeout(files, 30);
    tcase_add_test(files, maps_a_file);
    tcase_add_test(files, refuses_what_is_no_model_file);
    tcase_add_test(files, survives_a_file_cut_short);
    tcase_add_test(files, survives_a_file_emptied);
    tcase_add_test(files, notices_a_cut_within_the_last_page);
    tcase_add_test(files, notices_a_file_written_over);
    tcase_add_test(files, is_untouched_by_a_new_file_of_the_name);
    tcase_add_test(files, leaves_other_faults_to_the_handler_before);
    tcase_add_test_raise_signal(files, dies_of_other_faults_where_nobody_handles_them, SIGBUS);
    tcase_add_test(files, guards_many_files_at_once);
    suite_add_tcase(all, files);
    return all;
}

#include "tests/check_main.h"
