/* align.c: chains of steps, and those steps that act on characters and strings as they stand. */
#include "align.h"

#include <string.h>

#include "mem.h"
#include "traits.h"
#include "utf8.h"

void fe_aligner_clear(fe_aligner *a) {
    for (int i = 0; i < 2; i++) {
        free(a->text[i].text.bytes);
        free(a->text[i].spans);
    }
    free(a->parts);
    free(a->sorted);
}

fe_status fe_align_grow(fe_aligning *out) {
    return fe_grow(&out->spans, &out->room, out->count + 1, sizeof *out->spans) ? FE_OK : FE_NO_MEMORY;
}

fe_status fe_align_string(fe_aligning *out, const uint8_t *bytes, uint64_t size, fe_span span) {
    fe_status status = FE_OK;
    uint32_t code;
    const uint8_t *const end = bytes + size;
    for (int32_t length; bytes < end && status == FE_OK; bytes += length) {
        length = fe_utf8_read(bytes, end, &code);
        status = fe_align_put(out, bytes, length, span);
    }
    return status;
}

/* ------------------------------------------------------------------ each character by itself */

static const uint8_t space = ' ';

/* What a character becomes by a step of traits: it goes, becomes a space, or gets spaces around it. */
static fe_status put_mapped(enum fe_norm_kind kind, const uint8_t *p, int32_t length, uint16_t flags, fe_span span,
                            fe_aligning *out) {
    const uint16_t gone = kind == FE_NORM_STRIP_ACCENTS ? FE_TRAIT_MARK
                          : kind == FE_NORM_NMT         ? FE_TRAIT_NMT_GONE
                          : kind == FE_NORM_BERT_CLEAN  ? FE_TRAIT_BERT_GONE
                          : kind == FE_NORM_BERT_MARKS  ? FE_TRAIT_BERT_MARK
                                                        : 0;
    const uint16_t blank = kind == FE_NORM_NMT          ? FE_TRAIT_NMT_SPACE
                           : kind == FE_NORM_BERT_CLEAN ? FE_TRAIT_BERT_SPACE
                                                        : 0;
    if (flags & gone) return FE_OK;
    if (flags & blank) return fe_align_put(out, &space, 1, span);
    const bool around = kind == FE_NORM_BERT_CJK && flags & FE_TRAIT_BERT_CJK;
    fe_status status = around ? fe_align_put(out, &space, 1, span) : FE_OK;
    if (status == FE_OK) status = fe_align_put(out, p, length, span);
    return status == FE_OK && around ? fe_align_put(out, &space, 1, span) : status;
}

static fe_status put_lower(const uint8_t *p, int32_t length, const fe_trait *r, fe_span span, fe_aligning *out) {
    fe_status status = r->lower_size ? FE_OK : fe_align_put(out, p, length, span);
    for (uint32_t i = 0; i < r->lower_size && status == FE_OK; i++) {
        uint8_t bytes[4];
        const int32_t size = fe_utf8_write(bytes, fe_trait_strings[r->lower + i] & FE_PART_CODE);
        status = fe_align_put(out, bytes, size, span);
    }
    return status;
}

static fe_status align_characters(const fe_norm_step *step, const fe_aligned *in, fe_aligning *out) {
    fe_status status = FE_OK;
    uint32_t code;
    int64_t k = 0;
    for (const uint8_t *p = in->p; p < in->end && status == FE_OK; k++) {
        const int32_t length = fe_utf8_read(p, in->end, &code);
        const fe_trait *const r = fe_trait_of(code);
        const fe_span span = fe_span_of(in, k);
        if (step->head.kind == FE_NORM_LOWERCASE)
            status = put_lower(p, length, r, span, out);
        else
            status = put_mapped((enum fe_norm_kind)step->head.kind, p, length, r->flags, span, out);
        p += length;
    }
    return status;
}

/* ------------------------------------------------------------------ strings */

static inline bool is_white(uint32_t code) { return fe_trait_of(code)->flags & FE_TRAIT_WHITE; }

static fe_status align_strip(const fe_norm_step *step, const fe_aligned *in, fe_aligning *out) {
    const uint8_t *p = in->p, *end = in->end;
    fe_status status = FE_OK;
    uint32_t code;
    int64_t k = 0;
    for (int32_t length; step->head.flags & FE_STRIP_LEFT && p < end; p += length, k++) {
        length = fe_utf8_read(p, end, &code);
        if (!is_white(code)) break;
    }
    for (int32_t length; step->head.flags & FE_STRIP_RIGHT && end > p; end -= length) {
        length = fe_utf8_before(p, end, end, &code);
        if (!is_white(code)) break;
    }
    for (int32_t length; p < end && status == FE_OK; p += length, k++) {
        length = fe_utf8_read(p, end, &code);
        status = fe_align_put(out, p, length, fe_span_of(in, k));
    }
    return status;
}

static fe_status align_prepend(const fe_norm_step *step, const fe_aligned *in, fe_aligning *out) {
    const fe_norm_step none = {.head.flags = 0};
    const fe_status status = fe_align_string(out, step->to, step->head.to_size, fe_span_of(in, 0));
    return status == FE_OK ? align_strip(&none, in, out) : status;
}

