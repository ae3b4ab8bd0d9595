/* programs.c: chains of programs by chance, held against a matcher in the plainest form; and chains that are none. */
#include "fuzz.h"
#include "split.h"
#include "utf8.h"

enum { BITS = 4, PARTS = 2 * NORMAL }; /* every set of so many classes is a kind */

/* ------------------------------------------------------------------ chains */

static fe_item random_item(void) {
    static const int32_t bounds[][2] = {{1, 1}, {1, 1}, {0, 1}, {0, INT32_MAX}, {1, INT32_MAX}, {1, INT32_MAX}, {1, 3},
                                        {2, 2}, {0, 2}, {2, INT32_MAX}};
    const int32_t *const bound = bounds[rnd(sizeof bounds / sizeof *bounds)];
    fe_item item = {.bits = 1 + rnd((1 << BITS) - 1), .kind = FE_ITEM_CLASS, .min = bound[0], .max = bound[1]};
    if (one_in(2)) item.bits = 1u << rnd(BITS);
    if (one_in(8)) item.kind = FE_ITEM_HOLD;
    if (one_in(8)) item.kind = one_in(2) ? FE_ITEM_NEXT : FE_ITEM_NOT_NEXT;
    return item;
}

static void random_program(chain_room *c, fe_step *step) {
    const int64_t first = c->chain.items;
    for (uint32_t more = 1 + rnd(3); more; more--) {
        for (uint32_t items = 1 + rnd(4); items; items--) c->items[c->chain.items++] = random_item();
        if (one_in(6)) {
            const int32_t kind = one_in(2) ? FE_ITEM_CONTRACTION : FE_ITEM_ANY_CONTRACTION;
            c->items[c->chain.items++] = (fe_item){.kind = kind, .min = (int32_t)rnd(2), .max = 1};
        }
        c->items[c->chain.items++] = (fe_item){.kind = FE_ITEM_END};
    }
    step->items = (int32_t)(c->chain.items - first);
}

static bool is_chain(const fe_chain *chain) {
    int64_t count;
    const fe_status status = fe_chain_cut(chain, NULL, 0, NULL, NULL, 0, &count);
    CHECK(status == FE_OK || status == FE_BAD_MODEL);
    return status == FE_OK;
}

static void draw_chain(chain_room *c) {
    bool of_bytes = false;
    c->chain = (fe_chain){.steps = 1 + rnd(CHAIN_STEPS), .step = c->steps, .item = c->items, .kinds = 1 << BITS,
                          .kind_bits = c->kind_bits, .pages = c->pages, .blocks = 1 + rnd(CHAIN_BLOCKS),
                          .block_kinds = c->block_kinds, .byte_kinds = c->byte_kinds};
    for (uint32_t i = 0; i < 1 << BITS; i++) c->kind_bits[i] = i;
    /* Neighbours are mostly of one kind, so that there are runs. */
    for (int i = 0; i < 128 * CHAIN_BLOCKS; i++)
        c->block_kinds[i] = (uint8_t)(i % 128 && !one_in(4) ? c->block_kinds[i - 1] : rnd(1 << BITS));
    for (int i = 0; i < 256; i++) c->byte_kinds[i] = (uint8_t)(i && !one_in(4) ? c->byte_kinds[i - 1] : rnd(1 << BITS));
    for (int i = 0; i < CHAIN_PAGES; i++) c->pages[i] = (uint16_t)(i ? rnd((uint32_t)c->chain.blocks) : 0);
    for (int64_t i = 0; i < c->chain.steps; i++) {
        fe_step *const step = &c->steps[i];
        of_bytes = of_bytes || one_in(8);
        if (!of_bytes && one_in(4)) {
            *step = (fe_step){.pattern = 1 + (int32_t)rnd(FE_PATTERN_PROGRAM - 1)};
            continue;
        }
        *step = (fe_step){.pattern = FE_PATTERN_PROGRAM, .keep = (int32_t)rnd(6), .of_bytes = of_bytes};
        random_program(c, step);
    }
}

void random_chain(chain_room *c) {
    do draw_chain(c);
    while (!is_chain(&c->chain));
}

/* ------------------------------------------------------------------ the plain matcher */

static uint32_t bits_of(const fe_chain *c, bool of_bytes, const uint8_t *p, const uint8_t *end, int32_t *length) {
    uint32_t code;
    *length = 1;
    if (of_bytes) return c->kind_bits[c->byte_kinds[*p]];
    *length = fe_utf8_read(p, end, &code);
    return c->kind_bits[c->block_kinds[c->pages[code / 128] * 128 + code % 128]];
}

