#include "engine/reserve.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, LARGE_PAGE = 2 << 20, SMALL_PAGE = 4096, REGIONS = 16 };

/* Whole large pages; the first `touched` bytes have been written to. */
struct region {
    char *start;
    size_t bytes, touched;
};

struct reserve {
    pthread_mutex_t lock;
    int references;
    size_t most, wanted, bytes; /* bytes: of all regions */
    struct region region[REGIONS];
    int count;
};

size_t reserve_block_size(size_t bytes) {
    size_t unit = bytes >= LARGE_PAGE ? LARGE_PAGE : ALIGNMENT;
    return bytes == 0 ? unit : (bytes + unit - 1) / unit * unit;
}

struct reserve *reserve_create(uint64_t most) {
    struct reserve *reserve = calloc(1, sizeof *reserve);
    if (!reserve) return NULL;
    if (pthread_mutex_init(&reserve->lock, NULL) != 0) {
        free(reserve);
        return NULL;
    }
    reserve->references = 1;
    reserve->most = (size_t)most / LARGE_PAGE * LARGE_PAGE;
    return reserve;
}

struct reserve *reserve_retain(struct reserve *reserve) {
    pthread_mutex_lock(&reserve->lock);
    reserve->references++;
    pthread_mutex_unlock(&reserve->lock);
    return reserve;
}

void reserve_release(struct reserve *reserve) {
    if (!reserve) return;
    pthread_mutex_lock(&reserve->lock);
    int left = --reserve->references;
    pthread_mutex_unlock(&reserve->lock);
    if (left > 0) return;
    reserve_shrink(reserve, 0);
    pthread_mutex_destroy(&reserve->lock);
    free(reserve);
}

/* ---- mappings ---------------------------------------------------------------------------------------------------- */

/* Addresses for `bytes` on a large page's boundary; NULL: none. */
static char *map_aligned(size_t bytes, int protection) {
    char *wide = mmap(NULL, bytes + LARGE_PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wide == MAP_FAILED) return NULL;
    size_t before = (LARGE_PAGE - (uintptr_t)wide % LARGE_PAGE) % LARGE_PAGE;
    if (before > 0) munmap(wide, before);
    munmap(wide + before + bytes, LARGE_PAGE - before);
    return wide + before;
}

static char *map_fresh(size_t bytes) {
    char *start = map_aligned(bytes, PROT_READ | PROT_WRITE);
    if (start) madvise(start, bytes, MADV_HUGEPAGE); /* advice: whether it is taken changes only the speed */
    return start;
}

