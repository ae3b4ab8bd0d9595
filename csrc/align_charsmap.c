/* align_charsmap.c: the places of characters that a charsmap puts.
 *
 * Each new character takes the next old one; of a longer text the last ones take none and stand where the one before
 * does, of a shorter one the last takes the rest: the last that was put at all, if nothing is put now, and nobody
 * before the first.
 */
#include "align.h"
#include "utf8.h"

/* A text on its way. */
typedef struct mapping {
    const fe_aligned *in;
    fe_aligning *out;
    int64_t at;      /* the next character of the old text */
    bool took_none; /* the character that was put last */
} mapping;

/* Puts a text in the place of `old` characters. */
static fe_status put(mapping *m, int64_t old, const uint8_t *bytes, int64_t size) {
    const uint8_t *const end = bytes + size;
    fe_status status = FE_OK;
    int64_t place = 0;
    uint32_t code;
    for (int32_t length; bytes < end && status == FE_OK; bytes += length, place++) {
        length = fe_utf8_read(bytes, end, &code);
        m->took_none = place >= old;
        status = fe_align_put(m->out, bytes, length, fe_span_of(m->in, m->took_none ? m->at - 1 : m->at));
        m->at += !m->took_none;
    }
    const int64_t rest = old - place;
    if (status != FE_OK || rest <= 0 || !m->out->count) return status;
    if (m->took_none) m->out->spans[m->out->count - 1] = fe_span_of(m->in, m->at); /* now it takes some */
    m->took_none = false;
    m->at += rest;
    return status;
}

/* Characters that stay. */
static fe_status keep(mapping *m, const uint8_t *p, const uint8_t *end) {
    fe_status status = FE_OK;
    uint32_t code;
    for (int32_t length; p < end && status == FE_OK; p += length) {
        length = fe_utf8_read(p, end, &code);
        status = fe_align_put(m->out, p, length, fe_span_of(m->in, m->at++));
        m->took_none = false;
    }
    return status;
}

fe_status fe_align_charsmap(const fe_norm_step *step, const fe_aligned *in, fe_aligning *out) {
    mapping m = {.in = in, .out = out};
    const uint8_t *cluster = in->p;
    fe_status status = FE_OK;
    for (const uint8_t *p = in->p; p < in->end && status == FE_OK;) {
        const fe_charsmap_unit unit = fe_charsmap_next(step, p, in->end, &cluster);
        if (unit.replaced)
            status = put(&m, fe_chars_between(p, unit.past), unit.text, unit.size);
        else
            status = keep(&m, p, unit.past);
        p = unit.past;
    }
    return status;
}
