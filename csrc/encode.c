/* encode.c: texts → segments between added tokens → pieces. */
#include "mem.h"
#include "model.h"
#include "piece.h"
#include "scan.h"
#include "split.h"

#define MAX_TEXT (INT32_MAX - 64) /* symbols are counted in 32 bits, and there can be a few more than bytes */
#define MAX_STREAM (1 << 30)      /* bytes of texts whose pieces are counted from the same place */

/* ------------------------------------------------------------------ one text */

static fe_status encode_scanned(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    uint32_t cuts[FE_CUTS_ROOM];
    fe_scan scan;
    fe_status status = FE_OK;
    fe_rows none = {NULL, 0, NULL, 0};
    fe_scan_start(&scan, e->pattern, e->t->path, p, e->readable, cuts);
    fe_scan_next(&scan, end);
    for (bool more = true; more && status == FE_OK;) {
        const int64_t pieces = fe_scan_more(&scan);
        status = fe_encode_pieces(e, fe_pieces_between(p, cuts, pieces), &none);
        if (status == FE_OK && e->written >= e->stop) status = FE_ENOUGH;
        more = !scan.done;
        if (more) fe_scan_drop(&scan, pieces);
    }
    return status;
}

static fe_status encode_segment(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    const uint32_t flags = e->t->flags;
    if (p == end) return FE_OK;
    const bool front = flags & FE_BYTE_LEVEL ? flags & FE_ADD_SPACE && *p != ' ' : flags & FE_PREPEND;
    if (front) { /* the piece with what stands in front of it comes by itself */
        const uint8_t *next;
        if (e->t->kind->cut)
            next = e->t->kind->cut(e->t, p, end, true);
        else
            next = e->pattern == FE_PATTERN_NONE ? end : fe_split_next(e->pattern, p, end, true);
        const fe_status status = fe_encode_piece(e, p, next, true);
        if (status != FE_OK || next == end) return status;
        p = next;
    }
    if (e->pattern == FE_PATTERN_NONE && e->t->kind->cut) return fe_encode_stretch(e, p, end, true);
    return encode_scanned(e, p, end);
}

/* Cuts [p, end) at the added tokens that are late, or at those that are not; what lies between goes to `inner`. In
 * Hugging Face's engine a token whose action is PLAIN still uses up its characters, so none overlaps it; in tiktoken it
 * does not. */
static fe_status encode_between(fe_encoder *e, bool late, const uint8_t *p, const uint8_t *end,
                                fe_status (*inner)(fe_encoder *, const uint8_t *, const uint8_t *)) {
    const fe_tokenizer *const t = e->t;
    const fe_added *const added = late ? &t->late : &t->early;
    fe_window *const window = late ? &e->late : &e->early;
    const int32_t *const out = late ? e->choice->late_out : e->choice->early_out;
    const fe_wanted wanted = {t->flags & FE_OVERLAP ? e->choice->actions : NULL, out ? out : added->machine.out};
    fe_match match;
    fe_status status;
    for (const uint8_t *from = p;; from = match.end) {
        status = fe_added_find(added, t->added_offsets, window, from, end, wanted, &match);
        if (status != FE_OK) return status;
        if (match.token < 0) break;
        const uint8_t action = e->choice->actions[match.token];
        if (action == FE_TOKEN_PLAIN) continue;
        if (action == FE_TOKEN_REFUSE) {
            e->refused = match;
            return FE_SPECIAL;
        }
        status = inner(e, p, match.start);
        if (status == FE_OK) status = fe_write_ids(e, &t->added_ids[match.token], 1);
        if (status == FE_OK && e->written >= e->stop) status = FE_ENOUGH;
        if (status != FE_OK) return status;
        p = match.end;
    }
    return inner(e, p, end);
}

/* Text between two early tokens: late ones cut it further. */
static fe_status encode_late(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    return encode_between(e, true, p, end, encode_segment);
}

static fe_status encode_text(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    e->unk_pending = false;
    if (end - p >= MAX_TEXT) return FE_TOO_LONG;
    return e->choice ? encode_between(e, false, p, end, encode_late) : encode_segment(e, p, end);
}

/* ------------------------------------------------------------------ many texts */

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

/* The texts of a job. */
typedef struct texts {
    const fe_job *job;
    bool ascii; /* as many characters as bytes */
} texts;

static texts texts_of(const fe_job *job) {
    uint64_t chars = 0; /* may wrap around: every count is looked at again where its text begins */
    for (int64_t i = 0; i < job->texts && !job->each; i++) chars += (uint64_t)job->char_counts[i];
    return (texts){job, chars == (uint64_t)job->size};
}

/* Text i; *end is NULL if the counts do not add up. `p` is where the text before it ended. */
static const uint8_t *text_at(const texts *all, int64_t i, const uint8_t *p, const uint8_t **end) {
    const fe_job *const job = all->job;
    if (job->each) {
        *end = job->each[i] + job->sizes[i];
        return job->each[i];
    }
    const int64_t left = job->utf8 + job->size - p, chars = job->char_counts[i];
    if (all->ascii)
        *end = chars < 0 || chars > left ? NULL : p + chars;
    else
        *end = text_end(p, p + left, chars);
    return p;
}