/* The end of what is replaced at p, and in *chars how many characters that are; p: nothing is. */
static const uint8_t *match_at(const fe_norm_step *step, const uint8_t *p, const uint8_t *end, int64_t *chars) {
    const size_t size = step->head.from_size;
    const bool runs = step->head.kind == FE_NORM_RUNS;
    const uint8_t *q = p;
    uint32_t code;
    *chars = 0;
    if (!runs) {
        if (*p != *step->from || end - p < (int64_t)size || memcmp(p, step->from, size) != 0) return p;
        *chars = fe_chars_between(p, p + size);
        return p + size;
    }
    if (size && *p != *step->from) return p;
    for (int32_t length; q < end; q += length, ++*chars) {
        length = size ? (int32_t)size : fe_utf8_read(q, end, &code);
        if (size ? end - q < (int64_t)size || memcmp(q, step->from, size) != 0 : !is_white(code)) break;
    }
    return *chars >= step->head.least ? q : p;
}

/* Copies `chars` characters. */
static fe_status keep(const fe_aligned *in, const uint8_t **p, int64_t *k, int64_t chars, fe_aligning *out) {
    fe_status status = FE_OK;
    uint32_t code;
    for (; chars > 0 && status == FE_OK; chars--) {
        const int32_t length = fe_utf8_read(*p, in->end, &code);
        status = fe_align_put(out, *p, length, fe_span_of(in, (*k)++));
        *p += length;
    }
    return status;
}

/* What is put in the place of a match stands for its last character. */
static fe_status align_replace(const fe_norm_step *step, const fe_aligned *in, fe_aligning *out) {
    fe_status status = FE_OK;
    int64_t k = 0, chars;
    for (const uint8_t *p = in->p; p < in->end && status == FE_OK;) {
        const uint8_t *const past = match_at(step, p, in->end, &chars);
        if (past == p) { /* in a run that is too short none begins that is longer */
            status = keep(in, &p, &k, chars ? chars : 1, out);
            continue;
        }
        k += chars;
        status = fe_align_string(out, step->to, step->head.to_size, fe_span_of(in, k - 1));
        p = past;
    }
    return status;
}

/* ------------------------------------------------------------------ chains */

static fe_status align_step(fe_aligner *a, const fe_norm_step *step, const fe_aligned *in, fe_aligning *out) {
    switch ((enum fe_norm_kind)step->head.kind) {
    case FE_NORM_NFC:
    case FE_NORM_NFD:
    case FE_NORM_NFKC:
    case FE_NORM_NFKD: return fe_align_form(a, step, in, out);
    case FE_NORM_LOWERCASE:
    case FE_NORM_STRIP_ACCENTS:
    case FE_NORM_NMT:
    case FE_NORM_BERT_CLEAN:
    case FE_NORM_BERT_CJK:
    case FE_NORM_BERT_MARKS: return align_characters(step, in, out);
    case FE_NORM_STRIP: return align_strip(step, in, out);
    case FE_NORM_PREPEND: return align_prepend(step, in, out);
    case FE_NORM_REPLACE:
    case FE_NORM_RUNS: return align_replace(step, in, out);
    case FE_NORM_CHARSMAP:
        return step->head.flags & FE_CHARSMAP_LONGEST ? FE_BAD_MODEL : fe_align_charsmap(step, in, out);
    default: return FE_BAD_MODEL;
    }
}

/* True if a step surely leaves a text and its places alone. What a run becomes stands for its last character, even if
 * it is the run that was there: where that are several characters, places change and the text does not. */
static bool leaves(const uint8_t *step, uint64_t size, const fe_norm_head *head, const fe_aligned *text) {
    const bool runs = head->kind == FE_NORM_RUNS || head->kind == FE_NORM_REPLACE;
    return (!runs || head->to_size <= 1) && fe_normal_keeps(step, size, text->p, text->end);
}

fe_status fe_align(fe_aligner *a, const uint8_t *steps, uint64_t size, fe_aligned *text) {
    int into = 0;
    for (const uint8_t *at = steps; at < steps + size && text->p < text->end;) {
        const uint8_t *const first = at;
        const fe_norm_step step = fe_norm_next(&at);
        if (leaves(first, (uint64_t)(at - first), &step.head, text)) continue;
        fe_aligning *const out = &a->text[into];
        out->text.size = out->count = 0;
        fe_status status = out->text.bytes ? FE_OK : fe_buffer_grow(&out->text, text->end - text->p);
        if (status == FE_OK && !out->spans) status = fe_align_grow(out);
        if (status == FE_OK) status = align_step(a, &step, text, out);
        if (status != FE_OK) return status;
        memset(out->text.bytes + out->text.size, 0, FE_BEHIND);
        *text = (fe_aligned){out->text.bytes, out->text.bytes + out->text.size, out->spans, text->base};
        into = !into;
    }
    return FE_OK;
}
