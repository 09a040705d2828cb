#include "tests/gguf_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UINT32 = 4, INT32 = 5, FLOAT32 = 6, BOOL = 7, STRING = 8, ARRAY = 9, UINT64 = 10 };

static void put(struct gguf_buffer *buffer, const void *bytes, size_t size) {
    if (size > buffer->room - buffer->size) {
        buffer->room = 2 * (buffer->size + size) + 64;
        buffer->data = realloc(buffer->data, buffer->room);
        if (buffer->data == NULL) abort();
    }
    if (size > 0) memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
}

static void put_integer(struct gguf_buffer *buffer, uint64_t value, size_t size) {
    unsigned char bytes[8];
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(value >> (8 * i));
    put(buffer, bytes, size);
}

static void put_text(struct gguf_buffer *buffer, const char *text) {
    put_integer(buffer, strlen(text), 8);
    put(buffer, text, strlen(text));
}

static void pad(struct gguf_buffer *buffer, size_t alignment) {
    while (buffer->size % alignment != 0) put_integer(buffer, 0, 1);
}

static void put_key(struct gguf_writer *writer, const char *key, uint32_t type) {
    put_text(&writer->keys, key);
    put_integer(&writer->keys, type, 4);
    writer->key_count++;
}

static void put_array(struct gguf_writer *writer, const char *key, uint32_t type, size_t count) {
    put_key(writer, key, ARRAY);
    put_integer(&writer->keys, type, 4);
    put_integer(&writer->keys, count, 8);
}

void gguf_writer_start(struct gguf_writer *writer) {
    *writer = (struct gguf_writer){.version = 3, .alignment = 32};
}

void gguf_writer_drop(struct gguf_writer *writer) {
    free(writer->keys.data);
    free(writer->tensors.data);
    free(writer->data.data);
    gguf_writer_start(writer);
}

void gguf_put_u32(struct gguf_writer *writer, const char *key, uint32_t value) {
    put_key(writer, key, UINT32);
    put_integer(&writer->keys, value, 4);
}

void gguf_put_u64(struct gguf_writer *writer, const char *key, uint64_t value) {
    put_key(writer, key, UINT64);
    put_integer(&writer->keys, value, 8);
}

void gguf_put_f32(struct gguf_writer *writer, const char *key, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(writer, key, FLOAT32);
    put_integer(&writer->keys, bits, 4);
}

void gguf_put_bool(struct gguf_writer *writer, const char *key, bool value) {
    put_key(writer, key, BOOL);
    put_integer(&writer->keys, value, 1);
}

void gguf_put_string(struct gguf_writer *writer, const char *key, const char *value) {
    put_key(writer, key, STRING);
    put_text(&writer->keys, value);
}

void gguf_put_strings(struct gguf_writer *writer, const char *key, const char *const *values, size_t count) {
    put_array(writer, key, STRING, count);
    for (size_t i = 0; i < count; i++) put_text(&writer->keys, values[i]);
}

void gguf_put_i32s(struct gguf_writer *writer, const char *key, const int32_t *values, size_t count) {
    put_array(writer, key, INT32, count);
    for (size_t i = 0; i < count; i++) put_integer(&writer->keys, (uint32_t)values[i], 4);
}

void gguf_put_raw(struct gguf_writer *writer, const char *key, uint32_t type, const void *bytes, size_t size) {
    put_key(writer, key, type);
    put(&writer->keys, bytes, size);
}

void gguf_put_tensor(struct gguf_writer *writer, const char *name, uint32_t type, uint64_t rows, uint64_t cols,
                     const void *bytes, size_t size) {
    pad(&writer->data, writer->alignment);
    put_text(&writer->tensors, name);
    put_integer(&writer->tensors, rows > 0 ? 2 : 1, 4);
    put_integer(&writer->tensors, cols, 8);
    if (rows > 0) put_integer(&writer->tensors, rows, 8);
    put_integer(&writer->tensors, type, 4);
    put_integer(&writer->tensors, writer->data.size, 8);
    put(&writer->data, bytes, size);
    writer->tensor_count++;
}

unsigned char *gguf_writer_finish(const struct gguf_writer *writer, size_t *size) {
    struct gguf_buffer file = {0};
    put(&file, "GGUF", 4);
    put_integer(&file, writer->version, 4);
    put_integer(&file, writer->tensor_count, 8);
    put_integer(&file, writer->key_count, 8);
    put(&file, writer->keys.data, writer->keys.size);
    put(&file, writer->tensors.data, writer->tensors.size);
    pad(&file, writer->alignment);
    put(&file, writer->data.data, writer->data.size);
    *size = file.size;
    return file.data;
}

bool write_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    if (file == NULL) return false;
    bool written = fwrite(bytes, 1, size, file) == size;
    return fclose(file) == 0 && written;
}
