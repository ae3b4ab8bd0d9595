/* unigram_word.c: words, up to which sums of scores run.
 *
 * What a word became is remembered with the limit up to which the sum before it may be so large that rounding cannot
 * change the choice (docs/design/tokenizer_unigram.md); then only the additions are done again. A word that is not
 * known is read part by part, cut wherever no piece has the two characters side by side: every way leads through such a
 * place, as through the one before a mark. So a part is to the cache what a word is. */
#include <float.h>
#include <math.h>

#include "cache.h"
#include "mem.h"
#include "symbols.h"
#include "unigram_ways.h"
#include "utf8.h"

enum { VALUES = FE_WORD_VALUES, KEPT_BYTES = FE_KEPT_BYTES };

#define LEAST_LIMIT 1e-30 /* lower ones are none: as a float they must differ from 0, with either sign */

/* How far a text has come. */
typedef struct fe_running {
    double score;
    bool unknown; /* the last id is that of unknown characters, and those that follow at once belong to it */
} fe_running;

/* What a word is found to be, as long as it may be remembered. */
typedef struct fe_whole {
    int32_t values[FE_NEAR_BYTES + 1]; /* and behind them the limit, for the second table */
    int64_t count;                     /* below 0: it may not */
    double limit;
    double span; /* no sum up to here is further than this from that before the word */
} fe_whole;

/* ------------------------------------------------------------------ limits */

/* How large the sum before a text may be at most, so that the way that was just found through it is chosen again.
 * Another way joins this one somewhere for good, by another last piece: so it is worse by the margin. Of n characters
 * each sum is off by at most n roundings of the largest sum, and two are compared; so were those of the margin, from 0
 * on. At most 0: another way is as good, or nearly. */
static double limit_of(const fe_tokenizer *t, const fe_near *found) {
    const bool f32 = t->flags & FE_F32_SUMS;
    const double rounding = f32 ? FLT_EPSILON : DBL_EPSILON, n = (double)found->chars, span = n * t->unigram.most;
    const double limit = found->margin / (2 * n * rounding) - 1.5 * span;
    return f32 && limit > FE_LARGE_SUM - span ? FE_LARGE_SUM - span : limit; /* nor may a sum inside become large */
}

/* A limit as an entry has it: below 0 if there are runs of unknown characters among the values. */
static int32_t limit_bits(double limit, bool unknown) {
    const float low = limit < 1e30 ? (float)(limit * 0.999) : 1e30F, bounded = unknown ? -low : low;
    int32_t bits;
    memcpy(&bits, &bounded, sizeof bits);
    return bits;
}

/* ------------------------------------------------------------------ writing */

/* Writes the ids of values with runs of unknown characters: one id each, or the bytes of none. */
static __attribute__((noinline)) fe_status write_unknown(fe_encoder *e, const int32_t *values, int64_t count,
                                                         fe_running *run) {
    const fe_tokenizer *const t = e->t;
    const fe_value *const known = t->unigram.values; /* such runs are remembered where sums run in 32 bits alone */
    const float unk = (float)t->unigram.unk_score;
    const int64_t joined = run->unknown && count && values[0] < 0;
    if (e->ids && count - joined > e->capacity - e->written) return FE_FULL;
    float sum = (float)run->score;
    for (int64_t i = 0; i < count; i++) {
        const int32_t value = values[i];
        for (int32_t k = value; k < 0; k++) sum += unk;
        if (value >= 0) sum += known[value].score;
        if (e->ids && i >= joined) e->ids[e->written + i - joined] = value < 0 ? t->token_ids[t->unk] : known[value].id;
    }
    e->written += count - joined;
    run->score = (double)sum;
    if (count) run->unknown = values[count - 1] < 0;
    return FE_OK;
}

/* Writes the ids of known pieces. */
static inline fe_status write_known(fe_encoder *e, const int32_t *pieces, int64_t count, fe_running *run) {
    const fe_tokenizer *const t = e->t;
    const fe_value *const values = t->unigram.values;
    if (e->ids && count > e->capacity - e->written) return FE_FULL;
    float narrow = (float)run->score;
    double sum = run->score;
    for (int64_t i = 0; i < count && values; i++) {
        narrow += values[pieces[i]].score;
        if (e->ids) e->ids[e->written + i] = values[pieces[i]].id;
    }
    for (int64_t i = 0; i < count && !values; i++) {
        sum += t->unigram.scores[pieces[i]];
        if (e->ids) e->ids[e->written + i] = t->token_ids[t->unigram.tokens[pieces[i]]];
    }
    e->written += count;
    run->score = values ? (double)narrow : sum;
    run->unknown = false;
    return FE_OK;
}

