#include "engine/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/utf8.h"

void engine_clean_line(char *line) {
    size_t size = strlen(line);
    for (size_t at = 0; at < size;) {
        uint32_t character;
        size_t length = utf8_character(line + at, size - at, &character);
        if (length == 0 || utf8_is_control(character)) {
            length = length > 0 ? length : 1;
            memset(line + at, '?', length);
        }
        at += length;
    }
}

enum engine_status engine_fail(enum engine_status status, char *error, size_t error_size, const char *format, ...) {
    if (error_size == 0) return status;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(error, error_size, format, arguments);
    va_end(arguments);
    if (length < 0) error[0] = '\0';
    engine_clean_line(error);
    return status;
}

enum engine_status engine_fail_memory(char *error, size_t error_size) {
    return engine_fail(ENGINE_NO_MEMORY, error, error_size,
                       "there is not enough memory; close other programs or take a smaller model or text");
}
