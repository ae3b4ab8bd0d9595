/* normal_map.c: steps that act on each character by itself: lower case, and characters that go, become a space, or get
 * spaces around them. */
#include <string.h>

#include "mem.h"
#include "normal.h"
#include "traits.h"
#include "utf8.h"

/* Which traits have something done to them, and what. */
typedef struct map {
    uint16_t gone, space, around;
    uint8_t lead; /* no character that is meant begins with a lower byte */
} map;

static const map maps[FE_NORM_KINDS] = {
    [FE_NORM_STRIP_ACCENTS] = {.gone = FE_TRAIT_MARK, .lead = 0xCC},
    [FE_NORM_NMT] = {.gone = FE_TRAIT_NMT_GONE, .space = FE_TRAIT_NMT_SPACE},
    [FE_NORM_BERT_CLEAN] = {.gone = FE_TRAIT_BERT_GONE, .space = FE_TRAIT_BERT_SPACE},
    [FE_NORM_BERT_CJK] = {.around = FE_TRAIT_BERT_CJK, .lead = 0xE3},
    [FE_NORM_BERT_MARKS] = {.gone = FE_TRAIT_BERT_MARK, .lead = 0xCC},
};

static const uint8_t *find_map(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    const map *const m = &maps[step->head.kind];
    const uint16_t meant = m->gone | m->space | m->around;
    while (p < end) {
        uint32_t code;
        if (*p < m->lead) {
            p++;
            continue;
        }
        const int32_t length = fe_utf8_read(p, end, &code);
        if (fe_trait_of(code)->flags & meant) return p;
        p += length;
    }
    return end;
}

static fe_status apply_map(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                           const uint8_t *at, fe_buffer *out) {
    const map *const m = &maps[step->head.kind];
    const uint8_t space = ' ';
    fe_status status = FE_OK;
    (void)n;
    while (at < end && status == FE_OK) {
        uint32_t code;
        const int32_t length = fe_utf8_read(at, end, &code);
        const uint16_t flags = fe_trait_of(code)->flags;
        status = fe_buffer_add(out, p, at - p);
        p = at + length;
        if (status == FE_OK && !(flags & m->gone)) status = fe_buffer_add(out, &space, 1);
        if (status == FE_OK && flags & m->around) {
            status = fe_buffer_add(out, at, length);
            if (status == FE_OK) status = fe_buffer_add(out, &space, 1);
        }
        at = find_map(step, p, end);
    }
    return status == FE_OK ? fe_buffer_add(out, p, end - p) : status;
}

const fe_norm_row fe_norm_map = {find_map, apply_map, true};

/* ------------------------------------------------------------------ lower case */

#define ONES UINT64_C(0x0101010101010101)

/* Of eight ASCII characters, bit 7 of those that are capital letters. */
static inline uint64_t capitals(uint64_t word) {
    return (word + (0x80 - 'A') * ONES) & ~(word + (0x7F - 'Z') * ONES) & 0x80 * ONES;
}

static inline bool is_ascii(uint64_t word) { return !(word & 0x80 * ONES); }

static const uint8_t *find_lower(const fe_norm_step *step, const uint8_t *p, const uint8_t *end) {
    (void)step;
    while (p < end) {
        uint64_t word;
        uint32_t code;
        if (end - p >= 8) {
            memcpy(&word, p, sizeof word);
            if (is_ascii(word) && !capitals(word)) {
                p += 8;
                continue;
            }
        }
        const int32_t length = fe_utf8_read(p, end, &code);
        if (fe_trait_of(code)->flags & FE_TRAIT_LOWER) return p;
        p += length;
    }
    return end;
}

static fe_status apply_lower(fe_normal *n, const fe_norm_step *step, const uint8_t *p, const uint8_t *end,
                             const uint8_t *at, fe_buffer *out) {
    fe_status status = fe_buffer_room(out, end - p + 8);
    (void)n;
    (void)step;
    (void)at;
    while (p < end) {
        if (status == FE_OK) status = fe_buffer_room(out, 8);
        if (status != FE_OK) return status;
        if (end - p >= 8) {
            uint64_t word;
            memcpy(&word, p, sizeof word);
            if (is_ascii(word)) {
                word |= capitals(word) >> 2; /* 0x20 */
                memcpy(out->bytes + out->size, &word, sizeof word);
                out->size += 8;
                p += 8;
                continue;
            }
        }
        uint32_t code;
        const int32_t length = fe_utf8_read(p, end, &code);
        const fe_trait *const r = fe_trait_of(code);
        for (uint32_t i = 0; i < r->lower_size; i++)
            out->size += fe_utf8_write(out->bytes + out->size, fe_trait_strings[r->lower + i] & FE_PART_CODE);
        if (!r->lower_size) {
            memcpy(out->bytes + out->size, p, (size_t)length);
            out->size += length;
        }
        p += length;
    }
    return FE_OK;
}

const fe_norm_row fe_norm_lower = {find_lower, apply_lower, true};
