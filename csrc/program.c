/* program.c: programs, made and matched. */
#include "program.h"

#include "letters.h"
#include "mem.h"
#include "split.h"

#define INLINE static inline __attribute__((always_inline))

/* ------------------------------------------------------------------ making */

static bool takes(const fe_item *item) { return item->kind == FE_ITEM_CLASS || item->kind == FE_ITEM_HOLD; }

static bool contracts(const fe_item *item) {
    return item->kind == FE_ITEM_CONTRACTION || item->kind == FE_ITEM_ANY_CONTRACTION;
}

/* True if the items from here on match whatever the text is, and take no character that could be missing. */
static bool always_matches(const fe_item *item) {
    for (; item->kind != FE_ITEM_END; item++)
        if ((!takes(item) && !contracts(item)) || item->min) return false;
    return true;
}

static bool item_valid(const fe_item *item, bool of_bytes) {
    switch (item->kind) {
    case FE_ITEM_END: return true;
    case FE_ITEM_CLASS:
    case FE_ITEM_HOLD: return item->bits && item->min >= 0 && item->max >= 1 && item->min <= item->max;
    case FE_ITEM_NEXT:
    case FE_ITEM_NOT_NEXT: return item->bits;
    case FE_ITEM_CONTRACTION:
    case FE_ITEM_ANY_CONTRACTION: /* nothing behind it may want it back; its long s is one of UTF-8 */
        return !of_bytes && (item->min == 0 || item->min == 1) && always_matches(item + 1);
    default: return false;
    }
}

/* True if a character of this kind can be the first one that the items from here on take. They take at least one. */
static bool can_start(const fe_item *item, const fe_kinds *kinds, int32_t kind, uint8_t quote) {
    for (;; item++) {
        if (takes(item) && kinds->bits[kind] & item->bits) return true;
        if (contracts(item) && kind == quote) return true;
        if ((takes(item) || contracts(item)) && item->min) return false;
    }
}

/* True if the items from here on take at least one character. */
static bool takes_some(const fe_item *item) {
    for (; item->kind != FE_ITEM_END; item++)
        if ((takes(item) || contracts(item)) && item->min) return true;
    return false;
}

static uint8_t letters_of(const fe_item *item, const fe_kinds *kinds) {
    bool small = true, capital = true;
    for (int i = 0; i < 26; i++) {
        small = small && kinds->ascii['a' + i] & item->bits;
        capital = capital && kinds->ascii['A' + i] & item->bits;
    }
    return small ? capital ? FE_LETTERS_ALL : FE_LETTERS_SMALL : FE_LETTERS_NONE;
}

/* How an item that may take more than it must gives back. */
static void plan_giving(fe_op *op, const fe_item *item, const fe_kinds *kinds, uint8_t quote) {
    const fe_item *const next = item + 1;
    op->give = FE_GIVE_NOTHING;
    if (item->kind == FE_ITEM_HOLD || item->min == item->max || always_matches(next)) return;
    if (takes_some(next)) {
        bool own = false; /* whether a character of its own can be what the next items start with */
        for (int32_t kind = 0; kind < kinds->count; kind++)
            own = own || (kinds->bits[kind] & item->bits && can_start(next, kinds, kind, quote));
        if (!own) return;
    }
    op->give = FE_GIVE_TRIED;
    const bool look = next->kind == FE_ITEM_NEXT || next->kind == FE_ITEM_NOT_NEXT;
    if ((look || (takes(next) && next->min == 1)) && always_matches(next + 1)) {
        op->give = FE_GIVE_SEARCHED;
        op->test = next->bits;
        op->wanted = next->kind != FE_ITEM_NOT_NEXT;
        op->at_end = next->kind == FE_ITEM_NOT_NEXT;
    }
}

