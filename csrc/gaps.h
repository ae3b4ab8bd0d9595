/* gaps.h: the pieces of a text that the first table of the cache does not know.
 *
 * One by one each would wait for memory several times: for the second table, for the whole piece among the tokens, for
 * every pair. So they are left out of the output at first, as gaps of no ids, and found together: the same question is
 * asked for all of them before the first answer is looked at. Then what stands behind the gaps is moved, once.
 */
#ifndef FE_GAPS_H
#define FE_GAPS_H

#include "lanes.h"
#include "piece.h"

enum { FE_GAPS = 512 };

#define FE_LONG_KEY (UINT64_C(1) << 56 | 1) /* one byte long, and the ninth is not zero: no piece has this one */

/* A piece of at most FE_LONG_BYTES bytes that is to become at most as many ids as it has bytes. */
typedef struct fe_gap {
    fe_key key;     /* of a longer piece than these have: its hash, and FE_LONG_KEY */
    uint64_t hash;  /* that of the second table */
    const uint8_t *bytes;
    uint32_t size;
    int32_t same;   /* an earlier gap of the same piece, or -1 */
    int64_t row;    /* rows that end before it */
    int64_t before; /* ids written before it, those of gaps not counted */
    int32_t *ids;   /* room for `size`; receives its ids */
    int64_t count;  /* receives how many */
} fe_gap;

/* Gaps, and what filling them takes: too much for a stack. It belongs to one call of fe_encode. */
typedef struct fe_gaps {
    int64_t count, bytes; /* how many gaps, and the bytes of their pieces */
    fe_gap all[FE_GAPS];
    fe_gap *left[FE_GAPS];                     /* those that are still to be found */
    fe_gap *merged[FE_GAPS], *sorted[FE_GAPS]; /* those that are no tokens, and the same by their sizes */
    uint64_t hashes[FE_GAPS];
    uint16_t seen[2 * FE_GAPS];
    fe_lane_room lanes;
} fe_gaps;

/* Room for gaps, of which there are none yet; NULL where there is no memory. To be freed. */
fe_gaps *fe_gaps_new(void);

/* Finds the ids of all gaps, and remembers those that were not known. Takes e->symbols. */
fe_status fe_gaps_fill(fe_encoder *e, fe_gaps *gaps);

/* Puts the ids of filled gaps among those that are written, for which there is room; the ends of rows from
 * rows->complete up to `row` move with them. No gap is left. */
void fe_gaps_close(fe_encoder *e, fe_gaps *gaps, fe_rows *rows, int64_t row);

#endif
