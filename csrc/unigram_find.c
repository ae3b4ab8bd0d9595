/* unigram_find.c: the best ways to all places of a text, as unigram.c says; and the way through a short one, with how
 * much better it is than all others. What is offered to a place is compared without branches: which way is better
 * nobody foretells. */
#include <math.h>

#include "unigram_ways.h"
#include "utf8.h"

/* What the search has come to. */
typedef struct fe_search {
    const fe_unigram *u;
    fe_best *best;
    int32_t reached;
} fe_search;

/* What was taken for zero is taken from all sums that are not settled. */
static void take_for_zero(fe_best *best, int32_t at, int32_t reached) {
    const float large = (float)best[at].score;
    for (int32_t i = at; i <= reached; i++) best[i].score = (double)((float)best[i].score - large);
}

/* Offers a way to a place, whose score is no number if none was there before. */
static inline __attribute__((always_inline)) void offer(fe_search *s, int32_t at, int32_t to, int32_t piece, bool f32) {
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
}

/* Offers all pieces that begin with the character at a place, the shortest first. */
static inline __attribute__((always_inline)) void walk_one(fe_search *s, const uint8_t *p, int32_t size, int32_t at,
                                                           int32_t length, bool f32) {
    const fe_unit *const units = s->u->units;
    bool single = false;
    for (int32_t node = 0, to = at; to < size && (node = fe_trie_next(units, node, p[to])) >= 0;) {
        to++;
        if (units[node].value < 0) continue;
        offer(s, at, to, units[node].value, f32);
        single |= to - at == length;
    }
    if (!single) offer(s, at, at + length, (int32_t)s->u->pieces, f32);
}

static inline __attribute__((always_inline)) void find_all(fe_search *s, const uint8_t *p, const uint8_t *end,
                                                           bool f32) {
    const int32_t size = (int32_t)(end - p);
    uint32_t code;
    for (int32_t at = 0, length; at < size; at += length) {
        length = p[at] < 0x80 ? 1 : fe_utf8_read(p + at, end, &code);
        walk_one(s, p, size, at, length, f32);
    }
}

void fe_unigram_find(const fe_unigram *u, const uint8_t *p, const uint8_t *end, double score, bool f32, fe_best *best) {
    const int32_t size = (int32_t)(end - p);
    fe_search s = {u, best, 0};
    for (int32_t i = 0; i <= size; i++) best[i] = (fe_best){NAN, -1, -1};
    best[0] = (fe_best){score, 0, -1};
    if (f32)
        find_all(&s, p, end, true);
    else
        find_all(&s, p, end, false);
}

/* ------------------------------------------------------------------ short texts */

/* The best way to a place, and what the second best by another last piece has. */
typedef struct fe_place_near {
    double first, second;
    int32_t start, piece;
} fe_place_near;

static inline void offer_near(fe_place_near *to, double sum, int32_t at, int32_t piece) {
    const double first = to->first, second = to->second, less = sum > first ? first : sum;
    to->start = sum > first ? at : to->start;
    to->piece = sum > first ? piece : to->piece;
    to->first = sum > first ? sum : first;
    to->second = less > second ? less : second;
}

static int32_t walk_all(const fe_unigram *u, const uint8_t *p, const uint8_t *end, fe_place_near *places) {
    const fe_unit *const units = u->units;
    const int32_t size = (int32_t)(end - p);
    int32_t chars = 0;
    uint32_t code;
    for (int32_t at = 0, length; at < size; at += length, chars++) {
        const double sum = places[at].first;
        bool single = false;
        length = p[at] < 0x80 ? 1 : fe_utf8_read(p + at, end, &code);
        for (int32_t node = 0, to = at; to < size && (node = fe_trie_next(units, node, p[to])) >= 0;) {
            to++;
            const int32_t piece = units[node].value;
            if (piece < 0) continue;
            offer_near(&places[to], sum + u->scores[piece], at, piece);
            single |= to - at == length;
        }
        if (!single) offer_near(&places[at + length], sum + u->unk_score, at, (int32_t)u->pieces);
    }
    return chars;
}

fe_near fe_unigram_near(const fe_unigram *u, const uint8_t *p, const uint8_t *end, int32_t *values) {
    fe_place_near places[FE_NEAR_BYTES + 1];
    const int32_t size = (int32_t)(end - p);
    for (int32_t i = 0; i <= size; i++) places[i] = (fe_place_near){-HUGE_VAL, -HUGE_VAL, 0, 0};
    places[0].first = 0;
    fe_near found = {.chars = walk_all(u, p, end, places), .margin = HUGE_VAL};
    int32_t *const behind = values + FE_NEAR_BYTES, *to = behind;
    for (int32_t at = size; at > 0; at = places[at].start) {
        const fe_place_near *const place = &places[at];
        const double margin = place->first - place->second;
        found.margin = margin < found.margin ? margin : found.margin;
        if (place->piece < u->pieces) {
            *--to = place->piece;
            continue;
        }
        found.unknown = true;
        if (to == behind || *to >= 0) *--to = 0;
        --*to;
    }
    found.count = behind - to;
    memmove(values, to, (size_t)found.count * sizeof *to);
    return found;
}
