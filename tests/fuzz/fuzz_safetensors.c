/* libFuzzer: any bytes as a safetensors file. The tensors of what opens lie within the bytes. */
#include <stdlib.h>
#include <string.h>

#include "engine/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char error[200] = "";
    struct safetensors *file = NULL;
    size_t count, sum = 0;
    enum engine_status status = safetensors_open(data, size, &file, error, sizeof error);
    if (status != ENGINE_OK) {
        if (error[0] == '\0' || status == ENGINE_NO_MEMORY) abort();
        return 0;
    }
    const struct safetensors_tensor *tensors = safetensors_tensors(file, &count);
    for (size_t i = 0; i < count; i++) {
        const struct safetensors_tensor *t = &tensors[i];
        if (t->name_size == 0 || t->data < data || t->bytes > size || (size_t)(t->data - data) > size - t->bytes) abort();
        for (size_t b = 0; b < t->name_size; b++) sink += (unsigned char)t->name[b];
        sum += t->bytes;
    }
    if (sum > size) abort(); /* no two share a byte */
    safetensors_close(file);
    return 0;
}
