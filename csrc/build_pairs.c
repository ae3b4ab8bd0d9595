/* build_pairs.c: which pairs of tokens merge. */
#include "build.h"
#include "mem.h"

static uint32_t log2_of(uint64_t power) {
    uint32_t bits = 0;
    while (power >>= 1) bits++;
    return bits;
}

static int32_t find(const fe_builder *b, const uint8_t *bytes, int64_t size) {
    return fe_table_find(&b->table, &b->spelling, bytes, (uint64_t)size);
}

static fe_merges merges_of(const fe_builder *b) {
    return (fe_merges){
        .slots = b->pairs,
        .filter = b->filter,
        .shift = 64 - log2_of(b->pair_slots),
        .seed = fe_seed(b->pair_seeds),
        .tied = FE_NO_RANK,
        .byte_token = b->model->byte_tokens,
        .byte_rank = b->byte_ranks,
    };
}

/* False if a search is too long. */
static bool put_pair(fe_builder *b, uint64_t key, uint64_t rank) {
    const fe_merges merges = merges_of(b);
    const uint64_t hash = fe_pair_hash(key, merges.seed), mask = b->pair_slots - 1;
    const uint64_t bit = hash >> (merges.shift - FE_FILTER_LOG);
    uint64_t i = fe_pair_home(&merges, hash);
    for (int steps = 0; b->pairs[i] != FE_EMPTY_SLOT && b->pairs[i] >> FE_RANK_BITS != key; i = (i + 1) & mask)
        if (++steps > FE_LONGEST_RUN) return false;
    b->pairs[i] = key << FE_RANK_BITS | rank; /* a pair listed twice: the last place counts */
    b->filter[bit / 64] |= UINT64_C(1) << bit % 64;
    return true;
}

/* Lays the pairs out anew in so many slots, by the next seed that keeps searches short. FE_BAD_MODEL: none does. */
static fe_status lay_out_pairs(fe_builder *b, uint64_t slots) {
    const fe_builder old = *b;
    fe_status status = FE_BAD_MODEL;
    b->pair_slots = slots;
    b->pairs = fe_new(slots, sizeof *b->pairs);
    b->filter = fe_new(slots * FE_FILTER_BITS / 64, sizeof *b->filter);
    if (!b->pairs || !b->filter) status = FE_NO_MEMORY;
    for (; status == FE_BAD_MODEL && b->pair_seeds < FE_SEEDS; b->pair_seeds++) {
        memset(b->pairs, 0xFF, slots * sizeof *b->pairs); /* FE_EMPTY_SLOT */
        memset(b->filter, 0, slots * FE_FILTER_BITS / 64 * sizeof *b->filter);
        bool good = true;
        for (uint64_t i = 0; i < old.pair_slots && good; i++)
            if (old.pairs[i] != FE_EMPTY_SLOT)
                good = put_pair(b, old.pairs[i] >> FE_RANK_BITS, old.pairs[i] & FE_MAX_MERGES);
        if (good && fe_runs_are_short(b->pairs, slots, FE_EMPTY_SLOT)) {
            status = FE_OK;
            break;
        }
    }
    free(old.pairs);
    free(old.filter);
    return status;
}

static fe_status reserve_pairs(fe_builder *b, uint64_t count) {
    return b->pairs && 2 * count <= b->pair_slots ? FE_OK : lay_out_pairs(b, fe_table_slots(count));
}

static fe_status add_pair(fe_builder *b, int32_t left, int32_t right, int64_t rank) {
    fe_status status = reserve_pairs(b, ++b->pair_count);
    while (status == FE_OK && !put_pair(b, fe_pair_key(left, right), (uint64_t)rank)) {
        b->pair_seeds++;
        status = lay_out_pairs(b, b->pair_slots);
    }
    return status;
}

