/* cache_help.h: what check_cache.c and check_cache_faults.c share: a folder of their own, entries made from a number. */
#ifndef HEADSCOPE_TESTS_CACHE_HELP_H
#define HEADSCOPE_TESTS_CACHE_HELP_H

#include "db/cache.h"

#include <check.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char folder[PATH_MAX];   /* made before each test, removed after it */
static char path[PATH_MAX + 32]; /* folder/cache.db, not there yet */
static char error[1024];

static const char *folder_base = "/tmp"; /* unless $TMPDIR is set */

static void make_folder(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/check_cache.XXXXXX", base ? base : folder_base);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/cache.db", folder);
}

static int remove_one(const char *name, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(name);
}

static void remove_folder(void) {
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct cache *open_cache(uint64_t max_bytes) {
    struct cache *cache = NULL;
    enum cache_status status = cache_open(&(struct cache_options){.path = path, .max_bytes = max_bytes}, &cache, error, sizeof error);
    ck_assert_msg(status == CACHE_OK, "open: %d, %s", status, error);
    return cache;
}

static inline enum cache_status try_open(void) {
    struct cache *cache = NULL;
    error[0] = '\0';
    enum cache_status status = cache_open(&(struct cache_options){.path = path}, &cache, error, sizeof error);
    ck_assert(status == CACHE_OK ? cache != NULL : cache == NULL && error[0]);
    cache_close(cache);
    return status;
}

static inline const char *make_id(unsigned number) {
    static _Thread_local char id[65];
    snprintf(id, sizeof id, "%064x", number);
    return id;
}

/* Entry `number`: its bytes follow from its number and size alone, NULs and all. */
static inline struct cache_entry make_entry(unsigned number, size_t size) {
    char excerpt[64];
    snprintf(excerpt, sizeof excerpt, "text %u, \xc3\xa9\xf0\x9f\x99\x82", number);
    struct cache_entry entry = {.id = strdup(make_id(number)), .model = strdup("smollm2-135m-instruct"), .model_digest = strdup(make_id(7)),
                                .n_tokens = number, .excerpt = strdup(excerpt), .seconds = number / 8.0,
                                .created = 1700000000000 + number, .lines = malloc(size + 1), .lines_size = size};
    uint32_t state = number * 2654435761u + (uint32_t)size;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        entry.lines[i] = (char)(state >> 24);
    }
    return entry;
}

static inline enum cache_status put(struct cache *cache, unsigned number, size_t size) {
    struct cache_entry entry = make_entry(number, size);
    error[0] = '\0';
    enum cache_status status = cache_put(cache, &entry, error, sizeof error);
    ck_assert(status == CACHE_OK || error[0]);
    cache_entry_clear(&entry);
    return status;
}

/* Gets entry `number` and, when it is there, holds it against what was put. */
static inline enum cache_status get(struct cache *cache, unsigned number, size_t size) {
    struct cache_entry got = {0};
    error[0] = '\0';
    enum cache_status status = cache_get(cache, make_id(number), &got, error, sizeof error);
    if (status != CACHE_OK) {
        ck_assert(error[0]);
        ck_assert_ptr_null(got.lines);
        return status;
    }
    struct cache_entry want = make_entry(number, size);
    ck_assert_str_eq(got.id, want.id);
    ck_assert_str_eq(got.model, want.model);
    ck_assert_str_eq(got.model_digest, want.model_digest);
    ck_assert_str_eq(got.excerpt, want.excerpt);
    ck_assert_uint_eq(got.n_tokens, want.n_tokens);
    ck_assert(got.seconds == want.seconds);
    ck_assert_int_eq(got.created, want.created);
    ck_assert_uint_eq(got.lines_size, size);
    ck_assert(memcmp(got.lines, want.lines, size) == 0);
    cache_entry_clear(&want);
    cache_entry_clear(&got);
    return status;
}

static inline double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#define assert_ok(call)                                                                                                                  \
    do {                                                                                                                                 \
        enum cache_status status_ = (call);                                                                                              \
        ck_assert_msg(status_ == CACHE_OK, "%s: %d, %s", #call, status_, error);                                                            \
    } while (0)

#define assert_status(call, wanted)                                                                                                      \
    do {                                                                                                                                 \
        enum cache_status status_ = (call);                                                                                              \
        ck_assert_msg(status_ == (wanted), "%s: %d instead of %s, %s", #call, status_, #wanted, error);                                     \
    } while (0)

#endif
