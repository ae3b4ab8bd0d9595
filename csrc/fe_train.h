/* fe_train.h: training, the second half of the interface; read by cffi behind fe.h, and under the same rules.
 *
 * Training has two parts. A tally takes texts and keeps their distinct pieces, each with how often it came. A trainer
 * takes a tally and works in portions: every call of fe_..._run ends after a fraction of a second, so that the owner
 * can show how far it is and be interrupted. What comes out depends on the counts alone: not on the order of texts, nor
 * on how they were shared out among tallies.
 */
#ifndef FE_TRAIN_H
#define FE_TRAIN_H

#include "fe.h"

typedef struct fe_tally fe_tally;
typedef struct fe_merger fe_merger;
typedef struct fe_pieces_trainer fe_pieces_trainer;

/* What a tally does with a text before it counts its pieces. The arrays stay the caller's, as long as the tally
 * lives. */
typedef struct fe_tally_model {
    int32_t pattern;       /* fe_pattern, but FE_PATTERN_BERT and FE_PATTERN_OWN; FE_PATTERN_NONE: a text is a piece */
    int32_t path;          /* fe_path */
    const fe_chain *chain; /* FE_PATTERN_PROGRAM: what cuts the text; else unused */
    int64_t normal;        /* bytes of the steps by which a text is normalized first: as fe_model.normal */
    const uint8_t *normal_bytes;
    uint64_t seed; /* of hashes: with one that whoever writes the texts does not know, none makes counting slow */
} fe_tally_model;

/* Makes an empty tally. FE_BAD_MODEL: the pattern, the chain or the steps are none. On any status but FE_OK, *out is
 * NULL. */
fe_status fe_tally_new(const fe_tally_model *model, fe_tally **out);

/* Frees a tally; NULL is allowed. */
void fe_tally_free(fe_tally *tally);

/* Counts the pieces of the texts of a job, of which pattern, choice and limit are not looked at. FE_BAD_TEXT,
 * FE_TOO_LONG, FE_NO_MEMORY: some texts may have been counted. */
fe_status fe_tally_add(fe_tally *tally, const fe_job *job);

/* Counts the pieces of lines, each a text that ends behind its line feed, the last one where the bytes end. */
fe_status fe_tally_add_lines(fe_tally *tally, const uint8_t *utf8, int64_t size);

/* Adds what another tally has counted. FE_NO_MEMORY: some of it may have been added. */
fe_status fe_tally_merge(fe_tally *tally, const fe_tally *other);

/* What a tally holds; the pointers are good until it is next changed. */
typedef struct fe_tally_contents {
    int64_t pieces; /* distinct ones */
    int64_t bytes;  /* of all distinct ones together */
    int64_t total;  /* pieces, each as often as it came */
    int64_t memory; /* bytes that the tally takes */
} fe_tally_contents;

void fe_tally_look(const fe_tally *tally, fe_tally_contents *contents);

/* The pieces one after another: offsets has room for one more than there are pieces, bytes for all of them. */
void fe_tally_read(const fe_tally *tally, uint8_t *bytes, int64_t *offsets, uint64_t *counts);

/* How often each character came, by its place in its piece: counts[place * FE_PLACE + code point], where place is made
 * of fe_place_flags. Adds to what is there, FE_PLACES * FE_PLACE numbers. A byte that is no part of valid UTF-8 counts
 * as U+FFFD. */
void fe_tally_chars(const fe_tally *tally, uint64_t *counts);

/* By what a pair is chosen that is merged next. */
enum fe_score {
    FE_SCORE_COUNT = 0,     /* how often it comes, then the lower left token, then the lower right one */
    FE_SCORE_LIKELIHOOD = 1 /* that, divided by how often its left token comes and how often its right one does, in
                               double precision; then as above */
};

