/* build_chars.c: the characters that are symbols, and where no token reaches across two of them. */
#include "build.h"
#include "mem.h"

static int64_t count_pages(const fe_char_set *m) {
    bool in_use[FE_PLACES * FE_PAGES] = {false};
    int64_t pages = 0;
    for (int64_t i = 0; i < m->chars; i++) {
        bool *const page = &in_use[m->codes[i] / FE_PAGE];
        pages += !*page;
        *page = true;
    }
    return pages;
}

static void fill_pages(const fe_char_set *m, int32_t *pages, uint64_t places, int32_t *tokens, int64_t count) {
    int32_t used = 0;
    memset(pages, 0xFF, places * FE_PAGES * sizeof *pages);
    if (count) memset(tokens, 0xFF, (size_t)count * FE_PAGE * sizeof *tokens);
    for (int64_t i = 0; i < m->chars; i++) {
        int32_t *const page = &pages[m->codes[i] / FE_PAGE];
        if (*page < 0) *page = used++;
        tokens[(int64_t)*page * FE_PAGE + m->codes[i] % FE_PAGE] = m->tokens ? m->tokens[i] : 0;
    }
}

static void fill_ascii_cuts(const fe_chars *c, uint64_t (*cuts)[2]) {
    for (uint32_t a = 0; a < 128; a++)
        for (uint32_t b = 0; b < 128; b++)
            if (fe_chars_can_cut(c, fe_char_seen(c, a), fe_char_seen(c, b))) cuts[a][b / 64] |= UINT64_C(1) << b % 64;
}

/* True if a run of spaces can always be cut off: marks begin pieces, or no token has the mark behind anything else. */
static bool mark_starts_words(const fe_model *m, bool all_solid) {
    if (m->flags & FE_SPLIT_MARKS && m->flags & FE_SPACE_MARK) return true;
    if (!all_solid || !(m->flags & FE_CUT) || !(m->flags & FE_SPACE_MARK)) return false;
    for (int64_t i = 0; i < m->pairs; i++)
        if (m->pair_right[i] == FE_MARK && m->pair_left[i] != FE_MARK) return false;
    return true;
}

fe_status fe_build_pages(fe_builder *b, const fe_char_set *set, uint64_t places) {
    const int64_t pages = count_pages(set);
    b->char_pages = fe_new(places * FE_PAGES, sizeof *b->char_pages);
    b->char_tokens = fe_new((uint64_t)pages * FE_PAGE, sizeof *b->char_tokens);
    if (!b->char_pages || !b->char_tokens) return FE_NO_MEMORY;
    fill_pages(set, b->char_pages, places, b->char_tokens, pages);
    b->counts[FE_S_CHAR_TOKENS] = (uint64_t)pages * FE_PAGE;
    return FE_OK;
}

fe_status fe_build_cuts(fe_builder *b, const fe_char_set *set, uint32_t flags, bool all_solid) {
    b->cut_pairs = fe_new_zeros(FE_PAIR_WORDS, sizeof *b->cut_pairs);
    b->cut_ascii = fe_new_zeros(128, sizeof *b->cut_ascii);
    if (!b->cut_pairs || !b->cut_ascii) return FE_NO_MEMORY;
    for (int64_t i = 0; i < set->pairs; i++) {
        const uint64_t bit = fe_char_pair_bit(set->left[i], set->right[i]);
        b->cut_pairs[bit / 64] |= UINT64_C(1) << bit % 64;
    }
    const fe_chars c = {
        .pages = b->char_pages, .tokens = b->char_tokens, .pairs = b->cut_pairs, .flags = flags, .all_solid = all_solid,
        .one_unknown = fe_is_unknown_one(flags, b->model->unk)};
    fill_ascii_cuts(&c, b->cut_ascii);
    return FE_OK;
}

static fe_status build_wholes(fe_builder *b) {
    const fe_model *const m = b->model;
    if (m->wholes < 0 || m->wholes >= INT32_MAX) return FE_BAD_MODEL;
    uint32_t *const offsets = fe_new_zeros((uint64_t)m->wholes + 1, sizeof *offsets);
    fe_status status = offsets ? FE_OK : FE_NO_MEMORY;
    for (int64_t i = 0, end = 0; i < m->wholes && status == FE_OK; i++) {
        const int64_t last = m->whole_offsets[i + 1];
        if (m->whole_offsets[i] != end || last <= end || last >= INT32_MAX || m->whole_tokens[i] < 0 ||
            m->whole_tokens[i] >= m->vocab)
            status = FE_BAD_MODEL;
        offsets[i + 1] = (uint32_t)last;
        end = last;
    }
    /* Every name is wanted, whatever its flags, for which any bytes serve; there are as many as names at least. */
    const fe_keys keys = {.bytes = m->whole_bytes, .offsets = offsets, .flags = m->whole_bytes, .count = m->wholes};
    if (status == FE_OK) status = fe_trie_build(&keys, &b->wholes);
    free(offsets);
    return status;
}

fe_status fe_build_chars(fe_builder *b) {
    const fe_model *const m = b->model;
    const fe_char_set set = {m->char_codes, m->char_tokens, m->pair_left, m->pair_right, m->chars, m->pairs};
    fe_status status = fe_build_pages(b, &set, m->flags & FE_AFFIXES ? FE_PLACES : 1);
    if (status != FE_OK || m->flags & FE_AFFIXES) return status;
    bool all = m->flags & FE_BYTE_FALLBACK;
    for (int64_t i = 0; i < 256; i++) all = all && m->byte_tokens[i] >= 0;
    b->header.all_solid = all;
    b->header.space_cuts = mark_starts_words(m, all);
    if (m->flags & FE_WHOLE_FIRST) status = build_wholes(b);
    return status == FE_OK ? fe_build_cuts(b, &set, m->flags, all) : status;
}
