/* check_cache.c: the cache when all goes well, and what it promises between threads and programs. Failures of the disk and
 * of memory: check_cache_faults.c. */
#include "tests/cache_help.h"

#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

static unsigned mode_of(const char *name) {
    struct stat st;
    ck_assert_msg(stat(name, &st) == 0, "%s is not there", name);
    return st.st_mode & 07777;
}

START_TEST(test_files_are_private_whatever_the_umask) {
    const mode_t masks[] = {0, 022, 0777};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        char name[sizeof path + 16];
        snprintf(path, sizeof path, "%s/made%zu/deeper/cache.db", folder, i);
        mode_t before = umask(masks[i]);
        struct cache *cache = open_cache(0);
        assert_ok(put(cache, 1, 100));
        umask(before);
        ck_assert_uint_eq(mode_of(path), 0600);
        snprintf(name, sizeof name, "%s-wal", path);
        ck_assert_uint_eq(mode_of(name), 0600);
        snprintf(name, sizeof name, "%s-shm", path);
        ck_assert_uint_eq(mode_of(name), 0600);
        snprintf(name, sizeof name, "%s/made%zu/deeper", folder, i);
        ck_assert_uint_eq(mode_of(name), 0700);
        snprintf(name, sizeof name, "%s/made%zu", folder, i);
        ck_assert_uint_eq(mode_of(name), 0700);
        cache_close(cache);
    }
}
END_TEST

