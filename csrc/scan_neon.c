/* scan_neon.c: finding pieces with NEON, which every 64-bit ARM has: a table of flags, and a transposition of bits. */
#include "runs.h"
#include "scan.h"

#if defined(__AARCH64EL__) /* big-endian ARM takes plain C, which works both ways */
#include <arm_neon.h>
#include <string.h>

#include "scan_flags.h"

#define SCAN fe_scan_neon
#define TARGET

/* The highest bit of each of 64 bytes. Byte i of the vector k is byte 4 i + k of the text: so four shifts that insert
 * bring the bits of four neighbours together, twice in each byte, and one that narrows takes half of every byte. */
static inline __attribute__((always_inline)) uint64_t highest_of(uint8x16_t a, uint8x16_t b, uint8x16_t c,
                                                                 uint8x16_t d) {
    const uint8x16_t four = vsriq_n_u8(vsriq_n_u8(d, c, 1), vsriq_n_u8(b, a, 1), 2);
    const uint16x8_t twice = vreinterpretq_u16_u8(vsriq_n_u8(four, four, 4));
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(twice, 4)), 0);
}

/* The flags of 16 bytes; 0 where not ASCII, since what a table lacks is 0 (tbl), or left as it is (tbx). */
static inline __attribute__((always_inline)) uint8x16_t flags_of(uint8x16_t text, uint8x16x4_t low, uint8x16x4_t high) {
    return vqtbx4q_u8(vqtbl4q_u8(low, text), high, veorq_u8(text, vdupq_n_u8(64)));
}

/* Two words from half bytes: first those of `a`, then those of `b`. */
static inline __attribute__((always_inline)) uint64x2_t low_halves(uint8x16_t a, uint8x16_t b) {
    return vreinterpretq_u64_u8(vsliq_n_u8(vuzp1q_u8(a, b), vuzp2q_u8(a, b), 4));
}

static inline __attribute__((always_inline)) uint64x2_t high_halves(uint8x16_t a, uint8x16_t b) {
    return vreinterpretq_u64_u8(vsriq_n_u8(vuzp2q_u8(a, b), vuzp1q_u8(a, b), 4));
}

/* Eight flags of 64 bytes become eight words: pairs of bits change places, then pairs of two bits, then halves. */
static inline __attribute__((always_inline)) void transpose(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d,
                                                            fe_masks64 *m) {
    const uint8x16_t ones = vdupq_n_u8(0x55), twos = vdupq_n_u8(0x33);
    const uint8x16_t even_ab = vbslq_u8(ones, a, vshlq_n_u8(b, 1)), odd_ab = vbslq_u8(ones, vshrq_n_u8(a, 1), b);
    const uint8x16_t even_cd = vbslq_u8(ones, c, vshlq_n_u8(d, 1)), odd_cd = vbslq_u8(ones, vshrq_n_u8(c, 1), d);
    const uint8x16_t flags_0_4 = vbslq_u8(twos, even_ab, vshlq_n_u8(even_cd, 2)); /* numbers of bits */
    const uint8x16_t flags_2_6 = vbslq_u8(twos, vshrq_n_u8(even_ab, 2), even_cd);
    const uint8x16_t flags_1_5 = vbslq_u8(twos, odd_ab, vshlq_n_u8(odd_cd, 2));
    const uint8x16_t flags_3_7 = vbslq_u8(twos, vshrq_n_u8(odd_ab, 2), odd_cd);
    const uint64x2_t flags_0_2 = low_halves(flags_0_4, flags_2_6), flags_4_6 = high_halves(flags_0_4, flags_2_6);
    const uint64x2_t flags_1_3 = low_halves(flags_1_5, flags_3_7), flags_5_7 = high_halves(flags_1_5, flags_3_7);
    m->letter = vgetq_lane_u64(flags_0_2, 0);
    m->upper = vgetq_lane_u64(flags_1_3, 0);
    m->number = vgetq_lane_u64(flags_0_2, 1);
    m->space = vgetq_lane_u64(flags_1_3, 1);
    m->newline = vgetq_lane_u64(flags_4_6, 0);
    m->blank = vgetq_lane_u64(flags_5_7, 0);
    m->quote = vgetq_lane_u64(flags_4_6, 1);
    m->slash = vgetq_lane_u64(flags_5_7, 1);
}

static inline __attribute__((always_inline)) void classify(const uint8_t *p, fe_masks64 *m) {
    const uint8x16x4_t text = vld4q_u8(p), low = vld1q_u8_x4(fe_flags), high = vld1q_u8_x4(fe_flags + 64);
    const uint8x16_t a = text.val[0], b = text.val[1], c = text.val[2], d = text.val[3];
    m->high = highest_of(a, b, c, d);
    m->lead = 0;
    if (m->high) /* the two highest bits set */
        m->lead = m->high & highest_of(vshlq_n_u8(a, 1), vshlq_n_u8(b, 1), vshlq_n_u8(c, 1), vshlq_n_u8(d, 1));
    transpose(flags_of(a, low, high), flags_of(b, low, high), flags_of(c, low, high), flags_of(d, low, high), m);
}

static inline __attribute__((always_inline)) void flatten(uint32_t *out, uint64_t bits, uint32_t base) {
    const int64_t count = __builtin_popcountll(bits);
    for (int64_t i = 0; i < count; i += 8) { /* eight at a time: how often it loops is easier to foresee */
        for (int j = 0; j < 8; j++) {
            out[i + j] = base + (uint32_t)__builtin_ctzll(bits | UINT64_C(1) << 63); /* never of 0: that is undefined */
            bits &= bits - 1;
        }
    }
}

#define CLASSIFY classify
#define FLATTEN flatten
#include "scan_body.h"

static inline __attribute__((always_inline)) void run_masks(const uint8_t *p, fe_run_masks *m) {
    const uint8x16x4_t text = vld4q_u8(p), low = vld1q_u8_x4(fe_run_flags), high = vld1q_u8_x4(fe_run_flags + 64);
    const uint8x16_t a = flags_of(text.val[0], low, high), b = flags_of(text.val[1], low, high);
    const uint8x16_t c = flags_of(text.val[2], low, high), d = flags_of(text.val[3], low, high);
    m->punctuation = highest_of(a, b, c, d);
    const uint64_t space = highest_of(vshlq_n_u8(a, 1), vshlq_n_u8(b, 1), vshlq_n_u8(c, 1), vshlq_n_u8(d, 1));
    m->word = ~(m->punctuation | space);
}

#define RUNS fe_runs_neon
#define RUN_MASKS run_masks
#include "runs_body.h"
#endif
