/* split.h: cutting text into the pieces that merging never crosses. */
#ifndef FE_SPLIT_H
#define FE_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

/* The end of the piece that starts at p (p < end) under GPT-2's pattern. With after_space the piece starts
 * one space earlier than p, a space that need not be in memory; it may then end at p itself. */
const uint8_t *fe_split_gpt2(const uint8_t *p, const uint8_t *end, bool after_space);

#endif
