/* check_pool.c: every worker runs every round once, at any number of threads, also after a rest. */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/pool.h"

struct tally {
    _Atomic int calls[64];
    _Atomic int next;
    int done[1000];
};

static void work(void *context, int worker) {
    struct tally *tally = context;
    atomic_fetch_add(&tally->calls[worker], 1);
    for (int task; (task = atomic_fetch_add(&tally->next, 1)) < 1000;) tally->done[task]++;
}

START_TEST(rounds) {
    static const int threads[] = {1, 2, 3, 8, 40};
    struct pool *pool = pool_create(threads[_i]);
    ck_assert_ptr_nonnull(pool);
    ck_assert_int_eq(pool_threads(pool), threads[_i]);
    struct tally *tally = calloc(1, sizeof *tally);
    int count = threads[_i] > 8 ? 60 : 300; /* more threads than cores: the more rest between them */
    for (int round = 1; round <= count; round++) {
        atomic_store(&tally->next, 0);
        pool_run(pool, work, tally);
        for (int w = 0; w < threads[_i]; w++) ck_assert_int_eq(atomic_load(&tally->calls[w]), round);
        for (int task = 0; task < 1000; task++)
            if (tally->done[task] != round) ck_abort_msg("task %d was done %d times in %d rounds", task, tally->done[task], round);
        if (round % 30 == 0) usleep(5000); /* long enough to fall asleep */
    }
    free(tally);
    pool_destroy(pool);
}
END_TEST

struct outer {
    struct pool *pool;
    struct tally *inner;
    _Atomic int calls;
};

static void work_within(void *context, int worker) {
    struct outer *outer = context;
    atomic_fetch_add(&outer->calls, 1);
    if (worker == 0) pool_run(outer->pool, work, outer->inner);
}

/* Worker 0 does all of it alone, and the round around it ends as ever. */
START_TEST(a_round_within_a_round) {
    struct pool *pool = pool_create(3);
    struct tally *tally = calloc(1, sizeof *tally);
    for (int round = 1; round <= 50; round++) {
        struct outer outer = {.pool = pool, .inner = tally};
        atomic_store(&tally->next, 0);
        pool_run(pool, work_within, &outer);
        ck_assert_int_eq(atomic_load(&outer.calls), 3);
        ck_assert_int_eq(atomic_load(&tally->calls[0]), round);
        ck_assert_int_eq(atomic_load(&tally->calls[1]) + atomic_load(&tally->calls[2]), 0);
        for (int task = 0; task < 1000; task++) ck_assert_int_eq(tally->done[task], round);
    }
    free(tally);
    pool_destroy(pool);
}
END_TEST

START_TEST(idle_pools_end) {
    for (int i = 0; i < 50; i++) pool_destroy(pool_create(1 + i % 5));
    pool_destroy(NULL);
    ck_assert_int_ge(pool_cores(), 1);
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("pool");
    TCase *c = tcase_create("pool");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, rounds, 0, 5);
    tcase_add_test(c, a_round_within_a_round);
    tcase_add_test(c, idle_pools_end);
    suite_add_tcase(suite, c);
    return suite;
}

#include "tests/check_main.h"
