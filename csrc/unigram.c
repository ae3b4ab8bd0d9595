/* unigram.c: the best way through a text, piece by piece (Viterbi's algorithm), as two engines find it.
 *
 * From each character all pieces that begin there are walked to in the trie, the shortest first; where no piece is just
 * that character, it may also be unknown. A way takes the place of another only if it is strictly better. Then ways
 * that are equal but for rounding are chosen between by the order of additions, so that is kept too:
 *
 * - tokenizer.json: sums of f64, from 0 at the start of every piece that the pre-tokenizer leaves;
 * - SentencePiece (FE_F32_SUMS): each sum is rounded to f32 where it is kept, from 0 at the start of the text.
 *
 * Where a text is not cut at marks, sums run through all of it. Yet it is read word by word wherever no piece reaches
 * into a word from before it: each way leads through the place before the mark. What a word became is remembered with
 * the limit up to which the sum before it may be so large that rounding cannot change the choice
 * (docs/design/tokenizer_unigram.md); then only the additions are done again, else the word is.
 *
 * Each byte is looked at once for each byte of the longest piece at most. */
#include "unigram.h"

#include <float.h>
#include <math.h>

#include "image.h"
#include "mem.h"
#include "model.h"
#include "scan.h"
#include "symbols.h"
#include "traits.h"
#include "utf8.h"

static const uint8_t mark[3] = {0xE2, 0x96, 0x81};

void fe_lattice_clear(fe_lattice *l) {
    free(l->best);
    free(l->sums);
    free(l->ends);
    free(l->text);
}

/* ------------------------------------------------------------------ the sections */

static bool check(const fe_tokenizer *t) {
    const uint64_t pieces = fe_section_count(t, FE_S_WHOLE_TOKENS), scores = fe_section_count(t, FE_S_WHOLE_SCORES);
    if (t->image->unk < 0 || pieces >= INT32_MAX || scores != pieces + 1) return false;
    const double *const score = fe_section_of(t, FE_S_WHOLE_SCORES);
    bool good = true;
    for (uint64_t i = 0; i < scores; i++) good &= fabs(score[i]) <= DBL_MAX; /* not so of what is no number */
    return good && fe_section_within(t, FE_S_WHOLE_TOKENS, 0, (int64_t)t->image->vocab) &&
           fe_trie_valid(fe_section_of(t, FE_S_WHOLES), fe_section_count(t, FE_S_WHOLES), (int64_t)pieces);
}

