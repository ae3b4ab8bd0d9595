/* runs.c: texts → runs → ids. */
#include "runs.h"

#include "bert.h"
#include "mem.h"
#include "scan.h"
#include "text.h"
#include "walk.h"

#define MAX_STREAM (1 << 30) /* bytes of texts whose pieces are counted from the same place */

/* ------------------------------------------------------------------ finding them */

void fe_runs_start(fe_runs *runs, int32_t path, const uint8_t *text, const uint8_t *readable) {
    runs->text = runs->base = runs->end = text;
    runs->readable = readable;
    runs->word = runs->punctuation = 0;
    runs->started = runs->ended = 0;
    runs->path = path;
}

void fe_runs_next(fe_runs *runs, const uint8_t *p, const uint8_t *end) {
    runs->base = p;
    runs->end = end;
}

/* Byte by byte: what masks must give. */
static void scalar(fe_runs *runs) {
    for (; runs->base < runs->end && runs->started < FE_RUNS; runs->base++) {
        const uint8_t byte = *runs->base;
        const uint32_t at = (uint32_t)(runs->base - runs->text);
        const uint64_t punctuation = fe_bert_is_punctuation(byte), word = !punctuation && !fe_bert_is_space(byte);
        if ((runs->word && !word) || runs->punctuation) runs->ends[runs->ended++] = at;
        if ((word && !runs->word) || punctuation) runs->starts[runs->started++] = at;
        runs->word = word;
        runs->punctuation = punctuation;
    }
}

bool fe_runs_more(fe_runs *runs) {
    switch (runs->path) {
#if defined(__x86_64__)
    case FE_PATH_AVX512: fe_runs_avx512(runs); break;
    case FE_PATH_AVX2: fe_runs_avx2(runs); break;
#elif defined(__AARCH64EL__)
    case FE_PATH_NEON: fe_runs_neon(runs); break;
#endif
    case FE_PATH_SCALAR: scalar(runs); break;
    default: fe_runs_plain(runs);
    }
    if (runs->base < runs->end) return false;
    if (runs->word | runs->punctuation) { /* as if white space stood behind the text */
        runs->ends[runs->ended++] = (uint32_t)(runs->end - runs->text);
        runs->word = runs->punctuation = 0;
    }
    FE_ASSERT(runs->started == runs->ended && runs->ended <= FE_RUNS_ROOM);
    return true;
}

void fe_runs_drop(fe_runs *runs) {
    const int64_t open = runs->started - runs->ended;
    FE_ASSERT(open == 0 || open == 1);
    if (open) runs->starts[0] = runs->starts[runs->ended];
    runs->started = open;
    runs->ended = 0;
}

fe_status fe_split_runs(int32_t path, const uint8_t *utf8, int64_t size, int64_t *starts, int64_t *ends,
                        int64_t capacity, int64_t *count) {
    fe_runs runs;
    *count = 0;
    if (size >= INT32_MAX) return FE_TOO_LONG;
    if (size <= 0) return FE_OK;
    fe_runs_start(&runs, fe_scan_path(path), utf8, utf8 + size);
    fe_runs_next(&runs, utf8, utf8 + size);
    for (bool done = false; !done; fe_runs_drop(&runs)) {
        done = fe_runs_more(&runs);
        if (runs.ended > capacity - *count) return FE_FULL;
        for (int64_t i = 0; i < runs.ended; i++) {
            starts[*count] = runs.starts[i];
            ends[(*count)++] = runs.ends[i];
        }
    }
    return FE_OK;
}

/* ------------------------------------------------------------------ one text */

fe_status fe_encode_runs(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_runs runs;
    fe_status status = FE_OK;
    fe_rows none = {NULL, 0, NULL, 0};
    fe_runs_start(&runs, e->t->path, p, e->readable);
    fe_runs_next(&runs, p, end);
    for (bool done = false; !done && status == FE_OK; fe_runs_drop(&runs)) {
        done = fe_runs_more(&runs);
        status = fe_encode_pieces(e, fe_runs_pieces(&runs), &none);
        if (status == FE_OK && e->written >= e->stop) status = FE_ENOUGH;
    }
    return status;
}

