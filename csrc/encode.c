/* encode.c: text → segments between added tokens → pieces → what they became before, or merging. */
#include <stdlib.h>
#include <string.h>

#include "bpe.h"
#include "cache.h"
#include "image.h"
#include "scan.h"
#include "split.h"
#include "utf8.h"

#define MARK 0x2581u /* the lower one eighth block, which SentencePiece writes for a space */
#define MAX_TEXT (INT32_MAX - 64) /* symbols are counted in 32 bits, and there can be a few more than bytes */

#define ENOUGH ((fe_status)99) /* inside: the text has as many ids as were asked for */

enum { BATCH = 64 }; /* pieces whose cache lines are fetched at the same time */

static const uint8_t space[1] = {' '}, mark[3] = {0xE2, 0x96, 0x81};

/* The state of one call of fe_encode. */
typedef struct encoder {
    const fe_tokenizer *t;
    fe_cache *cache;         /* or NULL */
    int32_t pattern;
    const uint8_t *readable; /* the end of the texts */
    const uint8_t *actions;
    bool any_action; /* some added token is more than its characters */
    int32_t *ids;    /* the caller's, or NULL to count only */
    int64_t capacity, written;
    int64_t stop;     /* of this text no more ids are wanted once so many are written */
    int32_t *symbols; /* of the piece being read; then what is left of them */
    int64_t count, room;
    bool unk_pending; /* an unknown symbol was read and waits: more of them may join it */
    fe_match refused; /* behind FE_SPECIAL */
    fe_scratch scratch;
} encoder;

/* ------------------------------------------------------------------ symbols of a piece */

static fe_status reserve(encoder *e, int64_t more) {
    if (e->room - e->count >= more) return FE_OK;
    const int64_t room = 2 * e->room + more + 256;
    int32_t *const symbols = realloc(e->symbols, (size_t)room * sizeof *symbols);
    if (!symbols) return FE_NO_MEMORY;
    e->symbols = symbols;
    e->room = room;
    return FE_OK;
}

static fe_status push(encoder *e, int32_t token) {
    if (e->count == e->room) {
        const fe_status status = reserve(e, 1);
        if (status != FE_OK) return status;
    }
    e->symbols[e->count++] = token;
    return FE_OK;
}

static fe_status push_waiting_unk(encoder *e) {
    if (!e->unk_pending) return FE_OK;
    e->unk_pending = false;
    return push(e, e->t->unk);
}

static fe_status push_known(encoder *e, int32_t token) {
    const fe_status status = push_waiting_unk(e);
    return status == FE_OK ? push(e, token) : status;
}

/* A symbol without a token: it waits, since the next one may fuse with it; without an unk it vanishes. */
static fe_status push_unknown(encoder *e) {
    fe_status status = FE_OK;
    if (e->t->unk < 0) return status;
    if (!(e->t->flags & FE_FUSE_UNK)) status = push_waiting_unk(e);
    e->unk_pending = true;
    return status;
}

static fe_status push_bytes(encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_status status = FE_OK;
    for (; p < end && status == FE_OK; p++) {
        const int32_t token = e->t->merges.byte_token[*p];
        status = token >= 0 ? push_known(e, token) : push_unknown(e);
    }
    return status;
}

/* The bytes p to q of one character as byte symbols, if all of them are symbols. A waiting unknown
 * goes on waiting behind them: that is the order the format's own engine gives. */
static fe_status push_char_bytes(encoder *e, const uint8_t *p, const uint8_t *q) {
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
    return code == ' ' && t->flags & FE_SPACE_MARK ? MARK : code;
}

/* The code point at p, as seen; *next receives where it ends. */
static uint32_t read_char(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, const uint8_t **next) {
    uint32_t code;
    *next = p + fe_utf8_read(p, end, &code);
    return seen(t, code);
}

static fe_status push_chars(encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_status status = FE_OK;
    for (const uint8_t *next; p < end && status == FE_OK; p = next) {
        const uint32_t code = read_char(e->t, p, end, &next);
        const int32_t token = char_token(e->t, code);
        if (token >= 0)
            status = push_known(e, token);
        else if (!(e->t->flags & FE_BYTE_FALLBACK))
            status = push_unknown(e);
        else if (code == MARK)
            status = push_char_bytes(e, mark, mark + 3);
        else
            status = push_char_bytes(e, p, next);
    }
    return status;
}

