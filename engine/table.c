#include "engine/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/checked.h"

struct slot {
    uint64_t key;
    uint32_t value;
    bool used;
};

struct table {
    struct slot *slots;
    size_t mask; /* slots - 1, a power of two less one; at least half of the slots stay free */
    uint64_t seed;
};

/* Murmur3's finaliser (Appleby): every bit of the key moves every bit of the place. */
static uint64_t mix(uint64_t h) {
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

struct table *table_create(size_t entries) {
    size_t slots = 16, bytes;
    while (slots / 2 < entries) {
        if (!checked_multiply(slots, 2, &slots)) return NULL;
    }
    if (!checked_multiply(slots, sizeof(struct slot), &bytes)) return NULL;
    struct table *table = malloc(sizeof *table);
    if (table == NULL) return NULL;
    table->slots = calloc(1, bytes);
    table->mask = slots - 1;
    if (getrandom(&table->seed, sizeof table->seed, 0) != (ssize_t)sizeof table->seed) table->seed = (uintptr_t)table;
    if (table->slots == NULL) {
        free(table);
        return NULL;
    }
    return table;
}

void table_destroy(struct table *table) {
    if (table == NULL) return;
    free(table->slots);
    free(table);
}

static size_t place(const struct table *table, uint64_t key) {
    return (size_t)mix(key ^ table->seed) & table->mask;
}

void table_add(struct table *table, uint64_t key, uint32_t value) {
    size_t at = place(table, key);
    while (table->slots[at].used) at = (at + 1) & table->mask;
    table->slots[at] = (struct slot){key, value, true};
}

bool table_next(const struct table *table, uint64_t key, size_t *probe, uint32_t *value) {
    for (;;) {
        const struct slot *slot = &table->slots[(place(table, key) + *probe) & table->mask];
        if (!slot->used) return false;
        ++*probe;
        if (slot->key != key) continue;
        *value = slot->value;
        return true;
    }
}

bool table_find(const struct table *table, uint64_t key, uint32_t *value) {
    size_t probe = 0;
    return table_next(table, key, &probe, value);
}

uint64_t table_hash(const struct table *table, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    uint64_t hash = table->seed ^ size, word;
    for (; size >= sizeof word; at += sizeof word, size -= sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = mix(hash ^ word);
    }
    word = 0;
    memcpy(&word, at, size);
    return mix(hash ^ word);
}