/* The table as it is when all pairs are in it: no search is long, whatever is asked for. */
static fe_status finish_pairs(fe_builder *b) {
    if (fe_runs_are_short(b->pairs, b->pair_slots, FE_EMPTY_SLOT)) return FE_OK;
    b->pair_seeds++;
    return lay_out_pairs(b, b->pair_slots);
}

/* Every way to cut a token into two: needed where the tokens before it do not leave two parts of it. */
static fe_status add_all_cuts(fe_builder *b, int64_t token, const uint8_t *bytes, int64_t size) {
    fe_status status = FE_OK;
    for (int64_t cut = 1; cut < size && status == FE_OK; cut++) {
        const int32_t left = find(b, bytes, cut);
        const int32_t right = left < 0 ? -1 : find(b, bytes + cut, size - cut);
        if (right >= 0) status = add_pair(b, left, right, token);
    }
    return status;
}

/* Ranked tokens: the pair that makes each. Merging a token's bytes by the tokens before it leaves the two parts that
 * stand side by side when it is made, and no other two ever do (docs/design/tokenizer.md has the proof). */
static fe_status derive_pairs(fe_builder *b) {
    const fe_model *const m = b->model;
    uint32_t longest = 1;
    for (int64_t i = 0; i < 256; i++)
        if (m->byte_tokens[i] < 0) return FE_BAD_MODEL;
    for (int64_t i = 0; i < m->vocab; i++) {
        const uint32_t size = b->offsets[i + 1] - b->offsets[i];
        longest = size > longest ? size : longest;
    }
    b->symbols = fe_new(longest, sizeof *b->symbols);
    if (!b->symbols) return FE_NO_MEMORY;
    fe_status status = reserve_pairs(b, (uint64_t)m->vocab + 1);
    for (int64_t token = 0; token < m->vocab && status == FE_OK; token++) {
        const uint8_t *const bytes = m->token_bytes + b->offsets[token];
        const int64_t size = b->offsets[token + 1] - b->offsets[token];
        if (size < 2) continue;
        if (size == 2) {
            b->byte_ranks[bytes[0] << 8 | bytes[1]] = (uint32_t)token;
            status = add_pair(b, m->byte_tokens[bytes[0]], m->byte_tokens[bytes[1]], token);
            continue;
        }
        const fe_merges merges = merges_of(b);
        int64_t n = size;
        status = fe_merge_bytes(&merges, bytes, b->symbols, &n, &b->scratch);
        if (status != FE_OK) break;
        status = n == 2 ? add_pair(b, b->symbols[0], b->symbols[1], token) : add_all_cuts(b, token, bytes, size);
    }
    return status == FE_OK ? finish_pairs(b) : status;
}

/* A list of merges: their pairs as they stand there. */
static fe_status take_pairs(fe_builder *b) {
    const fe_model *const m = b->model;
    fe_status status = reserve_pairs(b, (uint64_t)m->merges + 1);
    if (status != FE_OK) return status;
    for (int64_t i = 0, rank = 0; i < m->merges && status == FE_OK; i++) {
        const bool same = m->flags & FE_MADE_RANKS && i && m->merge_result[i] == m->merge_result[i - 1];
        if (!same) rank = i;
        status = add_pair(b, m->merge_left[i], m->merge_right[i], rank);
    }
    if (status == FE_OK) status = finish_pairs(b);
    if (status != FE_OK || fe_has_codes(m->flags)) return status;
    const fe_merges merges = merges_of(b);
    for (int32_t a = 0; a < 256; a++)
        for (int32_t c = 0; c < 256; c++)
            if (m->byte_tokens[a] >= 0 && m->byte_tokens[c] >= 0)
                b->byte_ranks[a << 8 | c] = fe_pair_rank(&merges, m->byte_tokens[a], m->byte_tokens[c]);
    return FE_OK;
}

fe_status fe_build_pairs(fe_builder *b) { return b->model->flags & FE_RANKED ? derive_pairs(b) : take_pairs(b); }
