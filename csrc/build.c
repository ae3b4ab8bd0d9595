/* build.c: a vocabulary → the image of a tokenizer. */
#include "build.h"

#include "mem.h"

static void clear(fe_builder *b) {
    free(b->lookup);
    free(b->offsets);
    free(b->pairs);
    free(b->filter);
    free(b->byte_ranks);
    free(b->added_offsets);
    fe_trie_clear(&b->early);
    fe_trie_clear(&b->late);
    free(b->late_bytes.bytes);
    free(b->late_offsets);
    free(b->char_pages);
    fe_trie_clear(&b->wholes);
    free(b->char_tokens);
    free(b->cut_pairs);
    free(b->cut_ascii);
    free(b->order);
    free(b->sorted);
    free(b->symbols);
    free(b->word_flags);
    free(b->whole_scores);
    free(b->whole_values);
    fe_trie_clear(&b->words);
    fe_scratch_clear(&b->scratch);
}

/* ------------------------------------------------------------------ tokens */

static fe_status check_tokens(const fe_model *m) {
    if (m->tokens < 0 || m->tokens > FE_MAX_TOKENS || m->vocab < 0 || m->vocab > m->tokens) return FE_BAD_MODEL;
    if (m->merges < 0 || m->merges > FE_MAX_MERGES || m->unk < -1 || m->unk >= m->vocab) return FE_BAD_MODEL;
    if (!fe_flags_valid(m->flags, m->pattern)) return FE_BAD_MODEL;
    if (m->token_offsets[0] != 0 || m->token_offsets[m->tokens] > UINT32_MAX) return FE_BAD_MODEL;
    for (int64_t i = 0; i < m->tokens; i++)
        if (m->token_offsets[i + 1] < m->token_offsets[i] || m->token_ids[i] < 0 || m->token_ids[i] == INT32_MAX)
            return FE_BAD_MODEL;
    for (int64_t i = 0; i < 256; i++)
        if (m->byte_tokens[i] < -1 || m->byte_tokens[i] >= m->vocab) return FE_BAD_MODEL;
    if (m->flags & FE_MADE_RANKS && (m->tied < 0 || m->tied > m->merges)) return FE_BAD_MODEL;
    for (int64_t i = 0; i < m->merges; i++) {
        const int32_t a = m->merge_left[i], c = m->merge_right[i], made = m->merge_result[i];
        if (a < 0 || c < 0 || made < 0 || a >= m->vocab || c >= m->vocab || made >= m->vocab) return FE_BAD_MODEL;
    }
    if (m->chars < 0 || m->pairs < 0 || m->notes < 0) return FE_BAD_MODEL;
    const uint32_t code_end = m->flags & FE_AFFIXES ? FE_PLACES * FE_PLACE : FE_PLACE;
    for (int64_t i = 0; i < m->chars; i++)
        if (m->char_codes[i] >= code_end || m->char_tokens[i] < 0 || m->char_tokens[i] >= m->vocab) return FE_BAD_MODEL;
    return FE_OK;
}

static fe_status check_added(const fe_model *m) {
    if (m->added < 0 || m->added >= INT32_MAX || m->before < 0 || m->after < 0) return FE_BAD_MODEL;
    for (int64_t i = 0, end = 0; i < m->added; i++) {
        const int64_t last = m->added_offsets[i + 1];
        if (m->added_offsets[i] != end || last <= end || last >= INT32_MAX || m->added_ids[i] < 0) return FE_BAD_MODEL;
        if (m->added_ids[i] == INT32_MAX || m->added_flags[i] & ~FE_ADDED_FLAGS) return FE_BAD_MODEL;
        end = last;
    }
    if (m->normal < 0 || !fe_normal_valid(m->normal_bytes, (uint64_t)m->normal)) return FE_BAD_MODEL;
    for (int64_t i = 0; i < m->before; i++)
        if (m->before_ids[i] < 0 || m->before_ids[i] == INT32_MAX) return FE_BAD_MODEL;
    for (int64_t i = 0; i < m->after; i++)
        if (m->after_ids[i] < 0 || m->after_ids[i] == INT32_MAX) return FE_BAD_MODEL;
    return FE_OK;
}

