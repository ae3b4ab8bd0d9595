/* image.c: what sections there are, and opening an image, which is checking every number in it first. */
#include "image.h"

#include "mem.h"
#include "scan.h"

enum { ALIGNED = sizeof(uint64_t) };

const fe_section_kind fe_sections[FE_SECTIONS] = {
    [FE_S_TOKEN_OFFSETS] = {4, FE_COUNT_TOKENS, FE_ALL, 1},
    [FE_S_TOKEN_BYTES] = {1, FE_COUNT_ANY, FE_ALL, 0},
    [FE_S_TOKEN_IDS] = {4, FE_COUNT_TOKENS, FE_ALL, 0},
    [FE_S_SORTED_IDS] = {4, FE_COUNT_TOKENS, FE_ALL, 0},
    [FE_S_SORTED_TOKENS] = {4, FE_COUNT_TOKENS, FE_ALL, 0},
    [FE_S_LOOKUP] = {8, FE_COUNT_TABLE, FE_BYTES, 0},
    [FE_S_PAIRS] = {8, FE_COUNT_TABLE, FE_ALL, 0},
    [FE_S_FILTER] = {8, FE_COUNT_FILTER, FE_ALL, FE_FILTER_BITS},
    [FE_S_RESULT] = {4, FE_COUNT_RANKS, FE_LISTS, 0},
    [FE_S_BYTE_TOKENS] = {4, FE_COUNT_FIXED, FE_ALL, 256},
    [FE_S_BYTE_RANKS] = {4, FE_COUNT_FIXED, FE_BYTES, 65536},
    [FE_S_CHAR_PAGES] = {4, FE_COUNT_FIXED, FE_CHARS, FE_PAGES},
    [FE_S_CHAR_TOKENS] = {4, FE_COUNT_TIMES, FE_CODES, FE_PAGE},
    [FE_S_CUT_PAIRS] = {8, FE_COUNT_FIXED, FE_CHARS, FE_PAIR_WORDS},
    [FE_S_CUT_ASCII] = {8, FE_COUNT_FIXED, FE_CHARS, 2 * 128},
    [FE_S_ADDED_OFFSETS] = {4, FE_COUNT_ADDED, FE_ALL, 1},
    [FE_S_ADDED_BYTES] = {1, FE_COUNT_ANY, FE_ALL, 0},
    [FE_S_ADDED_IDS] = {4, FE_COUNT_ADDED, FE_ALL, 0},
    [FE_S_ADDED_FLAGS] = {1, FE_COUNT_ADDED, FE_ALL, 0},
    [FE_S_EARLY] = {sizeof(fe_unit), FE_COUNT_TIMES, FE_ALL, FE_TRIE_BLOCK},
    [FE_S_LATE] = {sizeof(fe_unit), FE_COUNT_TIMES, FE_ALL, FE_TRIE_BLOCK},
    [FE_S_BEFORE] = {4, FE_COUNT_ANY, FE_ALL, 0},
    [FE_S_AFTER] = {4, FE_COUNT_ANY, FE_ALL, 0},
    [FE_S_NOTES] = {1, FE_COUNT_ANY, FE_ALL, 0},
    [FE_S_STEPS] = {sizeof(fe_step), FE_COUNT_ANY, FE_PROGRAMS, 0},
    [FE_S_ITEMS] = {sizeof(fe_item), FE_COUNT_ANY, FE_PROGRAMS, 0},
    [FE_S_KIND_BITS] = {4, FE_COUNT_ANY, FE_PROGRAMS, 0},
    [FE_S_KIND_PAGES] = {2, FE_COUNT_FIXED, FE_PROGRAMS, FE_KIND_PAGES},
    [FE_S_KIND_BLOCKS] = {1, FE_COUNT_TIMES, FE_PROGRAMS, 128},
    [FE_S_BYTE_KINDS] = {1, FE_COUNT_FIXED, FE_PROGRAMS, 256},
    [FE_S_NORMAL] = {1, FE_COUNT_ANY, FE_ALL, 0},
    [FE_S_LATE_OFFSETS] = {4, FE_COUNT_ANY, FE_ALL, 0},
    [FE_S_LATE_BYTES] = {1, FE_COUNT_ANY, FE_ALL, 0},
    [FE_S_PLACE_PAGES] = {4, FE_COUNT_FIXED, FE_AFFIXED, FE_PLACES * FE_PAGES},
    [FE_S_WORDS] = {sizeof(fe_unit), FE_COUNT_TIMES, FE_WORDS, FE_TRIE_BLOCK},
    [FE_S_WORD_LIMITS] = {4, FE_COUNT_FIXED, FE_WORDS, 2},
    [FE_S_WHOLES] = {sizeof(fe_unit), FE_COUNT_TIMES, FE_WHOLE, FE_TRIE_BLOCK},
    [FE_S_WHOLE_TOKENS] = {4, FE_COUNT_ANY, FE_WHOLE, 0},
    [FE_S_WHOLE_SCORES] = {8, FE_COUNT_ANY, FE_SCORED, 0},
    [FE_S_WHOLE_VALUES] = {sizeof(fe_value), FE_COUNT_ANY, FE_SUMMED, 0},
};