START_TEST(test_relative_path) {
    ck_assert_int_eq(chdir(folder), 0);
    snprintf(path, sizeof path, "file:odd?mode=memory"); /* a name, not an address */
    struct cache *cache = open_cache(0);
    assert_ok(put(cache, 1, 10));
    ck_assert_int_eq(chdir("/"), 0);
    assert_ok(get(cache, 1, 10));
    cache_close(cache);
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(test_exact_bytes_come_back) {
    const size_t sizes[] = {0, 1, 7, 8, 9, 4096, 70001, 3 << 20};
    struct cache *cache = open_cache(0);
    for (unsigned i = 0; i < 8; i++)
        assert_ok(put(cache, i, sizes[i]));
    for (unsigned i = 0; i < 8; i++)
        assert_ok(get(cache, i, sizes[i]));
    cache_close(cache);
    cache = open_cache(0);
    for (unsigned i = 0; i < 8; i++)
        assert_ok(get(cache, i, sizes[i]));
    assert_status(get(cache, 99, 1), CACHE_MISS);
    assert_ok(cache_check(cache, error, sizeof error));
    cache_close(cache);
}
END_TEST

START_TEST(test_first_put_wins) {
    struct cache *cache = open_cache(0);
    struct cache_entry second = make_entry(1, 500);
    free(second.excerpt);
    second.excerpt = strdup("another");
    assert_ok(put(cache, 1, 1000));
    assert_ok(cache_put(cache, &second, error, sizeof error));
    assert_ok(get(cache, 1, 1000));
    cache_entry_clear(&second);
    struct cache_stats stats;
    assert_ok(cache_get_stats(cache, &stats, error, sizeof error));
    ck_assert_uint_eq(stats.entries, 1);
    ck_assert_uint_eq(stats.bytes, 1000);
    cache_close(cache);
}
END_TEST

START_TEST(test_created_is_set_and_bad_entries_are_refused) {
    struct cache *cache = open_cache(0);
    struct cache_entry entry = {.id = strdup(make_id(3)), .lines = strdup("{}\n"), .lines_size = 3}, got;
    int64_t before = (int64_t)time(NULL) * 1000;
    assert_ok(cache_put(cache, &entry, error, sizeof error));
    assert_ok(cache_get(cache, make_id(3), &got, error, sizeof error));
    ck_assert(got.created >= before && got.created <= before + 60000);
    ck_assert_str_eq(got.model, "");
    ck_assert_str_eq(got.lines, "{}\n");
    cache_entry_clear(&got);
    entry.id[0] = 'X';
    assert_status(cache_put(cache, &entry, error, sizeof error), CACHE_FAILED);
    cache_entry_clear(&entry);
    cache_close(cache);
}
END_TEST

START_TEST(test_least_recently_used_goes_first) {
    struct cache *cache = open_cache(5000);
    for (unsigned i = 0; i < 5; i++)
        assert_ok(put(cache, i, 1000));
    assert_ok(get(cache, 0, 1000)); /* noted in memory */
    assert_ok(put(cache, 1, 1000)); /* putting again is a use, too */
    assert_ok(put(cache, 5, 1000));
    assert_status(get(cache, 2, 1000), CACHE_MISS);
    assert_ok(get(cache, 3, 1000));
    cache_close(cache); /* writes the note */
    cache = open_cache(5000);
    assert_ok(put(cache, 6, 1500)); /* takes two: 4, then 0 */
    assert_status(get(cache, 4, 1000), CACHE_MISS);
    assert_status(get(cache, 0, 1000), CACHE_MISS);
    assert_ok(get(cache, 1, 1000));
    assert_ok(get(cache, 3, 1000));
    assert_ok(get(cache, 5, 1000));
    assert_ok(get(cache, 6, 1500));
    assert_status(put(cache, 7, 5001), CACHE_FULL); /* larger than all of it: nothing is evicted for it */
    assert_ok(get(cache, 1, 1000));
    assert_ok(put(cache, 8, 5000));
    struct cache_stats stats;
    assert_ok(cache_get_stats(cache, &stats, error, sizeof error));
    ck_assert_uint_eq(stats.entries, 1);
    ck_assert_uint_eq(stats.bytes, 5000);
    ck_assert_uint_eq(stats.max_bytes, 5000);
    assert_ok(cache_check(cache, error, sizeof error));
    cache_close(cache);
}
END_TEST

/* Lists all by pages of `limit`, calling `between` after each; returns how many, newest first being held. */
static size_t walk(struct cache *cache, size_t limit, void (*between)(struct cache *cache, size_t page)) {
    char cursor[96] = "";
    size_t total = 0, page = 0;
    int64_t last = INT64_MAX;
    do {
        struct cache_entry *entries = NULL;
        size_t count = 0;
        assert_ok(cache_list(cache, limit, cursor, &entries, &count, cursor, error, sizeof error));
        ck_assert(count == limit || !cursor[0]);
        for (size_t i = 0; i < count; i++) {
            ck_assert(entries[i].created < last);
            ck_assert_ptr_null(entries[i].lines);
            ck_assert_uint_eq(entries[i].lines_size, 10);
            ck_assert_str_eq(entries[i].model, "smollm2-135m-instruct");
            last = entries[i].created;
            cache_entry_clear(&entries[i]);
        }
        free(entries);
        total += count;
        if (between)
            between(cache, page);
        page++;
    } while (cursor[0]);
    return total;
}

static void disturb(struct cache *cache, size_t page) {
    if (page == 0) { /* the last one handed out (24), one to come (3), and a newer one */
        assert_ok(cache_delete(cache, make_id(24), error, sizeof error));
        assert_ok(cache_delete(cache, make_id(3), error, sizeof error));
        assert_ok(put(cache, 100, 10));
    }
}

START_TEST(test_list_pages_stay_while_entries_come_and_go) {
    struct cache *cache = open_cache(0);
    struct cache_entry *entries = NULL;
    size_t count = 1;
    char cursor[96];
    assert_ok(cache_list(cache, 10, NULL, &entries, &count, cursor, error, sizeof error));
    ck_assert_uint_eq(count, 0);
    ck_assert_str_eq(cursor, "");
    free(entries);
    for (unsigned i = 0; i < 30; i++)
        assert_ok(put(cache, i, 10));
    ck_assert_uint_eq(walk(cache, 7, NULL), 30);
    ck_assert_uint_eq(walk(cache, 30, NULL), 30);
    ck_assert_uint_eq(walk(cache, 1, NULL), 30);
    ck_assert_uint_eq(walk(cache, 6, disturb), 29);
    const char *const wrong[] = {"x", "1", "1-", "-", "1-2x", "1-0", " 1-2", "1-2 ", "99999999999999999999999999999999999999999-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_status(cache_list(cache, 10, wrong[i], &entries, &count, cursor, error, sizeof error), CACHE_MISS);
    cache_close(cache);
}
END_TEST

START_TEST(test_entries_of_one_instant_keep_their_order) {
    struct cache *cache = open_cache(0);
    char cursor[96] = "";
    unsigned next = 20;
    for (unsigned i = 0; i < 20; i++) {
        struct cache_entry entry = make_entry(i, 10);
        entry.created = 5;
        assert_ok(cache_put(cache, &entry, error, sizeof error));
        cache_entry_clear(&entry);
    }
    do {
        struct cache_entry *entries = NULL;
        size_t count = 0;
        assert_ok(cache_list(cache, 3, cursor, &entries, &count, cursor, error, sizeof error));
        for (size_t i = 0; i < count; i++) {
            ck_assert_str_eq(entries[i].id, make_id(--next));
            cache_entry_clear(&entries[i]);
        }
        free(entries);
    } while (cursor[0]);
    ck_assert_uint_eq(next, 0);
    cache_close(cache);
}
END_TEST

static bool file_holds(const char *name, const char *word) {
    FILE *file = fopen(name, "rb");
    if (!file)
        return false;
    static char bytes[8 << 20];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    return memmem(bytes, size, word, strlen(word)) != NULL;
}

START_TEST(test_delete_and_clear_leave_nothing_behind) {
    struct cache *cache = open_cache(0);
    struct cache_stats stats;
    char wal[sizeof path + 8];
    snprintf(wal, sizeof wal, "%s-wal", path);
    struct cache_entry secret = make_entry(1, 0);
    free(secret.lines);
    secret.lines = malloc(40000);
    secret.lines_size = 40000;
    for (size_t i = 0; i < 40000; i += 8)
        memcpy(secret.lines + i, "a secret", 8);
    for (unsigned i = 2; i < 20; i++)
        assert_ok(put(cache, i, 100000));
    assert_ok(cache_put(cache, &secret, error, sizeof error));
    ck_assert(file_holds(path, "a secret") || file_holds(wal, "a secret"));
    assert_ok(cache_delete(cache, make_id(1), error, sizeof error));
    ck_assert(!file_holds(path, "a secret") && !file_holds(wal, "a secret"));
    assert_status(cache_delete(cache, make_id(1), error, sizeof error), CACHE_MISS);
    assert_status(get(cache, 1, 0), CACHE_MISS);
    assert_ok(cache_put(cache, &secret, error, sizeof error)); /* a deleted id may come again */
    assert_ok(cache_get_stats(cache, &stats, error, sizeof error));
    ck_assert_uint_eq(stats.entries, 19);
    ck_assert(stats.file_bytes > 1800000);
    assert_ok(cache_clear(cache, error, sizeof error));
    ck_assert(!file_holds(path, "a secret") && !file_holds(wal, "a secret"));
    assert_ok(cache_get_stats(cache, &stats, error, sizeof error));
    ck_assert_uint_eq(stats.entries, 0);
    ck_assert_uint_eq(stats.bytes, 0);
    ck_assert_msg(stats.file_bytes < 300000, "%llu bytes", (unsigned long long)stats.file_bytes);
    assert_ok(put(cache, 2, 100));
    assert_ok(get(cache, 2, 100));
    cache_entry_clear(&secret);
    cache_close(cache);
}
END_TEST

START_TEST(test_digests_are_believed_only_for_the_same_file) {
    struct cache *cache = open_cache(0);
    struct file_identity file = {.path = "/models/a.gguf", .size = UINT64_MAX, .inode = 2, .device = 3, .modified_ns = -4};
    char digest[65];
    ck_assert_int_eq(cache_get_digest(cache, &file, digest), CACHE_MISS);
    ck_assert_int_eq(cache_put_digest(cache, &file, "short"), CACHE_FAILED);
    ck_assert_int_eq(cache_put_digest(cache, &file, make_id(1)), CACHE_OK);
    ck_assert_int_eq(cache_put_digest(cache, &file, make_id(2)), CACHE_OK);
    cache_close(cache);
    cache = open_cache(0);
    ck_assert_int_eq(cache_get_digest(cache, &file, digest), CACHE_OK);
    ck_assert_str_eq(digest, make_id(2));
    struct file_identity others[5] = {file, file, file, file, file};
    others[0].path = "/models/b.gguf";
    others[1].size--;
    others[2].inode++;
    others[3].device++;
    others[4].modified_ns++;
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(cache_get_digest(cache, &others[i], digest), CACHE_MISS);
    assert_ok(cache_clear(cache, error, sizeof error)); /* results only */
    ck_assert_int_eq(cache_get_digest(cache, &file, digest), CACHE_OK);
    cache_close(cache);
}
END_TEST

/* ---- threads and programs ----------------------------------------------------------------------------------- */

static void *put_and_get(void *argument) {
    struct cache *cache = argument;
    char words[256];
    for (unsigned i = 0; i < 150; i++) {
        struct cache_entry entry = make_entry(i, 2000), got;
        ck_assert_int_eq(cache_put(cache, &entry, words, sizeof words), CACHE_OK);
        ck_assert_int_eq(cache_get(cache, entry.id, &got, words, sizeof words), CACHE_OK);
        ck_assert(got.lines_size == 2000 && memcmp(got.lines, entry.lines, 2000) == 0);
        cache_entry_clear(&entry);
        cache_entry_clear(&got);
    }
    return NULL;
}

static void assert_share(struct cache *cache, const char *share, unsigned number, const char *want) {
    char id[65], *view = NULL;
    assert_ok(cache_get_share(cache, share, id, &view, error, sizeof error));
    ck_assert_str_eq(id, make_id(number));
    ck_assert_str_eq(view, want);
    free(view);
}

START_TEST(test_shares_last_as_long_as_their_analysis) {
    char id[65], *view = NULL;
    struct cache *cache = open_cache(5000);
    for (unsigned i = 1; i <= 4; i++)
        assert_ok(put(cache, i, 1000));
    assert_ok(cache_put_share(cache, "first", make_id(1), "{\"layer\":5}", error, sizeof error));
    assert_ok(cache_put_share(cache, "second", make_id(2), "null", error, sizeof error));
    assert_status(cache_put_share(cache, "third", make_id(99), "null", error, sizeof error), CACHE_MISS);
    assert_ok(put(cache, 5, 2500)); /* 1 and 2 are the oldest, and shared: 3 and 4 go */
    assert_share(cache, "first", 1, "{\"layer\":5}");
    assert_status(get(cache, 3, 1000), CACHE_MISS);
    cache_close(cache);
    cache = open_cache(5000);
    assert_share(cache, "first", 1, "{\"layer\":5}");
    assert_ok(put(cache, 6, 4500)); /* what was just put stays, whatever is shared */
    assert_ok(get(cache, 6, 4500));
    assert_status(cache_get_share(cache, "first", id, &view, error, sizeof error), CACHE_MISS);
    assert_ok(cache_put_share(cache, "fourth", make_id(6), "null", error, sizeof error));
    assert_ok(cache_delete_share(cache, "fourth", error, sizeof error));
    assert_status(cache_delete_share(cache, "fourth", error, sizeof error), CACHE_MISS);
    assert_status(cache_get_share(cache, "fourth", id, &view, error, sizeof error), CACHE_MISS);
    assert_ok(cache_check(cache, error, sizeof error));
    cache_close(cache);
}
END_TEST

START_TEST(test_a_file_of_version_1_is_brought_up) {
    sqlite3 *other = NULL;
    struct cache *cache = open_cache(0);
    assert_ok(put(cache, 1, 5000));
    cache_close(cache);
    ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "DROP TRIGGER shares_gone; DROP TABLE shares; DROP TABLE probes; PRAGMA user_version = 1", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(other);
    cache = open_cache(0);
    assert_ok(get(cache, 1, 5000));
    assert_ok(cache_put_share(cache, "share", make_id(1), "null", error, sizeof error));
    assert_share(cache, "share", 1, "null");
    assert_ok(cache_put_probe(cache, &(struct cache_probe){make_id(1), "repeat", 1}, 3, "found", 5, error, sizeof error));
    assert_ok(cache_check(cache, error, sizeof error));
    cache_close(cache);
}
END_TEST

static void assert_probe(struct cache *cache, const struct cache_probe *probe, size_t want_steps, const char *want) {
    size_t steps, size;
    void *bytes;
    assert_ok(cache_get_probe(cache, probe, &steps, &bytes, &size, error, sizeof error));
    ck_assert_uint_eq(steps, want_steps);
    ck_assert_uint_eq(size, strlen(want));
    ck_assert_mem_eq(bytes, want, size);
    free(bytes);
}

START_TEST(test_probes) {
    struct cache *cache = open_cache(0);
    struct cache_probe repeat = {make_id(1), "repeat", 1}, random = {repeat.model_digest, "random", 1}, newer = {repeat.model_digest, "repeat", 2};
    size_t steps, size;
    void *bytes;
    ck_assert_int_eq(cache_get_probe(cache, &repeat, &steps, &bytes, &size, error, sizeof error), CACHE_MISS);
    assert_ok(cache_put_probe(cache, &repeat, 3, "three steps", 11, error, sizeof error));
    assert_ok(cache_put_probe(cache, &random, 1, "one", 3, error, sizeof error));
    assert_ok(cache_put_probe(cache, &repeat, 4, "four", 4, error, sizeof error));
    cache_close(cache);
    cache = open_cache(0);
    assert_probe(cache, &repeat, 4, "four");
    assert_probe(cache, &random, 1, "one");
    ck_assert_int_eq(cache_get_probe(cache, &newer, &steps, &bytes, &size, error, sizeof error), CACHE_MISS);
    assert_ok(cache_put_probe(cache, &newer, 1, "new", 3, error, sizeof error));
    ck_assert_int_eq(cache_get_probe(cache, &repeat, &steps, &bytes, &size, error, sizeof error), CACHE_MISS);
    ck_assert_int_eq(cache_put_probe(cache, &(struct cache_probe){"no digest", "repeat", 1}, 1, "x", 1, error, sizeof error), CACHE_FAILED);
    cache_close(cache);
    sqlite3 *other = NULL; /* damaged: as if it were not there */
    ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "UPDATE probes SET steps = 2 WHERE probe = 'random'", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    cache = open_cache(0);
    ck_assert_int_eq(cache_get_probe(cache, &random, &steps, &bytes, &size, error, sizeof error), CACHE_MISS);
    assert_probe(cache, &newer, 1, "new");
    cache_close(cache);
}
END_TEST

START_TEST(test_threads) {
    struct cache *cache = open_cache(0);
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, put_and_get, cache), 0);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    struct cache_stats stats;
    assert_ok(cache_get_stats(cache, &stats, error, sizeof error));
    ck_assert_uint_eq(stats.entries, 150);
    assert_ok(cache_check(cache, error, sizeof error));
    cache_close(cache);
}
END_TEST