/* ------------------------------------------------------------------ many texts */

/* The texts whose pieces were gathered: the pieces before each one's end, and its bytes. */
typedef struct gathered {
    uint32_t ends[FE_RUNS];
    int64_t bytes[FE_RUNS];
    int64_t rows;
} gathered;

/* Ids of the pieces that have ended, and ends of rows. */
static fe_status flush(fe_encoder *e, fe_runs *runs, gathered *g, fe_out *out) {
    fe_rows rows = {g->ends, g->rows, out->row_ends + out->texts, 0};
    const fe_status status = fe_encode_pieces(e, fe_runs_pieces(runs), &rows);
    for (int64_t i = 0; i < rows.complete; i++) out->bytes += g->bytes[i];
    out->texts += rows.complete;
    if (rows.complete) out->used = out->row_ends[out->texts - 1];
    g->rows = 0;
    fe_runs_drop(runs);
    return status;
}

/* True if some added token that is more than its characters begins in [p, end): such a text is encoded by itself. */
static fe_status has_added(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool *has) {
    const fe_added *const both[] = {&e->t->early, &e->t->late};
    fe_window *const windows[] = {&e->early, &e->late};
    *has = false;
    for (int i = 0; i < 2 && e->choice && !*has; i++) {
        const int32_t *const filtered = i ? e->choice->late_out : e->choice->early_out;
        const uint32_t *const offsets = i ? e->t->late_offsets : e->t->added_offsets;
        const bool overlap = e->t->flags & FE_OVERLAP;
        const fe_wanted wanted = {overlap ? e->choice->actions : NULL, filtered ? filtered : both[i]->machine.out};
        fe_match match;
        const fe_status status = fe_added_find(both[i], offsets, windows[i], p, end, wanted, &match);
        if (status != FE_OK) return status;
        *has = match.token >= 0;
    }
    return FE_OK;
}

/* One text by itself, and its row. */
static fe_status alone(fe_encoder *e, const uint8_t *start, const uint8_t *p, const uint8_t *end, fe_out *out) {
    const fe_status status = fe_encode_text(e, p, end);
    if (status == FE_SPECIAL) {
        out->token = e->refused.token;
        out->place = e->refused.start - start;
    }
    if (status != FE_OK) return status;
    out->row_ends[out->texts++] = out->used = e->written;
    out->bytes += end - p;
    return FE_OK;
}

fe_status fe_stream_runs(fe_encoder *e, const fe_job *job, fe_out *out) {
    const fe_texts all = fe_texts_of(job);
    const uint8_t *before = job->utf8;
    fe_status status = FE_OK, wrong = FE_OK;
    fe_runs runs;
    gathered g = {.rows = 0};
    fe_runs_start(&runs, e->t->path, before, e->readable);
    for (int64_t i = 0; i < job->texts && status == FE_OK; i++) {
        const uint8_t *end, *const p = fe_text_at(&all, i, before, &end);
        wrong = !end ? FE_BAD_TEXT : end - p >= FE_MAX_TEXT ? FE_TOO_LONG : FE_OK;
        if (wrong != FE_OK) break;
        bool has = false;
        wrong = has_added(e, p, end, &has);
        if (wrong != FE_OK) break;
        if (has || job->each || end - runs.text > MAX_STREAM) { /* another memory, or places would not fit */
            status = flush(e, &runs, &g, out);
            if (status != FE_OK) return status;
            if (job->each) e->readable = end;
            fe_runs_start(&runs, e->t->path, p, e->readable);
        }
        before = end;
        if (has) {
            status = alone(e, job->each ? p : job->utf8, p, end, out);
            continue;
        }
        fe_runs_next(&runs, p, end);
        while (!fe_runs_more(&runs) && status == FE_OK) status = flush(e, &runs, &g, out);
        g.ends[g.rows] = (uint32_t)runs.ended;
        g.bytes[g.rows++] = end - p;
        if (status == FE_OK && (g.rows == FE_RUNS || runs.ended >= FE_RUNS)) status = flush(e, &runs, &g, out);
    }
    if (status == FE_OK) status = flush(e, &runs, &g, out);
    return status == FE_OK ? wrong : status;
}
