/* bpe.c: byte pair encoding of one piece.
 *
 * Two loops give the same answer. Short pieces, nearly all there are, are scanned for the lowest rank after every
 * merge: quadratic, but over few numbers, many at once, in the first cache level. Longer ones keep their pairs in a
 * heap, so a megabyte without a space is still O(n log n).
 */
#include "bpe.h"

#include <string.h>

#include "mem.h"

void fe_scratch_clear(fe_scratch *scratch) {
    free(scratch->rank);
    free(scratch->prev);
    free(scratch->next);
    free(scratch->heap);
}

enum { LARGE = 1 << 16 }; /* symbols from which on no more room is made than is asked for */

static fe_status scratch_reserve(fe_scratch *scratch, int64_t n) {
    if (n <= scratch->capacity) return FE_OK;
    const size_t room = (size_t)n + (n < LARGE ? (size_t)n / 2 : 0);
    fe_scratch_clear(scratch);
    memset(scratch, 0, sizeof *scratch);
    scratch->rank = malloc(room * sizeof *scratch->rank);
    scratch->prev = malloc(room * sizeof *scratch->prev);
    scratch->next = malloc(room * sizeof *scratch->next);
    /* n - 1 first pairs, then at most two new ones for each of n - 1 merges, each of which takes one out */
    scratch->heap = malloc(2 * room * sizeof *scratch->heap);
    if (!scratch->rank || !scratch->prev || !scratch->next || !scratch->heap) return FE_NO_MEMORY;
    scratch->capacity = (int64_t)room;
    return FE_OK;
}

static inline uint32_t rank_of(const fe_merges *merges, int32_t left, int32_t right) {
    const uint32_t rank = fe_pair_rank(merges, left, right);
    return rank < merges->tied || rank == FE_NO_RANK ? rank : merges->tied;
}

/* What left and right make, which merge at this rank. One that several share does not say it. */
static inline int32_t made_by(const fe_merges *merges, uint32_t rank, int32_t left, int32_t right) {
    if (rank >= merges->tied) rank = fe_pair_rank(merges, left, right);
    return (int32_t)(merges->result ? merges->result[rank] : rank);
}

/* The pairs of a short piece: rank << POSITION_BITS | position of the left token, so that the smallest number is the
 * lowest rank and the leftmost of those; NO_PAIR where none merges. Signed and moved to start from the lowest number,
 * since that is what vector instructions compare. */
enum { POSITION_BITS = 10, LANES = 16, NO_PAIR = INT32_MAX };

static int32_t pair_at(uint32_t rank, int64_t position) {
    if (rank == FE_NO_RANK) return NO_PAIR;
    return (int32_t)((rank << POSITION_BITS | (uint32_t)position) ^ UINT32_C(0x80000000));
}

/* The smallest of n numbers; n is a multiple of LANES. Compilers make vectors of this. */
static int32_t smallest(const int32_t *numbers, int64_t n) {
    int32_t lanes[LANES];
    memcpy(lanes, numbers, sizeof lanes);
    for (int64_t i = LANES; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] = numbers[i + j] < lanes[j] ? numbers[i + j] : lanes[j];
    for (int width = LANES / 2; width; width /= 2)
        for (int j = 0; j < width; j++) lanes[j] = lanes[j + width] < lanes[j] ? lanes[j + width] : lanes[j];
    return lanes[0];
}

/* rank[i] is that of the pair (i, i + 1), for i < n - 1. */
static int64_t merge_short(const fe_merges *merges, int32_t *tokens, const uint32_t *rank, int64_t n) {
    int32_t pairs[FE_SHORT_PIECE];
    uint16_t next[FE_SHORT_PIECE + 1], prev[FE_SHORT_PIECE + 1];
    const int64_t room = (n + LANES - 1) / LANES * LANES;
    if (n < 2) return n;
    for (int64_t i = 0; i < n; i++) {
        pairs[i] = i + 1 < n ? pair_at(rank[i], i) : NO_PAIR;
        next[i] = (uint16_t)(i + 1);
        prev[i + 1] = (uint16_t)i;
    }
    for (int64_t i = n; i < room; i++) pairs[i] = NO_PAIR;
    for (int32_t best; (best = smallest(pairs, room)) != NO_PAIR;) {
        const uint32_t pair = (uint32_t)best ^ UINT32_C(0x80000000);
        const int64_t at = pair & ((1 << POSITION_BITS) - 1), gone = next[at], after = next[gone];
        tokens[at] = made_by(merges, pair >> POSITION_BITS, tokens[at], tokens[gone]);
        pairs[gone] = NO_PAIR;
        next[at] = (uint16_t)after;
        prev[after] = (uint16_t)at; /* after == n is written too, and never read */
        pairs[at] = after < n ? pair_at(rank_of(merges, tokens[at], tokens[after]), at) : NO_PAIR;
        if (at > 0) {
            const int64_t before = prev[at];
            pairs[before] = pair_at(rank_of(merges, tokens[before], tokens[at]), before);
        }
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i = next[i]) tokens[kept++] = tokens[i];
    return kept;
}

