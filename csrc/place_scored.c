/* place_scored.c: where pieces that have scores stand.
 *
 * A piece that is known stands for its own name. So the ids of a piece of text are first compared with it, name by
 * name, and the search is only done again where an id is not told by its name: unknown ones, and bytes. */
#include "chain_walk.h"
#include "place.h"
#include "unigram_ways.h"
#include "walk.h"

/* A piece of text, as the trie has it: where it begins in the stretch, and whether a mark stands before it. */
typedef struct fe_written {
    const uint8_t *p, *end;
    int64_t first; /* the number of its first character */
    bool front;    /* which is that of the mark */
} fe_written;

/* Gives the next id the characters from number `from` up to `to` of a piece. What stands before it belongs to its first
 * character. */
static fe_status put(fe_placer *pl, const fe_written *w, int32_t id, int64_t from, int64_t to) {
    const int64_t front = w->front, start = from < front ? 0 : from - front, last = to <= front ? 1 : to - front;
    return fe_place_id(pl, id, w->first + start, w->first + last);
}

/* True if an id may stand for something else than its name: the unknown one, and those of bytes. */
static bool is_odd(const fe_tokenizer *t, int32_t token, const uint8_t *p, const uint8_t *end) {
    if (token == t->unk) return true;
    if (!(t->flags & FE_BYTE_FALLBACK) || end - p != 6 || p[0] != '<' || p[5] != '>') return false;
    return true;
}

/* Places ids by their names; false if one is not told by it. */
static bool place_by_names(fe_placer *pl, const fe_written *w) {
    const fe_tokenizer *const t = pl->e.t;
    const fe_unigram *const u = &t->unigram;
    const int64_t at = pl->at;
    int64_t from = 0;
    for (const uint8_t *p = w->p, *q = p; p < w->end; p = q) {
        int32_t node = 0, token = -1;
        if (pl->at == pl->count) break;
        const int32_t id = pl->ids[pl->at];
        for (q = p; q < w->end && (node = fe_trie_next(u->units, node, *q)) >= 0;) {
            const int32_t value = u->units[node].value;
            q++;
            if (value < 0 || t->token_ids[u->tokens[value]] != id) continue;
            token = u->tokens[value];
            break;
        }
        if (token < 0 || is_odd(t, token, p, q)) break;
        const int64_t to = from + fe_chars_between(p, q);
        if (put(pl, w, id, from, to) != FE_OK) break;
        from = to;
        if (q == w->end) return true;
    }
    pl->at = at;
    return false;
}

/* Places the ids of a run of unknown characters: each stands for all of it. */
static fe_status place_unknown(fe_placer *pl, const fe_written *w, const uint8_t *p, const uint8_t *end, int64_t from) {
    fe_encoder *const e = &pl->e;
    const int64_t to = from + fe_chars_between(p, end);
    e->count = 0;
    fe_status status = fe_unigram_unknown(e, p, end);
    for (int64_t i = 0; i < e->count && status == FE_OK; i++)
        status = put(pl, w, e->t->token_ids[e->symbols[i]], from, to);
    return status;
}

/* Places ids by the best way, which is searched again. */
static fe_status place_by_way(fe_placer *pl, const fe_written *w, const uint8_t *raw, const uint8_t *raw_end) {
    fe_encoder *const e = &pl->e;
    const fe_lattice *const l = &e->lattice;
    double score = 0;
    int64_t count, from = 0, at = 0;
    e->count = 0;
    fe_status status = fe_unigram_push(e, raw, raw_end, w->front, &score, &count);
    for (int64_t i = 0; i < count && status == FE_OK;) {
        const int64_t start = at;
        const int32_t piece = l->best[l->ends[i]].piece;
        const bool unknown = fe_is_unknown(e->t, piece);
        at = l->ends[i++];
        while (unknown && i < count && fe_is_unknown(e->t, l->best[l->ends[i]].piece)) at = l->ends[i++];
        const int64_t to = from + fe_chars_between(w->p + start, w->p + at);
        status = unknown ? place_unknown(pl, w, w->p + start, w->p + at, from)
                         : put(pl, w, e->t->token_ids[e->t->unigram.tokens[piece]], from, to);
        from = to;
    }
    return status;
}

/* Places the ids of one piece of text; its sums begin at 0. */
static fe_status place_one(fe_placer *pl, const uint8_t *p, const uint8_t *end, bool front) {
    fe_written w = {p, end, fe_place_number(pl, p), front};
    const fe_status status = fe_unigram_written(&pl->e, &w.p, &w.end, front);
    if (status != FE_OK || w.p == w.end) return status;
    return place_by_names(pl, &w) ? FE_OK : place_by_way(pl, &w, p, end);
}

/* A piece that a pre-tokenizer leaves: with FE_SPLIT_MARKS it is cut before each mark. */
static fe_status place_cut(fe_placer *pl, const uint8_t *p, const uint8_t *end, bool front) {
    const fe_tokenizer *const t = pl->e.t;
    const bool splits = t->flags & FE_SPLIT_MARKS;
    fe_status status = FE_OK;
    for (const uint8_t *next; (p < end || front) && status == FE_OK; p = next, front = false) {
        next = splits ? fe_unigram_next_mark(t, front ? p : p + 1, end) : end;
        status = place_one(pl, p, next, front);
        pl->word++;
    }
    return status;
}

static fe_status place_white(fe_placer *pl, const uint8_t *p, const uint8_t *end) {
    fe_status status = FE_OK;
    while (status == FE_OK && (p = fe_unigram_next_white(p, end, false)) < end) {
        const uint8_t *const to = fe_unigram_next_white(p, end, true);
        status = place_cut(pl, p, to, !fe_is_mark(p, to));
        p = to;
    }
    return status;
}

fe_status fe_place_scored(fe_placer *pl, const uint8_t *p, const uint8_t *end) {
    const fe_tokenizer *const t = pl->e.t;
    fe_status status = FE_OK;
    if (t->flags & FE_WHITE_WORDS) return place_white(pl, p, end);
    if (t->pattern != FE_PATTERN_PROGRAM) return place_cut(pl, p, end, fe_mark_front(&pl->e, p, end));
    fe_cutting cutting;
    fe_cutting_start(&cutting, t->cutters, p);
    fe_cutting_next(&cutting, p, end);
    while (status == FE_OK && !fe_cutting_done(&cutting)) {
        fe_cutting_more(&cutting);
        for (int64_t i = 0; i < cutting.count && status == FE_OK; i++) {
            const uint8_t *const from = p + cutting.starts[i], *const to = p + cutting.ends[i];
            const bool front = fe_unigram_front(t, from, to, false);
            status = fe_place_cuts_char(from, to) ? FE_UNPLACED : place_cut(pl, from, to, front);
        }
        cutting.count = 0;
    }
    return status;
}