/* What a merger is asked for. The arrays stay the caller's, and are not needed once it is made. */
typedef struct fe_merger_model {
    int32_t score;             /* enum fe_score */
    int64_t vocab;             /* how many tokens there are to be, those of `tokens` among them */
    int64_t min_count;         /* a pair that comes less often is not merged; at least 1 is taken */
    int64_t longest;           /* symbols of a token that a merge may have, fewer than so many with what stands beside
                                  it; INT64_MAX: any number */
    int64_t tokens;            /* that are there from the start: the names of the first ids, all different */
    const uint8_t *token_bytes;
    const int64_t *token_offsets; /* tokens + 1 */
    const int32_t *byte_tokens; /* the tokens of 256 bytes, which are the symbols; NULL: symbols are characters */
    int64_t chars; /* codes as fe_place_flags says, all different, and the tokens of symbols; a character that has none
                      at its place is passed over */
    const uint32_t *char_codes;
    const int32_t *char_tokens;
    int64_t prefix; /* bytes that a merge takes from the name of its right token, if that begins with them */
    const uint8_t *prefix_bytes;
} fe_merger_model;

/* Makes a merger of what a tally has counted, which is not needed once it is made. FE_BAD_MODEL: a token or a code is
 * out of its range, or two tokens have one name. On any status but FE_OK, *out is NULL. */
fe_status fe_merger_new(const fe_tally *tally, const fe_merger_model *model, uint64_t seed, fe_merger **out);

/* Frees a merger; NULL is allowed. */
void fe_merger_free(fe_merger *merger);

/* Merges some pairs more. FE_FULL: there is more to do; FE_OK: all is done. After any other status the merger can only
 * be freed. */
fe_status fe_merger_run(fe_merger *merger);

/* What a merger has found so far. */
typedef struct fe_merger_contents {
    int64_t tokens;
    int64_t bytes; /* of all their names */
    int64_t merges;
    int64_t memory; /* bytes that the merger takes */
} fe_merger_contents;

void fe_merger_look(const fe_merger *merger, fe_merger_contents *contents);

/* The names of all tokens one after another: offsets has room for one more than there are tokens. And the merges in
 * their order, each as its left token, its right one and what they make; a pair may stand there twice, where another
 * merge made one of its tokens anew. */
void fe_merger_read(const fe_merger *merger, uint8_t *bytes, int64_t *offsets, int32_t *merges);

/* What a trainer of pieces with scores (Unigram) is asked for. The arrays stay the caller's, and are not needed once it
 * is made. */
typedef struct fe_pieces_model {
    int64_t pieces;  /* how many there are to be, about: pruning ends at so many or fewer */
    int64_t seeds;   /* with how many it begins, at most */
    int64_t longest; /* characters of a piece: 1 to 32 */
    double shrink;   /* what part of the pieces a pruning leaves: above 0 and below 1 */
    int32_t steps;   /* of expectation maximization before each pruning: at least 1 */
    uint32_t mark;   /* a character that is nowhere in a piece but at its start */
    int64_t chars;   /* characters that pieces are made of, ascending; any other is unknown */
    const uint32_t *char_codes;
    const int32_t *char_scripts; /* characters of two scripts stand in no piece together; -1: goes with any */
} fe_pieces_model;

/* Makes a trainer of what a tally has counted, which is not needed once it is made. FE_BAD_MODEL: a number is out of
 * its range; FE_TOO_LONG: all distinct pieces of the tally together have 2^32 characters or more. On any status but
 * FE_OK, *out is NULL. */
fe_status fe_pieces_new(const fe_tally *tally, const fe_pieces_model *model, fe_pieces_trainer **out);

/* Frees a trainer; NULL is allowed. */
void fe_pieces_free(fe_pieces_trainer *trainer);

/* Goes on training. FE_FULL: there is more to do; FE_OK: all is done. After any other status the trainer can only be
 * freed. */
fe_status fe_pieces_run(fe_pieces_trainer *trainer);

/* What a trainer has found so far. */
typedef struct fe_pieces_contents {
    int64_t pieces; /* the characters first, in their order, whether they have a score or not */
    int64_t bytes;  /* of all pieces */
    int64_t kept;   /* pieces with a score */
    double loss;    /* by the last step: nats for a word */
    int64_t memory; /* bytes that the trainer takes */
} fe_pieces_contents;

void fe_pieces_look(const fe_pieces_trainer *trainer, fe_pieces_contents *contents);

/* The pieces one after another, offsets with room for one more than there are pieces, and their scores: natural
 * logarithms of probabilities; -INFINITY where a piece has none. */
void fe_pieces_read(const fe_pieces_trainer *trainer, uint8_t *bytes, int64_t *offsets, double *scores);

#endif
