/* scan_body.h: how pieces are found in 64 bytes at once; included once for each kind of processor.
 *
 * The includer defines SCAN, the function's name; TARGET, its attribute; CLASSIFY(p, m), which gives the masks of 64
 * bytes at p (high, lead and, of ASCII, letter upper number space newline blank quote slash); and FLATTEN(out, bits,
 * base), which writes base + i for every bit i and may write 64 numbers in all.
 *
 * A pattern matched from left to right becomes a few lines of logic on masks, since what decides whether a piece begins
 * at a character is the classes of its neighbours. Bit i stands for byte i of the block. Answers are given out one byte
 * late, bit i for byte i - 1, since one rule needs the byte that follows: so no block looks into the next.
 * docs/design/tokenizer.md derives the rules from the patterns.
 */
#include "classes.h"
#include "split.h"
#include "utf8.h"

#define INLINE static inline __attribute__((always_inline)) TARGET

typedef enum family { GPT2, DIGITS, CL100K, QWEN35, O200K, SPACES } family;

/* The mask of the bytes n places before: what was shifted out of the last block comes in. */
#define BACK(now, before, n) ((now) << (n) | (before) >> (64 - (n)))

/* a + b + carry. A run of ones in a to which its first bit is added is cleared, and the bit behind it set: so one
 * addition follows all runs to their ends. */
INLINE uint64_t add(uint64_t a, uint64_t b, uint64_t *carry) {
    const uint64_t s = a + b, t = s + *carry;
    *carry = (s < a) | (t < s);
    return t;
}

/* True at a character from U+5000 to U+9FFF: all of them are letters of neither case, and need no table. */
INLINE bool is_plain_han(const uint8_t *p, const uint8_t *end) {
    return p[0] >= 0xE5 && p[0] <= 0xE9 && end - p >= 3 && (p[1] & 0xC0) == 0x80 && (p[2] & 0xC0) == 0x80;
}

/* Adds what is not ASCII to the masks. `tails` are the bytes that may continue a character. */
INLINE void classify_rest(fe_carry *c, family kind, bool threes, const uint8_t *p, const uint8_t *end, uint64_t tails,
                          fe_masks64 *m) {
    uint64_t of[FE_CLASS_BEYOND_ASCII + 1] = {0}, run = 0;
    uint32_t class = c->over_class; /* of `run`: neighbours are mostly of the same class, and stay in a register */
    if (c->over) run = m->tail = (UINT64_C(1) << c->over) - 1;
    c->over = 0;
    for (uint64_t leads = m->high & ~tails; leads; leads &= leads - 1) {
        const uint32_t i = (uint32_t)__builtin_ctzll(leads);
        uint32_t here, length;
        if (is_plain_han(p + i, end)) {
            here = FE_CLASS_LETTER;
            length = 3;
        } else {
            uint32_t code;
            length = (uint32_t)fe_utf8_read(p + i, end, &code);
            here = length > 1 ? (uint32_t)fe_class_of(code) : FE_CLASS_BEYOND_ASCII; /* no valid character */
            if (kind == DIGITS && fe_is_younger_number(code)) here = FE_CLASS_NUMBER;
        }
        if (here != class) {
            of[class] |= run;
            run = 0;
            class = here;
        }
        const uint64_t bits = ((UINT64_C(1) << length) - 1) << i;
        run |= bits;
        m->tail |= bits & (bits - 1);
        if (i + length > 64) {
            c->over = i + length - 64;
            c->over_class = class;
        }
    }
    of[class] |= run;
    m->letter |= of[FE_CLASS_UPPER] | of[FE_CLASS_LOWER] | of[FE_CLASS_LETTER];
    if (kind == QWEN35) m->letter |= of[FE_CLASS_MARK];
    m->upper |= of[FE_CLASS_UPPER];
    m->both = of[FE_CLASS_LETTER];
    m->number |= of[FE_CLASS_NUMBER];
    /* A space of several bytes would be cut in its middle, and digits of several bytes be counted wrongly. */
    m->bad = of[FE_CLASS_SPACE] | of[FE_CLASS_BEYOND_ASCII] | (m->tail ^ tails);
    if (threes) m->bad |= of[FE_CLASS_NUMBER];
    if (kind == O200K) m->bad |= of[FE_CLASS_MARK];
}

