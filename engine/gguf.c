#include "engine/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "engine/checked.h"
#include "engine/failure.h"

/* Real files have a few dozen keys and a few thousand tensors. */
enum { KEYS_MAX = 1 << 16, TENSORS_MAX = 1 << 16, KEY_SIZE_MAX = 1 << 16, NESTING_MAX = 4 };

/* The least bytes that a value (length, key of one byte, type, one byte) and a tensor (length, name, dimensions, one of them,
 * type, offset) take: what a count is held against before memory is taken for it. */
enum { VALUE_SIZE_MIN = 8 + 1 + 4 + 1, TENSOR_SIZE_MIN = 8 + 1 + 4 + 8 + 4 + 8 };

struct gguf {
    struct gguf_value *values;
    size_t value_count;
    struct gguf_tensor *tensors;
    size_t tensor_count;
};

/* One pass over the header. The first failure writes `error` and sets `status`; everything after it does nothing. */
struct reader {
    const unsigned char *start, *at, *end;
    enum engine_status status;
    char *error;
    size_t error_size;
};

static const struct {
    const char *name;
    size_t block, block_bytes; /* weights in a block and its size; 0: not read here */
} tensor_types[] = {
    [0] = {"F32", 1, 4}, [1] = {"F16", 1, 2}, [2] = {"Q4_0", 32, 18}, [3] = {"Q4_1", 32, 20}, [4] = {"Q4_2", 0, 0},
    [5] = {"Q4_3", 0, 0}, [6] = {"Q5_0", 32, 22}, [7] = {"Q5_1", 32, 24}, [8] = {"Q8_0", 32, 34}, [9] = {"Q8_1", 0, 0},
    [10] = {"Q2_K", 256, 84}, [11] = {"Q3_K", 256, 110}, [12] = {"Q4_K", 256, 144}, [13] = {"Q5_K", 256, 176}, [14] = {"Q6_K", 256, 210},
    [15] = {"Q8_K", 0, 0}, [16] = {"IQ2_XXS", 0, 0}, [17] = {"IQ2_XS", 0, 0}, [18] = {"IQ3_XXS", 0, 0},
    [19] = {"IQ1_S", 0, 0}, [20] = {"IQ4_NL", 0, 0}, [21] = {"IQ3_S", 0, 0}, [22] = {"IQ2_S", 0, 0},
    [23] = {"IQ4_XS", 0, 0}, [24] = {"I8", 0, 0}, [25] = {"I16", 0, 0}, [26] = {"I32", 0, 0}, [27] = {"I64", 0, 0},
    [28] = {"F64", 0, 0}, [29] = {"IQ1_M", 0, 0}, [30] = {"BF16", 1, 2}, [31] = {"Q4_0_4_4", 0, 0},
    [32] = {"Q4_0_4_8", 0, 0}, [33] = {"Q4_0_8_8", 0, 0}, [34] = {"TQ1_0", 0, 0}, [35] = {"TQ2_0", 0, 0},
    [36] = {"IQ4_NL_4_4", 0, 0}, [37] = {"IQ4_NL_4_8", 0, 0}, [38] = {"IQ4_NL_8_8", 0, 0}, [39] = {"MXFP4", 0, 0},
    [40] = {"NVFP4", 0, 0}, [41] = {"Q1_0", 0, 0},
};
enum { TENSOR_TYPE_COUNT = sizeof tensor_types / sizeof tensor_types[0] };

/* Bytes of one element; 0: of varying size. */
static size_t type_size(enum gguf_type type) {
    switch (type) {
    case GGUF_UINT8: case GGUF_INT8: case GGUF_BOOL: return 1;
    case GGUF_UINT16: case GGUF_INT16: return 2;
    case GGUF_UINT32: case GGUF_INT32: case GGUF_FLOAT32: return 4;
    case GGUF_UINT64: case GGUF_INT64: case GGUF_FLOAT64: return 8;
    default: return 0;
    }
}

