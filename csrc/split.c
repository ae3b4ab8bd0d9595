/* split.c: the known patterns, matched by hand, one piece at a time: the ground truth of every faster path.
 *
 * The alternatives of a pattern are tried in order and each takes all it can, so the classes of the first two
 * characters decide which of them matches. A run of characters is walked a fixed number of times, whatever
 * it is cut into: a text takes linear time.
 *
 * \s is FE_CLASS_SPACE, \p{L} FE_SET_LETTERS, \p{N} FE_CLASS_NUMBER. Contractions are 's 't 'm 'd 'll 've 're.
 */
#include "split.h"

#include "classes.h"
#include "fe.h"
#include "letters.h"

enum {
    UNMARKED = 1 << FE_CLASS_OTHER | 1 << FE_CLASS_SYMBOL,              /* [^\s\p{L}\p{M}\p{N}] */
    SYMBOLS = UNMARKED | FE_SET_MARK,                                   /* [^\s\p{L}\p{N}] */
    MARKED_LETTERS = FE_SET_LETTERS | FE_SET_MARK,                      /* [\p{L}\p{M}] */
    NO_CASE = 1 << FE_CLASS_LETTER | FE_SET_MARK,                       /* [\p{Lm}\p{Lo}\p{M}] */
    CAPITALS = 1 << FE_CLASS_UPPER | NO_CASE,                           /* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] */
    SMALLS = 1 << FE_CLASS_LOWER | NO_CASE                              /* [\p{Ll}\p{Lm}\p{Lo}\p{M}] */
};

int32_t fe_code_class(uint32_t code) { return fe_class_of(code); }

static inline bool in(int32_t class, int32_t set) { return (set >> class & 1) != 0; }

static inline bool is_line_end(uint8_t byte) { return byte == '\n' || byte == '\r'; }

/* Behind the characters at p that are of a set. */
static inline const uint8_t *run(const uint8_t *p, const uint8_t *end, int32_t set) {
    while (p < end) {
        if (*p < 0x80) {
            if (in(FE_CLASS_LOWER, set)) p = fe_ascii_letters(p, end, in(FE_CLASS_UPPER, set));
            while (p < end && in(fe_byte_classes[*p], set)) p++;
            if (p == end || *p < 0x80) break;
        }
        int32_t length;
        if (!in(fe_class_at(p, end, &length), set)) break;
        p += length;
    }
    return p;
}

/* Behind the numbers at p, at most so many of them. */
static inline const uint8_t *numbers(const uint8_t *p, const uint8_t *end, int32_t most) {
    int32_t length;
    for (; most && p < end && fe_class_at(p, end, &length) == FE_CLASS_NUMBER; most--) p += length;
    return p;
}

/* Behind the line ends at p, and the slashes among them where asked. */
static inline const uint8_t *line_ends(const uint8_t *p, const uint8_t *end, bool slashes) {
    while (p < end && (is_line_end(*p) || (slashes && *p == '/'))) p++;
    return p;
}

/* A run of white space. */
struct space {
    const uint8_t *last; /* its last character */
    const uint8_t *line; /* behind its last line end; NULL where it has none */
    const uint8_t *stop; /* behind it */
};

