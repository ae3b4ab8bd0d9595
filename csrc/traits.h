/* traits.h: what normalizers do to a code point (the tables are of several versions of Unicode, as Hugging Face's are:
 * make_unicode_normal.py says which). */
#ifndef FE_TRAITS_H
#define FE_TRAITS_H

#include <stdbool.h>
#include <stdint.h>

enum fe_trait_flags {
    FE_TRAIT_CANON = 1,       /* NFD changes it */
    FE_TRAIT_COMPAT = 2,      /* NFKD does */
    FE_TRAIT_SECOND = 4,      /* it may become one with a character before it */
    FE_TRAIT_NFC = 8,         /* NFC changes it, even alone */
    FE_TRAIT_NFKC = 16,       /* NFKC does */
    FE_TRAIT_MARK = 32,       /* M* */
    FE_TRAIT_LOWER = 64,      /* lower case is another */
    FE_TRAIT_BERT_GONE = 128, /* BertNormalizer's clean_text takes it away */
    FE_TRAIT_BERT_SPACE = 256,
    FE_TRAIT_BERT_CJK = 512, /* spaces are put around it */
    FE_TRAIT_BERT_MARK = 1024,
    FE_TRAIT_NMT_GONE = 2048,
    FE_TRAIT_NMT_SPACE = 4096,
    FE_TRAIT_WHITE = 8192 /* White_Space */
};

/* Trait 0 is that of code points that nothing is done to. Strings are places in fe_trait_strings, and lengths. */
typedef struct fe_trait {
    uint16_t flags, canon, compat, lower;
    uint8_t combining; /* the canonical combining class */
    uint8_t canon_size, compat_size, lower_size;
} fe_trait;

typedef struct fe_composition {
    uint32_t first, second, made;
} fe_composition;

enum { FE_TRAIT_BLOCK = 64, FE_COMPOSITIONS = 940, FE_WORD_RANGES = 796 };

extern const uint16_t fe_trait_index[], fe_trait_blocks[][FE_TRAIT_BLOCK];
extern const fe_trait fe_traits[];
extern const uint32_t fe_trait_strings[]; /* of fe_part */
extern const uint8_t fe_block_reasons[]; /* of blocks up to U+FFFF: bit FE_NORM_NFC, and those of the other forms, where
                                            a code point of the block gives that form reason to do something */
extern const fe_composition fe_compositions[FE_COMPOSITIONS]; /* by ascending first and second; no Hangul */
extern const uint32_t fe_word_ranges[FE_WORD_RANGES][2];

/* A code point with its combining class, and whether it is FE_TRAIT_SECOND. */
enum { FE_PART_CODE = 0x1FFFFF, FE_PART_SECOND = 1 << 21, FE_PART_COMBINING = 24 };

/* Hangul syllables are not in the tables of compositions and decompositions: they follow from their numbers. */
enum {
    FE_HANGUL = 0xAC00,
    FE_JAMO_L = 0x1100,
    FE_JAMO_V = 0x1161,
    FE_JAMO_T = 0x11A7,
    FE_JAMO_LS = 19,
    FE_JAMO_VS = 21,
    FE_JAMO_TS = 28,
    FE_HANGULS = FE_JAMO_LS * FE_JAMO_VS * FE_JAMO_TS
};

/* The traits of a code point, at most U+10FFFF. */
static inline const fe_trait *fe_trait_of(uint32_t code) {
    return &fe_traits[fe_trait_blocks[fe_trait_index[code / FE_TRAIT_BLOCK]][code % FE_TRAIT_BLOCK]];
}

/* What two code points become together under NFC, or 0. */
uint32_t fe_compose(uint32_t first, uint32_t second);

/* True for Rust's \w: letters, marks, digits, connectors and joiners. */
bool fe_is_word(uint32_t code);

#endif