bool fe_section_needed(const fe_header *h, enum fe_section tag) {
    const bool affixed = h->flags & FE_AFFIXES, codes = fe_has_codes(h->flags), runs = fe_sums_run(h->flags);
    switch ((enum fe_needed)fe_sections[tag].needed) {
    case FE_BYTES: return h->flags & FE_BYTE_LEVEL && !affixed;
    case FE_CHARS: return (codes && !affixed) || runs;
    case FE_AFFIXED: return affixed;
    case FE_CODES: return codes || runs;
    case FE_WHOLE: return (codes && h->flags & FE_WHOLE_FIRST) || h->flags & FE_UNIGRAM;
    case FE_LISTS: return !(h->flags & FE_RANKED);
    case FE_PROGRAMS: return h->pattern == FE_PATTERN_PROGRAM;
    case FE_WORDS: return h->flags & FE_WORD_FLAGS;
    case FE_SCORED: return h->flags & FE_UNIGRAM;
    case FE_SUMMED: return runs;
    default: return true;
    }
}

/* Four independent chains, so that it runs at the speed of memory. */
static uint64_t checksum(const uint8_t *bytes, uint64_t size) {
    const uint64_t k = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t h[4] = {size, 1, 2, 3}, word[4];
    for (; size >= sizeof word; bytes += sizeof word, size -= sizeof word) {
        memcpy(word, bytes, sizeof word);
        for (int i = 0; i < 4; i++) h[i] = ((h[i] ^ word[i]) * k) ^ (h[i] ^ word[i]) >> 29;
    }
    memset(word, 0, sizeof word);
    memcpy(word, bytes, size);
    for (int i = 0; i < 4; i++) h[i] = ((h[i] ^ word[i]) * k) ^ (h[i] ^ word[i]) >> 29;
    return fe_hash((const uint8_t *)h, sizeof h, 0);
}

uint64_t fe_image_check(const fe_header *image) {
    fe_header h = *image;
    h.check = checksum((const uint8_t *)(image + 1), image->size - sizeof h);
    return checksum((const uint8_t *)&h, sizeof h);
}

/* ------------------------------------------------------------------ the header */

