/* GGUF files: sound ones are read, every other one ends in a clear error. */
#include "engine/gguf.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/failing_malloc.h"
#include "tests/memory_limit.h"
#include "tests/gguf_writer.h"

static char error[256];

/* ---- a file with one value of each type and three tensors --------------------------------------------------- */

static const float floats[3] = {1, 2, 3};

static void put_sample(struct gguf_writer *writer) {
    static const char *const texts[] = {"one", "", "three"};
    static const int32_t integers[] = {-1, 0, 7};
    static const unsigned char nested[] = {9, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,                    /* two arrays: */
                                           0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3,           /* u8 [3] */
                                           8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'x'}; /* string [1] */
    unsigned char blocks[2 * 34];
    memset(blocks, 7, sizeof blocks);
    gguf_put_u32(writer, "u32", 4000000000u);
    gguf_put_u64(writer, "u64", UINT64_C(1) << 40);
    gguf_put_raw(writer, "u8", 0, "\xff", 1);
    gguf_put_raw(writer, "i8", 1, "\xff", 1);
    gguf_put_raw(writer, "u16", 2, "\xff\xff", 2);
    gguf_put_raw(writer, "i16", 3, "\xfe\xff", 2);
    gguf_put_raw(writer, "i32", 5, "\xfd\xff\xff\xff", 4);
    gguf_put_raw(writer, "i64", 11, "\xfc\xff\xff\xff\xff\xff\xff\xff", 8);
    gguf_put_raw(writer, "f64", 12, "\0\0\0\0\0\0\xf0\x3f", 8);
    gguf_put_f32(writer, "f32", 0.5f);
    gguf_put_bool(writer, "yes", true);
    gguf_put_string(writer, "text", "hello");
    gguf_put_strings(writer, "texts", texts, 3);
    gguf_put_i32s(writer, "integers", integers, 3);
    gguf_put_raw(writer, "nested", 9, nested, sizeof nested);
    gguf_put_tensor(writer, "vector", 0, 0, 3, floats, sizeof floats);
    gguf_put_tensor(writer, "blocks", 8, 2, 32, blocks, sizeof blocks);
    gguf_put_tensor(writer, "a", 0, 1, 3, floats, sizeof floats);
}

static unsigned char *sample(size_t *size) {
    struct gguf_writer writer;
    gguf_writer_start(&writer);
    put_sample(&writer);
    unsigned char *file = gguf_writer_finish(&writer, size);
    gguf_writer_drop(&writer);
    return file;
}

/* Opens an exact copy, so that AddressSanitizer sees a read behind the end; walks all that it holds. */
static enum engine_status try_bytes(const unsigned char *bytes, size_t size) {
    unsigned char *copy = malloc(size > 0 ? size : 1);
    ck_assert_ptr_nonnull(copy);
    if (size > 0) memcpy(copy, bytes, size);
    struct gguf *gguf = NULL;
    error[0] = '\0';
    enum engine_status status = gguf_open(copy, size, &gguf, error, sizeof error);
    if (status == ENGINE_OK) {
        size_t count;
        volatile unsigned sum = 0;
        const struct gguf_value *values = gguf_values(gguf, &count);
        for (size_t i = 0; i < count; i++) {
            struct gguf_cursor cursor = gguf_elements(&values[i]);
            struct gguf_string text;
            int64_t integer;
            double number;
            while (gguf_next_string(&cursor, &text) || gguf_next_integer(&cursor, &integer)) sum += 1;
            if (gguf_string(&values[i], &text) && text.size > 0) sum += (unsigned char)text.data[text.size - 1];
            if (gguf_number(&values[i], &number)) sum += number > 0;
        }
        const struct gguf_tensor *tensors = gguf_tensors(gguf, &count);
        for (size_t i = 0; i < count; i++) {
            const unsigned char *data = tensors[i].tensor.data;
            size_t bytes_of_all = tensors[i].tensor.rows * tensors[i].tensor.row_bytes;
            sum += data[0];
            sum += data[bytes_of_all - 1];
        }
        gguf_close(gguf);
    } else if (error[0] == '\0') {
        status = ENGINE_OK; /* an error must say something; the caller expects a failure */
    }
    free(copy);
    return status;
}

static bool is_clear(enum engine_status status) {
    return status == ENGINE_BROKEN || status == ENGINE_UNSUPPORTED;
}

/* ---- sound files ------------------------------------------------------------------------------------------- */