/* The end of what the items match at p, or NULL: every way is tried, in the order in which it has to be. */
static const uint8_t *slow_match(const fe_chain *c, bool of_bytes, const fe_item *item, const uint8_t *p,
                                 const uint8_t *end) {
    static const uint8_t *places[8][NORMAL + 2]; /* by item: behind so many characters; programs here are short */
    static int depth;
    int32_t length = 0;
    const uint8_t *found = NULL;
    if (item->kind == FE_ITEM_END) return p;
    if (item->kind == FE_ITEM_NEXT || item->kind == FE_ITEM_NOT_NEXT) {
        const bool there = p < end && bits_of(c, of_bytes, p, end, &length) & item->bits;
        return there == (item->kind == FE_ITEM_NEXT) ? slow_match(c, of_bytes, item + 1, p, end) : NULL;
    }
    if (item->kind == FE_ITEM_CONTRACTION || item->kind == FE_ITEM_ANY_CONTRACTION) {
        length = p < end && *p == '\'' ? fe_contraction(p, end, item->kind == FE_ITEM_ANY_CONTRACTION) : 0;
        if (length) found = slow_match(c, of_bytes, item + 1, p + length, end);
        return !found && !item->min ? slow_match(c, of_bytes, item + 1, p, end) : found;
    }
    CHECK(depth < 8);
    const uint8_t **const place = places[depth++];
    int64_t count = 0;
    place[0] = p;
    while (count < item->max && place[count] < end && bits_of(c, of_bytes, place[count], end, &length) & item->bits) {
        place[count + 1] = place[count] + length;
        count++;
    }
    for (int64_t n = count; n >= item->min && !found; n--) {
        found = slow_match(c, of_bytes, item + 1, place[n], end);
        if (item->kind == FE_ITEM_HOLD) break;
    }
    depth--;
    return found;
}

typedef struct part {
    const uint8_t *from, *to;
    bool match;
} part;

/* The matches of a step in a stretch, and the gaps between them. */
static int64_t slow_parts(const fe_chain *c, const fe_step *step, const fe_item *items, const uint8_t *p,
                          const uint8_t *end, part *parts) {
    int64_t count = 0;
    const uint8_t *gap = p;
    while (p < end) {
        const uint8_t *stop = NULL;
        int32_t length = 1;
        if (step->pattern != FE_PATTERN_PROGRAM) stop = fe_split_next(step->pattern, p, end, false);
        for (int32_t i = 0; i < step->items && !stop; i++)
            if (i == 0 || items[i - 1].kind == FE_ITEM_END) stop = slow_match(c, step->of_bytes, items + i, p, end);
        if (!stop) {
            (void)bits_of(c, step->of_bytes, p, end, &length);
            p += length;
            continue;
        }
        CHECK(stop > p && stop <= end);
        if (gap < p) parts[count++] = (part){gap, p, false};
        parts[count++] = (part){p, stop, true};
        gap = p = stop;
    }
    if (gap < end) parts[count++] = (part){gap, end, false};
    return count;
}

/* What is kept of them, as Hugging Face's engine folds them. */
static int64_t slow_fold(int32_t keep, const part *parts, int64_t count, part *out) {
    int64_t n = 0;
    bool before = false;
    if (keep == FE_KEEP_BEFORE) { /* from the end */
        part turned[PARTS];
        for (int64_t i = count - 1; i >= 0; i--) {
            if (parts[i].match && !before && n) turned[n - 1].from = parts[i].from;
            else turned[n++] = parts[i];
            before = parts[i].match;
        }
        for (int64_t i = 0; i < n; i++) out[i] = turned[n - 1 - i];
        return n;
    }
    for (int64_t i = 0; i < count; i++) {
        const bool match = parts[i].match;
        const bool joins = keep == FE_KEEP_RUNS ? match && before : keep == FE_KEEP_BEHIND && match && !before;
        if ((keep == FE_KEEP_MATCHES && !match) || (keep == FE_KEEP_GAPS && match)) continue;
        if (joins && n) out[n - 1].to = parts[i].to;
        else out[n++] = parts[i];
        before = match;
    }
    return n;
}

