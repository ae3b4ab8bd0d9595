/* cut.h: where a text may be cut because no token reaches across. */
#ifndef FE_CUT_H
#define FE_CUT_H

#include <stdbool.h>
#include <stdint.h>

/* The pairs of code points that stand side by side inside some token that merging makes, as a set of
 * hashes. A pair that is not among them is taken for one now and then: then the text is not cut there. */
typedef struct fe_pairs {
    const uint64_t *bits;
} fe_pairs;

enum { FE_PAIR_BITS = 19, FE_PAIR_WORDS = (1 << FE_PAIR_BITS) / 64 };

/* The bit of a pair. Two rounds: after one, pairs of neighbouring code points fell together far too often. */
static inline uint64_t fe_pair_bit(uint32_t a, uint32_t b) {
    uint64_t h = a * UINT64_C(0x9E3779B97F4A7C15) + b * UINT64_C(0xC2B2AE3D27D4EB4F);
    h = (h ^ h >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return h >> (64 - FE_PAIR_BITS);
}

/* False if no token holds a before b: then a text may be cut between them. */
static inline bool fe_pairs_join(const fe_pairs *pairs, uint32_t a, uint32_t b) {
    const uint64_t bit = fe_pair_bit(a, b);
    return pairs->bits[bit / 64] >> bit % 64 & 1;
}

#endif
