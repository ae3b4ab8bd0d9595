/* image.h: a tokenizer as one block of memory, the same in a file and in use.
 *
 * A header lists sections by tag, place and length; sections are plain arrays that point nowhere. So a file is opened
 * by checking its numbers, and a tokenizer built from a vocabulary is saved by writing its image. fe_sections (image.c)
 * describes every section once: building, checking and the fuzzers read the same table.
 */
#ifndef FE_IMAGE_H
#define FE_IMAGE_H

#include <stdbool.h>
#include <string.h>

#include "added.h"
#include "bpe.h"
#include "chain.h"
#include "chars.h"
#include "fe.h"
#include "model.h"
#include "normal.h"
#include "table.h"
#include "unigram.h"
#include "words.h"

enum { FE_VERSION = 5, FE_LINE = 64 };

/* The tags of sections. */
enum fe_section {
    FE_S_TOKEN_OFFSETS, /* uint32: where the bytes of each token begin, and one behind the last */
    FE_S_TOKEN_BYTES,   /* uint8 */
    FE_S_TOKEN_IDS,     /* int32: by token */
    FE_S_SORTED_IDS,    /* int32: ascending */
    FE_S_SORTED_TOKENS, /* int32: the tokens of the sorted ids */
    FE_S_LOOKUP,        /* uint64: fe_table.slots, by token */
    FE_S_PAIRS,         /* uint64: fe_merges.slots */
    FE_S_FILTER,        /* uint64: fe_merges.filter, FE_FILTER_BITS for each slot */
    FE_S_RESULT,        /* uint32: fe_merges.result */
    FE_S_BYTE_TOKENS,   /* int32: the token of each byte, -1 where a byte is no symbol */
    FE_S_BYTE_RANKS,    /* uint32: fe_merges.byte_rank */
    FE_S_CHAR_PAGES,    /* int32: fe_chars.pages */
    FE_S_CHAR_TOKENS,   /* int32: fe_chars.tokens */
    FE_S_CUT_PAIRS,     /* uint64: fe_chars.pairs */
    FE_S_CUT_ASCII,     /* uint64: fe_chars.ascii */
    FE_S_ADDED_OFFSETS, /* uint32: where the bytes of each added token begin, and one behind the last */
    FE_S_ADDED_BYTES,   /* uint8 */
    FE_S_ADDED_IDS,     /* int32 */
    FE_S_ADDED_FLAGS,   /* uint8: fe_added_flags */
    FE_S_EARLY,         /* fe_unit: a trie of the added tokens that are not FE_ADDED_LATE */
    FE_S_LATE,          /* fe_unit: and of those that are */
    FE_S_BEFORE,        /* int32: the ids that the template puts before a text */
    FE_S_AFTER,         /* int32: and behind it */
    FE_S_NOTES,         /* uint8: what the owner of the tokenizer keeps in it */
    FE_S_STEPS,         /* fe_step: fe_chain.step, and so on */
    FE_S_ITEMS,         /* fe_item */
    FE_S_KIND_BITS,     /* uint32 */
    FE_S_KIND_PAGES,    /* uint16 */
    FE_S_KIND_BLOCKS,   /* uint8 */
    FE_S_BYTE_KINDS,    /* uint8 */
    FE_S_NORMAL,        /* uint8: fe_model.normal */
    FE_S_LATE_OFFSETS,  /* uint32: where texts are normalized, so are late added tokens: where the bytes of each begin,
                           and one behind the last */
    FE_S_LATE_BYTES,    /* uint8: those; of one that is not late its own */
    FE_S_PLACE_PAGES,   /* int32: fe_chars.pages, of each place */
    FE_S_WORDS,         /* fe_unit: a trie of the tokens that come out of text */
    FE_S_WORD_LIMITS,   /* int32: fe_words.more, fe_words.most */
    FE_S_WHOLES,        /* fe_unit: fe_chars.wholes; fe_unigram.units */
    FE_S_WHOLE_TOKENS,  /* int32: fe_chars.whole_tokens; fe_unigram.tokens */
    FE_S_WHOLE_SCORES,  /* double: fe_unigram.scores, and that of an unknown character */
    FE_S_WHOLE_VALUES,  /* fe_value: fe_unigram.values, and one of score 0 */
    FE_SECTIONS
};

/* How many elements a section has. */
enum fe_count {
    FE_COUNT_ANY,
    FE_COUNT_FIXED,  /* `number` */
    FE_COUNT_TIMES,  /* any multiple of `number` */
    FE_COUNT_TOKENS, /* fe_header.tokens, and `number` more */
    FE_COUNT_RANKS,
    FE_COUNT_ADDED, /* fe_header.added, and `number` more */
    FE_COUNT_TABLE, /* a power of two, at least 16 */
    FE_COUNT_FILTER /* `number` bits for each slot of FE_S_PAIRS */
};

/* Which tokenizers have a section; no other has it. */
enum fe_needed { FE_ALL, FE_BYTES, FE_CHARS, FE_AFFIXED, FE_CODES, FE_WHOLE, FE_LISTS, FE_PROGRAMS, FE_WORDS,
                 FE_SCORED, FE_SUMMED };

typedef struct fe_section_kind {
    uint8_t element; /* bytes */
    uint8_t count;   /* enum fe_count */
    uint8_t needed;  /* enum fe_needed: at byte level, of characters, of either with FE_AFFIXES (which has not those of
                        the first two), of the last two, of characters with FE_WHOLE_FIRST or FE_UNIGRAM, where merges
                        are a list and not ranks, where a chain of programs cuts the text, of words, FE_UNIGRAM, or
                        fe_sums_run, which have the sections of FE_CHARS and FE_CODES too */
    uint32_t number;
} fe_section_kind;

