/* fuzz.h: what the parts of the fuzzer share: numbers by chance, vocabularies, texts, and the slow law. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fe.h"

enum {
    TOKENS = 1000,
    LONGEST = 40, /* bytes of a token */
    MERGES = 300,
    CHARS = 96,
    PAIRS = MERGES * LONGEST,
    ADDED = 8,
    WHOLES = 60,
    NORMAL_STEPS = 1 << 15,
    TEXT = 1200,  /* bytes of the longest text of a call */
    BLOCK = 8000, /* and of all of them */
    TEXTS = 700,
    NORMAL = 4 * TEXT, /* no chain of steps of the fuzzer makes a text longer */
    IDS = 8 * BLOCK,
    LINE = 64, /* more than a line of a merge list has */
    CHAIN_STEPS = 3,
    CHAIN_ITEMS = CHAIN_STEPS * 3 * 6,
    CHAIN_BLOCKS = 3,
    CHAIN_PAGES = 0x110000 / 128
};

/* chance.c */
void seed(uint64_t number);
uint32_t rnd(uint32_t below);
static inline bool one_in(uint32_t n) { return rnd(n) == 0; }

/* A copy of some bytes in memory of just that size, so that ASan sees a read behind its end. */
uint8_t *exactly(const uint8_t *bytes, int64_t size);

/* A chain and the arrays that it points into. */
typedef struct chain_room {
    fe_chain chain;
    fe_step steps[CHAIN_STEPS];
    fe_item items[CHAIN_ITEMS];
    uint32_t kind_bits[16];
    uint16_t pages[CHAIN_PAGES];
    uint8_t block_kinds[128 * CHAIN_BLOCKS], byte_kinds[256];
} chain_room;

/* programs.c: a chain that a tokenizer can have; and its pieces of a text, worked out slowly: their number. */
void random_chain(chain_room *c);
int64_t slow_cut(const fe_chain *chain, const uint8_t *text, int64_t size, int64_t *starts, int64_t *ends);

/* A model and the arrays that it points into. */
typedef struct vocabulary {
    fe_model model;
    bool broken; /* something in it must be refused */
    uint8_t token_bytes[TOKENS * LONGEST];
    int64_t token_offsets[TOKENS + 1];
    int32_t token_ids[TOKENS], byte_tokens[256];
    int32_t left[MERGES], right[MERGES], result[MERGES];
    uint32_t char_codes[CHARS], pair_left[PAIRS], pair_right[PAIRS];
    int32_t char_tokens[CHARS];
    uint8_t added_bytes[128], added_flags[ADDED], normal[NORMAL_STEPS];
    int64_t added_offsets[ADDED + 1];
    int32_t added_ids[ADDED];
    int32_t template[4];
    uint8_t notes[64];
    uint8_t whole_bytes[WHOLES * LONGEST];
    int64_t whole_offsets[WHOLES + 1];
    int32_t whole_tokens[WHOLES];
    double whole_scores[WHOLES];
    uint8_t actions[ADDED];
    chain_room chain;
} vocabulary;

/* models.c */
void random_vocabulary(vocabulary *v);
int64_t random_text(uint8_t *text, int64_t most, bool valid);
int64_t write_utf8(uint8_t *to, uint32_t code);

int32_t add_token(vocabulary *v, const uint8_t *bytes, int64_t size);
void add_bytes(vocabulary *v, uint32_t missing);

/* unigrams.c: a vocabulary whose pieces have scores, and a step that replaces strings by a table; and, worked out
 * slowly, the ids of a piece in which marks stand for spaces: how many. */
void random_unigram(vocabulary *v);
void add_charsmap(vocabulary *v);
void add_sentencepiece(vocabulary *v);
int64_t slow_unigram(const vocabulary *v, const uint8_t *text, int64_t size, int32_t *ids);

/* breaks.c */
void break_vocabulary(vocabulary *v);

/* law.c: the ids of one text, worked out slowly; false where a token of it is refused. */
bool slow_encode(const vocabulary *v, int32_t pattern, const uint8_t *actions, const uint8_t *text, int64_t size,
                 int32_t *ids, int64_t *count);
int64_t slow_find(const vocabulary *v, const uint8_t *bytes, int64_t size);

/* encoding.c, sides.c, pieces.c, programs.c, files.c, lists.c, spans.c, places.c */
void check_encoding(const vocabulary *v, const fe_tokenizer *tokenizer, fe_cache *cache);
void check_decoding(const vocabulary *v, const fe_tokenizer *tokenizer);
void check_lanes(const fe_tokenizer *tokenizer);
void check_pieces(void);
void check_programs(void);
void check_image(const vocabulary *v, const fe_tokenizer *tokenizer);
void check_ranks(void);
void check_merges(void);
void check_spans(void);
void check_places(const vocabulary *v, const fe_tokenizer *tokenizer);

/* ends.c */
void check_ends(void);

/* training.c */
void check_training(void);
fe_status train_without_checks(void); /* a small text by every trainer: FE_OK, or what went wrong first */

/* mutate.c: damages an image in place, under a right checksum, and takes the damage back from an intact copy. */
void damage(uint8_t *image, int64_t size);
void heal(uint8_t *image, const uint8_t *intact);

/* Makes the checksum of an image right. */
void seal(uint8_t *image, int64_t size);

/* Encodes, counts, decodes and searches with a tokenizer of which nothing is known but that it was opened. */
void use_tokenizer(const fe_tokenizer *tokenizer, const uint8_t *text, int64_t size);

#endif
