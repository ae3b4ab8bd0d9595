/* trie.h: byte strings by their bytes, one byte a step: a double array. */
#ifndef FE_TRIE_H
#define FE_TRIE_H

#include <stdbool.h>

#include "fe.h"

enum { FE_TRIE_BLOCK = 256 }; /* units are counted in blocks of so many: base ^ byte stays inside the block of base */

/* A node and the place of its children: the child by a byte is unit base ^ byte, if that one's check is this node. The
 * root is unit 0. So each node has one parent, and a walk from the root meets no node twice, whatever the numbers. */
typedef struct fe_unit {
    int32_t base;
    int32_t check; /* the parent; -1: the root, or free */
    int32_t value; /* the string that ends here, or -1 */
} fe_unit;

/* The child of a node by a byte, or -1. */
static inline int32_t fe_trie_next(const fe_unit *units, int32_t node, uint8_t byte) {
    const int32_t child = units[node].base ^ byte;
    return units[child].check == node ? child : -1;
}

/* What a trie is made of: those strings i of `count` for which (flags[i] & mask) == want. String i is bytes +
 * offsets[i] up to bytes + offsets[i + 1], and not empty; reversed: read from its end. */
typedef struct fe_keys {
    const uint8_t *bytes;
    const uint32_t *offsets;
    const uint8_t *flags;
    int64_t count;
    uint8_t mask, want;
    bool reversed;
} fe_keys;

/* A trie as it is built, to be freed by fe_trie_clear. */
typedef struct fe_trie {
    fe_unit *units;
    int64_t count;  /* of units */
    int32_t *order; /* the nodes, parents before children, the root first */
    int64_t nodes;
} fe_trie;

/* Builds a trie, in time that grows with the bytes of the strings. Of equal strings the last one counts. On any status
 * but FE_OK nothing is left to free. */
fe_status fe_trie_build(const fe_keys *keys, fe_trie *trie);

void fe_trie_clear(fe_trie *trie);

/* True if no number in the units leads outside of them, and no value is `values` or more. */
bool fe_trie_valid(const fe_unit *units, uint64_t count, int64_t values);

#endif
