/*
 * memory_limit.h: lets hostile files show how much memory they get.
 */
#ifndef HEADSCOPE_TESTS_MEMORY_LIMIT_H
#define HEADSCOPE_TESTS_MEMORY_LIMIT_H

#include <check.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* For the rest of a test, which runs in a process of its own: so many bytes more than it has now are all there is. What wants more gets
 * none, and is found out by ENGINE_NO_MEMORY. Not where a sanitizer needs the address space for itself. */
#ifdef __SANITIZE_ADDRESS__
static inline void limit_memory(size_t bytes) {
    (void)bytes;
}
#else
static inline void limit_memory(size_t bytes) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    struct rlimit limit = {pages * (size_t)sysconf(_SC_PAGESIZE) + bytes, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}
#endif

#endif