/* Digits are cut in threes from the start of their run. */
INLINE uint64_t cut_threes(fe_carry *c, uint64_t number, uint64_t starts) {
    const uint64_t before = c->last.number;
    uint64_t cuts = starts;
    if (number & BACK(number, before, 1) & BACK(number, before, 2) & BACK(number, before, 3)) { /* four in a row */
        const uint64_t three = number & number << 1 & number << 2;
        uint64_t at = starts;
        if (c->digits && number & 1) { /* the run goes on from the last block */
            const uint64_t up_to = (UINT64_C(2) << (3 - c->digits)) - 1;
            if ((number & up_to) == up_to) at |= up_to ^ up_to >> 1;
        }
        for (cuts = at; at; cuts |= at) at = at << 3 & three;
    }
    c->digits = number >> 63 ? (uint32_t)__builtin_clzll(cuts) + 1 : 0;
    return cuts;
}

/* Contractions at the apostrophes `quotes` move cuts: *set and *clear of this block, c->set and c->clear of the next.
 */
INLINE void cut_contractions(fe_carry *c, family kind, const uint8_t *p, const uint8_t *end, uint64_t quotes,
                             uint64_t *set, uint64_t *clear) {
    for (; quotes; quotes &= quotes - 1) {
        const uint32_t i = (uint32_t)__builtin_ctzll(quotes);
        if (kind == O200K && p + i == c->contraction) continue; /* what it follows is no word */
        const uint32_t length = (uint32_t)fe_contraction(p + i, end, kind != GPT2);
        if (!length) continue;
        c->contraction = p + i + length;
        /* No piece begins at its letters, and in o200k, where it ends a word, none at the apostrophe. */
        const uint64_t inside = (UINT64_C(1) << length) - (kind == O200K ? 1 : 2);
        const uint32_t stop = i + length;
        *clear |= inside << i;
        if (stop > 64) c->clear |= inside >> (64 - i);
        if (stop < 64)
            *set |= UINT64_C(1) << stop;
        else
            c->set |= UINT64_C(1) << (stop - 64);
    }
}

/* White space behind a free line end begins a piece, unless another line end follows the white space: then all of it is
 * one piece, and a cut that was made for it, perhaps in a block before, is taken back. */
INLINE uint64_t cut_blanks(fe_scan *scan, fe_carry *c, uint64_t space, uint64_t newline, uint64_t free_line) {
    uint64_t cuts = space & BACK(free_line, c->free_line, 1), open = c->open_blank;
    const uint64_t behind = add(space, cuts, &open) & ~space;
    for (uint64_t wrong = behind & newline; wrong; wrong &= wrong - 1) {
        const uint64_t below = cuts & ((wrong & -wrong) - 1);
        if (below)
            cuts ^= UINT64_C(1) << (63 - __builtin_clzll(below)); /* the last run that begins below ends here */
        else if (c->pending)
            c->cuts &= ~(UINT64_C(1) << 63);
        else
            scan->count--;
    }
    c->pending = open && cuts >> 63;
    c->open_blank = open;
    return cuts;
}

/* Where pieces begin under GPT-2's pattern: at every change of class, one earlier where a blank stands before, and at
 * the last of several spaces. DIGITS: and at every number, before which a blank is just a space. */
INLINE uint64_t cut_gpt2(fe_carry *c, family kind, const uint8_t *p, const uint8_t *end, const fe_masks64 *m) {
    const fe_masks64 *const l = &c->last;
    const uint64_t numbers = kind == DIGITS ? m->tail : BACK(m->number, l->number, 1);
    const uint64_t same = (m->letter & BACK(m->letter, l->letter, 1)) | (m->number & numbers) |
                          (m->other & BACK(m->other, l->other, 1)) | (m->space & BACK(m->space, l->space, 1));
    const uint64_t apart = kind == DIGITS ? m->space | m->number : m->space; /* from a blank before them */
    uint64_t cuts = ~same & ~(BACK(m->blank, l->blank, 1) & ~apart), set = c->set, clear = c->clear;
    c->set = c->clear = 0;
    const uint64_t quotes = m->quote & cuts & (m->letter >> 1 | UINT64_C(1) << 63);
    if (quotes) cut_contractions(c, GPT2, p, end, quotes, &set, &clear);
    return (cuts & ~clear) | set;
}

