/*
 * memory_limit.h: how much memory analyses may take when nobody says so.
 */
#ifndef HEADSCOPE_SERVER_MEMORY_LIMIT_H
#define HEADSCOPE_SERVER_MEMORY_LIMIT_H

#include <stdint.h>

/* Half of what this machine, or the container that it runs in, has. 0 (no limit) where that cannot be told. */
uint64_t memory_limit_default(void);

#endif
