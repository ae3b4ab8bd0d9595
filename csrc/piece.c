/* piece.c: one piece → known? its ids : its symbols, merged; and many pieces at once, so that memory is waited for
 * once. */
#include "piece.h"

#include "mem.h"
#include "utf8.h"

enum { BATCH = 256 }; /* pieces whose cache lines are fetched at the same time */

static const uint8_t space[1] = {' '}, mark[3] = {0xE2, 0x96, 0x81};

/* ------------------------------------------------------------------ symbols of a piece */

static fe_status reserve(fe_encoder *e, int64_t more) {
    if (e->room - e->count >= more) return FE_OK;
    const int64_t room = 2 * e->room + more + 256;
    int32_t *const symbols = realloc(e->symbols, (size_t)room * sizeof *symbols);
    if (!symbols) return FE_NO_MEMORY;
    e->symbols = symbols;
    e->room = room;
    return FE_OK;
}

static fe_status push(fe_encoder *e, int32_t token) {
    if (e->count == e->room) {
        const fe_status status = reserve(e, 1);
        if (status != FE_OK) return status;
    }
    e->symbols[e->count++] = token;
    return FE_OK;
}

static fe_status push_waiting_unk(fe_encoder *e) {
    if (!e->unk_pending) return FE_OK;
    e->unk_pending = false;
    return push(e, e->t->unk);
}

static fe_status push_known(fe_encoder *e, int32_t token) {
    const fe_status status = push_waiting_unk(e);
    return status == FE_OK ? push(e, token) : status;
}

/* A symbol without a token: it waits, since the next one may fuse with it; without an unk it vanishes. */
static fe_status push_unknown(fe_encoder *e) {
    fe_status status = FE_OK;
    if (e->t->unk < 0) return status;
    if (!(e->t->flags & FE_FUSE_UNK)) status = push_waiting_unk(e);
    e->unk_pending = true;
    return status;
}

static fe_status push_bytes(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_status status = FE_OK;
    for (; p < end && status == FE_OK; p++) {
        const int32_t token = e->t->merges.byte_token[*p];
        status = token >= 0 ? push_known(e, token) : push_unknown(e);
    }
    return status;
}

/* The bytes p to q of one character as byte symbols, if all of them are symbols. A waiting unknown
 * goes on waiting behind them: that is the order the format's own engine gives. */
static fe_status push_char_bytes(fe_encoder *e, const uint8_t *p, const uint8_t *q) {
    const int32_t *const byte_token = e->t->merges.byte_token;
    for (const uint8_t *b = p; b < q; b++)
        if (byte_token[*b] < 0) return push_unknown(e);
    fe_status status = FE_OK;
    for (; p < q && status == FE_OK; p++) status = push(e, byte_token[*p]);
    return status;
}

static int32_t char_token(const fe_tokenizer *t, uint32_t code) {
    const int32_t page = t->char_pages[code / FE_PAGE];
    return page < 0 ? -1 : t->char_tokens[(int64_t)page * FE_PAGE + code % FE_PAGE];
}

/* A code point as the vocabulary sees it: a space as the mark. */
static uint32_t seen(const fe_tokenizer *t, uint32_t code) {
    return code == ' ' && t->flags & FE_SPACE_MARK ? FE_MARK : code;
}

/* The code point at p, as seen; *next receives where it ends. */
static uint32_t read_char(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, const uint8_t **next) {
    uint32_t code;
    *next = p + fe_utf8_read(p, end, &code);
    return seen(t, code);
}

static fe_status push_chars(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_status status = FE_OK;
    for (const uint8_t *next; p < end && status == FE_OK; p = next) {
        const uint32_t code = read_char(e->t, p, end, &next);
        const int32_t token = char_token(e->t, code);
        if (token >= 0)
            status = push_known(e, token);
        else if (!(e->t->flags & FE_BYTE_FALLBACK))
            status = push_unknown(e);
        else if (code == FE_MARK)
            status = push_char_bytes(e, mark, mark + 3);
        else
            status = push_char_bytes(e, p, next);
    }
    return status;
}

/* ------------------------------------------------------------------ one piece */

fe_status fe_write_ids(fe_encoder *e, const int32_t *ids, int64_t count) {
    if (e->ids) {
        if (count > e->capacity - e->written) return FE_FULL;
        if (count) memcpy(e->ids + e->written, ids, (size_t)count * sizeof *ids);
    }
    e->written += count;
    return FE_OK;
}

