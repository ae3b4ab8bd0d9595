/* unigram_text.c: texts through all of which the sums of scores run.
 *
 * Where a text is not cut at marks, sums run through all of it. Yet it is read word by word wherever no piece reaches
 * into a word from before it: each way leads through the place before the mark. What a word became is remembered with
 * the limit up to which the sum before it may be so large that rounding cannot change the choice
 * (docs/design/tokenizer_unigram.md); then only the additions are done again, else the word is. */
#include "unigram.h"

#include <float.h>
#include <math.h>

#include "image.h"
#include "mem.h"
#include "model.h"
#include "scan.h"
#include "symbols.h"
#include "unigram_ways.h"

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

enum {
    VALUES = FE_CACHED_IDS - 1, /* of an entry; in the place of the last id is the limit */
    KEPT_BYTES = 64             /* of the longest word that is remembered: longer ones hardly come again */
};

#define LEAST_LIMIT 1e-30 /* lower ones are none: as a float they must differ from 0, with either sign */

static int32_t limit_bits(double limit, bool unknown) {
    const float low = limit < 1e30 ? (float)(limit * 0.999) : 1e30F, bounded = unknown ? -low : low;
    int32_t bits;
    memcpy(&bits, &bounded, sizeof bits);
    return bits;
}

/* Writes the ids of a word with unknown characters: a value below 0 is a run of so many, which has one id. */
static __attribute__((noinline)) fe_status replay_unknown(fe_encoder *e, const int32_t *values, int64_t count,
                                                          double *score) {
    const fe_tokenizer *const t = e->t;
    const fe_unigram *const u = &t->unigram;
    if (e->ids && count > e->capacity - e->written) return FE_FULL;
    double sum = *score;
    for (int64_t i = 0; i < count; i++) {
        const int32_t value = values[i];
        for (int32_t k = value < 0 ? value : -1; k < 0; k++)
            sum = (double)(float)(sum + (value < 0 ? u->unk_score : u->scores[value]));
        if (e->ids) e->ids[e->written + i] = t->token_ids[value < 0 ? t->unk : u->tokens[value]];
    }
    e->written += count;
    *score = sum;
    return FE_OK;
}

/* Writes the ids of a word that is known, by its pieces, if its limit allows that; *done says so. A limit below 0 is
 * that of a word with unknown characters, but for its sign. */
static inline fe_status replay(fe_encoder *e, const int32_t *pieces, int64_t count, int32_t bits, double *score,
                               bool *done) {
    const fe_tokenizer *const t = e->t;
    const bool f32 = t->flags & FE_F32_SUMS;
    float limit;
    memcpy(&limit, &bits, sizeof limit);
    *done = fabs(*score) <= limit;
    if (!*done) {
        *done = fabs(*score) <= -limit;
        return *done ? replay_unknown(e, pieces, count, score) : FE_OK;
    }
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

/* Puts the values of the way that was just chosen into e->symbols, and returns how many; *unknown says that there are
 * runs of unknown characters among them. -1: what becomes of those is more than one id, or other ids. */
static int64_t values_of(fe_encoder *e, int64_t count, bool *unknown) {
    const fe_lattice *const l = &e->lattice;
    const bool fuses = (e->t->flags & (FE_F32_SUMS | FE_BYTE_FALLBACK)) == FE_F32_SUMS;
    int64_t n = 0;
    *unknown = false;
    for (int64_t i = 0; i < count; i++) {
        const int32_t piece = l->best[l->ends[i]].piece;
        if (!fe_is_unknown(e->t, piece)) {
            e->symbols[n++] = piece;
            continue;
        }
        if (!fuses) return -1;
        *unknown = true;
        if (!n || e->symbols[n - 1] >= 0) e->symbols[n++] = 0;
        e->symbols[n - 1]--;
    }
    return n;
}

/* Remembers the `ways` pieces of the way that was just chosen through [p, end), if the choice is not close. */
static fe_status remember(fe_encoder *e, const uint8_t *p, const uint8_t *end, const fe_word_key *k, bool front,
                          int64_t ways) {
    int64_t chars = front, known;
    bool unknown;
    for (const uint8_t *q = p; q < end; q++) chars += (*q & 0xC0) != 0x80;
    const double limit = limit_of(e, ways, chars);
    if (!(limit >= LEAST_LIMIT)) return FE_OK;
    e->count = 0;
    const fe_status status = fe_symbols_reserve(e, ways + 1);
    if (status != FE_OK) return status;
    const int64_t count = values_of(e, ways, &unknown);
    const int32_t bits = limit_bits(limit, unknown);
    if (count < 0) return FE_OK;
    if (end - p <= FE_KEY_BYTES && count <= VALUES) {
        if (!fe_cache_find(e->cache, k->key)) fe_cache_put_noted(e->cache, k->key, e->symbols, count, bits);
        return FE_OK;
    }
    e->symbols[count] = bits;
    if (!front && !fe_cache_find_long(e->cache, p, (uint64_t)(end - p), k->hash, &known))
        fe_cache_put_long(e->cache, p, (uint64_t)(end - p), k->hash, e->symbols, count + 1);
    return FE_OK;
}

/* A word that the first table of the cache does not know; the sum runs on. */
static __attribute__((noinline)) fe_status new_word(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front,
                                                    fe_word_key *k, double *score) {
    const bool kept = e->cache && end - p <= KEPT_BYTES;
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
    status = fe_unigram_push(e, p, end, front, score, &ways, kept);
    if (status != FE_OK) return status;
    fe_symbols_to_ids(e);
    status = fe_write_ids(e, e->symbols, e->count);
    return status == FE_OK && kept ? remember(e, p, end, k, front, ways) : status;
}

/* A word; k has its key if it is short and there is a cache. */
static inline fe_status word(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, fe_word_key *k,
                             double *score) {
    if (e->t->flags & FE_F32_SUMS && fe_is_large(*score)) *score = 0; /* no way leads past this place */
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
    return to < end && to - p >= 3 && fe_is_mark(to - 3, to);
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

const fe_model_kind fe_unigram_text = {
    .check = fe_unigram_check, .attach = fe_unigram_attach, .piece = fe_unigram_piece, .segment = segment};
