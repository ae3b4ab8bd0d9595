/* piece.h: what becomes of one piece of text, and of many one behind the other. */
#ifndef FE_PIECE_H
#define FE_PIECE_H

#include <stdbool.h>

#include "bpe.h"
#include "cache.h"
#include "image.h"
#include "unigram.h"

#define FE_ENOUGH ((fe_status)99) /* inside: the text has as many ids as were asked for */

/* The state of one call of fe_encode. */
typedef struct fe_encoder {
    const fe_tokenizer *t;
    fe_cache *cache; /* or NULL */
    int32_t pattern;
    const uint8_t *readable; /* the end of the texts */
    const uint8_t *text;     /* where the text begins */
    const fe_choice *choice; /* NULL: no added token is more than its characters */
    fe_window early, late;
    int32_t *ids;    /* the caller's, or NULL to count only */
    int64_t capacity, written;
    int64_t stop;     /* of this text no more ids are wanted once so many are written */
    int32_t *symbols; /* of the piece being read; then what is left of them */
    int64_t count, room;
    bool unk_pending; /* an unknown symbol was read and waits: more of them may join it */
    fe_match refused; /* behind FE_SPECIAL */
    struct fe_gaps *gaps; /* made when they are first needed */
    fe_scratch scratch;
    fe_lattice lattice;
    uint64_t normal_size; /* of the steps by which a text is normalized */
    fe_normal normal;     /* holds the stretch of text that is read, if that was normalized */
} fe_encoder;

/* Writes ids, or counts them. */
fe_status fe_write_ids(fe_encoder *e, const int32_t *ids, int64_t count);

/* One piece; with `front` a space or mark that is not in the text stands before it. */
fe_status fe_encode_piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front);

/* A text that the model kind cuts, wherever that can be done. The cache may grow meanwhile (`grows`) only if nobody
 * holds places in it. */
fe_status fe_encode_stretch(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool grows);

/* Pieces of a text: piece i is text + starts[i] up to text + ends[i]. What lies between two of them belongs to none. */
typedef struct fe_pieces {
    const uint8_t *text;
    const uint32_t *starts, *ends;
    int64_t count;
} fe_pieces;

/* Pieces that lie one behind the other: each ends where the next begins. */
static inline fe_pieces fe_pieces_between(const uint8_t *text, const uint32_t *cuts, int64_t count) {
    return (fe_pieces){text, cuts, cuts + 1, count};
}

/* The texts that pieces are of: ends[j] is the number of pieces before the end of row j, and row_ends[j] receives the
 * ids written until there. `complete` receives how many rows are done, whatever the status. */
typedef struct fe_rows {
    const uint32_t *ends;
    int64_t count;
    int64_t *row_ends;
    int64_t complete;
} fe_rows;

/* Writes, or counts, the ids of many pieces. */
fe_status fe_encode_pieces(fe_encoder *e, fe_pieces pieces, fe_rows *rows);

#endif
