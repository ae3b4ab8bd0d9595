/* unigram_ways.h: what pieces by themselves and texts of running sums have in common. */
#ifndef FE_UNIGRAM_WAYS_H
#define FE_UNIGRAM_WAYS_H

#include <math.h>

#include "piece.h"

/* Rows of both kinds (fe_model_kind). */
bool fe_unigram_check(const fe_tokenizer *t);
void fe_unigram_attach(fe_tokenizer *t);
fe_status fe_unigram_piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front);

/* Adds the tokens of [p, end), a mark in front of it if front. *score is the sum before it, and receives that behind
 * it; *ways receives how many pieces the way in the lattice has. */
fe_status fe_unigram_push(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, double *score,
                          int64_t *ways);

/* Puts [*p, *end) into memory of its own if it is not written there as the trie has it: a mark in front of it, and with
 * FE_SPACE_MARK spaces for marks. */
fe_status fe_unigram_written(fe_encoder *e, const uint8_t **p, const uint8_t **end, bool front);

/* The best ways to all places of [p, end), from a sum that was reached before it. There is room for a place more than
 * there are bytes. */
void fe_unigram_find(const fe_unigram *u, const uint8_t *p, const uint8_t *end, double score, bool f32, fe_best *best);

enum { FE_NEAR_BYTES = 68 };

/* The best way by sums from 0, in 64 bits whatever the flags. */
typedef struct fe_near {
    int64_t count;  /* of its values: pieces, and below 0 runs of so many unknown characters */
    int64_t chars;  /* of the text */
    double margin;  /* how much worse all ways are that have, to some place of this one, another last piece */
    bool unknown;   /* there are runs of unknown characters */
} fe_near;

/* That of a text of at most FE_NEAR_BYTES bytes, as the trie has it; room for so many values. */
fe_near fe_unigram_near(const fe_unigram *u, const uint8_t *p, const uint8_t *end, int32_t *values);

/* The token of the piece that is these bytes, or -1. */
int32_t fe_unigram_whole(const fe_unigram *u, const uint8_t *p, const uint8_t *end);

/* Whether a mark is put before a piece: behind other cutters before each that has none. */
bool fe_unigram_front(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front);

/* Where the next mark begins, or end. */
const uint8_t *fe_unigram_next_mark(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end);

/* Where white space begins, or, not `white`, ends. */
const uint8_t *fe_unigram_next_white(const uint8_t *p, const uint8_t *end, bool white);

/* Adds the byte tokens of [p, end), if all of them are there; *done says so. */
fe_status fe_unigram_spell(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool *done);

/* Adds the token, or the tokens of the bytes, of a run of unknown characters. */
fe_status fe_unigram_unknown(fe_encoder *e, const uint8_t *p, const uint8_t *end);

enum { FE_WORD_VALUES = FE_CACHED_IDS - 1 }; /* of an entry of the cache; in the place of the last id is the limit */

/* The limit that an entry has, below 0 if there are runs of unknown characters among the values. */
static inline float fe_limit_of(int32_t bits) {
    float limit;
    memcpy(&limit, &bits, sizeof limit);
    return limit;
}

enum { FE_KEPT_BYTES = 64 }; /* of the longest word that is remembered: longer ones hardly come again */

/* By what the cache knows a word: one of at most FE_KEY_BYTES bytes, or a longer one up to FE_KEPT_BYTES. */
typedef union fe_name {
    fe_key key;
    uint64_t hash;
} fe_name;

/* Writes the ids of a word of a text through which sums run; `name` is looked at if there is a cache. *score is the sum
 * before it, and receives that behind it. */
fe_status fe_unigram_word(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, fe_name name,
                          double *score);

/* U+2581 at p. */
static inline bool fe_is_mark(const uint8_t *p, const uint8_t *end) {
    return *p == 0xE2 && end - p >= 3 && p[1] == 0x96 && p[2] == 0x81;
}

/* True if a piece counts as unknown: in tokenizer.json's engine the name of the unknown token in the text does, too. */
static inline bool fe_is_unknown(const fe_tokenizer *t, int32_t piece) {
    return piece == t->unigram.pieces || (!(t->flags & FE_F32_SUMS) && t->unigram.tokens[piece] == t->unk);
}

/* SentencePiece takes a sum that has become large for zero, and what it was from all others, which stay exact so. */
static inline bool fe_is_large(double score) { return !(fabs(score) <= FE_LARGE_SUM); }

#endif
