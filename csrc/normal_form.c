/* normal_form.c: NFC, NFD, NFKC and NFKD.
 *
 * Only a character that a form changes, that may become one with what stands before it, or whose class is lower than
 * that of the mark before it gives reason to do anything; in most texts there is none. Where one stands, what can
 * change with it is taken apart, ordered and, for NFC and NFKC, put together: from the last character before it that
 * nothing reaches across to the next one. What lies between is copied.
 */
#include <string.h>

#include "mem.h"
#include "normal.h"
#include "traits.h"
#include "utf8.h"

typedef struct form {
    uint16_t flags; /* the traits that give reason to do something */
    uint8_t lead;   /* no character that does begins with a lower byte */
    uint8_t bit;    /* of fe_block_reasons */
    bool compat, composes;
} form;

static const form forms[] = {
    [FE_NORM_NFC] = {FE_TRAIT_NFC | FE_TRAIT_SECOND, 0xCC, 1 << FE_NORM_NFC, false, true},
    [FE_NORM_NFD] = {FE_TRAIT_CANON, 0xC3, 1 << FE_NORM_NFD, false, false},
    [FE_NORM_NFKC] = {FE_TRAIT_NFKC | FE_TRAIT_SECOND, 0xC2, 1 << FE_NORM_NFKC, true, true},
    [FE_NORM_NFKD] = {FE_TRAIT_COMPAT, 0xC2, 1 << FE_NORM_NFKD, true, false},
};

enum {
    RAW = 0x110000, /* and above: bytes that are no UTF-8, as they are */
    FEW = 24        /* marks that are ordered one by one */
};

/* Nothing reaches across the place before a character like this. */
static inline bool is_border(const form *f, const fe_trait *r) { return !(r->flags & f->flags || r->combining); }

/* ------------------------------------------------------------------ looking */

#define ONES UINT64_C(0x0101010101010101)

/* True if the character at p, whose class the mark before it must not exceed, gives reason to do something. */
static inline bool is_reason(const form *f, const uint8_t *p, const uint8_t *end, uint32_t *class) {
    uint32_t code;
    if (*p < 0xF0 && end - p > 1) { /* the first bytes of up to U+FFFF say which block it is in, valid or not */
        const uint32_t block = *p < 0xE0 ? *p & 0x1Fu : (*p & 0x0Fu) << 6 | (p[1] & 0x3Fu);
        if (!(fe_block_reasons[block] & f->bit)) {
            *class = 0;
            return false;
        }
    }
    (void)fe_utf8_read(p, end, &code);
    const fe_trait *const r = fe_trait_of(code);
    const uint32_t before = *class;
    *class = r->combining;
    return r->flags & f->flags || (r->combining && r->combining < before);
}

/* Which of eight bytes, in the order of memory and lowest first, begin a character at or behind `lead`: by bit 7. */
static inline uint64_t leads(const uint8_t *p, uint8_t lead) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    /* Of bytes from 0x80 on: whether the lower seven bits reach those of the lead. */
    return ((word & 0x7F * ONES) + (0x100u - lead) * ONES) & word & 0x80 * ONES;
}

/* True if in [p, p + 64) no character begins at or behind `lead`: the highest byte begins the highest character. */
static inline bool is_below_64(const uint8_t *p, uint8_t lead) {
    uint8_t top = 0;
    for (int i = 0; i < 64; i++) top = p[i] > top ? p[i] : top; /* by vectors */
    return top < lead;
}

/* False if no character that begins in [p, p + 64) gives NFC a reason: each is ASCII, below U+0300, or one of the
 * commonest of some scripts. Plain loops over bytes, of which the compiler makes vectors; two bytes more are read. */
static inline __attribute__((always_inline)) bool may_change(const uint8_t *p) {
    uint8_t all = 1;
    for (int i = 0; i < 64; i++) {
        const uint8_t a = p[i], b = p[i + 1], c = p[i + 2];
        const uint8_t low = a < 0xCC, cyrillic = (uint8_t)(a - 0xD0) < 2, ideograph = (uint8_t)(a - 0xE4) < 6;
        const uint8_t dash = (a == 0xE2) & (b == 0x80) & (c >= 0x82); /* U+2002 to U+203F */
        const uint8_t comma = (b == 0x80) & (c < 0xAA);               /* U+3000 to U+3029 */
        const uint8_t kana = (b == 0x81) | (b == 0x83) | ((b == 0x82) & ((uint8_t)(c - 0x99) >= 2));
        const uint8_t wide = (a == 0xEF) & ((b & 0xFE) == 0xBC); /* U+FF00 to U+FF7F */
        all &= low | cyrillic | ideograph | dash | wide | ((a == 0xE3) & (comma | kana));
    }
    return !all;
}

