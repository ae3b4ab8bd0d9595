/* build.c: a vocabulary → the image of a tokenizer. */
#include "image.h"
#include "mem.h"
#include "utf8.h"

#define MARK 0x2581u
#define NONE (-1)

/* What is made on the way, and in the end the sections: each element by element as fe_sections describes it. */
typedef struct builder {
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
    int32_t *char_pages, *char_tokens;
    uint64_t *cut_pairs, (*cut_ascii)[2];
    int32_t *order, *sorted; /* tokens by ascending id, and those ids */
    fe_scratch scratch;
    int32_t *symbols; /* room for the longest token */
} builder;

static void clear(builder *b) {
    free(b->lookup);
    free(b->offsets);
    free(b->pairs);
    free(b->filter);
    free(b->byte_ranks);
    free(b->added_offsets);
    fe_trie_clear(&b->early);
    fe_trie_clear(&b->late);
    free(b->char_pages);
    free(b->char_tokens);
    free(b->cut_pairs);
    free(b->cut_ascii);
    free(b->order);
    free(b->sorted);
    free(b->symbols);
    fe_scratch_clear(&b->scratch);
}

static uint32_t log2_of(uint64_t power) {
    uint32_t bits = 0;
    while (power >>= 1) bits++;
    return bits;
}

/* ------------------------------------------------------------------ tokens */

static fe_status check_tokens(const fe_model *m) {
    if (m->tokens < 0 || m->tokens > FE_MAX_TOKENS || m->vocab < 0 || m->vocab > m->tokens) return FE_BAD_MODEL;
    if (m->merges < 0 || m->merges > FE_MAX_MERGES || m->unk < -1 || m->unk >= m->vocab) return FE_BAD_MODEL;
    if (!fe_flags_valid(m->flags)) return FE_BAD_MODEL;
    if (m->pattern < FE_PATTERN_NONE || m->pattern > FE_PATTERN_DEEPSEEK_V3) return FE_BAD_MODEL;
    if (m->token_offsets[0] != 0 || m->token_offsets[m->tokens] > UINT32_MAX) return FE_BAD_MODEL;
    for (int64_t i = 0; i < m->tokens; i++)
        if (m->token_offsets[i + 1] < m->token_offsets[i] || m->token_ids[i] < 0 || m->token_ids[i] == INT32_MAX)
            return FE_BAD_MODEL;
    for (int64_t i = 0; i < 256; i++)
        if (m->byte_tokens[i] < NONE || m->byte_tokens[i] >= m->vocab) return FE_BAD_MODEL;
    for (int64_t i = 0; i < m->merges; i++) {
        const int32_t a = m->merge_left[i], c = m->merge_right[i], made = m->merge_result[i];
        if (a < 0 || c < 0 || made < 0 || a >= m->vocab || c >= m->vocab || made >= m->vocab) return FE_BAD_MODEL;
    }
    if (m->chars < 0 || m->pairs < 0 || m->notes < 0) return FE_BAD_MODEL;
    for (int64_t i = 0; i < m->chars; i++)
        if (m->char_codes[i] > 0x10FFFF || m->char_tokens[i] < 0 || m->char_tokens[i] >= m->vocab) return FE_BAD_MODEL;
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
    for (int64_t i = 0; i < m->before; i++)
        if (m->before_ids[i] < 0 || m->before_ids[i] == INT32_MAX) return FE_BAD_MODEL;
    for (int64_t i = 0; i < m->after; i++)
        if (m->after_ids[i] < 0 || m->after_ids[i] == INT32_MAX) return FE_BAD_MODEL;
    return FE_OK;
}

