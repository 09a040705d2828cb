/* check_npy.c: headers that NumPy reads. */
#include "server/npy.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <check.h>

static const struct {
    size_t shape[3], dimensions;
    const char *text;
} cases[] = {
    {{5}, 1, "(5,)"},
    {{0}, 1, "(0,)"},
    {{50, 49152}, 2, "(50, 49152)"},
    {{9, 8192, 8192}, 3, "(9, 8192, 8192)"},
    {{SIZE_MAX, SIZE_MAX, SIZE_MAX}, 3, "(18446744073709551615, 18446744073709551615, 18446744073709551615)"},
};

START_TEST(header) {
    char bytes[NPY_HEADER_SIZE + 1], want[200];
    bytes[NPY_HEADER_SIZE] = '\0';
    npy_header(bytes, cases[_i].shape, cases[_i].dimensions);
    ck_assert_mem_eq(bytes, "\x93NUMPY\x01\x00", 8);
    ck_assert_int_eq((unsigned char)bytes[8] + 256 * (unsigned char)bytes[9], NPY_HEADER_SIZE - 10);
    int size = snprintf(want, sizeof want, "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", cases[_i].text);
    ck_assert_mem_eq(bytes + 10, want, (size_t)size);
    ck_assert_uint_eq(strspn(bytes + 10 + size, " "), (size_t)(NPY_HEADER_SIZE - 10 - size - 1));
    ck_assert_int_eq(bytes[NPY_HEADER_SIZE - 1], '\n');
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("npy");
    TCase *t = tcase_create("headers");
    tcase_add_loop_test(t, header, 0, sizeof cases / sizeof cases[0]);
    suite_add_tcase(s, t);
    return s;
}

#include "tests/check_main.h"