static bool may_change_plain(const uint8_t *p) { return may_change(p); }

/* The same in wider vectors, where the processor has them. */
#if defined(__x86_64__)
static __attribute__((target("avx2"))) bool may_change_avx2(const uint8_t *p) { return may_change(p); }

static bool has_avx2(void) { return __builtin_cpu_supports("avx2"); }
#else
static bool may_change_avx2(const uint8_t *p) { return may_change(p); }

static bool has_avx2(void) { return false; }
#endif

static const uint8_t *find_form(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    const form *const f = &forms[step->head.kind];
    const bool is_nfc = step->head.kind == FE_NORM_NFC;
    bool (*const may_change_64)(const uint8_t *) = has_avx2() ? may_change_avx2 : may_change_plain;
    uint32_t class = 0; /* of the last character that was looked at; one between that has none changes nothing */
    while (end - p >= 66) {
        if (is_below_64(p, f->lead) || (is_nfc && !may_change_64(p))) {
            class = 0;
            p += 64;
            continue;
        }
        for (const uint8_t *const stop = p + 64; p < stop; p += 8)
            for (uint64_t mask = leads(p, f->lead); mask; mask &= mask - 1) {
                const uint8_t *const q = p + __builtin_ctzll(mask) / 8;
                if (is_reason(f, q, end, &class)) return q;
            }
    }
    for (; p < end; p++)
        if (*p >= f->lead && is_reason(f, p, end, &class)) return p;
    return end;
}

/* The last border at or behind p and before `at`; p where there is none. */
static const uint8_t *border_before(const form *f, const uint8_t *p, const uint8_t *at, const uint8_t *end) {
    while (at > p) {
        uint32_t code;
        at -= fe_utf8_before(p, at, end, &code);
        if (is_border(f, fe_trait_of(code))) break;
    }
    return at;
}

/* ------------------------------------------------------------------ a stretch between two borders */

static inline uint32_t code_of(uint32_t part) { return part & FE_PART_CODE; }

static inline uint32_t class_of(uint32_t part) { return part >> FE_PART_COMBINING; }

/* Both have as much room. */
static fe_status more_parts(fe_normal *n) {
    int64_t sorted_room = n->room;
    const bool grown = fe_grow(&n->sorted, &sorted_room, n->count + 1, sizeof *n->sorted) &&
                       fe_grow(&n->parts, &n->room, n->count + 1, sizeof *n->parts);
    return grown ? FE_OK : FE_NO_MEMORY;
}

/* Orders marks, parts[0] up to parts[count], by their classes; those of one class stay in their order. However many
 * there are, the time is linear. */
static void order_marks(uint32_t *parts, uint32_t *sorted, int64_t count) {
    if (count <= FEW) {
        for (int64_t i = 1; i < count; i++) {
            const uint32_t part = parts[i];
            int64_t j = i;
            for (; j > 0 && class_of(parts[j - 1]) > class_of(part); j--) parts[j] = parts[j - 1];
            parts[j] = part;
        }
        return;
    }
    int64_t places[257] = {0};
    for (int64_t i = 0; i < count; i++) places[class_of(parts[i]) + 1]++;
    for (int i = 1; i < 257; i++) places[i] += places[i - 1];
    for (int64_t i = 0; i < count; i++) sorted[places[class_of(parts[i])]++] = parts[i];
    memcpy(parts, sorted, (size_t)count * sizeof *parts);
}

static void order_parts(fe_normal *n) {
    for (int64_t i = 0, first; i < n->count; i++) {
        for (first = i; i < n->count && class_of(n->parts[i]); i++) {}
        if (i - first > 1) order_marks(n->parts + first, n->sorted, i - first);
    }
}

/* A character becomes one with the last one of class 0 before it, unless something between them, of class 0 or of its
 * own class or above, blocks it. */
