/* The hash table against a plain list. */
#include "engine/table.h"

#include <check.h>
#include <stdlib.h>

#include "tests/failing_malloc.h"

START_TEST(finds_what_was_added) {
    enum { ENTRIES = 5000 };
    struct table *table = table_create(ENTRIES);
    uint32_t value, missing = 0, wrong = 0;
    for (uint32_t i = 0; i < ENTRIES; i++) table_add(table, (uint64_t)i << (i % 40), i); /* keys 0 and low bits of 0 too */
    for (uint32_t i = 0; i < ENTRIES; i++) {
        bool found = false;
        for (size_t probe = 0; table_next(table, (uint64_t)i << (i % 40), &probe, &value);) {
            found |= value == i;
            wrong += (uint64_t)value << (value % 40) != (uint64_t)i << (i % 40);
        }
        missing += !found;
    }
    ck_assert_uint_eq(missing, 0);
    ck_assert_uint_eq(wrong, 0);
    ck_assert(!table_find(table, UINT64_MAX, &value));
    table_destroy(table);
    table_destroy(NULL);
}
END_TEST

START_TEST(keeps_every_value_of_a_key) {
    struct table *table = table_create(100);
    uint32_t value, seen = 0;
    for (uint32_t i = 0; i < 50; i++) {
        table_add(table, 42, i);
        table_add(table, i, 1000);
    }
    for (size_t probe = 0; table_next(table, 42, &probe, &value);) seen += value != 1000;
    ck_assert_uint_eq(seen, 50);
    table_destroy(table);
}
END_TEST

START_TEST(hashes_every_byte_and_the_size) {
    struct table *table = table_create(1);
    unsigned char bytes[24] = {0};
    uint64_t hashes[8 * 24 + 25];
    size_t count = 0, same = 0;
    for (size_t size = 0; size <= sizeof bytes; size++) hashes[count++] = table_hash(table, bytes, size);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        hashes[count++] = table_hash(table, bytes, sizeof bytes);
        bytes[bit / 8] = 0;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) same += hashes[i] == hashes[j];
    ck_assert_uint_eq(same, 0);
    table_destroy(table);
}
END_TEST

START_TEST(refuses_sizes_that_do_not_fit) {
    ck_assert_ptr_null(table_create(SIZE_MAX));
    ck_assert_ptr_null(table_create(SIZE_MAX / 16));
    for (long turn = 0; turn < 2; turn++) {
        failing_malloc_after(turn);
        ck_assert_ptr_null(table_create(10));
        ck_assert(failing_malloc_stop());
    }
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("table");
    TCase *tables = tcase_create("tables");
    tcase_add_test(tables, finds_what_was_added);
    tcase_add_test(tables, keeps_every_value_of_a_key);
    tcase_add_test(tables, hashes_every_byte_and_the_size);
    tcase_add_test(tables, refuses_sizes_that_do_not_fit);
    suite_add_tcase(all, tables);
    return all;
}

#include "tests/check_main.h"
