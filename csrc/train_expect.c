/* train_expect.c: what pieces a word is made of: how much of it by each, and the best way.
 *
 * Sums over all ways are sums of products of probabilities. A product for each character more is smaller by about the
 * same factor, so each probability is multiplied by one number, `base`, for each of its characters: that changes all
 * ways alike, and keeps sums within what a double holds. A word that is too long or too odd for that is summed up in
 * logarithms.
 */
#include <math.h>

#include "train_pieces.h"

enum {
    PORTION = 1 << 22,    /* edges of the words of a call */
    LOG_PORTION = 1 << 18 /* and of one word whose sums are made in logarithms, which takes far longer */
};

#define SMALLEST 1e-250
#define LARGEST 1e250

/* ------------------------------------------------------------------ expectation */

/* log(exp(a) + exp(b)) */
static inline double log_sum(double a, double b) {
    const double high = a > b ? a : b, low = a > b ? b : a;
    return low == -INFINITY ? high : high + log1p(exp(low - high));
}

/* The sums of all ways to the places from t->logs.at on. False: as many were made as a call may take. */
static bool go_ahead(fe_pieces_trainer *t, uint64_t place, uint32_t size) {
    double *const ahead = t->ahead;
    int64_t left = LOG_PORTION;
    for (; t->logs.at < size && left > 0; t->logs.at++)
        for (uint64_t e = t->edges_at[place + t->logs.at]; e < t->edges_at[place + t->logs.at + 1]; e++, left--) {
            const uint32_t to = t->logs.at + (t->edges[e] & FE_LENGTHS);
            ahead[to] = log_sum(ahead[to], ahead[t->logs.at] + t->scores[t->edges[e] >> FE_LENGTH_BITS]);
        }
    return t->logs.at == size;
}

/* Those of all ways from the places before t->logs.at, and what is expected by them. */
static bool go_back(fe_pieces_trainer *t, uint64_t place, uint32_t size, double count) {
    double *const ahead = t->ahead, *const behind = t->behind;
    int64_t left = LOG_PORTION;
    while (t->logs.at > 0 && left > 0) {
        const uint32_t i = --t->logs.at;
        for (uint64_t e = t->edges_at[place + i]; e < t->edges_at[place + i + 1]; e++, left--) {
            const uint32_t piece = t->edges[e] >> FE_LENGTH_BITS, to = i + (t->edges[e] & FE_LENGTHS);
            const double rest = t->scores[piece] + behind[to];
            behind[i] = log_sum(behind[i], rest);
            t->expected[piece] += count * exp(ahead[i] + rest - ahead[size]);
        }
    }
    return t->logs.at == 0;
}

/* The same as expect_word, part by part: false where there is more to do. */
static bool expect_by_logs(fe_pieces_trainer *t, uint64_t place, uint32_t size, double count, double *all) {
    double *const ahead = t->ahead, *const behind = t->behind;
    if (!t->logs.begun) {
        for (uint32_t i = 0; i <= size; i++) ahead[i] = behind[i] = -INFINITY;
        ahead[0] = behind[size] = 0;
        t->logs.begun = true;
        t->logs.back = false;
        t->logs.at = 0;
    }
    if (!t->logs.back) {
        if (!go_ahead(t, place, size)) return false;
        t->logs.back = true;
    } /* at the end of the word, from where it goes back */
    if (!go_back(t, place, size, count)) return false;
    t->logs.begun = false;
    *all = ahead[size];
    return true;
}

/* Adds to what is expected of each piece; *log_all receives the logarithm of the word's probability. False: the word is
 * not done. */
