#include "engine/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "engine/checked.h"
#include "engine/failure.h"

/* What the format's own reader allows, and more names than any model has. */
enum { HEADER_MAX = 100000000, TENSORS_MAX = 1 << 20, NAME_SIZE_MAX = 1 << 12 };

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8}, {"I64", 8}, {"I32", 4}, {"I16", 2}, {"I8", 1}, {"U64", 8}, {"U32", 4},
    {"U16", 2}, {"U8", 1}, {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
};

struct safetensors {
    struct safetensors_tensor *tensors;
    size_t count;
};

struct text {
    const char *data;
    size_t size;
};

/* One pass over the header; the first failure sets `status`, and everything after it does nothing. */
struct reader {
    const char *start, *at, *end;
    enum engine_status status;
    char *error;
    size_t error_size;
};

#define READER_FAIL(reader, failure, ...)                                                                      \
    ((reader)->status == ENGINE_OK                                                                             \
         ? (void)((reader)->status = engine_fail((failure), (reader)->error, (reader)->error_size, __VA_ARGS__)) \
         : (void)0)

/* ---- the JSON that a header may hold --------------------------------------------------------------------------- */

static void unexpected(struct reader *reader, const char *wanted) {
    READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: byte %zu of its header is not %s", (size_t)(reader->at - reader->start),
                wanted);
}

static void skip_space(struct reader *reader) {
    while (reader->at < reader->end && memchr(" \t\r\n", *reader->at, 4)) reader->at++;
}

/* Takes `c` if it comes next. */
static bool next_is(struct reader *reader, char c) {
    skip_space(reader);
    if (reader->status != ENGINE_OK || reader->at == reader->end || *reader->at != c) return false;
    reader->at++;
    return true;
}

static void need(struct reader *reader, char c, const char *wanted) {
    if (!next_is(reader, c)) unexpected(reader, wanted);
}

/* The bytes between the quotes, escapes as they are. */
static struct text read_text(struct reader *reader) {
    need(reader, '"', "a string");
    const char *from = reader->at;
    while (reader->status == ENGINE_OK && reader->at < reader->end && *reader->at != '"') {
        if ((unsigned char)*reader->at < 0x20) unexpected(reader, "a character of a string");
        reader->at += *reader->at == '\\' && reader->end - reader->at > 1 ? 2 : 1;
    }
    struct text text = {from, (size_t)(reader->at - from)};
    need(reader, '"', "the end of a string");
    return reader->status == ENGINE_OK ? text : (struct text){"", 0};
}

static struct text read_plain_text(struct reader *reader) {
    struct text text = read_text(reader);
    if (memchr(text.data, '\\', text.size))
        READER_FAIL(reader, ENGINE_UNSUPPORTED, "the model file names a tensor %.*s, with an escape, which is not read here",
                    (int)(text.size < 256 ? text.size : 256), text.data);
    return text;
}

static bool text_is(struct text text, const char *word) {
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

static size_t read_count(struct reader *reader) {
    size_t value = 0;
    skip_space(reader);
    const char *from = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        if (!checked_multiply(value, 10, &value) || !checked_add(value, (size_t)(*reader->at - '0'), &value))
            unexpected(reader, "a number that can be");
        reader->at++;
    }
    if (reader->at == from || (*from == '0' && reader->at - from > 1)) unexpected(reader, "a whole number");
    return value;
}

/* [a, b, ...]: at most `room` of them; returns how many. */
static int read_counts(struct reader *reader, size_t *counts, int room) {
    int count = 0;
    need(reader, '[', "a list");
    if (next_is(reader, ']')) return 0;
    do {
        size_t value = read_count(reader);
        if (count == room) {
            unexpected(reader, "the end of a list");
            break;
        }
        counts[count++] = value;
    } while (next_is(reader, ','));
    need(reader, ']', "the end of a list");
    return count;
}

