/* lanes.c: choosing how pieces are merged side by side, and the way without particular instructions. */
#include "lanes.h"

#define LANES fe_lanes_plain
#define TARGET

static inline uint64_t find_pair(const uint64_t *line, uint64_t key) {
    uint64_t found = line[FE_PAIR_LINE - 1];
    for (int i = 0; i < FE_PAIR_LINE - 1; i++) found = line[i] >> FE_RANK_BITS == key ? line[i] : found;
    return found;
}

#define FIND_PAIR find_pair
#include "lanes_body.h"

void fe_merge_lanes(const fe_merges *merges, int32_t path, fe_lane *lanes, int64_t n, fe_lane_room *room) {
#if defined(__x86_64__)
    if (path == FE_PATH_AVX512) {
        fe_lanes_avx512(merges, lanes, n, room);
        return;
    }
    if (path == FE_PATH_AVX2) {
        fe_lanes_avx2(merges, lanes, n, room);
        return;
    }
#endif
    (void)path; /* NEON is what compilers of 64-bit ARM make of plain C */
    fe_lanes_plain(merges, lanes, n, room);
}
