/* check_reserve.c: blocks do not overlap and keep their contents whatever is taken, given back and touched between; limits hold; no
 * failure of the system is more than a NULL. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/reserve.h"
#include "tests/failing_malloc.h"

enum { PAGE = 2 << 20 };

static long mappings, moves; /* since the test began */
static bool no_mappings, no_moves;

void *__real_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__real_mremap(void *address, size_t size, size_t new_size, int flags, void *place);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mremap(void *address, size_t size, size_t new_size, int flags, void *place);

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    mappings++;
    return no_mappings ? MAP_FAILED : __real_mmap64(address, size, protection, flags, file, offset);
}

void *__wrap_mremap(void *address, size_t size, size_t new_size, int flags, void *place) {
    moves++;
    return no_moves ? MAP_FAILED : __real_mremap(address, size, new_size, flags, place);
}

static void *take(struct reserve *reserve, size_t bytes) {
    void *block = reserve_take(reserve, bytes);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq((uintptr_t)block % 64, 0);
    return block;
}

static void touch_all(struct reserve *reserve) {
    while (reserve_touch(reserve)) continue;
}

START_TEST(small_blocks_come_from_malloc) {
    struct reserve *reserve = reserve_create(PAGE);
    long before = mappings;
    for (size_t bytes = 0; bytes < PAGE; bytes = bytes * 3 + 1) {
        char *block = take(reserve, bytes);
        memset(block, 1, bytes);
        reserve_give(reserve, block, bytes);
        ck_assert_uint_ge(reserve_block_size(bytes), bytes);
    }
    reserve_give(reserve, NULL, 5);
    reserve_give(reserve, NULL, 5 * PAGE);
    ck_assert_int_eq(mappings, before);
    ck_assert_uint_eq(reserve_bytes(reserve), 0);
    reserve_release(reserve);
    reserve_release(NULL);
}
END_TEST

START_TEST(what_is_given_back_is_taken_again) {
    struct reserve *reserve = reserve_create(8 * PAGE);
    char *block = take(reserve, 4 * PAGE - 100);
    reserve_give(reserve, block, 4 * PAGE - 100);
    ck_assert_uint_eq(reserve_bytes(reserve), 4 * PAGE);
    long before = mappings;
    char *first = take(reserve, PAGE), *second = take(reserve, 3 * PAGE);
    ck_assert_ptr_eq(first, block);
    ck_assert_ptr_eq(second, block + PAGE);
    ck_assert_int_eq(mappings, before);
    ck_assert_uint_eq(reserve_bytes(reserve), 0);
    reserve_give(reserve, second, 3 * PAGE); /* neighbours join */
    reserve_give(reserve, first, PAGE);
    ck_assert_ptr_eq(take(reserve, 4 * PAGE), block);
    ck_assert_int_eq(mappings, before);
    reserve_give(reserve, block, 4 * PAGE);
    reserve_release(reserve);
}
END_TEST

START_TEST(a_region_grows) {
    struct reserve *reserve = reserve_create(8 * PAGE);
    reserve_give(reserve, take(reserve, 3 * PAGE), 3 * PAGE);
    no_moves = _i == 1; /* then all of it is fresh */
    char *block = take(reserve, 6 * PAGE);
    memset(block, 7, 6 * PAGE);
    ck_assert_int_eq(moves, 1);
    ck_assert_uint_eq(reserve_bytes(reserve), _i == 1 ? 3 * PAGE : 0);
    reserve_give(reserve, block, 6 * PAGE);
    reserve_release(reserve);
}
END_TEST

START_TEST(no_more_is_held_than_allowed) {
    struct reserve *reserve = reserve_create(5 * PAGE + 17);
    void *blocks[4];
    for (int i = 0; i < 4; i++) blocks[i] = take(reserve, 2 * PAGE);
    for (int i = 0; i < 4; i++) {
        reserve_give(reserve, blocks[i], 2 * PAGE);
        ck_assert_uint_le(reserve_bytes(reserve), 5 * PAGE);
    }
    ck_assert_uint_eq(reserve_bytes(reserve), 5 * PAGE);
    reserve_give(reserve, take(reserve, 9 * PAGE), 9 * PAGE);
    ck_assert_uint_eq(reserve_bytes(reserve), 5 * PAGE);
    reserve_shrink(reserve, 3 * PAGE - 1);
    ck_assert_uint_eq(reserve_bytes(reserve), 2 * PAGE);
    reserve_release(reserve);

    reserve = reserve_create(0);
    reserve_expect(reserve, 9 * PAGE);
    ck_assert(!reserve_touch(reserve));
    reserve_give(reserve, take(reserve, 9 * PAGE), 9 * PAGE);
    ck_assert_uint_eq(reserve_bytes(reserve), 0);
    reserve_release(reserve);
}
END_TEST

