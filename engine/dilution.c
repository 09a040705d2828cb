/* dilution.c: how wide rows are, where they lie in the text. */
#include <stdlib.h>

#include "engine/attention.h"
#include "engine/memory.h"
#include "engine/reading.h"

enum { LOCAL = 16 }; /* as local_mass */

enum engine_status attention_dilution(struct engine *engine, const struct activations *activations, struct head_address at,
                                      size_t query0, size_t rows, const uint32_t *excluded, size_t excluded_count,
                                      struct dilution_sums *sums, char *error, size_t error_size) {
    size_t queries = 0, keys = 0;
    enum engine_status status = reading_check(activations, at, error, error_size);
    if (status != ENGINE_OK) return status;
    activations_shape(activations, at.section, &queries, &keys);
    status = reading_check_excluded(excluded, excluded_count, keys, error, error_size);
    if (status != ENGINE_OK) return status;
    if (query0 > queries || rows > queries - query0 || rows > attention_block_rows(keys))
        return engine_fail(ENGINE_INVALID, error, error_size, "%zu queries from %zu on are not a block of %zu", rows, query0, queries);
    activations = activations_of(activations, at.section);
    float *memory = memory_aligned(attention_scratch_floats(activations->model, keys) * sizeof *memory);
    if (!memory) return engine_fail_memory(error, error_size);
    struct attention_scratch scratch;
    attention_scratch_init(&scratch, activations->model, keys, memory);
    attention_weights(activations, engine->kernels, at.layer, at.head, query0, rows, &scratch);
    const struct weight_block *block = &scratch.block;
    for (size_t r = 0; r < rows; r++) {
        const float *e = block->e + r * block->stride;
        size_t i = query0 + r, from = i > LOCAL ? i - LOCAL : 0, to = i + LOCAL + 1 < block->keys ? i + LOCAL + 1 : block->keys;
        double sink = 0, local = 0;
        for (size_t s = 0; s < excluded_count && excluded[s] < block->keys; s++) sink += (double)e[excluded[s]];
        for (size_t j = from; j < to; j++) local += (double)e[j];
        sums->entropy += row_entropy(&block->sums[r], block->sink[r]);
        sums->sink_mass += sink / block->sums[r].sum;
        sums->local_mass += local / block->sums[r].sum;
    }
    free(memory);
    return ENGINE_OK;
}
