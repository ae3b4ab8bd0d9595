/* table.h: byte strings by number, found by their bytes. */
#ifndef FE_TABLE_H
#define FE_TABLE_H

#include "fe.h"
#include "hash.h"

/* Open addressing, at most half full. A slot is the upper half of a hash << 32 | number + 1, or 0 where it is empty. */
typedef struct fe_table {
    const uint64_t *slots;
    uint64_t mask; /* slots - 1, a power of two - 1 */
    uint64_t seed;
} fe_table;

/* Strings one after another: string i is bytes + starts[i] up to bytes + starts[i + 1] - gap. */
typedef struct fe_strings {
    const uint8_t *bytes;
    const uint32_t *starts;
    uint32_t gap; /* bytes between two strings */
} fe_strings;

/* The number of the string that is these bytes, whose hash is known, or -1. */
static inline int32_t fe_table_find_hashed(const fe_table *table, const fe_strings *strings, uint64_t hash,
                                           const uint8_t *p, uint64_t size) {
    const uint64_t *const slots = table->slots;
    for (uint64_t i = hash & table->mask; slots[i]; i = (i + 1) & table->mask) {
        if ((slots[i] ^ hash) >> 32) continue;
        const uint32_t number = (uint32_t)slots[i] - 1, first = strings->starts[number];
        if (strings->starts[number + 1] - first - strings->gap == size && memcmp(strings->bytes + first, p, size) == 0)
            return (int32_t)number;
    }
    return -1;
}

static inline int32_t fe_table_find(const fe_table *table, const fe_strings *strings, const uint8_t *p, uint64_t size) {
    return fe_table_find_hashed(table, strings, fe_hash(p, size, table->seed), p, size);
}

/* How many slots a table of so many strings has. */
uint64_t fe_table_slots(uint64_t strings);

/* Fills `slots`, as many as fe_table_slots says, with strings 0 to count - 1, by the first seed that keeps searches
 * short, and describes the table in *table. Of equal strings the first is found; *twice is the second of the first two
 * that are equal, or -1. FE_BAD_MODEL: no seed does. */
fe_status fe_table_fill(fe_table *table, uint64_t *slots, const fe_strings *strings, int64_t count, int64_t *twice);

#endif
