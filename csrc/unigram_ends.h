/* unigram_ends.h: which pieces end at each place of a short text, found by one step a byte.
 *
 * A state is the longest string before a place with which pieces begin. Where it goes by a byte does not hang on what
 * begins where, so nothing is walked twice, and no branch has to be foretold. */
#ifndef FE_UNIGRAM_ENDS_H
#define FE_UNIGRAM_ENDS_H

#include "trie.h"

enum {
    FE_ENDS_BYTES = 68,  /* of the longest text */
    FE_ENDS_ALWAYS = 2,  /* so many endings are there to be read, whatever the state */
    FE_ENDS_MORE = 1,    /* of a list: there are others behind them, up to one of length 0 */
    FE_ENDS_SINGLE = 2,  /* the shortest piece is one character */
    FE_ENDS_SHIFT = 2,   /* of where the list begins */
    FE_LENGTH_BITS = 7   /* of an ending */
};

/* A state: the place of its row, and the list of what ends in it: pieces << FE_LENGTH_BITS | their bytes, the longest
 * first. Where there are fewer than are read, or at the end of a longer list, stand some of no bytes. */
typedef struct fe_end_state {
    uint32_t row, list;
} fe_end_state;

/* A step by a byte. Each row has a place of its own, so cell row ^ byte is of this row if it is of this byte. Free ones
 * are of byte 0xFF, which is in no piece, and lead to nothing. */
typedef struct fe_end_cell {
    uint32_t row; /* << 8 | the byte */
    uint32_t list;
} fe_end_cell;

typedef struct fe_ends {
    fe_end_cell *cells;
    fe_end_state *pairs; /* by the classes of two bytes: the state that they alone lead to */
    uint32_t *endings;
    uint32_t classes; /* how many */
    uint8_t class_of[256]; /* 0: of bytes that no string has in its first two places */
} fe_ends;

/* Made of a trie of pieces, to be freed by fe_ends_free; NULL where it would become too large, or where
 * a piece is not made of whole characters. The trie was checked (fe_trie_valid). */
fe_status fe_ends_new(const fe_unit *units, uint64_t count, int64_t pieces, fe_ends **out);

void fe_ends_free(fe_ends *ends);

#endif
