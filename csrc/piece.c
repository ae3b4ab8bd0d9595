/* piece.c: one piece → known? its ids : its symbols, merged; and many pieces at once, so that memory is waited for
 * once. */
#include "piece.h"

#include "gaps.h"
#include "mem.h"
#include "model.h"

enum {
    BATCH = 256, /* pieces whose cache lines are fetched at the same time */
    FEW = 32     /* pieces of a call that are not worth room for gaps */
};

/* ------------------------------------------------------------------ one piece */

fe_status fe_write_ids(fe_encoder *e, const int32_t *ids, int64_t count) {
    if (e->ids) {
        if (count > e->capacity - e->written) return FE_FULL;
        if (count) memcpy(e->ids + e->written, ids, (size_t)count * sizeof *ids);
    }
    e->written += count;
    return FE_OK;
}

/* True if the second table of the cache is for pieces like this. */
static bool is_kept_long(const fe_encoder *e, uint64_t size, bool front) {
    return e->cache && !front && size <= FE_LONG_BYTES;
}

/* True if pieces are told apart without regard to the case of ASCII letters, which the model lowers. */
static bool ignores_case(const fe_encoder *e) { return e->t->flags & FE_BERT_LOWER; }

/* The bytes by which the second table knows a short piece: those of its key, where that ignores case. */
static inline const uint8_t *name_of(const fe_encoder *e, const uint8_t *p, const fe_key *key) {
    return FE_LITTLE_ENDIAN && key && ignores_case(e) ? (const uint8_t *)key : p;
}

/* A piece that the first table does not know; `key` is NULL if it has none, hash is that of its name in the second. */
static fe_status encode_new(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, const fe_key *key,
                            uint64_t hash) {
    const uint64_t size = (uint64_t)(end - p);
    const bool kept = is_kept_long(e, size, front);
    const uint8_t *const name = name_of(e, p, key);
    if (kept) {
        int64_t count;
        const int32_t *const known = fe_cache_find_long(e->cache, name, size, hash, &count);
        if (known) return fe_write_ids(e, known, count);
    }
    const fe_status status = e->t->kind->piece(e, p, end, front);
    if (status != FE_OK) return status;
    if (key && e->count <= FE_CACHED_IDS)
        fe_cache_put(e->cache, *key, e->symbols, e->count);
    else if (kept && e->count <= FE_LONG_BYTES)
        fe_cache_put_long(e->cache, name, size, hash, e->symbols, e->count);
    return fe_write_ids(e, e->symbols, e->count);
}

fe_status fe_encode_piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    const uint64_t size = (uint64_t)(end - p);
    const bool kept = is_kept_long(e, size, front);
    if (!e->cache || end - p > FE_KEY_BYTES)
        return encode_new(e, p, end, front, NULL, kept ? fe_hash(p, size, e->cache->seed) : 0);
    const fe_key raw = fe_key_of(p, size, front, e->readable), key = ignores_case(e) ? fe_key_lower(raw) : raw;
    const uint64_t hash = kept ? fe_hash(name_of(e, p, &key), size, e->cache->seed) : 0;
    const fe_entry *const known = fe_cache_find(e->cache, key);
    return known ? fe_write_ids(e, known->ids, fe_entry_count(known)) : encode_new(e, p, end, front, &key, hash);
}

/* ------------------------------------------------------------------ many pieces */

fe_status fe_encode_stretch(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool grows) {
    fe_status status = FE_OK;
    for (const uint8_t *next; p < end && status == FE_OK; p = next) {
        next = e->t->kind->cut(e->t, p, end, false);
        if (grows && e->cache && fe_cache_is_full(e->cache)) fe_cache_grow(e->cache);
        status = fe_encode_piece(e, p, next, false);
    }
    return status;
}

/* What a batch of pieces asks of the cache before the first answer is looked at. Halves of keys by themselves: as pairs
 * they would go through vector registers and back. */
typedef struct batch {
    uint64_t low[BATCH], high[BATCH]; /* keys; of a longer piece: its hash, and FE_LONG_KEY */
    const fe_bucket *buckets[BATCH];
} batch;

static inline void ask_short(const fe_cache *cache, batch *b, int64_t i, fe_key key) {
    const fe_bucket *const bucket = fe_bucket_of(cache, key);
    __builtin_prefetch(bucket);
    b->low[i] = key.low;
    b->high[i] = key.high;
    b->buckets[i] = bucket;
}

