/* check_cache_faults.c: disks that are full, files that are damaged, foreign, read-only or gone, memory that runs out. Each
 * must give a status and a sentence, and the next call must work. Allocations fail in turn, SQLite's own among them. */
#include "tests/cache_help.h"
#include "tests/failing_malloc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- allocations that fail ---------------------------------------------------------------------------------- */

static sqlite3_mem_methods usual;

/* SQLite's turn is taken by an allocation of ours. */
static bool fails(void) {
    void *turn = malloc(1);
    free(turn);
    return !turn;
}

static void *sqlite_malloc(int size) {
    return fails() ? NULL : usual.xMalloc(size);
}

static void *sqlite_realloc(void *old, int size) {
    return fails() ? NULL : usual.xRealloc(old, size);
}

static bool wrap_sqlite(void) {
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &usual) != SQLITE_OK)
        return false;
    sqlite3_mem_methods ours = usual;
    ours.xMalloc = sqlite_malloc;
    ours.xRealloc = sqlite_realloc;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) == SQLITE_OK;
}

/* One use of everything. Without a failing allocation all must be OK; with one, OK or NO_MEMORY, and whole. Returns whether one
 * failed. */
static bool use_all(const struct cache_entry *old, const struct cache_entry *new) {
    struct cache *cache = NULL;
    struct cache_entry got = {0}, *entries = NULL;
    struct cache_stats stats;
    struct file_identity file = {.path = "/a", .size = 1};
    size_t count = 0;
    char cursor[96], digest[65], id[65], *view = NULL;
    enum cache_status status[12] = {0};
    status[0] = cache_open(&(struct cache_options){.path = path, .max_bytes = 61000}, &cache, error, sizeof error);
    if (status[0] == CACHE_OK) {
        status[1] = cache_get(cache, old->id, &got, error, sizeof error);
        status[2] = cache_put(cache, new, error, sizeof error);
        status[3] = cache_list(cache, 10, NULL, &entries, &count, cursor, error, sizeof error);
        status[4] = cache_get_stats(cache, &stats, error, sizeof error);
        status[5] = cache_check(cache, error, sizeof error);
        status[6] = cache_put_digest(cache, &file, new->id);
        status[7] = status[6] == CACHE_OK ? cache_get_digest(cache, &file, digest) : CACHE_OK;
        status[9] = status[2] == CACHE_OK ? cache_put_share(cache, "share", new->id, "{}", error, sizeof error) : CACHE_OK;
        bool shared = status[2] == CACHE_OK && status[9] == CACHE_OK;
        status[10] = shared ? cache_get_share(cache, "share", id, &view, error, sizeof error) : CACHE_OK;
        status[11] = shared ? cache_delete_share(cache, "share", error, sizeof error) : CACHE_OK;
        status[8] = status[2] == CACHE_OK ? cache_delete(cache, new->id, error, sizeof error) : CACHE_OK;
        cache_close(cache);
    }
    bool failed = failing_malloc_stop();
    free(view);
    for (int i = 0; i < 12; i++)
        ck_assert_msg(status[i] == CACHE_OK || (failed && status[i] == CACHE_NO_MEMORY), "call %d: %d, %s", i, status[i], error);
    if (got.lines)
        ck_assert(got.lines_size == old->lines_size && memcmp(got.lines, old->lines, old->lines_size) == 0);
    cache_entry_clear(&got);
    for (size_t i = 0; i < count; i++)
        cache_entry_clear(&entries[i]);
    free(entries);
    return failed;
}