static void attach(fe_tokenizer *t) {
    fe_unigram *const u = &t->unigram;
    t->space_cuts = t->image->space_cuts;
    t->chars = (fe_chars){.flags = t->flags}; /* by which marks in front are told */
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

static bool is_mark(const uint8_t *p, const uint8_t *end) {
    return *p == mark[0] && end - p >= 3 && p[1] == mark[1] && p[2] == mark[2];
}

/* Grows *memory to at least `least` elements of `size` bytes. */
static fe_status grow(void *memory, int64_t *room, int64_t least, size_t size) {
    if (least <= *room) return FE_OK;
    void *old, *grown;
    const int64_t more = least + least / 2 + 64;
    memcpy(&old, memory, sizeof old);
    grown = (uint64_t)more < PTRDIFF_MAX / size ? realloc(old, (size_t)more * size) : NULL;
    if (!grown) return FE_NO_MEMORY;
    memcpy(memory, &grown, sizeof grown);
    *room = more;
    return FE_OK;
}

/* Puts [*p, *end) into memory of its own if it is not written there as the trie has it: a mark in front of it, and with
 * FE_SPACE_MARK spaces for marks. */
static fe_status as_in_trie(fe_encoder *e, const uint8_t **p, const uint8_t **end, bool front) {
    const bool spaces = e->t->flags & FE_SPACE_MARK;
    const uint8_t *q = *p;
    if (!front && !spaces) return FE_OK;
    while (spaces && q < *end && (q = memchr(q, mark[0], (size_t)(*end - q))) && !is_mark(q, *end)) q++;
    if (!front && (!q || q == *end)) return FE_OK;
    fe_lattice *const l = &e->lattice;
    if (grow(&l->text, &l->text_room, *end - *p + 3, 1) != FE_OK) return FE_NO_MEMORY;
    uint8_t *to = l->text;
    if (front && spaces) *to++ = ' ';
    for (int i = 0; i < 3 && front && !spaces; i++) *to++ = mark[i];
    for (q = *p; q < *end;) {
        if (spaces && is_mark(q, *end)) {
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

/* Offers a way to a place. */
static inline void offer(fe_best *to, double score, int32_t start, int32_t piece, bool f32) {
    if (f32) score = (double)(float)score;
    if (to->start >= 0 && !(score > to->score)) return;
    to->score = score;
    to->start = start;
    to->piece = piece;
}

static inline int32_t char_length(const uint8_t *p, const uint8_t *end) {
    uint32_t code;
    return *p < 0x80 ? 1 : fe_utf8_read(p, end, &code);
}

/* SentencePiece takes a sum that has become large for zero, and what it was from all others, which stay exact so. */
static inline bool is_large(double score) { return !(fabs(score) <= FE_LARGE_SUM); }

static void take_for_zero(fe_best *best, int32_t at, int32_t reached) {
    const float large = (float)best[at].score;
    for (int32_t i = at; i <= reached; i++) best[i].score = (double)((float)best[i].score - large);
}

/* Of the exact sums of all ways to a place that differ in their last piece the best two. */
static inline void note_sum(double *sums, double sum) {
    if (sum > sums[0]) {
        sums[1] = sums[0];
        sums[0] = sum;
    } else if (sum > sums[1]) {
        sums[1] = sum;
    }
}

/* The best ways to all places of [p, end), from a sum that was reached before it; with `sums`, to which they are noted,
 * from 0 and without rounding, too. */
static inline __attribute__((always_inline)) void find_all(const fe_unigram *u, const uint8_t *p, const uint8_t *end,
                                                           double score, bool f32, fe_best *best, double (*sums)[2]) {
    const int32_t size = (int32_t)(end - p);
    for (int32_t i = 0; i <= size; i++) best[i] = (fe_best){0, -1, -1};
    for (int32_t i = 0; i <= size && sums; i++) sums[i][0] = sums[i][1] = -HUGE_VAL;
    best[0] = (fe_best){score, 0, -1};
    if (sums) sums[0][0] = 0;
    for (int32_t at = 0, length, reached = 0; at < size; at += length) {
        if (f32 && is_large(best[at].score)) take_for_zero(best, at, reached);
        const double before = best[at].score, exact = sums ? sums[at][0] : 0;
        bool single = false;
        length = char_length(p + at, end);
        for (int32_t node = 0, to = at; to < size && (node = fe_trie_next(u->units, node, p[to])) >= 0;) {
            const int32_t piece = u->units[node].value;
            to++;
            if (piece < 0) continue;
            offer(&best[to], u->scores[piece] + before, at, piece, f32);
            if (sums) note_sum(sums[to], u->scores[piece] + exact);
            single |= to - at == length;
            reached = to > reached ? to : reached;
        }
        if (single) continue;
        offer(&best[at + length], u->unk_score + before, at, -1, f32);
        if (sums) note_sum(sums[at + length], u->unk_score + exact);
        reached = at + length > reached ? at + length : reached;
    }
}

static fe_status find_ways(fe_encoder *e, const uint8_t *p, const uint8_t *end, double score, bool noted) {
    const fe_unigram *const u = &e->t->unigram;
    fe_lattice *const l = &e->lattice;
    if (grow(&l->best, &l->best_room, end - p + 1, sizeof *l->best) != FE_OK) return FE_NO_MEMORY;
    if (noted && grow(&l->sums, &l->sums_room, end - p + 1, sizeof *l->sums) != FE_OK) return FE_NO_MEMORY;
    if (!(e->t->flags & FE_F32_SUMS)) find_all(u, p, end, score, false, l->best, noted ? l->sums : NULL);
    else if (noted) find_all(u, p, end, score, true, l->best, l->sums);
    else find_all(u, p, end, score, true, l->best, NULL);
    return FE_OK;
}

/* Where the pieces of the best way end: l->ends[0] up to its end, from the last of `count` on. Every place at which a
 * character begins is reached, and ways lead from such places only. */
static fe_status choose_way(fe_lattice *l, int64_t size, int64_t *count) {
    int64_t n = 0;
    for (int64_t at = size; at > 0; at = l->best[at].start) n++;
    if (grow(&l->ends, &l->ends_room, n, sizeof *l->ends) != FE_OK) return FE_NO_MEMORY;
    *count = n;
    for (int64_t at = size; at > 0; at = l->best[at].start) l->ends[--n] = (int32_t)at;
    return FE_OK;
}

/* ------------------------------------------------------------------ tokens */

/* The token of the piece that is these bytes, or -1. */
static int32_t whole(const fe_unigram *u, const uint8_t *p, const uint8_t *end) {
    int32_t node = 0;
    for (; p < end && node >= 0; p++) node = fe_trie_next(u->units, node, *p);
    return node < 0 || u->units[node].value < 0 ? -1 : u->tokens[u->units[node].value];
}

/* Adds the byte tokens of [p, end), if all of them are there; *done says so. */
static fe_status push_bytes(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool *done) {
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

/* A run of unknown characters. In tokenizer.json's engine it may be a piece, if as such it scored worse. */
static fe_status push_unknown(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    const int32_t token = e->t->flags & FE_F32_SUMS ? -1 : whole(&e->t->unigram, p, end);
    if (token >= 0) return fe_symbol_push(e, token);
    bool done = false;
    const fe_status status = e->t->flags & FE_BYTE_FALLBACK ? push_bytes(e, p, end, &done) : FE_OK;
    return status != FE_OK || done ? status : fe_symbol_push(e, e->t->unk);
}

/* True if a piece counts as unknown: in tokenizer.json's engine the name of the unknown token in the text does, too. */
static inline bool is_unknown(const fe_tokenizer *t, int32_t piece) {
    return piece < 0 || (!(t->flags & FE_F32_SUMS) && t->unigram.tokens[piece] == t->unk);
}

/* Adds the tokens of the way that was chosen through a text. */
static fe_status push_way(fe_encoder *e, const uint8_t *p, int64_t count) {
    const fe_lattice *const l = &e->lattice;
    fe_status status = FE_OK;
    for (int64_t i = 0, at = 0; i < count && status == FE_OK;) {
        const int64_t start = at;
        const int32_t piece = l->best[l->ends[i]].piece;
        if (!is_unknown(e->t, piece)) {
            status = fe_symbol_push(e, e->t->unigram.tokens[piece]);
            at = l->ends[i++];
            continue;
        }
        for (; i < count && is_unknown(e->t, l->best[l->ends[i]].piece); i++) at = l->ends[i];
        status = push_unknown(e, p + start, p + at);
    }
    return status;
}

/* Adds the tokens of [p, end), a mark in front of it if front. *score is the sum before it, and receives that behind
 * it; *ways receives how many pieces the way has. noted: for limit_of. */
static fe_status push_text(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, double *score,
                           int64_t *ways, bool noted) {
    fe_status status = as_in_trie(e, &p, &end, front);
    *ways = 0;
    if (status != FE_OK || p == end) return status;
    status = find_ways(e, p, end, *score, noted);
    if (status == FE_OK) status = choose_way(&e->lattice, end - p, ways);
    if (status == FE_OK) *score = e->lattice.best[end - p].score;
    return status == FE_OK ? push_way(e, p, *ways) : status;
}

/* ------------------------------------------------------------------ pieces by themselves */

/* Behind other cutters each piece gets a mark that has none. */
static bool has_front(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    if (front || t->pattern != FE_PATTERN_PROGRAM || !(t->flags & FE_PREPEND) || p == end) return front;
    return !is_mark(p, end) && !(*p == ' ' && t->flags & FE_SPACE_MARK);
}

/* Where the next mark begins, or end. Its three bytes stand inside no other character. */
static const uint8_t *next_mark(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end) {
    const bool spaces = t->flags & FE_SPACE_MARK;
    while (p < end && !(*p == ' ' && spaces) && !is_mark(p, end)) p++;
    return p;
}

static fe_status piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    const bool splits = e->t->flags & FE_SPLIT_MARKS;
    fe_status status = FE_OK;
    e->count = 0;
    front = has_front(e->t, p, end, front);
    for (const uint8_t *next; (p < end || front) && status == FE_OK; p = next, front = false) {
        double score = 0;
        int64_t ways;
        next = splits ? next_mark(e->t, front ? p : p + 1, end) : end;
        status = push_text(e, p, next, front, &score, &ways, false);
    }
    if (status == FE_OK) fe_symbols_to_ids(e);
    return status;
}

static const uint8_t *cut(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    return next_mark(t, front ? p : p + 1, end);
}

/* ------------------------------------------------------------------ words between white space */

/* Where white space begins, or ends. */
static const uint8_t *next_white(const uint8_t *p, const uint8_t *end, bool white) {
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
    while (status == FE_OK && (p = next_white(p, end, false)) < end) {
        const uint8_t *const to = next_white(p, end, true);
        bool first = !is_mark(p, to);
        for (const uint8_t *next; p < to && status == FE_OK; p = next, first = false) {
            double score = 0;
            int64_t ways;
            next = next_mark(e->t, first ? p : p + 1, to);
            status = push_text(e, p, next, first, &score, &ways, false);
        }
    }
    if (status == FE_OK) fe_symbols_to_ids(e);
    return status;
}

static const uint8_t *cut_white(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    (void)t;
    (void)front;
    return next_white(next_white(p, end, false), end, true);
}

/* ------------------------------------------------------------------ sums that run through the text */

/* How large the sum before a word may be at most, so that the way of `count` pieces that was just chosen through it is
 * chosen again. Another way joins this one somewhere for good, by another last piece: so it is worse by the least of
 * what the second best is worse at the places of this one. Of n characters each sum is off by at most n roundings of
 * the largest sum, and two are compared. Below 0: this way is not the best of exact sums, or no better than another. */
static double limit_of(const fe_encoder *e, int64_t count, int64_t chars) {
    const fe_unigram *const u = &e->t->unigram;
    const fe_lattice *const l = &e->lattice;
    const bool f32 = e->t->flags & FE_F32_SUMS;
    double sum = 0, margin = HUGE_VAL;
    for (int64_t i = 0; i < count; i++) {
        const double *const sums = l->sums[l->ends[i]];
        sum += u->scores[l->best[l->ends[i]].piece];
        if (sum != sums[0]) return -1;
        if (sums[0] - sums[1] < margin) margin = sums[0] - sums[1];
    }
    const double rounding = f32 ? FLT_EPSILON : DBL_EPSILON, n = (double)chars, span = n * u->most;
    const double limit = margin / (2 * n * rounding) - span;
    return f32 && limit > FE_LARGE_SUM - span ? FE_LARGE_SUM - span : limit; /* nor may a sum inside become large */
}

enum { VALUES = FE_CACHED_IDS - 1 }; /* of an entry; in the place of the last id is the limit */

static int32_t limit_bits(double limit) {
    const float bounded = limit < 1e30 ? (float)(limit * 0.999) : 1e30F;
    int32_t bits;
    memcpy(&bits, &bounded, sizeof bits);
    return bits;
}

/* Writes the ids of a word that is known, by its pieces, if its limit allows that; *done says so. */
static inline fe_status replay(fe_encoder *e, const int32_t *pieces, int64_t count, int32_t bits, double *score,
                               bool *done) {
    const fe_tokenizer *const t = e->t;
    const bool f32 = t->flags & FE_F32_SUMS;
    float limit;
    memcpy(&limit, &bits, sizeof limit);
    *done = fabs(*score) <= limit;
    if (!*done) return FE_OK;
    if (e->ids && count > e->capacity - e->written) return FE_FULL;
    double sum = *score;
    for (int64_t i = 0; i < count; i++) {
        sum += t->unigram.scores[pieces[i]];
        if (f32) sum = (double)(float)sum;
        if (e->ids) e->ids[e->written + i] = t->token_ids[t->unigram.tokens[pieces[i]]];
    }
    e->written += count;
    *score = sum;
    return FE_OK;
}

/* A word as the cache knows it. */
typedef struct fe_word_key {
    fe_key key;    /* of at most FE_KEY_BYTES bytes */
    uint64_t hash; /* of a longer one */
} fe_word_key;

/* Remembers the `count` pieces of the way that was just chosen through [p, end), if all are known and the choice is not
 * close. */
static fe_status remember(fe_encoder *e, const uint8_t *p, const uint8_t *end, const fe_word_key *k, bool front,
                          int64_t count) {
    const fe_lattice *const l = &e->lattice;
    int64_t chars = front;
    for (const uint8_t *q = p; q < end; q++) chars += (*q & 0xC0) != 0x80;
    for (int64_t i = 0; i < count; i++)
        if (is_unknown(e->t, l->best[l->ends[i]].piece)) return FE_OK;
    const double limit = limit_of(e, count, chars);
    if (!(limit > 0)) return FE_OK;
    e->count = 0;
    const fe_status status = fe_symbols_reserve(e, count + 1);
    if (status != FE_OK) return status;
    for (int64_t i = 0; i < count; i++) e->symbols[i] = l->best[l->ends[i]].piece;
    if (end - p <= FE_KEY_BYTES && count <= VALUES) {
        if (!fe_cache_find(e->cache, k->key))
            fe_cache_put_noted(e->cache, k->key, e->symbols, count, limit_bits(limit));
        return FE_OK;
    }
    int64_t known;
    e->symbols[count] = limit_bits(limit);
    if (!front && !fe_cache_find_long(e->cache, p, (uint64_t)(end - p), k->hash, &known))
        fe_cache_put_long(e->cache, p, (uint64_t)(end - p), k->hash, e->symbols, count + 1);
    return FE_OK;
}

/* A word that the first table of the cache does not know; the sum runs on. */
static __attribute__((noinline)) fe_status new_word(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front,
                                                    fe_word_key *k, double *score) {
    const bool kept = e->cache && end - p <= FE_LONG_BYTES;
    fe_status status = FE_OK;
    bool done = false;
    int64_t ways;
    if (kept && !front) {
        int64_t count;
        k->hash = fe_hash(p, (uint64_t)(end - p), e->cache->seed);
        const int32_t *const known = fe_cache_find_long(e->cache, p, (uint64_t)(end - p), k->hash, &count);
        if (known) status = replay(e, known, count - 1, known[count - 1], score, &done);
        if (done || status != FE_OK) return status;
    }
    e->count = 0;
    status = push_text(e, p, end, front, score, &ways, kept);
    if (status != FE_OK) return status;
    fe_symbols_to_ids(e);
    status = fe_write_ids(e, e->symbols, e->count);
    return status == FE_OK && kept ? remember(e, p, end, k, front, ways) : status;
}

/* A word; k has its key if it is short and there is a cache. */
static inline fe_status word(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, fe_word_key *k,
                             double *score) {
    if (e->t->flags & FE_F32_SUMS && is_large(*score)) *score = 0; /* no way leads past this place */
    if (e->cache && end - p <= FE_KEY_BYTES) {
        const fe_entry *const known = fe_cache_find(e->cache, k->key);
        bool done = false;
        const fe_status status =
            known ? replay(e, known->ids, fe_entry_count(known), known->ids[VALUES], score, &done) : FE_OK;
        if (done || status != FE_OK) return status;
        if (fe_cache_is_full(e->cache)) fe_cache_grow(e->cache);
    }
    return new_word(e, p, end, front, k, score);
}

enum { AHEAD = 16 }; /* words whose cache lines are fetched before they are asked for; a power of two */

/* The key of a word, which is asked for soon. */
static inline void ask(const fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, fe_word_key *k) {
    if (!e->cache || end - p > FE_KEY_BYTES) return;
    const uint64_t size = (uint64_t)(end - p);
    k->key = front || e->readable - p < 16 ? fe_key_of(p, size, front, e->readable) : fe_key_near(p, size);
    __builtin_prefetch(fe_bucket_of(e->cache, k->key));
}

/* True if a run of marks goes on behind this place, in a text of which one is written out. */
static inline bool is_inside_run(const uint8_t *p, const uint8_t *to, const uint8_t *end) {
    return to < end && to - p >= 3 && is_mark(to - 3, to);
}

static fe_status segment(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    uint32_t cuts[FE_CUTS_ROOM];
    fe_word_key keys[AHEAD];
    fe_scan scan;
    double score = 0;
    fe_status status = FE_OK;
    if (!e->t->space_cuts) {
        ask(e, p, end, front, keys);
        return word(e, p, end, front, keys, &score);
    }
    fe_scan_start(&scan, FE_PATTERN_SPACES, e->t->path, p, e->readable, cuts);
    fe_scan_next(&scan, end);
    const uint8_t *from = p;
    for (bool more = true; more && status == FE_OK; more = !scan.done) {
        const int64_t pieces = fe_scan_more(&scan);
        for (int64_t i = 0; i < AHEAD && i < pieces; i++)
            ask(e, p + cuts[i], p + cuts[i + 1], front && !i, &keys[i]);
        for (int64_t i = 0; i < pieces && status == FE_OK; i++) {
            fe_word_key *const k = &keys[i % AHEAD];
            const uint8_t *const to = p + cuts[i + 1];
            if (!is_inside_run(from, to, end)) {
                if (from != p + cuts[i]) ask(e, from, to, front, k); /* words before were part of this one */
                status = word(e, from, to, front, k, &score);
                from = to;
                front = false;
            }
            if (i + AHEAD < pieces) ask(e, p + cuts[i + AHEAD], p + cuts[i + AHEAD + 1], false, k);
        }
        if (status == FE_OK && e->written >= e->stop) status = FE_ENOUGH;
        if (!scan.done) fe_scan_drop(&scan, pieces);
    }
    return status;
}

const fe_model_kind fe_unigram_words = {.check = check, .attach = attach, .piece = piece, .cut = cut};
const fe_model_kind fe_unigram_white = {.check = check, .attach = attach, .piece = piece_white, .cut = cut_white};
const fe_model_kind fe_unigram_text = {.check = check, .attach = attach, .piece = piece, .segment = segment};