static fe_status fill_lookup(fe_builder *b, int64_t *twice) {
    const fe_model *const m = b->model;
    b->offsets = fe_new((uint64_t)m->tokens + 1, sizeof *b->offsets);
    if (!b->offsets) return FE_NO_MEMORY;
    b->spelling = (fe_strings){m->token_bytes, b->offsets, 0};
    for (int64_t i = 0; i <= m->tokens; i++) b->offsets[i] = (uint32_t)m->token_offsets[i];
    if (fe_has_codes(m->flags) || m->flags & FE_UNIGRAM) return FE_OK;
    b->lookup_slots = fe_table_slots((uint64_t)m->vocab);
    b->lookup = fe_new(b->lookup_slots, sizeof *b->lookup);
    if (!b->lookup) return FE_NO_MEMORY;
    int64_t second;
    const fe_status status = fe_table_fill(&b->table, b->lookup, &b->spelling, m->vocab, &second);
    if (status != FE_OK || second < 0 || !(m->flags & FE_RANKED)) return status; /* else two spellings may be equal */
    *twice = second;
    return FE_TWICE;
}

/* Orders tokens by their ids. Ids are usually 0, 1, 2 ... already: then this is one pass. Else a merge sort, from runs
 * of one on. */
static fe_status order_tokens(fe_builder *b) {
    const int64_t n = b->model->tokens;
    const int32_t *const ids = b->model->token_ids;
    bool sorted = true;
    for (int64_t i = 0; i < n; i++) {
        b->order[i] = (int32_t)i;
        sorted = sorted && (i == 0 || ids[i] > ids[i - 1]);
    }
    if (sorted) return FE_OK;
    int32_t *from = b->order, *to = fe_new((uint64_t)n, sizeof *to);
    if (!to) return FE_NO_MEMORY;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t low = 0; low < n; low += 2 * width) {
            const int64_t middle = low + width < n ? low + width : n, high = middle + width < n ? middle + width : n;
            int64_t i = low, j = middle;
            for (int64_t k = low; k < high; k++)
                to[k] = i < middle && (j == high || ids[from[i]] <= ids[from[j]]) ? from[i++] : from[j++];
        }
        int32_t *const swap = from;
        from = to;
        to = swap;
    }
    b->order = from;
    free(to);
    for (int64_t i = 1; i < n; i++)
        if (ids[from[i]] == ids[from[i - 1]]) return FE_BAD_MODEL;
    return FE_OK;
}

static fe_status sort_ids(fe_builder *b) {
    const uint64_t n = (uint64_t)b->model->tokens;
    b->order = fe_new(n, sizeof *b->order);
    b->sorted = fe_new(n, sizeof *b->sorted);
    if (!b->order || !b->sorted) return FE_NO_MEMORY;
    const fe_status status = order_tokens(b);
    for (uint64_t i = 0; i < n && status == FE_OK; i++) b->sorted[i] = b->model->token_ids[b->order[i]];
    return status;
}

/* ------------------------------------------------------------------ added tokens */

/* Late added tokens are looked for in text that was normalized, so they are normalized as well. Steps may make each of
 * many tokens thousands of times as long, of which a trie would take memory that the vocabulary does not: no step in
 * use comes near the bound. */
static fe_status normalize_added(fe_builder *b, int64_t *too_long) {
    const fe_model *const m = b->model;
    const int64_t most = FE_LATE_BYTES + FE_LATE_GROWTH * m->added_offsets[m->added];
    fe_normal normal = {0};
    fe_status status = FE_OK;
    b->late_offsets = fe_new_zeros((uint64_t)m->added + 1, sizeof *b->late_offsets);
    if (!b->late_offsets) return FE_NO_MEMORY;
    for (int64_t i = 0; i < m->added && status == FE_OK; i++) {
        const uint8_t *p = m->added_bytes + m->added_offsets[i], *end = m->added_bytes + m->added_offsets[i + 1];
        if (m->added_flags[i] & FE_ADDED_LATE)
            status = fe_normal_apply(&normal, m->normal_bytes, (uint64_t)m->normal, &p, &end);
        if (status == FE_OK && p == end) status = FE_BAD_MODEL;
        if (status == FE_OK && end - p > most - b->late_bytes.size) status = FE_TOO_LONG;
        if (status == FE_OK) status = fe_buffer_add(&b->late_bytes, p, end - p);
        if (status == FE_TOO_LONG) *too_long = i;
        b->late_offsets[i + 1] = (uint32_t)b->late_bytes.size;
    }
    fe_normal_clear(&normal);
    return status;
}

