/* normal_charsmap.c: strings that are replaced by a table, as SentencePiece's models bring it with them.
 *
 * The table is a double array of Darts: a unit says by which byte it is reached, where its children are, and whether a
 * string ends there; then the child by NUL has the place of its replacement, which ends with NUL. In the step `from` is
 * 128 bits, with which ASCII characters a string begins that is only this one or has ASCII behind it, and the units;
 * `to` the replacements.
 *
 * Hugging Face's engine reads a text by its grapheme clusters. One of less than six bytes is looked up as a whole, and
 * in its place comes what stands for the shortest string that it begins with; else each character is looked up by
 * itself. SentencePiece (FE_CHARSMAP_LONGEST) takes the longest string at each place. */
#include <string.h>

#include "mem.h"
#include "normal.h"
#include "unicode_graphemes.h"
#include "utf8.h"

enum { SMALL = 6, MAP = 16, MOST_KEY_BYTES = 4096 }; /* the last: so a walk ends where units lead in circles, too */

#define LEAF (UINT32_C(1) << 31)
#define ONES UINT64_C(0x0101010101010101)

typedef struct charsmap {
    const uint8_t *units; /* not aligned */
    uint64_t count;
    const uint8_t *texts;
    uint64_t size;
    uint32_t ascii[4];
} charsmap;

static charsmap charsmap_of(const fe_norm_step *step) {
    charsmap m = {step->from + MAP, (step->head.from_size - MAP) / sizeof(uint32_t), step->to, step->head.to_size, {0}};
    memcpy(m.ascii, step->from, sizeof m.ascii);
    return m;
}

/* ------------------------------------------------------------------ the double array */

static inline uint32_t unit_at(const charsmap *m, uint64_t place) {
    uint32_t unit;
    memcpy(&unit, m->units + place * sizeof unit, sizeof unit);
    return unit;
}

static inline uint32_t children_of(uint32_t unit) { return unit >> 10 << ((unit & UINT32_C(1) << 9) >> 6); }

static inline bool ends_here(uint32_t unit) { return unit >> 8 & 1; }

/* Goes on by a byte from the place of a node's children. False: no string goes on so. */
static inline bool step_by(const charsmap *m, uint64_t *place, uint8_t byte, bool *ends) {
    const uint64_t child = *place ^ byte;
    if (!byte || child >= m->count) return false;
    const uint32_t unit = unit_at(m, child);
    if ((unit & (LEAF | 0xFF)) != byte) return false;
    *place = child ^ children_of(unit);
    *ends = ends_here(unit);
    return true;
}

/* The bytes of the character at p, and how many: those of U+FFFD where it is none. */
static inline const uint8_t *char_at(const uint8_t *p, const uint8_t *end, int32_t *length, int32_t *size) {
    static const uint8_t unknown[3] = {0xEF, 0xBF, 0xBD};
    uint32_t code;
    *size = *length = *p < 0x80 ? 1 : fe_utf8_read(p, end, &code);
    if (*length > 1 || *p < 0x80) return p;
    *size = 3;
    return unknown;
}

/* True if a string begins at p: *past receives its end and *place where its replacement is: of the shortest string, or
 * of the longest. */
static bool match(const charsmap *m, const uint8_t *p, const uint8_t *end, bool longest, const uint8_t **past,
                  uint32_t *place) {
    uint64_t node = children_of(unit_at(m, 0));
    bool found = false;
    const uint8_t *const last = end - p > MOST_KEY_BYTES ? p + MOST_KEY_BYTES : end;
    for (int32_t length, size; p < last; p += length) {
        const uint8_t *const bytes = char_at(p, end, &length, &size);
        bool ends = false;
        for (int32_t i = 0; i < size; i++) {
            if (!step_by(m, &node, bytes[i], &ends)) return found;
            if (!ends || node >= m->count) continue;
            *place = unit_at(m, node) & (LEAF - 1);
            *past = p + length; /* strings end where characters do, but in tables that nobody makes */
            found = true;
            if (!longest) return true;
        }
    }
    return found;
}

/* ------------------------------------------------------------------ what is a table */

static bool begins_in_ascii(const charsmap *m, uint8_t byte) {
    uint64_t node = children_of(unit_at(m, 0)), child;
    bool ends, behind;
    if (!step_by(m, &node, byte, &ends)) return false;
    for (uint8_t next = 1; next < 128 && !ends; next++) {
        child = node;
        ends = step_by(m, &child, next, &behind);
    }
    return ends;
}

static uint64_t text_size(const charsmap *m, uint64_t place) {
    const uint8_t *const end = memchr(m->texts + place, 0, m->size - place);
    return end ? (uint64_t)(end - (m->texts + place)) : m->size - place;
}