const char *gguf_tensor_type_name(uint32_t type) {
    return type < TENSOR_TYPE_COUNT ? tensor_types[type].name : "unknown";
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

#define READER_FAIL(reader, failure, ...)                                                                      \
    ((reader)->status == ENGINE_OK                                                                             \
         ? (void)((reader)->status = engine_fail((failure), (reader)->error, (reader)->error_size, __VA_ARGS__)) \
         : (void)0)

static size_t remaining(const struct reader *reader) {
    return (size_t)(reader->end - reader->at);
}

static size_t position(const struct reader *reader) {
    return (size_t)(reader->at - reader->start);
}

static bool take(struct reader *reader, size_t size, const unsigned char **bytes) {
    if (reader->status != ENGINE_OK) return false;
    if (size > remaining(reader)) {
        READER_FAIL(reader, ENGINE_BROKEN,
                    "the model file is damaged or cut short: byte %zu asks for %zu bytes where %zu remain; fetch it again",
                    position(reader), size, remaining(reader));
        return false;
    }
    *bytes = reader->at;
    reader->at += size;
    return true;
}

/* Little-endian, at any alignment. */
static uint64_t load(const unsigned char *bytes, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static uint64_t read_integer(struct reader *reader, size_t size) {
    const unsigned char *bytes;
    return take(reader, size, &bytes) ? load(bytes, size) : 0;
}

static uint32_t read_u32(struct reader *reader) {
    return (uint32_t)read_integer(reader, 4);
}

static uint64_t read_u64(struct reader *reader) {
    return read_integer(reader, 8);
}

static struct gguf_string read_string(struct reader *reader) {
    uint64_t size = read_u64(reader);
    const unsigned char *bytes = NULL;
    if (!take(reader, size, &bytes)) return (struct gguf_string){.data = "", .size = 0};
    return (struct gguf_string){.data = (const char *)bytes, .size = size};
}

/* Room for `count` things that take at least `least` bytes each in the file. */
static void *take_memory(struct reader *reader, uint64_t count, uint64_t limit, size_t least, size_t size, const char *what) {
    if (reader->status != ENGINE_OK) return NULL;
    if (count > remaining(reader) / least) {
        READER_FAIL(reader, ENGINE_BROKEN,
                    "the model file is damaged or cut short: %llu %s do not fit into its remaining %zu bytes; fetch it again",
                    (unsigned long long)count, what, remaining(reader));
        return NULL;
    }
    if (count > limit) {
        READER_FAIL(reader, ENGINE_BROKEN,
                    "the model file has %llu %s; at most %llu are read", (unsigned long long)count,
                    what, (unsigned long long)limit);
        return NULL;
    }
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL) reader->status = engine_fail_memory(reader->error, reader->error_size);
    return memory;
}

/* ---- values ------------------------------------------------------------------------------------------------ */

static enum gguf_type read_type(struct reader *reader) {
    size_t where = position(reader);
    uint32_t type = read_u32(reader);
    if (type >= GGUF_TYPE_COUNT) {
        READER_FAIL(reader, ENGINE_BROKEN,
                    "the model file is damaged: byte %zu names a value type %u that GGUF does not have",
                    where, type);
        return GGUF_UINT8;
    }
    return (enum gguf_type)type;
}

static void skip_elements(struct reader *reader, enum gguf_type type, uint64_t count, int depth) {
    const unsigned char *bytes;
    size_t size;
    if (type_size(type) > 0) {
        if (!checked_multiply(count, type_size(type), &size)) size = SIZE_MAX;
        take(reader, size, &bytes);
        return;
    }
    if (type == GGUF_ARRAY && depth >= NESTING_MAX) {
        READER_FAIL(reader, ENGINE_BROKEN, "the model file nests arrays more than %d deep", NESTING_MAX);
        return;
    }
    /* Each step reads at least 8 bytes or fails, so a huge count ends with the file. */
    for (uint64_t i = 0; i < count && reader->status == ENGINE_OK; i++) {
        if (type == GGUF_STRING) {
            read_string(reader);
        } else {
            enum gguf_type inner = read_type(reader);
            skip_elements(reader, inner, read_u64(reader), depth + 1);
        }
    }
}

static void read_value(struct reader *reader, struct gguf_value *value) {
    value->key = read_string(reader);
    if (value->key.size == 0 || value->key.size > KEY_SIZE_MAX)
        READER_FAIL(reader, ENGINE_BROKEN,
                    "the model file is damaged: byte %zu ends a key of %zu bytes", position(reader),
                    value->key.size);
    value->type = read_type(reader);
    value->count = 1;
    if (value->type == GGUF_ARRAY) {
        value->array = true;
        value->type = read_type(reader);
        value->count = read_u64(reader);
    }
    value->data = reader->at;
    value->end = reader->end;
    skip_elements(reader, value->type, value->count, 1);
}

/* ---- tensors ----------------------------------------------------------------------------------------------- */

/* Size and place of the tensor; `offset` counts from the start of the data, which is known only after the last tensor. */
static void read_tensor(struct reader *reader, struct gguf_tensor *entry, uint64_t *offset) {
    struct tensor *tensor = &entry->tensor;
    entry->name = read_string(reader);
    if (entry->name.size == 0 || entry->name.size > KEY_SIZE_MAX)
        READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: byte %zu ends a tensor name of %zu bytes",
                    position(reader), entry->name.size);
    int name_size = (int)(entry->name.size <= KEY_SIZE_MAX ? entry->name.size : 0);
    uint32_t dimensions = read_u32(reader);
    if (dimensions < 1 || dimensions > GGUF_DIMENSIONS) {
        READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: tensor %.*s has %u dimensions", name_size,
                    entry->name.data, dimensions);
        return;
    }
    entry->dimensions = (int)dimensions;
    for (uint32_t i = dimensions; i-- > 0;) entry->shape[i] = read_u64(reader);
    tensor->cols = entry->shape[dimensions - 1];
    tensor->rows = 1;
    bool fits = true;
    for (uint32_t i = 0; i + 1 < dimensions; i++) fits = checked_multiply(tensor->rows, entry->shape[i], &tensor->rows) && fits;
    uint32_t type = read_u32(reader);
    *offset = read_u64(reader);
    if (reader->status != ENGINE_OK) return;
    if (type >= TENSOR_TYPE_COUNT || tensor_types[type].block == 0) {
        READER_FAIL(reader, ENGINE_UNSUPPORTED,
                    "tensor %.*s is stored as %s (type %u); F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and Q2_K to Q6_K are "
                    "read: take such a file of the model",
                    name_size, entry->name.data, gguf_tensor_type_name(type), type);
        return;
    }
    tensor->type = (enum tensor_type)type;
    size_t block = tensor_types[type].block;
    if (tensor->cols % block != 0)
        READER_FAIL(reader, ENGINE_BROKEN,
                    "the model file is damaged: rows of tensor %.*s have %zu weights, not a multiple of %zu",
                    name_size, entry->name.data, tensor->cols, block);
    if (!fits || tensor->rows == 0 || tensor->cols == 0 ||
        !checked_multiply(tensor->cols / block, tensor_types[type].block_bytes, &tensor->row_bytes))
        READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: tensor %.*s has an impossible shape", name_size,
                    entry->name.data);
}

