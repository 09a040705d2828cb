#include "engine/gguf_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"

enum { TAIL = sizeof "-00001-of-00003.gguf" - 1, PARTS_MAX = 1024, PATH_SIZE = 4096 };

/* Five digits; -1 if they are none. */
static int read_digits(const char *text) {
    int number = 0;
    for (int i = 0; i < 5; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        number = 10 * number + (text[i] - '0');
    }
    return number;
}

/* False, and both left alone: the name is not that of a part. */
static bool split_name(const char *path, int *part, int *parts) {
    size_t size = strlen(path);
    if (size <= TAIL) return false;
    const char *tail = path + size - TAIL;
    if (tail[0] != '-' || memcmp(tail + 6, "-of-", 4) != 0 || strcmp(tail + 15, ".gguf") != 0) return false;
    int number = read_digits(tail + 1), of = read_digits(tail + 10);
    if (number < 1 || of < number) return false;
    *part = number;
    *parts = of;
    return true;
}

enum engine_status gguf_part_files(const char *path, char **files, size_t *count, char *error, size_t error_size) {
    int part = 1, parts = 1;
    size_t size = strlen(path);
    bool is_part = split_name(path, &part, &parts);
    if (part != 1)
        return engine_fail(ENGINE_INVALID, error, error_size, "%s is part %d of a model; open the first, ...-00001-of-%05d.gguf", path, part, parts);
    if (parts > PARTS_MAX || size >= PATH_SIZE)
        return engine_fail(ENGINE_INVALID, error, error_size, "the path of the model is too long, or it has more than %d parts", PARTS_MAX);
    char *block = malloc((size_t)parts * (size + 1)), *at = block;
    if (!block) return engine_fail_memory(error, error_size);
    for (int i = 1; i <= parts; i++, at += size + 1) {
        memcpy(at, path, size + 1);
        char digits[8];
        snprintf(digits, sizeof digits, "%05d", i);
        if (is_part) memcpy(at + size - TAIL + 1, digits, 5);
    }
    *files = block;
    *count = (size_t)parts;
    return ENGINE_OK;
}

enum engine_status gguf_check_part(const struct gguf *gguf, size_t index, size_t count, char *error, size_t error_size) {
    uint64_t number = 0, parts = 1;
    const struct gguf_value *value = gguf_find(gguf, "split.count"), *place = gguf_find(gguf, "split.no");
    bool fine = (!value || gguf_unsigned(value, &parts)) && (!place || gguf_unsigned(place, &number));
    if (count == 1 && fine && parts > 1)
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "the file is one of %llu parts of a model (split.count) and has lost its name; all parts belong in one folder, under "
                           "the names NAME-00001-of-%05llu.gguf and so on", (unsigned long long)parts, (unsigned long long)parts);
    if (!fine || (count > 1 && (parts != count || number != index)))
        return engine_fail(ENGINE_BROKEN, error, error_size,
                           "the model's parts do not belong together: the file named as part %zu of %zu says something else of itself (split.no, "
                           "split.count)", index + 1, count);
    return ENGINE_OK;
}
