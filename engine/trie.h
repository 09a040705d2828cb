/*
 * trie.h: finds which of many byte strings a text starts with, a byte at a time. Immutable once made.
 */
#ifndef HEADSCOPE_ENGINE_TRIE_H
#define HEADSCOPE_ENGINE_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trie;

struct trie_entry {
    const char *bytes;
    uint32_t size;  /* > 0 */
    uint32_t value; /* < TRIE_NONE */
};

#define TRIE_NONE UINT32_MAX
enum { TRIE_ROOT = 0 };

/* Sorts the entries, and points them to copies of their strings that live as long as the trie; of equal strings the one with the smallest value is
 * kept. NULL without memory. Takes 16 bytes for each different prefix of the strings. */
struct trie *trie_create(struct trie_entry *entries, size_t count);
void trie_destroy(struct trie *trie); /* NULL is fine */

/* The node behind `node` and one more byte, or TRIE_NONE. */
uint32_t trie_step(const struct trie *trie, uint32_t node, unsigned char byte);
/* The value of the string that ends at `node`, or TRIE_NONE. */
uint32_t trie_value(const struct trie *trie, uint32_t node);

#endif
