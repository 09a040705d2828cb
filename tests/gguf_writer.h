/*
 * gguf_writer.h: makes GGUF files for tests, sound ones and (by raw bytes) others. Aborts without memory: it is for tests only.
 */
#ifndef HEADSCOPE_TESTS_GGUF_WRITER_H
#define HEADSCOPE_TESTS_GGUF_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gguf_buffer {
    unsigned char *data;
    size_t size, room;
};

struct gguf_writer {
    uint32_t version, alignment; /* 3 and 32 after gguf_writer_start; alignment is not written as a key by itself */
    uint64_t key_count, tensor_count;
    struct gguf_buffer keys, tensors, data;
};

void gguf_writer_start(struct gguf_writer *writer);
void gguf_writer_drop(struct gguf_writer *writer);

void gguf_put_u32(struct gguf_writer *writer, const char *key, uint32_t value);
void gguf_put_u64(struct gguf_writer *writer, const char *key, uint64_t value);
void gguf_put_f32(struct gguf_writer *writer, const char *key, float value);
void gguf_put_bool(struct gguf_writer *writer, const char *key, bool value);
void gguf_put_string(struct gguf_writer *writer, const char *key, const char *value);
void gguf_put_strings(struct gguf_writer *writer, const char *key, const char *const *values, size_t count);
void gguf_put_i32s(struct gguf_writer *writer, const char *key, const int32_t *values, size_t count);
/* A value of any type: `bytes` as they stand in the file after the type. */
void gguf_put_raw(struct gguf_writer *writer, const char *key, uint32_t type, const void *bytes, size_t size);

/* cols counts along the first dimension. rows 0: one dimension. Copies `bytes`, which are in the file's own format. */
void gguf_put_tensor(struct gguf_writer *writer, const char *name, uint32_t type, uint64_t rows, uint64_t cols,
                     const void *bytes, size_t size);

/* The whole file, freed with free(). The writer stays as it is. */
unsigned char *gguf_writer_finish(const struct gguf_writer *writer, size_t *size);

/* Writes bytes to a file; false with errno set. */
bool write_file(const char *path, const void *bytes, size_t size);

#endif
