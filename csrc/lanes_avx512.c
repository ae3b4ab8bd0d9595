/* lanes_avx512.c: merging side by side with AVX-512: a line of pairs is one vector. */
#include "lanes.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LANES fe_lanes_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi,bmi2,lzcnt,popcnt")))

static inline __attribute__((always_inline)) TARGET uint64_t find_pair(const uint64_t *line, uint64_t key) {
    const __m512i pairs = _mm512_srli_epi64(_mm512_loadu_si512(line), FE_RANK_BITS);
    const unsigned same = _mm512_cmpeq_epi64_mask(pairs, _mm512_set1_epi64((long long)key));
    return line[__builtin_ctz(same | 1U << (FE_PAIR_LINE - 1))];
}

#define FIND_PAIR find_pair
#include "lanes_body.h"
#endif