/* Moves the pages of a region to where there is room for `bytes`, the rest of which is fresh. NULL: it stays as it is. */
static char *map_longer(const struct region *region, size_t bytes) {
    char *place = map_aligned(bytes, PROT_NONE);
    if (!place) return NULL;
    char *start = mremap(region->start, region->bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    if (start != MAP_FAILED) return start;
    munmap(place, bytes);
    return NULL;
}

/* ---- regions (lock held) ------------------------------------------------------------------------------------------ */

static void region_remove(struct reserve *reserve, struct region *region) {
    reserve->bytes -= region->bytes;
    *region = reserve->region[--reserve->count];
}

static struct region *region_smallest(struct reserve *reserve, size_t least) {
    struct region *best = NULL;
    for (int i = 0; i < reserve->count; i++) {
        struct region *region = &reserve->region[i];
        if (region->bytes >= least && (!best || region->bytes < best->bytes)) best = region;
    }
    return best;
}

static struct region *region_largest(struct reserve *reserve) {
    struct region *best = NULL;
    for (int i = 0; i < reserve->count; i++)
        if (!best || reserve->region[i].bytes > best->bytes) best = &reserve->region[i];
    return best;
}

/* The smallest lose their ends first. */
static void regions_cut(struct reserve *reserve, size_t most) {
    while (reserve->bytes > most) {
        struct region *region = region_smallest(reserve, 0);
        size_t over = reserve->bytes - most, cut = (over + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
        if (cut > region->bytes) cut = region->bytes;
        region->bytes -= cut;
        reserve->bytes -= cut;
        munmap(region->start + region->bytes, cut);
        if (region->touched > region->bytes) region->touched = region->bytes;
        if (region->bytes == 0) region_remove(reserve, region);
    }
}

static void region_add(struct reserve *reserve, struct region region) {
    for (int i = 0; i < reserve->count; i++) { /* neighbours, both touched all over, become one */
        struct region *other = &reserve->region[i];
        bool before = region.start + region.bytes == other->start, after = other->start + other->bytes == region.start;
        if ((!before && !after) || region.touched < region.bytes || other->touched < other->bytes) continue;
        if (after) region.start = other->start;
        region.bytes += other->bytes;
        region.touched = region.bytes;
        region_remove(reserve, other);
        i = -1;
    }
    if (reserve->count == REGIONS) {
        struct region *smallest = region_smallest(reserve, 0);
        munmap(smallest->start, smallest->bytes);
        region_remove(reserve, smallest);
    }
    reserve->region[reserve->count++] = region;
    reserve->bytes += region.bytes;
    regions_cut(reserve, reserve->most);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* The first bytes of the smallest region that is large enough, or the largest one made longer. */
static char *take_large(struct reserve *reserve, size_t bytes) {
    struct region *region = region_smallest(reserve, bytes);
    if (region) {
        char *block = region->start;
        region->start += bytes;
        region->bytes -= bytes;
        region->touched -= region->touched < bytes ? region->touched : bytes;
        reserve->bytes -= bytes;
        if (region->bytes == 0) region_remove(reserve, region);
        return block;
    }
    region = region_largest(reserve);
    char *block = region ? map_longer(region, bytes) : NULL;
    if (block) region_remove(reserve, region);
    return block;
}

void *reserve_take(struct reserve *reserve, size_t bytes) {
    size_t size = reserve_block_size(bytes);
    if (size < LARGE_PAGE) return aligned_alloc(ALIGNMENT, size);
    pthread_mutex_lock(&reserve->lock);
    char *block = take_large(reserve, size);
    pthread_mutex_unlock(&reserve->lock);
    return block ? block : map_fresh(size);
}

void reserve_give(struct reserve *reserve, void *block, size_t bytes) {
    size_t size = reserve_block_size(bytes);
    if (size < LARGE_PAGE || !block) {
        free(block);
        return;
    }
    if (size > reserve->most) {
        munmap((char *)block + reserve->most, size - reserve->most);
        size = reserve->most;
        if (size == 0) return;
    }
    madvise(block, size, MADV_FREE);
    pthread_mutex_lock(&reserve->lock);
    region_add(reserve, (struct region){block, size, size});
    pthread_mutex_unlock(&reserve->lock);
}

/* ---- in advance --------------------------------------------------------------------------------------------------- */

void reserve_expect(struct reserve *reserve, uint64_t bytes) {
    pthread_mutex_lock(&reserve->lock);
    size_t most = reserve->most, wanted = bytes < most ? (size_t)bytes / LARGE_PAGE * LARGE_PAGE : most;
    if (wanted > reserve->wanted) reserve->wanted = wanted;
    pthread_mutex_unlock(&reserve->lock);
}

/* A region that is not touched all over. Lock held. NULL: there is nothing to be done. */
static struct region *region_to_touch(struct reserve *reserve) {
    for (int i = 0; i < reserve->count; i++)
        if (reserve->region[i].touched < reserve->region[i].bytes) return &reserve->region[i];
    if (reserve->bytes >= reserve->wanted || reserve->count == REGIONS) return NULL;
    size_t bytes = reserve->wanted - reserve->bytes;
    struct region *longest = region_largest(reserve), fresh = {.bytes = bytes};
    if (longest) { /* one long region serves a large block */
        fresh = (struct region){map_longer(longest, longest->bytes + bytes), longest->bytes + bytes, longest->bytes};
        if (fresh.start) region_remove(reserve, longest);
    }
    if (!fresh.start) fresh = (struct region){map_fresh(bytes), bytes, 0};
    if (!fresh.start) return NULL;
    reserve->region[reserve->count] = fresh;
    reserve->bytes += fresh.bytes;
    return &reserve->region[reserve->count++];
}

bool reserve_touch(struct reserve *reserve) {
    pthread_mutex_lock(&reserve->lock);
    struct region *region = region_to_touch(reserve);
    if (region) {
        volatile char *page = region->start + region->touched;
        for (size_t i = 0; i < LARGE_PAGE; i += SMALL_PAGE) page[i] = 0;
        madvise(region->start + region->touched, LARGE_PAGE, MADV_FREE);
        region->touched += LARGE_PAGE;
    }
    pthread_mutex_unlock(&reserve->lock);
    return region != NULL;
}

void reserve_shrink(struct reserve *reserve, uint64_t bytes) {
    pthread_mutex_lock(&reserve->lock);
    regions_cut(reserve, (size_t)bytes);
    pthread_mutex_unlock(&reserve->lock);
}

uint64_t reserve_bytes(struct reserve *reserve) {
    pthread_mutex_lock(&reserve->lock);
    uint64_t bytes = reserve->bytes;
    pthread_mutex_unlock(&reserve->lock);
    return bytes;
}