static fe_status fill_lookup(builder *b, int64_t *twice) {
    const fe_model *const m = b->model;
    b->offsets = fe_new((uint64_t)m->tokens + 1, sizeof *b->offsets);
    if (!b->offsets) return FE_NO_MEMORY;
    b->spelling = (fe_strings){m->token_bytes, b->offsets, 0};
    for (int64_t i = 0; i <= m->tokens; i++) b->offsets[i] = (uint32_t)m->token_offsets[i];
    if (!(m->flags & FE_BYTE_LEVEL)) return FE_OK;
    b->lookup_slots = fe_table_slots((uint64_t)m->vocab);
    b->lookup = fe_new(b->lookup_slots, sizeof *b->lookup);
    if (!b->lookup) return FE_NO_MEMORY;
    int64_t second;
    const fe_status status = fe_table_fill(&b->table, b->lookup, &b->spelling, m->vocab, &second);
    if (status != FE_OK || second < 0 || !(m->flags & FE_RANKED)) return status; /* else two spellings may be equal */
    *twice = second;
    return FE_TWICE;
}

static int32_t find(const builder *b, const uint8_t *bytes, int64_t size) {
    return fe_table_find(&b->table, &b->spelling, bytes, (uint64_t)size);
}

/* Orders tokens by their ids. Ids are usually 0, 1, 2 ... already: then this is one pass. Else a merge sort, from runs
 * of one on. */