START_TEST(test_two_programs_at_once) {
    pid_t children[2];
    for (unsigned c = 0; c < 2; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            struct cache *cache = open_cache(0); /* both may make the file */
            for (unsigned i = 0; i < 100; i++) { /* 100 of each its own, 100 of both */
                assert_ok(put(cache, 1000 + c * 1000 + i, 20000));
                assert_ok(put(cache, i, 20000));
                assert_ok(get(cache, (i * 7) % (i + 1), 20000));
            }
            cache_close(cache);
            _exit(0);
        }
    }
    for (int c = 0; c < 2; c++) {
        int status = -1;
        waitpid(children[c], &status, 0);
        ck_assert_int_eq(status, 0);
    }
    struct cache *cache = open_cache(0);
    struct cache_stats stats;
    assert_ok(cache_get_stats(cache, &stats, error, sizeof error));
    ck_assert_uint_eq(stats.entries, 300);
    for (unsigned i = 0; i < 100; i++) {
        assert_ok(get(cache, i, 20000));
        assert_ok(get(cache, 1000 + i, 20000));
        assert_ok(get(cache, 2000 + i, 20000));
    }
    assert_ok(cache_check(cache, error, sizeof error));
    cache_close(cache);
}
END_TEST

START_TEST(test_killed_in_the_middle_of_puts) {
    unsigned promised = 0;
    for (unsigned round = 0; round < 8; round++) {
        int pipes[2];
        ck_assert_int_eq(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) {
            struct cache *cache = open_cache(0);
            for (unsigned i = promised;; i++) {
                assert_ok(put(cache, i, 100000));
                if (write(pipes[1], &i, sizeof i) != sizeof i)
                    _exit(1);
            }
        }
        close(pipes[1]);
        unsigned done;
        for (unsigned i = 0; i < 3 && read(pipes[0], &done, sizeof done) == sizeof done; i++)
            promised = done + 1;
        usleep(1000 + 7919 * round % 20000); /* some time within a put */
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(pipes[0], &done, sizeof done) == sizeof done)
            promised = done + 1;
        close(pipes[0]);
        struct cache *cache = open_cache(0);
        for (unsigned i = 0; i < promised; i++)
            assert_ok(get(cache, i, 100000));
        ck_assert(get(cache, promised, 100000) != CACHE_CORRUPT); /* written or not, never half */
        ck_assert(get(cache, promised + 1, 100000) == CACHE_MISS);
        assert_ok(cache_check(cache, error, sizeof error));
        cache_close(cache);
    }
    ck_assert_uint_ge(promised, 24);
}
END_TEST

