/* bpe.h: byte pair encoding of one piece of text, given as token numbers. */
#ifndef FE_BPE_H
#define FE_BPE_H

#include <stdbool.h>

#include "fe.h"
#include "hash.h"

#define FE_NO_RANK UINT32_MAX

enum {
    FE_TOKEN_BITS = 21, /* a slot holds two tokens and a rank in 64 bits */
    FE_RANK_BITS = 22,
    FE_MAX_TOKENS = (1 << FE_TOKEN_BITS) - 1,
    FE_MAX_MERGES = (1 << FE_RANK_BITS) - 1,
    FE_SHORT_PIECE = 384 /* symbols, a multiple of 16; measured: the heap wins only beyond about this length */
};

/* Which pairs merge, and into what. A slot is left << 43 | right << 22 | rank, or FE_EMPTY_SLOT: one load answers
 * both whether a pair merges and when. Open addressing, at most half full; every search starts at a line of
 * FE_PAIR_LINE slots, so that one cache line nearly always has the answer, and one comparison of vectors finds it. */
typedef struct fe_merges {
    const uint64_t *slots;
    const uint64_t *filter;    /* FE_FILTER_BITS for each slot: where none is set, no pair with that hash merges */
    uint32_t shift;            /* 64 - log2 of the number of slots */
    uint64_t seed;
    const uint32_t *result;    /* the token by rank; NULL: the rank is the token */
    uint32_t tied;             /* ranks from this one on come in one order: the leftmost pair first */
    const int32_t *byte_token; /* 256; -1 where a byte is no symbol */
    const uint32_t *byte_rank; /* of each pair of bytes, 65536 */
} fe_merges;

#define FE_EMPTY_SLOT UINT64_MAX

/* Room for merging long pieces; grows as needed, never shrinks, belongs to one call. */
typedef struct fe_scratch {
    uint32_t *rank;
    int32_t *prev;
    int32_t *next;
    uint64_t *heap;
    int64_t capacity; /* symbols */
} fe_scratch;

void fe_scratch_clear(fe_scratch *scratch);

static inline uint64_t fe_pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << FE_TOKEN_BITS | (uint32_t)right;
}

/* The hash of a pair. Its high bits are the line of slots, and with some more the bit of the filter: most pairs that
 * are asked for do not merge, and of those the filter, which stays in the second cache level, lets a tenth through. */
static inline uint64_t fe_pair_hash(uint64_t key, uint64_t seed) {
    key ^= seed;
    return (key ^ key >> 17) * UINT64_C(0x9E3779B97F4A7C15);
}

enum { FE_FILTER_LOG = 2, FE_FILTER_BITS = 1 << FE_FILTER_LOG, FE_PAIR_LINE = 8 };

/* The slot at which the search for a pair begins, by its hash. */
static inline uint64_t fe_pair_home(const fe_merges *merges, uint64_t hash) {
    return hash >> merges->shift & ~(uint64_t)(FE_PAIR_LINE - 1);
}

/* True if the filter lets a hash through: all pairs that merge, and a tenth of the others. */
static inline bool fe_pair_may_merge(const fe_merges *merges, uint64_t hash) {
    const uint64_t bit = hash >> (merges->shift - FE_FILTER_LOG);
    return merges->filter[bit / 64] >> bit % 64 & 1;
}

/* The rank at which left and right merge, or FE_NO_RANK. */
static inline uint32_t fe_pair_rank(const fe_merges *merges, int32_t left, int32_t right) {
    const uint64_t key = fe_pair_key(left, right), hash = fe_pair_hash(key, merges->seed);
    const uint64_t mask = (UINT64_C(1) << (64 - merges->shift)) - 1;
    if (!fe_pair_may_merge(merges, hash)) return FE_NO_RANK;
    for (uint64_t i = fe_pair_home(merges, hash);; i = (i + 1) & mask) {
        const uint64_t slot = merges->slots[i];
        if (slot >> FE_RANK_BITS == key) return (uint32_t)slot & FE_MAX_MERGES;
        if (slot == FE_EMPTY_SLOT) return FE_NO_RANK;
    }
}

/* Merges the n symbols at tokens in place, lowest rank first and leftmost among equals, until no pair merges; *n
 * becomes the number left. Takes O(n log n) time for any input. */
fe_status fe_merge(const fe_merges *merges, int32_t *tokens, int64_t *n, fe_scratch *scratch);

/* The same for a piece of n bytes, all of which are symbols; tokens has room for n. */
fe_status fe_merge_bytes(const fe_merges *merges, const uint8_t *bytes, int32_t *tokens, int64_t *n,
                         fe_scratch *scratch);

#endif
