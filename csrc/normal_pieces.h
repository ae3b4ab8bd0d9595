/* normal_pieces.h: what SentencePiece's normalizer is read by: double arrays, and which characters they leave alone. */
#ifndef FE_NORMAL_PIECES_H
#define FE_NORMAL_PIECES_H

#include "normal.h"

/* A double array; its units lie where they fall. */
typedef struct fe_array {
    const uint8_t *units;
    uint32_t count;
} fe_array;

static inline uint32_t fe_unit_at(fe_array a, uint32_t place) {
    const uint8_t *const at = a.units + 4 * (size_t)place;
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Where the children of a unit lie, from its own place on. */
static inline uint32_t fe_offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }

/* The byte by which a unit is reached; of one that has a value and no byte it is none. */
static inline uint32_t fe_label_of(uint32_t unit) { return unit & (1u << 31 | 0xFF); }

/* The array of the symbols and that of the charsmap, of a step of FE_NORM_PIECES. */
void fe_pieces_arrays(const fe_norm_step *step, fe_array arrays[2]);

/* True if a character of ASCII by itself becomes a space. */
bool fe_pieces_blanks(const fe_norm_step *step, uint8_t byte);

enum fe_still_flags {
    FE_STILL_ALONE = 1,  /* a string is this character */
    FE_STILL_FIRST = 2,  /* longer ones begin with it */
    FE_STILL_SECOND = 4, /* and have this one as their second character */
};

enum { FE_STILL_PAGE = 256 };

/* By code points: page 0 is of those that no string knows. */
struct fe_still {
    uint8_t blanks[16]; /* a bit for each ASCII character that becomes a space, whatever follows */
    uint16_t index[0x110000 / FE_STILL_PAGE];
    uint8_t flags[]; /* FE_STILL_PAGE for each page */
};

static inline uint8_t fe_still_flags_of(const fe_still *s, uint32_t code) {
    return s->flags[(size_t)s->index[code / FE_STILL_PAGE] * FE_STILL_PAGE + code % FE_STILL_PAGE];
}

#endif
