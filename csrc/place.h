/* place.h: where the ids of a text stand in it, by walking the text once more: for texts of which ids alone do not
 * tell.
 *
 * The ids are known. So each is only compared with the text where it must stand, and a piece is searched again, by the
 * model's own functions, only where that does not decide.
 */
#ifndef FE_PLACE_H
#define FE_PLACE_H

#include "align.h"
#include "piece.h"

#define FE_UNPLACED ((fe_status)98) /* inside: this walk does not come to the ids that were given */

/* The state of one call. The encoder comes first, so that what is handed one has all of it. */
typedef struct fe_placer {
    fe_encoder e;
    fe_aligner aligner;
    const int32_t *ids; /* of the row */
    fe_span *spans;
    int32_t *words;     /* or NULL: receives the number of each id's piece */
    int32_t word;       /* that of the piece that is read */
    int64_t at, count;  /* the next id, and how many there are */
    const uint8_t *raw; /* of the text, where it is known how many characters are before it */
    int32_t raw_chars;
    fe_aligned now;     /* the stretch that is read, as it was normalized */
    const uint8_t *seen; /* of it, in the same way */
    int64_t chars;
    const uint8_t *steps; /* by which stretches are normalized */
    uint64_t steps_size;
} fe_placer;

/* The number, in the stretch, of the character at p. Those between it and what was asked for last are counted. */
int64_t fe_place_number(fe_placer *pl, const uint8_t *p);

/* True if a piece begins inside a character: a chain of programs may cut there, and a token's bytes end there, though
 * no file's do. Behind such a place characters cannot be counted. */
static inline bool fe_place_cuts_char(const uint8_t *p, const uint8_t *end) { return p < end && (*p & 0xC0) == 0x80; }

/* Gives the next id the characters from number `first` up to `last` of the stretch, of which no more are there.
 * FE_UNPLACED: it is another id, or they are none: a token that lies inside of one character. */
fe_status fe_place_id(fe_placer *pl, int32_t id, int64_t first, int64_t last);

/* Places the ids of a segment between added tokens, which is not empty: for the two families. Each piece of text that
 * a pre-tokenizer leaves has a number of its own. */
fe_status fe_place_words(fe_placer *pl, const uint8_t *p, const uint8_t *end);
fe_status fe_place_scored(fe_placer *pl, const uint8_t *p, const uint8_t *end);

#endif
