/*
 * table.h: a hash table from 64-bit keys to 32-bit values, by open addressing with linear probing. Its size is fixed when it is
 * made. A key may be there more than once: to look up byte strings, use table_hash as the key and compare the strings of every
 * value found. Keys are mixed with a random seed of the table's own, so that no model file can be made to collide.
 */
#ifndef HEADSCOPE_ENGINE_TABLE_H
#define HEADSCOPE_ENGINE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table;

/* Room for `entries` entries. NULL without memory. */
struct table *table_create(size_t entries);
void table_destroy(struct table *table); /* NULL is fine */

/* At most the promised number of times. */
void table_add(struct table *table, uint64_t key, uint32_t value);

/* The first value of `key`, or false. */
bool table_find(const struct table *table, uint64_t key, uint32_t *value);

/* Every value of `key`: start with *probe = 0 and call until false. */
bool table_next(const struct table *table, uint64_t key, size_t *probe, uint32_t *value);

/* Differs from table to table and from run to run. */
uint64_t table_hash(const struct table *table, const void *bytes, size_t size);

#endif