bool fe_flags_valid(uint32_t flags, int32_t pattern) {
    const uint32_t of_bytes = FE_BYTE_LEVEL | FE_RANKED | FE_ADD_SPACE, words = flags & FE_WORD_FLAGS;
    const uint32_t of_front = FE_PREPEND_ONCE | FE_PREPEND_FIRST, parts = FE_WHOLE_FIRST | FE_SPLIT_MARKS | FE_CUT;
    const uint32_t of_chars = FE_PREPEND | of_front | FE_SPACE_MARK | FE_SPLIT_MARKS | FE_CUT | FE_BYTE_FALLBACK;
    const uint32_t of_symbols = of_bytes | of_chars | FE_WHOLE_FIRST | FE_AFFIXES | FE_FUSE_UNK;
    const uint32_t of_codes = FE_AFFIXES | FE_BYTE_LEVEL | FE_WORD_FLAGS | FE_UNIGRAM;
    if (flags & FE_MADE_RANKS && flags & of_codes) return false;
    flags &= ~(uint32_t)FE_MADE_RANKS;
    const uint32_t of_words = FE_WORD_FLAGS | FE_BERT_FLAGS;
    const bool bert = pattern == FE_PATTERN_BERT, program = pattern == FE_PATTERN_PROGRAM;
    const uint32_t of_white = FE_SPACE_MARK | FE_SPLIT_MARKS;
    const uint32_t of_scored =
        FE_UNIGRAM | FE_F32_SUMS | FE_WHITE_WORDS | FE_OVERLAP | (of_chars & ~(uint32_t)FE_CUT);
    if (flags & FE_UNIGRAM) {
        const uint32_t front = flags & (FE_PREPEND | of_front);
        if (flags & ~of_scored || (pattern != FE_PATTERN_NONE && !program)) return false;
        if (flags & FE_WHITE_WORDS && (program || front || (flags & of_white) != of_white)) return false;
        if (program) return !front || front == (FE_PREPEND | FE_PREPEND_ONCE); /* before each piece */
        return flags & FE_PREPEND || !front;
    }
    if (flags & ~(of_symbols | of_words | FE_OVERLAP) || (flags & parts) == parts) return false;
    if (pattern < FE_PATTERN_NONE || (pattern > FE_PATTERN_PROGRAM && !bert)) return false;
    if ((bert && !words) || (!bert && flags & FE_BERT_FLAGS)) return false;
    if (words) return words != FE_WORD_FLAGS && !(flags & of_symbols);
    if (program && flags & (FE_ADD_SPACE | FE_PREPEND)) return false; /* no piece has a front */
    if (program && flags & FE_WHOLE_FIRST && !(flags & FE_BYTE_LEVEL)) return false; /* segments are asked for, then */
    if (flags & FE_AFFIXES && flags & (of_chars | FE_RANKED | FE_WHOLE_FIRST)) return false;
    if (flags & of_front && !(flags & FE_PREPEND)) return false;
    return !(flags & (flags & FE_BYTE_LEVEL ? of_chars : of_bytes));
}

static bool header_valid(const uint8_t *image, int64_t size) {
    const fe_header *const h = (const fe_header *)(const void *)image;
    if (size < (int64_t)sizeof *h || (uintptr_t)image % ALIGNED) return false;
    if (memcmp(h->magic, FE_MAGIC, sizeof h->magic) != 0 || h->order != FE_ORDER || h->version != FE_VERSION)
        return false;
    if (h->size != (uint64_t)size || !fe_flags_valid(h->flags, h->pattern) || h->sections > FE_SECTIONS) return false;
    if (h->tokens > FE_MAX_TOKENS || h->vocab > h->tokens || h->ranks > FE_MAX_MERGES || h->added >= INT32_MAX)
        return false;
    if (h->flags & FE_RANKED && h->ranks != h->vocab) return false;
    if (h->tied > (h->flags & FE_MADE_RANKS ? h->ranks : 0)) return false;
    const bool cuts = fe_has_codes(h->flags) && !(h->flags & FE_AFFIXES), splits = h->flags & FE_SPLIT_MARKS;
    const bool spaces = h->all_solid || splits || h->flags & FE_UNIGRAM;
    if (h->all_solid < 0 || h->all_solid > cuts || h->space_cuts < 0 || h->space_cuts > spaces)
        return false;
    return h->unk >= -1 && h->unk < (int64_t)h->vocab;
}

/* True if a section of a tokenizer that has it may have so many elements. */
static bool count_valid(const fe_tokenizer *t, enum fe_section tag, uint64_t count) {
    const uint64_t number = fe_sections[tag].number;
    switch ((enum fe_count)fe_sections[tag].count) {
    case FE_COUNT_FIXED: return count == number;
    case FE_COUNT_TIMES: return count % number == 0;
    case FE_COUNT_TOKENS: return count == t->image->tokens + number;
    case FE_COUNT_RANKS: return count == t->image->ranks;
    case FE_COUNT_ADDED: return count == t->image->added + number;
    case FE_COUNT_TABLE: return count >= 16 && !(count & (count - 1));
    case FE_COUNT_FILTER: return count == fe_section_count(t, FE_S_PAIRS) * number / 64;
    default: return true;
    }
}

