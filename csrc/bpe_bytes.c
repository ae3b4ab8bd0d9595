/* bpe_bytes.c: byte pair encoding of bytes, by a list of merges or by ranks. */
#include "gaps.h"
#include "image.h"
#include "lanes.h"
#include "model.h"
#include "symbols.h"

enum { FEW_LANES = 4 }; /* fewer pieces are merged one by one */

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
    t->gathers = t->all_bytes;
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

/* Pieces that are tokens are these. Keeps the others in `left`, and returns how many. */
static int64_t take_tokens(const fe_tokenizer *t, fe_gap *const *gaps, int64_t n, fe_gap **left, uint64_t *hashes) {
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        hashes[i] = fe_hash(gaps[i]->bytes, gaps[i]->size, t->lookup.seed);
        __builtin_prefetch(&t->lookup.slots[hashes[i] & t->lookup.mask]);
    }
    for (int64_t i = 0; i < n; i++) {
        fe_gap *const gap = gaps[i];
        const int32_t token = fe_table_find_hashed(&t->lookup, &t->spelling, hashes[i], gap->bytes, gap->size);
        if (token < 0) {
            left[kept++] = gap;
            continue;
        }
        gap->ids[0] = t->token_ids[token];
        gap->count = 1;
    }
    return kept;
}

/* Orders pieces by their sizes, so that those that are merged side by side take about as long as each other. Returns
 * how many are not too long for that; the others are last. */
static int64_t sort_by_size(fe_gap *const *gaps, int64_t n, fe_gap **sorted) {
    int64_t ends[FE_LANE_BYTES + 2] = {0}; /* of one more size: all that are longer */
    for (int64_t i = 0; i < n; i++) ends[gaps[i]->size <= FE_LANE_BYTES ? gaps[i]->size : FE_LANE_BYTES + 1]++;
    for (int64_t size = 0; size <= FE_LANE_BYTES; size++) ends[size + 1] += ends[size];
    const int64_t lanes = ends[FE_LANE_BYTES];
    for (int64_t i = n; i-- > 0;)
        sorted[--ends[gaps[i]->size <= FE_LANE_BYTES ? gaps[i]->size : FE_LANE_BYTES + 1]] = gaps[i];
    return lanes;
}

static fe_status merge_alone(fe_encoder *e, fe_gap *gap) {
    gap->count = gap->size;
    return fe_merge_bytes(&e->t->merges, gap->bytes, gap->ids, &gap->count, &e->scratch);
}

static fe_status merge_many(fe_encoder *e, fe_gap *const *gaps, int64_t n) {
    fe_lane lanes[FE_LANES];
    fe_status status = FE_OK;
    if (n < FEW_LANES) {
        for (int64_t i = 0; i < n && status == FE_OK; i++) status = merge_alone(e, gaps[i]);
        return status;
    }
    for (int64_t i = 0; i < n; i++) lanes[i] = (fe_lane){gaps[i]->bytes, gaps[i]->size, gaps[i]->ids, 0};
    fe_merge_lanes(&e->t->merges, e->t->path, lanes, n, &e->gaps->lanes);
    for (int64_t i = 0; i < n; i++) gaps[i]->count = lanes[i].count;
    return FE_OK;
}

static fe_status pieces(fe_encoder *e, fe_gap *const *gaps, int64_t n) {
    const fe_tokenizer *const t = e->t;
    fe_gap **const left = e->gaps->merged, **const sorted = e->gaps->sorted;
    fe_status status = FE_OK;
    if (t->flags & FE_WHOLE_FIRST) {
        n = take_tokens(t, gaps, n, left, e->gaps->hashes);
        gaps = left;
    }
    const int64_t short_ones = sort_by_size(gaps, n, sorted);
    for (int64_t i = 0; i < short_ones && status == FE_OK; i += FE_LANES)
        status = merge_many(e, sorted + i, short_ones - i < FE_LANES ? short_ones - i : FE_LANES);
    for (int64_t i = short_ones; i < n && status == FE_OK; i++) status = merge_alone(e, sorted[i]);
    for (int64_t i = 0; i < n && status == FE_OK; i++)
        for (int64_t j = 0; j < sorted[i]->count; j++) sorted[i]->ids[j] = t->token_ids[sorted[i]->ids[j]];
    return status;
}

const fe_model_kind fe_bytes_bpe = {.check = check, .attach = attach, .piece = piece, .cut = NULL, .pieces = pieces};

const fe_model_kind *fe_model_kind_of(uint32_t flags) {
    if (flags & FE_AFFIXES) return &fe_affix_bpe;
    if (flags & FE_WORD_FLAGS) return flags & FE_WORD_LEVEL ? &fe_word_level : &fe_word_pieces;
    if (flags & FE_WHITE_WORDS) return &fe_unigram_white;
    if (flags & FE_UNIGRAM) return flags & FE_SPLIT_MARKS ? &fe_unigram_words : &fe_unigram_text;
    return flags & FE_BYTE_LEVEL ? &fe_bytes_bpe : &fe_chars_bpe;
}
