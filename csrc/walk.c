/* walk.c: the texts of a job, one by one or as one stream of pieces. */
#include "walk.h"

#include "chain_walk.h"
#include "mem.h"
#include "model.h"
#include "runs.h"
#include "scan.h"
#include "text.h"

/* Texts one by one, which takes what must be looked for in each. */
static fe_status encode_each(fe_encoder *e, const fe_texts *all, fe_some_texts some, fe_out *out) {
    const fe_job *const job = all->job;
    const uint8_t *before = some.before;
    for (int64_t i = some.first; i < some.last; i++) {
        const uint8_t *end, *const p = fe_text_at(all, i, before, &end);
        const int64_t first = e->written;
        if (job->each) e->readable = end;
        e->stop = job->limit < INT64_MAX - first ? first + job->limit : INT64_MAX;
        fe_status status = !end ? FE_BAD_TEXT : job->limit > 0 ? fe_encode_text(e, p, end) : FE_OK;
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

static fe_status encode_stream(fe_encoder *e, const fe_texts *all, fe_some_texts some, fe_out *out) {
    const fe_job *const job = all->job;
    stream s;
    fe_status status = FE_OK, wrong = FE_OK;
    const uint8_t *before = some.before;
    fe_scan_start(&s.scan, e->pattern, e->t->path, before, e->readable, s.cuts);
    s.rows = 0;
    for (int64_t i = some.first; i < some.last && status == FE_OK && wrong == FE_OK; i++) {
        const uint8_t *end, *const p = fe_text_at(all, i, before, &end);
        wrong = !end ? FE_BAD_TEXT : end - p >= FE_MAX_TEXT ? FE_TOO_LONG : FE_OK;
        if (wrong != FE_OK) break;
        if (job->each || end - s.scan.text > FE_MAX_STREAM) { /* another memory, or places would not fit */
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

/* Texts that are nothing but pieces. */
static fe_status encode_pieces(fe_encoder *e, const fe_texts *all, fe_some_texts some, fe_out *out) {
    return e->pattern == FE_PATTERN_PROGRAM ? fe_encode_chain_stream(e, all, some, out)
                                            : encode_stream(e, all, some, out);
}

/* True if normalizing leaves a text as it is, or there is none, which encode_stream will say. */
static bool is_kept(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end) {
    return !end || fe_normal_keeps(t->normal, t->normal_size, p, end);
}

/* Texts that are nothing but pieces once they are normalized: those that need not be go as streams. */
static fe_status encode_normal(fe_encoder *e, const fe_texts *all, fe_out *out) {
    const fe_job *const job = all->job;
    fe_some_texts some = {0, job->texts, job->utf8};
    const fe_tokenizer *const t = e->t;
    if (!e->normal_size ||
        (!job->each && fe_normal_keeps_all(t->normal, e->normal_size, job->utf8, job->utf8 + job->size)))
        return encode_pieces(e, all, some, out);
    fe_status status = FE_OK;
    while (status == FE_OK && some.first < job->texts) {
        const uint8_t *p = some.before, *end = NULL;
        bool kept = true;
        for (some.last = some.first; some.last < job->texts; some.last++, p = end) {
            const uint8_t *const start = fe_text_at(all, some.last, p, &end);
            kept = is_kept(t, start, end);
            if (!kept) break;
            if (!end) { /* the stream ends with the text that is none */
                some.last++;
                break;
            }
        }
        if (some.first < some.last) status = encode_pieces(e, all, some, out);
        if (status != FE_OK || kept) break;
        status = encode_each(e, all, (fe_some_texts){some.last, some.last + 1, p}, out);
        some = (fe_some_texts){some.last + 1, job->texts, end};
    }
    return status;
}

static fe_encoder new_encoder(const fe_tokenizer *t, fe_cache *cache, int32_t pattern, const uint8_t *end) {
    fe_encoder e = {.t = t, .cache = cache, .readable = end, .stop = INT64_MAX};
    e.normal_size = pattern == FE_PATTERN_OWN ? t->normal_size : 0;
    e.normal.still = t->still;
    e.pattern = pattern == FE_PATTERN_OWN ? t->pattern : pattern;
    if (t->flags & FE_UNIGRAM) e.pattern = t->pattern; /* what it remembers depends on it */
    if (t->space_cuts && e.pattern != FE_PATTERN_PROGRAM) e.pattern = FE_PATTERN_SPACES;
    return e;
}

static void end_encoder(fe_encoder *e) {
    free(e->symbols);
    free(e->gaps);
    free(e->early.tokens);
    free(e->late.tokens);
    fe_scratch_clear(&e->scratch);
    fe_lattice_clear(&e->lattice);
    if (e->normal_size) fe_normal_clear(&e->normal);
}

/* False if the choice is one of another tokenizer. */
static bool take_choice(fe_encoder *e, const fe_choice *choice) {
    e->choice = choice && choice->any ? choice : NULL;
    return !choice || choice->tokenizer == e->t;
}

fe_status fe_encode(const fe_tokenizer *t, fe_cache *cache, const fe_job *job, fe_out *out) {
    fe_encoder e = new_encoder(t, cache, job->pattern, job->each ? NULL : job->utf8 + job->size);
    const fe_texts all = fe_texts_of(job);
    e.ids = out->ids;
    e.capacity = out->capacity;
    e.written = out->used;
    out->texts = out->bytes = 0;
    out->token = out->place = -1;
    if (!take_choice(&e, job->choice) || job->pattern < FE_PATTERN_OWN || job->pattern >= FE_PATTERN_PROGRAM)
        return FE_BAD_MODEL;
    if (t->pattern == FE_PATTERN_BERT && !e.normal_size && job->limit == INT64_MAX) {
        const fe_status status = fe_stream_runs(&e, job, out);
        end_encoder(&e);
        return status;
    }
    const bool scanned = !t->kind->cut || e.pattern != FE_PATTERN_NONE;
    const bool program = e.pattern == FE_PATTERN_PROGRAM; /* of which pieces have no front, but one of their own */
    const bool fronted = !program && t->flags & (t->flags & FE_BYTE_LEVEL ? FE_ADD_SPACE : FE_PREPEND);
    const bool segments = !program && t->kind->segment;
    const bool wholes = t->chars.wholes && !(t->flags & FE_SPLIT_MARKS); /* which is asked of each segment */
    const fe_some_texts whole = {0, job->texts, job->utf8};
    const bool runs = e.pattern == FE_PATTERN_BERT; /* of texts that are normalized first: not found by scanning */
    const bool each = !scanned || fronted || segments || wholes || runs || e.choice || job->limit < INT64_MAX;
    const fe_status status = each ? encode_each(&e, &all, whole, out) : encode_normal(&e, &all, out);
    end_encoder(&e);
    return status;
}

int64_t fe_encode_one(const fe_tokenizer *t, fe_cache *cache, const uint8_t *utf8, int64_t size,
                      const fe_choice *choice, int32_t *ids, int64_t capacity) {
    fe_encoder e = new_encoder(t, cache, FE_PATTERN_OWN, utf8 + size);
    if (!take_choice(&e, choice)) return -1;
    e.ids = ids;
    e.capacity = capacity;
    const fe_status status = fe_encode_text(&e, utf8, utf8 + size);
    end_encoder(&e);
    return status == FE_OK ? e.written : -1;
}

int64_t fe_encode_piece_alone(const fe_tokenizer *t, const uint8_t *utf8, int64_t size, int32_t *ids,
                              int64_t capacity) {
    if (t->kind != &fe_bytes_bpe || t->flags & FE_ADD_SPACE || size < 1 || size > capacity) return -1;
    /* The caller's room is that of the symbols: there are never more than bytes, so it is not left for another. */
    fe_encoder e = {.t = t, .symbols = ids, .room = capacity};
    const fe_status status = t->kind->piece(&e, utf8, utf8 + size, false);
    fe_scratch_clear(&e.scratch);
    return status == FE_OK ? e.count : -1;
}
