/* normal_text.c: steps that know strings: what is put before a text, taken from its ends, or put in the place of
 * something; and bytes written as characters. */
#include <string.h>

#include "mem.h"
#include "normal.h"
#include "traits.h"
#include "utf8.h"

static inline bool is_white(uint32_t code) { return fe_trait_of(code)->flags & FE_TRAIT_WHITE; }

/* ------------------------------------------------------------------ Strip, Prepend */

/* Where the text begins, or ends, without white space there. */
static const uint8_t *left_of(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    uint32_t code;
    if (!(step->head.flags & FE_STRIP_LEFT)) return p;
    for (int32_t length; p < end; p += length) {
        length = fe_utf8_read(p, end, &code);
        if (!is_white(code)) break;
    }
    return p;
}

static const uint8_t *right_of(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    uint32_t code;
    if (!(step->head.flags & FE_STRIP_RIGHT)) return end;
    for (int32_t length; end > p; end -= length) {
        length = fe_utf8_before(p, end, end, &code);
        if (!is_white(code)) break;
    }
    return end;
}

static const uint8_t *find_strip(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    return left_of(step, p, end) > p ? p : right_of(step, p, end);
}

static fe_status apply_strip(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                             const uint8_t *at, fe_buffer *out) {
    (void)n;
    (void)at;
    p = left_of(step, p, end);
    return fe_buffer_add(out, p, right_of(step, p, end) - p);
}

const fe_norm_row fe_norm_strip = {find_strip, apply_strip, false};

static const uint8_t *find_prepend(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    (void)step;
    (void)end;
    return p;
}

static fe_status apply_prepend(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                               const uint8_t *at, fe_buffer *out) {
    (void)n;
    (void)at;
    const fe_status status = fe_buffer_add(out, step->to, step->head.to_size);
    return status == FE_OK ? fe_buffer_add(out, p, end - p) : status;
}

const fe_norm_row fe_norm_prepend = {find_prepend, apply_prepend, true};

/* ------------------------------------------------------------------ Replace */

/* A string begins nowhere inside a character, so no match does. */
static const uint8_t *find_replace(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    const size_t size = step->head.from_size;
    while (end - p >= (int64_t)size && (p = memchr(p, *step->from, (size_t)(end - p) - size + 1))) {
        if (memcmp(p, step->from, size) == 0) return p;
        p++;
    }
    return end;
}

static fe_status apply_replace(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                               const uint8_t *at, fe_buffer *out) {
    fe_status status = FE_OK;
    (void)n;
    while (at < end && status == FE_OK) {
        status = fe_buffer_add(out, p, at - p);
        if (status == FE_OK) status = fe_buffer_add(out, step->to, step->head.to_size);
        p = at + step->head.from_size;
        at = find_replace(step, p, end);
    }
    return status == FE_OK ? fe_buffer_add(out, p, end - p) : status;
}

const fe_norm_row fe_norm_replace = {find_replace, apply_replace, true};

/* ------------------------------------------------------------------ Replace of runs */

/* The end of the character at p if it is one that runs are made of; else p. */
static inline const uint8_t *in_run(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    const size_t size = step->head.from_size;
    uint32_t code;
    if (size) return end - p >= (int64_t)size && memcmp(p, step->from, size) == 0 ? p + size : p;
    const int32_t length = fe_utf8_read(p, end, &code);
    return is_white(code) ? p + length : p;
}

/* The end of the run at p if it is to be replaced by something else than it is; else NULL. *past receives its end. */
static const uint8_t *run_at(const fe_norm_step *step, const uint8_t *p, const uint8_t *end, const uint8_t **past) {
    const uint8_t *q = p;
    int64_t count = 0;
    for (const uint8_t *next; q < end && (next = in_run(step, q, end)) > q; q = next) count++;
    *past = q;
    const bool same = q - p == step->head.to_size && (q == p || memcmp(p, step->to, (size_t)(q - p)) == 0);
    return count >= step->head.least && !same ? q : NULL;
}

/* A run is read once here, and once more where it is replaced. */
static const uint8_t *find_runs(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    for (const uint8_t *past; p < end; p = past) {
        if (step->head.from_size) { /* at other characters no run begins */
            p = memchr(p, *step->from, (size_t)(end - p));
            if (!p) return end;
        }
        while (!step->head.from_size && p < end && *p > ' ' && *p < 0x80) p++;
        if (p == end) return end;
        if (run_at(step, p, end, &past)) return p;
        uint32_t code;
        if (past == p) past += fe_utf8_read(p, end, &code);
    }
    return end;
}

static fe_status apply_runs(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                            const uint8_t *at, fe_buffer *out) {
    fe_status status = FE_OK;
    (void)n;
    while (at < end && status == FE_OK) {
        status = fe_buffer_add(out, p, at - p);
        if (status == FE_OK) status = fe_buffer_add(out, step->to, step->head.to_size);
        p = run_at(step, at, end, &p);
        FE_ASSERT(p);
        at = find_runs(step, p, end);
    }
    return status == FE_OK ? fe_buffer_add(out, p, end - p) : status;
}

const fe_norm_row fe_norm_runs = {find_runs, apply_runs, false};

/* ------------------------------------------------------------------ bytes as characters */

/* The character by which GPT-2's files write a byte: printable ones of Latin-1 are themselves, the others U+0100 and
 * what follows, in order: 0 to 0x20, 0x7F to 0xA0, 0xAD. */
static inline uint32_t byte_char(uint8_t byte) {
    if (byte <= 0x20) return 0x100u + byte;
    if (byte >= 0x7F && byte <= 0xA0) return 0x121u + byte - 0x7F;
    return byte == 0xAD ? 0x143 : byte;
}

static const uint8_t *find_bytes(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    (void)step;
    while (p < end && *p > 0x20 && *p < 0x7F) p++;
    return p;
}

static fe_status apply_bytes(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                             const uint8_t *at, fe_buffer *out) {
    (void)n;
    (void)step;
    (void)at;
    const fe_status status = fe_buffer_room(out, 2 * (end - p));
    if (status != FE_OK) return status;
    for (; p < end; p++) out->size += fe_utf8_write(out->bytes + out->size, byte_char(*p));
    return FE_OK;
}

const fe_norm_row fe_norm_bytes = {find_bytes, apply_bytes, true};
