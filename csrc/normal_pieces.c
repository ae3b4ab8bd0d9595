/* normal_pieces.c: what SentencePiece makes of a text before it is cut: at each place the longest user-defined symbol,
 * which stays as it is, or else the longest rule of a charsmap; and white space.
 *
 * A charsmap is the size of a double array, the double array, and the texts that rules give, each ended by a NUL. A
 * unit of the array is 32 bits: see fe_offset_of and fe_label_of. Nothing says that a unit leads to one that is there,
 * so that is asked at each step.
 */
#include <string.h>

#include "hash.h"
#include "mem.h"
#include "normal.h"
#include "normal_pieces.h"
#include "utf8.h"

enum { MOST_KEY_BYTES = 4096 }; /* of a key: so a walk ends in an array whose units lead in circles, too */
enum { PLAIN_BYTES = 16 }; /* bits for the ASCII characters behind which, if ASCII follows, nothing is looked for */

static const uint8_t mark[3] = {0xE2, 0x96, 0x81}, replacement[3] = {0xEF, 0xBF, 0xBD};

typedef struct fe_rules {
    fe_array symbols, charsmap;
    const uint8_t *texts, *plain;
    uint32_t texts_size;
    uint8_t flags;
    bool printable; /* all of ASCII but its controls is plain */
} fe_rules;

