/*
 * problem.h: what went wrong, on its way from whoever noticed to the client: an HTTP status, a sentence that names the problem
 * and the cure, and where in the request it lies.
 */
#ifndef HEADSCOPE_SERVER_PROBLEM_H
#define HEADSCOPE_SERVER_PROBLEM_H

#include "engine/engine.h"

struct problem {
    int status;        /* 0: none */
    int retry_after;   /* seconds; 0: no such header */
    char detail[512];
    char pointer[128]; /* JSON pointer into the body; "" is shown as none */
};

/* Returns false, so that `return problem_set(...)` leaves a function that failed. */
bool problem_set(struct problem *problem, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool problem_at(struct problem *problem, int status, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* An engine's refusal: 422, 413, 503 or 500, by its status. */
bool problem_engine(struct problem *problem, enum engine_status status, const char *error);
bool problem_memory(struct problem *problem);

#endif
