#include "server/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void problem_write(struct problem *problem, int status, const char *pointer, const char *format, va_list arguments) {
    problem->status = status;
    problem->retry_after = status == 503 ? 1 : 0;
    vsnprintf(problem->detail, sizeof problem->detail, format, arguments);
    snprintf(problem->pointer, sizeof problem->pointer, "%s", pointer);
}

bool problem_set(struct problem *problem, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    problem_write(problem, status, "", format, arguments);
    va_end(arguments);
    return false;
}

bool problem_at(struct problem *problem, int status, const char *pointer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    problem_write(problem, status, pointer, format, arguments);
    va_end(arguments);
    return false;
}

bool problem_engine(struct problem *problem, enum engine_status status, const char *error) {
    int code = 500;
    switch (status) {
    case ENGINE_INVALID:
    case ENGINE_BROKEN:
    case ENGINE_NOT_FOUND:
    case ENGINE_UNSUPPORTED: code = 422; break;
    case ENGINE_TOO_LARGE: code = 413; break;
    case ENGINE_CANCELLED:
    case ENGINE_NO_MEMORY: code = 503; break;
    case ENGINE_IO:
    case ENGINE_OK: break;
    }
    return problem_set(problem, code, "%s", error[0] ? error : "the engine could not do this");
}

bool problem_memory(struct problem *problem) {
    return problem_set(problem, 503, "the server is out of memory; try again when less is running");
}