/* Writes the ids of values that are remembered, if their limit allows that; *done says so. */
static inline fe_status replay(fe_encoder *e, const int32_t *values, int64_t count, int32_t bits, fe_running *run,
                               bool *done) {
    const float limit = fe_limit_of(bits);
    *done = fabs(run->score) <= limit;
    if (*done) return write_known(e, values, count, run);
    *done = fabs(run->score) <= -limit;
    return *done ? write_unknown(e, values, count, run) : FE_OK;
}

/* ------------------------------------------------------------------ remembering words of several parts */

static void forget(fe_whole *whole) { whole->count = -1; }

/* Adds a part: its values, up to which sum they are right, and its bytes, a mark in front of them too. */
static void add_part(const fe_tokenizer *t, fe_whole *whole, const int32_t *values, int64_t count, double limit,
                     int64_t bytes) {
    if (whole->count < 0) return;
    const bool joined = whole->count && count && whole->values[whole->count - 1] < 0 && values[0] < 0;
    FE_ASSERT(whole->count + count - joined <= FE_NEAR_BYTES);
    if (joined) whole->values[whole->count - 1] += values[0];
    for (int64_t i = joined; i < count; i++) whole->values[whole->count++] = values[i];
    if (limit - whole->span < whole->limit) whole->limit = limit - whole->span;
    whole->span += (double)bytes * t->unigram.most; /* there are no more characters than bytes */
}

/* ------------------------------------------------------------------ parts */

/* A part of a word, which every way enters at its start and leaves at its end. */
typedef struct fe_part {
    const uint8_t *p, *end;
    bool front;    /* a mark that is not in the text stands before it */
    bool keyed;    /* the first table may have it */
    bool kept;     /* the second may */
    fe_key key;    /* keyed */
    uint64_t hash; /* kept */
} fe_part;

/* Searches a part from the sum that was reached, which is what decides where ways are close. */
static fe_status search_closely(fe_encoder *e, const fe_part *part, fe_running *run) {
    const bool fuses = !(e->t->flags & FE_BYTE_FALLBACK) && e->t->unigram.parts;
    const fe_lattice *const l = &e->lattice;
    int64_t ways;
    e->count = 0;
    const fe_status status = fe_unigram_push(e, part->p, part->end, part->front, &run->score, &ways);
    if (status != FE_OK || !ways) return status;
    fe_symbols_to_ids(e);
    const bool joined = run->unknown && fe_is_unknown(e->t, l->best[l->ends[0]].piece);
    run->unknown = fuses && fe_is_unknown(e->t, l->best[l->ends[ways - 1]].piece);
    return fe_write_ids(e, e->symbols + joined, e->count - joined);
}

/* True if what unknown characters become depends on more than how many there are. */
static bool is_spelled(const fe_tokenizer *t, const fe_near *found, const int32_t *values) {
    if (t->flags & FE_F32_SUMS) return found->unknown && t->flags & FE_BYTE_FALLBACK;
    bool unknown = found->unknown;
    for (int64_t i = 0; i < found->count && !unknown; i++) unknown = fe_is_unknown(t, values[i]);
    return unknown;
}

/* Remembers the values of a part, of which there is room for one more. */
static void remember(fe_encoder *e, const fe_part *part, int32_t *values, int64_t count, int32_t bits) {
    int64_t known;
    if (part->keyed && count <= VALUES) {
        for (int64_t i = count; i < VALUES; i++) values[i] = (int32_t)e->t->unigram.pieces; /* which adds nothing */
        if (!fe_cache_find(e->cache, part->key)) fe_cache_put_noted(e->cache, part->key, values, count, bits);
        return;
    }
    values[count] = bits;
    const uint64_t size = (uint64_t)(part->end - part->p);
    if (part->kept && !fe_cache_find_long(e->cache, part->p, size, part->hash, &known))
        fe_cache_put_long(e->cache, part->p, size, part->hash, values, count + 1);
}