START_TEST(test_every_allocation_fails_in_turn) {
    struct cache *cache;
    struct cache_entry old = make_entry(1, 40000), new = make_entry(2, 20000);
    long turn = 0;
    for (bool failed = true; failed; turn++) {
        if (turn % 2)
            remove(path); /* every other time from a new file */
        cache = open_cache(0);
        assert_ok(put(cache, 1, 40000));
        cache_close(cache);
        failing_malloc_after(turn);
        failed = use_all(&old, &new);
        cache = open_cache(0);
        assert_ok(get(cache, 1, 40000));
        assert_ok(cache_check(cache, error, sizeof error));
        cache_close(cache);
    }
    ck_assert_int_gt(turn, 100);
    printf("cache: %ld allocations failed in turn\n", turn - 1);
    turn = 0;
    for (bool failed = true; failed; turn++) { /* making the file */
        remove(path);
        failing_malloc_after(turn);
        enum cache_status status = cache_open(&(struct cache_options){.path = path}, &cache, error, sizeof error);
        failed = failing_malloc_stop();
        ck_assert(status == CACHE_OK || status == CACHE_NO_MEMORY);
        if (status == CACHE_OK)
            cache_close(cache);
        assert_status(try_open(), CACHE_OK);
    }
    printf("cache: %ld more while making the file\n", turn - 1);
    cache_entry_clear(&old);
    cache_entry_clear(&new);
}
END_TEST

/* ---- full disks --------------------------------------------------------------------------------------------- */

/* Puts until there is no room; what was put before must stay readable. Returns the number that did not fit. */
static unsigned fill(struct cache *cache, unsigned first) {
    unsigned n = first;
    enum cache_status status;
    while ((status = put(cache, n, 100000)) == CACHE_OK)
        n++;
    ck_assert_msg(status == CACHE_FULL, "%d, %s", status, error);
    ck_assert_ptr_nonnull(strstr(error, "no room"));
    ck_assert_int_eq(put(cache, n, 100000), CACHE_FULL);
    for (unsigned i = first; i < n; i++)
        assert_ok(get(cache, i, 100000));
    assert_status(get(cache, n, 100000), CACHE_MISS);
    return n;
}

START_TEST(test_file_may_grow_no_further) {
    struct rlimit before, limit;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 2000000;
    struct cache *cache = open_cache(0);
    setrlimit(RLIMIT_FSIZE, &limit);
    unsigned n = fill(cache, 0);
    ck_assert_uint_ge(n, 5);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_ok(put(cache, n, 100000));
    assert_ok(cache_check(cache, error, sizeof error));
    cache_close(cache);
}
END_TEST

/* A disk of our own, of 3 MB: needs root, and says so where it may not. */
static bool mount_disk(void) {
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", folder, "tmpfs", 0, "size=3m") == 0)
        return true;
    printf("cache: a small disk cannot be mounted here (%s); only a limit on the file's size was tried\n", strerror(errno));
    return false;
}

static void write_file(const char *name, size_t size) {
    static const char zeros[65536];
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(file, 0);
    while (size > 0) {
        ssize_t written = write(file, zeros, size < sizeof zeros ? size : sizeof zeros);
        if (written <= 0)
            break;
        size -= (size_t)written;
    }
    close(file);
}

START_TEST(test_disk_is_full) {
    char filler[sizeof path];
    if (!mount_disk())
        return;
    snprintf(filler, sizeof filler, "%s/filler", folder);
    struct cache *cache = open_cache(0);
    write_file(filler, 1000000);
    unsigned n = fill(cache, 0);
    ck_assert_uint_ge(n, 3);
    remove(filler);
    assert_ok(put(cache, n, 100000));
    assert_ok(get(cache, n, 100000));
    write_file(filler, 10000000);
    fill(cache, n + 1);
    assert_ok(cache_check(cache, error, sizeof error));
    cache_close(cache);
    const char *const beside[] = {"", "-wal", "-shm"}; /* the last two stay where there was no room to fold them in */
    for (int i = 0; i < 3; i++) {
        char name[sizeof path + 8];
        snprintf(name, sizeof name, "%s%s", path, beside[i]);
        remove(name);
    }
    write_file(filler, 10000000);
    ck_assert_int_eq(try_open(), CACHE_FULL);
    ck_assert_ptr_nonnull(strstr(error, "no room"));
    remove(filler);
    assert_status(try_open(), CACHE_OK);
    umount2(folder, MNT_DETACH);
}
END_TEST

/* ---- files that may not be written -------------------------------------------------------------------------- */

/* Runs as a user without rights: root may write anything. */
static void become_nobody(void) {
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(chmod(folder, 0755), 0);
    ck_assert_int_eq(chown(folder, 65534, 65534), 0);
    ck_assert_int_eq(setgid(65534), 0);
    ck_assert_int_eq(setuid(65534), 0);
}

