/* align_form.c: the places of characters in NFC, NFD, NFKC and NFKD.
 *
 * Each character takes one of those before, and as many more as it was composed of; one that a decomposition added
 * takes none. Which ones they are is a matter of their order alone, so marks that change places change theirs, too.
 */
#include <string.h>

#include "align.h"
#include "mem.h"
#include "traits.h"
#include "utf8.h"

enum { FEW = 24 }; /* marks that are ordered one by one */

static inline uint32_t code_of(uint32_t part) { return part & FE_PART_CODE; }

static inline uint32_t class_of(uint32_t part) { return part >> FE_PART_COMBINING; }

/* A text on its way. */
typedef struct forming {
    fe_aligner *a;
    const fe_aligned *in;
    fe_aligning *out;
    int64_t at; /* the next character of the old text */
    bool compat, composes;
} forming;

/* Both have as much room. */
static fe_status more_parts(fe_aligner *a) {
    const int64_t least = a->parts_count + 1;
    int64_t sorted_room = a->parts_room;
    const bool grown = fe_grow(&a->sorted, &sorted_room, least, sizeof *a->sorted) &&
                       fe_grow(&a->parts, &a->parts_room, least, sizeof *a->parts);
    return grown ? FE_OK : FE_NO_MEMORY;
}

/* Orders marks by their classes; those of one class stay in their order. The time is linear. */
static void order_marks(fe_form_part *parts, fe_form_part *sorted, int64_t count) {
    if (count <= FEW) {
        for (int64_t i = 1; i < count; i++) {
            const fe_form_part part = parts[i];
            int64_t j = i;
            for (; j > 0 && class_of(parts[j - 1].part) > class_of(part.part); j--) parts[j] = parts[j - 1];
            parts[j] = part;
        }
        return;
    }
    int64_t places[257] = {0};
    for (int64_t i = 0; i < count; i++) places[class_of(parts[i].part) + 1]++;
    for (int i = 1; i < 257; i++) places[i] += places[i - 1];
    for (int64_t i = 0; i < count; i++) sorted[places[class_of(parts[i].part)]++] = parts[i];
    memcpy(parts, sorted, (size_t)count * sizeof *parts);
}

static void order_parts(fe_aligner *a) {
    for (int64_t i = 0, first; i < a->parts_count; i++) {
        for (first = i; i < a->parts_count && class_of(a->parts[i].part); i++) {}
        if (i - first > 1) order_marks(a->parts + first, a->sorted, i - first);
    }
}

/* As normal_form.c composes; what a character is composed of is taken from its number. */
static void compose_parts(fe_aligner *a) {
    fe_form_part *const parts = a->parts;
    int64_t kept = 0, first = -1, between = -1;
    for (int64_t i = 0; i < a->parts_count; i++) {
        const fe_form_part part = parts[i];
        const uint32_t class = class_of(part.part);
        if (first >= 0 && part.part & FE_PART_SECOND && between < (int64_t)class) {
            const uint32_t made = fe_compose(code_of(parts[first].part), code_of(part.part));
            if (made) {
                parts[first] = (fe_form_part){made, parts[first].more + part.more - 1};
                continue;
            }
        }
        if (class == 0) first = kept;
        between = class == 0 ? -1 : (int64_t)class;
        parts[kept++] = part;
    }
    a->parts_count = kept;
}

static fe_status flush(forming *f) {
    fe_aligner *const a = f->a;
    fe_status status = FE_OK;
    order_parts(a);
    if (f->composes) compose_parts(a);
    for (int64_t i = 0; i < a->parts_count && status == FE_OK; i++) {
        uint8_t bytes[4];
        const int32_t size = fe_utf8_write(bytes, code_of(a->parts[i].part)), more = a->parts[i].more;
        const int64_t owner = more <= 0 ? f->at : f->at ? f->at - 1 : 0;
        status = fe_align_put(f->out, bytes, size, fe_span_of(f->in, owner));
        if (more <= 0) f->at += 1 - more;
    }
    a->parts_count = 0;
    return status;
}

static fe_status add_part(forming *f, uint32_t part, int32_t more) {
    fe_aligner *const a = f->a;
    fe_status status = FE_OK;
    const bool reaches = class_of(part) || (f->composes && part & FE_PART_SECOND);
    if (!reaches && a->parts_count) status = flush(f);
    if (status == FE_OK && a->parts_count == a->parts_room) status = more_parts(a);
    if (status == FE_OK) a->parts[a->parts_count++] = (fe_form_part){part, more};
    return status;
}

static fe_status add_character(forming *f, uint32_t code) {
    const fe_trait *const r = fe_trait_of(code);
    const uint32_t syllable = code - FE_HANGUL;
    if (syllable < FE_HANGULS) {
        const uint32_t l = FE_JAMO_L + syllable / (FE_JAMO_VS * FE_JAMO_TS), t = FE_JAMO_T + syllable % FE_JAMO_TS;
        const uint32_t v = FE_JAMO_V + syllable / FE_JAMO_TS % FE_JAMO_VS;
        fe_status status = add_part(f, l, 0);
        if (status == FE_OK) status = add_part(f, v | FE_PART_SECOND, 1);
        if (status == FE_OK && t > FE_JAMO_T) status = add_part(f, t | FE_PART_SECOND, 1);
        return status;
    }
    const uint32_t size = f->compat ? r->compat_size : r->canon_size;
    const uint32_t *const parts = fe_trait_strings + (f->compat ? r->compat : r->canon);
    if (!size) {
        const uint32_t second = r->flags & FE_TRAIT_SECOND ? FE_PART_SECOND : 0;
        return add_part(f, (uint32_t)r->combining << FE_PART_COMBINING | second | code, 0);
    }
    fe_status status = FE_OK;
    for (uint32_t i = 0; i < size && status == FE_OK; i++) status = add_part(f, parts[i], i > 0);
    return status;
}

fe_status fe_align_form(fe_aligner *a, const fe_norm_step *step, const fe_aligned *in, fe_aligning *out) {
    const uint8_t kind = step->head.kind;
    forming f = {.a = a, .in = in, .out = out};
    f.compat = kind == FE_NORM_NFKC || kind == FE_NORM_NFKD;
    f.composes = kind == FE_NORM_NFC || kind == FE_NORM_NFKC;
    fe_status status = FE_OK;
    uint32_t code;
    a->parts_count = 0;
    for (const uint8_t *p = in->p; p < in->end && status == FE_OK;) {
        p += fe_utf8_read(p, in->end, &code);
        status = add_character(&f, code);
    }
    return status == FE_OK ? flush(&f) : status;
}
