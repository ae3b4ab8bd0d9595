/* lanes_body.h: merging side by side, compiled once for each kind of processor. Who includes it defines
 *   LANES, TARGET  the function's name, and the instructions that it may use
 *   FIND_PAIR      (const uint64_t *line, uint64_t key) → the slot of that pair in a line of FE_PAIR_LINE slots; where
 *                  it is not there, the line's last slot
 */
#include <string.h>

#include "mem.h"

/* No token has this number, and no pair of a table has it (merges_valid of image.c): it stands before and behind every
 * piece, where nothing merges, so that the ends need no branches. */
#define NOBODY FE_MAX_TOKENS

enum { PLACE_BITS = 8, BEHIND = FE_LANE_BYTES, BEFORE = FE_LANE_BYTES + 1 }; /* of a pair, and places at the ends */

/* The two pairs that a merge makes: the new token with the one behind it and with the one before. */
typedef struct question {
    uint32_t lane;
    uint8_t places[2]; /* of the left tokens */
    uint64_t keys[2];
    const uint64_t *lines[2];
} question;

#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE uint32_t pair_of(uint32_t rank, uint32_t place) {
    return (rank << PLACE_BITS | place) | (0U - (rank >> 31)); /* FE_NO_RANK stays what it is */
}

INLINE void start_lane(const fe_merges *m, fe_lane_room *all, const fe_lane *lane, uint32_t i) {
    const uint8_t *const bytes = lane->bytes;
    const int64_t size = lane->size;
    int32_t *const tokens = all->tokens[i];
    FE_ASSERT(size >= 1 && size <= FE_LANE_BYTES);
    for (int64_t j = 0; j < size; j++) {
        tokens[j] = m->byte_token[bytes[j]];
        all->next[i][j] = (uint8_t)(j + 1);
        all->prev[i][j] = (uint8_t)(j - 1);
    }
    for (int64_t j = 0; j + 1 < size; j++)
        all->pairs[j][i] = pair_of(m->byte_rank[bytes[j] << 8 | bytes[j + 1]], (uint32_t)j);
    all->next[i][size - 1] = BEHIND;
    all->prev[i][0] = BEFORE;
    tokens[BEHIND] = tokens[BEFORE] = NOBODY;
}

/* Where a pair would stand. Of those that the filter holds back the first line is looked at, which is near and does not
 * have them: which they are, nobody can foretell, so a branch would cost more. */
INLINE const uint64_t *line_of(const fe_merges *m, uint64_t key) {
    const uint64_t hash = fe_pair_hash(key, m->seed);
    const uint64_t *const line = m->slots + (fe_pair_home(m, hash) & (0 - (uint64_t)fe_pair_may_merge(m, hash)));
    __builtin_prefetch(line);
    return line;
}

/* Merges one pair of lane i, and asks for the lines of the two that this makes. */
INLINE question merge_one(const fe_merges *m, fe_lane_room *all, uint32_t i, uint32_t pair) {
    int32_t *const tokens = all->tokens[i];
    uint8_t *const next = all->next[i], *const prev = all->prev[i];
    const uint32_t at = pair & ((1U << PLACE_BITS) - 1), rank = pair >> PLACE_BITS;
    const uint8_t gone = next[at], after = next[gone], before = prev[at];
    const int32_t made = (int32_t)(m->result ? m->result[rank] : rank);
    tokens[at] = made;
    next[at] = after;
    prev[after] = (uint8_t)at;
    all->pairs[gone][i] = FE_NO_RANK;
    question q = {.lane = i, .places = {(uint8_t)at, before}};
    q.keys[0] = fe_pair_key(made, tokens[after]);
    q.keys[1] = fe_pair_key(tokens[before], made);
    q.lines[0] = line_of(m, q.keys[0]);
    q.lines[1] = line_of(m, q.keys[1]);
    return q;
}

/* The rank of a pair from its line. */
INLINE uint32_t rank_in(const fe_merges *m, uint64_t key, const uint64_t *line) {
    const uint64_t slot = FIND_PAIR(line, key);
    if (__builtin_expect(slot >> FE_RANK_BITS != key && slot != FE_EMPTY_SLOT, 0)) /* the line is full */
        return fe_pair_rank(m, (int32_t)(key >> FE_TOKEN_BITS), (int32_t)(key & FE_MAX_TOKENS));
    return ((uint32_t)slot & FE_MAX_MERGES) | (0U - (uint32_t)(slot == FE_EMPTY_SLOT));
}

TARGET void LANES(const fe_merges *m, fe_lane *lanes, int64_t n, fe_lane_room *all) {
    question asked[FE_LANES];
    uint32_t active[FE_LANES], best[FE_LANES];
    int64_t count = n, rows = 1;
    FE_ASSERT(n <= FE_LANES);
    for (int64_t i = 0; i < n; i++) rows = lanes[i].size - 1 > rows ? lanes[i].size - 1 : rows;
    memset(all->pairs, 0xFF, (size_t)rows * sizeof all->pairs[0]); /* FE_NO_RANK */
    for (uint32_t i = 0; i < n; i++) {
        start_lane(m, all, &lanes[i], i);
        active[i] = i;
    }
    while (count) {
        memcpy(best, all->pairs[0], sizeof best);
        for (int64_t j = 1; j < rows; j++)
            for (int i = 0; i < FE_LANES; i++) best[i] = all->pairs[j][i] < best[i] ? all->pairs[j][i] : best[i];
        int64_t left = 0;
        for (int64_t k = 0; k < count; k++) {
            const uint32_t i = active[k];
            if (best[i] == FE_NO_RANK) continue; /* this piece is done */
            active[left] = i;
            asked[left++] = merge_one(m, all, i, best[i]);
        }
        for (int64_t k = 0; k < left; k++) {
            const question *const q = &asked[k];
            for (int j = 0; j < 2; j++)
                all->pairs[q->places[j]][q->lane] = pair_of(rank_in(m, q->keys[j], q->lines[j]), q->places[j]);
        }
        count = left;
    }
    for (int64_t i = 0; i < n; i++) {
        lanes[i].count = 0;
        for (uint32_t j = 0; j != BEHIND; j = all->next[i][j]) lanes[i].tokens[lanes[i].count++] = all->tokens[i][j];
    }
}
