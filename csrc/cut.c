/* cut.c: building the set of pairs. */
#include "cut.h"

#include <stdlib.h>

fe_status fe_pairs_init(fe_pairs *pairs, const fe_model *model) {
    if (model->pairs < 0) return FE_BAD_MODEL;
    pairs->bits = calloc((UINT64_C(1) << FE_PAIR_BITS) / 64, sizeof *pairs->bits);
    if (!pairs->bits) return FE_NO_MEMORY;
    for (int64_t i = 0; i < model->pairs; i++) {
        const uint64_t bit = fe_pair_bit(model->pair_left[i], model->pair_right[i]);
        pairs->bits[bit / 64] |= UINT64_C(1) << bit % 64;
    }
    return FE_OK;
}

void fe_pairs_clear(fe_pairs *pairs) { free(pairs->bits); }
