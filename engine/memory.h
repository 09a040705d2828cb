/*
 * memory.h: large blocks of floats, aligned for vectors, on large pages where the system has them (a run of 8000 tokens
 * touches a gigabyte for the first time: with 4 KiB pages the faults alone would cost 2 %). Freed with free().
 */
#ifndef HEADSCOPE_ENGINE_MEMORY_H
#define HEADSCOPE_ENGINE_MEMORY_H

#include <stddef.h>

enum { MEMORY_ALIGNMENT = 64 };

/* At least `bytes` bytes (a multiple of MEMORY_ALIGNMENT is taken), not cleared. NULL: no memory. */
void *memory_aligned(size_t bytes);
/* What memory_aligned takes for `bytes`, at most: for estimates. */
size_t memory_aligned_size(size_t bytes);

#endif