/* For one of two kinds of models: those whose keys are lowered, and the others. */
static inline __attribute__((always_inline)) void ask_all(const fe_encoder *e, batch *b, fe_pieces all, bool lower) {
    const fe_cache *const cache = e->cache;
    const bool whole = !e->t->kind->cut;
    int64_t longer[BATCH], count = 0, near = all.count; /* from `near` on: near the end of what may be read */
    while (near > 0 && e->readable - (all.text + all.starts[near - 1]) < 16) near--;
    for (int64_t i = 0; i < all.count; i++) {
        const uint8_t *const p = all.text + all.starts[i];
        const uint64_t size = all.ends[i] - all.starts[i];
        if (size > FE_KEY_BYTES) {
            b->low[i] = whole && size <= FE_LONG_BYTES ? fe_hash(p, size, cache->seed) : 0;
            b->high[i] = FE_LONG_KEY;
            b->buckets[i] = cache->buckets;
            __builtin_prefetch(&cache->slots[b->low[i] & cache->slot_mask]);
            longer[count++] = i;
        } else {
            const fe_key key = i < near ? fe_key_near(p, size) : fe_key_of(p, size, false, e->readable);
            ask_short(cache, b, i, lower ? fe_key_lower(key) : key);
        }
    }
    for (int64_t i = 0; i < count; i++) fe_cache_prefetch_long(cache, b->low[longer[i]]);
}

/* Not inlined, as what answers is not: each of these loops takes all registers there are. */
static __attribute__((noinline)) void ask(const fe_encoder *e, batch *b, fe_pieces all) { ask_all(e, b, all, false); }

static __attribute__((noinline)) void ask_lower(const fe_encoder *e, batch *b, fe_pieces all) {
    ask_all(e, b, all, true);
}

/* A piece that its own bucket does not know. */
static fe_status encode_other(fe_encoder *e, const uint8_t *p, const uint8_t *end, fe_key key) {
    if (key.high == FE_LONG_KEY)
        return e->t->kind->cut ? fe_encode_stretch(e, p, end, false) : encode_new(e, p, end, false, NULL, key.low);
    return encode_new(e, p, end, false, &key, fe_hash(name_of(e, p, &key), (uint64_t)(end - p), e->cache->seed));
}

/* Pieces `first` up to `last` of a batch, those that are known; the others become gaps, for which there is room, and so
 * it is for all ids there can be. Stops before a piece that is too long for a gap, and returns which. */
static inline __attribute__((always_inline)) int64_t answer_known(fe_encoder *e, const batch *b, fe_pieces all,
                                                                  int64_t first, int64_t last, fe_gaps *gaps,
                                                                  int64_t row, bool counts) {
    int32_t *const ids = e->ids;
    int64_t written = e->written, i = first;
    for (; i < last; i++) {
        const fe_entry *const known = fe_bucket_find(b->buckets[i], b->low[i], b->high[i]);
        if (known) {
            if (!counts) memcpy(ids + written, known->ids, sizeof known->ids); /* what is too much is overwritten */
            written += fe_entry_count(known);
            continue;
        }
        const uint32_t size = all.ends[i] - all.starts[i];
        if (size > FE_LONG_BYTES) break;
        fe_gap *const gap = &gaps->all[gaps->count++];
        gap->key = (fe_key){b->low[i], b->high[i]};
        gap->bytes = all.text + all.starts[i];
        gap->size = size;
        gap->row = row;
        gap->before = written;
        gaps->bytes += size;
    }
    e->written = written;
    return i;
}

static __attribute__((noinline)) int64_t known_ids(fe_encoder *e, const batch *b, fe_pieces all, int64_t first,
                                                   int64_t last, fe_gaps *gaps, int64_t row) {
    return answer_known(e, b, all, first, last, gaps, row, false);
}

static __attribute__((noinline)) int64_t known_counts(fe_encoder *e, const batch *b, fe_pieces all, int64_t first,
                                                      int64_t last, fe_gaps *gaps, int64_t row) {
    return answer_known(e, b, all, first, last, gaps, row, true);
}

/* Fills and closes the gaps; then all rows up to `row` are complete. */
static fe_status settle(fe_encoder *e, fe_gaps *gaps, fe_rows *rows, int64_t row) {
    const fe_status status = gaps->count ? fe_gaps_fill(e, gaps) : FE_OK;
    if (status == FE_OK) fe_gaps_close(e, gaps, rows, row);
    return status;
}

/* The same pieces, all of them. */
static fe_status answer_gathered(fe_encoder *e, const batch *b, fe_pieces all, int64_t first, int64_t last,
                                 fe_gaps *gaps, fe_rows *rows, int64_t row) {
    fe_status status = FE_OK;
    for (int64_t i = first; i < last && status == FE_OK; i++) {
        i = e->ids ? known_ids(e, b, all, i, last, gaps, row) : known_counts(e, b, all, i, last, gaps, row);
        if (i == last) break;
        status = settle(e, gaps, rows, row);
        if (status == FE_OK) status = encode_new(e, all.text + all.starts[i], all.text + all.ends[i], false, NULL, 0);
    }
    return status;
}

/* The same one by one, where ids may not find room or the kind does not gather: for calls that want ids, and those
 * that count. */