/* Reads the symbols of a piece, merges them and leaves ids in e->symbols. */
static fe_status merge_piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    const fe_tokenizer *const t = e->t;
    const bool bytes = t->flags & FE_BYTE_LEVEL;
    fe_status status = FE_OK;
    e->count = 0;
    if (bytes && t->all_bytes && !front) {
        status = reserve(e, end - p);
        e->count = end - p;
        if (status == FE_OK) status = fe_merge_bytes(&t->merges, p, e->symbols, &e->count, &e->scratch);
    } else {
        if (front) status = bytes ? push_bytes(e, space, space + 1) : push_chars(e, mark, mark + 3);
        if (status == FE_OK) status = bytes ? push_bytes(e, p, end) : push_chars(e, p, end);
        if (status == FE_OK) status = push_waiting_unk(e);
        if (status == FE_OK) status = fe_merge(&t->merges, e->symbols, &e->count, &e->scratch);
    }
    for (int64_t i = 0; i < e->count && status == FE_OK; i++) e->symbols[i] = t->token_ids[e->symbols[i]];
    return status;
}

/* True if the second table of the cache is for pieces like this. */
static bool is_kept_long(const fe_encoder *e, uint64_t size, bool front) {
    return e->cache && !front && size <= FE_LONG_BYTES;
}

/* A piece that the first table does not know; `key` is NULL if it has none, hash is that of one in the second table. */
static fe_status encode_new(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, const fe_key *key,
                            uint64_t hash) {
    const fe_tokenizer *const t = e->t;
    const uint64_t size = (uint64_t)(end - p);
    const bool kept = is_kept_long(e, size, front);
    if (kept) {
        int64_t count;
        const int32_t *const known = fe_cache_find_long(e->cache, p, size, hash, &count);
        if (known) {
            const fe_status status = fe_write_ids(e, known, count);
            if (key && count <= FE_CACHED_IDS) fe_cache_put(e->cache, *key, known, count, true);
            return status;
        }
    }
    const bool whole = t->flags & FE_WHOLE_FIRST && !front;
    const int32_t token = whole ? fe_table_find(&t->lookup, &t->spelling, p, size) : -1;
    const int32_t *ids;
    int64_t count = 1;
    if (token >= 0) {
        ids = &t->token_ids[token];
    } else {
        const fe_status status = merge_piece(e, p, end, front);
        if (status != FE_OK) return status;
        ids = e->symbols;
        count = e->count;
    }
    if (key && count > 0 && count <= FE_CACHED_IDS)
        fe_cache_put(e->cache, *key, ids, count, false);
    else if (kept && count > 0 && count <= FE_LONG_BYTES)
        fe_cache_put_long(e->cache, p, size, hash, ids, count);
    return fe_write_ids(e, ids, count);
}

fe_status fe_encode_piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    const uint64_t size = (uint64_t)(end - p);
    const uint64_t hash = is_kept_long(e, size, front) ? fe_hash(p, size, e->cache->seed) : 0;
    if (!e->cache || end - p > FE_KEY_BYTES) return encode_new(e, p, end, front, NULL, hash);
    const fe_key key = fe_key_of(p, size, front, e->readable);
    const fe_entry *const known = fe_bucket_find(fe_bucket_of(e->cache, key), key.low, key.high);
    return known ? fe_write_ids(e, known->ids, fe_entry_count(known)) : encode_new(e, p, end, front, &key, hash);
}

/* ------------------------------------------------------------------ many pieces */

/* Whether a text may be cut between two characters; not next to one that is unknown, which may fuse with another or
 * vanish, so that what stood apart meets. */
static bool can_cut(const fe_tokenizer *t, uint32_t a, uint32_t b) {
    return !fe_pairs_join(&t->pairs, a, b) && (t->all_solid || (char_token(t, a) >= 0 && char_token(t, b) >= 0));
}

const uint8_t *fe_cut_chars(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    if (!(t->flags & FE_CUT)) return end;
    const uint8_t *next = p;
    uint32_t before = front ? FE_MARK : read_char(t, p, end, &next);
    for (p = next; p < end; p = next) {
        const uint32_t code = read_char(t, p, end, &next);
        if (can_cut(t, before, code)) return p;
        before = code;
        /* From one ASCII character to the next the answers lie ready, and nothing is decoded. */
        for (uint8_t a = next[-1], b; next < end && ((b = *next) | a) < 0x80; a = b, next++) {
            if (t->ascii_cuts[a][b / 64] >> b % 64 & 1) return next;
            before = b;
        }
        before = seen(t, before);
    }
    return end;
}

fe_status fe_encode_stretch(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool grows) {
    fe_status status = FE_OK;
    for (const uint8_t *next; p < end && status == FE_OK; p = next) {
        next = fe_cut_chars(e->t, p, end, false);
        if (grows && e->cache && fe_cache_is_full(e->cache)) fe_cache_grow(e->cache);
        status = fe_encode_piece(e, p, next, false);
    }
    return status;
}

/* What a batch of pieces asks of the cache before the first answer is looked at. Halves of keys by themselves: as pairs
 * they would go through vector registers and back. */
typedef struct batch {
    uint64_t low[BATCH], high[BATCH]; /* keys; of a longer piece: its hash, and LONG_KEY */
    const fe_bucket *buckets[BATCH];
} batch;

#define LONG_KEY (UINT64_C(1) << 56 | 1) /* one byte long, and the ninth is not zero: no piece has this one */

