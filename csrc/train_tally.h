/* train_tally.h: the distinct pieces of texts, and how often each came. */
#ifndef FE_TRAIN_TALLY_H
#define FE_TRAIN_TALLY_H

#include "chain.h"
#include "fe_train.h"
#include "normal.h"
#include "train_set.h"

struct fe_tally {
    int32_t pattern, path;
    fe_cutters *cutters; /* FE_PATTERN_PROGRAM */
    const uint8_t *steps;
    uint64_t steps_size;
    fe_normal normal;
    fe_set pieces;
    uint64_t *counts; /* by the number of a piece */
    uint64_t counts_room;
    uint64_t total;
};

/* A piece of a tally, its bytes and their end. */
static inline const uint8_t *fe_tally_piece(const fe_tally *tally, uint64_t number, const uint8_t **end) {
    const fe_set_place *const place = &tally->pieces.places[number];
    const uint8_t *const p = tally->pieces.bytes + place->start;
    *end = p + place->size;
    return p;
}

#endif
