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

/* Merges n pieces, at most FE_LANES, by the instructions of an fe_path that this processor has. All take as long as the
 * longest of them, so they should be of about one length. */
void fe_merge_lanes(const fe_merges *merges, int32_t path, fe_lane *lanes, int64_t n);

/* The same for kinds of processors. */
void fe_lanes_plain(const fe_merges *merges, fe_lane *lanes, int64_t n);
void fe_lanes_avx2(const fe_merges *merges, fe_lane *lanes, int64_t n);
void fe_lanes_avx512(const fe_merges *merges, fe_lane *lanes, int64_t n);

#endif