static fe_status order_tokens(builder *b) {
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

static fe_status sort_ids(builder *b) {
    const uint64_t n = (uint64_t)b->model->tokens;
    b->order = fe_new(n, sizeof *b->order);
    b->sorted = fe_new(n, sizeof *b->sorted);
    if (!b->order || !b->sorted) return FE_NO_MEMORY;
    const fe_status status = order_tokens(b);
    for (uint64_t i = 0; i < n && status == FE_OK; i++) b->sorted[i] = b->model->token_ids[b->order[i]];
    return status;
}

/* ------------------------------------------------------------------ merges */

static fe_merges merges_of(const builder *b) {
    return (fe_merges){
        .slots = b->pairs,
        .filter = b->filter,
        .shift = 64 - log2_of(b->pair_slots),
        .seed = fe_seed(b->pair_seeds),
        .byte_token = b->model->byte_tokens,
        .byte_rank = b->byte_ranks,
    };
}

/* False if a search is too long. */
static bool put_pair(builder *b, uint64_t key, uint64_t rank) {
    const uint64_t hash = fe_pair_hash(key, fe_seed(b->pair_seeds)), mask = b->pair_slots - 1;
    const uint32_t shift = 64 - log2_of(b->pair_slots);
    const uint64_t bit = hash >> (shift - FE_FILTER_LOG);
    uint64_t i = hash >> shift;
    for (int steps = 0; b->pairs[i] != FE_EMPTY_SLOT && b->pairs[i] >> FE_RANK_BITS != key; i = (i + 1) & mask)
        if (++steps > FE_LONGEST_RUN) return false;
    b->pairs[i] = key << FE_RANK_BITS | rank; /* a pair listed twice: the last place counts */
    b->filter[bit / 64] |= UINT64_C(1) << bit % 64;
    return true;
}

/* Lays the pairs out anew in so many slots, by the next seed that keeps searches short. FE_BAD_MODEL: none does. */
static fe_status lay_out_pairs(builder *b, uint64_t slots) {
    const builder old = *b;
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

static fe_status reserve_pairs(builder *b, uint64_t count) {
    return b->pairs && 2 * count <= b->pair_slots ? FE_OK : lay_out_pairs(b, fe_table_slots(count));
}

static fe_status add_pair(builder *b, int32_t left, int32_t right, int64_t rank) {
    fe_status status = reserve_pairs(b, ++b->pair_count);
    while (status == FE_OK && !put_pair(b, fe_pair_key(left, right), (uint64_t)rank)) {
        b->pair_seeds++;
        status = lay_out_pairs(b, b->pair_slots);
    }
    return status;
}

/* The table as it is when all pairs are in it: no search is long, whatever is asked for. */
static fe_status finish_pairs(builder *b) {
    if (fe_runs_are_short(b->pairs, b->pair_slots, FE_EMPTY_SLOT)) return FE_OK;
    b->pair_seeds++;
    return lay_out_pairs(b, b->pair_slots);
}

/* Every way to cut a token into two: needed where the tokens before it do not leave two parts of it. */
static fe_status add_all_cuts(builder *b, int64_t token, const uint8_t *bytes, int64_t size) {
    fe_status status = FE_OK;
    for (int64_t cut = 1; cut < size && status == FE_OK; cut++) {
        const int32_t left = find(b, bytes, cut);
        const int32_t right = left < 0 ? NONE : find(b, bytes + cut, size - cut);
        if (right >= 0) status = add_pair(b, left, right, token);
    }
    return status;
}

/* Ranked tokens: the pair that makes each. Merging a token's bytes by the tokens before it leaves the two parts that
 * stand side by side when it is made, and no other two ever do (docs/design/tokenizer.md has the proof). */
static fe_status derive_pairs(builder *b) {
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

static fe_status take_pairs(builder *b) {
    const fe_model *const m = b->model;
    fe_status status = reserve_pairs(b, (uint64_t)m->merges + 1);
    if (status != FE_OK) return status;
    for (int64_t i = 0; i < m->merges && status == FE_OK; i++)
        status = add_pair(b, m->merge_left[i], m->merge_right[i], i);
    if (status == FE_OK) status = finish_pairs(b);
    if (status != FE_OK || !(m->flags & FE_BYTE_LEVEL)) return status;
    const fe_merges merges = merges_of(b);
    for (int32_t a = 0; a < 256; a++)
        for (int32_t c = 0; c < 256; c++)
            if (m->byte_tokens[a] >= 0 && m->byte_tokens[c] >= 0)
                b->byte_ranks[a << 8 | c] = fe_pair_rank(&merges, m->byte_tokens[a], m->byte_tokens[c]);
    return FE_OK;
}

/* ------------------------------------------------------------------ characters */

typedef struct chars {
    int32_t *pages, *tokens;
    const uint64_t *pairs;
    uint32_t flags;
    bool all_solid;
} chars;

static int64_t count_pages(const fe_model *m) {
    bool in_use[FE_PAGES] = {false};
    int64_t pages = 0;
    for (int64_t i = 0; i < m->chars; i++) {
        bool *const page = &in_use[m->char_codes[i] / FE_PAGE];
        pages += !*page;
        *page = true;
    }
    return pages;
}

static void fill_pages(const fe_model *m, int32_t *pages, int32_t *tokens, int64_t count) {
    int32_t used = 0;
    memset(pages, 0xFF, FE_PAGES * sizeof *pages);
    if (count) memset(tokens, 0xFF, (size_t)count * FE_PAGE * sizeof *tokens);
    for (int64_t i = 0; i < m->chars; i++) {
        int32_t *const page = &pages[m->char_codes[i] / FE_PAGE];
        if (*page < 0) *page = used++;
        tokens[(int64_t)*page * FE_PAGE + m->char_codes[i] % FE_PAGE] = m->char_tokens[i];
    }
}

/* Whether a text may be cut between two characters; not next to one that is unknown, which may fuse with another or
 * vanish, so that what stood apart meets. */
static bool can_cut(const chars *c, uint32_t before, uint32_t after) {
    const fe_pairs pairs = {c->pairs};
    const uint32_t codes[2] = {before, after};
    for (int i = 0; i < 2 && !c->all_solid; i++) {
        const int32_t page = c->pages[codes[i] / FE_PAGE];
        if (page < 0 || c->tokens[(int64_t)page * FE_PAGE + codes[i] % FE_PAGE] < 0) return false;
    }
    return !fe_pairs_join(&pairs, before, after);
}

static uint32_t seen(const chars *c, uint32_t code) { return code == ' ' && c->flags & FE_SPACE_MARK ? MARK : code; }

static void fill_ascii_cuts(const chars *c, uint64_t (*cuts)[2]) {
    for (uint32_t a = 0; a < 128; a++)
        for (uint32_t b = 0; b < 128; b++)
            if (can_cut(c, seen(c, a), seen(c, b))) cuts[a][b / 64] |= UINT64_C(1) << b % 64;
}

/* True if the mark follows nothing but the mark inside any token, so that a run of spaces can always be cut off. */
static bool mark_starts_words(const fe_model *m, bool all_solid) {
    if (!all_solid || !(m->flags & FE_CUT) || !(m->flags & FE_SPACE_MARK)) return false;
    for (int64_t i = 0; i < m->pairs; i++)
        if (m->pair_right[i] == MARK && m->pair_left[i] != MARK) return false;
    return true;
}

static fe_status fill_characters(builder *b) {
    const fe_model *const m = b->model;
    const int64_t pages = count_pages(m);
    b->char_pages = fe_new(FE_PAGES, sizeof *b->char_pages);
    b->char_tokens = fe_new((uint64_t)pages * FE_PAGE, sizeof *b->char_tokens);
    b->cut_pairs = fe_new_zeros(FE_PAIR_WORDS, sizeof *b->cut_pairs);
    b->cut_ascii = fe_new_zeros(128, sizeof *b->cut_ascii);
    if (!b->char_pages || !b->char_tokens || !b->cut_pairs || !b->cut_ascii) return FE_NO_MEMORY;
    bool all = m->flags & FE_BYTE_FALLBACK;
    for (int64_t i = 0; i < 256; i++) all = all && m->byte_tokens[i] >= 0;
    fill_pages(m, b->char_pages, b->char_tokens, pages);
    for (int64_t i = 0; i < m->pairs; i++) {
        const uint64_t bit = fe_pair_bit(m->pair_left[i], m->pair_right[i]);
        b->cut_pairs[bit / 64] |= UINT64_C(1) << bit % 64;
    }
    const chars c = {b->char_pages, b->char_tokens, b->cut_pairs, m->flags, all};
    fill_ascii_cuts(&c, b->cut_ascii);
    b->header.all_solid = all;
    b->header.space_cuts = mark_starts_words(m, all);
    b->counts[FE_S_CHAR_TOKENS] = (uint64_t)pages * FE_PAGE;
    return FE_OK;
}

/* ------------------------------------------------------------------ added tokens */

static fe_status fill_added(builder *b) {
    const fe_model *const m = b->model;
    b->added_offsets = fe_new((uint64_t)m->added + 1, sizeof *b->added_offsets);
    if (!b->added_offsets) return FE_NO_MEMORY;
    b->added_offsets[0] = 0;
    for (int64_t i = 0; i < m->added; i++) b->added_offsets[i + 1] = (uint32_t)m->added_offsets[i + 1];
    fe_keys keys = {m->added_bytes, b->added_offsets, m->added_flags, m->added, FE_ADDED_LATE, 0, false};
    fe_status status = fe_trie_build(&keys, &b->early);
    keys.want = FE_ADDED_LATE;
    if (status == FE_OK) status = fe_trie_build(&keys, &b->late);
    b->counts[FE_S_EARLY] = (uint64_t)b->early.count;
    b->counts[FE_S_LATE] = (uint64_t)b->late.count;
    return status;
}

/* ------------------------------------------------------------------ the image */

/* What the sections are copied from, and how many elements there are where the header does not say it. */
static void list_sections(builder *b) {
    const fe_model *const m = b->model;
    const void *const from[FE_SECTIONS] = {
        [FE_S_TOKEN_OFFSETS] = b->offsets,   [FE_S_TOKEN_BYTES] = m->token_bytes,
        [FE_S_TOKEN_IDS] = m->token_ids,     [FE_S_SORTED_IDS] = b->sorted,
        [FE_S_SORTED_TOKENS] = b->order,     [FE_S_LOOKUP] = b->lookup,
        [FE_S_PAIRS] = b->pairs,             [FE_S_FILTER] = b->filter,
        [FE_S_RESULT] = m->merge_result,     [FE_S_BYTE_TOKENS] = m->byte_tokens,
        [FE_S_BYTE_RANKS] = b->byte_ranks,   [FE_S_CHAR_PAGES] = b->char_pages,
        [FE_S_CHAR_TOKENS] = b->char_tokens, [FE_S_CUT_PAIRS] = b->cut_pairs,
        [FE_S_CUT_ASCII] = b->cut_ascii,     [FE_S_ADDED_OFFSETS] = b->added_offsets,
        [FE_S_ADDED_BYTES] = m->added_bytes, [FE_S_ADDED_IDS] = m->added_ids,
        [FE_S_ADDED_FLAGS] = m->added_flags, [FE_S_EARLY] = b->early.units,
        [FE_S_LATE] = b->late.units,         [FE_S_BEFORE] = m->before_ids,
        [FE_S_AFTER] = m->after_ids,         [FE_S_NOTES] = m->notes_bytes,
    };
    memcpy(b->sections, from, sizeof from);
    b->counts[FE_S_TOKEN_BYTES] = b->offsets[m->tokens];
    b->counts[FE_S_LOOKUP] = b->lookup_slots;
    b->counts[FE_S_PAIRS] = b->pair_slots;
    b->counts[FE_S_ADDED_BYTES] = b->added_offsets[m->added];
    b->counts[FE_S_BEFORE] = (uint64_t)m->before;
    b->counts[FE_S_AFTER] = (uint64_t)m->after;
    b->counts[FE_S_NOTES] = (uint64_t)m->notes;
}

static uint64_t count_of(const builder *b, enum fe_section tag) {
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

static void fill_header(builder *b) {
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

static fe_status assemble(builder *b, uint8_t **out) {
    list_sections(b);
    fill_header(b);
    uint8_t *const image = fe_new_zeros(b->header.size, 1);
    if (!image) return FE_NO_MEMORY;
    fe_header *const h = (fe_header *)(void *)image;
    *h = b->header;
    for (uint32_t i = 0; i < h->sections; i++)
        if (h->places[i].length) memcpy(image + h->places[i].at, b->sections[h->places[i].tag], h->places[i].length);
    h->check = fe_image_check(h);
    *out = image;
    return FE_OK;
}

static fe_status build(builder *b, uint8_t **image, int64_t *twice) {
    const fe_model *const m = b->model;
    fe_status status = check_tokens(m);
    if (status == FE_OK) status = check_added(m);
    if (status != FE_OK) return status;
    b->byte_ranks = fe_new(65536, sizeof *b->byte_ranks);
    if (!b->byte_ranks) return FE_NO_MEMORY;
    memset(b->byte_ranks, 0xFF, 65536 * sizeof *b->byte_ranks); /* FE_NO_RANK */
    status = fill_lookup(b, twice);
    if (status == FE_OK) status = sort_ids(b);
    if (status == FE_OK) status = m->flags & FE_RANKED ? derive_pairs(b) : take_pairs(b);
    if (status == FE_OK) status = fill_added(b);
    if (status == FE_OK && !(m->flags & FE_BYTE_LEVEL)) status = fill_characters(b);
    return status == FE_OK ? assemble(b, image) : status;
}

fe_status fe_tokenizer_new(const fe_model *model, int32_t path, fe_tokenizer **out, int64_t *twice) {
    builder b = {.model = model};
    uint8_t *image = NULL;
    *out = NULL;
    *twice = -1;
    fe_status status = build(&b, &image, twice);
    clear(&b);
    if (status == FE_OK) status = fe_image_open(image, (int64_t)b.header.size, path, true, out);
    if (status != FE_OK) {
        free(image);
        return status;
    }
    (*out)->memory = image;
    return FE_OK;
}
