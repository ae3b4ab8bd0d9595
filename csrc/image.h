/* image.h: a tokenizer as one block of memory, the same in a file and in use.
 *
 * A header names sections by place and length; the sections are plain arrays that point nowhere. So a file is
 * opened by mapping it and checking its numbers, and one built from a vocabulary is saved by writing it.
 */
#ifndef FE_IMAGE_H
#define FE_IMAGE_H

#include <stdbool.h>
#include <string.h>

#include "added.h"
#include "bpe.h"
#include "cut.h"
#include "fe.h"
#include "table.h"

enum { FE_VERSION = 2, FE_PAGE = 256, FE_PAGES = 0x110000 / FE_PAGE, FE_LINE = 64 };

/* The sections, and what each is an array of. */
enum fe_section {
    FE_S_TOKEN_OFFSETS, /* uint32, tokens + 1 */
    FE_S_TOKEN_BYTES,   /* uint8 */
    FE_S_TOKEN_IDS,     /* int32, by token */
    FE_S_SORTED_IDS,    /* int32, ascending */
    FE_S_SORTED_TOKENS, /* int32: the tokens of the sorted ids */
    FE_S_LOOKUP,        /* uint64: fe_table.slots, by token; byte level only */
    FE_S_PAIRS,         /* uint64: fe_merges.slots */
    FE_S_FILTER,        /* uint64: fe_merges.filter, FE_FILTER_BITS for each slot */
    FE_S_RESULT,        /* uint32: fe_merges.result; empty with FE_RANKED */
    FE_S_BYTE_TOKENS,   /* int32, 256 */
    FE_S_BYTE_RANKS,    /* uint32, 65536; byte level only */
    FE_S_CHAR_PAGES,    /* int32, FE_PAGES: the number of the page of each 256 code points, -1 where none is a symbol */
    FE_S_CHAR_TOKENS,   /* int32, FE_PAGE for each page: tokens, -1 where there is none */
    FE_S_CUT_PAIRS,     /* uint64: the bits of fe_pairs */
    FE_S_CUT_ASCII,     /* uint64, 128 * 2: bit b of row a: a text may be cut between the ASCII characters a and b */
    FE_S_EARLY,         /* fe_node */
    FE_S_LATE,          /* fe_node */
    FE_S_ADDED_IDS,     /* int32 */
    FE_S_NOTES,         /* uint8 */
    FE_SECTIONS
};

typedef struct fe_header {
    uint8_t magic[8];
    uint32_t order; /* FE_ORDER as this machine writes it */
    uint32_t version;
    uint64_t size;  /* of the image */
    uint64_t check; /* fe_image_check */
    uint32_t flags;
    int32_t pattern;
    int32_t unk;
    int32_t all_solid;  /* characters: each one gives symbols that stay where they are */
    int32_t space_cuts; /* characters: a text may be cut before every run of spaces */
    uint32_t pad;
    uint64_t tokens, vocab, ranks; /* ranks: those that merges have are below it */
    uint64_t lookup_seed, pair_seed;
    uint64_t at[FE_SECTIONS];      /* bytes from the start of the image, a multiple of FE_LINE */
    uint64_t length[FE_SECTIONS];  /* bytes */
} fe_header;

#define FE_MAGIC "fastemb\n"
#define FE_ORDER UINT32_C(0x01020304)

struct fe_tokenizer {
    const fe_header *image;
    void *memory; /* the image if it is ours to free */
    int32_t path;
    uint32_t flags;
    int32_t pattern, unk;
    bool all_solid, space_cuts, all_bytes;
    uint64_t tokens;
    const uint32_t *token_offsets;
    const uint8_t *token_bytes;
    const int32_t *token_ids, *sorted_ids, *sorted_tokens;
    fe_table lookup;     /* byte level: tokens by their bytes */
    fe_strings spelling; /* the bytes of the tokens */
    fe_merges merges;
    const int32_t *char_pages, *char_tokens;
    fe_pairs pairs;
    const uint64_t (*ascii_cuts)[2];
    fe_added early, late;
    int64_t added;
    const int32_t *added_ids;
};

/* A section of an image. */
static inline const void *fe_section_of(const fe_header *image, enum fe_section section) {
    return (const uint8_t *)image + image->at[section];
}

/* What `check` must be: a checksum of the header, with that of all that follows it in its place. */
uint64_t fe_image_check(const fe_header *image);

/* True if no flag contradicts another, and each means something for this kind of symbols. */
bool fe_flags_valid(uint32_t flags);

/* Points a tokenizer at an image whose numbers are right. */
void fe_attach(fe_tokenizer *tokenizer, const fe_header *image);

#endif
