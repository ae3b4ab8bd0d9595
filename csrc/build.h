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
    fe_value *whole_values;
} fe_builder;

/* The table of pairs that merge, and its filter; the ranks of pairs of bytes. */
fe_status fe_build_pairs(fe_builder *b);

/* Characters, and pairs of them that stand side by side inside some token. */
typedef struct fe_char_set {
    const uint32_t *codes;
    const int32_t *tokens; /* of those; NULL: all 0 */
    const uint32_t *left, *right;
    int64_t chars, pairs;
} fe_char_set;

/* The sections by which the tokens of characters are looked up; codes below `places` times FE_PLACE. */
fe_status fe_build_pages(fe_builder *b, const fe_char_set *set, uint64_t places);

/* The sections by which a text is cut between two characters; behind fe_build_pages. */
fe_status fe_build_cuts(fe_builder *b, const fe_char_set *set, uint32_t flags, bool all_solid);

/* Which characters are symbols (FE_AFFIXES: which bytes or characters at which place), and where a text may be cut
 * between two of them. */
fe_status fe_build_chars(fe_builder *b);

/* The trie of tokens that are words or parts of words. */
fe_status fe_build_words(fe_builder *b);

/* The trie of pieces that have scores, and where a text may be cut. */
fe_status fe_build_unigram(fe_builder *b);

#endif
