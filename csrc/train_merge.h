/* train_merge.h: words as rows of symbols, the pairs of neighbours in them, and one pair merged wherever it stands.
 *
 * Symbols are merged word by word: a word is a stretch of one array, mostly of one cache line, and what is left of it
 * is moved together. Which pair is merged next is asked of a queue; each kind of score has its own.
 */
#ifndef FE_TRAIN_MERGE_H
#define FE_TRAIN_MERGE_H

#include "train_tally.h"

typedef struct fe_word {
    uint64_t start; /* its symbols, among all */
    int64_t count;  /* how often it came */
    uint32_t size;
} fe_word;

/* A pair of neighbours. `fresh` and `last` are of the step that is on its way: the words in which the pair is new, and
 * the last of them + 1. */
typedef struct fe_pair {
    uint64_t key; /* left << 32 | right */
    int64_t count;
    uint32_t fresh, last;
} fe_pair;

/* A pair in a word in which it is new. */
typedef struct fe_sight {
    uint32_t pair, word;
} fe_sight;

/* Words in which a pair came into being in one step, or at the start; and its count when that was last looked at. */
typedef struct fe_entry {
    int64_t count;
    uint64_t key, list; /* words: merger->lists + list, ascending */
    uint32_t size, pair;
} fe_entry;

typedef struct fe_merge {
    uint32_t left, right, result;
} fe_merge;

typedef struct fe_links fe_links; /* train_likelihood.c */

struct fe_merger {
    int32_t score;
    uint64_t vocab;
    int64_t min_count, longest;
    uint8_t *prefix;
    uint32_t prefix_size;
    fe_set names;
    fe_word *words;
    uint64_t words_count, words_room;
    uint32_t *symbols, *lengths; /* lengths, in symbols that were there first: only where `longest` is a limit */
    uint64_t symbols_count;
    fe_pair *pairs; /* found by an open table of the upper half of a hash << 32 | number + 1 */
    uint64_t pairs_count, pairs_room;
    uint64_t *slots, mask, seed;
    fe_merge *merges;
    uint64_t merges_count, merges_room;
    uint32_t *lists;
    uint64_t lists_count, lists_room;
    fe_sight *sights; /* of this step */
    uint64_t sights_count, sights_room;
    uint32_t *touched; /* the pairs of these, each once */
    uint64_t touched_count, touched_room;
    fe_entry *queue; /* a heap, the next pair first */
    uint64_t queue_count, queue_room;
    fe_links *links;
    bool begun;
};

/* The number of a pair, which is added with the count 0 if it is not there; UINT32_MAX: no memory. */
uint32_t fe_merger_pair(fe_merger *m, uint32_t left, uint32_t right);

/* Counts the pairs of all words, and hands the words of each to `take`. */
typedef bool fe_take(fe_merger *m, const fe_entry *entry);
bool fe_merger_begin(fe_merger *m, fe_take *take);

/* Names what a pair makes, in *result, and notes the merge. */
bool fe_merger_name(fe_merger *m, uint64_t key, uint32_t *result);

/* Merges a pair in some words, and hands what is new there to `take`. *merged receives how often the pair stood there,
 * and *work grows by what it took. */
bool fe_merger_merge(fe_merger *m, const fe_entry *entry, uint32_t result, fe_take *take, int64_t *merged,
                     int64_t *work);

/* train_bpe.c, train_likelihood.c: merges for about so much work; FE_FULL: there is more to do. */
fe_status fe_run_by_count(fe_merger *m, int64_t work);
fe_status fe_run_by_likelihood(fe_merger *m, int64_t work);
void fe_links_free(fe_links *links);

#endif