START_TEST(test_read_only_file) {
    become_nobody();
    struct cache *cache = open_cache(0);
    assert_ok(put(cache, 1, 1000));
    cache_close(cache);
    ck_assert_int_eq(chmod(path, 0400), 0);
    cache = open_cache(0); /* still good for reading */
    assert_ok(get(cache, 1, 1000));
    assert_status(put(cache, 2, 1000), CACHE_READ_ONLY);
    ck_assert_ptr_nonnull(strstr(error, "writable"));
    assert_status(cache_delete(cache, make_id(1), error, sizeof error), CACHE_READ_ONLY);
    assert_status(cache_clear(cache, error, sizeof error), CACHE_READ_ONLY);
    assert_ok(get(cache, 1, 1000));
    cache_close(cache);
    ck_assert_int_eq(chmod(path, 0), 0);
    assert_status(try_open(), CACHE_READ_ONLY);
    ck_assert_int_eq(chmod(path, 0600), 0);
    assert_status(try_open(), CACHE_OK);
}
END_TEST

START_TEST(test_folder_not_writable) {
    become_nobody();
    ck_assert_int_eq(chmod(folder, 0500), 0);
    assert_status(try_open(), CACHE_READ_ONLY);
    ck_assert_ptr_nonnull(strstr(error, "writable"));
    char inside[sizeof path];
    snprintf(inside, sizeof inside, "%s", path);
    snprintf(path, sizeof path, "%s/a/b/cache.db", folder);
    assert_status(try_open(), CACHE_READ_ONLY);
    snprintf(path, sizeof path, "%s", inside);
    ck_assert_int_eq(chmod(folder, 0700), 0);
    struct cache *cache = open_cache(0);
    assert_ok(put(cache, 1, 1000));
    cache_close(cache);
    ck_assert_int_eq(chmod(folder, 0500), 0); /* the file is there, but not its -wal */
    assert_status(try_open(), CACHE_READ_ONLY);
    ck_assert_int_eq(chmod(folder, 0700), 0);
    assert_status(try_open(), CACHE_OK);
}
END_TEST

/* ---- files that are not what they should be ----------------------------------------------------------------- */

static void *read_all(const char *name, size_t *size) {
    FILE *file = fopen(name, "rb");
    ck_assert_ptr_nonnull(file);
    char *bytes = malloc(8 << 20);
    *size = fread(bytes, 1, 8 << 20, file);
    fclose(file);
    return bytes;
}

static void write_all(const char *name, const void *bytes, size_t size) {
    FILE *file = fopen(name, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void assert_untouched(const void *bytes, size_t size) {
    size_t now_size;
    char wal[sizeof path + 8];
    void *now = read_all(path, &now_size);
    ck_assert(now_size == size && memcmp(now, bytes, size) == 0);
    free(now);
    snprintf(wal, sizeof wal, "%s-wal", path);
    ck_assert_int_ne(access(wal, F_OK), 0);
}

START_TEST(test_foreign_files_are_never_touched) {
    sqlite3 *other;
    size_t size;
    ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(9000))", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    char *bytes = read_all(path, &size);
    assert_status(try_open(), CACHE_FOREIGN);
    ck_assert_ptr_nonnull(strstr(error, "--cache"));
    assert_untouched(bytes, size);
    bytes[68] ^= 1; /* another program's application_id */
    write_all(path, bytes, size);
    assert_status(try_open(), CACHE_FOREIGN);
    assert_untouched(bytes, size);
    free(bytes);
    write_all(path, "hello\n", 6);
    assert_status(try_open(), CACHE_FOREIGN);
    assert_untouched("hello\n", 6);
    remove(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    assert_status(try_open(), CACHE_FOREIGN);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* must not wait for a writer */
    assert_status(try_open(), CACHE_FOREIGN);
    remove(path);
    ck_assert_int_eq(symlink("/nowhere/at/all", path), 0);
    ck_assert_int_ne(try_open(), CACHE_OK);
    remove(path);
    write_all(path, "", 0); /* an empty file, as mktemp makes them, is nobody's */
    assert_status(try_open(), CACHE_OK);
}
END_TEST

START_TEST(test_newer_file_is_refused) {
    sqlite3 *other;
    struct cache *cache = open_cache(0);
    assert_ok(put(cache, 1, 100));
    cache_close(cache);
    ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "PRAGMA user_version = 9", NULL, NULL, NULL), SQLITE_OK);
    assert_status(try_open(), CACHE_NEWER); /* while its version stands in the -wal only */
    ck_assert_ptr_nonnull(strstr(error, "schema 9"));
    sqlite3_close(other);
    assert_status(try_open(), CACHE_NEWER);
    ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "PRAGMA user_version = 0", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_status(try_open(), CACHE_CORRUPT);
    ck_assert_ptr_nonnull(strstr(error, "move the file aside"));
}
END_TEST