extern const fe_section_kind fe_sections[FE_SECTIONS];

/* Where a section lies. */
typedef struct fe_place {
    uint32_t tag, zero;
    uint64_t at;     /* bytes from the start of the image, a multiple of FE_LINE */
    uint64_t length; /* bytes */
} fe_place;

typedef struct fe_header {
    uint8_t magic[8];
    uint32_t order; /* FE_ORDER as this machine writes it */
    uint32_t version;
    uint64_t size;  /* of the image */
    uint64_t check; /* fe_image_check */
    uint32_t flags;
    int32_t pattern;
    int32_t unk;
    uint32_t sections;   /* how many there are */
    int32_t all_solid;   /* characters: each one gives symbols that stay where they are */
    int32_t space_cuts;  /* characters, and FE_UNIGRAM: a text is cut, or may be, before every run of spaces */
    uint64_t tokens, vocab, ranks, added; /* ranks: those that merges have are below it */
    uint64_t tied; /* FE_MADE_RANKS: the first rank of those that are of one priority */
    uint64_t lookup_seed, pair_seed;
    fe_place places[FE_SECTIONS]; /* by ascending tag; all zero behind the last */
} fe_header;

#define FE_MAGIC "fastemb\n"
#define FE_ORDER UINT32_C(0x01020304)

struct fe_tokenizer {
    const fe_header *image;
    void *memory;                                /* the image if it is ours to free */
    fe_place sections[FE_SECTIONS];              /* by tag; of length 0 where there is none */
    const fe_model_kind *kind;
    int32_t path;
    uint32_t flags;
    int32_t pattern, unk;
    bool space_cuts, all_bytes;
    bool gathers; /* unknown pieces are found many at once, by kind->pieces */
    uint64_t tokens;
    const uint32_t *token_offsets;
    const uint8_t *token_bytes;
    const int32_t *token_ids, *sorted_ids, *sorted_tokens;
    fe_table lookup;     /* byte level: tokens by their bytes */
    fe_strings spelling; /* the bytes of the tokens */
    fe_merges merges;
    fe_chars chars; /* characters */
    fe_words words; /* words */
    fe_unigram unigram;
    fe_ends *ends; /* of its pieces, or NULL; ours */
    fe_added early, late;
    int64_t added;
    const uint8_t *added_bytes, *added_flags;
    const uint32_t *added_offsets;
    const int32_t *added_ids;
    fe_cutters *cutters; /* FE_PATTERN_PROGRAM: what cuts the text; else NULL */
    const uint32_t *late_offsets; /* of the bytes by which late ones are found */
    const uint8_t *normal;        /* the steps that normalize a text */
    uint64_t normal_size;
    fe_still *still; /* what they leave alone, or NULL; ours */
};

/* What becomes of each added token, for calls with one tokenizer. */
struct fe_choice {
    const fe_tokenizer *tokenizer;
    bool any; /* some added token is more than its characters */
    int32_t *early_out, *late_out; /* fe_wanted.out; NULL: the machine's own, or there is none */
    uint8_t actions[];
};

/* True if symbols are found by codes, those of characters or of places, and not by bytes alone. */
static inline bool fe_has_codes(uint32_t flags) {
    return flags & FE_AFFIXES || !(flags & (FE_BYTE_LEVEL | FE_WORD_FLAGS | FE_UNIGRAM));
}

/* True if pieces have scores whose sums run through all of a text in 32 bits, as SentencePiece has them. */
static inline bool fe_sums_run(uint32_t flags) {
    return (flags & (FE_UNIGRAM | FE_F32_SUMS | FE_SPLIT_MARKS)) == (FE_UNIGRAM | FE_F32_SUMS);
}

/* True if a tokenizer with this header has such a section. */
bool fe_section_needed(const fe_header *header, enum fe_section tag);

/* A section of a tokenizer, and how many elements it has. */
static inline const void *fe_section_of(const fe_tokenizer *t, enum fe_section tag) {
    return (const uint8_t *)t->image + t->sections[tag].at;
}

static inline uint64_t fe_section_count(const fe_tokenizer *t, enum fe_section tag) {
    return t->sections[tag].length / fe_sections[tag].element;
}

/* True if all numbers of a section of int32 are from low up to below high. */
bool fe_section_within(const fe_tokenizer *t, enum fe_section tag, int64_t low, int64_t high);

/* The added tokens that are late, or those that are not, as keys of a trie: by the bytes by which they are found. */
fe_keys fe_added_keys(const fe_tokenizer *t, bool late);

/* What `check` must be: a checksum of the header, with that of all that follows it in its place. */
uint64_t fe_image_check(const fe_header *image);

/* True if no flag contradicts another, and each means something for this kind of symbols and this pattern, which is one
 * of enum fe_pattern but FE_PATTERN_OWN. */
bool fe_flags_valid(uint32_t flags, int32_t pattern);

/* Makes a tokenizer of an image of which nothing is known but its size. With `trusted`, of one that was just built:
 * nothing is checked. FE_BAD_FILE: it is no image, or damaged. */
fe_status fe_image_open(const uint8_t *image, int64_t size, int32_t path, bool trusted, fe_tokenizer **out);

#endif