bool fe_program_make(fe_program *program, fe_op *ops, const fe_item *items, int64_t count, const fe_kinds *kinds,
                     bool of_bytes) {
    const uint8_t quote = of_bytes ? kinds->quote_byte : kinds->quote;
    int64_t alternatives = 0, memos = 0, limits = 0, tried = 0, trials = 1;
    memset(program->starts, 0, sizeof program->starts);
    if (count < 2 || count > FE_PROGRAM_ITEMS || items[count - 1].kind != FE_ITEM_END) return false;
    program->ops = ops;
    program->of_bytes = of_bytes;
    for (int64_t i = 0; i < count; i++) {
        const fe_item *const item = &items[i];
        if (!item_valid(item, of_bytes)) return false;
        if (i == 0 || items[i - 1].kind == FE_ITEM_END) {
            if (alternatives == FE_ALTERNATIVES || !takes_some(item)) return false;
            for (int32_t kind = 0; kind < kinds->count; kind++)
                if (can_start(item, kinds, kind, quote)) program->starts[kind] |= UINT32_C(1) << alternatives;
            program->first[alternatives++] = (uint16_t)i;
            tried = 0;
            trials = 1;
        }
        ops[i] = (fe_op){.bits = item->bits, .min = item->min, .max = item->max, .kind = (uint8_t)item->kind};
        if (!takes(item)) continue;
        plan_giving(&ops[i], item, kinds, quote);
        if (!of_bytes) ops[i].letters = letters_of(item, kinds);
        if (item->max == INT32_MAX) {
            if (ops[i].give == FE_GIVE_TRIED || item->min > FE_MOST_LIMITED || memos == FE_MEMOS) return false;
            ops[i].memo = (uint8_t)memos++;
            limits += item->min;
        } else if (item->min > 1 || !always_matches(item + 1)) { /* else what is walked is taken */
            limits += item->max;
        }
        if (ops[i].give == FE_GIVE_TRIED) {
            tried += item->max - item->min;
            trials *= tried <= FE_MOST_TRIED ? item->max - item->min + 1 : 1;
            if (tried > FE_MOST_TRIED || trials > FE_MOST_TRIALS) return false;
        }
        if (limits > FE_MOST_LIMITED) return false;
    }
    return true;
}

/* ------------------------------------------------------------------ characters */

/* The classes of a character that is not ASCII. */
static inline uint32_t wide_bits(const fe_kinds *kinds, const uint8_t *p, const uint8_t *end, int32_t *length) {
    uint32_t code;
    *length = fe_utf8_read(p, end, &code);
    return kinds->bits[kinds->blocks[(uint32_t)kinds->pages[code >> 7] << 7 | (code & 127)]];
}

INLINE uint32_t bits_at(const fe_kinds *kinds, bool of_bytes, const uint8_t *p, const uint8_t *end, int32_t *length) {
    *length = 1;
    if (of_bytes) return kinds->bytes[*p];
    return *p < 0x80 ? kinds->ascii[*p] : wide_bits(kinds, p, end, length);
}

/* Behind the characters at p that are of an item's classes. */
INLINE const uint8_t *run(const fe_op *op, const fe_kinds *kinds, bool of_bytes, const uint8_t *p, const uint8_t *end) {
    const uint32_t *const table = of_bytes ? kinds->bytes : kinds->ascii, bits = op->bits;
    for (;;) {
        if (!of_bytes && op->letters) p = fe_ascii_letters(p, end, op->letters == FE_LETTERS_ALL);
        while (p < end && table[*p] & bits) p++;
        int32_t length;
        if (of_bytes || p == end || *p < 0x80 || !(wide_bits(kinds, p, end, &length) & bits)) return p;
        p += length;
    }
}

/* The start of the character that ends at q; one starts at `low` < q. A byte that is part of no character is one by
 * itself, as it is to whoever reads forwards: a well-formed sequence starts with a byte that continues none. */
INLINE const uint8_t *char_before(bool of_bytes, const uint8_t *low, const uint8_t *q) {
    if (of_bytes || q[-1] < 0x80) return q - 1;
    uint32_t code;
    for (int32_t length = 2; length <= 4 && q - low >= length; length++)
        if (fe_utf8_read(q - length, q, &code) == length) return q - length;
    return q - 1;
}