uint64_t fe_charsmap_growth(const fe_norm_step *step) {
    const fe_norm_head *const h = &step->head;
    if (h->flags & ~FE_CHARSMAP_LONGEST || h->from_size < MAP + sizeof(uint32_t) || h->from_size % sizeof(uint32_t))
        return 0;
    const charsmap m = charsmap_of(step);
    for (uint8_t byte = 0; byte < 128; byte++)
        if ((m.ascii[byte / 32] >> byte % 32 & 1) != begins_in_ascii(&m, byte)) return 0;
    uint64_t most = 1, last = UINT64_MAX, size = 0;
    for (uint64_t i = 0; i < m.count; i++) { /* whether or not a unit is reached */
        const uint32_t unit = unit_at(&m, i);
        if (unit & LEAF || !ends_here(unit)) continue;
        const uint64_t leaf = i ^ children_of(unit);
        const uint64_t place = leaf < m.count ? unit_at(&m, leaf) & (LEAF - 1) : m.size;
        if (place >= m.size || (m.texts[place] & 0xC0) == 0x80) return 0;
        if (place != last) size = text_size(&m, place);
        if (size > FE_MAX_GROWTH) return 0;
        last = place;
        most = size > most ? size : most;
    }
    return most;
}

/* ------------------------------------------------------------------ grapheme clusters */

enum { OTHER, CR, LF, CONTROL, EXTEND, ZWJ, REGIONAL, PREPEND, SPACING, L, V, T, LV, LVT };
enum { PICTOGRAPH = 16, CONSONANT = 32, LINKER = 64, CONJUNCT = 128 }; /* CONJUNCT: it may stand beside a linker */

static inline uint8_t kind_of(uint32_t code) {
    enum { BLOCK = sizeof grapheme_blocks[0] };
    return grapheme_blocks[grapheme_index[code / BLOCK]][code % BLOCK];
}

/* What a cluster is so far. */
typedef struct cluster {
    uint8_t last;      /* the class of its last character */
    bool half;         /* a regional indicator without another */
    bool pictograph;   /* a pictograph, and nothing but what extends it, and perhaps a joiner */
    bool letter, tied; /* a consonant, and nothing but what goes into a conjunct; with a linker */
} cluster;

static inline bool is_control(uint8_t class) { return class == CR || class == LF || class == CONTROL; }

/* True if a cluster goes on with a character. */
static bool goes_on(const cluster *c, uint8_t kind) {
    const uint8_t class = kind & 15, last = c->last;
    if (last == CR && class == LF) return true;
    if (is_control(last) || is_control(class)) return false;
    if (class == EXTEND || class == ZWJ || class == SPACING || last == PREPEND) return true;
    if (last == L && (class == L || class == V || class == LV || class == LVT)) return true;
    if (((last == LV || last == V) && (class == V || class == T)) || ((last == LVT || last == T) && class == T))
        return true;
    if (last == ZWJ && kind & PICTOGRAPH && c->pictograph) return true;
    return (kind & CONSONANT && c->tied) || (class == REGIONAL && c->half);
}

static void take_in(cluster *c, uint8_t kind) {
    const uint8_t class = kind & 15;
    c->half = class == REGIONAL && !c->half;
    const bool extends = (class == EXTEND || class == ZWJ) && c->last != ZWJ; /* one joiner, and it comes last */
    c->pictograph = kind & PICTOGRAPH || (c->pictograph && extends);
    const bool part = kind & (LINKER | CONJUNCT);
    c->tied = !(kind & CONSONANT) && c->letter && part && (kind & LINKER || c->tied);
    c->letter = kind & CONSONANT || (c->letter && part);
    c->last = class;
}

/* The end of the cluster that begins at p. */
static const uint8_t *cluster_end(const uint8_t *p, const uint8_t *end) {
    cluster c = {CONTROL, false, false, false, false};
    uint32_t code;
    for (bool first = true; p < end; first = false) {
        const int32_t length = fe_utf8_read(p, end, &code);
        const uint8_t kind = kind_of(code);
        if (!first && !goes_on(&c, kind)) break;
        take_in(&c, kind);
        p += length;
    }
    return p;
}

/* ------------------------------------------------------------------ looking, and replacing */

/* True if no string begins with an ASCII character before another. */
static inline bool is_plain(const charsmap *m, uint8_t byte, uint8_t next) {
    return (byte | next) < 0x80 && !(m->ascii[byte / 32] >> byte % 32 & 1);
}

/* Of eight bytes, whether each is printable ASCII. */
static inline bool is_printable(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    const uint64_t below = word - 0x20 * ONES, del = (word ^ 0x7F * ONES) - ONES;
    return !((word | below | del) & 0x80 * ONES); /* a borrow only adds bits above a byte that is found already */
}

