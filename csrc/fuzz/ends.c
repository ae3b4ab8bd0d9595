/* ends.c: vocabularies of pieces larger and odder than those of unigrams.c: the best way through a text by what ends at
 * each place (unigram_ends.h) is that of a walk from each place; so are its margin and what is unknown. */
#include "fuzz.h"
#include "unigram_ways.h"
#include "utf8.h"

enum { PIECES = 3000, BYTES = 40 * PIECES, MOST = FE_MOST_PIECE_BYTES - 4 };

typedef struct pieces_case {
    uint8_t bytes[BYTES + FE_MOST_PIECE_BYTES], flags[PIECES];
    uint32_t offsets[PIECES + 1];
    double scores[PIECES + 1];
    fe_value values[PIECES + 1];
    int64_t count;
    bool whole; /* of characters, as far as the states go */
} pieces_case;

/* A character of an alphabet of so many, which are of one byte, of two, or of any number. */
static int64_t random_char(uint8_t *to, uint32_t kind, uint32_t alphabet) {
    const uint32_t code = rnd(alphabet);
    if (kind == 0) return write_utf8(to, 'a' + code % 26);
    if (kind == 1) return write_utf8(to, 0x400 + code);
    return write_utf8(to, one_in(3) ? 0x20 + code % 90 : one_in(3) ? 0x1F600 + code : 0x3041 + code * 67 % 0x5000);
}

static void add_piece(pieces_case *c, uint32_t kind, uint32_t alphabet, int64_t most) {
    uint8_t *const piece = c->bytes + c->offsets[c->count];
    const bool again = c->count && one_in(2);
    int64_t size = 0, wish = 1 + rnd((uint32_t)most);
    if (again) { /* what another one begins with, or ends in: so that there are states that end in states */
        const uint32_t other = rnd((uint32_t)c->count), at = c->offsets[other];
        const int64_t length = c->offsets[other + 1] - at, kept = 1 + rnd((uint32_t)length);
        memmove(piece, c->bytes + at + (one_in(2) ? 0 : length - kept), (size_t)kept);
        size = kept;
        if (one_in(2)) wish = size;
    }
    while (size < wish) size += random_char(piece + size, kind, alphabet);
    c->whole &= size > FE_ENDS_BYTES || fe_utf8_valid(piece, piece + size);
    c->offsets[c->count + 1] = c->offsets[c->count] + (uint32_t)size;
    c->count++;
}

static void draw_pieces(pieces_case *c, uint32_t kind, uint32_t alphabet) {
    const int64_t wish = rnd(one_in(8) ? PIECES : 200);
    const int64_t most = one_in(4) ? 90 : one_in(20) ? MOST : 2 + rnd(12);
    const uint32_t few = one_in(2) ? 3 : 1000; /* ties, or none */
    c->offsets[0] = 0;
    c->whole = true;
    for (c->count = 0; c->count < wish && c->offsets[c->count] < BYTES;) {
        const int64_t before = c->count;
        const bool whole = c->whole;
        add_piece(c, kind, alphabet, most);
        const bool part = c->whole != whole; /* of a character: in few vocabularies */
        if (part && !one_in(50)) c->count = before, c->whole = whole;
    }
    for (int64_t i = 0; i <= c->count; i++) {
        c->scores[i] = i == c->count ? -12 : -(double)rnd(few) / 4;
        c->values[i] = (fe_value){i == c->count ? 0 : (float)c->scores[i], (int32_t)i};
    }
}

static int64_t draw_text(const pieces_case *c, uint8_t *text, uint32_t kind, uint32_t alphabet) {
    int64_t n = 0;
    const int64_t wish = rnd(FE_ENDS_BYTES + 1);
    while (n < wish) {
        const uint32_t piece = c->count ? rnd((uint32_t)c->count) : 0, at = c->offsets[piece];
        if (one_in(9)) {
            text[n++] = (uint8_t)rnd(256);
        } else if (one_in(2) || !c->count) {
            n += random_char(text + n, kind, alphabet);
        } else {
            for (uint32_t i = at; i < c->offsets[piece + 1] && n < wish; i++) text[n++] = c->bytes[i];
        }
    }
    return wish;
}

void check_ends(void) {
    static pieces_case c;
    const uint32_t kind = rnd(3), alphabet = one_in(2) ? 2 : 1 + rnd(200);
    fe_trie trie;
    fe_ends *ends;
    draw_pieces(&c, kind, alphabet);
    memset(c.flags, 0, sizeof c.flags);
    const fe_keys keys = {c.bytes, c.offsets, c.flags, c.count, 1, 0, false};
    CHECK(fe_trie_build(&keys, &trie) == FE_OK && fe_trie_valid(trie.units, (uint64_t)trie.count, c.count));
    CHECK(fe_ends_new(trie.units, (uint64_t)trie.count, c.count, &ends) == FE_OK);
    CHECK(!ends || c.whole);
    const fe_unigram walked = {.units = trie.units, .scores = c.scores, .values = c.values, .pieces = c.count,
                               .unk_score = c.scores[c.count]};
    fe_unigram stepped = walked;
    stepped.ends = ends;
    for (int i = 0; i < 20; i++) {
        uint8_t block[FE_ENDS_BYTES + 8];
        int32_t values[FE_NEAR_BYTES], others[FE_NEAR_BYTES];
        const int64_t size = draw_text(&c, block, kind, alphabet);
        uint8_t *const text = exactly(block, size);
        const fe_near a = fe_unigram_near(&walked, text, text + size, values);
        const fe_near b = fe_unigram_near(&stepped, text, text + size, others);
        CHECK(a.count == b.count && a.chars == b.chars && a.unknown == b.unknown);
        CHECK(a.margin == b.margin && memcmp(values, others, (size_t)a.count * sizeof *values) == 0);
        free(text);
    }
    fe_ends_free(ends);
    fe_trie_clear(&trie);
}