static void check_unsigned(const struct gguf *gguf, const char *key, uint64_t expected) {
    uint64_t result;
    ck_assert_msg(gguf_unsigned(gguf_find(gguf, key), &result) && result == expected, "%s", key);
}

static void check_number(const struct gguf *gguf, const char *key, double expected) {
    double result;
    ck_assert_msg(gguf_number(gguf_find(gguf, key), &result) && result == expected, "%s", key);
}

START_TEST(reads_values) {
    size_t size;
    unsigned char *file = sample(&size);
    struct gguf *gguf = NULL;
    ck_assert_msg(gguf_open(file, size, &gguf, error, sizeof error) == ENGINE_OK, "%s", error);
    check_unsigned(gguf, "u8", 255);
    check_unsigned(gguf, "u16", 65535);
    check_unsigned(gguf, "u32", 4000000000u);
    check_unsigned(gguf, "u64", UINT64_C(1) << 40);
    check_number(gguf, "i8", -1);
    check_number(gguf, "i16", -2);
    check_number(gguf, "i32", -3);
    check_number(gguf, "i64", -4);
    check_number(gguf, "f32", 0.5);
    check_number(gguf, "f64", 1);
    uint64_t integer;
    double number;
    bool flag = false;
    struct gguf_string text;
    ck_assert(!gguf_unsigned(gguf_find(gguf, "i8"), &integer));
    ck_assert(!gguf_unsigned(gguf_find(gguf, "f32"), &integer));
    ck_assert(!gguf_number(gguf_find(gguf, "text"), &number));
    ck_assert(!gguf_number(gguf_find(gguf, "integers"), &number));
    ck_assert(gguf_bool(gguf_find(gguf, "yes"), &flag) && flag);
    ck_assert(!gguf_bool(gguf_find(gguf, "u8"), &flag));
    ck_assert(gguf_string(gguf_find(gguf, "text"), &text) && gguf_string_is(text, "hello"));
    ck_assert(!gguf_string(gguf_find(gguf, "texts"), &text));
    struct gguf_cursor cursor = gguf_elements(gguf_find(gguf, "texts"));
    ck_assert(gguf_next_string(&cursor, &text) && gguf_string_is(text, "one"));
    ck_assert(gguf_next_string(&cursor, &text) && gguf_string_is(text, ""));
    ck_assert(gguf_next_string(&cursor, &text) && gguf_string_is(text, "three"));
    ck_assert(!gguf_next_string(&cursor, &text));
    cursor = gguf_elements(gguf_find(gguf, "integers"));
    int64_t element = 0;
    ck_assert(gguf_next_integer(&cursor, &element) && element == -1);
    ck_assert_ptr_null(gguf_find(gguf, "absent"));
    ck_assert_ptr_null(gguf_find(gguf, "u"));
    ck_assert_ptr_null(gguf_find(gguf, ""));
    gguf_close(gguf);
    gguf_close(NULL);
    free(file);
}
END_TEST

START_TEST(reads_tensors) {
    size_t size, count;
    unsigned char *file = sample(&size);
    struct gguf *gguf = NULL;
    ck_assert_int_eq(gguf_open(file, size, &gguf, error, sizeof error), ENGINE_OK);
    gguf_tensors(gguf, &count);
    ck_assert_uint_eq(count, 3);
    const struct gguf_tensor *vector = gguf_find_tensor(gguf, "vector"), *blocks = gguf_find_tensor(gguf, "blocks");
    ck_assert(vector->dimensions == 1 && vector->tensor.rows == 1 && vector->tensor.cols == 3);
    ck_assert_mem_eq(vector->tensor.data, floats, sizeof floats);
    ck_assert(blocks->dimensions == 2 && blocks->tensor.rows == 2 && blocks->tensor.cols == 32);
    ck_assert(blocks->tensor.type == TENSOR_Q8_0 && blocks->tensor.row_bytes == 34);
    ck_assert_uint_eq(((const unsigned char *)blocks->tensor.data)[67], 7);
    ck_assert_ptr_null(gguf_find_tensor(gguf, "b"));
    gguf_close(gguf);
    free(file);
}
END_TEST

