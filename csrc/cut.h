/* cut.h: where a text may be cut because no token reaches across. */
#ifndef FE_CUT_H
#define FE_CUT_H

#include <stdbool.h>

#include "fe.h"

/* The pairs of code points that stand side by side inside some token that merging makes, as a set of
 * hashes: a pair that is in it may be reported as one, and so is one in ten that is not. */
typedef struct fe_pairs {
    uint64_t *bits;
} fe_pairs;

fe_status fe_pairs_init(fe_pairs *pairs, const fe_model *model);
void fe_pairs_clear(fe_pairs *pairs);

enum { FE_PAIR_BITS = 17 };

/* The bit of a pair: the high bits of a product, which depend on all bits of both. */
static inline uint32_t fe_pair_bit(uint32_t a, uint32_t b) {
    return ((a * UINT32_C(0x9E3779B1) ^ b * UINT32_C(0x85EBCA77)) * UINT32_C(0xC2B2AE3D)) >> (32 - FE_PAIR_BITS);
}

/* False if no token holds a before b: then a text may be cut between them. */
static inline bool fe_pairs_join(const fe_pairs *pairs, uint32_t a, uint32_t b) {
    const uint32_t bit = fe_pair_bit(a, b);
    return pairs->bits[bit / 64] >> bit % 64 & 1;
}

#endif
