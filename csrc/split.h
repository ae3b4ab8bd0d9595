/* split.h: cutting text into the pieces that merging never crosses. */
#ifndef FE_SPLIT_H
#define FE_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

/* The end of the piece that starts at p (p < end) under a pattern, one of enum fe_pattern. It depends on the bytes
 * from p to end and on nothing before p, so any end of a piece is a place to go on from.
 *
 * after_space counts for FE_PATTERN_GPT2 only: the piece starts one space earlier than p, a space that need not be
 * in memory; it may then end at p itself. */
const uint8_t *fe_split_next(int32_t pattern, const uint8_t *p, const uint8_t *end, bool after_space);

#endif
