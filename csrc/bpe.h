/* bpe.h: byte pair encoding of one piece of text, given as symbol ids. */
#ifndef FE_BPE_H
#define FE_BPE_H

#include "fe.h"

/* Which pairs merge, and into what: open addressing on the pair, at most half full. */
typedef struct fe_merges {
    struct fe_slot *slots;
    uint64_t mask;
    int32_t *result; /* by rank */
} fe_merges;

/* Room for merging long pieces; grows as needed, never shrinks, belongs to one call. */
typedef struct fe_scratch {
    uint32_t *rank;
    int32_t *prev;
    int32_t *next;
    uint64_t *heap;
    int64_t capacity; /* symbols */
} fe_scratch;

fe_status fe_merges_init(fe_merges *merges, const fe_model *model);
void fe_merges_clear(fe_merges *merges);
void fe_scratch_clear(fe_scratch *scratch);

/* Merges the n symbols at ids in place, lowest rank first and leftmost among equals, until no pair
 * merges; *n becomes the number left. Takes O(n log n) time for any input. */
fe_status fe_merge(const fe_merges *merges, int32_t *ids, int64_t *n, fe_scratch *scratch);

#endif