/* ---- damage ------------------------------------------------------------------------------------------------- */

/* Uses a file with a byte changed. Whatever happens, what is got is what was put. Returns whether anything was noticed. */
static bool use_damaged(void) {
    struct cache *cache = NULL;
    struct cache_entry *entries = NULL;
    size_t count = 0;
    char cursor[96];
    bool noticed = cache_open(&(struct cache_options){.path = path}, &cache, error, sizeof error) != CACHE_OK;
    if (noticed)
        return true;
    for (unsigned i = 0; i < 4; i++)
        noticed |= get(cache, i, 30000) != CACHE_OK;
    if (cache_list(cache, 100, NULL, &entries, &count, cursor, error, sizeof error) != CACHE_OK)
        noticed = true;
    else
        for (size_t i = 0; i < count; i++)
            cache_entry_clear(&entries[i]);
    free(entries);
    noticed |= cache_check(cache, error, sizeof error) != CACHE_OK;
    noticed |= put(cache, 50, 30000) != CACHE_OK;
    noticed |= cache_delete(cache, make_id(2), error, sizeof error) != CACHE_OK;
    cache_close(cache);
    return noticed;
}

/* A build that checks itself looks for other damage than a flipped byte's: it tries fewer. */
#ifdef __SANITIZE_ADDRESS__
enum { FLIP_STEP = 449 };
#else
enum { FLIP_STEP = 149 };
#endif

START_TEST(test_flipped_bytes) {
    struct cache *cache = open_cache(0);
    size_t size;
    for (unsigned i = 0; i < 4; i++)
        assert_ok(put(cache, i, 30000));
    cache_close(cache);
    unsigned char *bytes = read_all(path, &size);
    unsigned tried = 0, noticed = 0;
    for (size_t at = 0; at < size; at += at < 200 ? 1 : FLIP_STEP) {
        bytes[at] ^= (unsigned char)(1 << at % 8);
        write_all(path, bytes, size);
        tried++;
        noticed += use_damaged();
        bytes[at] ^= (unsigned char)(1 << at % 8);
    }
    printf("cache: %u bytes flipped in turn, %u noticed, the rest in room that holds nothing\n", tried, noticed);
    ck_assert(noticed > 0.95 * tried * (4 * 30000) / (double)size); /* at least where the results are */
    write_all(path, bytes, size);
    ck_assert(!use_damaged());
    free(bytes);
}
END_TEST

START_TEST(test_damage_to_one_result_spares_the_others) {
    struct cache *cache = open_cache(0);
    size_t size;
    for (unsigned i = 0; i < 4; i++)
        assert_ok(put(cache, i, 30000));
    cache_close(cache);
    char *bytes = read_all(path, &size);
    struct cache_entry entry = make_entry(1, 30000);
    char *lines = memmem(bytes, size, entry.lines, 1000); /* its pages may be apart: the first will do */
    ck_assert_ptr_nonnull(lines);
    lines[500] ^= 0x20;
    write_all(path, bytes, size);
    cache_entry_clear(&entry);
    free(bytes);
    cache = open_cache(0);
    assert_status(get(cache, 1, 30000), CACHE_CORRUPT);
    ck_assert_ptr_nonnull(strstr(error, "cache delete"));
    assert_ok(get(cache, 0, 30000));
    assert_ok(get(cache, 2, 30000));
    assert_status(cache_check(cache, error, sizeof error), CACHE_CORRUPT);
    assert_ok(cache_delete(cache, make_id(1), error, sizeof error));
    assert_ok(cache_check(cache, error, sizeof error));
    assert_ok(put(cache, 1, 30000));
    assert_ok(get(cache, 1, 30000));
    cache_close(cache);
}
END_TEST