START_TEST(reads_version_2_and_other_alignments) {
    for (uint32_t version = 1; version <= 4; version++) {
        for (uint32_t alignment = 4; alignment <= 4096; alignment *= 4) {
            struct gguf_writer writer;
            size_t size;
            gguf_writer_start(&writer);
            writer.version = version;
            writer.alignment = alignment;
            gguf_put_u32(&writer, "general.alignment", alignment);
            put_sample(&writer);
            unsigned char *file = gguf_writer_finish(&writer, &size);
            enum engine_status status = try_bytes(file, size);
            if (version == 1 || version == 4) ck_assert_int_eq(status, ENGINE_UNSUPPORTED);
            else ck_assert_int_eq(status, alignment < 8 ? ENGINE_BROKEN : ENGINE_OK);
            gguf_writer_drop(&writer);
            free(file);
        }
    }
}
END_TEST

/* ---- broken files ------------------------------------------------------------------------------------------ */

START_TEST(refuses_every_shortened_file) {
    size_t size;
    unsigned char *file = sample(&size);
    ck_assert_int_eq(try_bytes(file, size), ENGINE_OK);
    for (size_t cut = 0; cut < size; cut++)
        ck_assert_msg(is_clear(try_bytes(file, cut)), "cut at %zu of %zu", cut, size);
    free(file);
}
END_TEST

/* Every place of the header takes each extreme value, aligned or not: some of them are lengths, counts, offsets and types. The
 * file need not be refused (a value may be anything), but must be read safely and soon. */
START_TEST(survives_extreme_numbers) {
    static const uint64_t extremes[] = {0, 1, 2, 3, 0x7f, 0xff, 0x7fff, 0xffff, 1 << 20, INT32_MAX, UINT32_MAX, (uint64_t)UINT32_MAX + 1,
                                        INT64_MAX / 2, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX / 4, UINT64_MAX / 4 + 1,
                                        UINT64_MAX - 31, UINT64_MAX - 7, UINT64_MAX - 1, UINT64_MAX};
    size_t size;
    unsigned char *file = sample(&size), saved[8];
    unsigned refused = 0, tried = 0;
    limit_memory(64 << 20);
    for (size_t at = 0; at + 8 <= size; at++) {
        memcpy(saved, file + at, 8);
        for (size_t i = 0; i < sizeof extremes / sizeof extremes[0]; i++) {
            for (size_t width = 4; width <= 8; width += 4) {
                memcpy(file + at, &extremes[i], width);
                enum engine_status status = try_bytes(file, size);
                if (status == ENGINE_NO_MEMORY) ck_abort_msg("byte %zu as %#llx asks for too much memory", at, (unsigned long long)extremes[i]);
                refused += status != ENGINE_OK;
                tried++;
                memcpy(file + at, saved, 8);
            }
        }
    }
    printf("gguf: %u of %u extreme files refused\n", refused, tried);
    ck_assert_uint_gt(refused, tried / 4);
    free(file);
}
END_TEST

