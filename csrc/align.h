/* align.h: what a text becomes before it is cut, and of each of its characters which ones of the raw text it stands
 * for.
 *
 * The same chains of steps as normal.h has, run character by character: for calls that ask where tokens stand. What
 * each step says of places is the format's own engine's (docs/design/tokenizer_places.md). The text must be UTF-8.
 */
#ifndef FE_ALIGN_H
#define FE_ALIGN_H

#include "normal.h"

/* From which character of the raw text up to which one. */
typedef struct fe_span {
    int32_t start, end;
} fe_span;

/* A text, and for each of its characters what it stands for; NULL: for itself, where the first one is `base`. */
typedef struct fe_aligned {
    const uint8_t *p, *end;
    const fe_span *spans;
    int32_t base;
} fe_aligned;

/* A text that is being written. */
typedef struct fe_aligning {
    fe_buffer text;
    fe_span *spans;
    int64_t count, room;
} fe_aligning;

/* A character of a normal form: a fe_part, and 1 if its text has one character fewer, less the others it became one
 * with. */
typedef struct fe_form_part {
    uint32_t part;
    int32_t more;
} fe_form_part;

/* What aligning works with: all zero at first, freed by fe_aligner_clear. */
typedef struct fe_aligner {
    fe_aligning text[2];
    fe_form_part *parts, *sorted;
    int64_t parts_count, parts_room;
} fe_aligner;

void fe_aligner_clear(fe_aligner *a);

/* Runs a chain over *text, which is then in memory of the aligner wherever it changed, FE_BEHIND readable bytes behind
 * it. FE_BAD_MODEL: a step is of a kind whose places are not known here; FE_NO_MEMORY, FE_TOO_LONG. */
fe_status fe_align(fe_aligner *a, const uint8_t *steps, uint64_t size, fe_aligned *text);

/* What character k of a text stands for. */
static inline fe_span fe_span_of(const fe_aligned *text, int64_t k) {
    if (text->spans) return text->spans[k];
    const int32_t start = text->base + (int32_t)k;
    return (fe_span){start, start + 1};
}

/* How many characters there are. */
static inline int64_t fe_chars_between(const uint8_t *p, const uint8_t *end) {
    int64_t count = 0;
    for (; p < end; p++) count += (*p & 0xC0) != 0x80;
    return count;
}

/* Makes room for another character's place. */
fe_status fe_align_grow(fe_aligning *out);

/* Writes one character. */
static inline fe_status fe_align_put(fe_aligning *out, const uint8_t *bytes, int32_t size, fe_span span) {
    fe_status status = fe_buffer_room(&out->text, size);
    if (status == FE_OK && out->count == out->room) status = fe_align_grow(out);
    if (status != FE_OK) return status;
    for (int32_t i = 0; i < size; i++) out->text.bytes[out->text.size++] = bytes[i];
    out->spans[out->count++] = span;
    return FE_OK;
}

/* Writes all characters of a string, which stand for the same. */
fe_status fe_align_string(fe_aligning *out, const uint8_t *bytes, uint64_t size, fe_span span);

/* The steps that are files of their own. */
fe_status fe_align_form(fe_aligner *a, const fe_norm_step *step, const fe_aligned *in, fe_aligning *out);
fe_status fe_align_charsmap(const fe_norm_step *step, const fe_aligned *in, fe_aligning *out);

#endif
