/*
 * failure.h: how the engine reports what went wrong.
 */
#ifndef HEADSCOPE_ENGINE_FAILURE_H
#define HEADSCOPE_ENGINE_FAILURE_H

#include "engine/engine.h"

/* Writes one sentence into error[error_size] (error_size 0: nowhere) and returns `status`, so that a function can say
 * `return engine_fail(ENGINE_INVALID, error, error_size, "...", ...)`. The sentence is always a NUL-terminated line of valid
 * UTF-8, whatever the arguments quote from a hostile file: control characters and broken bytes become '?'. */
enum engine_status engine_fail(enum engine_status status, char *error, size_t error_size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The one sentence for a failed allocation. */
enum engine_status engine_fail_memory(char *error, size_t error_size);

/* Makes a text that quotes a file one line of valid UTF-8: control characters and broken bytes become '?'. */
void engine_clean_line(char *line);

/* For readers of configurations, which hold `status`, `error` and `error_size`: the first failure is the one that is told. */
#define CONFIG_FAIL(config, failure, ...)                                                                      \
    ((config)->status == ENGINE_OK                                                                             \
         ? (void)((config)->status = engine_fail((failure), (config)->error, (config)->error_size, __VA_ARGS__)) \
         : (void)0)

#endif