static void compose_parts(fe_normal *n) {
    uint32_t *const parts = n->parts;
    int64_t kept = 0, first = -1, between = -1; /* between: the class of what was kept last behind `first`; -1: none */
    for (int64_t i = 0; i < n->count; i++) {
        const uint32_t part = parts[i], class = class_of(part);
        if (first >= 0 && part & FE_PART_SECOND && between < (int64_t)class) {
            const uint32_t made = fe_compose(code_of(parts[first]), code_of(part));
            if (made) {
                parts[first] = made;
                continue;
            }
        }
        if (class == 0) first = kept;
        between = class == 0 ? -1 : (int64_t)class;
        parts[kept++] = part;
    }
    n->count = kept;
}

static fe_status flush(fe_normal *n, const form *f, fe_buffer *out) {
    order_parts(n);
    if (f->composes) compose_parts(n);
    const fe_status status = fe_buffer_room(out, 4 * n->count);
    if (status != FE_OK) return status;
    for (int64_t i = 0; i < n->count; i++) {
        const uint32_t code = code_of(n->parts[i]);
        if (code >= RAW)
            out->bytes[out->size++] = (uint8_t)(code - RAW);
        else
            out->size += fe_utf8_write(out->bytes + out->size, code);
    }
    n->count = 0;
    return FE_OK;
}

static fe_status add_part(fe_normal *n, const form *f, uint32_t part, fe_buffer *out) {
    fe_status status = FE_OK;
    const bool reaches = class_of(part) || (f->composes && part & FE_PART_SECOND);
    if (!reaches && n->count) status = flush(n, f, out);
    if (status == FE_OK && n->count == n->room) status = more_parts(n);
    if (status == FE_OK) n->parts[n->count++] = part;
    return status;
}

static fe_status add_character(fe_normal *n, const form *f, uint32_t code, const fe_trait *r, fe_buffer *out) {
    const uint32_t syllable = code - FE_HANGUL;
    if (syllable < FE_HANGULS) {
        const uint32_t l = FE_JAMO_L + syllable / (FE_JAMO_VS * FE_JAMO_TS), t = FE_JAMO_T + syllable % FE_JAMO_TS;
        const uint32_t v = FE_JAMO_V + syllable / FE_JAMO_TS % FE_JAMO_VS;
        fe_status status = add_part(n, f, l, out);
        if (status == FE_OK) status = add_part(n, f, v | FE_PART_SECOND, out);
        if (status == FE_OK && t > FE_JAMO_T) status = add_part(n, f, t | FE_PART_SECOND, out);
        return status;
    }
    const uint32_t size = f->compat ? r->compat_size : r->canon_size;
    const uint32_t *const parts = fe_trait_strings + (f->compat ? r->compat : r->canon);
    fe_status status = FE_OK;
    if (!size) {
        const uint32_t second = r->flags & FE_TRAIT_SECOND ? FE_PART_SECOND : 0;
        return add_part(n, f, (uint32_t)r->combining << FE_PART_COMBINING | second | code, out);
    }
    for (uint32_t i = 0; i < size && status == FE_OK; i++) status = add_part(n, f, parts[i], out);
    return status;
}

/* Writes the stretch from *at, a border, past `reason` to the next border, at which *at is then. */
static fe_status write_stretch(fe_normal *n, const form *f, const uint8_t **at, const uint8_t *reason,
                               const uint8_t *end, fe_buffer *out) {
    const uint8_t *p = *at;
    fe_status status = FE_OK;
    n->count = 0;
    for (int32_t length; p < end && status == FE_OK; p += length) {
        uint32_t code;
        length = fe_utf8_read(p, end, &code);
        const fe_trait *const r = fe_trait_of(code);
        if (p > reason && is_border(f, r)) break;
        if (length == 1 && *p >= 0x80) code = RAW + *p;
        status = add_character(n, f, code, r, out);
    }
    *at = p;
    return status == FE_OK ? flush(n, f, out) : status;
}

static fe_status apply_form(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                            const uint8_t *at, fe_buffer *out) {
    const form *const f = &forms[step->head.kind];
    fe_status status = FE_OK;
    while (at < end && status == FE_OK) {
        const uint8_t *from = border_before(f, p, at, end);
        status = fe_buffer_add(out, p, from - p);
        if (status == FE_OK) status = write_stretch(n, f, &from, at, end, out);
        p = from;
        if (status == FE_OK) at = find_form(step, p, end);
    }
    return status == FE_OK ? fe_buffer_add(out, p, end - p) : status;
}

const fe_norm_row fe_norm_form = {find_form, apply_form, true};