/* Notes where the sections lie. False if one is missing, unknown, there twice, or not where or as long as it may be. */
static bool find_sections(fe_tokenizer *t) {
    const fe_header *const h = t->image;
    uint32_t i = 0;
    for (uint32_t tag = 0; tag < FE_SECTIONS; tag++) { /* needed and listed sections, both by ascending tag */
        if (!fe_section_needed(h, tag)) continue;
        const fe_place p = h->places[i];
        if (i++ >= h->sections || p.tag != tag || p.zero) return false;
        if (p.at < sizeof *h || p.at % FE_LINE || p.at > h->size || p.length > h->size - p.at) return false;
        t->sections[tag] = p;
        if (p.length % fe_sections[tag].element || !count_valid(t, tag, fe_section_count(t, tag))) return false;
    }
    return i == h->sections;
}

/* ------------------------------------------------------------------ numbers that lead somewhere */

/* Without branches inside, so that it is done in vectors. */
bool fe_section_within(const fe_tokenizer *t, enum fe_section tag, int64_t low, int64_t high) {
    const int32_t *const numbers = fe_section_of(t, tag);
    const uint64_t n = fe_section_count(t, tag);
    bool good = true;
    for (uint64_t i = 0; i < n; i++) good &= (numbers[i] >= low) & (numbers[i] < high);
    return good;
}

/* True if n + 1 offsets ascend from 0 to the bytes of a section, and by `least` at least. */
static bool offsets_valid(const uint32_t *offsets, uint64_t n, uint64_t bytes, uint32_t least) {
    bool good = offsets[0] == 0 && offsets[n] == bytes;
    for (uint64_t i = 0; i < n; i++)
        good &= (offsets[i] <= offsets[i + 1]) & (offsets[i + 1] - offsets[i] >= least);
    return good;
}

/* Requires sorted ids that ascend and tokens in range. Returns whether both lists of ids agree on every token. */
static bool ids_agree(const fe_tokenizer *t) {
    const int32_t *const ids = fe_section_of(t, FE_S_TOKEN_IDS), *const sorted = fe_section_of(t, FE_S_SORTED_IDS);
    const int32_t *const tokens = fe_section_of(t, FE_S_SORTED_TOKENS);
    bool good = true;
    for (uint64_t i = 0; i < t->image->tokens; i++) good &= ids[tokens[i]] == sorted[i];
    return good;
}

static bool tokens_valid(const fe_tokenizer *t) {
    const fe_header *const h = t->image;
    const int64_t vocab = (int64_t)h->vocab;
    const uint64_t bytes = fe_section_count(t, FE_S_TOKEN_BYTES);
    bool good = offsets_valid(fe_section_of(t, FE_S_TOKEN_OFFSETS), h->tokens, bytes, 0);
    const int32_t *const sorted = fe_section_of(t, FE_S_SORTED_IDS);
    for (uint64_t i = 1; i < h->tokens; i++) good &= sorted[i - 1] < sorted[i];
    good &= fe_section_within(t, FE_S_SORTED_TOKENS, 0, (int64_t)h->tokens);
    good &= fe_section_within(t, FE_S_BYTE_TOKENS, -1, vocab);
    for (enum fe_section tag = 0; tag < FE_SECTIONS; tag++)
        if (tag == FE_S_TOKEN_IDS || tag == FE_S_SORTED_IDS || tag == FE_S_BEFORE || tag == FE_S_AFTER)
            good &= fe_section_within(t, tag, 0, INT32_MAX);
    return good && ids_agree(t);
}

/* True if late added tokens have bytes of their own, or those that they have are offset right. */
static bool late_valid(const fe_tokenizer *t) {
    const uint64_t bytes = fe_section_count(t, FE_S_LATE_BYTES), count = fe_section_count(t, FE_S_LATE_OFFSETS);
    if (!count) return !bytes;
    return count == t->image->added + 1 && bytes < INT32_MAX &&
           offsets_valid(fe_section_of(t, FE_S_LATE_OFFSETS), t->image->added, bytes, 1);
}