/* Texts one by one, which takes what must be looked for in each. */
static fe_status encode_each(fe_encoder *e, const texts *all, fe_out *out) {
    const fe_job *const job = all->job;
    const uint8_t *before = job->utf8;
    for (int64_t i = 0; i < job->texts; i++) {
        const uint8_t *end, *const p = text_at(all, i, before, &end);
        const int64_t first = e->written;
        if (job->each) e->readable = end;
        e->stop = job->limit < INT64_MAX - first ? first + job->limit : INT64_MAX;
        fe_status status = !end ? FE_BAD_TEXT : job->limit > 0 ? encode_text(e, p, end) : FE_OK;
        if (status == FE_SPECIAL) {
            out->token = e->refused.token;
            out->place = e->refused.start - (job->each ? p : job->utf8);
        }
        if (status != FE_OK && status != FE_ENOUGH) return status;
        if (e->written > e->stop) e->written = e->stop;
        out->row_ends[i] = e->written;
        out->texts = i + 1;
        out->bytes += end - p;
        out->used = e->written;
        before = end;
    }
    return FE_OK;
}

/* A stream of texts that are nothing but pieces: their pieces are gathered across texts, so that short texts too come
 * in batches. */
typedef struct stream {
    fe_scan scan;
    uint32_t cuts[FE_CUTS_ROOM];
    uint32_t ends[FE_CUTS]; /* of the texts gathered: the pieces before each one's end */
    int64_t bytes[FE_CUTS]; /* and its bytes */
    int64_t rows;
} stream;

static fe_status flush(fe_encoder *e, stream *s, int64_t pieces, fe_out *out) {
    fe_rows rows = {s->ends, s->rows, out->row_ends + out->texts, 0};
    const fe_status status = fe_encode_pieces(e, fe_pieces_between(s->scan.text, s->cuts, pieces), &rows);
    for (int64_t i = 0; i < rows.complete; i++) out->bytes += s->bytes[i];
    out->texts += rows.complete;
    if (rows.complete) out->used = out->row_ends[out->texts - 1];
    s->rows = 0;
    fe_scan_drop(&s->scan, pieces);
    return status;
}

static fe_status encode_stream(fe_encoder *e, const texts *all, fe_out *out) {
    const fe_job *const job = all->job;
    stream s;
    fe_status status = FE_OK, wrong = FE_OK;
    const uint8_t *before = job->utf8;
    fe_scan_start(&s.scan, e->pattern, e->t->path, before, e->readable, s.cuts);
    s.rows = 0;
    for (int64_t i = 0; i < job->texts && status == FE_OK && wrong == FE_OK; i++) {
        const uint8_t *end, *const p = text_at(all, i, before, &end);
        wrong = !end ? FE_BAD_TEXT : end - p >= MAX_TEXT ? FE_TOO_LONG : FE_OK;
        if (wrong != FE_OK) break;
        if (job->each || end - s.scan.text > MAX_STREAM) { /* another memory, or places would not fit */
            status = flush(e, &s, s.scan.count - 1, out);
            if (job->each) e->readable = end;
            fe_scan_start(&s.scan, e->pattern, e->t->path, p, e->readable, s.cuts);
        }
        if (p < end) fe_scan_next(&s.scan, end);
        while (!s.scan.done && status == FE_OK) {
            const int64_t pieces = fe_scan_more(&s.scan);
            if (s.scan.count >= FE_CUTS) status = flush(e, &s, pieces, out);
        }
        s.ends[s.rows] = (uint32_t)(s.scan.count - 1);
        s.bytes[s.rows++] = end - p;
        if (status == FE_OK && (s.rows == FE_CUTS || s.scan.count >= FE_CUTS))
            status = flush(e, &s, s.scan.count - 1, out);
        before = end;
    }
    if (status == FE_OK) status = flush(e, &s, s.scan.count - 1, out);
    return status == FE_OK ? wrong : status;
}

static fe_encoder new_encoder(const fe_tokenizer *t, fe_cache *cache, int32_t pattern, const uint8_t *end) {
    fe_encoder e = {.t = t, .cache = cache, .readable = end, .stop = INT64_MAX};
    e.pattern = t->space_cuts ? FE_PATTERN_SPACES : pattern == FE_PATTERN_OWN ? t->pattern : pattern;
    return e;
}

static void end_encoder(fe_encoder *e) {
    free(e->symbols);
    free(e->early.tokens);
    free(e->late.tokens);
    fe_scratch_clear(&e->scratch);
}

/* False if the choice is one of another tokenizer. */
static bool take_choice(fe_encoder *e, const fe_choice *choice) {
    e->choice = choice && choice->any ? choice : NULL;
    return !choice || choice->tokenizer == e->t;
}

fe_status fe_encode(const fe_tokenizer *t, fe_cache *cache, const fe_job *job, fe_out *out) {
    fe_encoder e = new_encoder(t, cache, job->pattern, job->each ? NULL : job->utf8 + job->size);
    const texts all = texts_of(job);
    e.ids = out->ids;
    e.capacity = out->capacity;
    e.written = out->used;
    out->texts = out->bytes = 0;
    out->token = out->place = -1;
    if (!take_choice(&e, job->choice)) return FE_BAD_MODEL;
    const bool scanned = !t->kind->cut || e.pattern != FE_PATTERN_NONE;
    const bool fronted = t->flags & (t->flags & FE_BYTE_LEVEL ? FE_ADD_SPACE : FE_PREPEND);
    const fe_status status = !scanned || fronted || e.choice || job->limit < INT64_MAX ? encode_each(&e, &all, out)
                                                                                         : encode_stream(&e, &all, out);
    end_encoder(&e);
    return status;
}

int64_t fe_encode_one(const fe_tokenizer *t, fe_cache *cache, const uint8_t *utf8, int64_t size,
                      const fe_choice *choice, int32_t *ids, int64_t capacity) {
    fe_encoder e = new_encoder(t, cache, FE_PATTERN_OWN, utf8 + size);
    if (!take_choice(&e, choice)) return -1;
    e.ids = ids;
    e.capacity = capacity;
    const fe_status status = encode_text(&e, utf8, utf8 + size);
    end_encoder(&e);
    return status == FE_OK ? e.written : -1;
}