START_TEST(what_is_expected_is_touched) {
    struct reserve *reserve = reserve_create(8 * PAGE);
    ck_assert(!reserve_touch(reserve));
    reserve_expect(reserve, 3 * PAGE + 5);
    for (int i = 0; i < 3; i++) ck_assert(reserve_touch(reserve));
    ck_assert(!reserve_touch(reserve));
    ck_assert_uint_eq(reserve_bytes(reserve), 3 * PAGE);
    reserve_expect(reserve, 100 * (uint64_t)PAGE); /* as much as it may */
    ck_assert(reserve_touch(reserve));
    ck_assert_uint_eq(reserve_bytes(reserve), 8 * PAGE);
    char *block = take(reserve, 7 * PAGE); /* in the middle of it */
    memset(block, 3, 7 * PAGE);
    touch_all(reserve);
    for (size_t i = 0; i < 7 * PAGE; i += 4096) ck_assert(block[i] == 3);
    ck_assert_uint_eq(reserve_bytes(reserve), 8 * PAGE);
    reserve_give(reserve, block, 7 * PAGE);
    reserve_release(reserve);
}
END_TEST

/* As many blocks as a busy server has, of all sizes, each filled with a number of its own. */
START_TEST(blocks_keep_their_contents) {
    enum { BLOCKS = 12, ROUNDS = 120 };
    struct reserve *reserve = reserve_create(20 * PAGE), *held = reserve_retain(reserve);
    unsigned char *block[BLOCKS] = {0};
    size_t size[BLOCKS];
    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        int b = rand() % BLOCKS;
        no_mappings = rand() % 8 == 0;
        no_moves = rand() % 4 == 0;
        if (block[b]) {
            for (size_t i = 0; i < size[b]; i += 4096) ck_assert(block[b][i] == b + 1);
            ck_assert(block[b][size[b] - 1] == b + 1);
            reserve_give(reserve, block[b], size[b]);
            block[b] = NULL;
        } else {
            size[b] = 1 + (size_t)rand() % (3 * PAGE);
            block[b] = reserve_take(reserve, size[b]);
            for (size_t i = 0; block[b] && i < size[b]; i += 4096) block[b][i] = (unsigned char)(b + 1);
            if (block[b]) block[b][size[b] - 1] = (unsigned char)(b + 1);
            reserve_expect(reserve, size[b] * 2);
        }
        if (rand() % 3 == 0) reserve_touch(reserve);
        if (rand() % 50 == 0) reserve_shrink(reserve, (uint64_t)(rand() % 20) * PAGE);
        ck_assert_uint_le(reserve_bytes(reserve), 20 * PAGE);
    }
    no_mappings = no_moves = false;
    reserve_release(held);
    for (int b = 0; b < BLOCKS; b++) reserve_give(reserve, block[b], block[b] ? size[b] : 0);
    reserve_release(reserve);
}
END_TEST

START_TEST(failures_are_null) {
    struct reserve *reserve = NULL;
    failing_malloc_after(0);
    ck_assert_ptr_null(reserve_create(PAGE));
    failing_malloc_stop();
    ck_assert_ptr_nonnull(reserve = reserve_create(4 * PAGE));
    no_mappings = true;
    ck_assert_ptr_null(reserve_take(reserve, PAGE));
    reserve_expect(reserve, PAGE);
    ck_assert(!reserve_touch(reserve));
    failing_malloc_after(0);
    ck_assert_ptr_null(reserve_take(reserve, 100));
    failing_malloc_stop();
    no_mappings = false;
    reserve_give(reserve, take(reserve, PAGE), PAGE);
    reserve_release(reserve);
}
END_TEST

static void begin(void) {
    no_mappings = no_moves = false;
    mappings = moves = 0;
}

static Suite *suite(void) {
    Suite *suite = suite_create("reserve");
    TCase *cases = tcase_create("reserve");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, begin, NULL);
    tcase_add_test(cases, small_blocks_come_from_malloc);
    tcase_add_test(cases, what_is_given_back_is_taken_again);
    tcase_add_loop_test(cases, a_region_grows, 0, 2);
    tcase_add_test(cases, no_more_is_held_than_allowed);
    tcase_add_test(cases, what_is_expected_is_touched);
    tcase_add_test(cases, blocks_keep_their_contents);
    tcase_add_test(cases, failures_are_null);
    suite_add_tcase(suite, cases);
    return suite;
}

#include "tests/check_main.h"