/* {"format": "pt", ...}: strings that say nothing about numbers. */
static void skip_metadata(struct reader *reader) {
    need(reader, '{', "an object");
    if (next_is(reader, '}')) return;
    do {
        read_text(reader);
        need(reader, ':', "a colon");
        read_text(reader);
    } while (next_is(reader, ','));
    need(reader, '}', "the end of an object");
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static size_t dtype_index(struct reader *reader, struct text dtype) {
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (text_is(dtype, dtypes[i].name)) return i;
    READER_FAIL(reader, ENGINE_UNSUPPORTED, "the model file has numbers of type %.*s, which is not read here",
                (int)(dtype.size < 64 ? dtype.size : 64), dtype.data);
    return 0;
}

/* {"dtype": D, "shape": [...], "data_offsets": [a, b]}, each once, in any order. data becomes first + a; it is not yet known to
 * lie within the file. */
static void read_tensor(struct reader *reader, struct safetensors_tensor *tensor, size_t *begin) {
    size_t type = 0, offsets[2] = {0, 0}, bytes;
    unsigned seen = 0;
    need(reader, '{', "an object");
    do {
        struct text key = read_plain_text(reader);
        unsigned field = text_is(key, "dtype") ? 1 : text_is(key, "shape") ? 2 : text_is(key, "data_offsets") ? 4 : 0;
        if (field == 0 || (seen & field)) unexpected(reader, "one of dtype, shape and data_offsets");
        seen |= field;
        need(reader, ':', "a colon");
        if (field == 1) type = dtype_index(reader, read_plain_text(reader));
        if (field == 2) tensor->dimensions = read_counts(reader, tensor->shape, SAFETENSORS_DIMENSIONS);
        if (field == 4 && read_counts(reader, offsets, 2) != 2) unexpected(reader, "behind two offsets");
    } while (next_is(reader, ','));
    need(reader, '}', "the end of an object");
    if (seen != 7) unexpected(reader, "behind dtype, shape and data_offsets");
    if (reader->status != ENGINE_OK) return;
    tensor->dtype = dtypes[type].name;
    bytes = dtypes[type].bytes;
    bool fits = true;
    for (int d = 0; d < tensor->dimensions; d++) fits = checked_multiply(bytes, tensor->shape[d], &bytes) && fits;
    if (!fits || offsets[1] < offsets[0] || offsets[1] - offsets[0] != bytes)
        READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: the bytes of tensor %.*s do not fit its shape",
                    (int)tensor->name_size, tensor->name);
    tensor->bytes = bytes;
    *begin = offsets[0];
}

struct place {
    size_t begin;
    struct safetensors_tensor *tensor;
};

/* Room for as many tensors as a header of this size can hold would be too much: it grows. */
static bool grow(struct reader *reader, struct safetensors *all, size_t **begins, size_t *room) {
    if (all->count < *room) return true;
    size_t more = *room ? 2 * *room : 64;
    struct safetensors_tensor *tensors = realloc(all->tensors, more * sizeof *tensors);
    if (tensors) all->tensors = tensors;
    size_t *grown = realloc(*begins, more * sizeof *grown);
    if (grown) *begins = grown;
    if (!tensors || !grown) {
        if (reader->status == ENGINE_OK) reader->status = engine_fail_memory(reader->error, reader->error_size);
        return false;
    }
    *room = more;
    return true;
}

static void read_entry(struct reader *reader, struct safetensors *all, size_t **begins, size_t *room, bool *metadata) {
    struct text name = read_plain_text(reader);
    need(reader, ':', "a colon");
    if (reader->status != ENGINE_OK) return;
    if (text_is(name, "__metadata__")) {
        if (*metadata) unexpected(reader, "the only __metadata__");
        *metadata = true;
        skip_metadata(reader);
        return;
    }
    if (name.size == 0 || name.size > NAME_SIZE_MAX || all->count == TENSORS_MAX) {
        READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: byte %zu of its header ends a name of %zu bytes, of tensor %zu",
                    (size_t)(reader->at - reader->start), name.size, all->count);
        return;
    }
    if (!grow(reader, all, begins, room)) return;
    struct safetensors_tensor *tensor = &all->tensors[all->count];
    *tensor = (struct safetensors_tensor){.name = name.data, .name_size = name.size};
    read_tensor(reader, tensor, &(*begins)[all->count]);
    all->count++;
}

static void read_header(struct reader *reader, struct safetensors *all, size_t **begins) {
    size_t room = 0;
    bool metadata = false;
    if (reader->at == reader->end || *reader->at != '{') unexpected(reader, "an opening brace");
    need(reader, '{', "an opening brace");
    if (!next_is(reader, '}')) {
        do {
            read_entry(reader, all, begins, &room, &metadata);
        } while (next_is(reader, ','));
        need(reader, '}', "the end of the header");
    }
    while (reader->at < reader->end && *reader->at == ' ') reader->at++;
    if (reader->at != reader->end) unexpected(reader, "a space behind the header");
}

