/* chars.h: characters as a vocabulary of characters sees them, and where a text may be cut because no token reaches
 * across. The builder and the tokenizer ask the same functions. */
#ifndef FE_CHARS_H
#define FE_CHARS_H

#include <stdbool.h>
#include <stdint.h>

#include "fe.h"
#include "trie.h"

#define FE_MARK 0x2581u /* the lower one eighth block, which SentencePiece writes for a space */

enum {
    FE_PAGE = 256,
    FE_PAGES = FE_PLACE / FE_PAGE,
    FE_PAIR_BITS = 19,
    FE_PAIR_WORDS = (1 << FE_PAIR_BITS) / 64
};

typedef struct fe_chars {
    const int32_t *pages;       /* by code / FE_PAGE: the number of its page, -1 where none of them is a symbol. Codes
                                   are code points; with FE_AFFIXES those of fe_place_flags */
    const int32_t *tokens;      /* FE_PAGE for each page, -1 where there is none */
    const uint64_t *pairs;      /* FE_CUT: a set of hashes, of the pairs of code points that stand side by side inside
                                   some token that merging makes. A pair that is not among them is taken
                                   for one now and then: then the text is not cut there */
    const uint64_t (*ascii)[2]; /* bit b of row a: fe_chars_can_cut between the ASCII characters a and b */
    const fe_unit *wholes;      /* FE_WHOLE_FIRST: a trie of names, else NULL */
    const int32_t *whole_tokens; /* by the values of this trie */
    uint32_t flags;
    bool all_solid; /* each character gives symbols that stay where they are */
    bool one_unknown; /* a run of unknown ones is a symbol that stays, so it may be cut off */
} fe_chars;

/* FE_WHOLE_FIRST: the token that [p, end), behind a mark if front, is as a whole, or -1. */
int32_t fe_chars_whole(const fe_chars *c, const uint8_t *p, const uint8_t *end, bool front);

/* The first place behind p, or end, at which [p, end) may be cut; front: a mark stands before it. */
const uint8_t *fe_chars_cut(const fe_chars *c, const uint8_t *p, const uint8_t *end, bool front);

/* The token of a code, or -1. */
static inline int32_t fe_char_token(const fe_chars *c, uint32_t code) {
    const int32_t page = c->pages[code / FE_PAGE];
    return page < 0 ? -1 : c->tokens[(int64_t)page * FE_PAGE + code % FE_PAGE];
}

/* A code point as the vocabulary sees it: a space as the mark. */
static inline uint32_t fe_char_seen(const fe_chars *c, uint32_t code) {
    return code == ' ' && c->flags & FE_SPACE_MARK ? FE_MARK : code;
}

/* The bit of a pair. Two rounds: after one, pairs of neighbouring code points fell together far too often. */
static inline uint64_t fe_char_pair_bit(uint32_t before, uint32_t after) {
    uint64_t h = before * UINT64_C(0x9E3779B97F4A7C15) + after * UINT64_C(0xC2B2AE3D27D4EB4F);
    h = (h ^ h >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return h >> (64 - FE_PAIR_BITS);
}

/* True if a run of unknown characters becomes one symbol, which never merges. */
static inline bool fe_is_unknown_one(uint32_t flags, int32_t unk) {
    return unk >= 0 && (flags & (FE_FUSE_UNK | FE_BYTE_FALLBACK)) == FE_FUSE_UNK;
}

/* Whether a text is cut, or may be, between two characters; it may not be inside a run of unknown ones that fuse, nor
 * next to one that may vanish, so that what stood apart meets. */
static inline bool fe_chars_can_cut(const fe_chars *c, uint32_t before, uint32_t after) {
    if (after == FE_MARK && c->flags & FE_SPLIT_MARKS) return true;
    if (!(c->flags & FE_CUT)) return false;
    const uint64_t bit = fe_char_pair_bit(before, after);
    if (c->pairs[bit / 64] >> bit % 64 & 1) return false;
    if (c->all_solid) return true;
    const int known = (fe_char_token(c, before) >= 0) + (fe_char_token(c, after) >= 0);
    return known >= (c->one_unknown ? 1 : 2);
}

#endif