static inline void ask_short(const fe_cache *cache, batch *b, int64_t i, fe_key key) {
    const fe_bucket *const bucket = fe_bucket_of(cache, key);
    __builtin_prefetch(bucket);
    b->low[i] = key.low;
    b->high[i] = key.high;
    b->buckets[i] = bucket;
}

static void ask(const fe_encoder *e, batch *b, const uint8_t *text, const uint32_t *cuts, int64_t pieces) {
    const fe_cache *const cache = e->cache;
    const bool bytes = e->t->flags & FE_BYTE_LEVEL;
    int64_t longer[BATCH], count = 0, near = pieces; /* those from `near` on stand near the end of what may be read */
    while (near > 0 && e->readable - (text + cuts[near - 1]) < 16) near--;
    for (int64_t i = 0; i < pieces; i++) {
        const uint8_t *const p = text + cuts[i];
        const uint64_t size = cuts[i + 1] - cuts[i];
        if (size > FE_KEY_BYTES) {
            b->low[i] = bytes && size <= FE_LONG_BYTES ? fe_hash(p, size, cache->seed) : 0;
            b->high[i] = LONG_KEY;
            b->buckets[i] = cache->buckets;
            __builtin_prefetch(&cache->slots[b->low[i] & cache->slot_mask]);
            longer[count++] = i;
        } else {
            ask_short(cache, b, i, i < near ? fe_key_near(p, size) : fe_key_of(p, size, false, e->readable));
        }
    }
    for (int64_t i = 0; i < count; i++) fe_cache_prefetch_long(cache, b->low[longer[i]]);
}

/* A piece that the first table did not know. */
static fe_status encode_other(fe_encoder *e, const uint8_t *p, const uint8_t *end, fe_key key) {
    if (key.high == LONG_KEY)
        return e->t->flags & FE_BYTE_LEVEL ? encode_new(e, p, end, false, NULL, key.low)
                                           : fe_encode_stretch(e, p, end, false);
    return encode_new(e, p, end, false, &key, fe_hash(p, (uint64_t)(end - p), e->cache->seed));
}

/* Pieces `first` up to `last` of a batch, for one of two kinds of calls: those that want ids and those that count. */
static inline __attribute__((always_inline)) fe_status answer(fe_encoder *e, const batch *b, const uint8_t *text,
                                                              const uint32_t *cuts, int64_t first, int64_t last,
                                                              bool counts) {
    int32_t *const ids = e->ids;
    const int64_t capacity = e->capacity - FE_CACHED_IDS;
    int64_t written = e->written;
    for (int64_t i = first; i < last; i++) {
        const fe_entry *const known = fe_bucket_find(b->buckets[i], b->low[i], b->high[i]);
        if (known && (counts || written <= capacity)) {
            if (!counts) memcpy(ids + written, known->ids, sizeof known->ids); /* what is too much is overwritten */
            written += fe_entry_count(known);
            continue;
        }
        e->written = written;
        const fe_status status =
            known ? fe_write_ids(e, known->ids, fe_entry_count(known))
                  : encode_other(e, text + cuts[i], text + cuts[i + 1], (fe_key){b->low[i], b->high[i]});
        if (status != FE_OK) return status;
        written = e->written;
    }
    e->written = written;
    return FE_OK;
}

/* The same without a cache. */
static fe_status answer_slowly(fe_encoder *e, const uint8_t *text, const uint32_t *cuts, int64_t first, int64_t last) {
    fe_status status = FE_OK;
    for (int64_t i = first; i < last && status == FE_OK; i++) {
        const uint8_t *const p = text + cuts[i], *const end = text + cuts[i + 1];
        status =
            e->t->flags & FE_BYTE_LEVEL ? encode_new(e, p, end, false, NULL, 0) : fe_encode_stretch(e, p, end, false);
    }
    return status;
}

fe_status fe_encode_pieces(fe_encoder *e, const uint8_t *text, const uint32_t *cuts, int64_t pieces,
                           const uint32_t *ends, int64_t rows, int64_t *row_ends, int64_t *rows_done) {
    batch b;
    int64_t row = 0;
    for (int64_t from = 0; from < pieces || row < rows; from += BATCH) {
        const int64_t n = pieces - from < BATCH ? pieces - from : BATCH;
        if (e->cache) {
            if (fe_cache_is_full(e->cache)) fe_cache_grow(e->cache);
            ask(e, &b, text, cuts + from, n);
        }
        for (int64_t at = 0; at < n || row < rows;) { /* row by row */
            const int64_t end = row < rows ? ends[row] - from : n, last = end < n ? end : n;
            const fe_status status = !e->cache ? answer_slowly(e, text, cuts + from, at, last)
                                     : e->ids  ? answer(e, &b, text, cuts + from, at, last, false)
                                               : answer(e, &b, text, cuts + from, at, last, true);
            if (status != FE_OK) return status;
            at = last;
            if (end > n || row == rows) break;
            row_ends[row++] = e->written;
            *rows_done = row;
        }
    }
    return FE_OK;
}
