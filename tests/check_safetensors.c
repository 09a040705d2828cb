/* check_safetensors.c: the reader against sound files, every truncation, extremes in every number, and broken headers. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/safetensors.h"
#include "tests/memory_limit.h"

static char error[512];

/* A copy of exactly this size, so that a read beyond it is seen. */
static enum engine_status try_file(const void *bytes, size_t size, struct safetensors **opened) {
    unsigned char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    struct safetensors *result = NULL;
    enum engine_status status = safetensors_open(copy, size, &result, error, sizeof error);
    if (status == ENGINE_OK) {
        size_t count, sum = 0;
        const struct safetensors_tensor *tensors = safetensors_tensors(result, &count);
        for (size_t i = 0; i < count; i++)
            for (size_t b = 0; b < tensors[i].bytes; b++) sum += tensors[i].data[b];
        ck_assert_uint_lt(sum, SIZE_MAX);
    }
    if (opened && status == ENGINE_OK) {
        *opened = result; /* the test reads no name or data of it */
    } else {
        safetensors_close(result);
    }
    free(copy);
    return status;
}

static size_t make_file(unsigned char *file, const char *header, size_t data) {
    size_t length = strlen(header);
    for (int i = 0; i < 8; i++) file[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < data; i++) file[8 + length + i] = (unsigned char)i;
    return 8 + length + data;
}

static enum engine_status try_header(const char *header, size_t data) {
    unsigned char file[4096];
    return try_file(file, make_file(file, header, data), NULL);
}

static const char sound[] = "{\"__metadata__\":{\"format\":\"pt\",\"a\\\"b\":\"\\\\\"},\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],"
                            "\"data_offsets\":[4,28]},\"a\":{\"shape\":[2],\"dtype\":\"BF16\",\"data_offsets\":[0,4]},"
                            "\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[28,36]}}   ";

START_TEST(reads_a_sound_file) {
    unsigned char file[1024];
    size_t size = make_file(file, sound, 36), count;
    struct safetensors *opened = NULL;
    ck_assert_msg(safetensors_open(file, size, &opened, error, sizeof error) == ENGINE_OK, "%s", error);
    const struct safetensors_tensor *t = safetensors_tensors(opened, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert(t[0].name_size == 1 && t[0].name[0] == 'a' && t[1].name[0] == 'b' && t[2].name[0] == 'c');
    ck_assert_str_eq(t[0].dtype, "BF16");
    ck_assert_int_eq(t[0].data[0], 0);
    ck_assert_int_eq(t[1].data[0], 4);
    ck_assert_int_eq(t[2].data[0], 28);
    ck_assert(t[1].dimensions == 2 && t[1].shape[0] == 2 && t[1].shape[1] == 3 && t[1].bytes == 24);
    ck_assert(t[2].dimensions == 0 && t[2].bytes == 8);
    safetensors_close(opened);
    ck_assert_int_eq(try_header("{}", 0), ENGINE_OK);
    ck_assert_int_eq(try_header("{\"z\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[0,0]}}", 0), ENGINE_OK);
}
END_TEST

START_TEST(refuses_every_truncation) {
    unsigned char file[1024];
    size_t size = make_file(file, sound, 36);
    for (size_t cut = 0; cut < size; cut++) {
        ck_assert_msg(try_file(file, cut, NULL) == ENGINE_BROKEN, "cut at %zu", cut);
        ck_assert_uint_gt(strlen(error), 20);
    }
    file[size] = 0;
    ck_assert_int_eq(try_file(file, size + 1, NULL), ENGINE_BROKEN); /* a tail */
}
END_TEST

/* The length of the header, and every number in it. */
START_TEST(refuses_extreme_numbers) {
    static const uint64_t extremes[] = {0, 1, 7, 0x7f, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 1ull << 61, 1ull << 62,
                                        1ull << 63, UINT64_MAX - 8, UINT64_MAX - 1, UINT64_MAX};
    unsigned char file[1024];
    size_t size = make_file(file, sound, 36), refused = 0, tried = 0;
    limit_memory(64 << 20);
    for (size_t e = 0; e < sizeof extremes / sizeof extremes[0]; e++) {
        for (int i = 0; i < 8; i++) file[i] = (unsigned char)(extremes[e] >> (8 * i));
        ck_assert_int_eq(try_file(file, size, NULL), ENGINE_BROKEN);
        for (const char *digit = strpbrk(strstr(sound, "\"b\""), "0123456789"); digit; digit = strpbrk(digit, "0123456789")) {
            size_t length = strspn(digit, "0123456789");
            if (digit[-1] == '[' || digit[-1] == ',') { /* a number, not a part of a name */
                char header[1024];
                snprintf(header, sizeof header, "%.*s%llu%s", (int)(digit - sound), sound, (unsigned long long)extremes[e], digit + length);
                bool same = strcmp(header, sound) == 0;
                ck_assert_int_eq(try_header(header, 36), same ? ENGINE_OK : ENGINE_BROKEN);
                refused += !same;
                tried++;
            }
            digit += length;
        }
    }
    printf("safetensors: %zu of %zu extreme headers refused\n", refused, tried);
}
END_TEST

START_TEST(survives_any_changed_byte) {
    unsigned char file[1024];
    size_t size = make_file(file, sound, 36), read = 0;
    for (size_t at = 0; at < size - 36; at++)
        for (int value = 0; value < 256; value++) {
            unsigned char was = file[at];
            file[at] = (unsigned char)value;
            read += try_file(file, size, NULL) == ENGINE_OK;
            file[at] = was;
        }
    ck_assert_uint_gt(read, 0); /* a name may be any */
}
END_TEST

START_TEST(refuses_what_the_format_forbids) {
    static const struct { const char *header; size_t data; const char *says; } cases[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", 12, "b begins"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "b begins"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "a twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "begins"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, "belong to no tensor"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype, shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "dtype, shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "end of a list"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[01],\"data_offsets\":[0,4]}}", 4, "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "end of a list"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[[1]],\"data_offsets\":[0,4]}}", 4, "whole number"},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "name"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "string"},
        {" {}", 0, "brace"},
        {"{}x", 0, "space"},
        {"", 0, "brace"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(try_header(cases[i].header, cases[i].data) == ENGINE_BROKEN, "%s", cases[i].header);
        ck_assert_msg(strstr(error, cases[i].says) != NULL, "%s: %s", cases[i].header, error);
    }
    ck_assert_int_eq(try_header("{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1), ENGINE_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error, "F4"));
    ck_assert_int_eq(try_header("{\"\\u0061\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4), ENGINE_UNSUPPORTED);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("safetensors");
    TCase *c = tcase_create("files");
    tcase_add_test(c, reads_a_sound_file);
    tcase_add_test(c, refuses_every_truncation);
    tcase_add_test(c, refuses_extreme_numbers);
    tcase_add_test(c, survives_any_changed_byte);
    tcase_add_test(c, refuses_what_the_format_forbids);
    suite_add_tcase(s, c);
    return s;
}

#include "tests/check_main.h"
