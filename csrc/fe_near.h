/* fe_near.h: counting words that stand near each other; read by cffi behind fe_train.h, and under the same rules.
 *
 * A counter takes words by number and keeps, for each pair of words that come in one window, the sum of 1 / distance
 * over all their meetings. It is given so much memory and no more: when that is full it says so, and its owner takes
 * the pairs away and goes on. Sums are whole numbers of 2^-32, so that they do not depend on where that happens.
 */
#ifndef FE_NEAR_H
#define FE_NEAR_H

#include "fe.h"

typedef struct fe_near fe_near;

/* What a counter is asked for. */
typedef struct fe_near_model {
    int64_t window; /* how far apart two words of a pair may stand: 1 to FE_NEAR_FARTHEST */
    int64_t memory; /* bytes that its table may take at most; the least is FE_NEAR_LEAST */
    uint64_t seed;  /* of hashes: with one that whoever writes the texts does not know, none makes counting slow */
} fe_near_model;

enum { FE_NEAR_FARTHEST = 1024, FE_NEAR_LEAST = 1 << 16 };

/* Makes an empty counter. FE_BAD_MODEL: a number is out of its range. On any status but FE_OK, *out is NULL. */
fe_status fe_near_new(const fe_near_model *model, fe_near **out);

/* Frees a counter; NULL is allowed. */
void fe_near_free(fe_near *near);

/* Counts the pairs of words whose later one stands in [start, size), and says in *done at which word it stopped: at
 * `size` with FE_OK; with FE_FULL before a word whose pairs may not find room. A negative number is no word, and no
 * window reaches across it. */
fe_status fe_near_add(fe_near *near, const int32_t *words, int64_t start, int64_t size, int64_t *done);

/* How many pairs there are. */
int64_t fe_near_count(const fe_near *near);

/* Writes all pairs, in any order, and empties the counter: the lower word << 32 | the higher one, and the sum. The pair
 * of a word with itself is counted once for each meeting. */
void fe_near_take(fe_near *near, uint64_t *pairs, uint64_t *sums);

#endif
