/* reading_places.c: rows that do not follow each other. */
#include "engine/reading.h"
#include "engine/statistics.h"

void reading_places(const struct engine *engine, const struct activations *activations, struct head_address at, const uint32_t *place,
                    size_t count, size_t key_panels, float *weights, size_t stride) {
    for (size_t k = 0, end; k < count; k = end) {
        for (end = k + 1; end < count && end - k < BLOCK_ROWS && place[end] == place[end - 1] + 1; end++) {}
        reading_rows(engine, activations, at, place[k], end - k, 0, key_panels, weights + k * stride, stride);
    }
}

size_t reading_sample(size_t first, size_t count, size_t most, size_t run, uint32_t *place) {
    if (count <= most) {
        for (size_t k = 0; k < count; k++) place[k] = (uint32_t)(first + k);
        return count;
    }
    size_t runs = most / run, spare = count - run; /* the first run at the beginning, the last at the end */
    for (size_t r = 0; r < runs; r++)
        for (size_t k = 0; k < run; k++) place[r * run + k] = (uint32_t)(first + (runs > 1 ? r * spare / (runs - 1) : spare / 2) + k);
    return runs * run;
}

enum engine_status reading_check_excluded(const uint32_t *excluded, size_t count, size_t keys, char *error, size_t error_size) {
    for (size_t s = 0; s < count; s++)
        if (excluded[s] >= keys || (s > 0 && excluded[s] <= excluded[s - 1]))
            return engine_fail(ENGINE_INVALID, error, error_size, "excluded key %u: positions must be ascending and below %zu",
                               (unsigned)excluded[s], keys);
    return ENGINE_OK;
}
