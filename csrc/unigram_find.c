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

/* The best way to each place of a text: its last piece, and how much better it is than all that have another one. */
typedef struct fe_ways {
    double margin[FE_ENDS_BYTES + 1];
    int32_t start[FE_ENDS_BYTES + 1], piece[FE_ENDS_BYTES + 1];
} fe_ways;

/* The best two ways to a place, so far, and where the best one's last piece begins. */
typedef struct fe_two {
    double first, second;
    uint32_t piece, start;
} fe_two;

/* One of two numbers, without a branch: which, nobody foretells. */
static inline uint32_t chosen(bool first, uint32_t a, uint32_t b) { return b ^ ((a ^ b) & -(uint32_t)first); }

static inline void join(double sum, uint32_t piece, uint32_t start, fe_two *best) {
    const double less = sum < best->first ? sum : best->first;
    best->piece = chosen(sum > best->first, piece, best->piece);
    best->start = chosen(sum > best->first, start, best->start);
    best->first = sum > best->first ? sum : best->first;
    best->second = less > best->second ? less : best->second;
}

/* Offers all pieces that begin at each place, the shortest first. */
static int32_t walk_all(const fe_unigram *u, const uint8_t *p, const uint8_t *end, fe_ways *ways) {
    const fe_unit *const units = u->units;
    const int32_t size = (int32_t)(end - p);
    fe_two best[FE_ENDS_BYTES + 1];
    int32_t chars = 0;
    uint32_t code;
    for (int32_t i = 0; i <= size; i++) best[i] = (fe_two){-HUGE_VAL, -HUGE_VAL, 0, 0};
    best[0].first = 0;
    for (int32_t at = 0, length; at < size; at += length, chars++) {
        const double sum = best[at].first;
        bool single = false;
        length = p[at] < 0x80 ? 1 : fe_utf8_read(p + at, end, &code);
        for (int32_t node = 0, to = at; to < size && (node = fe_trie_next(units, node, p[to])) >= 0;) {
            to++;
            const int32_t piece = units[node].value;
            if (piece < 0) continue;
            join(sum + u->scores[piece], (uint32_t)piece, (uint32_t)at, &best[to]);
            single |= to - at == length;
        }
        if (!single) join(sum + u->unk_score, (uint32_t)u->pieces, (uint32_t)at, &best[at + length]);
    }
    for (int32_t i = 1; i <= size; i++) {
        ways->margin[i] = best[i].first - best[i].second;
        ways->piece[i] = (int32_t)best[i].piece;
        ways->start[i] = (int32_t)best[i].start;
    }
    return chars;
}

/* What ends at each place behind a byte, by the states of unigram_ends.h. */
static void list_ends(const fe_ends *e, const uint8_t *p, int32_t size, uint32_t *lists) {
    const fe_end_cell *const cells = e->cells;
    const fe_end_state *const pairs = e->pairs;
    const uint32_t classes = e->classes;
    uint32_t row = 0, two = 0, before = 0;
    for (int32_t i = 0; i < size; i++) {
        const uint8_t byte = p[i];
        const uint32_t class = e->class_of[byte];
        const fe_end_cell step = cells[row ^ byte], three = cells[two ^ byte];
        const fe_end_state pair = pairs[before * classes + class];
        const bool goes = (uint8_t)step.row == byte, has_three = (uint8_t)three.row == byte;
        row = chosen(goes, step.row >> 8, chosen(has_three, three.row >> 8, pair.row));
        lists[i] = chosen(goes, step.list, chosen(has_three, three.list, pair.list));
        two = pair.row;
        before = class;
    }
}

/* The same by what ends at each place; here, too, what begins first is offered first. What is of no bytes is never the
 * best: the place itself has no sum yet. */
static int32_t join_ends(const fe_unigram *u, const uint8_t *p, const uint8_t *end, fe_ways *ways) {
    enum { LENGTH = (1 << FE_LENGTH_BITS) - 1 };
    const fe_value *const values = u->values;
    uint32_t lists[FE_ENDS_BYTES], code;
    double first[FE_ENDS_BYTES + 1];
    const int32_t size = (int32_t)(end - p);
    int32_t chars = 0;
    list_ends(u->ends, p, size, lists);
    for (int32_t i = 1; i <= size; i++) first[i] = -HUGE_VAL;
    first[0] = 0;
    for (int32_t at = 0, to; at < size; at = to, chars++) {
        to = at + (p[at] < 0x80 ? 1 : fe_utf8_read(p + at, end, &code));
        const uint32_t list = lists[to - 1], *ending = u->ends->endings + (list >> FE_ENDS_SHIFT);
        fe_two best = {-HUGE_VAL, -HUGE_VAL, 0, 0};
        for (int i = 0; i < FE_ENDS_ALWAYS || (list & FE_ENDS_MORE && *ending & LENGTH); i++, ending++) {
            const uint32_t start = (uint32_t)to - (*ending & LENGTH), piece = *ending >> FE_LENGTH_BITS;
            join(first[start] + (double)values[piece].score, piece, start, &best);
        }
        if (!(list & FE_ENDS_SINGLE)) join(first[at] + u->unk_score, (uint32_t)u->pieces, (uint32_t)at, &best);
        first[to] = best.first;
        ways->margin[to] = best.first - best.second;
        ways->start[to] = (int32_t)best.start;
        ways->piece[to] = (int32_t)best.piece;
    }
    return chars;
}

fe_near fe_unigram_near(const fe_unigram *u, const uint8_t *p, const uint8_t *end, int32_t *values) {
    fe_ways ways;
    const int32_t size = (int32_t)(end - p);
    fe_near found = {.margin = HUGE_VAL};
    found.chars = u->ends ? join_ends(u, p, end, &ways) : walk_all(u, p, end, &ways);
    int32_t *const behind = values + FE_NEAR_BYTES, *to = behind;
    for (int32_t at = size; at > 0; at = ways.start[at]) {
        found.margin = ways.margin[at] < found.margin ? ways.margin[at] : found.margin;
        if (ways.piece[at] < u->pieces) {
            *--to = ways.piece[at];
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