static bool added_valid(const fe_tokenizer *t) {
    const uint64_t added = t->image->added, bytes = fe_section_count(t, FE_S_ADDED_BYTES);
    const uint8_t *const flags = fe_section_of(t, FE_S_ADDED_FLAGS);
    bool good = bytes < INT32_MAX && offsets_valid(fe_section_of(t, FE_S_ADDED_OFFSETS), added, bytes, 1);
    for (uint64_t i = 0; i < added; i++) good &= !(flags[i] & ~FE_ADDED_FLAGS);
    if (!good || !fe_section_within(t, FE_S_ADDED_IDS, 0, INT32_MAX) || !late_valid(t)) return false;
    const fe_keys early = fe_added_keys(t, false), late = fe_added_keys(t, true);
    return fe_added_valid(fe_section_of(t, FE_S_EARLY), fe_section_count(t, FE_S_EARLY), &early) &&
           fe_added_valid(fe_section_of(t, FE_S_LATE), fe_section_count(t, FE_S_LATE), &late);
}

/* No search in a table may be long, and what they hold must be in range: the tokens of a pair too, since one number
 * that is no token's stands for the ends of a piece (lanes_body.h). */
static bool merges_valid(const fe_tokenizer *t) {
    const uint64_t *const slots = fe_section_of(t, FE_S_PAIRS), count = fe_section_count(t, FE_S_PAIRS);
    const uint64_t vocab = t->image->vocab;
    bool good = fe_runs_are_short(slots, count, FE_EMPTY_SLOT);
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t left = slots[i] >> (FE_TOKEN_BITS + FE_RANK_BITS), right = slots[i] >> FE_RANK_BITS;
        const bool in_range = (left < vocab) & ((right & FE_MAX_TOKENS) < vocab);
        good &= (slots[i] == FE_EMPTY_SLOT) | (in_range & ((slots[i] & FE_MAX_MERGES) < t->image->ranks));
    }
    return good && fe_section_within(t, FE_S_RESULT, 0, (int64_t)t->image->vocab);
}

/* ------------------------------------------------------------------ opening */

fe_keys fe_added_keys(const fe_tokenizer *t, bool late) {
    const bool other = late && fe_section_count(t, FE_S_LATE_OFFSETS);
    return (fe_keys){
        .bytes = fe_section_of(t, other ? FE_S_LATE_BYTES : FE_S_ADDED_BYTES),
        .offsets = fe_section_of(t, other ? FE_S_LATE_OFFSETS : FE_S_ADDED_OFFSETS),
        .flags = fe_section_of(t, FE_S_ADDED_FLAGS),
        .count = (int64_t)t->image->added,
        .mask = FE_ADDED_LATE,
        .want = late ? FE_ADDED_LATE : 0,
    };
}

/* Makes the chain ready that lies in the image, every number of which is checked. */
static fe_status attach_chain(fe_tokenizer *t) {
    if (t->image->pattern != FE_PATTERN_PROGRAM) return FE_OK;
    const fe_chain chain = {
        .steps = (int64_t)fe_section_count(t, FE_S_STEPS),
        .step = fe_section_of(t, FE_S_STEPS),
        .items = (int64_t)fe_section_count(t, FE_S_ITEMS),
        .item = fe_section_of(t, FE_S_ITEMS),
        .kinds = (int64_t)fe_section_count(t, FE_S_KIND_BITS),
        .kind_bits = fe_section_of(t, FE_S_KIND_BITS),
        .pages = fe_section_of(t, FE_S_KIND_PAGES),
        .blocks = (int64_t)fe_section_count(t, FE_S_KIND_BLOCKS) / 128,
        .block_kinds = fe_section_of(t, FE_S_KIND_BLOCKS),
        .byte_kinds = fe_section_of(t, FE_S_BYTE_KINDS),
    };
    const fe_status status = fe_cutters_new(&chain, &t->cutters);
    return status == FE_BAD_MODEL ? FE_BAD_FILE : status;
}

