/* chain.c: a chain of cutters: checked, made ready, and run over texts, depth first and without a list of pieces. */
#include "chain.h"

#include "image.h"
#include "mem.h"
#include "split.h"

/* ------------------------------------------------------------------ making it ready */

static bool numbers_within(const uint8_t *numbers, int64_t count, int64_t below) {
    bool good = true;
    for (int64_t i = 0; i < count; i++) good &= numbers[i] < below;
    return good;
}

static bool kinds_valid(const fe_chain *chain) {
    bool good = true;
    if (chain->kinds < 1 || chain->kinds > FE_KINDS || chain->blocks < 1 || chain->blocks > FE_KIND_PAGES) return false;
    for (int64_t i = 0; i < FE_KIND_PAGES; i++) good &= chain->pages[i] < chain->blocks;
    return good && numbers_within(chain->block_kinds, 128 * chain->blocks, chain->kinds) &&
           numbers_within(chain->byte_kinds, 256, chain->kinds);
}

/* The kind of a code point, of numbers that are valid. */
static uint8_t kind_of(const fe_chain *chain, uint32_t code) {
    return chain->block_kinds[(uint32_t)chain->pages[code >> 7] << 7 | (code & 127)];
}

static void make_kinds(fe_kinds *kinds, const fe_chain *chain) {
    kinds->count = (int32_t)chain->kinds;
    kinds->pages = chain->pages;
    kinds->blocks = chain->block_kinds;
    kinds->byte_kind = chain->byte_kinds;
    memcpy(kinds->bits, chain->kind_bits, (size_t)chain->kinds * sizeof *chain->kind_bits);
    for (uint32_t i = 0; i < 128; i++) {
        kinds->ascii_kind[i] = kind_of(chain, i);
        kinds->ascii[i] = kinds->bits[kinds->ascii_kind[i]];
    }
    for (int i = 0; i < 256; i++) kinds->bytes[i] = kinds->bits[chain->byte_kinds[i]];
    kinds->quote = kinds->ascii_kind['\''];
    kinds->quote_byte = chain->byte_kinds['\''];
}

static bool make_cutters(fe_cutters *cutters, const fe_chain *chain) {
    int64_t items = 0;
    for (int64_t i = 0; i < chain->steps; i++) {
        const fe_step *const step = &chain->step[i];
        fe_cutter *const cutter = &cutters->of[i];
        const bool known = step->pattern > FE_PATTERN_NONE && step->pattern < FE_PATTERN_PROGRAM;
        if (step->keep < FE_KEEP_ALL || step->keep > FE_KEEP_BEFORE || step->of_bytes < 0 || step->of_bytes > 1)
            return false;
        *cutter = (fe_cutter){.pattern = step->pattern, .keep = step->keep};
        if (known ? step->items || step->of_bytes || step->keep : step->pattern != FE_PATTERN_PROGRAM) return false;
        if (known) continue;
        if (step->items < 0 || step->items > chain->items - items) return false;
        if (!fe_program_make(&cutter->program, cutters->ops + items, chain->item + items, step->items, &cutters->kinds,
                             step->of_bytes))
            return false;
        items += step->items;
    }
    return items == chain->items;
}

fe_status fe_cutters_new(const fe_chain *chain, fe_cutters **out) {
    *out = NULL;
    if (chain->steps < 1 || chain->steps > FE_STEPS || chain->items < 0) return FE_BAD_MODEL;
    if (chain->items > FE_STEPS * FE_PROGRAM_ITEMS || !kinds_valid(chain)) return FE_BAD_MODEL;
    fe_cutters *const cutters = fe_new_zeros(sizeof *cutters + (uint64_t)chain->items * sizeof(fe_op), 1);
    if (!cutters) return FE_NO_MEMORY;
    cutters->count = (int32_t)chain->steps;
    make_kinds(&cutters->kinds, chain);
    if (!make_cutters(cutters, chain)) {
        free(cutters);
        return FE_BAD_MODEL;
    }
    *out = cutters;
    return FE_OK;
}

/* ------------------------------------------------------------------ cutting */

void fe_cutting_start(fe_cutting *cutting, const fe_cutters *cutters, const uint8_t *text) {
    cutting->cutters = cutters;
    cutting->text = text;
    cutting->count = 0;
    cutting->level = -1;
}

static void enter(fe_level *level, const uint8_t *p, const uint8_t *end) {
    level->p = p;
    level->end = end;
    level->match = NULL;
    level->memos.any = false;
}

void fe_cutting_next(fe_cutting *cutting, const uint8_t *p, const uint8_t *end) {
    enter(&cutting->levels[0], p, end);
    cutting->level = 0;
}

/* Finds the first match from level->p on, if that was not done. */
static inline void look(fe_level *level, const fe_cutter *cutter, const fe_kinds *kinds) {
    if (level->match) return;
    const uint8_t *const end = level->end;
    const uint8_t *p = level->p;
    if (p < end && cutter->pattern != FE_PATTERN_PROGRAM) {
        level->match = p;
        level->stop = fe_split_next(cutter->pattern, p, end, false);
        return;
    }
    while (p < end) {
        const uint8_t *const stop = fe_program_match(&cutter->program, kinds, &level->memos, p, end);
        if (stop) {
            level->match = p;
            level->stop = stop;
            return;
        }
        uint32_t code;
        p += cutter->program.of_bytes ? 1 : fe_utf8_read(p, end, &code);
    }
    level->match = level->stop = end;
}

/* Goes behind the match, which starts where the level is. */
static inline void pass(fe_level *level) {
    level->p = level->stop;
    level->match = NULL;
}