static inline uint32_t load(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* The length of the longest key at p, 0 if none is there; *value receives what it has. */
static int64_t longest(fe_array a, const uint8_t *p, const uint8_t *end, uint32_t *value) {
    int64_t found = 0;
    if (!a.count) return 0;
    if (end - p > MOST_KEY_BYTES) end = p + MOST_KEY_BYTES;
    uint32_t place = fe_offset_of(fe_unit_at(a, 0));
    for (const uint8_t *q = p; q < end && *q; q++) { /* no key has a NUL, which would lead from a root to itself */
        place ^= *q;
        if (place >= a.count) break;
        const uint32_t unit = fe_unit_at(a, place);
        if (fe_label_of(unit) != *q) break;
        place ^= fe_offset_of(unit);
        if (unit & 1u << 8 && place < a.count) {
            found = q + 1 - p;
            *value = fe_unit_at(a, place) & ~(1u << 31);
        }
    }
    return found;
}

/* True if nothing begins at any character from the space on but DEL. */
static bool is_all_printable(const uint8_t *plain) {
    for (int i = ' ' / 8; i < PLAIN_BYTES; i++)
        if ((plain[i] | (i == PLAIN_BYTES - 1) << 7) != 0xFF) return false;
    return true;
}

static fe_rules rules_of(const fe_norm_step *s) {
    const uint32_t size = s->head.from_size ? load(s->from) : 0;
    return (fe_rules){
        .symbols = {s->to + PLAIN_BYTES, (s->head.to_size - PLAIN_BYTES) / 4},
        .charsmap = {s->from + 4, size / 4},
        .texts = s->from + 4 + size,
        .texts_size = s->head.from_size ? s->head.from_size - 4 - size : 0,
        .plain = s->to,
        .flags = s->head.flags,
        .printable = is_all_printable(s->to),
    };
}

void fe_pieces_arrays(const fe_norm_step *step, fe_array arrays[2]) {
    const fe_rules r = rules_of(step);
    arrays[0] = r.symbols;
    arrays[1] = r.charsmap;
}

/* How many times as long as before a text may become; 0: the step is none. */
uint64_t fe_norm_pieces_growth(const fe_norm_step *s) {
    const fe_norm_head *const h = &s->head;
    if (h->flags & ~FE_PIECES_FLAGS || h->to_size < PLAIN_BYTES || h->to_size % 4) return 0;
    if (!h->from_size) return 3;
    if (h->from_size < 4 || load(s->from) % 4 || load(s->from) > h->from_size - 4) return 0;
    const fe_rules r = rules_of(s);
    if (r.texts_size && r.texts[r.texts_size - 1]) return 0;
    uint64_t most = 1;
    for (uint32_t at = 0, from = 0; at < r.texts_size; at++)
        if (!r.texts[at]) {
            most = at - from > most ? at - from : most;
            from = at + 1;
        }
    return 3 * most; /* each may be a space, and that a mark */
}

/* A text that is being written. */
typedef struct fe_written {
    const fe_rules *rules;
    const fe_still *still; /* or NULL */
    fe_buffer *out;
    bool trims, behind; /* the spaces that follow go */
} fe_written;

static inline void put_space(fe_written *w) {
    fe_buffer *const out = w->out;
    if (w->rules->flags & FE_PIECES_MARKS) {
        memcpy(out->bytes + out->size, mark, 3);
        out->size += 3;
    } else {
        out->bytes[out->size++] = ' ';
    }
}

/* Writes what some text becomes, without the spaces at its start if one stands before it. */
static fe_status put(fe_written *w, const uint8_t *p, const uint8_t *end) {
    for (; w->behind && p < end && *p == ' '; p++) continue;
    if (p == end) return FE_OK;
    const fe_status status = fe_buffer_room(w->out, 3 * (end - p));
    if (status != FE_OK) return status;
    w->behind = w->trims && end[-1] == ' ';
    for (; p < end; p++)
        if (*p == ' ')
            put_space(w);
        else
            w->out->bytes[w->out->size++] = *p;
    return status;
}

/* What the text at p begins with once it is normalized: [*from, *to). Returns how many bytes of the text that is. */
static int64_t first_of(const fe_rules *r, const uint8_t *p, const uint8_t *end, const uint8_t **from,
                        const uint8_t **to) {
    uint32_t value = 0, code;
    int64_t size = longest(r->symbols, p, end, &value);
    *from = p;
    *to = p + size;
    if (size) return size;
    size = longest(r->charsmap, p, end, &value);
    if (size && value < r->texts_size && (r->texts[value] & 0xC0) != 0x80) { /* else the charsmap is damaged */
        *from = r->texts + value;
        *to = *from + strlen((const char *)*from);
        return size;
    }
    size = fe_utf8_read(p, end, &code);
    *to = p + size;
    if (size == 1 && *p >= 0x80) {
        *from = replacement;
        *to = replacement + 3;
    }
    return size;
}

bool fe_pieces_blanks(const fe_norm_step *step, uint8_t byte) {
    const fe_rules r = rules_of(step);
    const uint8_t *from, *to;
    (void)first_of(&r, &byte, &byte + 1, &from, &to);
    return to - from == 1 && *from == ' ';
}

/* True if nothing begins at an ASCII character behind which is ASCII, or the end. */
static inline bool is_plain(const fe_rules *r, uint8_t byte) { return r->plain[byte >> 3] >> (byte & 7) & 1; }

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The highest bit of each of eight bytes at which nothing may stand that is copied: of what is no ASCII from the space
 * on, and of those at which something begins if ASCII follows. */
static inline uint64_t not_plain(const fe_rules *r, uint64_t x) {
    const uint64_t low = x & EACH(0x7F);
    uint64_t bits = (x | ~(low + EACH(0x60)) | (low + EACH(1))) & EACH(0x80);
    for (int i = 0; i < 64 && !r->printable; i += 8) bits |= (uint64_t)!is_plain(r, low >> i & 0xFF) << (i + 7);
    return bits;
}

/* Copies plain bytes, eight at a time, up to the first at which something else may have to be done: spaces that go, and
 * what stands before something that is no ASCII. Bytes behind it are written as well. */
static const uint8_t *put_eights(fe_written *w, const uint8_t *p, const uint8_t *end) {
    uint8_t *to = w->out->bytes + w->out->size;
    const uint64_t trims = w->trims ? EACH(0x80) : 0;
    uint64_t behind = w->behind ? 0x80 : 0, stop = 0;
    for (uint64_t x; !stop && end - p > 8;) {
        memcpy(&x, p, 8);
        const uint64_t spaces = ~(((x ^ EACH(' ')) & EACH(0x7F)) + EACH(0x7F)) & ~x & trims;
        stop = not_plain(w->rules, x) | (spaces & (spaces << 8 | behind)) | (x & EACH(0x80)) >> 8 |
               (uint64_t)(p[8] & 0x80) << 56;
        const int taken = stop ? __builtin_ctzll(stop) >> 3 : 8;
        memcpy(to, &x, 8);
        behind = taken ? spaces >> 8 * (taken - 1) & 0x80 : behind;
        to += taken;
        p += taken;
    }
    w->out->size = to - w->out->bytes;
    w->behind = behind;
    return p;
}

/* True if a character is a space, or becomes one, and nothing longer begins at it if ASCII follows. */
static inline bool is_blank(const fe_written *w, uint8_t byte) {
    return byte == ' ' ? is_plain(w->rules, byte) : w->still && w->still->blanks[byte >> 3] >> (byte & 7) & 1;
}

/* The end of a run of spaces at p behind which, too, ASCII follows. */
static const uint8_t *skip_spaces(const uint8_t *p, const uint8_t *end) {
    for (uint64_t x; end - p > 8 && p[8] < 0x80; p += 8) {
        memcpy(&x, p, 8);
        if (x != EACH(' ')) break;
    }
    while (p < end && *p == ' ' && (p + 1 == end || p[1] < 0x80)) p++;
    return p;
}

/* Writes the plain characters at p, and blanks, and returns where others begin. There is room for three bytes each. */
static const uint8_t *put_plain(fe_written *w, const uint8_t *p, const uint8_t *end) {
    const uint16_t one = 1;
    uint8_t low; /* 1 where the first byte in memory is the lowest one of a number */
    memcpy(&low, &one, 1);
    const bool eights = low && !(w->rules->flags & FE_PIECES_MARKS), spaces = w->trims && is_blank(w, ' ');
    while (p < end) {
        if (eights) p = put_eights(w, p, end);
        if (*p >= 0x80 || (p + 1 < end && p[1] >= 0x80)) break;
        if (is_blank(w, *p)) {
            if (!w->behind) put_space(w);
            w->behind = w->trims;
            p = spaces ? skip_spaces(p + 1, end) : p + 1;
        } else if (is_plain(w->rules, *p)) {
            w->out->bytes[w->out->size++] = *p++;
            w->behind = false;
        } else {
            break;
        }
    }
    return p;
}

/* The first place from p on, up to `stop`, at which a character may not stay, or at which one of ASCII stands: but for
 * the first, of which that does not matter. */
static const uint8_t *still_end(const fe_still *still, const uint8_t *p, const uint8_t *stop, const uint8_t *end) {
    uint32_t code;
    int32_t length = fe_utf8_read(p, end, &code);
    uint8_t flags = fe_still_flags_of(still, code);
    do {
        const uint8_t *const next = p + length;
        if (flags & FE_STILL_ALONE || (length == 1 && *p >= 0x80)) return p;
        if (next >= end) return next;
        const uint8_t before = flags;
        length = fe_utf8_read(next, end, &code);
        flags = fe_still_flags_of(still, code);
        const bool good = length > 1 || *next < 0x80; /* bytes that are no character may be part of any string */
        if (before & FE_STILL_FIRST && (!good || flags & FE_STILL_SECOND)) return p;
        p = next;
    } while (p < stop && *p >= 0x80);
    return p;
}

/* Writes the characters from p on that surely stay, and returns where others begin. There is room for three bytes each,
 * and for one character more. */
static const uint8_t *put_still(fe_written *w, const uint8_t *p, const uint8_t *stop, const uint8_t *end) {
    if (!w->still || p >= stop) return p;
    const uint8_t *const to = still_end(w->still, p, stop, end);
    if (to == p) return p;
    if (*p == ' ') {
        if (!w->behind) put_space(w);
        w->behind = w->trims;
        p++;
    }
    if (p == to) return to;
    memcpy(w->out->bytes + w->out->size, p, (size_t)(to - p));
    w->out->size += to - p;
    w->behind = false;
    return to;
}

/* Takes the spaces off the end, and what stands for one. */
static void trim_end(const fe_rules *r, fe_buffer *out) {
    for (;;) {
        const uint8_t *const end = out->bytes + out->size;
        const bool spaced = r->flags & FE_PIECES_MARKS ? false : out->size && end[-1] == ' ';
        if (spaced)
            out->size--;
        else if (r->flags & FE_PIECES_ESCAPE && out->size >= 3 && memcmp(end - 3, mark, 3) == 0)
            out->size -= 3;
        else
            return;
    }
}

static fe_status write_all(fe_written *w, const uint8_t *p, const uint8_t *end) {
    enum { BLOCK = 1024 };
    const uint8_t *from, *to;
    fe_status status = FE_OK;
    while (p < end && status == FE_OK) {
        const uint8_t *const stop = end - p > BLOCK ? p + BLOCK : end;
        status = fe_buffer_room(w->out, 3 * BLOCK + 4);
        if (status != FE_OK) return status;
        for (const uint8_t *from_here = NULL; p < stop && p != from_here;) {
            from_here = p;
            p = put_still(w, put_plain(w, p, stop), stop, end);
        }
        if (p >= stop) continue;
        p += first_of(w->rules, p, end, &from, &to);
        status = put(w, from, to);
    }
    return status;
}

static const uint8_t *find(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    (void)step;
    (void)end;
    return p;
}

static fe_status apply(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                       const uint8_t *at, fe_buffer *out) {
    const fe_rules r = rules_of(step);
    const bool trims = r.flags & FE_PIECES_TRIM;
    fe_written w = {&r, n->still, out, trims, trims};
    const uint8_t *from, *to;
    (void)at;
    while (trims && p < end) {
        const int64_t size = first_of(&r, p, end, &from, &to);
        if (to - from != 1 || *from != ' ') break;
        p += size;
    }
    if (p == end) return FE_OK;
    fe_status status = fe_buffer_room(out, 3);
    if (status == FE_OK && r.flags & FE_PIECES_FRONT) put_space(&w);
    if (status == FE_OK) status = write_all(&w, p, end);
    if (status == FE_OK && trims) trim_end(&r, out);
    if (status == FE_OK && r.flags & FE_PIECES_BEHIND) {
        status = fe_buffer_room(out, 3);
        if (status == FE_OK) put_space(&w);
    }
    return status;
}

const fe_norm_row fe_norm_pieces = {find, apply, false};
