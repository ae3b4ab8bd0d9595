/* unigram.c: the best way through a text, piece by piece (Viterbi's algorithm), as two engines find it.
 *
 * From each character all pieces that begin there are walked to in the trie, the shortest first; where no piece is just
 * that character, it may also be unknown. A way takes the place of another only if it is strictly better. Then ways
 * that are equal but for rounding are chosen between by the order of additions, so that is kept too:
 *
 * - tokenizer.json: sums of f64, from 0 at the start of every piece that the pre-tokenizer leaves;
 * - SentencePiece (FE_F32_SUMS): each sum is rounded to f32 where it is kept, from 0 at the start of the text.
 *
 * Each byte is looked at once for each byte of the longest piece at most (unigram_find.c). */
#include "unigram.h"

#include <float.h>
#include <math.h>

#include "image.h"
#include "mem.h"
#include "model.h"
#include "symbols.h"
#include "traits.h"
#include "unigram_ways.h"
#include "utf8.h"

static const uint8_t mark[3] = {0xE2, 0x96, 0x81};

void fe_lattice_clear(fe_lattice *l) {
    free(l->best);
    free(l->ends);
    free(l->text);
}

/* ------------------------------------------------------------------ the sections */

/* True if the sections agree that texts have whose sums run. */
static bool running_valid(const fe_tokenizer *t) {
    const uint64_t pieces = fe_section_count(t, FE_S_WHOLE_TOKENS), values = fe_section_count(t, FE_S_WHOLE_VALUES);
    const fe_value *const value = fe_section_of(t, FE_S_WHOLE_VALUES);
    const double *const score = fe_section_of(t, FE_S_WHOLE_SCORES);
    bool good = values == pieces + 1 && value[pieces].score == 0 && (double)(float)score[pieces] == score[pieces];
    for (uint64_t i = 0; good && i < pieces; i++) good = (double)value[i].score == score[i];
    const int64_t pages = (int64_t)(fe_section_count(t, FE_S_CHAR_TOKENS) / FE_PAGE);
    return good && fe_section_within(t, FE_S_CHAR_PAGES, -1, pages) && fe_section_within(t, FE_S_CHAR_TOKENS, -1, 1);
}

bool fe_unigram_check(const fe_tokenizer *t) {
    const uint64_t pieces = fe_section_count(t, FE_S_WHOLE_TOKENS), scores = fe_section_count(t, FE_S_WHOLE_SCORES);
    if (t->image->unk < 0 || pieces >= INT32_MAX || scores != pieces + 1) return false;
    const double *const score = fe_section_of(t, FE_S_WHOLE_SCORES);
    bool good = true;
    for (uint64_t i = 0; i < scores; i++) good &= fabs(score[i]) <= DBL_MAX; /* not so of what is no number */
    if (!good || (fe_sums_run(t->image->flags) && !running_valid(t))) return false;
    return fe_section_within(t, FE_S_WHOLE_TOKENS, 0, (int64_t)t->image->vocab) &&
           fe_trie_valid(fe_section_of(t, FE_S_WHOLES), fe_section_count(t, FE_S_WHOLES), (int64_t)pieces);
}

/* Where ways part between two characters. Unknown characters side by side must be one id, or ids of their own each. */
static void attach_sides(fe_tokenizer *t) {
    t->chars.flags |= FE_CUT;
    t->chars.pages = fe_section_of(t, FE_S_CHAR_PAGES);
    t->chars.tokens = fe_section_of(t, FE_S_CHAR_TOKENS);
    t->chars.pairs = fe_section_of(t, FE_S_CUT_PAIRS);
    t->chars.ascii = fe_section_of(t, FE_S_CUT_ASCII);
    t->chars.all_solid = true;
    t->unigram.values = fe_section_of(t, FE_S_WHOLE_VALUES);
    t->unigram.parts = !(t->flags & FE_BYTE_FALLBACK) || t->all_bytes;
}

void fe_unigram_attach(fe_tokenizer *t) {
    fe_unigram *const u = &t->unigram;
    t->space_cuts = t->image->space_cuts;
    t->chars = (fe_chars){.flags = t->flags}; /* by which marks in front are told */
    if (fe_sums_run(t->flags)) attach_sides(t);
    u->units = fe_section_of(t, FE_S_WHOLES);
    u->scores = fe_section_of(t, FE_S_WHOLE_SCORES);
    u->tokens = fe_section_of(t, FE_S_WHOLE_TOKENS);
    u->pieces = (int64_t)fe_section_count(t, FE_S_WHOLE_TOKENS);
    u->unk_score = u->scores[u->pieces];
    u->most = 0;
    for (int64_t i = 0; i <= u->pieces; i++)
        if (fabs(u->scores[i]) > u->most) u->most = fabs(u->scores[i]);
}