int64_t slow_cut(const fe_chain *c, const uint8_t *text, int64_t size, int64_t *starts, int64_t *ends) {
    static part now[PARTS], next[PARTS], parts[PARTS];
    int64_t count = size > 0, items = 0;
    now[0] = (part){text, text + size, false};
    for (int64_t i = 0; i < c->steps; i++) {
        int64_t made = 0;
        for (int64_t j = 0; j < count; j++) {
            const int64_t n = slow_parts(c, &c->step[i], c->item + items, now[j].from, now[j].to, parts);
            made += slow_fold(c->step[i].keep, parts, n, next + made);
        }
        memcpy(now, next, (size_t)made * sizeof *now);
        count = made;
        items += c->step[i].items;
    }
    for (int64_t i = 0; i < count; i++) starts[i] = now[i].from - text, ends[i] = now[i].to - text;
    return count;
}

/* ------------------------------------------------------------------ comparing */

/* A text of few characters, with runs longer than those that are kept in mind. */
static int64_t text_of_runs(uint8_t *text, int64_t most) {
    int64_t n = 0;
    uint8_t code[4], few[4][4];
    int64_t sizes[4];
    for (int i = 0; i < 4; i++) {
        uint32_t number = one_in(2) ? 0x20 + rnd(95) : one_in(2) ? rnd(0x3000) : rnd(0x110000);
        if (number >= 0xD800 && number < 0xE000) number = 0xFFFD;
        sizes[i] = write_utf8(few[i], number);
    }
    while (n < most) {
        const uint32_t which = rnd(4);
        memcpy(code, few[which], 4);
        if (one_in(20)) code[0] = (uint8_t)rnd(256); /* perhaps no UTF-8 */
        for (uint32_t more = one_in(6) ? rnd(200) : 1 + rnd(3); more && n + sizes[which] <= most; more--) {
            memcpy(text + n, code, (size_t)sizes[which]);
            n += sizes[which];
        }
        if (one_in(one_in(2) ? 9 : 900)) break;
        if (n + 4 > most) break;
    }
    return n;
}

static void compare(const fe_chain *chain, const uint8_t *text, int64_t size) {
    static int64_t want[2][PARTS], got[2][PARTS];
    int64_t count;
    uint8_t *const exact = exactly(text, size);
    const int64_t pieces = slow_cut(chain, exact, size, want[0], want[1]);
    CHECK(fe_chain_cut(chain, exact, size, got[0], got[1], PARTS, &count) == FE_OK && count == pieces);
    CHECK(memcmp(got[0], want[0], (size_t)count * sizeof **got) == 0);
    CHECK(memcmp(got[1], want[1], (size_t)count * sizeof **got) == 0);
    if (pieces) CHECK(fe_chain_cut(chain, exact, size, got[0], got[1], pieces - 1, &count) == FE_FULL);
    free(exact);
}

/* Makes one number wrong, or another one. */
static void damage_chain(chain_room *c) {
    fe_chain *const chain = &c->chain;
    const int32_t odd = one_in(2) ? (int32_t)rnd(9) - 2 : one_in(2) ? INT32_MAX - (int32_t)rnd(3) : INT32_MIN;
    fe_step *const step = &c->steps[rnd((uint32_t)chain->steps)];
    fe_item *const item = chain->items ? &c->items[rnd((uint32_t)chain->items)] : NULL;
    switch (rnd(12)) {
    case 0: chain->steps = one_in(2) ? 0 : -1; return;
    case 1: chain->items -= one_in(2) ? 1 : chain->items + 1; return;
    case 2: chain->kinds = (int64_t)rnd(2 + (1 << BITS)) - 1; return;
    case 3: chain->blocks = rnd(2); return;
    case 4: c->pages[rnd(CHAIN_PAGES)] = (uint16_t)rnd(65536); return;
    case 5: c->block_kinds[rnd(128)] = (uint8_t)rnd(256); return;
    case 6: c->byte_kinds[rnd(256)] = (uint8_t)rnd(256); return;
    case 7: *(int32_t *[]){&step->pattern, &step->keep, &step->of_bytes, &step->items}[rnd(4)] = odd; return;
    default:
        if (!item) return;
        if (one_in(4)) item->bits = rnd(1 << BITS);
        else *(int32_t *[]){&item->kind, &item->min, &item->max}[rnd(3)] = odd;
    }
}

void check_programs(void) {
    static chain_room room;
    uint8_t text[TEXT]; /* more characters than pieces are found at a time */
    random_chain(&room);
    for (int i = 0; i < 6; i++) {
        const bool runs = one_in(2);
        compare(&room.chain, text, runs ? text_of_runs(text, sizeof text) : random_text(text, sizeof text, one_in(2)));
    }
    damage_chain(&room);
    if (is_chain(&room.chain)) compare(&room.chain, text, text_of_runs(text, sizeof text));
}