/* ------------------------------------------------------------------ matching */

/* FE_GIVE_SEARCHED: true if what follows the item matches at p. */
INLINE bool fits(const fe_op *op, const fe_kinds *kinds, bool of_bytes, const uint8_t *p, const uint8_t *end) {
    int32_t length;
    if (p == end) return op->at_end;
    return ((bits_at(kinds, of_bytes, p, end, &length) & op->test) != 0) == op->wanted;
}

/* The last place from low on and before q that fits, or NULL. */
INLINE const uint8_t *search_back(const fe_op *op, const fe_kinds *kinds, bool of_bytes, const uint8_t *low,
                                  const uint8_t *q, const uint8_t *end) {
    while (q > low) {
        q = char_before(of_bytes, low, q);
        if (fits(op, kinds, of_bytes, q, end)) return q;
    }
    return NULL;
}

/* The long run of an item in which p lies, or NULL. */
INLINE const fe_memo *remembered(const fe_memos *memos, const fe_op *op, const uint8_t *p) {
    const fe_memo *const memo = &memos->of[op->memo];
    return memos->any && p >= memo->from && p < memo->to ? memo : NULL;
}

/* Not inlined: it is rare. */
static __attribute__((noinline)) void remember(fe_memos *memos, const fe_op *op, const fe_memo memo) {
    if (!memos->any) memset(memos->of, 0, sizeof memos->of);
    memos->any = true;
    memos->of[op->memo] = memo;
}

/* Behind all that an item without a limit takes from p on. */
INLINE const uint8_t *take_all(const fe_op *op, const fe_kinds *kinds, bool of_bytes, fe_memos *memos, const uint8_t *p,
                               const uint8_t *end) {
    const fe_memo *const memo = remembered(memos, op, p);
    if (memo) return memo->to;
    const uint8_t *const q = run(op, kinds, of_bytes, p, end);
    if (q - p >= FE_LONG_RUN) {
        const bool searched = op->give == FE_GIVE_SEARCHED;
        remember(memos, op, (fe_memo){p, q, searched ? search_back(op, kinds, of_bytes, p, q, end) : NULL});
    }
    return q;
}

/* Behind `count` characters from p on; NULL if there are fewer. */
INLINE const uint8_t *behind(const fe_kinds *kinds, bool of_bytes, const uint8_t *p, const uint8_t *end, int32_t n) {
    int32_t length;
    for (; n; n--) {
        if (p == end) return NULL;
        (void)bits_at(kinds, of_bytes, p, end, &length);
        p += length;
    }
    return p;
}

/* Where to go on behind an item without a limit that stands at p; NULL where it does not match. */
INLINE const uint8_t *match_unlimited(const fe_op *op, const fe_kinds *kinds, bool of_bytes, fe_memos *memos,
                                      const uint8_t *p, const uint8_t *end) {
    const uint8_t *const q = take_all(op, kinds, of_bytes, memos, p, end);
    if (q == p && op->min) return NULL;
    if (op->give == FE_GIVE_NOTHING && op->min <= 1) return q;
    const uint8_t *const low = behind(kinds, of_bytes, p, end, op->min);
    if (!low || low > q) return NULL;
    if (op->give == FE_GIVE_NOTHING || fits(op, kinds, of_bytes, q, end)) return q;
    const fe_memo *const memo = remembered(memos, op, p);
    const uint8_t *const found = memo ? memo->found : search_back(op, kinds, of_bytes, low, q, end);
    return found && found >= low ? found : NULL;
}

/* The same for an item with a limit; *low receives the first place that it may be given back to. */
INLINE const uint8_t *match_limited(const fe_op *op, const fe_kinds *kinds, bool of_bytes, const uint8_t *p,
                                    const uint8_t *end, const uint8_t **low) {
    int32_t count = 0, length;
    *low = p;
    while (count < op->max && p < end && bits_at(kinds, of_bytes, p, end, &length) & op->bits) {
        p += length;
        if (++count == op->min) *low = p;
    }
    if (count < op->min) return NULL;
    if (op->give != FE_GIVE_SEARCHED || fits(op, kinds, of_bytes, p, end)) return p;
    return search_back(op, kinds, of_bytes, *low, p, end);
}

