/* split.c: GPT-2's pattern, matched by hand, one piece at a time.
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * The alternatives are tried in order and each takes all it can, so the class of the first character,
 * or of the one behind a single space, decides which of them matches.
 */
#include "split.h"

#include "fe.h"
#include "unicode_classes.h"
#include "utf8.h"

enum { OTHER, LETTER, NUMBER, SPACE };

int32_t fe_code_class(uint32_t code) {
    if (code > 0x10FFFF) return OTHER;
    return fe_class_blocks[fe_class_index[code >> 8]][(code & 255) >> 2] >> (code & 3) * 2 & 3;
}

/* The class of the character at p, and its length. */
static int32_t class_at(const uint8_t *p, const uint8_t *end, int32_t *length) {
    uint32_t code;
    *length = fe_utf8_read(p, end, &code);
    return fe_code_class(code);
}

/* The length of 's 't 're 've 'm 'll 'd at p, where an apostrophe stands; 0 where none of them does. */
static int32_t contraction(const uint8_t *p, const uint8_t *end) {
    const int64_t left = end - p;
    if (left < 2) return 0;
    const uint8_t a = p[1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (left < 3) return 0;
    const uint8_t b = p[2];
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

const uint8_t *fe_split_gpt2(const uint8_t *p, const uint8_t *end, bool after_space) {
    int32_t length;
    if (*p == '\'' && !after_space) {
        length = contraction(p, end);
        if (length) return p + length;
    }
    const uint8_t *q = *p == ' ' && !after_space && p + 1 < end ? p + 1 : p;
    int32_t class = class_at(q, end, &length);
    if (class != SPACE) { /* one class to its end, with the space before it */
        const int32_t first = class;
        do q += length;
        while (q < end && (class = class_at(q, end, &length)) == first);
        return q;
    }
    const uint8_t *last = p; /* a run of white space gives its last character to what follows it */
    q = p;
    while (q < end && class_at(q, end, &length) == SPACE) {
        last = q;
        q += length;
    }
    return q == end || (last == p && !after_space) ? q : last;
}