/* Points the tokenizer at its sections, whose numbers are right. */
static fe_status attach(fe_tokenizer *t) {
    const fe_header *const h = t->image;
    t->path = fe_scan_path(t->path);
    t->flags = h->flags;
    t->pattern = h->pattern;
    t->unk = h->unk;
    t->tokens = h->tokens;
    t->token_offsets = fe_section_of(t, FE_S_TOKEN_OFFSETS);
    t->token_bytes = fe_section_of(t, FE_S_TOKEN_BYTES);
    t->token_ids = fe_section_of(t, FE_S_TOKEN_IDS);
    t->sorted_ids = fe_section_of(t, FE_S_SORTED_IDS);
    t->sorted_tokens = fe_section_of(t, FE_S_SORTED_TOKENS);
    t->spelling = (fe_strings){t->token_bytes, t->token_offsets, 0};
    t->merges.slots = fe_section_of(t, FE_S_PAIRS);
    t->merges.filter = fe_section_of(t, FE_S_FILTER);
    t->merges.seed = h->pair_seed;
    t->merges.shift = 64;
    for (uint64_t slots = fe_section_count(t, FE_S_PAIRS); slots >>= 1;) t->merges.shift--;
    t->merges.result = h->flags & FE_RANKED ? NULL : fe_section_of(t, FE_S_RESULT);
    t->merges.tied = h->flags & FE_MADE_RANKS ? (uint32_t)h->tied : FE_NO_RANK;
    t->merges.byte_token = fe_section_of(t, FE_S_BYTE_TOKENS);
    t->all_bytes = true;
    for (int i = 0; i < 256; i++) t->all_bytes = t->all_bytes && t->merges.byte_token[i] >= 0;
    t->kind->attach(t);
    t->added = (int64_t)h->added;
    t->added_bytes = fe_section_of(t, FE_S_ADDED_BYTES);
    t->added_offsets = fe_section_of(t, FE_S_ADDED_OFFSETS);
    t->added_ids = fe_section_of(t, FE_S_ADDED_IDS);
    t->added_flags = fe_section_of(t, FE_S_ADDED_FLAGS);
    t->normal = fe_section_of(t, FE_S_NORMAL);
    t->normal_size = fe_section_count(t, FE_S_NORMAL);
    const fe_keys early = fe_added_keys(t, false), late = fe_added_keys(t, true);
    t->late_offsets = late.offsets;
    fe_status status = fe_added_attach(&t->early, fe_section_of(t, FE_S_EARLY), &early);
    if (status == FE_OK) status = fe_added_attach(&t->late, fe_section_of(t, FE_S_LATE), &late);
    if (status == FE_OK) status = fe_still_new(t->normal, t->normal_size, &t->still);
    if (status == FE_OK && fe_sums_run(t->flags))
        status = fe_ends_new(t->unigram.units, fe_section_count(t, FE_S_WHOLES), t->unigram.pieces, &t->ends);
    t->unigram.ends = t->ends;
    return status == FE_OK ? attach_chain(t) : status;
}

static bool image_valid(fe_tokenizer *t) {
    return tokens_valid(t) && added_valid(t) && merges_valid(t) &&
           fe_normal_valid(fe_section_of(t, FE_S_NORMAL), fe_section_count(t, FE_S_NORMAL)) && t->kind->check(t);
}

fe_status fe_image_open(const uint8_t *image, int64_t size, int32_t path, bool trusted, fe_tokenizer **out) {
    const fe_header *const h = (const fe_header *)(const void *)image;
    *out = NULL;
    if (!trusted && (!header_valid(image, size) || h->check != fe_image_check(h))) return FE_BAD_FILE;
    fe_tokenizer *const t = fe_new_zeros(1, sizeof *t);
    if (!t) return FE_NO_MEMORY;
    t->image = h;
    t->path = path;
    t->kind = fe_model_kind_of(h->flags);
    fe_status status = find_sections(t) && (trusted || image_valid(t)) ? attach(t) : FE_BAD_FILE;
    FE_ASSERT(!trusted || status != FE_BAD_FILE);
    if (status == FE_OK)
        *out = t;
    else
        fe_tokenizer_free(t);
    return status;
}

fe_status fe_tokenizer_open(const uint8_t *image, int64_t size, int32_t path, fe_tokenizer **out) {
    return fe_image_open(image, size, path, false, out);
}