static inline struct space space_run(const uint8_t *p, const uint8_t *end) {
    struct space space = {p, NULL, p};
    int32_t length;
    while (space.stop < end && fe_class_at(space.stop, end, &length) == FE_CLASS_SPACE) {
        space.last = space.stop;
        space.stop += length;
        if (is_line_end(*space.last)) space.line = space.stop;
    }
    return space;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ : all to the last line end; else a run gives its last character to what follows it, unless
 * that is all it has. at_end: nothing follows it. */
static inline const uint8_t *white_space(const uint8_t *p, struct space space, bool at_end) {
    if (space.line) return space.line;
    return at_end || space.last == p ? space.stop : space.last;
}

/*  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+  */
static const uint8_t *split_gpt2(const uint8_t *p, const uint8_t *end, bool after_space) {
    int32_t length;
    if (*p == '\'' && !after_space) {
        length = fe_contraction(p, end, false);
        if (length) return p + length;
    }
    const uint8_t *q = *p == ' ' && !after_space && p + 1 < end ? p + 1 : p;
    const int32_t class = fe_class_at(q, end, &length);
    q += length;
    if (in(class, FE_SET_LETTERS)) return run(q, end, FE_SET_LETTERS);
    if (class == FE_CLASS_NUMBER) return run(q, end, FE_SET_NUMBER);
    if (class != FE_CLASS_SPACE) return run(q, end, SYMBOLS);
    const struct space space = space_run(p, end);
    return space.stop == end || (space.last == p && !after_space) ? space.stop : space.last;
}

/* The class at p; a number for the sake of Digits also where Unicode 17.0 has one. */
static inline int32_t digits_class_at(const uint8_t *p, const uint8_t *end, int32_t *length) {
    uint32_t code;
    *length = fe_utf8_read(p, end, &code);
    return fe_is_younger_number(code) ? FE_CLASS_NUMBER : fe_class_of(code);
}

/* The same between single digits: where one follows, the text is at its end. */
static const uint8_t *split_gpt2_digits(const uint8_t *p, const uint8_t *end) {
    int32_t length, next;
    int32_t class = digits_class_at(p, end, &length);
    if (class == FE_CLASS_NUMBER) return p + length;
    if (*p == '\'' && (next = fe_contraction(p, end, false)) != 0) return p + next;
    const uint8_t *q = p + length;
    if (*p == ' ' && q < end) {
        next = digits_class_at(q, end, &length);
        if (next == FE_CLASS_NUMBER) return q;
        if (next != FE_CLASS_SPACE) {
            class = next;
            q += length;
        }
    }
    if (in(class, FE_SET_LETTERS)) return run(q, end, FE_SET_LETTERS);
    if (class != FE_CLASS_SPACE) {
        while (q < end && in(digits_class_at(q, end, &length), SYMBOLS)) q += length;
        return q;
    }
    const struct space space = space_run(p, end);
    const bool at_end = space.stop == end || digits_class_at(space.stop, end, &length) == FE_CLASS_NUMBER;
    return at_end || space.last == p ? space.stop : space.last;
}

/*  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 *  \s*[\r\n]+|\s+(?!\S)|\s+
 *
 * marks: [\p{L}\p{M}] for \p{L}, and [^\s\p{L}\p{M}\p{N}] for [^\s\p{L}\p{N}]. digits: how many numbers make a piece.
 * whole_tail: white space at the end of the text is one piece, although there are line ends in it (\s++$ before
 * \s*[\r\n]). */
static inline const uint8_t *split_words(const uint8_t *p, const uint8_t *end, int32_t digits, bool marks,
                                         bool whole_tail) {
    const int32_t letters = marks ? MARKED_LETTERS : FE_SET_LETTERS, symbols = marks ? UNMARKED : SYMBOLS;
    int32_t length;
    const int32_t class = fe_class_at(p, end, &length);
    const uint8_t *const q = p + length;
    if (in(class, letters)) return run(q, end, letters);
    if (class == FE_CLASS_NUMBER) return numbers(q, end, digits - 1);
    if (q < end && !is_line_end(*p)) {
        const int32_t next = fe_class_at(q, end, &length);
        if (in(next, letters)) {
            const int32_t contracted = *p == '\'' ? fe_contraction(p, end, true) : 0;
            return contracted ? p + contracted : run(q + length, end, letters);
        }
        if (*p == ' ' && in(next, symbols)) return line_ends(run(q + length, end, symbols), end, false);
    }
    if (class != FE_CLASS_SPACE) return line_ends(run(q, end, symbols), end, false);
    const struct space space = space_run(p, end);
    return whole_tail && space.stop == end ? end : white_space(p, space, space.stop == end);
}

/*  [CAPITALS]*[SMALLS]+|[CAPITALS]+[SMALLS]*  at p, where a letter or a mark stands.
 *
 * Where a small letter follows the capitals, the first alternative takes both runs. Where none does, it gives
 * capitals back until the last is one that may be small as well, and ends behind that one; only if there is
 * none does the second alternative take them all. */
static inline const uint8_t *cased_word(const uint8_t *p, const uint8_t *end) {
    const uint8_t *no_case = NULL; /* behind the last one */
    while (p < end) {
        int32_t length;
        const int32_t class = fe_class_at(p, end, &length);
        if (class == FE_CLASS_LOWER) return run(p + length, end, SMALLS);
        if (!in(class, CAPITALS)) break;
        p += length;
        if (class != FE_CLASS_UPPER) no_case = p;
    }
    return no_case ? no_case : p;
}

/*  [^\r\n\p{L}\p{N}]?[CAPITALS]*[SMALLS]+(CONTRACTION)?|[^\r\n\p{L}\p{N}]?[CAPITALS]+[SMALLS]*(CONTRACTION)?|
 *  \p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *
 * A mark may stand before a word as any symbol may, and belong to it: it ends at the same place either way. */
static inline const uint8_t *split_cased(const uint8_t *p, const uint8_t *end, int32_t digits, bool contractions) {
    int32_t length;
    const int32_t class = fe_class_at(p, end, &length);
    const uint8_t *const q = p + length;
    if (class == FE_CLASS_NUMBER) return numbers(q, end, digits - 1);
    const uint8_t *word = in(class, MARKED_LETTERS) ? p : NULL;
    if (!word && q < end && !is_line_end(*p)) {
        const int32_t next = fe_class_at(q, end, &length);
        if (in(next, MARKED_LETTERS))
            word = q;
        else if (*p == ' ' && in(next, SYMBOLS))
            return line_ends(run(q + length, end, SYMBOLS), end, true);
    }
    if (word) {
        word = cased_word(word, end);
        return contractions && word < end && *word == '\'' ? word + fe_contraction(word, end, true) : word;
    }
    if (class != FE_CLASS_SPACE) return line_ends(run(q, end, SYMBOLS), end, true);
    const struct space space = space_run(p, end);
    return white_space(p, space, space.stop == end);
}

/* What DeepSeek's first two patterns cut off is a fragment of its own, and so is what they leave: \p{N}{1,3} and
 * [\u4E00-\u9FA5\u3040-\u30FF]+. To the third pattern a fragment is a whole text, so BREAK stands for whatever
 * is not of the fragment that is walked, and for the end. han: whether that is of the second kind. */
enum { BREAK = 15 };

static inline bool is_fragment_han(uint32_t code) {
    return (code >= 0x4E00 && code <= 0x9FA5) || (code >= 0x3040 && code <= 0x30FF);
}

static inline int32_t fragment_class_at(const uint8_t *p, const uint8_t *end, bool han, int32_t *length) {
    if (p == end) return BREAK;
    uint32_t code;
    *length = fe_utf8_read(p, end, &code);
    const int32_t class = code < 0x80 ? fe_byte_classes[code] : fe_class_of(code);
    return class == FE_CLASS_NUMBER || is_fragment_han(code) != han ? BREAK : class;
}

static inline const uint8_t *fragment_run(const uint8_t *p, const uint8_t *end, bool han, int32_t set) {
    int32_t length;
    if (!han && in(FE_CLASS_LOWER, set)) p = fe_ascii_letters(p, end, in(FE_CLASS_UPPER, set));
    while (in(fragment_class_at(p, end, han, &length), set)) p += length;
    return p;
}

/* The characters of a fragment that match nothing, from the first of them, which ends at q, to the next match.
 * They are of FE_CLASS_OTHER, and match only right before a letter or a mark. */
static const uint8_t *unmatched(const uint8_t *q, const uint8_t *end, bool han) {
    int32_t length;
    while (fragment_class_at(q, end, han, &length) == FE_CLASS_OTHER) {
        const uint8_t *const next = q + length;
        if (in(fragment_class_at(next, end, han, &length), MARKED_LETTERS)) break;
        q = next;
    }
    return q;
}

/*  [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|
 *  \s*[\r\n]+|\s+(?!\S)|\s+ , in each fragment; what none of them matches is a piece too. */
static const uint8_t *split_deepseek(const uint8_t *p, const uint8_t *end) {
    uint32_t code;
    int32_t length = fe_utf8_read(p, end, &code);
    const int32_t class = fe_class_of(code);
    const uint8_t *q = p + length;
    if (class == FE_CLASS_NUMBER) return numbers(q, end, 2);
    const bool han = is_fragment_han(code);
    if (in(class, MARKED_LETTERS)) return fragment_run(q, end, han, MARKED_LETTERS);
    const int32_t next = fragment_class_at(q, end, han, &length);
    if (class != FE_CLASS_SYMBOL) {
        if (in(next, MARKED_LETTERS) && !is_line_end(*p)) return fragment_run(q + length, end, han, MARKED_LETTERS);
        if (class == FE_CLASS_OTHER) return unmatched(q, end, han);
        if (*p != ' ' || next != FE_CLASS_SYMBOL) {
            const struct space space = space_run(p, end);
            return white_space(p, space, fragment_class_at(space.stop, end, han, &length) == BREAK);
        }
        q += length;
    } else if (code < 0x80 && in(next, FE_SET_LETTERS)) { /* ASCII letters only: perhaps none */
        while (q < end && in(fe_byte_classes[*q], FE_SET_LETTERS)) q++;
        return q;
    }
    q = fragment_run(q, end, han, 1 << FE_CLASS_SYMBOL);
    return han ? q : line_ends(q, end, false); /* a line end is no part of a fragment of the second kind */
}

const uint8_t *fe_split_next(int32_t pattern, const uint8_t *p, const uint8_t *end, bool after_space) {
    switch (pattern) {
    case FE_PATTERN_GPT2: return split_gpt2(p, end, after_space);
    case FE_PATTERN_CL100K: return split_words(p, end, 3, false, true);
    case FE_PATTERN_LLAMA3: return split_words(p, end, 3, false, false);
    case FE_PATTERN_QWEN2: return split_words(p, end, 1, false, false);
    case FE_PATTERN_O200K: return split_cased(p, end, 3, true);
    case FE_PATTERN_TEKKEN: return split_cased(p, end, 1, false);
    case FE_PATTERN_DEEPSEEK_V3: return split_deepseek(p, end);
    case FE_PATTERN_QWEN35: return split_words(p, end, 1, true, false);
    case FE_PATTERN_GPT2_DIGITS: return split_gpt2_digits(p, end);
    default: return end;
    }
}
