/* normal.h: what a text becomes before it is cut into pieces: a chain of steps over one stretch of it.
 *
 * A chain is a string of bytes, as an image holds it: steps one behind the other, each a fe_norm_head and the bytes of
 * two strings. Each kind of step is a row of two functions: where it may change something, which is looked for many
 * bytes at a time, and doing it. So a text that a chain leaves as it is is read where it lies; any other goes from one
 * of two buffers to the other. Everything takes time that grows with the text alone.
 *
 * A byte that is no part of valid UTF-8 is treated as U+FFFD would be, and stays that byte where U+FFFD stays.
 */
#ifndef FE_NORMAL_H
#define FE_NORMAL_H

#include <stdbool.h>
#include <string.h>

#include "fe.h"

#define FE_MAX_TEXT (INT32_MAX - 64) /* symbols are counted in 32 bits, and there can be a few more than bytes */

enum {
    FE_BEHIND = 64,          /* bytes behind a normalized text that may be read; they are zero */
    FE_MAX_FROM = 64,        /* bytes of what FE_NORM_REPLACE looks for, so that looking takes no longer than this */
    FE_MAX_GROWTH = 1 << 16 /* times as long as before a chain may make a text, beside what it puts before it */
};

typedef struct fe_norm_head {
    uint8_t kind, flags; /* enum fe_norm_kind */
    uint16_t least;
    uint32_t from_size, to_size;
} fe_norm_head;

typedef struct fe_norm_step {
    fe_norm_head head;
    const uint8_t *from, *to; /* of from_size and to_size bytes */
} fe_norm_step;

/* The step at `at` of a chain, which goes behind it. */
static inline fe_norm_step fe_norm_next(const uint8_t **at) {
    fe_norm_step step;
    memcpy(&step.head, *at, sizeof step.head);
    step.from = *at + sizeof step.head;
    step.to = step.from + step.head.from_size;
    *at = step.to + step.head.to_size;
    return step;
}

/* A text that is being written. */
typedef struct fe_buffer {
    uint8_t *bytes;
    int64_t size, room; /* FE_BEHIND bytes more than `room` are there */
} fe_buffer;

typedef struct fe_still fe_still;

/* What normalizing works with: all zero at first, freed by fe_normal_clear. */
typedef struct fe_normal {
    fe_buffer text[2];
    uint32_t *parts, *sorted; /* a stretch whose characters may change places or become one: fe_part; and its twin */
    int64_t count, room;
    const fe_still *still; /* of the chain, or NULL: not freed */
} fe_normal;

typedef struct fe_norm_row {
    /* The first place in [p, end) at which the step may change something, or end. */
    const uint8_t *(*find)(const fe_norm_step *step, const uint8_t *p, const uint8_t *end);
    /* Writes what [p, end) becomes; at: what `find` said of it. FE_NO_MEMORY, FE_TOO_LONG. */
    fe_status (*apply)(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                       const uint8_t *at, fe_buffer *out);
    bool joins; /* of texts that stay as they are one behind the other, each does by itself */
} fe_norm_row;

extern const fe_norm_row fe_norm_form, fe_norm_lower, fe_norm_map, fe_norm_strip, fe_norm_prepend, fe_norm_replace,
    fe_norm_runs, fe_norm_bytes, fe_norm_charsmap, fe_norm_pieces;

/* How many times as long a step FE_NORM_CHARSMAP may make a text; 0: it is none. */
uint64_t fe_charsmap_growth(const fe_norm_step *step);
/* What stands for a stretch of text by a charsmap, up to `past`. */
typedef struct fe_charsmap_unit {
    const uint8_t *past, *text;
    int64_t size;
    bool replaced; /* else it stays, and may be several characters */
} fe_charsmap_unit;
/* The next one from p on, which is before end. *bound is the end of the grapheme cluster that p stands in; p where
 * one begins. */
fe_charsmap_unit fe_charsmap_next(const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                                  const uint8_t **bound);

/* How many times as long a step of FE_NORM_PIECES may make a text; 0: it is none. */
uint64_t fe_norm_pieces_growth(const fe_norm_step *s);

/* True if some bytes are a chain of steps. Nothing else here may be asked of bytes that are none. */
bool fe_normal_valid(const uint8_t *steps, uint64_t size);

/* True if late added tokens are looked for as they are, and not as the chain leaves them. */
bool fe_normal_spares_late(const uint8_t *steps, uint64_t size);

/* True if a chain surely leaves [p, end) as it is. */
bool fe_normal_keeps(const uint8_t *steps, uint64_t size, const uint8_t *p, const uint8_t *end);

/* The same for any texts of which [p, end) is made. */
bool fe_normal_keeps_all(const uint8_t *steps, uint64_t size, const uint8_t *p, const uint8_t *end);

/* What a chain of FE_NORM_PIECES leaves alone, to be freed; NULL for any other, and where nothing can be said. */
fe_status fe_still_new(const uint8_t *steps, uint64_t size, fe_still **out);

/* Puts what [*p, *end) becomes into a buffer of n, and p and end around it, FE_BEHIND readable bytes behind it. Where
 * it stays as it is both stay where they are. */
fe_status fe_normal_apply(fe_normal *n, const uint8_t *steps, uint64_t size, const uint8_t **p, const uint8_t **end);

void fe_normal_clear(fe_normal *n);

/* Makes room for `more` bytes behind those written. FE_TOO_LONG: more than a text may have. */
fe_status fe_buffer_grow(fe_buffer *b, int64_t more);

static inline fe_status fe_buffer_room(fe_buffer *b, int64_t more) {
    return more <= b->room - b->size ? FE_OK : fe_buffer_grow(b, more);
}

/* Writes some bytes. */
fe_status fe_buffer_add(fe_buffer *b, const uint8_t *bytes, int64_t size);

#endif
