/* lanes.h: short pieces merged side by side.
 *
 * Merging one piece is a chain: which pair is next is known only when the last one's ranks have come, as like as not
 * from memory beyond the second cache level. Sixteen pieces are sixteen chains that wait at the same time. Each does
 * exactly what fe_merge_bytes does; nothing is assumed of the vocabulary.
 */
#ifndef FE_LANES_H
#define FE_LANES_H

#include "bpe.h"

enum {
    FE_LANES = 16,
    FE_LANE_BYTES = 192, /* of a piece; so places fit 8 bits, and the room of all lanes the first cache level */
};

/* One piece of 1 to FE_LANE_BYTES bytes, all of which are symbols. */
typedef struct fe_lane {
    const uint8_t *bytes;
    int64_t size;
    int32_t *tokens; /* room for `size`; receives what is left of them */
    int64_t count;   /* receives how many */
} fe_lane;

/* What is left of the pieces. A pair is its rank << 8 | the place of its left token, so the smallest number is the
 * lowest rank and the leftmost of those; FE_NO_RANK where none merges. Pairs are stored place by place, those of all
 * lanes side by side: the smallest of each lane is found for all at once, downwards, by vectors. Two places more than
 * a piece has stand for what is behind and before it. */
typedef struct fe_lane_room {
    _Alignas(64) uint32_t pairs[FE_LANE_BYTES + 2][FE_LANES];
    int32_t tokens[FE_LANES][FE_LANE_BYTES + 2];
    uint8_t next[FE_LANES][FE_LANE_BYTES + 2], prev[FE_LANES][FE_LANE_BYTES + 2];
} fe_lane_room;

/* Merges n pieces, at most FE_LANES, by the instructions of an fe_path that this processor has. All take as long as the
 * longest of them, so they should be of about one length. The room may hold anything: it is too large for a stack. */
void fe_merge_lanes(const fe_merges *merges, int32_t path, fe_lane *lanes, int64_t n, fe_lane_room *room);

/* The same for kinds of processors. */
void fe_lanes_plain(const fe_merges *merges, fe_lane *lanes, int64_t n, fe_lane_room *room);
void fe_lanes_avx2(const fe_merges *merges, fe_lane *lanes, int64_t n, fe_lane_room *room);
void fe_lanes_avx512(const fe_merges *merges, fe_lane *lanes, int64_t n, fe_lane_room *room);

#endif