/* cl100k: white space up to the end of the text is one piece, line ends and all: the cut that was made behind the last
 * of them is taken back. */
INLINE void join_last_blanks(fe_scan *scan, fe_carry *c, bool pending, uint64_t starts, int64_t size, uint64_t *cuts) {
    if (!c->open_blank) return;
    const int64_t start = starts ? 63 - __builtin_clzll(starts) : -1; /* of the run; -1: in a block before */
    if (start >= size) return;
    if (start >= 0)
        *cuts &= ~(UINT64_C(1) << start);
    else if (pending)
        c->cuts &= ~(UINT64_C(1) << 63);
    else
        scan->count--;
}

/* Where pieces begin under the patterns of cl100k, llama3 and qwen2, or o200k and tekken. */
INLINE uint64_t cut_words(fe_scan *scan, fe_carry *c, family kind, bool threes, bool suffixes, bool joins_end,
                          const uint8_t *p, fe_masks64 *m) {
    const fe_masks64 *const l = &c->last;
    /* Line ends behind others belong to them, in o200k with the slashes among them. */
    const uint64_t takers = kind == O200K ? m->newline | m->slash : m->newline;
    const uint64_t first = (m->newline & BACK(m->other, l->other, 1)) | (takers & c->taken >> 63);
    const uint64_t taken = (takers & ~(takers + first)) | first;
    m->other &= ~taken;
    const uint64_t free_line = m->newline & ~taken, white = m->space | free_line;
    uint64_t cuts = white & ~BACK(white, l->space | c->free_line, 1);
    const bool pending = c->pending;
    cuts |= cut_blanks(scan, c, m->space, m->newline, free_line);

    const uint64_t number = m->number & ~BACK(m->number, l->number, 1);
    cuts |= threes ? cut_threes(c, m->number, number) : m->number & ~m->tail;

    /* One character before letters is part of their word, if it begins a piece itself. */
    const uint64_t others = m->other & ~BACK(m->other, l->other, 1) & ~BACK(m->blank, l->blank, 1);
    const uint64_t char_of = m->tail | others, behind = add(char_of, others, &c->open_first) & ~char_of;
    cuts |= others | (m->letter & ~BACK(m->letter, l->letter, 1) & ~BACK(m->space, l->space, 1) & ~behind);
    uint64_t quotes = m->quote & others;
    if (kind == O200K) {
        const uint64_t lower = m->letter & ~m->upper & ~m->both, last_lower = l->letter & ~l->upper & ~l->both;
        cuts |= m->upper & BACK(lower, last_lower, 1);
        quotes = suffixes ? m->quote & BACK(m->letter, l->letter, 1) : 0;
    }
    uint64_t set = c->set, clear = c->clear;
    c->set = c->clear = 0;
    quotes &= m->letter >> 1 | UINT64_C(1) << 63;
    if (quotes) cut_contractions(c, kind, p, scan->end, quotes, &set, &clear);
    if (joins_end && scan->end - p < 64)
        join_last_blanks(scan, c, pending, m->space & BACK(free_line, c->free_line, 1), scan->end - p, &cuts);
    c->taken = taken;
    c->free_line = free_line;
    return (cuts & ~clear) | set;
}

/* Where runs of spaces begin; not behind U+2581, which is the same to the vocabulary. */
INLINE uint64_t cut_spaces(const fe_carry *c, const uint8_t *p, const fe_masks64 *m) {
    uint64_t cuts = m->blank & ~BACK(m->blank, c->last.blank, 1);
    for (uint64_t look = cuts & BACK(m->high, c->last.high, 1); look; look &= look - 1) {
        const int64_t i = __builtin_ctzll(look);
        if (p[i - 1] == 0x81) cuts &= ~(look & -look); /* its last byte: taking others for it costs a cut only */
    }
    return cuts;
}

/* The masks of the block at scan->base; `size` bytes of it belong to the text, the rest is made to look like a space.
 */