static inline __attribute__((always_inline)) fe_status answer(fe_encoder *e, const batch *b, fe_pieces all,
                                                              int64_t first, int64_t last, bool counts) {
    int32_t *const ids = e->ids;
    const int64_t capacity = e->capacity - FE_CACHED_IDS;
    int64_t written = e->written;
    for (int64_t i = first; i < last; i++) {
        const fe_entry *known = fe_bucket_find(b->buckets[i], b->low[i], b->high[i]);
        if (!known && b->high[i] != FE_LONG_KEY)
            known = fe_cache_find_behind(e->cache, b->buckets[i], b->low[i], b->high[i]);
        if (known && (counts || written <= capacity)) {
            if (!counts) memcpy(ids + written, known->ids, sizeof known->ids); /* what is too much is overwritten */
            written += fe_entry_count(known);
            continue;
        }
        e->written = written;
        const fe_key key = {b->low[i], b->high[i]};
        const fe_status status = known ? fe_write_ids(e, known->ids, fe_entry_count(known))
                                       : encode_other(e, all.text + all.starts[i], all.text + all.ends[i], key);
        if (status != FE_OK) return status;
        written = e->written;
    }
    e->written = written;
    return FE_OK;
}

static __attribute__((noinline)) fe_status answer_ids(fe_encoder *e, const batch *b, fe_pieces all, int64_t first,
                                                      int64_t last) {
    return answer(e, b, all, first, last, false);
}

static __attribute__((noinline)) fe_status answer_counts(fe_encoder *e, const batch *b, fe_pieces all, int64_t first,
                                                         int64_t last) {
    return answer(e, b, all, first, last, true);
}

/* The same without a cache. */
static __attribute__((noinline)) fe_status answer_slowly(fe_encoder *e, fe_pieces all, int64_t first, int64_t last) {
    fe_status status = FE_OK;
    for (int64_t i = first; i < last && status == FE_OK; i++) {
        const uint8_t *const p = all.text + all.starts[i], *const end = all.text + all.ends[i];
        status = e->t->kind->cut ? fe_encode_stretch(e, p, end, false) : encode_new(e, p, end, false, NULL, 0);
    }
    return status;
}

static fe_status answer_some(fe_encoder *e, const batch *b, fe_pieces all, int64_t first, int64_t last) {
    if (!e->cache) return answer_slowly(e, all, first, last);
    return e->ids ? answer_ids(e, b, all, first, last) : answer_counts(e, b, all, first, last);
}

/* True if whatever pieces and the gaps before them become finds room. */
static bool has_room(const fe_encoder *e, const fe_gaps *gaps, fe_pieces some) {
    const int64_t bytes = some.count ? some.ends[some.count - 1] - some.starts[0] : 0;
    return !e->ids || bytes + gaps->bytes + FE_CACHED_IDS <= e->capacity - e->written;
}

/* Room for gaps where pieces are gathered. NULL: they are not, since the kind does not, or few are asked for. */
static fe_gaps *gaps_for(fe_encoder *e, int64_t pieces) {
    if (!e->cache || !e->t->gathers || pieces < FEW) return NULL;
    if (!e->gaps) e->gaps = fe_gaps_new(); /* without memory for it they go one by one */
    return e->gaps;
}

fe_status fe_encode_pieces(fe_encoder *e, fe_pieces pieces, fe_rows *rows) {
    batch b;
    fe_gaps *const gaps = gaps_for(e, pieces.count);
    int64_t row = 0;
    for (int64_t from = 0; from < pieces.count || row < rows->count; from += BATCH) {
        const int64_t n = pieces.count - from < BATCH ? pieces.count - from : BATCH;
        const fe_pieces some = {pieces.text, pieces.starts + from, pieces.ends + from, n};
        fe_status status = FE_OK;
        if (gaps && (gaps->count > FE_GAPS - BATCH || !has_room(e, gaps, some))) status = settle(e, gaps, rows, row);
        if (status != FE_OK) return status;
        const bool gathered = gaps && has_room(e, gaps, some);
        if (e->cache) {
            if (fe_cache_is_full(e->cache)) fe_cache_grow(e->cache);
            if (ignores_case(e))
                ask_lower(e, &b, some);
            else
                ask(e, &b, some);
        }
        for (int64_t at = 0; at < n || row < rows->count;) { /* row by row */
            const int64_t end = row < rows->count ? rows->ends[row] - from : n, last = end < n ? end : n;
            status = gathered ? answer_gathered(e, &b, some, at, last, gaps, rows, row)
                              : answer_some(e, &b, some, at, last);
            FE_ASSERT(!e->ids || e->written <= e->capacity);
            if (status != FE_OK) return status;
            at = last;
            if (end > n || row == rows->count) break;
            rows->row_ends[row++] = e->written;
            if (!gathered) rows->complete = row;
        }
    }
    return gaps ? settle(e, gaps, rows, row) : FE_OK;
}