/* A heap of rank << 32 | position: its order is lowest rank, then leftmost, which is the law of BPE. */
static void sift_down(uint64_t *heap, int64_t size, int64_t i) {
    const uint64_t item = heap[i];
    for (int64_t child; (child = 2 * i + 1) < size; i = child) {
        if (child + 1 < size && heap[child + 1] < heap[child]) child++;
        if (item <= heap[child]) break;
        heap[i] = heap[child];
    }
    heap[i] = item;
}

static void heap_push(uint64_t *heap, int64_t *size, uint64_t item) {
    int64_t i = (*size)++;
    for (int64_t parent; i > 0 && heap[parent = (i - 1) / 2] > item; i = parent) heap[i] = heap[parent];
    heap[i] = item;
}

static uint64_t heap_pop(uint64_t *heap, int64_t *size) {
    const uint64_t top = heap[0];
    heap[0] = heap[--(*size)];
    if (*size > 0) sift_down(heap, *size, 0);
    return top;
}

/* The ranks of the pairs stand in the scratch. */
static int64_t merge_long(const fe_merges *merges, int32_t *tokens, int64_t n, const fe_scratch *scratch) {
    uint32_t *const rank = scratch->rank; /* of the pair (i, next[i]); what the heap says beyond it is old */
    int32_t *const prev = scratch->prev, *const next = scratch->next;
    uint64_t *const heap = scratch->heap;
    int64_t size = 0;

    FE_ASSERT(n <= scratch->capacity);
    rank[n - 1] = FE_NO_RANK;
    for (int64_t i = 0; i < n; i++) {
        prev[i] = (int32_t)(i - 1);
        next[i] = (int32_t)(i + 1);
        if (rank[i] != FE_NO_RANK) heap[size++] = (uint64_t)rank[i] << 32 | (uint64_t)i;
    }
    for (int64_t i = size / 2; i-- > 0;) sift_down(heap, size, i);

    while (size > 0) {
        FE_ASSERT(size <= 2 * n);
        const uint64_t top = heap_pop(heap, &size);
        const int32_t at = (int32_t)(top & UINT32_MAX);
        const uint32_t best = (uint32_t)(top >> 32);
        if (rank[at] != best) continue; /* this pair is gone */
        const int32_t gone = next[at];
        tokens[at] = made_by(merges, best, tokens[at], tokens[gone]);
        rank[gone] = FE_NO_RANK;
        next[at] = next[gone];
        rank[at] = FE_NO_RANK;
        if (next[at] < n) {
            prev[next[at]] = at;
            rank[at] = rank_of(merges, tokens[at], tokens[next[at]]);
            if (rank[at] != FE_NO_RANK) heap_push(heap, &size, (uint64_t)rank[at] << 32 | (uint32_t)at);
        }
        const int32_t before = prev[at];
        if (before >= 0) {
            rank[before] = rank_of(merges, tokens[before], tokens[at]);
            if (rank[before] != FE_NO_RANK) heap_push(heap, &size, (uint64_t)rank[before] << 32 | (uint32_t)before);
        }
    }
    int64_t kept = 0;
    for (int32_t i = 0; i < n; i = next[i]) tokens[kept++] = tokens[i]; /* position 0 is never merged away */
    return kept;
}

fe_status fe_merge(const fe_merges *merges, int32_t *tokens, int64_t *n, fe_scratch *scratch) {
    uint32_t few[FE_SHORT_PIECE + 1], *rank = few;
    if (*n >= INT32_MAX) return FE_TOO_LONG; /* positions in the heap are 32 bits */
    if (*n > FE_SHORT_PIECE) {
        const fe_status status = scratch_reserve(scratch, *n);
        if (status != FE_OK) return status;
        rank = scratch->rank;
    }
    for (int64_t i = 0; i + 1 < *n; i++) rank[i] = rank_of(merges, tokens[i], tokens[i + 1]);
    *n = rank == few ? merge_short(merges, tokens, few, *n) : merge_long(merges, tokens, *n, scratch);
    return FE_OK;
}

fe_status fe_merge_bytes(const fe_merges *merges, const uint8_t *bytes, int32_t *tokens, int64_t *n,
                         fe_scratch *scratch) {
    uint32_t few[FE_SHORT_PIECE + 1], *rank = few;
    if (*n >= INT32_MAX) return FE_TOO_LONG;
    if (*n > FE_SHORT_PIECE) {
        const fe_status status = scratch_reserve(scratch, *n);
        if (status != FE_OK) return status;
        rank = scratch->rank;
    }
    for (int64_t i = 0; i < *n; i++) tokens[i] = merges->byte_token[bytes[i]];
    for (int64_t i = 0; i + 1 < *n; i++) rank[i] = merges->byte_rank[bytes[i] << 8 | bytes[i + 1]];
    *n = rank == few ? merge_short(merges, tokens, few, *n) : merge_long(merges, tokens, *n, scratch);
    return FE_OK;
}