static void place_tensor(struct reader *reader, struct gguf_tensor *entry, uint64_t offset, size_t data_start,
                         size_t alignment) {
    size_t size, start, end;
    size_t file_size = (size_t)(reader->end - reader->start);
    if (offset % alignment != 0)
        READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: tensor %.*s is not aligned to %zu bytes",
                    (int)entry->name.size, entry->name.data, alignment);
    if (!checked_multiply(entry->tensor.rows, entry->tensor.row_bytes, &size) || !checked_add(data_start, offset, &start) ||
        !checked_add(start, size, &end) || end > file_size) {
        READER_FAIL(reader, ENGINE_BROKEN,
                    "the model file is damaged or cut short: tensor %.*s ends behind the file's %zu bytes; fetch it again",
                    (int)entry->name.size, entry->name.data, file_size);
        return;
    }
    entry->tensor.data = reader->start + start;
}

static void read_tensors(struct reader *reader, struct gguf *gguf) {
    size_t alignment = 32, data_start = 0;
    const struct gguf_value *value = gguf_find(gguf, "general.alignment");
    uint64_t stated = 0;
    if (value != NULL) {
        if (!gguf_unsigned(value, &stated) || stated < 8 || stated > 1 << 20 || (stated & (stated - 1)) != 0)
            READER_FAIL(reader, ENGINE_BROKEN,
                        "the model file is damaged: general.alignment is no power of two from 8 on");
        alignment = stated;
    }
    uint64_t *offsets = take_memory(reader, gguf->tensor_count, TENSORS_MAX, TENSOR_SIZE_MIN, sizeof *offsets, "tensors");
    for (size_t i = 0; i < gguf->tensor_count && reader->status == ENGINE_OK; i++)
        read_tensor(reader, &gguf->tensors[i], &offsets[i]);
    if (reader->status == ENGINE_OK && !checked_align(position(reader), alignment, &data_start))
        READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: its header does not end");
    for (size_t i = 0; i < gguf->tensor_count && reader->status == ENGINE_OK; i++)
        place_tensor(reader, &gguf->tensors[i], offsets[i], data_start, alignment);
    free(offsets);
}

