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
 * it; *ways receives how many pieces the way has. noted: exact sums are noted in the lattice, for margins. */
fe_status fe_unigram_push(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, double *score, int64_t *ways,
                          bool noted);

/* The best ways to all places of [p, end), from a sum that was reached before it; with `sums` (or NULL), to which they
 * are noted, from 0 and without rounding, too. There is room for a place more than there are bytes. */
void fe_unigram_find(const fe_unigram *u, const uint8_t *p, const uint8_t *end, double score, bool f32, fe_best *best,
                     double (*sums)[2]);

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