static void remember_whole(fe_encoder *e, const fe_part *word, fe_whole *whole) {
    bool unknown = false;
    if (whole->count <= 0 || !(whole->limit >= LEAST_LIMIT)) return;
    for (int64_t i = 0; i < whole->count; i++) unknown |= whole->values[i] < 0;
    remember(e, word, whole->values, whole->count, limit_bits(whole->limit, unknown));
}

/* A part that is not known, or whose limit is too low. */
static fe_status search_part(fe_encoder *e, const fe_part *part, fe_running *run, fe_whole *whole) {
    int32_t values[FE_NEAR_BYTES + 1];
    const uint8_t *p = part->p, *end = part->end;
    if (end - p > KEPT_BYTES) {
        forget(whole);
        return search_closely(e, part, run);
    }
    fe_status status = fe_unigram_written(e, &p, &end, part->front);
    if (status != FE_OK) return status;
    const fe_near found = fe_unigram_near(&e->t->unigram, p, end, values);
    const double limit = limit_of(e->t, &found);
    if (!(limit >= LEAST_LIMIT) || is_spelled(e->t, &found, values)) {
        forget(whole);
        return search_closely(e, part, run);
    }
    add_part(e->t, whole, values, found.count, limit, found.chars);
    const int32_t bits = limit_bits(limit, found.unknown);
    bool done;
    status = replay(e, values, found.count, bits, run, &done);
    if (status == FE_OK && !done) status = search_closely(e, part, run);
    if (status == FE_OK && e->cache) remember(e, part, values, found.count, bits);
    return status;
}

/* Looks a part up in the first table; *done says whether it is written. */
static inline fe_status look_up(fe_encoder *e, const fe_part *part, fe_running *run, fe_whole *whole, bool *done) {
    const fe_entry *const known = fe_cache_find(e->cache, part->key);
    if (!known) return FE_OK;
    const int64_t count = fe_entry_count(known);
    const int32_t bits = known->ids[VALUES];
    const fe_status status = replay(e, known->ids, count, bits, run, done);
    if (*done) add_part(e->t, whole, known->ids, count, fabs(fe_limit_of(bits)), part->end - part->p + part->front);
    return status;
}

/* The same in the second. */
static fe_status look_up_long(fe_encoder *e, const fe_part *part, fe_running *run, fe_whole *whole, bool *done) {
    int64_t count;
    const uint64_t size = (uint64_t)(part->end - part->p);
    const int32_t *const known = fe_cache_find_long(e->cache, part->p, size, part->hash, &count);
    if (!known) return FE_OK;
    const int32_t bits = known[--count];
    const fe_status status = replay(e, known, count, bits, run, done);
    if (*done) add_part(e->t, whole, known, count, fabs(fe_limit_of(bits)), (int64_t)size);
    return status;
}

/* A part of at least a character, or of a mark in front of the text. */
static fe_status read_part(fe_encoder *e, fe_part *part, fe_running *run, fe_whole *whole) {
    const uint64_t size = (uint64_t)(part->end - part->p);
    fe_status status = FE_OK;
    bool done = false;
    const bool keyed = e->cache && size <= FE_KEY_BYTES, kept = e->cache && size <= KEPT_BYTES && !part->front;
    part->keyed = keyed;
    part->kept = kept;
    if (keyed) {
        part->key = fe_key_of(part->p, size, part->front, e->readable);
        status = look_up(e, part, run, whole, &done);
    }
    if (kept && !done && status == FE_OK) {
        part->hash = fe_hash(part->p, size, e->cache->seed);
        status = look_up_long(e, part, run, whole, &done);
    }
    return done || status != FE_OK ? status : search_part(e, part, run, whole);
}

