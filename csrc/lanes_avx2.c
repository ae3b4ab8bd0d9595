/* lanes_avx2.c: merging side by side with AVX2: a line of pairs is compared in two halves. */
#include "lanes.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LANES fe_lanes_avx2
#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))

static inline __attribute__((always_inline)) TARGET unsigned equal_pairs(const uint64_t *slots, __m256i key) {
    const __m256i four = _mm256_loadu_si256((const void *)slots);
    const __m256i same = _mm256_cmpeq_epi64(_mm256_srli_epi64(four, FE_RANK_BITS), key);
    return (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(same));
}

static inline __attribute__((always_inline)) TARGET uint64_t find_pair(const uint64_t *line, uint64_t key) {
    const __m256i keys = _mm256_set1_epi64x((long long)key);
    const unsigned same = equal_pairs(line, keys) | equal_pairs(line + 4, keys) << 4;
    return line[__builtin_ctz(same | 1U << (FE_PAIR_LINE - 1))];
}

#define FIND_PAIR find_pair
#include "lanes_body.h"
#endif
