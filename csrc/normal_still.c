/* normal_still.c: which characters a charsmap and a list of symbols leave as they are, whatever follows or unless some
 * character does, found once for a tokenizer. So most of a text is not looked up in double arrays.
 *
 * Strings are walked by their first two characters. Only arrays are taken whose strings are made of characters: where
 * one ends inside the first two, or goes on by a byte that begins none, there is no table, and all is looked up. */
#include <string.h>

#include "mem.h"
#include "normal.h"
#include "normal_pieces.h"
#include "utf8.h"

enum { MOST_LOOKS = 1 << 18 }; /* for children of nodes: so an array that leads in circles takes no time */

typedef struct finder {
    fe_array array;
    fe_still *still;
    uint32_t pages, room; /* in use, and there */
    int64_t looks;
    bool odd; /* not an array whose strings are characters */
    fe_status status;
} finder;

/* A page more, all zero, in the place of page 0 that a character had. */
static void add_page(finder *f, uint32_t code) {
    if (f->pages == f->room) {
        fe_still *const grown = realloc(f->still, sizeof *f->still + 2 * (size_t)f->room * FE_STILL_PAGE);
        if (!grown) {
            f->status = FE_NO_MEMORY;
            return;
        }
        f->still = grown;
        f->room *= 2;
    }
    memset(f->still->flags + (size_t)f->pages * FE_STILL_PAGE, 0, FE_STILL_PAGE);
    f->still->index[code / FE_STILL_PAGE] = (uint16_t)f->pages++;
}

/* Adds flags of a character. */
static void mark_char(finder *f, uint32_t code, uint8_t flags) {
    if (!f->still->index[code / FE_STILL_PAGE]) add_page(f, code);
    if (f->status != FE_OK) return;
    const size_t page = f->still->index[code / FE_STILL_PAGE];
    f->still->flags[page * FE_STILL_PAGE + code % FE_STILL_PAGE] |= flags;
}

/* The next byte from `byte` on by which strings go on from a node, given by the place of its children; 256: none. */
static uint32_t next_child(finder *f, uint32_t place, uint32_t byte) {
    if (++f->looks > MOST_LOOKS) f->odd = true;
    for (; byte < 256 && !f->odd; byte++) {
        const uint32_t child = place ^ byte;
        if (child < f->array.count && fe_label_of(fe_unit_at(f->array, child)) == byte) return byte;
    }
    return 256;
}

/* A place among the strings: that of its children, and whether a string ends here. */
typedef struct node {
    uint32_t place;
    bool ends;
} node;

static node child_of(const finder *f, node parent, uint32_t byte) {
    const uint32_t child = parent.place ^ byte, unit = fe_unit_at(f->array, child);
    return (node){child ^ fe_offset_of(unit), unit >> 8 & 1};
}

/* Calls `each` for every character by which strings go on from a node. */
static void each_char(finder *f, node from, void (*each)(finder *, uint32_t code, node at)) {
    enum { MOST = 4 }; /* bytes of a character */
    node nodes[MOST + 1] = {from};
    uint32_t bytes[MOST] = {1}, code; /* from which on the children of each are looked for */
    uint8_t text[MOST];
    for (int depth = 0; depth >= 0 && !f->odd && f->status == FE_OK;) {
        const uint32_t byte = next_child(f, nodes[depth].place, bytes[depth]);
        if (byte == 256) {
            depth--;
            continue;
        }
        bytes[depth] = byte + 1;
        text[depth] = (uint8_t)byte;
        const node child = nodes[depth + 1] = child_of(f, nodes[depth], byte);
        const int32_t length = text[0] < 0x80 ? 1 : text[0] < 0xE0 ? 2 : text[0] < 0xF0 ? 3 : 4;
        if (depth + 1 < length) {
            f->odd |= child.ends;
            bytes[++depth] = 1;
        } else if (fe_utf8_read(text, text + length, &code) == length && (length > 1 || byte < 0x80)) {
            each(f, code, child);
        } else {
            f->odd = true;
        }
    }
}

static void second(finder *f, uint32_t code, node at) {
    (void)at;
    mark_char(f, code, FE_STILL_SECOND);
}

static void first(finder *f, uint32_t code, node at) {
    if (at.ends) mark_char(f, code, FE_STILL_ALONE);
    if (next_child(f, at.place, 1) == 256) return;
    mark_char(f, code, FE_STILL_FIRST);
    each_char(f, at, second);
}

fe_status fe_still_new(const uint8_t *steps, uint64_t size, fe_still **out) {
    enum { FIRST_PAGES = 64 };
    fe_norm_step step;
    *out = NULL;
    if (size < sizeof step.head || *steps != FE_NORM_PIECES) return FE_OK;
    memcpy(&step.head, steps, sizeof step.head);
    step.from = steps + sizeof step.head;
    step.to = step.from + step.head.from_size;
    finder f = {.pages = 1, .room = FIRST_PAGES};
    f.still = fe_new_zeros(1, sizeof *f.still + FIRST_PAGES * FE_STILL_PAGE);
    if (!f.still) return FE_NO_MEMORY;
    fe_array arrays[2];
    fe_pieces_arrays(&step, arrays);
    for (int i = 0; i < 2; i++) {
        f.array = arrays[i];
        if (f.array.count) each_char(&f, (node){fe_offset_of(fe_unit_at(f.array, 0)), false}, first);
    }
    if (f.odd || f.status != FE_OK) {
        free(f.still);
        return f.status;
    }
    for (uint8_t byte = 1; byte < 128; byte++)
        if (!(fe_still_flags_of(f.still, byte) & FE_STILL_FIRST) && fe_pieces_blanks(&step, byte))
            f.still->blanks[byte >> 3] |= (uint8_t)(1 << (byte & 7));
    *out = f.still;
    return FE_OK;
}