INLINE void load_block(const fe_scan *scan, int64_t size, fe_masks64 *m) {
    if (size == 64) {
        CLASSIFY(scan->base, m);
        return;
    }
    if (scan->readable - scan->base >= 64) {
        CLASSIFY(scan->base, m);
    } else {
        uint8_t copy[64] = {0};
        memcpy(copy, scan->base, (size_t)size);
        CLASSIFY(copy, m);
    }
    const uint64_t valid = (UINT64_C(1) << size) - 1;
    m->high &= valid, m->lead &= valid, m->letter &= valid, m->upper &= valid, m->number &= valid, m->newline &= valid;
    m->blank &= valid, m->quote &= valid, m->slash &= valid;
    m->space |= ~valid;
}

/* Finds cuts until there are FE_CUTS, or the text ends, or a block needs the slow way. Returns the place behind which
 * the slow way may stop, or NULL. */
INLINE const uint8_t *scan_family(fe_scan *scan, family kind, bool threes, bool suffixes, bool joins_end) {
    fe_carry c = scan->carry;
    const uint8_t *slow = NULL;
    while (!scan->done && scan->count < FE_CUTS) {
        const uint8_t *const p = scan->base;
        const int64_t left = scan->end - p, size = left < 64 ? left : 64;
        fe_masks64 m;
        load_block(scan, size, &m);
        m.both = m.tail = m.bad = 0;
        if (kind != SPACES && m.high) classify_rest(&c, kind, threes, p, scan->end, m.high & ~m.lead, &m);
        if (kind == O200K) m.bad |= m.upper & BACK(m.both, c.last.both, 1);
        if (m.bad) {
            slow = p + 63 - __builtin_clzll(m.bad);
            break;
        }
        uint64_t cuts, white;
        if (kind <= DIGITS) {
            m.space |= m.newline;
            m.newline = 0;
        }
        white = m.space | m.newline;
        m.other = ~(m.letter | m.number | white);
        if (kind == SPACES)
            cuts = cut_spaces(&c, p, &m);
        else if (kind <= DIGITS)
            cuts = cut_gpt2(&c, kind, p, scan->end, &m);
        else
            cuts = cut_words(scan, &c, kind, threes, suffixes, joins_end, p, &m);
        uint64_t out = BACK(cuts, c.cuts, 1);
        if (kind == DIGITS) white |= m.number; /* before which white space ends as it does at the end of a text */
        if (kind != SPACES) out |= BACK(m.space, c.last.space, 1) & ~white; /* the last of several spaces */
        if (scan->fresh) out &= ~UINT64_C(2); /* where the block begins: that has been given out */
        scan->fresh = false;
        uint32_t *const to = scan->cuts + scan->count;
        const uint32_t base = (uint32_t)(p - scan->text) - 1;
        if (size < 64) out &= (UINT64_C(2) << size) - 1; /* places behind the end, and the end itself */
        FLATTEN(to, out, base);
        scan->count += __builtin_popcountll(out);
        c.cuts = cuts;
        c.last = m;
        if (size < 64) {
            scan->cuts[scan->count++] = (uint32_t)(scan->end - scan->text);
            scan->done = true;
        }
        scan->base += size;
    }
    if (!scan->done) scan->carry = c;
    return slow;
}

/* Goes on until there are FE_CUTS, or to the end. */
TARGET void SCAN(fe_scan *scan) {
    while (!scan->done && scan->count < FE_CUTS) {
        const uint8_t *slow = NULL;
        switch (scan->pattern) {
        case FE_PATTERN_GPT2: slow = scan_family(scan, GPT2, false, false, false); break;
        case FE_PATTERN_CL100K: slow = scan_family(scan, CL100K, true, false, true); break;
        case FE_PATTERN_LLAMA3: slow = scan_family(scan, CL100K, true, false, false); break;
        case FE_PATTERN_QWEN2: slow = scan_family(scan, CL100K, false, false, false); break;
        case FE_PATTERN_O200K: slow = scan_family(scan, O200K, true, true, false); break;
        case FE_PATTERN_TEKKEN: slow = scan_family(scan, O200K, false, false, false); break;
        case FE_PATTERN_QWEN35: slow = scan_family(scan, QWEN35, false, false, false); break;
        case FE_PATTERN_GPT2_DIGITS: slow = scan_family(scan, DIGITS, false, false, false); break;
        case FE_PATTERN_SPACES: slow = scan_family(scan, SPACES, false, false, false); break;
        default: slow = scan->end; /* known to fe_split_next alone */
        }
        if (slow) fe_scan_slowly(scan, slow);
    }
}