/* ---- order and duplicates ---------------------------------------------------------------------------------- */

static int compare_strings(struct gguf_string a, struct gguf_string b) {
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_values(const void *a, const void *b) {
    return compare_strings(((const struct gguf_value *)a)->key, ((const struct gguf_value *)b)->key);
}

static int compare_tensors(const void *a, const void *b) {
    return compare_strings(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

static void sort_values(struct reader *reader, struct gguf *gguf) {
    if (reader->status != ENGINE_OK) return;
    qsort(gguf->values, gguf->value_count, sizeof *gguf->values, compare_values);
    for (size_t i = 1; i < gguf->value_count; i++) {
        struct gguf_string key = gguf->values[i].key;
        if (compare_values(&gguf->values[i - 1], &gguf->values[i]) == 0)
            READER_FAIL(reader, ENGINE_BROKEN,
                        "the model file is damaged: it has the key %.*s twice", (int)key.size, key.data);
    }
}

static void sort_tensors(struct reader *reader, struct gguf *gguf) {
    if (reader->status != ENGINE_OK) return;
    qsort(gguf->tensors, gguf->tensor_count, sizeof *gguf->tensors, compare_tensors);
    for (size_t i = 1; i < gguf->tensor_count; i++) {
        struct gguf_string name = gguf->tensors[i].name;
        if (compare_tensors(&gguf->tensors[i - 1], &gguf->tensors[i]) == 0)
            READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: it has the tensor %.*s twice", (int)name.size,
                        name.data);
    }
}

/* ---- the door ---------------------------------------------------------------------------------------------- */

static void read_start(struct reader *reader, uint64_t *tensor_count, uint64_t *value_count) {
    const unsigned char *magic;
    if (remaining(reader) < 4 || !take(reader, 4, &magic) || memcmp(magic, "GGUF", 4) != 0) {
        READER_FAIL(reader, ENGINE_BROKEN, "this is not a GGUF file: it does not start with \"GGUF\"");
        return;
    }
    uint32_t version = read_u32(reader);
    if (reader->status == ENGINE_OK && version != 2 && version != 3) {
        bool swapped = version == 0x02000000 || version == 0x03000000;
        READER_FAIL(reader, ENGINE_UNSUPPORTED, swapped ? "the GGUF file is big-endian; only little-endian files are read"
                                                        : "the GGUF file is of version %u; versions 2 and 3 are read", version);
    }
    *tensor_count = read_u64(reader);
    *value_count = read_u64(reader);
}

enum engine_status gguf_open(const unsigned char *bytes, size_t size, struct gguf **gguf, char *error, size_t error_size) {
    struct reader reader = {bytes, bytes, bytes + size, ENGINE_OK, error, error_size};
    uint64_t tensor_count = 0, value_count = 0;
    read_start(&reader, &tensor_count, &value_count);
    if (reader.status != ENGINE_OK) return reader.status;
    struct gguf *opened = calloc(1, sizeof *opened);
    if (opened == NULL) return engine_fail_memory(error, error_size);
    opened->values = take_memory(&reader, value_count, KEYS_MAX, VALUE_SIZE_MIN, sizeof *opened->values, "keys");
    for (; opened->value_count < value_count && reader.status == ENGINE_OK; opened->value_count++)
        read_value(&reader, &opened->values[opened->value_count]);
    sort_values(&reader, opened);
    opened->tensors = take_memory(&reader, tensor_count, TENSORS_MAX, TENSOR_SIZE_MIN, sizeof *opened->tensors, "tensors");
    opened->tensor_count = opened->tensors != NULL ? tensor_count : 0;
    if (reader.status == ENGINE_OK) read_tensors(&reader, opened);
    sort_tensors(&reader, opened);
    if (reader.status != ENGINE_OK) {
        gguf_close(opened);
        return reader.status;
    }
    *gguf = opened;
    return ENGINE_OK;
}

void gguf_close(struct gguf *gguf) {
    if (gguf == NULL) return;
    free(gguf->values);
    free(gguf->tensors);
    free(gguf);
}

const struct gguf_value *gguf_values(const struct gguf *gguf, size_t *count) {
    *count = gguf->value_count;
    return gguf->values;
}

const struct gguf_tensor *gguf_tensors(const struct gguf *gguf, size_t *count) {
    *count = gguf->tensor_count;
    return gguf->tensors;
}

const struct gguf_value *gguf_find(const struct gguf *gguf, const char *key) {
    struct gguf_value wanted = {.key = {key, strlen(key)}};
    return bsearch(&wanted, gguf->values, gguf->value_count, sizeof wanted, compare_values);
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *gguf, const char *name) {
    struct gguf_tensor wanted = {.name = {name, strlen(name)}};
    return bsearch(&wanted, gguf->tensors, gguf->tensor_count, sizeof wanted, compare_tensors);
}

/* ---- what a value holds ------------------------------------------------------------------------------------ */

static bool load_integer(enum gguf_type type, const unsigned char *bytes, int64_t *result) {
    uint64_t raw;
    switch (type) {
    case GGUF_UINT8: case GGUF_UINT16: case GGUF_UINT32: *result = (int64_t)load(bytes, type_size(type)); return true;
    case GGUF_INT8: *result = (int8_t)load(bytes, 1); return true;
    case GGUF_INT16: *result = (int16_t)load(bytes, 2); return true;
    case GGUF_INT32: *result = (int32_t)load(bytes, 4); return true;
    case GGUF_INT64: *result = (int64_t)load(bytes, 8); return true;
    case GGUF_UINT64:
        raw = load(bytes, 8);
        if (raw > INT64_MAX) return false;
        *result = (int64_t)raw;
        return true;
    default: return false;
    }
}

bool gguf_unsigned(const struct gguf_value *value, uint64_t *result) {
    int64_t integer;
    if (value->array || !load_integer(value->type, value->data, &integer) || integer < 0) return false;
    *result = (uint64_t)integer;
    return true;
}

bool gguf_number(const struct gguf_value *value, double *result) {
    int64_t integer;
    if (value->array) return false;
    if (value->type == GGUF_FLOAT32) {
        uint32_t bits = (uint32_t)load(value->data, 4);
        float number;
        memcpy(&number, &bits, sizeof number);
        *result = (double)number;
    } else if (value->type == GGUF_FLOAT64) {
        uint64_t bits = load(value->data, 8);
        memcpy(result, &bits, sizeof *result);
    } else if (load_integer(value->type, value->data, &integer)) {
        *result = (double)integer;
    } else {
        return false;
    }
    return true;
}

bool gguf_bool(const struct gguf_value *value, bool *result) {
    if (value->array || value->type != GGUF_BOOL) return false;
    *result = value->data[0] != 0;
    return true;
}

struct gguf_cursor gguf_elements(const struct gguf_value *array) {
    return (struct gguf_cursor){array->type, array->count, array->data, array->end};
}

bool gguf_next_string(struct gguf_cursor *cursor, struct gguf_string *result) {
    if (cursor->type != GGUF_STRING || cursor->left == 0 || cursor->end - cursor->at < 8) return false;
    uint64_t size = load(cursor->at, 8);
    if (size > (uint64_t)(cursor->end - cursor->at) - 8) return false;
    *result = (struct gguf_string){(const char *)cursor->at + 8, size};
    cursor->at += 8 + size;
    cursor->left--;
    return true;
}

bool gguf_next_integer(struct gguf_cursor *cursor, int64_t *result) {
    size_t size = type_size(cursor->type);
    if (cursor->left == 0 || size == 0 || (size_t)(cursor->end - cursor->at) < size) return false;
    if (!load_integer(cursor->type, cursor->at, result)) return false;
    cursor->at += size;
    cursor->left--;
    return true;
}

bool gguf_next_number(struct gguf_cursor *cursor, double *result) {
    size_t size = type_size(cursor->type);
    if (cursor->left == 0 || size == 0 || (size_t)(cursor->end - cursor->at) < size) return false;
    const struct gguf_value element = {.type = cursor->type, .count = 1, .data = cursor->at, .end = cursor->end};
    if (!gguf_number(&element, result)) return false;
    cursor->at += size;
    cursor->left--;
    return true;
}

bool gguf_string(const struct gguf_value *value, struct gguf_string *result) {
    struct gguf_cursor cursor = gguf_elements(value);
    return !value->array && gguf_next_string(&cursor, result);
}

bool gguf_string_is(struct gguf_string string, const char *text) {
    return string.size == strlen(text) && memcmp(string.data, text, string.size) == 0;
}
