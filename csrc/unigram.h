/* unigram.h: vocabularies whose pieces have scores: of all ways to cut a text into pieces that of the highest sum. */
#ifndef FE_UNIGRAM_H
#define FE_UNIGRAM_H

#include <stdbool.h>

#include "trie.h"
#include "unigram_ends.h"

enum {
    FE_MOST_PIECE_BYTES = 4096, /* of the longest piece: so what a walk goes over again is bounded */
    FE_LARGE_SUM = 100000       /* beyond which SentencePiece starts anew */
};

/* What a piece of the trie adds to a text. */
typedef struct fe_value {
    float score;
    int32_t id; /* as callers have it */
} fe_value;

typedef struct fe_unigram {
    const fe_unit *units;  /* the pieces; with FE_SPACE_MARK a space stands in them for each mark */
    const double *scores;  /* by the values of this trie */
    const int32_t *tokens; /* by the same */
    const fe_value *values; /* fe_sums_run: by the same, and behind the last one that adds nothing */
    int64_t pieces;
    double unk_score; /* of an unknown character */
    double most;      /* no score is further from zero */
    const fe_ends *ends; /* of the same pieces; or NULL */
    bool parts;       /* sums run in 32 bits, and a text may be read in parts wherever fe_chars says so */
} fe_unigram;

/* The best way to a place of the text. */
typedef struct fe_best {
    double score;
    int32_t start; /* where its last piece begins; -1: no way leads here */
    int32_t piece; /* a value of the trie; fe_unigram.pieces: an unknown character */
} fe_best;

/* What finding the best way works with: all zero at first, freed by fe_lattice_clear. */
typedef struct fe_lattice {
    fe_best *best;
    int32_t *ends;     /* where the pieces of the way that was chosen end */
    uint8_t *text;     /* the text as the trie has it, where that is not the text itself */
    int64_t best_room, ends_room, text_room;
} fe_lattice;

void fe_lattice_clear(fe_lattice *lattice);

#endif
