/* chain.h: cutters one behind the other, made ready, and texts cut by them. */
#ifndef FE_CHAIN_H
#define FE_CHAIN_H

#include "program.h"

enum {
    FE_STEPS = 8,         /* of a chain */
    FE_CHAIN_PIECES = 512 /* that are found before they are handed on */
};

/* A step of a chain as it is run. */
typedef struct fe_cutter {
    int32_t pattern, keep;
    fe_program program; /* FE_PATTERN_PROGRAM */
} fe_cutter;

/* A chain made ready: numbers checked, and what follows from them. It points into the arrays of fe_chain. */
typedef struct fe_cutters {
    int32_t count;
    fe_kinds kinds;
    fe_cutter of[FE_STEPS];
    fe_op ops[]; /* of all programs */
} fe_cutters;

/* A stretch of text that a step cuts, from p to end, and what it found last: a match, from `match` up to `stop`, before
 * which all that is left is gap. match = NULL: it has not looked yet; match = end: there is none. */
typedef struct fe_level {
    const uint8_t *p, *end, *match, *stop;
    fe_memos memos;
} fe_level;

/* Texts on their way through a chain. */
typedef struct fe_cutting {
    const fe_cutters *cutters;
    const uint8_t *text; /* places are counted from here, in 32 bits */
    uint32_t starts[FE_CHAIN_PIECES], ends[FE_CHAIN_PIECES];
    int64_t count;
    int32_t level; /* whose turn it is; -1: the text is at its end */
    fe_level levels[FE_STEPS];
} fe_cutting;

/* Makes a chain ready, to be freed by free. Whatever stands in the arrays, nothing outside of them is read, and what
 * fe_chain says of them is checked, so that no number leads outside later. FE_BAD_MODEL: it is no chain, or has a
 * program that some text could make slow. On any status but FE_OK, *out is NULL. */
fe_status fe_cutters_new(const fe_chain *chain, fe_cutters **out);

/* Starts where the first text does. */
void fe_cutting_start(fe_cutting *cutting, const fe_cutters *cutters, const uint8_t *text);

/* Goes on with the text from p to end, which may be empty. The one before is at its end. */
void fe_cutting_next(fe_cutting *cutting, const uint8_t *p, const uint8_t *end);

/* Finds more pieces, until there are about FE_CHAIN_PIECES or the text is at its end. The caller takes them by setting
 * count to 0. */
void fe_cutting_more(fe_cutting *cutting);

static inline bool fe_cutting_done(const fe_cutting *cutting) { return cutting->level < 0; }

#endif