/* Writes a run of characters that are in no piece: each scores as unknown, and every way leads through all of them. */
static fe_status write_run(fe_encoder *e, const uint8_t *p, const uint8_t *end, int64_t chars, fe_running *run) {
    const float unk = (float)e->t->unigram.unk_score; /* which it is, and so is the sum: of two such the 64-bit sum,
                                                         rounded, is the 32-bit one */
    float sum = (float)run->score;
    for (int64_t i = 0; i < chars; i++) {
        if (!(fabsf(sum) <= FE_LARGE_SUM)) sum = 0;
        sum += unk;
    }
    run->score = (double)sum;
    if (e->t->flags & FE_BYTE_FALLBACK) {
        bool done;
        e->count = 0;
        const fe_status status = fe_unigram_spell(e, p, end, &done);
        if (status != FE_OK) return status;
        fe_symbols_to_ids(e);
        return fe_write_ids(e, e->symbols, e->count);
    }
    if (run->unknown) return FE_OK;
    run->unknown = true;
    return fe_write_ids(e, &e->t->token_ids[e->t->unk], 1);
}

/* The end of a run of characters from p on that are in no piece. */
static const uint8_t *run_end(const fe_chars *c, const uint8_t *p, const uint8_t *end, int64_t *chars) {
    uint32_t code;
    int64_t count = 0;
    for (int32_t length; p < end; p += length, count++) {
        length = fe_utf8_read(p, end, &code);
        if (fe_char_token(c, fe_char_seen(c, code)) >= 0) break;
    }
    *chars = count;
    return p;
}

/* The next part of a word, from part->p on. */
static fe_status next_part(fe_encoder *e, fe_part *part, const uint8_t *end, fe_running *run, fe_whole *whole) {
    const fe_chars *const c = &e->t->chars;
    int64_t chars;
    if (e->t->flags & FE_F32_SUMS && fe_is_large(run->score)) run->score = 0; /* no way leads past this place */
    part->end = part->front ? part->p : run_end(c, part->p, end, &chars);
    if (part->end == part->p) {
        part->end = fe_chars_cut(c, part->p, end, part->front);
        return read_part(e, part, run, whole);
    }
    if (e->t->flags & FE_BYTE_FALLBACK) forget(whole);
    const int32_t value = (int32_t)-chars;
    add_part(e->t, whole, &value, 1, FE_LARGE_SUM - (double)chars * e->t->unigram.most, chars);
    return write_run(e, part->p, part->end, chars, run);
}

/* A word that the first table does not know, or only up to lower sums. */
static __attribute__((noinline)) fe_status new_word(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front,
                                                    fe_name name, double *score) {
    const bool is_short = end - p <= FE_KEY_BYTES, keyed = e->cache && is_short;
    const bool kept = e->cache && end - p <= KEPT_BYTES && !front;
    fe_part word = {.p = p, .end = end, .front = front, .keyed = keyed, .kept = kept};
    fe_running run = {*score, false};
    fe_whole whole; /* its values are not made zero */
    fe_status status = FE_OK;
    bool done = false;
    if (keyed) word.key = name.key;
    whole.count = keyed || kept ? 0 : -1;
    whole.limit = FE_LARGE_SUM;
    whole.span = 0;
    if (kept) {
        word.hash = is_short ? fe_hash(p, (uint64_t)(end - p), e->cache->seed) : name.hash;
        status = look_up_long(e, &word, &run, &whole, &done);
    }
    if (!done && status == FE_OK && (!e->t->unigram.parts || fe_chars_cut(&e->t->chars, p, end, front) == end)) {
        status = search_part(e, &word, &run, &whole);
        done = true;
    }
    if (!done && status == FE_OK) {
        fe_part part = {.p = p, .front = front};
        do {
            status = next_part(e, &part, end, &run, &whole);
            part.p = part.end;
            part.front = false;
        } while (part.p < end && status == FE_OK);
        if (status == FE_OK) remember_whole(e, &word, &whole);
    }
    *score = run.score;
    return status;
}

fe_status fe_unigram_word(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, fe_name name,
                          double *score) {
    if (e->t->flags & FE_F32_SUMS && fe_is_large(*score)) *score = 0; /* no way leads past this place */
    if (e->cache && end - p <= FE_KEY_BYTES) {
        const fe_entry *const known = fe_cache_find(e->cache, name.key);
        bool done = false;
        fe_running run = {*score, false};
        const fe_status status =
            known ? replay(e, known->ids, fe_entry_count(known), known->ids[VALUES], &run, &done) : FE_OK;
        *score = run.score;
        if (done || status != FE_OK) return status;
    }
    return new_word(e, p, end, front, name, score);
}
