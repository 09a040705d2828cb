/*
 * json_problem.h: problem documents (RFC 9457) as bytes.
 */
#ifndef HEADSCOPE_SERVER_JSON_PROBLEM_H
#define HEADSCOPE_SERVER_JSON_PROBLEM_H

#include <stddef.h>

/* {"type","title","status","detail","errors":[{"pointer","detail"}]}, malloc'ed; `pointer` NULL: no errors. Bytes of `detail`
 * that are not UTF-8 become "?". NULL when out of memory. */
char *json_problem(int status, const char *detail, const char *pointer, size_t *size);

#endif