/* ------------------------------------------------------------------ one piece */

static fe_status write_ids(encoder *e, const int32_t *ids, int64_t count) {
    if (e->ids) {
        if (count > e->capacity - e->written) return FE_FULL;
        memcpy(e->ids + e->written, ids, (size_t)count * sizeof *ids);
    }
    e->written += count;
    return FE_OK;
}

/* Reads the symbols of a piece, merges them and leaves ids in e->symbols. */
static fe_status merge_piece(encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
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

/* A piece that the first table does not know; `key` is NULL if it has none. */
static fe_status encode_new(encoder *e, const uint8_t *p, const uint8_t *end, bool front, const fe_key *key) {
    const fe_tokenizer *const t = e->t;
    const uint64_t size = (uint64_t)(end - p);
    const bool kept = e->cache && !front && size > FE_CACHED_IDS && size <= FE_LONG_BYTES;
    uint64_t hash = 0;
    if (kept) {
        int64_t count;
        hash = fe_hash(p, size);
        const int32_t *const known = fe_cache_find_long(e->cache, p, size, hash, &count);
        if (known) return write_ids(e, known, count);
    }
    const bool whole = t->flags & FE_WHOLE_FIRST && !front;
    const int32_t token = whole ? fe_lookup(t->lookup, t->lookup_mask, t->token_offsets, t->token_bytes, p, size) : -1;
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
        fe_cache_put(e->cache, *key, ids, count);
    else if (kept && count > 0 && count <= FE_LONG_BYTES)
        fe_cache_put_long(e->cache, p, size, hash, ids, count);
    return write_ids(e, ids, count);
}

/* One piece; with `front` a space or mark that is not in the text stands before it. */
static fe_status encode_piece(encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    if (!e->cache || end - p > FE_KEY_BYTES) return encode_new(e, p, end, front, NULL);
    if (fe_cache_is_full(e->cache)) fe_cache_grow(e->cache);
    const fe_key key = fe_key_of(p, (uint64_t)(end - p), front, e->readable);
    const fe_entry *const known = fe_bucket_find(fe_bucket_of(e->cache, key), key);
    return known ? write_ids(e, known->ids, fe_entry_count(known)) : encode_new(e, p, end, front, &key);
}

/* ------------------------------------------------------------------ many pieces */

/* Whether a text may be cut between two characters; not next to one that is unknown, which may fuse with another or
 * vanish, so that what stood apart meets. */
static bool can_cut(const fe_tokenizer *t, uint32_t a, uint32_t b) {
    return !fe_pairs_join(&t->pairs, a, b) && (t->all_solid || (char_token(t, a) >= 0 && char_token(t, b) >= 0));
}

/* The first place at or behind p where no token reaches across; with `front`, a mark stands before p. */
static const uint8_t *cut_chars(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    if (!(t->flags & FE_CUT)) return end;
    const uint8_t *next = p;
    uint32_t before = front ? MARK : read_char(t, p, end, &next);
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

/* A stretch of characters, cut wherever it can be. */
static fe_status encode_stretch(encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_status status = FE_OK;
    for (const uint8_t *next; p < end && status == FE_OK; p = next) {
        next = cut_chars(e->t, p, end, false);
        status = encode_piece(e, p, next, false);
    }
    return status;
}

static fe_status encode_long(encoder *e, const uint8_t *p, const uint8_t *end) {
    return e->t->flags & FE_BYTE_LEVEL ? encode_new(e, p, end, false, NULL) : encode_stretch(e, p, end);
}

/* Pieces between cuts, from first on: at most BATCH. All their cache lines are asked for before the first is looked at. */
static fe_status encode_batch(encoder *e, const uint8_t *text, const uint32_t *cuts, int64_t pieces) {
    fe_key keys[BATCH];
    const fe_bucket *buckets[BATCH];
    if (fe_cache_is_full(e->cache)) fe_cache_grow(e->cache);
    for (int64_t i = 0; i < pieces; i++) {
        const uint64_t size = cuts[i + 1] - cuts[i];
        if (size <= FE_KEY_BYTES)
            keys[i] = fe_key_of(text + cuts[i], size, false, e->readable);
        else
            keys[i] = (fe_key){0, UINT64_MAX}; /* no piece has this one */
        buckets[i] = fe_bucket_of(e->cache, keys[i]);
        __builtin_prefetch(buckets[i]);
    }
    int64_t written = e->written;
    int32_t *const ids = e->ids;
    const int64_t capacity = ids ? e->capacity - FE_CACHED_IDS : INT64_MAX;
    for (int64_t i = 0; i < pieces; i++) {
        const fe_entry *const known = fe_bucket_find(buckets[i], keys[i]);
        if (known && written <= capacity) {
            if (ids) memcpy(ids + written, known->ids, sizeof known->ids); /* what is too much is overwritten */
            written += fe_entry_count(known);
            continue;
        }
        const uint8_t *const p = text + cuts[i], *const end = text + cuts[i + 1];
        e->written = written;
        const fe_status status = known                    ? write_ids(e, known->ids, fe_entry_count(known))
                                 : end - p > FE_KEY_BYTES ? encode_long(e, p, end)
                                                          : encode_new(e, p, end, false, &keys[i]);
        if (status != FE_OK) return status;
        written = e->written;
    }
    e->written = written;
    return FE_OK;
}

static fe_status encode_cuts(encoder *e, const uint8_t *text, const uint32_t *cuts, int64_t pieces) {
    fe_status status = FE_OK;
    for (int64_t i = 0; i < pieces && status == FE_OK; i += BATCH) {
        const int64_t n = pieces - i < BATCH ? pieces - i : BATCH;
        if (e->cache)
            status = encode_batch(e, text, cuts + i, n);
        else
            for (int64_t j = i; j < i + n && status == FE_OK; j++)
                status = encode_long(e, text + cuts[j], text + cuts[j + 1]);
        if (status == FE_OK && e->written >= e->stop) status = ENOUGH;
    }
    return status;
}

static fe_status encode_pieces(encoder *e, const uint8_t *p, const uint8_t *end) {
    uint32_t cuts[FE_CUTS_ROOM];
    fe_scan scan;
    fe_status status = FE_OK;
    fe_scan_start(&scan, e->pattern, e->t->path, p, end, e->readable, cuts);
    for (bool more = true; more && status == FE_OK;) {
        const int64_t pieces = fe_scan_more(&scan);
        status = encode_cuts(e, p, cuts, pieces);
        more = !scan.done;
        if (more) fe_scan_drop(&scan, pieces);
    }
    return status;
}

/* ------------------------------------------------------------------ added tokens and texts */

static fe_status encode_segment(encoder *e, const uint8_t *p, const uint8_t *end) {
    const uint32_t flags = e->t->flags;
    if (p == end) return FE_OK;
    const bool front = flags & FE_BYTE_LEVEL ? flags & FE_ADD_SPACE && *p != ' ' : flags & FE_PREPEND;
    if (front) { /* the piece with what stands in front of it comes by itself */
        const uint8_t *next;
        if (!(flags & FE_BYTE_LEVEL))
            next = cut_chars(e->t, p, end, true);
        else
            next = e->pattern == FE_PATTERN_NONE ? end : fe_split_next(e->pattern, p, end, true);
        const fe_status status = encode_piece(e, p, next, true);
        if (status != FE_OK || next == end) return status;
        p = next;
    }
    if (e->pattern == FE_PATTERN_NONE && !(flags & FE_BYTE_LEVEL)) return encode_stretch(e, p, end);
    return encode_pieces(e, p, end);
}

/* Cuts [p, end) at the tokens of one trie; what lies between goes to `inner`. In Hugging Face's engine a token whose
 * action is PLAIN still uses up its characters, so none overlaps it; in tiktoken it does not. */
static fe_status encode_between(encoder *e, const fe_added *added, const uint8_t *p, const uint8_t *end,
                                fe_status (*inner)(encoder *, const uint8_t *, const uint8_t *)) {
    fe_match match;
    fe_status status = FE_OK;
    const uint8_t *const actions = e->t->flags & FE_OVERLAP ? e->actions : NULL;
    for (const uint8_t *from = p; fe_added_find(added, from, end, actions, &match); from = match.end) {
        const uint8_t action = e->actions[match.token];
        if (action == FE_TOKEN_PLAIN) continue;
        if (action == FE_TOKEN_REFUSE) {
            e->refused = match;
            return FE_SPECIAL;
        }
        status = inner(e, p, match.start);
        if (status == FE_OK) status = write_ids(e, &e->t->added_ids[match.token], 1);
        if (status == FE_OK && e->written >= e->stop) status = ENOUGH;
        if (status != FE_OK) return status;
        p = match.end;
    }
    return inner(e, p, end);
}

/* Text between two early tokens: late ones cut it further. */
static fe_status encode_late(encoder *e, const uint8_t *p, const uint8_t *end) {
    return encode_between(e, &e->t->late, p, end, encode_segment);
}

static fe_status encode_text(encoder *e, const uint8_t *p, const uint8_t *end) {
    e->count = 0;
    e->unk_pending = false;
    if (end - p >= MAX_TEXT) return FE_TOO_LONG;
    return e->any_action ? encode_between(e, &e->t->early, p, end, encode_late) : encode_segment(e, p, end);
}

/* The end of the text of `chars` code points that starts at p, counted by the bytes that continue none; NULL
 * if there are fewer. */
static const uint8_t *text_end(const uint8_t *p, const uint8_t *end, int64_t chars) {
    if (chars < 0) return NULL;
    while (end - p > 8 && chars >= 8) { /* eight bytes hold at most eight first ones */
        uint64_t word;
        memcpy(&word, p, sizeof word);
        /* bit 7 of a byte that continues a character is set and bit 6 is not */
        const uint64_t inner = word & ~(word << 1) & UINT64_C(0x8080808080808080);
        chars -= 8 - (int64_t)((inner >> 7) * UINT64_C(0x0101010101010101) >> 56);
        p += 8;
    }
    for (; p < end; p++) {
        const bool first = (*p & 0xC0) != 0x80;
        if (first && chars == 0) break;
        chars -= first;
    }
    return chars == 0 ? p : NULL;
}

static encoder new_encoder(const fe_tokenizer *t, fe_cache *cache, int32_t pattern, const uint8_t *end) {
    encoder e = {.t = t, .cache = cache, .readable = end, .stop = INT64_MAX};
    e.pattern = t->space_cuts ? FE_PATTERN_SPACES : pattern == FE_PATTERN_OWN ? t->pattern : pattern;
    return e;
}

static void end_encoder(encoder *e) {
    free(e->symbols);
    fe_scratch_clear(&e->scratch);
}

fe_status fe_encode(const fe_tokenizer *t, fe_cache *cache, int32_t pattern, const uint8_t *utf8, int64_t size,
                    const int64_t *char_counts, int64_t texts, const uint8_t *actions, int64_t limit, int32_t *ids,
                    int64_t used, int64_t capacity, int64_t *row_ends, fe_done *done) {
    const uint8_t *p = utf8, *const end = utf8 + size;
    encoder e = new_encoder(t, cache, pattern, end);
    e.ids = ids;
    e.capacity = capacity;
    e.written = used;
    e.actions = actions;
    for (int64_t i = 0; i < t->added; i++) e.any_action |= actions[i] != FE_TOKEN_PLAIN;
    int64_t chars = 0;
    for (int64_t i = 0; i < texts; i++) chars += char_counts[i];
    const bool ascii = chars == size; /* then characters are bytes, and need no counting */
    fe_status status = FE_OK;
    *done = (fe_done){0, 0, used, -1, -1};
    for (int64_t i = 0; i < texts; i++) {
        const int64_t wanted = char_counts[i], first = e.written;
        const uint8_t *const next = !ascii ? text_end(p, end, wanted) : wanted < 0 || wanted > end - p ? NULL : p + wanted;
        e.stop = limit < INT64_MAX - first ? first + limit : INT64_MAX;
        status = !next ? FE_BAD_TEXT : limit > 0 ? encode_text(&e, p, next) : FE_OK;
        if (status == ENOUGH) status = FE_OK;
        if (status != FE_OK) break;
        if (e.written > e.stop) e.written = e.stop;
        row_ends[i] = e.written;
        p = next;
        *done = (fe_done){i + 1, p - utf8, e.written, -1, -1};
    }
    if (status == FE_SPECIAL) {
        done->token = e.refused.token;
        done->place = e.refused.start - utf8;
    }
    end_encoder(&e);
    return status;
}

int64_t fe_encode_plain(const fe_tokenizer *t, fe_cache *cache, const uint8_t *utf8, int64_t size, int32_t *ids,
                        int64_t capacity) {
    encoder e = new_encoder(t, cache, FE_PATTERN_OWN, utf8 + size);
    e.ids = ids;
    e.capacity = capacity;
    const fe_status status = encode_text(&e, utf8, utf8 + size);
    end_encoder(&e);
    return status == FE_OK ? e.written : -1;
}
