/* train_pieces.h: training pieces with scores. Words are rows of characters in one text, and all pieces that a word can
 * be made of are edges of a graph over it, found once: pieces are only ever taken away, so edges are too. */
#ifndef FE_TRAIN_PIECES_H
#define FE_TRAIN_PIECES_H

#include "train_tally.h"

enum {
    FE_BORDER = 0,  /* in the text: the end of a word */
    FE_UNKNOWN = 1, /* a character that is in no piece but its own */
    FE_CHARS = 2,   /* the number of the first character */
    FE_LENGTH_BITS = 6,
    FE_LENGTHS = (1 << FE_LENGTH_BITS) - 1,
    FE_MOST_PIECES = 1 << (32 - FE_LENGTH_BITS)
};

/* A piece: a stretch of the text, one of the places where it stands. */
typedef struct fe_stretch {
    uint32_t place, length;
} fe_stretch;

enum fe_stage {
    FE_STAGE_SORT,
    FE_STAGE_SEED,
    FE_STAGE_EXPECT,
    FE_STAGE_MAXIMIZE,
    FE_STAGE_SEGMENT,
    FE_STAGE_PRUNE,
    FE_STAGE_DONE
};

/* What sorting works with; gone once there are seeds. */
typedef struct fe_sorting {
    uint64_t *keys, *spare; /* of the suffixes, in their order so far, and a twin of the array */
    uint32_t *order, *spare_order;
    uint32_t *ranks; /* by place: suffixes that are equal so far have equal ones; 0 at borders */
    uint32_t known;  /* characters by which they are sorted; 0: not at all */
} fe_sorting;

struct fe_pieces_trainer {
    uint64_t wanted, seeds;
    uint32_t longest, mark; /* mark: as a number; FE_UNKNOWN where it is no character */
    int32_t steps;
    double shrink;
    uint32_t *codes; /* of the characters, and their scripts */
    int32_t *scripts;
    uint32_t chars;
    uint32_t *text, *words; /* where words begin, and behind the last one the end of the text */
    double *counts;
    uint64_t text_size, words_count, suffixes;
    double all; /* words, each as often as it came */
    double length; /* and their characters */
    uint32_t longest_word;
    fe_sorting sorting;
    /* pieces: first the characters, and the unknown one behind them */
    fe_stretch *pieces;
    double *scores, *factors, *expected; /* factors: probabilities times `base` for each character */
    uint64_t count;
    double base;
    uint64_t *edges_at; /* by place: its first edge; one more than the text has */
    uint32_t *edges;    /* piece << FE_LENGTH_BITS | length */
    double *ahead, *behind; /* of a word, by place; longest_word + 1 each */
    uint32_t *back;
    int32_t stage, step;
    bool last; /* there are as many pieces as are wanted */
    uint64_t word; /* the next one */
    struct {
        bool begun, back; /* the sums of a part of it are made; those of all ways to its places are, and go back now */
        uint32_t at;
    } logs; /* the word whose sums are made in logarithms, which may take several calls */
    double sum, loss;
};

static inline uint32_t fe_unknown_piece(const fe_pieces_trainer *t) { return t->chars; }

/* train_suffix.c: one pass of sorting suffixes by their first `longest` characters; FE_FULL: there are more. */
fe_status fe_sort_suffixes(fe_pieces_trainer *t);

/* The substrings that pieces begin with, their first scores, and the edges of all words. */
fe_status fe_find_seeds(fe_pieces_trainer *t);
void fe_sorting_clear(fe_sorting *s);

/* train_expect.c: the words from t->word on, for a fraction of a second; an endless one goes on at the next call. */
void fe_expect_words(fe_pieces_trainer *t);
void fe_segment_words(fe_pieces_trainer *t);

/* The best segmentation of a piece without itself: its score, and in *parts and t->back its pieces. */
double fe_other_parts(fe_pieces_trainer *t, uint32_t piece, uint32_t *parts);

#endif
