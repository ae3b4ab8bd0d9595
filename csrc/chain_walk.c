/* chain_walk.c: the pieces that a chain cuts, handed on in batches. */
#include "chain_walk.h"

#include "walk.h"

static fe_pieces pieces_of(const fe_cutting *cutting) {
    return (fe_pieces){cutting->text, cutting->starts, cutting->ends, cutting->count};
}

fe_status fe_encode_chain(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_cutting cutting;
    fe_status status = FE_OK;
    fe_rows none = {NULL, 0, NULL, 0};
    fe_cutting_start(&cutting, e->t->cutters, p);
    fe_cutting_next(&cutting, p, end);
    while (status == FE_OK && !fe_cutting_done(&cutting)) {
        fe_cutting_more(&cutting);
        status = fe_encode_pieces(e, pieces_of(&cutting), &none);
        if (status == FE_OK && e->written >= e->stop) status = FE_ENOUGH;
        cutting.count = 0;
    }
    return status;
}

typedef struct stream {
    fe_cutting cutting;
    uint32_t ends[FE_CHAIN_PIECES]; /* of the texts gathered: the pieces before each one's end */
    int64_t bytes[FE_CHAIN_PIECES]; /* and its bytes */
    int64_t rows;
} stream;

static fe_status flush(fe_encoder *e, stream *s, fe_out *out) {
    fe_rows rows = {s->ends, s->rows, out->row_ends + out->texts, 0};
    const fe_status status = fe_encode_pieces(e, pieces_of(&s->cutting), &rows);
    for (int64_t i = 0; i < rows.complete; i++) out->bytes += s->bytes[i];
    out->texts += rows.complete;
    if (rows.complete) out->used = out->row_ends[out->texts - 1];
    s->rows = 0;
    s->cutting.count = 0;
    return status;
}

fe_status fe_encode_chain_stream(fe_encoder *e, const fe_texts *all, fe_some_texts some, fe_out *out) {
    const fe_job *const job = all->job;
    stream s;
    fe_status status = FE_OK, wrong = FE_OK;
    const uint8_t *before = some.before;
    fe_cutting_start(&s.cutting, e->t->cutters, before);
    s.rows = 0;
    for (int64_t i = some.first; i < some.last && status == FE_OK && wrong == FE_OK; i++) {
        const uint8_t *end, *const p = fe_text_at(all, i, before, &end);
        wrong = !end ? FE_BAD_TEXT : end - p >= FE_MAX_TEXT ? FE_TOO_LONG : FE_OK;
        if (wrong != FE_OK) break;
        if (job->each || end - s.cutting.text > FE_MAX_STREAM) { /* another memory, or places would not fit */
            status = flush(e, &s, out);
            if (job->each) e->readable = end;
            fe_cutting_start(&s.cutting, e->t->cutters, p);
        }
        fe_cutting_next(&s.cutting, p, end);
        while (status == FE_OK && !fe_cutting_done(&s.cutting)) {
            fe_cutting_more(&s.cutting);
            if (!fe_cutting_done(&s.cutting)) status = flush(e, &s, out);
        }
        if (status != FE_OK) break;
        s.ends[s.rows] = (uint32_t)s.cutting.count;
        s.bytes[s.rows++] = end - p;
        if (s.rows == FE_CHAIN_PIECES) status = flush(e, &s, out);
        before = end;
    }
    if (status == FE_OK) status = flush(e, &s, out);
    return status == FE_OK ? wrong : status;
}
