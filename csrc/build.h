/* build.h: what the parts of the builder share. */
#ifndef FE_BUILD_H
#define FE_BUILD_H

#include "image.h"

/* What added tokens may become by normalizing: so many bytes, and so many times those of all of them. */
enum { FE_LATE_BYTES = 1 << 20, FE_LATE_GROWTH = 32 };

/* What is made on the way, and in the end the sections: each element by element as fe_sections describes it. */
typedef struct fe_builder {
    const fe_model *model;
    fe_header header;
    const void *sections[FE_SECTIONS];
    uint64_t counts[FE_SECTIONS]; /* elements */
    uint64_t *lookup;
    uint64_t lookup_slots;
    fe_table table;      /* of those */
    uint32_t *offsets;   /* of the tokens' bytes, in 32 bits */
    fe_strings spelling; /* the bytes of the tokens */
    uint64_t *pairs, *filter;
    uint64_t pair_slots, pair_count, pair_seeds; /* how many seeds were tried in vain */
    uint32_t *byte_ranks;
    uint32_t *added_offsets;
    fe_trie early, late;
    fe_buffer late_bytes;   /* what late added tokens become, where a text is normalized */
    uint32_t *late_offsets; /* or NULL */
    int32_t *char_pages, *char_tokens;
    fe_trie wholes;
    uint64_t *cut_pairs, (*cut_ascii)[2];
    int32_t *order, *sorted; /* tokens by ascending id, and those ids */
    fe_scratch scratch;
    int32_t *symbols; /* room for the longest token */
    fe_trie words;
    uint8_t *word_flags; /* 1: the token is empty, and in no trie */
    int32_t word_limits[2];
    double *whole_scores;
} fe_builder;

/* The table of pairs that merge, and its filter; the ranks of pairs of bytes. */
fe_status fe_build_pairs(fe_builder *b);

/* Which characters are symbols (FE_AFFIXES: which bytes or characters at which place), and where a text may be cut
 * between two of them. */
fe_status fe_build_chars(fe_builder *b);

/* The trie of tokens that are words or parts of words. */
fe_status fe_build_words(fe_builder *b);

/* The trie of pieces that have scores, and where a text may be cut. */
fe_status fe_build_unigram(fe_builder *b);

#endif
