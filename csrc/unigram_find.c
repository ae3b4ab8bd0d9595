/* unigram_find.c: the best ways to all places of a text, as unigram.c says. What is offered to a place is compared
 * without branches: which way is better nobody foretells. */
#include <math.h>

#include "unigram_ways.h"
#include "utf8.h"

/* What the search has come to. */
typedef struct fe_search {
    const fe_unigram *u;
    fe_best *best;
    double (*sums)[2];
    int32_t reached;
} fe_search;

/* What was taken for zero is taken from all sums that are not settled. */
static void take_for_zero(fe_best *best, int32_t at, int32_t reached) {
    const float large = (float)best[at].score;
    for (int32_t i = at; i <= reached; i++) best[i].score = (double)((float)best[i].score - large);
}

/* Offers a way to a place, whose score is no number if none was there before; and with `noted` keeps the best two of
 * the exact sums of all ways to a place that differ in their last piece. */
static inline __attribute__((always_inline)) void offer(fe_search *s, int32_t at, int32_t to, int32_t piece, bool f32,
                                                        bool noted) {
    const fe_unigram *const u = s->u;
    if (f32 && fe_is_large(s->best[at].score)) take_for_zero(s->best, at, s->reached);
    double score = u->scores[piece] + s->best[at].score;
    if (f32) score = (double)(float)score;
    const fe_best old = s->best[to];
    const bool kept = score <= old.score;
    s->best[to].score = kept ? old.score : score;
    s->best[to].start = kept ? old.start : at;
    s->best[to].piece = kept ? old.piece : piece;
    s->reached = to > s->reached ? to : s->reached;
    if (!noted) return;
    const double sum = u->scores[piece] + s->sums[at][0];
    const double first = s->sums[to][0], second = s->sums[to][1], less = sum < first ? sum : first;
    s->sums[to][0] = sum > first ? sum : first;
    s->sums[to][1] = less > second ? less : second;
}

/* Offers all pieces that begin with the character at a place, the shortest first. */
static inline __attribute__((always_inline)) void walk_one(fe_search *s, const uint8_t *p, int32_t size, int32_t at,
                                                           int32_t length, bool f32, bool noted) {
    const fe_unit *const units = s->u->units;
    bool single = false;
    for (int32_t node = 0, to = at; to < size && (node = fe_trie_next(units, node, p[to])) >= 0;) {
        to++;
        if (units[node].value < 0) continue;
        offer(s, at, to, units[node].value, f32, noted);
        single |= to - at == length;
    }
    if (!single) offer(s, at, at + length, (int32_t)s->u->pieces, f32, noted);
}

static inline __attribute__((always_inline)) void find_all(fe_search *s, const uint8_t *p, const uint8_t *end, bool f32,
                                                           bool noted) {
    const int32_t size = (int32_t)(end - p);
    uint32_t code;
    for (int32_t at = 0, length; at < size; at += length) {
        length = p[at] < 0x80 ? 1 : fe_utf8_read(p + at, end, &code);
        walk_one(s, p, size, at, length, f32, noted);
    }
}

void fe_unigram_find(const fe_unigram *u, const uint8_t *p, const uint8_t *end, double score, bool f32, fe_best *best,
                     double (*sums)[2]) {
    const int32_t size = (int32_t)(end - p);
    fe_search s = {u, best, sums, 0};
    for (int32_t i = 0; i <= size; i++) best[i] = (fe_best){NAN, -1, -1};
    for (int32_t i = 0; i <= size && sums; i++) sums[i][0] = sums[i][1] = -HUGE_VAL;
    best[0] = (fe_best){score, 0, -1};
    if (sums) sums[0][0] = 0;
    if (!f32) find_all(&s, p, end, false, sums != NULL);
    else if (sums) find_all(&s, p, end, true, true);
    else find_all(&s, p, end, true, false);
}