START_TEST(test_deleted_underneath) {
    char wal[sizeof path + 8];
    struct cache *cache = open_cache(0);
    assert_ok(put(cache, 1, 1000));
    assert_ok(get(cache, 1, 1000)); /* leaves a reader open, and a use to write */
    remove(path);
    assert_status(get(cache, 1, 1000), CACHE_FAILED);
    ck_assert_ptr_nonnull(strstr(error, "deleted or replaced"));
    assert_status(get(cache, 1, 1000), CACHE_MISS);
    assert_ok(put(cache, 2, 1000));
    assert_ok(get(cache, 2, 1000));
    snprintf(wal, sizeof wal, "%s-wal", path);
    remove(wal);
    assert_status(put(cache, 3, 1000), CACHE_FAILED);
    assert_ok(put(cache, 3, 1000));
    assert_ok(get(cache, 3, 1000));
    assert_ok(cache_check(cache, error, sizeof error));
    remove_folder(); /* the folder, too */
    assert_status(put(cache, 4, 1000), CACHE_FAILED);
    assert_ok(put(cache, 4, 1000));
    assert_ok(get(cache, 4, 1000));
    remove_folder();
    cache_close(cache); /* must not bring the file back */
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(test_replaced_by_something_else_underneath) {
    struct cache *cache = open_cache(0);
    assert_ok(put(cache, 1, 1000));
    remove(path);
    write_all(path, "hello\n", 6);
    assert_status(get(cache, 1, 1000), CACHE_FOREIGN);
    assert_status(put(cache, 1, 1000), CACHE_FOREIGN);
    assert_untouched("hello\n", 6);
    remove(path);
    assert_ok(put(cache, 1, 1000));
    assert_ok(get(cache, 1, 1000));
    cache_close(cache);
}
END_TEST

START_TEST(test_cut_short_underneath) {
    const off_t sizes[] = {100000, 16384, 100, 0};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct cache *cache = open_cache(0);
        for (unsigned i = 0; i < 20; i++)
            assert_ok(put(cache, i, 100000));
        cache_close(cache);
        cache = open_cache(0);
        assert_ok(get(cache, 0, 100000));
        ck_assert_int_eq(truncate(path, sizes[s]), 0);
        unsigned failed = 0;
        for (unsigned i = 0; i < 20; i++)
            failed += get(cache, i, 100000) != CACHE_OK;
        ck_assert_uint_gt(failed, 10);
        put(cache, 30, 1000);
        cache_check(cache, error, sizeof error);
        ck_assert(error[0]);
        cache_close(cache);
        remove(path);
        assert_status(try_open(), CACHE_OK);
        remove(path);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cache_faults");
    TCase *tests = tcase_create("cache_faults");
    tcase_set_timeout(tests, 200);
    if (!wrap_sqlite())
        return EXIT_FAILURE;
    if (access("/dev/shm", W_OK) == 0)
        folder_base = "/dev/shm"; /* thousands of small files: a disk that really writes them takes minutes */
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, test_every_allocation_fails_in_turn);
    tcase_add_test(tests, test_file_may_grow_no_further);
    tcase_add_test(tests, test_disk_is_full);
    tcase_add_test(tests, test_read_only_file);
    tcase_add_test(tests, test_folder_not_writable);
    tcase_add_test(tests, test_foreign_files_are_never_touched);
    tcase_add_test(tests, test_newer_file_is_refused);
    tcase_add_test(tests, test_flipped_bytes);
    tcase_add_test(tests, test_damage_to_one_result_spares_the_others);
    tcase_add_test(tests, test_deleted_underneath);
    tcase_add_test(tests, test_replaced_by_something_else_underneath);
    tcase_add_test(tests, test_cut_short_underneath);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