/* ------------------------------------------------------------------ the text, as the trie has it */

fe_status fe_unigram_written(fe_encoder *e, const uint8_t **p, const uint8_t **end, bool front) {
    const bool spaces = e->t->flags & FE_SPACE_MARK;
    const uint8_t *q = *p;
    if (!front && !spaces) return FE_OK;
    while (spaces && q < *end && (q = memchr(q, mark[0], (size_t)(*end - q))) && !fe_is_mark(q, *end)) q++;
    if (!front && (!q || q == *end)) return FE_OK;
    fe_lattice *const l = &e->lattice;
    if (!fe_grow(&l->text, &l->text_room, *end - *p + 3, 1)) return FE_NO_MEMORY;
    uint8_t *to = l->text;
    if (front && spaces) *to++ = ' ';
    for (int i = 0; i < 3 && front && !spaces; i++) *to++ = mark[i];
    for (q = *p; q < *end;) {
        if (spaces && fe_is_mark(q, *end)) {
            *to++ = ' ';
            q += 3;
        } else {
            *to++ = *q++;
        }
    }
    *p = l->text;
    *end = to;
    return FE_OK;
}

/* ------------------------------------------------------------------ the best way */

static fe_status find_ways(fe_encoder *e, const uint8_t *p, const uint8_t *end, double score) {
    const fe_unigram *const u = &e->t->unigram;
    fe_lattice *const l = &e->lattice;
    if (!fe_grow(&l->best, &l->best_room, end - p + 1, sizeof *l->best)) return FE_NO_MEMORY;
    fe_unigram_find(u, p, end, score, e->t->flags & FE_F32_SUMS, l->best);
    return FE_OK;
}

/* Where the pieces of the best way end: l->ends[0] up to its end, from the last of `count` on. Every place at which a
 * character begins is reached, and ways lead from such places only. The way is followed once, to the room's end. */
static fe_status choose_way(fe_lattice *l, int64_t size, int64_t *count) {
    if (!fe_grow(&l->ends, &l->ends_room, size, sizeof *l->ends)) return FE_NO_MEMORY;
    int32_t *const behind = l->ends + size, *to = behind;
    for (int64_t at = size; at > 0; at = l->best[at].start) *--to = (int32_t)at;
    *count = behind - to;
    memmove(l->ends, to, (size_t)*count * sizeof *to);
    return FE_OK;
}

/* ------------------------------------------------------------------ tokens */

int32_t fe_unigram_whole(const fe_unigram *u, const uint8_t *p, const uint8_t *end) {
    int32_t node = 0;
    for (; p < end && node >= 0; p++) node = fe_trie_next(u->units, node, *p);
    return node < 0 || u->units[node].value < 0 ? -1 : u->tokens[u->units[node].value];
}

fe_status fe_unigram_spell(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool *done) {
    const int32_t *const byte_token = e->t->merges.byte_token;
    const bool spaces = e->t->flags & FE_SPACE_MARK;
    const int64_t first = e->count;
    fe_status status = FE_OK;
    for (; p < end && status == FE_OK; p++) {
        const bool as_mark = spaces && *p == ' ';
        const uint8_t *const bytes = as_mark ? mark : p;
        for (int i = 0; i < (as_mark ? 3 : 1) && status == FE_OK; i++) {
            if (byte_token[bytes[i]] < 0) {
                e->count = first;
                return FE_OK;
            }
            status = fe_symbol_push(e, byte_token[bytes[i]]);
        }
    }
    *done = status == FE_OK;
    return status;
}

/* In tokenizer.json's engine a run may be a piece, if as such it scored worse. */
fe_status fe_unigram_unknown(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    const int32_t token = e->t->flags & FE_F32_SUMS ? -1 : fe_unigram_whole(&e->t->unigram, p, end);
    if (token >= 0) return fe_symbol_push(e, token);
    bool done = false;
    const fe_status status = e->t->flags & FE_BYTE_FALLBACK ? fe_unigram_spell(e, p, end, &done) : FE_OK;
    return status != FE_OK || done ? status : fe_symbol_push(e, e->t->unk);
}

