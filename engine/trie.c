#include "engine/trie.h"

#include <stdlib.h>
#include <string.h>

#include "engine/checked.h"

/* Children of a node lie side by side, in the order of their bytes. */
struct node {
    uint32_t value, first_child;
    uint16_t children;
    uint8_t byte;
};

struct trie {
    struct node *nodes; /* level by level, the root first */
    size_t count, room;
    uint32_t from_root[256];
    char *strings; /* the entries' */
};

/* The entries that pass through a node. */
struct range {
    uint32_t start, end;
};

static int compare_entries(const void *a, const void *b) {
    const struct trie_entry *left = a, *right = b;
    int order = memcmp(left->bytes, right->bytes, left->size < right->size ? left->size : right->size);
    if (order != 0) return order;
    if (left->size != right->size) return left->size < right->size ? -1 : 1;
    return (left->value > right->value) - (left->value < right->value);
}

/* Appends the children of `node`, which lies at `depth` and holds the entries of `range`. Ranges of nodes on the next level go to `next`. */
static size_t add_children(struct trie *trie, const struct trie_entry *entries, uint32_t node, uint32_t depth,
                           struct range range, struct range *next) {
    size_t added = 0;
    uint32_t at = range.start;
    for (; at < range.end && entries[at].size == depth; at++)
        if (trie->nodes[node].value == TRIE_NONE) trie->nodes[node].value = entries[at].value;
    trie->nodes[node].first_child = (uint32_t)trie->count;
    while (at < range.end) {
        uint8_t byte = (uint8_t)entries[at].bytes[depth];
        uint32_t end = at + 1;
        while (end < range.end && (uint8_t)entries[end].bytes[depth] == byte) end++;
        trie->nodes[trie->count++] = (struct node){.value = TRIE_NONE, .byte = byte};
        next[added++] = (struct range){at, end};
        at = end;
    }
    trie->nodes[node].children = (uint16_t)added;
    return added;
}

/* How many nodes there will be: one for each prefix that the string before does not share. */
static size_t count_nodes(const struct trie_entry *entries, size_t count) {
    size_t nodes = 1;
    for (size_t i = 0; i < count; i++) {
        uint32_t shared = 0;
        if (i > 0)
            while (shared < entries[i].size && shared < entries[i - 1].size &&
                   entries[i].bytes[shared] == entries[i - 1].bytes[shared])
                shared++;
        nodes += entries[i].size - shared;
    }
    return nodes;
}

static void build(struct trie *trie, const struct trie_entry *entries, size_t count, struct range *level, struct range *next) {
    size_t width = 1;
    uint32_t first = 0;
    trie->nodes[0] = (struct node){.value = TRIE_NONE};
    trie->count = 1;
    level[0] = (struct range){0, (uint32_t)count};
    for (uint32_t depth = 0; width > 0; depth++) {
        size_t next_width = 0;
        for (size_t i = 0; i < width; i++)
            next_width += add_children(trie, entries, first + (uint32_t)i, depth, level[i], next + next_width);
        struct range *swapped = level;
        level = next;
        next = swapped;
        first += (uint32_t)width;
        width = next_width;
    }
}

/* Points the entries to copies of their strings: a mapped file may change while the trie is made, and a string that changes
 * between counting and building would not fit. NULL without memory. */
static char *own_strings(struct trie_entry *entries, size_t count) {
    size_t bytes = 1;
    for (size_t i = 0; i < count; i++)
        if (!checked_add(bytes, entries[i].size, &bytes)) return NULL;
    char *strings = malloc(bytes), *at = strings;
    if (strings == NULL) return NULL;
    for (size_t i = 0; i < count; at += entries[i++].size) {
        memcpy(at, entries[i].bytes, entries[i].size);
        entries[i].bytes = at;
    }
    return strings;
}

static struct trie *create_sorted(const struct trie_entry *entries, size_t count) {
    size_t nodes = count_nodes(entries, count), bytes;
    if (nodes >= TRIE_NONE || !checked_multiply(nodes, sizeof(struct node), &bytes)) return NULL;
    struct trie *trie = calloc(1, sizeof *trie);
    if (trie == NULL) return NULL;
    /* No level is wider than there are entries. */
    struct range *level = malloc((count + 1) * sizeof *level), *next = malloc((count + 1) * sizeof *next);
    trie->nodes = malloc(bytes);
    bool enough = trie->nodes != NULL && level != NULL && next != NULL;
    if (enough) build(trie, entries, count, level, next);
    free(level);
    free(next);
    if (!enough) {
        trie_destroy(trie);
        return NULL;
    }
    for (unsigned byte = 0; byte < 256; byte++) trie->from_root[byte] = TRIE_NONE;
    for (uint32_t i = 0; i < trie->nodes[0].children; i++) trie->from_root[trie->nodes[1 + i].byte] = 1 + i;
    return trie;
}

struct trie *trie_create(struct trie_entry *entries, size_t count) {
    if (count > UINT32_MAX / 2) return NULL;
    char *strings = own_strings(entries, count);
    if (strings == NULL) return NULL;
    if (count > 0) qsort(entries, count, sizeof *entries, compare_entries);
    struct trie *trie = create_sorted(entries, count);
    if (trie == NULL) free(strings);
    else trie->strings = strings;
    return trie;
}

void trie_destroy(struct trie *trie) {
    if (trie == NULL) return;
    free(trie->nodes);
    free(trie->strings);
    free(trie);
}

uint32_t trie_step(const struct trie *trie, uint32_t node, unsigned char byte) {
    if (node == TRIE_ROOT) return trie->from_root[byte];
    uint32_t low = trie->nodes[node].first_child, high = low + trie->nodes[node].children;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (trie->nodes[middle].byte < byte) low = middle + 1;
        else high = middle;
    }
    return low < trie->nodes[node].first_child + trie->nodes[node].children && trie->nodes[low].byte == byte ? low : TRIE_NONE;
}

uint32_t trie_value(const struct trie *trie, uint32_t node) {
    return trie->nodes[node].value;
}