/* The next piece of a level, as *from up to *to; false at the end of its stretch. */
static inline bool next_piece(fe_level *level, const fe_cutter *cutter, const fe_kinds *kinds, const uint8_t **from,
                              const uint8_t **to) {
    while (level->p < level->end) {
        look(level, cutter, kinds);
        *from = level->p;
        const bool matches = level->match == level->p;
        switch (cutter->keep) {
        case FE_KEEP_MATCHES:
            level->p = level->match; /* over the gap */
            if (level->p == level->end) return false;
            *from = level->p;
            pass(level);
            break;
        case FE_KEEP_GAPS:
            if (matches) {
                pass(level);
                continue;
            }
            level->p = level->match;
            break;
        case FE_KEEP_RUNS:
            if (!matches) {
                level->p = level->match;
                break;
            }
            do {
                pass(level);
                look(level, cutter, kinds);
            } while (level->p < level->end && level->match == level->p);
            break;
        case FE_KEEP_BEHIND: pass(level); break;
        case FE_KEEP_BEFORE:
            if (matches) {
                pass(level);
                look(level, cutter, kinds);
            }
            level->p = level->match;
            break;
        default:
            if (matches) pass(level);
            else level->p = level->match;
        }
        *to = level->p;
        return true;
    }
    return false;
}

static inline void put(fe_cutting *cutting, const uint8_t *from, const uint8_t *to) {
    FE_ASSERT(from < to && cutting->count < FE_CHAIN_PIECES);
    cutting->starts[cutting->count] = (uint32_t)(from - cutting->text);
    cutting->ends[cutting->count++] = (uint32_t)(to - cutting->text);
}

/* What next_piece says again and again for the last step of most chains, in few steps. */
static void cut_plainly(fe_cutting *cutting, fe_level *level, const fe_cutter *cutter, const fe_kinds *kinds) {
    const uint8_t *const end = level->end, *p = level->p, *gap = p;
    const bool keeps_gaps = cutter->keep == FE_KEEP_ALL;
    if (cutter->pattern != FE_PATTERN_PROGRAM) {
        for (; p < end && cutting->count < FE_CHAIN_PIECES; p = level->p) {
            level->p = fe_split_next(cutter->pattern, p, end, false);
            put(cutting, p, level->p);
        }
        return;
    }
    while (p < end && cutting->count < FE_CHAIN_PIECES - 1) { /* a gap and a match */
        const uint8_t *const stop = fe_program_match(&cutter->program, kinds, &level->memos, p, end);
        if (stop) {
            if (keeps_gaps && gap < p) put(cutting, gap, p);
            put(cutting, p, stop);
            gap = p = stop;
        } else {
            uint32_t code;
            p += cutter->program.of_bytes ? 1 : fe_utf8_read(p, end, &code);
        }
    }
    if (p == end && keeps_gaps && gap < end) put(cutting, gap, end);
    level->p = p;
}

void fe_cutting_more(fe_cutting *cutting) {
    const fe_cutters *const cutters = cutting->cutters;
    const int32_t last = cutters->count - 1;
    int32_t level = cutting->level;
    const bool plain = cutters->of[last].keep == FE_KEEP_ALL || cutters->of[last].keep == FE_KEEP_MATCHES;
    while (level >= 0 && cutting->count < FE_CHAIN_PIECES - 1) {
        const uint8_t *from, *to;
        if (level == last && plain) {
            fe_level *const here = &cutting->levels[last];
            cut_plainly(cutting, here, &cutters->of[last], &cutters->kinds);
            if (here->p == here->end) level--;
        } else if (!next_piece(&cutting->levels[level], &cutters->of[level], &cutters->kinds, &from, &to)) {
            level--;
        } else if (level == last) {
            put(cutting, from, to);
        } else {
            enter(&cutting->levels[++level], from, to);
        }
    }
    cutting->level = level;
}

/* ------------------------------------------------------------------ the pieces of one text */

static fe_status cut(const fe_cutters *cutters, const uint8_t *utf8, int64_t size, int64_t *starts, int64_t *ends,
                     int64_t capacity, int64_t *count) {
    fe_cutting cutting;
    *count = 0;
    if (size >= INT32_MAX) return FE_TOO_LONG;
    if (size <= 0) return FE_OK;
    fe_cutting_start(&cutting, cutters, utf8);
    fe_cutting_next(&cutting, utf8, utf8 + size);
    while (!fe_cutting_done(&cutting)) {
        fe_cutting_more(&cutting);
        if (cutting.count > capacity - *count) return FE_FULL;
        for (int64_t i = 0; i < cutting.count; i++) {
            starts[*count] = cutting.starts[i];
            ends[(*count)++] = cutting.ends[i];
        }
        cutting.count = 0;
    }
    return FE_OK;
}

fe_status fe_chain_cut(const fe_chain *chain, const uint8_t *utf8, int64_t size, int64_t *starts, int64_t *ends,
                       int64_t capacity, int64_t *count) {
    fe_cutters *cutters;
    *count = 0;
    fe_status status = fe_cutters_new(chain, &cutters);
    if (status == FE_OK) status = cut(cutters, utf8, size, starts, ends, capacity, count);
    free(cutters);
    return status;
}

fe_status fe_tokenizer_cut(const fe_tokenizer *t, const uint8_t *utf8, int64_t size, int64_t *starts, int64_t *ends,
                           int64_t capacity, int64_t *count) {
    *count = 0;
    return t->cutters ? cut(t->cutters, utf8, size, starts, ends, capacity, count) : FE_BAD_MODEL;
}