static fe_status fill_added(fe_builder *b, int64_t *too_long) {
    const fe_model *const m = b->model;
    b->added_offsets = fe_new((uint64_t)m->added + 1, sizeof *b->added_offsets);
    if (!b->added_offsets) return FE_NO_MEMORY;
    b->added_offsets[0] = 0;
    for (int64_t i = 0; i < m->added; i++) b->added_offsets[i + 1] = (uint32_t)m->added_offsets[i + 1];
    fe_keys keys = {m->added_bytes, b->added_offsets, m->added_flags, m->added, FE_ADDED_LATE, 0, false};
    fe_status status = fe_trie_build(&keys, &b->early);
    keys.want = FE_ADDED_LATE;
    if (status == FE_OK && m->added && m->normal && !fe_normal_spares_late(m->normal_bytes, (uint64_t)m->normal)) {
        status = normalize_added(b, too_long);
        keys.bytes = b->late_bytes.bytes;
        keys.offsets = b->late_offsets;
        b->counts[FE_S_LATE_OFFSETS] = (uint64_t)m->added + 1;
        b->counts[FE_S_LATE_BYTES] = (uint64_t)b->late_bytes.size;
    }
    if (status == FE_OK) status = fe_trie_build(&keys, &b->late);
    b->counts[FE_S_EARLY] = (uint64_t)b->early.count;
    b->counts[FE_S_LATE] = (uint64_t)b->late.count;
    return status;
}

/* A chain is made ready to see whether it is one. */
static fe_status check_chain(const fe_model *m) {
    if (m->pattern != FE_PATTERN_PROGRAM) return FE_OK;
    if (!m->chain) return FE_BAD_MODEL;
    fe_cutters *cutters;
    const fe_status status = fe_cutters_new(m->chain, &cutters);
    free(cutters);
    return status;
}

/* ------------------------------------------------------------------ the image */

static void list_chain(fe_builder *b, const fe_chain *chain) {
    b->sections[FE_S_STEPS] = chain->step;
    b->sections[FE_S_ITEMS] = chain->item;
    b->sections[FE_S_KIND_BITS] = chain->kind_bits;
    b->sections[FE_S_KIND_PAGES] = chain->pages;
    b->sections[FE_S_KIND_BLOCKS] = chain->block_kinds;
    b->sections[FE_S_BYTE_KINDS] = chain->byte_kinds;
    b->counts[FE_S_STEPS] = (uint64_t)chain->steps;
    b->counts[FE_S_ITEMS] = (uint64_t)chain->items;
    b->counts[FE_S_KIND_BITS] = (uint64_t)chain->kinds;
    b->counts[FE_S_KIND_BLOCKS] = (uint64_t)chain->blocks * 128;
}

/* What the sections are copied from, and how many elements there are where the header does not say it. */
static void list_sections(fe_builder *b) {
    const fe_model *const m = b->model;
    const void *const from[FE_SECTIONS] = {
        [FE_S_TOKEN_OFFSETS] = b->offsets,   [FE_S_TOKEN_BYTES] = m->token_bytes,
        [FE_S_TOKEN_IDS] = m->token_ids,     [FE_S_SORTED_IDS] = b->sorted,
        [FE_S_SORTED_TOKENS] = b->order,     [FE_S_LOOKUP] = b->lookup,
        [FE_S_PAIRS] = b->pairs,             [FE_S_FILTER] = b->filter,
        [FE_S_RESULT] = m->merge_result,     [FE_S_BYTE_TOKENS] = m->byte_tokens,
        [FE_S_BYTE_RANKS] = b->byte_ranks,   [FE_S_CHAR_PAGES] = b->char_pages,
        [FE_S_PLACE_PAGES] = b->char_pages,  [FE_S_WHOLES] = b->wholes.units,
        [FE_S_WHOLE_TOKENS] = m->whole_tokens,
        [FE_S_CHAR_TOKENS] = b->char_tokens, [FE_S_CUT_PAIRS] = b->cut_pairs,
        [FE_S_CUT_ASCII] = b->cut_ascii,     [FE_S_ADDED_OFFSETS] = b->added_offsets,
        [FE_S_ADDED_BYTES] = m->added_bytes, [FE_S_ADDED_IDS] = m->added_ids,
        [FE_S_ADDED_FLAGS] = m->added_flags, [FE_S_EARLY] = b->early.units,
        [FE_S_LATE] = b->late.units,         [FE_S_BEFORE] = m->before_ids,
        [FE_S_AFTER] = m->after_ids,         [FE_S_NOTES] = m->notes_bytes,
        [FE_S_NORMAL] = m->normal_bytes,     [FE_S_LATE_OFFSETS] = b->late_offsets,
        [FE_S_LATE_BYTES] = b->late_bytes.bytes,
        [FE_S_WORDS] = b->words.units,       [FE_S_WORD_LIMITS] = b->word_limits,
        [FE_S_WHOLE_SCORES] = b->whole_scores, [FE_S_WHOLE_VALUES] = b->whole_values,
    };
    memcpy(b->sections, from, sizeof from);
    if (m->pattern == FE_PATTERN_PROGRAM) list_chain(b, m->chain);
    b->counts[FE_S_TOKEN_BYTES] = b->offsets[m->tokens];
    b->counts[FE_S_LOOKUP] = b->lookup_slots;
    b->counts[FE_S_PAIRS] = b->pair_slots;
    b->counts[FE_S_ADDED_BYTES] = b->added_offsets[m->added];
    b->counts[FE_S_BEFORE] = (uint64_t)m->before;
    b->counts[FE_S_AFTER] = (uint64_t)m->after;
    b->counts[FE_S_NOTES] = (uint64_t)m->notes;
    b->counts[FE_S_NORMAL] = (uint64_t)m->normal;
    b->counts[FE_S_WHOLES] = (uint64_t)b->wholes.count;
    b->counts[FE_S_WHOLE_TOKENS] = (uint64_t)m->wholes;
}

