/* split.h: cutting text into the pieces that merging never crosses. */
#ifndef FE_SPLIT_H
#define FE_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

/* The length of a contraction at p, where an apostrophe stands; 0 where there is none. U+017F, the long s, is an s
 * to those that ignore case. */
static inline int32_t fe_contraction(const uint8_t *p, const uint8_t *end, bool ignore_case) {
    const int64_t left = end - p;
    if (left < 2) return 0;
    const uint8_t fold = ignore_case ? 0x20 : 0; /* of all bytes it makes only capitals small */
    const uint8_t a = p[1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (left < 3) return 0;
    const uint8_t b = p[2] | fold;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return ignore_case && p[1] == 0xC5 && p[2] == 0xBF ? 3 : 0;
}

/* The end of the piece that starts at p (p < end) under a pattern, one of enum fe_pattern. It depends on the bytes
 * from p to end and on nothing before p, so any end of a piece is a place to go on from.
 *
 * after_space counts for FE_PATTERN_GPT2 only: the piece starts one space earlier than p, a space that need not be
 * in memory; it may then end at p itself. */
const uint8_t *fe_split_next(int32_t pattern, const uint8_t *p, const uint8_t *end, bool after_space);

#endif
