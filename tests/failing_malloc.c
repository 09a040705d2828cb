#include "tests/failing_malloc.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_long left = LONG_MAX; /* allocations until the one that fails; below 0 once it has */

void __real_free(void *memory);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void __wrap_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

void failing_malloc_after(long turn) {
    atomic_store(&left, turn);
}

bool failing_malloc_stop(void) {
    return atomic_exchange(&left, LONG_MAX) < 0;
}

static bool fails(void) {
    if (atomic_load(&left) == LONG_MAX) return false;
    if (atomic_fetch_sub(&left, 1) != 0) return false;
    errno = ENOMEM;
    return true;
}

/* ---- counting ---------------------------------------------------------------------------------------------------------- */

static atomic_bool counts;
static atomic_long held, most;

void failing_malloc_count(void) {
    mallopt(M_MMAP_THRESHOLD, 1 << 25); /* a mapped block is as large as its pages */
    atomic_store(&held, 0);
    atomic_store(&most, 0);
    atomic_store(&counts, true);
}

size_t failing_malloc_peak(void) {
    atomic_store(&counts, false);
    return (size_t)atomic_load(&most);
}

static void *taken(void *memory) {
    if (!memory || !atomic_load(&counts)) return memory;
    long now = atomic_fetch_add(&held, (long)malloc_usable_size(memory)) + (long)malloc_usable_size(memory), before = atomic_load(&most);
    while (before < now && !atomic_compare_exchange_weak(&most, &before, now)) {}
    return memory;
}

static void given(void *memory) {
    if (memory && atomic_load(&counts)) atomic_fetch_sub(&held, (long)malloc_usable_size(memory));
}

/* ---- what the linker puts in place of the C library's ------------------------------------------------------------------- */

void __wrap_free(void *memory) {
    given(memory);
    __real_free(memory);
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : taken(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : taken(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size) {
    if (fails()) return NULL;
    size_t before = memory && atomic_load(&counts) ? malloc_usable_size(memory) : 0;
    void *longer = __real_realloc(memory, size);
    if (longer) atomic_fetch_sub(&held, (long)before);
    return taken(longer);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : taken(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size) {
    return fails() ? ENOMEM : __real_posix_memalign(memory, alignment, size);
}

char *__wrap_strdup(const char *text) {
    return fails() ? NULL : taken(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t size) {
    return fails() ? NULL : taken(__real_strndup(text, size));
}
