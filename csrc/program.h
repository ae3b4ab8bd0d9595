/* program.h: a pattern as a program, matched one piece at a time.
 *
 * A program is what most published patterns are: alternatives, tried in order, of items that each take characters of
 * some classes (fe_item). It is not written for one pattern, and reads no syntax: fastemb/_text/program.py does that.
 *
 * No text can make it slow. What could do so is trying anew, at every place of a long run, an item that walks to the
 * run's end, or that gives back one character after the other. So
 *
 * - an item that may take any number of characters keeps the last long run that it walked: it is walked once;
 * - when a program is made, it is worked out for each item whether giving back can ever help. It cannot where what
 *   comes next is never of the item's own classes, or may be nothing (FE_GIVE_NOTHING). Where all depends on the one
 *   character at the place given back to, the last such place of a run is kept with it (FE_GIVE_SEARCHED). Everything
 *   else is tried one by one (FE_GIVE_TRIED), which is allowed to items that take few characters only;
 * - the limits of all items together are bounded.
 *
 * A program that asks for more is refused. docs/design/tokenizer_cuts.md has the proof.
 */
#ifndef FE_PROGRAM_H
#define FE_PROGRAM_H

#include <stdbool.h>
#include <string.h>

#include "fe.h"
#include "utf8.h"

enum {
    FE_KIND_PAGES = 0x110000 / 128,
    FE_KINDS = 256,
    FE_ALTERNATIVES = 32, /* of a program */
    FE_PROGRAM_ITEMS = 256,
    FE_MEMOS = 64,         /* items of a program that may take any number of characters */
    FE_LONG_RUN = 128,     /* bytes; shorter runs are walked as often as they are asked for */
    FE_MOST_TRIED = 16,    /* characters that may be given back one by one in an alternative */
    FE_MOST_TRIALS = 64,   /* and the ways to combine that */
    FE_MOST_LIMITED = 4096 /* the sum of all limits of a program */
};

/* Which ASCII letters are all of an item's classes, so that words are walked eight bytes at a time. */
enum fe_letters { FE_LETTERS_NONE, FE_LETTERS_SMALL, FE_LETTERS_ALL };

/* How an item gives back what it took. */
enum fe_give { FE_GIVE_NOTHING, FE_GIVE_TRIED, FE_GIVE_SEARCHED };

/* An item as it is run. */
typedef struct fe_op {
    uint32_t bits;
    uint32_t test; /* FE_GIVE_SEARCHED: the classes of the character at a place given back to: it is of one of them if
                      `wanted`, of none if not; `at_end`: the end of the text will do */
    int32_t min, max;
    uint8_t kind, give, memo;
    uint8_t letters; /* enum fe_letters */
    bool wanted, at_end;
} fe_op;

/* The classes of characters, for all programs of a chain. */
typedef struct fe_kinds {
    uint32_t bits[FE_KINDS];
    uint32_t ascii[256], bytes[256]; /* by byte; ascii: nothing from 0x80 on */
    uint8_t ascii_kind[128];
    const uint16_t *pages;
    const uint8_t *blocks, *byte_kind;
    int32_t count;
    uint8_t quote, quote_byte; /* the kinds of the apostrophe */
} fe_kinds;

typedef struct fe_program {
    uint32_t starts[FE_KINDS]; /* by the kind of the first character: a bit for each alternative that may begin so */
    uint16_t first[FE_ALTERNATIVES];
    const fe_op *ops;
    bool of_bytes;
} fe_program;

/* The last long run that an item walked, in one text. */
typedef struct fe_memo {
    const uint8_t *from, *to;
    const uint8_t *found; /* FE_GIVE_SEARCHED: the last place in it that can be given back to, or NULL */
} fe_memo;

typedef struct fe_memos {
    bool any; /* else all are empty, whatever stands in them */
    fe_memo of[FE_MEMOS];
} fe_memos;

/* Works a program out of its items, which are `count` and end with FE_ITEM_END; `ops` has room for as many. False: it
 * is none, or some text could make it slow. */
bool fe_program_make(fe_program *program, fe_op *ops, const fe_item *items, int64_t count, const fe_kinds *kinds,
                     bool of_bytes);

/* The end of the match that starts at p (p < end); NULL where none does. It depends on the bytes from p to end and on
 * nothing else. `memos` is of the text that ends at `end`. */
const uint8_t *fe_program_match(const fe_program *program, const fe_kinds *kinds, fe_memos *memos, const uint8_t *p,
                                const uint8_t *end);

#endif
