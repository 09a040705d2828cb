#include "engine/memory.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Below this a block is not worth a large page of its own. */
enum { LARGE_PAGE = 2 << 20, LARGE_FROM = 2 << 20 };

size_t memory_aligned_size(size_t bytes) {
    size_t unit = bytes >= LARGE_FROM ? LARGE_PAGE : MEMORY_ALIGNMENT;
    return bytes == 0 ? unit : (bytes + unit - 1) / unit * unit;
}

void *memory_aligned(size_t bytes) {
    size_t size = memory_aligned_size(bytes);
    if (bytes < LARGE_FROM) return aligned_alloc(MEMORY_ALIGNMENT, size);
    void *block = aligned_alloc(LARGE_PAGE, size);
    if (block) madvise(block, size, MADV_HUGEPAGE); /* advice: whether it is taken changes only the speed */
    return block;
}
