/* normal.c: chains of steps. */
#include "normal.h"

#include <string.h>

#include "mem.h"
#include "utf8.h"

static const fe_norm_row *const rows[FE_NORM_KINDS] = {
    [FE_NORM_NFC] = &fe_norm_form,
    [FE_NORM_NFD] = &fe_norm_form,
    [FE_NORM_NFKC] = &fe_norm_form,
    [FE_NORM_NFKD] = &fe_norm_form,
    [FE_NORM_LOWERCASE] = &fe_norm_lower,
    [FE_NORM_STRIP_ACCENTS] = &fe_norm_map,
    [FE_NORM_NMT] = &fe_norm_map,
    [FE_NORM_BERT_CLEAN] = &fe_norm_map,
    [FE_NORM_BERT_CJK] = &fe_norm_map,
    [FE_NORM_BERT_MARKS] = &fe_norm_map,
    [FE_NORM_STRIP] = &fe_norm_strip,
    [FE_NORM_PREPEND] = &fe_norm_prepend,
    [FE_NORM_REPLACE] = &fe_norm_replace,
    [FE_NORM_RUNS] = &fe_norm_runs,
    [FE_NORM_BYTE_LEVEL] = &fe_norm_bytes,
    [FE_NORM_CHARSMAP] = &fe_norm_charsmap,
    [FE_NORM_PIECES] = &fe_norm_pieces,
};

/* ------------------------------------------------------------------ buffers */

fe_status fe_buffer_grow(fe_buffer *b, int64_t more) {
    if (more >= FE_MAX_TEXT - b->size) return FE_TOO_LONG;
    const int64_t least = b->size + more, twice = 2 * b->room + 256, room = least > twice ? least : twice;
    uint8_t *const bytes = realloc(b->bytes, (size_t)room + FE_BEHIND);
    if (!bytes) return FE_NO_MEMORY;
    b->bytes = bytes;
    b->room = room;
    return FE_OK;
}

fe_status fe_buffer_add(fe_buffer *b, const uint8_t *bytes, int64_t size) {
    const fe_status status = fe_buffer_room(b, size);
    if (status != FE_OK || !size) return status;
    memcpy(b->bytes + b->size, bytes, (size_t)size);
    b->size += size;
    return FE_OK;
}

void fe_normal_clear(fe_normal *n) {
    free(n->text[0].bytes);
    free(n->text[1].bytes);
    free(n->parts);
    free(n->sorted);
}

/* ------------------------------------------------------------------ chains */

/* How many times as long a step without strings may make a text. */
static uint64_t plain_growth(enum fe_norm_kind kind) {
    switch (kind) {
    case FE_NORM_NFKC:
    case FE_NORM_NFKD: return 11; /* U+FDFA */
    case FE_NORM_NFC:             /* which takes a few apart, as U+1D160 */
    case FE_NORM_NFD: return 3;
    case FE_NORM_LOWERCASE:
    case FE_NORM_BERT_CJK:
    case FE_NORM_BYTE_LEVEL: return 2;
    default: return 1;
    }
}

/* How many times as long a step may make a text; 0: it is none. */
static uint64_t growth(const fe_norm_step *s) {
    const fe_norm_head *const h = &s->head;
    uint32_t code;
    if (h->kind != FE_NORM_RUNS && h->least) return 0;
    switch ((enum fe_norm_kind)h->kind) {
    case FE_NORM_STRIP: return !(h->flags & ~(FE_STRIP_LEFT | FE_STRIP_RIGHT)) && !h->from_size && !h->to_size;
    case FE_NORM_PREPEND: return !h->flags && !h->from_size && h->to_size;
    case FE_NORM_REPLACE:
        if (h->flags || !h->from_size || h->from_size > FE_MAX_FROM) return 0;
        return (h->to_size + h->from_size - 1) / h->from_size + !h->to_size;
    case FE_NORM_RUNS:
        if (h->flags & ~FE_RUNS_WHITE || !h->least || (h->flags & FE_RUNS_WHITE) == !!h->from_size) return 0;
        if (h->from_size && fe_utf8_read(s->from, s->from + h->from_size, &code) != (int32_t)h->from_size) return 0;
        return h->to_size + !h->to_size;
    case FE_NORM_CHARSMAP: return fe_charsmap_growth(s);
    case FE_NORM_PIECES: return fe_norm_pieces_growth(s);
    case FE_NORM_KINDS: return 0;
    default: return h->flags || h->from_size || h->to_size ? 0 : plain_growth((enum fe_norm_kind)h->kind);
    }
}

