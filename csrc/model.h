/* model.h: what a piece becomes is asked of a model kind, a row of functions. They are called where the cache does not
 * know the piece, about once in a hundred times, and where a tokenizer is opened; nothing else knows one kind from
 * another. A new kind is a new row, and a file of its own. */
#ifndef FE_MODEL_H
#define FE_MODEL_H

#include <stdbool.h>

#include "fe.h"

struct fe_encoder;
struct fe_gap;

typedef struct fe_model_kind {
    /* True if every number in the sections of this kind leads to where it should. The sections are all there, and as
     * long as they must be; those of the tokens were checked before. */
    bool (*check)(const fe_tokenizer *t);

    /* Points the tokenizer at these sections. */
    void (*attach)(fe_tokenizer *t);

    /* Leaves the ids of the piece [p, end) in e->symbols, and how many there are in e->count. front: a space or a mark
     * that is not in the text stands before the piece. FE_NO_MEMORY, FE_TOO_LONG. */
    fe_status (*piece)(struct fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front);

    /* The first place behind p, or end, where [p, end) may be cut further, so that pieces need not be long. NULL: a
     * piece is never cut, and long ones are remembered as they are. */
    const uint8_t *(*cut)(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front);

    /* The ids of n different pieces at once, to where their gaps say (gaps.h). Asked only if fe_tokenizer.gathers: no
     * piece has more ids than bytes, none depends on what stands before it, and pieces are never cut. NULL: there is no
     * such thing. FE_NO_MEMORY. */
    fe_status (*pieces)(struct fe_encoder *e, struct fe_gap *const *gaps, int64_t n);

    /* Writes the ids of a segment, of a text or between two added tokens, of a tokenizer whose pattern is
     * FE_PATTERN_NONE. NULL: segments are cut, and pieces are asked for. FE_NO_MEMORY, FE_FULL, FE_ENOUGH. */
    fe_status (*segment)(struct fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front);
} fe_model_kind;

/* The kind of a tokenizer with these flags. */
const fe_model_kind *fe_model_kind_of(uint32_t flags);

extern const fe_model_kind fe_bytes_bpe, fe_chars_bpe, fe_affix_bpe, fe_word_pieces, fe_word_level,
    fe_unigram_words, fe_unigram_text, fe_unigram_white;

#endif