/* An item of which some characters may yet be given back, one by one. */
typedef struct trial {
    const fe_op *op;
    const uint8_t *low, *at;
} trial;

/* The end of what the items from `op` on match at p, or NULL. */
INLINE const uint8_t *match(const fe_op *op, const fe_kinds *kinds, bool of_bytes, fe_memos *memos, const uint8_t *p,
                            const uint8_t *end) {
    trial trials[FE_MOST_TRIED];
    int32_t open = 0, length;
    for (;;) {
        const uint8_t *next = NULL, *low;
        switch (op->kind) {
        case FE_ITEM_END: return p;
        case FE_ITEM_NEXT:
            if (p < end && bits_at(kinds, of_bytes, p, end, &length) & op->bits) next = p;
            break;
        case FE_ITEM_NOT_NEXT:
            if (p == end || !(bits_at(kinds, of_bytes, p, end, &length) & op->bits)) next = p;
            break;
        case FE_ITEM_CONTRACTION:
        case FE_ITEM_ANY_CONTRACTION:
            length = p < end && *p == '\'' ? fe_contraction(p, end, op->kind == FE_ITEM_ANY_CONTRACTION) : 0;
            if (length || !op->min) next = p + length;
            break;
        default:
            if (op->max == INT32_MAX) {
                next = match_unlimited(op, kinds, of_bytes, memos, p, end);
                break;
            }
            next = match_limited(op, kinds, of_bytes, p, end, &low);
            if (next && op->give == FE_GIVE_TRIED && next > low) {
                FE_ASSERT(open < FE_MOST_TRIED);
                trials[open++] = (trial){op, low, next};
            }
        }
        if (next) {
            p = next;
            op++;
            continue;
        }
        if (!open) return NULL;
        trial *const last = &trials[open - 1];
        p = last->at = char_before(of_bytes, last->low, last->at);
        op = last->op + 1;
        if (p == last->low) open--;
    }
}

/* The kind of the character at p. */
INLINE uint8_t kind_at(const fe_kinds *kinds, bool of_bytes, const uint8_t *p, const uint8_t *end) {
    if (of_bytes) return kinds->byte_kind[*p];
    if (*p < 0x80) return kinds->ascii_kind[*p];
    uint32_t code;
    (void)fe_utf8_read(p, end, &code);
    return kinds->blocks[(uint32_t)kinds->pages[code >> 7] << 7 | (code & 127)];
}

INLINE const uint8_t *match_first(const fe_program *program, const fe_kinds *kinds, bool of_bytes, fe_memos *memos,
                                  const uint8_t *p, const uint8_t *end) {
    for (uint32_t left = program->starts[kind_at(kinds, of_bytes, p, end)]; left; left &= left - 1) {
        const fe_op *const op = program->ops + program->first[__builtin_ctz(left)];
        const uint8_t *const q = match(op, kinds, of_bytes, memos, p, end);
        FE_ASSERT(!q || (q > p && q <= end));
        if (q) return q;
    }
    return NULL;
}

/* Not inlined, so that each has all registers. */
static __attribute__((noinline)) const uint8_t *match_bytes(const fe_program *program, const fe_kinds *kinds,
                                                            fe_memos *memos, const uint8_t *p, const uint8_t *end) {
    return match_first(program, kinds, true, memos, p, end);
}

const uint8_t *fe_program_match(const fe_program *program, const fe_kinds *kinds, fe_memos *memos, const uint8_t *p,
                                const uint8_t *end) {
    if (program->of_bytes) return match_bytes(program, kinds, memos, p, end);
    return match_first(program, kinds, false, memos, p, end);
}