bool fe_normal_valid(const uint8_t *steps, uint64_t size) {
    const uint8_t *at = steps, *const end = steps + size;
    for (uint64_t all = 1; at < end;) {
        fe_norm_head head;
        const uint64_t left = (uint64_t)(end - at);
        if (left < sizeof head) return false;
        memcpy(&head, at, sizeof head);
        if (head.kind >= FE_NORM_KINDS || !rows[head.kind]) return false;
        if (head.from_size > left - sizeof head || head.to_size > left - sizeof head - head.from_size) return false;
        const fe_norm_step step = fe_norm_next(&at);
        const uint64_t times = growth(&step);
        if (!times || times > FE_MAX_GROWTH / all) return false;
        all *= times;
        if (head.kind == FE_NORM_PIECES && (step.from - sizeof head != steps || at != end)) return false;
        const bool binary = head.kind == FE_NORM_CHARSMAP || head.kind == FE_NORM_PIECES;
        if (!binary && !fe_utf8_valid(step.from, step.to)) return false;
        if (head.kind != FE_NORM_PIECES && !fe_utf8_valid(step.to, at)) return false;
    }
    return true;
}

bool fe_normal_spares_late(const uint8_t *steps, uint64_t size) { return size && *steps == FE_NORM_PIECES; }

bool fe_normal_keeps(const uint8_t *steps, uint64_t size, const uint8_t *p, const uint8_t *end) {
    for (const uint8_t *at = steps; at < steps + size;) {
        const fe_norm_step step = fe_norm_next(&at);
        if (rows[step.head.kind]->find(&step, p, end) < end) return false;
    }
    return true;
}

bool fe_normal_keeps_all(const uint8_t *steps, uint64_t size, const uint8_t *p, const uint8_t *end) {
    for (const uint8_t *at = steps; at < steps + size;)
        if (!rows[fe_norm_next(&at).head.kind]->joins) return false;
    return fe_normal_keeps(steps, size, p, end);
}

fe_status fe_normal_apply(fe_normal *n, const uint8_t *steps, uint64_t size, const uint8_t **p, const uint8_t **end) {
    int into = 0;
    for (const uint8_t *at = steps; at < steps + size && *p < *end;) {
        const fe_norm_step step = fe_norm_next(&at);
        const fe_norm_row *const row = rows[step.head.kind];
        const uint8_t *const place = row->find(&step, *p, *end);
        if (place == *end) continue;
        fe_buffer *const out = &n->text[into];
        out->size = 0;
        fe_status status = row->apply(n, &step, *p, *end, place, out);
        if (status == FE_OK) status = fe_buffer_room(out, 0);
        if (status != FE_OK) return status;
        if (!out->bytes && (status = fe_buffer_grow(out, 0)) != FE_OK) return status; /* all of it went away */
        memset(out->bytes + out->size, 0, FE_BEHIND);
        *p = out->bytes;
        *end = out->bytes + out->size;
        into = !into;
    }
    return FE_OK;
}

fe_status fe_normalize(const uint8_t *steps, int64_t steps_size, const uint8_t *utf8, int64_t size, uint8_t *bytes,
                       int64_t capacity, int64_t *length) {
    fe_normal n = {0};
    *length = 0;
    if (steps_size < 0 || !fe_normal_valid(steps, (uint64_t)steps_size)) return FE_BAD_MODEL;
    if (size >= FE_MAX_TEXT) return FE_TOO_LONG;
    const uint8_t *p = utf8, *end = utf8 + size;
    const fe_status status = fe_normal_apply(&n, steps, (uint64_t)steps_size, &p, &end);
    if (status == FE_OK) {
        *length = end - p;
        if (*length && *length <= capacity) memcpy(bytes, p, (size_t)*length);
    }
    fe_normal_clear(&n);
    return status;
}