static uint64_t count_of(const fe_builder *b, enum fe_section tag) {
    const uint64_t number = fe_sections[tag].number;
    switch ((enum fe_count)fe_sections[tag].count) {
    case FE_COUNT_FIXED: return number;
    case FE_COUNT_TOKENS: return b->header.tokens + number;
    case FE_COUNT_RANKS: return b->header.ranks;
    case FE_COUNT_ADDED: return b->header.added + number;
    case FE_COUNT_FILTER: return b->pair_slots * number / 64;
    default: return b->counts[tag];
    }
}

static void fill_header(fe_builder *b) {
    const fe_model *const m = b->model;
    fe_header *const h = &b->header;
    memcpy(h->magic, FE_MAGIC, sizeof h->magic);
    h->order = FE_ORDER;
    h->version = FE_VERSION;
    h->flags = m->flags;
    h->pattern = m->pattern;
    h->unk = m->unk;
    h->tokens = (uint64_t)m->tokens;
    h->vocab = (uint64_t)m->vocab;
    h->ranks = (uint64_t)(m->flags & FE_RANKED ? m->vocab : m->merges);
    h->added = (uint64_t)m->added;
    h->tied = (uint64_t)(m->flags & FE_MADE_RANKS ? m->tied : 0);
    h->lookup_seed = b->table.seed;
    h->pair_seed = fe_seed(b->pair_seeds);
    h->size = (sizeof *h + FE_LINE - 1) / FE_LINE * FE_LINE;
    for (uint32_t tag = 0; tag < FE_SECTIONS; tag++) {
        if (!fe_section_needed(h, tag)) continue;
        const uint64_t length = count_of(b, tag) * fe_sections[tag].element;
        h->places[h->sections++] = (fe_place){tag, 0, h->size, length};
        h->size += (length + FE_LINE - 1) / FE_LINE * FE_LINE;
    }
}

static fe_status assemble(fe_builder *b, uint8_t **out) {
    list_sections(b);
    fill_header(b);
    uint8_t *const image = fe_new_lines(b->header.size);
    if (!image) return FE_NO_MEMORY;
    fe_header *const h = (fe_header *)(void *)image;
    *h = b->header;
    for (uint32_t i = 0; i < h->sections; i++)
        if (h->places[i].length) memcpy(image + h->places[i].at, b->sections[h->places[i].tag], h->places[i].length);
    h->check = fe_image_check(h);
    *out = image;
    return FE_OK;
}

static fe_status build(fe_builder *b, uint8_t **image, int64_t *fault) {
    const fe_model *const m = b->model;
    fe_status status = check_tokens(m);
    if (status == FE_OK) status = check_added(m);
    if (status == FE_OK) status = check_chain(m);
    if (status != FE_OK) return status;
    b->byte_ranks = fe_new(65536, sizeof *b->byte_ranks);
    if (!b->byte_ranks) return FE_NO_MEMORY;
    memset(b->byte_ranks, 0xFF, 65536 * sizeof *b->byte_ranks); /* FE_NO_RANK */
    status = fill_lookup(b, fault);
    if (status == FE_OK) status = sort_ids(b);
    if (status == FE_OK) status = fe_build_pairs(b);
    if (status == FE_OK) status = fill_added(b, fault);
    if (status == FE_OK && m->flags & FE_WORD_FLAGS) status = fe_build_words(b);
    if (status == FE_OK && m->flags & FE_UNIGRAM) status = fe_build_unigram(b);
    if (status == FE_OK && fe_has_codes(m->flags)) status = fe_build_chars(b);
    return status == FE_OK ? assemble(b, image) : status;
}

fe_status fe_tokenizer_new(const fe_model *model, int32_t path, fe_tokenizer **out, int64_t *fault) {
    fe_builder b = {.model = model};
    uint8_t *image = NULL;
    *out = NULL;
    *fault = -1;
    fe_status status = build(&b, &image, fault);
    clear(&b);
    if (status == FE_OK) status = fe_image_open(image, (int64_t)b.header.size, path, true, out);
    if (status != FE_OK) {
        free(image);
        return status;
    }
    (*out)->memory = image;
    return FE_OK;
}
