#include "server/memory_limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* The limit in a control group's file; UINT64_MAX where there is none ("max", an absurdly large number, no such file). */
static uint64_t memory_limit_of_group(const char *path) {
    uint64_t limit = UINT64_MAX;
    FILE *file = fopen(path, "r");
    if (!file) return limit;
    if (fscanf(file, "%" SCNu64, &limit) != 1) limit = UINT64_MAX;
    fclose(file);
    return limit;
}

uint64_t memory_limit_default(void) {
    /* Version 2 and version 1 of Linux' control groups, as a container sees its own. */
    static const char *const groups[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t least = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        uint64_t limit = memory_limit_of_group(groups[i]);
        if (limit < least) least = limit;
    }
    return least == UINT64_MAX ? 0 : least / 2;
}
