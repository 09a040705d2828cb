/*
 * reserve.h: memory for runs that has been touched before. The first write to a page of fresh memory costs more than a run's
 * own work on it (the system clears the page; in a virtual machine the host may have to find it first): measured 2 ms a
 * megabyte, a third of the time of a run over 256 tokens. So blocks that runs give back are kept for the next one, and when there
 * is nothing to do some are touched in advance.
 *
 * What the reserve holds is marked so that the system may take the pages back when memory is short (MADV_FREE).
 *
 * Blocks    Those of 2 MiB and more lie on large pages of their own and pass through the reserve; smaller ones come from malloc.
 * Threads   Everything may be called from any thread. Reference counted: activations may outlive their engine.
 */
#ifndef HEADSCOPE_ENGINE_RESERVE_H
#define HEADSCOPE_ENGINE_RESERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reserve;

/* Holds at most `most` bytes. NULL: no memory. */
struct reserve *reserve_create(uint64_t most);
struct reserve *reserve_retain(struct reserve *reserve);
void reserve_release(struct reserve *reserve); /* NULL is fine */

/* At least `bytes` bytes on a 64-byte boundary, not cleared. NULL: no memory. */
void *reserve_take(struct reserve *reserve, size_t bytes);
/* `bytes` as it was taken. A block that is NULL is fine. */
void reserve_give(struct reserve *reserve, void *block, size_t bytes);
/* What reserve_take takes for `bytes`, at most: for estimates. */
size_t reserve_block_size(size_t bytes);

/* A run took so much in all: that is how much to have ready for the next. */
void reserve_expect(struct reserve *reserve, uint64_t bytes);
/* Touches the next piece (some 2 ms) of what is still to be had ready. False: nothing is. */
bool reserve_touch(struct reserve *reserve);
/* Lets go until `bytes` are held at most. */
void reserve_shrink(struct reserve *reserve, uint64_t bytes);
uint64_t reserve_bytes(struct reserve *reserve);

#endif