START_TEST(test_locked_by_another_program) {
    struct cache *cache = open_cache(0);
    sqlite3 *other;
    assert_ok(put(cache, 1, 100));
    ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_status(put(cache, 2, 100), CACHE_LOCKED);
    ck_assert_ptr_nonnull(strstr(error, "another program"));
    assert_ok(get(cache, 1, 100)); /* readers go on */
    ck_assert_int_eq(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_ok(put(cache, 2, 100));
    cache_close(cache);
    ck_assert_int_eq(sqlite3_exec(other, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_status(try_open(), CACHE_LOCKED);
    sqlite3_close(other);
    assert_status(try_open(), CACHE_OK);
}
END_TEST

/* ---- speed, printed ----------------------------------------------------------------------------------------- */

START_TEST(test_speed) {
    struct cache *cache = open_cache(0);
    struct cache_entry *entries = NULL, got;
    size_t count = 0;
    char cursor[96];
    const size_t size = 3 << 20;
    double start = seconds_now();
    for (unsigned i = 0; i < 20; i++)
        assert_ok(put(cache, 1000000 + i, size));
    double puts = seconds_now() - start, best = 1;
    for (unsigned i = 0; i < 40; i++) {
        start = seconds_now();
        assert_ok(cache_get(cache, make_id(1000000 + i % 20), &got, error, sizeof error));
        double took = seconds_now() - start;
        best = took < best ? took : best;
        cache_entry_clear(&got);
    }
    printf("cache: put 3 MiB %.1f ms, get 3 MiB %.2f ms\n", puts * 50, best * 1e3);
    start = seconds_now();
    for (unsigned i = 0; i < 10000; i++)
        assert_ok(put(cache, i, 10));
    printf("cache: 10000 small puts, %.0f us each\n", (seconds_now() - start) * 100);
    start = seconds_now();
    assert_ok(cache_list(cache, 50, NULL, &entries, &count, cursor, error, sizeof error));
    double page = seconds_now() - start;
    for (size_t i = 0; i < count; i++)
        cache_entry_clear(&entries[i]);
    free(entries);
    start = seconds_now();
    assert_ok(cache_list(cache, 20000, NULL, &entries, &count, cursor, error, sizeof error));
    double all = seconds_now() - start;
    ck_assert_uint_eq(count, 10020);
    for (size_t i = 0; i < count; i++)
        cache_entry_clear(&entries[i]);
    free(entries);
    printf("cache: list of 10020 entries, first 50 in %.2f ms, all in %.1f ms\n", page * 1e3, all * 1e3);
    cache_close(cache);
    cache = open_cache(60 << 20);
    start = seconds_now();
    assert_ok(put(cache, 2000000, 100000));
    double evicting = seconds_now() - start;
    start = seconds_now();
    assert_ok(put(cache, 2000001, 10));
    printf("cache: put that evicts among 10020 %.1f ms, next put %.1f ms\n", evicting * 1e3, (seconds_now() - start) * 1e3);
    start = seconds_now();
    assert_ok(cache_check(cache, error, sizeof error));
    printf("cache: check of 60 MiB %.0f ms\n", (seconds_now() - start) * 1e3);
    cache_close(cache);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cache");
    TCase *tests = tcase_create("cache");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, test_files_are_private_whatever_the_umask);
    tcase_add_test(tests, test_relative_path);
    tcase_add_test(tests, test_exact_bytes_come_back);
    tcase_add_test(tests, test_first_put_wins);
    tcase_add_test(tests, test_created_is_set_and_bad_entries_are_refused);
    tcase_add_test(tests, test_least_recently_used_goes_first);
    tcase_add_test(tests, test_list_pages_stay_while_entries_come_and_go);
    tcase_add_test(tests, test_entries_of_one_instant_keep_their_order);
    tcase_add_test(tests, test_delete_and_clear_leave_nothing_behind);
    tcase_add_test(tests, test_digests_are_believed_only_for_the_same_file);
    tcase_add_test(tests, test_shares_last_as_long_as_their_analysis);
    tcase_add_test(tests, test_a_file_of_version_1_is_brought_up);
    tcase_add_test(tests, test_probes);
    tcase_add_test(tests, test_threads);
    tcase_add_test(tests, test_two_programs_at_once);
    tcase_add_test(tests, test_killed_in_the_middle_of_puts);
    tcase_add_test(tests, test_locked_by_another_program);
    tcase_add_test(tests, test_speed);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
