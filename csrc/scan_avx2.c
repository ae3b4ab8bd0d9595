/* scan_avx2.c: finding pieces with AVX2 and BMI. */
#include "runs.h"
#include "scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define SCAN fe_scan_avx2
#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))

/* Flags of an ASCII character: those that its low and its high half byte have in common. */
enum { LETTER_45 = 1, LETTER_57 = 2, NUMBER = 4, SPACE = 8, NEWLINE = 16, BLANK = 32, QUOTE = 64, SLASH = 128 };

static inline __attribute__((always_inline)) TARGET uint64_t bits_of(__m256i low, __m256i high, int shift) {
    const uint32_t a = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(low, shift));
    return a | (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(high, shift)) << 32;
}

static inline __attribute__((always_inline)) TARGET __m256i flags_of(__m256i text) {
    const char l = LETTER_45, m = LETTER_45 | LETTER_57, n = NUMBER;
    const __m128i by_low =
        _mm_setr_epi8(LETTER_57 | NUMBER | BLANK, m | n, m | n, m | n, m | n, m | n, m | n, m | n | QUOTE, m | n,
                      m | n | SPACE, m | NEWLINE, l | SPACE, l | SPACE, l | NEWLINE, l, (char)(l | SLASH));
    const __m128i by_high = _mm_setr_epi8(SPACE | NEWLINE, 0, (char)(BLANK | QUOTE | SLASH), NUMBER, LETTER_45,
                                          LETTER_57, LETTER_45, LETTER_57, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(by_low), text); /* 0 where not ASCII */
    const __m256i half = _mm256_and_si256(_mm256_srli_epi16(text, 4), _mm256_set1_epi8(15));
    return _mm256_and_si256(low, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(by_high), half));
}

static inline __attribute__((always_inline)) TARGET void classify(const uint8_t *p, fe_masks64 *m) {
    const __m256i low = _mm256_loadu_si256((const void *)p), high = _mm256_loadu_si256((const void *)(p + 32));
    const __m256i a = flags_of(low), b = flags_of(high);
    m->high = bits_of(low, high, 0);
    m->lead = m->high & bits_of(low, high, 1); /* the two highest bits set */
    m->letter = bits_of(a, b, 7) | bits_of(a, b, 6);
    m->upper = m->letter & ~bits_of(low, high, 2); /* bit 5 tells the cases apart */
    m->number = bits_of(a, b, 5);
    m->newline = bits_of(a, b, 3);
    m->blank = bits_of(a, b, 2);
    m->space = bits_of(a, b, 4) | m->blank;
    m->quote = bits_of(a, b, 1);
    m->slash = bits_of(a, b, 0);
}

static inline __attribute__((always_inline)) TARGET void flatten(uint32_t *out, uint64_t bits, uint32_t base) {
    const int64_t count = __builtin_popcountll(bits);
    for (int64_t i = 0; i < count; i += 8) { /* eight at a time: how often it loops is easier to foresee */
        for (int j = 0; j < 8; j++) {
            out[i + j] = base + (uint32_t)_tzcnt_u64(bits);
            bits &= bits - 1;
        }
    }
}

#define CLASSIFY classify
#define FLATTEN flatten
#include "scan_body.h"

/* Flags of a byte that is in no word, where its low and its high half byte have one in common. */
enum { BLANK_OR_LINE = 1, CONTROL = 2, TO_SLASH = 4, TO_MARK = 8, AT_OR_TICK = 16, TO_LINE = 32, TO_TILDE = 64 };

static inline __attribute__((always_inline)) TARGET __m256i run_flags(__m256i text) {
    const char a = BLANK_OR_LINE | AT_OR_TICK, c = CONTROL, s = TO_SLASH, m = TO_MARK, l = TO_LINE, t = TO_TILDE;
    const __m128i by_low = _mm_setr_epi8(a, s, s, s, s, s, s, s, s, s | c, s | m | c, s | m | l | t, s | m | l | t,
                                         (char)(s | m | l | t | c), s | m | l | t, s | m | l);
    const __m128i by_high = _mm_setr_epi8(CONTROL, 0, BLANK_OR_LINE | TO_SLASH, TO_MARK, AT_OR_TICK, TO_LINE,
                                          AT_OR_TICK, TO_TILDE, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(by_low), text); /* 0 where not ASCII */
    const __m256i half = _mm256_and_si256(_mm256_srli_epi16(text, 4), _mm256_set1_epi8(15));
    return _mm256_and_si256(low, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(by_high), half));
}

static inline __attribute__((always_inline)) TARGET uint64_t zeros_of(__m256i low, __m256i high) {
    const __m256i zero = _mm256_setzero_si256();
    const uint32_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, zero));
    return a | (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, zero)) << 32;
}

static inline __attribute__((always_inline)) TARGET void run_masks(const uint8_t *p, fe_run_masks *m) {
    const __m256i marks = _mm256_set1_epi8(TO_SLASH | TO_MARK | AT_OR_TICK | TO_LINE | TO_TILDE);
    const __m256i a = run_flags(_mm256_loadu_si256((const void *)p));
    const __m256i b = run_flags(_mm256_loadu_si256((const void *)(p + 32)));
    m->word = zeros_of(a, b);
    m->punctuation = ~zeros_of(_mm256_and_si256(a, marks), _mm256_and_si256(b, marks));
}

#define RUNS fe_runs_avx2
#define RUN_MASKS run_masks
#include "runs_body.h"
#endif