START_TEST(survives_flipped_bits) {
    size_t size;
    unsigned char *file = sample(&size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        file[bit / 8] ^= (unsigned char)(1 << bit % 8);
        try_bytes(file, size);
        file[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    free(file);
}
END_TEST

static enum engine_status try_writer(struct gguf_writer *writer) {
    size_t size;
    unsigned char *file = gguf_writer_finish(writer, &size);
    enum engine_status status = try_bytes(file, size);
    free(file);
    gguf_writer_drop(writer);
    return status;
}

START_TEST(refuses_duplicates) {
    struct gguf_writer writer;
    gguf_writer_start(&writer);
    gguf_put_u32(&writer, "twice", 1);
    gguf_put_u32(&writer, "once", 1);
    gguf_put_string(&writer, "twice", "x");
    ck_assert_int_eq(try_writer(&writer), ENGINE_BROKEN);
    ck_assert_ptr_nonnull(strstr(error, "key twice"));
    gguf_put_tensor(&writer, "same", 0, 0, 3, floats, sizeof floats);
    gguf_put_tensor(&writer, "other", 0, 0, 3, floats, sizeof floats);
    gguf_put_tensor(&writer, "same", 0, 0, 3, floats, sizeof floats);
    ck_assert_int_eq(try_writer(&writer), ENGINE_BROKEN);
    ck_assert_ptr_nonnull(strstr(error, "tensor same"));
}
END_TEST

START_TEST(refuses_tensor_types_by_name) {
    static const struct { uint32_t type; const char *name; } types[] = {
        {9, "Q8_1"}, {16, "IQ2_XXS"}, {23, "IQ4_XS"}, {20, "IQ4_NL"}, {28, "F64"}, {39, "MXFP4"}, {1000, "unknown"}, {UINT32_MAX, "unknown"},
    };
    unsigned char bytes[512] = {0};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct gguf_writer writer;
        gguf_writer_start(&writer);
        gguf_put_tensor(&writer, "some.weight", types[i].type, 1, 256, bytes, sizeof bytes);
        ck_assert_int_eq(try_writer(&writer), ENGINE_UNSUPPORTED);
        ck_assert_msg(strstr(error, types[i].name) != NULL && strstr(error, "some.weight") != NULL, "%s", error);
    }
}
END_TEST

START_TEST(says_what_is_no_gguf_file) {
    ck_assert_int_eq(try_bytes((const unsigned char *)"{\"a\":1}", 7), ENGINE_BROKEN);
    ck_assert_ptr_nonnull(strstr(error, "not a GGUF file"));
    ck_assert_int_eq(try_bytes((const unsigned char *)"GGUF\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24), ENGINE_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error, "big-endian"));
    ck_assert_int_eq(try_bytes((const unsigned char *)"", 0), ENGINE_BROKEN);
}
END_TEST

START_TEST(limits_nesting) {
    unsigned char nested[12 * 2000];
    for (size_t i = 0; i < sizeof nested; i++) nested[i] = (const unsigned char[12]){9, 0, 0, 0, 1}[i % 12];
    struct gguf_writer writer;
    gguf_writer_start(&writer);
    gguf_put_raw(&writer, "deep", 9, nested, sizeof nested);
    ck_assert_int_eq(try_writer(&writer), ENGINE_BROKEN);
    ck_assert_ptr_nonnull(strstr(error, "nests"));
}
END_TEST

/* Messages go into JSON and onto terminals. */
START_TEST(quotes_hostile_names_safely) {
    struct gguf_writer writer;
    gguf_writer_start(&writer);
    gguf_put_tensor(&writer, "a\x1b[31m\n\xff\xc2\x9b\xc3\xa9\xc3", 20, 1, 256, floats, sizeof floats);
    ck_assert_int_eq(try_writer(&writer), ENGINE_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error, "a?[31m????\xc3\xa9?"));
}
END_TEST

START_TEST(opens_many_keys_and_tensors_soon) {
    struct gguf_writer writer;
    gguf_writer_start(&writer);
    for (int i = 0; i < 60000; i++) {
        char name[32];
        snprintf(name, sizeof name, "key.%d", i * 7919 % 60000);
        gguf_put_u32(&writer, name, 1);
        gguf_put_tensor(&writer, name, 0, 0, 3, floats, sizeof floats);
    }
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    ck_assert_int_eq(try_writer(&writer), ENGINE_OK);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("gguf: 60000 keys and tensors in %.3f s\n",
           (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec));
}
END_TEST

START_TEST(survives_every_failing_allocation) {
    size_t size;
    unsigned char *file = sample(&size);
    for (long turn = 0;; turn++) {
        struct gguf *gguf = NULL;
        failing_malloc_after(turn);
        enum engine_status status = gguf_open(file, size, &gguf, error, sizeof error);
        if (!failing_malloc_stop()) {
            ck_assert_int_eq(status, ENGINE_OK);
            ck_assert_int_ge(turn, 4);
            gguf_close(gguf);
            break;
        }
        ck_assert_int_eq(status, ENGINE_NO_MEMORY);
        ck_assert_ptr_null(gguf);
    }
    free(file);
}
END_TEST

static Suite *suite(void) {
    Suite *all = suite_create("gguf");
    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 120);
    tcase_add_test(files, reads_values);
    tcase_add_test(files, reads_tensors);
    tcase_add_test(files, reads_version_2_and_other_alignments);
    tcase_add_test(files, refuses_every_shortened_file);
    tcase_add_test(files, survives_extreme_numbers);
    tcase_add_test(files, survives_flipped_bits);
    tcase_add_test(files, refuses_duplicates);
    tcase_add_test(files, refuses_tensor_types_by_name);
    tcase_add_test(files, says_what_is_no_gguf_file);
    tcase_add_test(files, limits_nesting);
    tcase_add_test(files, quotes_hostile_names_safely);
    tcase_add_test(files, opens_many_keys_and_tensors_soon);
    tcase_add_test(files, survives_every_failing_allocation);
    suite_add_tcase(all, files);
    return all;
}

#include "tests/check_main.h"