static bool expect_word(fe_pieces_trainer *t, uint64_t place, uint32_t size, double count, double *log_all) {
    double *const restrict ahead = t->ahead, *const restrict behind = t->behind;
    const uint64_t *const at = t->edges_at + place;
    const uint32_t *const edges = t->edges;
    const double *const factors = t->factors;
    if (t->logs.begun) return expect_by_logs(t, place, size, count, log_all);
    for (uint32_t i = 1; i <= size; i++) ahead[i] = 0;
    ahead[0] = 1;
    for (uint32_t i = 0; i < size; i++) {
        const double here = ahead[i];
        if (!(here > SMALLEST && here < LARGEST)) return expect_by_logs(t, place, size, count, log_all);
        for (uint64_t e = at[i]; e < at[i + 1]; e++)
            ahead[i + (edges[e] & FE_LENGTHS)] += here * factors[edges[e] >> FE_LENGTH_BITS];
    }
    const double all = ahead[size];
    if (!(all > SMALLEST && all < LARGEST)) return expect_by_logs(t, place, size, count, log_all);
    behind[size] = count / all;
    for (uint32_t i = size; i-- > 0;) {
        const double here = ahead[i];
        double sum = 0;
        for (uint64_t e = at[i]; e < at[i + 1]; e++) {
            const uint32_t piece = edges[e] >> FE_LENGTH_BITS;
            const double rest = factors[piece] * behind[i + (edges[e] & FE_LENGTHS)];
            sum += rest;
            t->expected[piece] += here * rest;
        }
        behind[i] = sum;
    }
    *log_all = log(all) - size * log(t->base);
    return true;
}

/* Where the next portion of words ends. */
static uint64_t portion_end(const fe_pieces_trainer *t) {
    uint64_t end = t->word;
    for (const uint64_t first = t->edges_at[t->words[t->word]]; end < t->words_count; end++)
        if (t->edges_at[t->words[end]] - first > PORTION) break;
    return end;
}

void fe_expect_words(fe_pieces_trainer *t) {
    const uint64_t end = portion_end(t);
    for (; t->word < end; t->word++) {
        const uint32_t place = t->words[t->word], size = t->words[t->word + 1] - place - 1;
        double log_all;
        if (!expect_word(t, place, size, t->counts[t->word], &log_all)) return;
        t->sum += t->counts[t->word] * log_all;
    }
}

/* ------------------------------------------------------------------ the best way */

/* The best way from `place` over `size` characters without some piece: its score, and back to each place its edge. */
static double best_way(fe_pieces_trainer *t, uint64_t place, uint32_t size, uint32_t without) {
    double *const best = t->ahead;
    for (uint32_t i = 1; i <= size; i++) best[i] = -INFINITY;
    best[0] = 0;
    for (uint32_t i = 0; i < size; i++)
        for (uint64_t e = t->edges_at[place + i]; e < t->edges_at[place + i + 1]; e++) {
            const uint32_t edge = t->edges[e], to = i + (edge & FE_LENGTHS);
            if (to > size || edge >> FE_LENGTH_BITS == without) continue;
            const double score = best[i] + t->scores[edge >> FE_LENGTH_BITS];
            if (score > best[to]) {
                best[to] = score;
                t->back[to] = edge;
            }
        }
    return best[size];
}

void fe_segment_words(fe_pieces_trainer *t) {
    const uint64_t end = portion_end(t);
    for (; t->word < end; t->word++) {
        const uint32_t place = t->words[t->word], size = t->words[t->word + 1] - place - 1;
        (void)best_way(t, place, size, UINT32_MAX);
        for (uint32_t i = size; i > 0; i -= t->back[i] & FE_LENGTHS)
            t->expected[t->back[i] >> FE_LENGTH_BITS] += t->counts[t->word];
    }
}

double fe_other_parts(fe_pieces_trainer *t, uint32_t piece, uint32_t *parts) {
    const fe_stretch its = t->pieces[piece];
    const double score = best_way(t, its.place, its.length, piece);
    *parts = 0;
    if (score == -INFINITY) return score;
    for (uint32_t i = its.length; i > 0; ++*parts) {
        const uint32_t edge = t->back[i];
        t->back[FE_LENGTHS - *parts] = edge >> FE_LENGTH_BITS; /* behind all places that are still read */
        i -= edge & FE_LENGTHS;
    }
    return score;
}
