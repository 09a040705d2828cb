/*
 * gguf.h: reads GGUF files, versions 2 and 3, little-endian: named values and named tensors. Knows no model.
 *
 * The bytes are hostile: every size, offset, count, type and nesting is checked against the bytes that remain before it is
 * used, and checked again by the cursors (the file may be overwritten while it is mapped). Takes time in proportion to the
 * header, and memory in proportion to the number of keys and tensors, both limited.
 *
 * Nothing is copied: keys, values and names point into the bytes given to gguf_open, which must outlive the gguf.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
#ifndef HEADSCOPE_ENGINE_GGUF_H
#define HEADSCOPE_ENGINE_GGUF_H

#include "engine/model.h"

/* The file's own numbers. */
enum gguf_type {
    GGUF_UINT8, GGUF_INT8, GGUF_UINT16, GGUF_INT16, GGUF_UINT32, GGUF_INT32, GGUF_FLOAT32, GGUF_BOOL, GGUF_STRING,
    GGUF_ARRAY, GGUF_UINT64, GGUF_INT64, GGUF_FLOAT64,
    GGUF_TYPE_COUNT
};

enum { GGUF_DIMENSIONS = 4 };

/* Not terminated by a NUL, any bytes. */
struct gguf_string {
    const char *data;
    size_t size;
};

struct gguf_value {
    struct gguf_string key;
    enum gguf_type type;    /* of an array: of its elements */
    bool array;
    size_t count;           /* elements; 1 for what is no array */
    const unsigned char *data, *end; /* the first element, and the end of the file's header */
};

struct gguf_tensor {
    struct gguf_string name;
    int dimensions;
    size_t shape[GGUF_DIMENSIONS]; /* outermost first: the file's own order from its end */
    struct tensor tensor; /* rows: all dimensions but the first, multiplied */
};

struct gguf;

/* ENGINE_BROKEN for what no sound file holds; ENGINE_UNSUPPORTED for versions and tensor types that are not read here. */
enum engine_status gguf_open(const unsigned char *bytes, size_t size, struct gguf **gguf, char *error, size_t error_size);
void gguf_close(struct gguf *gguf); /* NULL is fine */

/* In the order of the keys' and names' bytes. */
const struct gguf_value *gguf_values(const struct gguf *gguf, size_t *count);
const struct gguf_tensor *gguf_tensors(const struct gguf *gguf, size_t *count);

/* NULL where there is none. O(log n). */
const struct gguf_value *gguf_find(const struct gguf *gguf, const char *key);
const struct gguf_tensor *gguf_find_tensor(const struct gguf *gguf, const char *name);

/* What a value that is no array holds. False, and *result left alone, where it is of another kind or out of range. */
bool gguf_unsigned(const struct gguf_value *value, uint64_t *result); /* any integer >= 0 */
bool gguf_number(const struct gguf_value *value, double *result);     /* any integer or float */
bool gguf_bool(const struct gguf_value *value, bool *result);
bool gguf_string(const struct gguf_value *value, struct gguf_string *result);

/* Walks an array's elements in order. */
struct gguf_cursor {
    enum gguf_type type;
    size_t left;
    const unsigned char *at, *end;
};
struct gguf_cursor gguf_elements(const struct gguf_value *array);
bool gguf_next_string(struct gguf_cursor *cursor, struct gguf_string *result);
bool gguf_next_integer(struct gguf_cursor *cursor, int64_t *result);
bool gguf_next_number(struct gguf_cursor *cursor, double *result); /* any integer or float */

bool gguf_string_is(struct gguf_string string, const char *text);

/* "Q4_1", also for types that are not read here; "unknown" for a number that no type has. */
const char *gguf_tensor_type_name(uint32_t type);

#endif
