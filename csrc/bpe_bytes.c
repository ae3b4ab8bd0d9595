/* bpe_bytes.c: byte pair encoding of bytes, by a list of merges or by ranks. */
#include "image.h"
#include "model.h"
#include "symbols.h"

static bool check(const fe_tokenizer *t) {
    const uint64_t *const slots = fe_section_of(t, FE_S_LOOKUP), count = fe_section_count(t, FE_S_LOOKUP);
    const uint32_t *const ranks = fe_section_of(t, FE_S_BYTE_RANKS);
    bool good = fe_runs_are_short(slots, count, 0);
    for (uint64_t i = 0; i < count; i++) good &= (slots[i] == 0) | ((uint32_t)slots[i] - UINT32_C(1) < t->image->vocab);
    for (uint64_t i = 0; i < 65536; i++) good &= (ranks[i] == FE_NO_RANK) | (ranks[i] < t->image->ranks);
    return good;
}

static void attach(fe_tokenizer *t) {
    const uint64_t slots = fe_section_count(t, FE_S_LOOKUP);
    t->lookup = (fe_table){fe_section_of(t, FE_S_LOOKUP), slots - 1, t->image->lookup_seed};
    t->merges.byte_rank = fe_section_of(t, FE_S_BYTE_RANKS);
}

static fe_status push_bytes(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_status status = FE_OK;
    for (; p < end && status == FE_OK; p++) {
        const int32_t token = e->t->merges.byte_token[*p];
        status = token >= 0 ? fe_symbol_known(e, token) : fe_symbol_unknown(e);
    }
    return status;
}

static fe_status merge(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    static const uint8_t space[1] = {' '};
    const fe_tokenizer *const t = e->t;
    fe_status status = FE_OK;
    if (t->all_bytes && !front) {
        status = fe_symbols_reserve(e, end - p);
        e->count = end - p;
        return status == FE_OK ? fe_merge_bytes(&t->merges, p, e->symbols, &e->count, &e->scratch) : status;
    }
    if (front) status = push_bytes(e, space, space + 1);
    if (status == FE_OK) status = push_bytes(e, p, end);
    if (status == FE_OK) status = fe_symbol_flush(e);
    return status == FE_OK ? fe_merge(&t->merges, e->symbols, &e->count, &e->scratch) : status;
}

static fe_status piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    const fe_tokenizer *const t = e->t;
    e->count = 0;
    if (t->flags & FE_WHOLE_FIRST && !front) {
        const int32_t token = fe_table_find(&t->lookup, &t->spelling, p, (uint64_t)(end - p));
        if (token >= 0) return fe_symbol_push(e, t->token_ids[token]);
    }
    const fe_status status = merge(e, p, end, front);
    if (status == FE_OK) fe_symbols_to_ids(e);
    return status;
}

const fe_model_kind fe_bytes_bpe = {.check = check, .attach = attach, .piece = piece, .cut = NULL};

const fe_model_kind *fe_model_kind_of(uint32_t flags) {
    if (flags & FE_AFFIXES) return &fe_affix_bpe;
    if (flags & FE_WORD_FLAGS) return flags & FE_WORD_LEVEL ? &fe_word_level : &fe_word_pieces;
    return flags & FE_BYTE_LEVEL ? &fe_bytes_bpe : &fe_chars_bpe;
}