static int compare_places(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->tensor->bytes > y->tensor->bytes) - (x->tensor->bytes < y->tensor->bytes);
}

/* From the first byte to the last, without holes or overlaps. */
static void place_tensors(struct reader *reader, struct safetensors *all, const size_t *begins, const unsigned char *data,
                          size_t size) {
    if (reader->status != ENGINE_OK) return;
    struct place *places = malloc((all->count + 1) * sizeof *places);
    if (!places) {
        reader->status = engine_fail_memory(reader->error, reader->error_size);
        return;
    }
    for (size_t i = 0; i < all->count; i++) places[i] = (struct place){begins[i], &all->tensors[i]};
    qsort(places, all->count, sizeof *places, compare_places);
    size_t end = 0;
    for (size_t i = 0; i < all->count && reader->status == ENGINE_OK; i++) {
        struct safetensors_tensor *tensor = places[i].tensor;
        if (places[i].begin != end)
            READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: tensor %.*s begins at byte %zu of the data, where byte %zu is next",
                        (int)tensor->name_size, tensor->name, places[i].begin, end);
        else if (tensor->bytes > size - end)
            READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged or cut short: tensor %.*s ends behind the file; fetch it again",
                        (int)tensor->name_size, tensor->name);
        else {
            tensor->data = data + end;
            end += tensor->bytes;
        }
    }
    if (end != size)
        READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: %zu bytes of its %zu bytes of data belong to no tensor", size - end,
                    size);
    free(places);
}

static int compare_names(const void *a, const void *b) {
    const struct safetensors_tensor *x = a, *y = b;
    int order = memcmp(x->name, y->name, x->name_size < y->name_size ? x->name_size : y->name_size);
    return order != 0 ? order : (x->name_size > y->name_size) - (x->name_size < y->name_size);
}

static void sort_tensors(struct reader *reader, struct safetensors *all) {
    if (reader->status != ENGINE_OK || all->count == 0) return;
    qsort(all->tensors, all->count, sizeof *all->tensors, compare_names);
    for (size_t i = 1; i < all->count; i++)
        if (compare_names(&all->tensors[i - 1], &all->tensors[i]) == 0)
            READER_FAIL(reader, ENGINE_BROKEN, "the model file is damaged: it has the tensor %.*s twice",
                        (int)all->tensors[i].name_size, all->tensors[i].name);
}

/* ---- the door ---------------------------------------------------------------------------------------------------- */

enum engine_status safetensors_open(const unsigned char *bytes, size_t size, struct safetensors **safetensors, char *error,
                                    size_t error_size) {
    uint64_t length = 0;
    if (size < 8) return engine_fail(ENGINE_BROKEN, error, error_size, "the model file is cut short: %zu bytes hold no header", size);
    for (int i = 0; i < 8; i++) length |= (uint64_t)bytes[i] << (8 * i);
    if (length > size - 8)
        return engine_fail(ENGINE_BROKEN, error, error_size,
                           "this is not a safetensors file, or it is cut short: its header takes %llu of the %zu bytes that follow",
                           (unsigned long long)length, size - 8);
    if (length > HEADER_MAX)
        return engine_fail(ENGINE_BROKEN, error, error_size, "the model file has a header of %llu bytes; at most %d are read",
                           (unsigned long long)length, HEADER_MAX);
    const char *header = (const char *)bytes + 8;
    struct reader reader = {header, header, header + length, ENGINE_OK, error, error_size};
    struct safetensors *opened = calloc(1, sizeof *opened);
    size_t *begins = NULL;
    if (!opened) return engine_fail_memory(error, error_size);
    read_header(&reader, opened, &begins);
    place_tensors(&reader, opened, begins, bytes + 8 + length, size - 8 - (size_t)length);
    sort_tensors(&reader, opened);
    free(begins);
    if (reader.status != ENGINE_OK) {
        safetensors_close(opened);
        return reader.status;
    }
    *safetensors = opened;
    return ENGINE_OK;
}

void safetensors_close(struct safetensors *safetensors) {
    if (!safetensors) return;
    free(safetensors->tensors);
    free(safetensors);
}

const struct safetensors_tensor *safetensors_tensors(const struct safetensors *safetensors, size_t *count) {
    *count = safetensors->count;
    return safetensors->tensors;
}