/* Adds the tokens of the way that was chosen through a text. */
static fe_status push_way(fe_encoder *e, const uint8_t *p, int64_t count) {
    const fe_lattice *const l = &e->lattice;
    fe_status status = FE_OK;
    for (int64_t i = 0, at = 0; i < count && status == FE_OK;) {
        const int64_t start = at;
        const int32_t piece = l->best[l->ends[i]].piece;
        if (!fe_is_unknown(e->t, piece)) {
            status = fe_symbol_push(e, e->t->unigram.tokens[piece]);
            at = l->ends[i++];
            continue;
        }
        for (; i < count && fe_is_unknown(e->t, l->best[l->ends[i]].piece); i++) at = l->ends[i];
        status = fe_unigram_unknown(e, p + start, p + at);
    }
    return status;
}

fe_status fe_unigram_push(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, double *score,
                           int64_t *ways) {
    fe_status status = fe_unigram_written(e, &p, &end, front);
    *ways = 0;
    if (status != FE_OK || p == end) return status;
    status = find_ways(e, p, end, *score);
    if (status == FE_OK) status = choose_way(&e->lattice, end - p, ways);
    if (status == FE_OK) *score = e->lattice.best[end - p].score;
    return status == FE_OK ? push_way(e, p, *ways) : status;
}

/* ------------------------------------------------------------------ pieces by themselves */

bool fe_unigram_front(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    if (front || t->pattern != FE_PATTERN_PROGRAM || !(t->flags & FE_PREPEND) || p == end) return front;
    return !fe_is_mark(p, end) && !(*p == ' ' && t->flags & FE_SPACE_MARK);
}

/* The three bytes of a mark stand inside no other character. */
const uint8_t *fe_unigram_next_mark(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end) {
    const bool spaces = t->flags & FE_SPACE_MARK;
    while (p < end && !(*p == ' ' && spaces) && !fe_is_mark(p, end)) p++;
    return p;
}

fe_status fe_unigram_piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    const bool splits = e->t->flags & FE_SPLIT_MARKS;
    fe_status status = FE_OK;
    e->count = 0;
    front = fe_unigram_front(e->t, p, end, front);
    for (const uint8_t *next; (p < end || front) && status == FE_OK; p = next, front = false) {
        double score = 0;
        int64_t ways;
        next = splits ? fe_unigram_next_mark(e->t, front ? p : p + 1, end) : end;
        status = fe_unigram_push(e, p, next, front, &score, &ways);
    }
    if (status == FE_OK) fe_symbols_to_ids(e);
    return status;
}

static const uint8_t *cut(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    return fe_unigram_next_mark(t, front ? p : p + 1, end);
}

/* ------------------------------------------------------------------ words between white space */

const uint8_t *fe_unigram_next_white(const uint8_t *p, const uint8_t *end, bool white) {
    uint32_t code;
    for (int32_t length; p < end; p += length) {
        length = fe_utf8_read(p, end, &code);
        if ((bool)(fe_trait_of(code)->flags & FE_TRAIT_WHITE) == white) break;
    }
    return p;
}

/* A piece begins where a splitter saw a space; it may hold several words, or none. */
static fe_status piece_white(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    fe_status status = FE_OK;
    (void)front;
    e->count = 0;
    while (status == FE_OK && (p = fe_unigram_next_white(p, end, false)) < end) {
        const uint8_t *const to = fe_unigram_next_white(p, end, true);
        bool first = !fe_is_mark(p, to);
        for (const uint8_t *next; p < to && status == FE_OK; p = next, first = false) {
            double score = 0;
            int64_t ways;
            next = fe_unigram_next_mark(e->t, first ? p : p + 1, to);
            status = fe_unigram_push(e, p, next, first, &score, &ways);
        }
    }
    if (status == FE_OK) fe_symbols_to_ids(e);
    return status;
}

static const uint8_t *cut_white(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    (void)t;
    (void)front;
    return fe_unigram_next_white(fe_unigram_next_white(p, end, false), end, true);
}

const fe_model_kind fe_unigram_words = {
    .check = fe_unigram_check, .attach = fe_unigram_attach, .piece = fe_unigram_piece, .cut = cut};
const fe_model_kind fe_unigram_white = {
    .check = fe_unigram_check, .attach = fe_unigram_attach, .piece = piece_white, .cut = cut_white};
