/*
 * failing_malloc.h: makes one allocation of the code under test fail, so that a test can let each of them fail in turn:
 *
 *     for (long turn = 0; ; turn++) {
 *         failing_malloc_after(turn);
 *         status = f();
 *         if (!failing_malloc_stop()) break;          the run had fewer allocations: all have had their turn
 *         ck_assert_int_eq(status, ENGINE_NO_MEMORY);
 *     }
 *
 * Reaches malloc, calloc, realloc, aligned_alloc, posix_memalign, strdup and strndup called from the project's own objects (the
 * linker's --wrap), not those within shared libraries. List 'failing_malloc' among the test's parts in tests/meson.build.
 */
#ifndef HEADSCOPE_TESTS_FAILING_MALLOC_H
#define HEADSCOPE_TESTS_FAILING_MALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* From now on, `turn` allocations succeed and the next one fails; those behind it succeed again. */
void failing_malloc_after(long turn);

/* Lets all succeed again. True if one has failed since failing_malloc_after. */
bool failing_malloc_stop(void);

/* From now on what the project's objects hold is counted. Blocks that come from mmap are not. */
void failing_malloc_count(void);

/* Ends the counting: the most bytes that were held at one time beyond those held when it began. */
size_t failing_malloc_peak(void);

#endif