/* The first place from p on that is not between two ASCII characters with the first of which no string begins. */
static const uint8_t *skip_plain(const charsmap *m, const uint8_t *p, const uint8_t *end) {
    const bool controls_only = !(m->ascii[1] | m->ascii[2] | (m->ascii[3] & ~LEAF));
    while (controls_only && end - p > 8 && is_printable(p)) p += 7; /* the eighth has nothing behind it */
    while (end - p > 1 && is_plain(m, *p, p[1])) p++;
    return p;
}

static const uint8_t *find_charsmap(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    const charsmap m = charsmap_of(step);
    const uint8_t *past;
    uint32_t place, code;
    while (p < end) {
        p = skip_plain(&m, p, end);
        if (match(&m, p, end, false, &past, &place)) return p;
        p += *p < 0x80 ? 1 : fe_utf8_read(p, end, &code);
    }
    return end;
}

static fe_status add_text(const charsmap *m, uint32_t place, fe_buffer *out) {
    return fe_buffer_add(out, m->texts + place, (int64_t)text_size(m, place));
}

/* Replaces what there is to replace in one cluster, or copies it. */
static fe_status write_cluster(const charsmap *m, const uint8_t *p, const uint8_t *end, fe_buffer *out) {
    const uint8_t *past;
    uint32_t place;
    int32_t length, size, all = 0;
    fe_status status = FE_OK;
    for (const uint8_t *q = p; q < end && all < SMALL; q += length, all += size) (void)char_at(q, end, &length, &size);
    if (all < SMALL && match(m, p, end, false, &past, &place)) return add_text(m, place, out);
    for (; p < end && status == FE_OK; p += length) {
        (void)char_at(p, end, &length, &size);
        const bool found = match(m, p, p + length, false, &past, &place);
        status = found ? add_text(m, place, out) : fe_buffer_add(out, p, length);
    }
    return status;
}

static fe_status write_longest(const charsmap *m, const uint8_t *p, const uint8_t *end, fe_buffer *out,
                               const uint8_t **past) {
    uint32_t place, code;
    if (match(m, p, end, true, past, &place)) return add_text(m, place, out);
    *past = p + fe_utf8_read(p, end, &code);
    return fe_buffer_add(out, p, *past - p);
}

/* The last place up to `at` at which a cluster surely begins: between two ASCII characters. */
static const uint8_t *border_before(const uint8_t *p, const uint8_t *at) {
    while (at > p && ((at[-1] | *at) >= 0x80 || *at == '\n')) at--;
    return at;
}

static fe_status apply_charsmap(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                                const uint8_t *at, fe_buffer *out) {
    const charsmap m = charsmap_of(step);
    const bool longest = step->head.flags & FE_CHARSMAP_LONGEST;
    const uint8_t *from = p;
    fe_status status = FE_OK;
    (void)n;
    for (p = longest ? at : border_before(p, at); p < end && status == FE_OK; from = p) {
        p = skip_plain(&m, p, end);
        status = fe_buffer_add(out, from, p - from);
        if (status != FE_OK || p == end) break;
        const uint8_t *past = longest ? p : cluster_end(p, end);
        status = longest ? write_longest(&m, p, end, out, &past) : write_cluster(&m, p, past, out);
        p = past;
    }
    return status == FE_OK && from < end ? fe_buffer_add(out, from, end - from) : status;
}

const fe_norm_row fe_norm_charsmap = {find_charsmap, apply_charsmap, true};

/* ------------------------------------------------------------------ unit by unit */

fe_charsmap_unit fe_charsmap_next(const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                                  const uint8_t **bound) {
    const charsmap m = charsmap_of(step);
    int32_t length, size, all = 0;
    uint32_t place;
    fe_charsmap_unit unit = {.replaced = false};
    if (p == *bound) {
        unit.past = *bound = skip_plain(&m, p, end);
        if (unit.past > p) return unit;
        *bound = cluster_end(p, end);
        for (const uint8_t *q = p; q < *bound && all < SMALL; q += length, all += size)
            (void)char_at(q, end, &length, &size);
        unit.replaced = all < SMALL && match(&m, p, *bound, false, &unit.past, &place);
        if (unit.replaced) unit.past = *bound;
    }
    if (!unit.replaced) {
        (void)char_at(p, end, &length, &size);
        unit.replaced = match(&m, p, p + length, false, &unit.past, &place);
        unit.past = p + length;
    }
    if (!unit.replaced) return unit;
    unit.text = m.texts + place;
    unit.size = (int64_t)text_size(&m, place);
    return unit;
}
