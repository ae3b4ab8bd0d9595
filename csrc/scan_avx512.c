/* scan_avx512.c: finding pieces with AVX-512: a class for every byte from a table of 128, and bit masks for nothing. */
#include "runs.h"
#include "scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "scan_flags.h"

#define SCAN fe_scan_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi,bmi2,lzcnt,popcnt")))

static inline __attribute__((always_inline)) TARGET uint64_t bits_of(__m512i flags, char flag) {
    return _mm512_test_epi8_mask(flags, _mm512_set1_epi8(flag));
}

static inline __attribute__((always_inline)) TARGET void classify(const uint8_t *p, fe_masks64 *m) {
    const __m512i text = _mm512_loadu_si512(p);
    const __m512i low = _mm512_load_si512(fe_flags), high = _mm512_load_si512(fe_flags + 64);
    m->high = _mm512_movepi8_mask(text);
    m->lead = _mm512_cmpge_epu8_mask(text, _mm512_set1_epi8((char)0xC0));
    const __m512i flags = _mm512_maskz_permutex2var_epi8(~m->high, low, text, high);
    m->letter = bits_of(flags, LETTER);
    m->upper = bits_of(flags, UPPER);
    m->number = bits_of(flags, NUMBER);
    m->space = bits_of(flags, SPACE);
    m->newline = bits_of(flags, NEWLINE);
    m->blank = bits_of(flags, BLANK);
    m->quote = bits_of(flags, QUOTE);
    m->slash = bits_of(flags, (char)SLASH);
}

static inline __attribute__((always_inline)) TARGET void flatten(uint32_t *out, uint64_t bits, uint32_t base) {
    static const uint8_t places[64] __attribute__((aligned(64))) = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
        44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
    };
    const int64_t count = __builtin_popcountll(bits);
    const __m512i all = _mm512_maskz_compress_epi8(bits, _mm512_load_si512(places)),
                  from = _mm512_set1_epi32((int)base);
    _mm512_storeu_si512(out, _mm512_add_epi32(from, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(all))));
    if (count <= 16) return;
    _mm512_storeu_si512(out + 16, _mm512_add_epi32(from, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(all, 1))));
    if (count <= 32) return;
    _mm512_storeu_si512(out + 32, _mm512_add_epi32(from, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(all, 2))));
    _mm512_storeu_si512(out + 48, _mm512_add_epi32(from, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(all, 3))));
}

#define CLASSIFY classify
#define FLATTEN flatten
#include "scan_body.h"

static inline __attribute__((always_inline)) TARGET void run_masks(const uint8_t *p, fe_run_masks *m) {
    const __m512i text = _mm512_loadu_si512(p);
    const __m512i flags = _mm512_permutex2var_epi8(_mm512_load_si512(fe_run_flags), text,
                                                   _mm512_load_si512(fe_run_flags + 64)); /* by the lower 7 bits */
    const uint64_t high = _mm512_movepi8_mask(text);
    m->word = ~_mm512_test_epi8_mask(flags, flags) | high;
    m->punctuation = _mm512_test_epi8_mask(flags, _mm512_set1_epi8((char)RUN_PUNCTUATION)) & ~high;
}

#define RUNS fe_runs_avx512
#define RUN_MASKS run_masks
#include "runs_body.h"
#endif
