/* image.c: opening an image, and checking it first. */
#include "image.h"

#include <stdlib.h>
#include <string.h>

#include "scan.h"

enum { OFFSET = sizeof(uint64_t) };

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

void fe_attach(fe_tokenizer *t, const fe_header *image) {
    t->image = image;
    t->path = fe_scan_path(t->path);
    t->flags = image->flags;
    t->pattern = image->pattern;
    t->unk = image->unk;
    t->all_solid = image->all_solid;
    t->space_cuts = image->space_cuts;
    t->tokens = image->tokens;
    t->token_offsets = fe_section_of(image, FE_S_TOKEN_OFFSETS);
    t->token_bytes = fe_section_of(image, FE_S_TOKEN_BYTES);
    t->token_ids = fe_section_of(image, FE_S_TOKEN_IDS);
    t->sorted_ids = fe_section_of(image, FE_S_SORTED_IDS);
    t->sorted_tokens = fe_section_of(image, FE_S_SORTED_TOKENS);
    t->lookup = (fe_table){fe_section_of(image, FE_S_LOOKUP), image->length[FE_S_LOOKUP] / sizeof(uint64_t) - 1,
                           image->lookup_seed};
    t->spelling = (fe_strings){t->token_bytes, t->token_offsets, 0};
    t->merges.slots = fe_section_of(image, FE_S_PAIRS);
    t->merges.filter = fe_section_of(image, FE_S_FILTER);
    t->merges.seed = image->pair_seed;
    t->merges.shift = 64;
    for (uint64_t slots = image->length[FE_S_PAIRS] / sizeof(uint64_t); slots >>= 1;) t->merges.shift--;
    t->merges.result = image->flags & FE_RANKED ? NULL : fe_section_of(image, FE_S_RESULT);
    t->merges.byte_token = fe_section_of(image, FE_S_BYTE_TOKENS);
    t->merges.byte_rank = fe_section_of(image, FE_S_BYTE_RANKS);
    t->char_pages = fe_section_of(image, FE_S_CHAR_PAGES);
    t->char_tokens = fe_section_of(image, FE_S_CHAR_TOKENS);
    t->pairs.bits = fe_section_of(image, FE_S_CUT_PAIRS);
    t->ascii_cuts = fe_section_of(image, FE_S_CUT_ASCII);
    fe_added_attach(&t->early, fe_section_of(image, FE_S_EARLY),
                    (int64_t)(image->length[FE_S_EARLY] / sizeof(fe_node)));
    fe_added_attach(&t->late, fe_section_of(image, FE_S_LATE), (int64_t)(image->length[FE_S_LATE] / sizeof(fe_node)));
    t->added = (int64_t)(image->length[FE_S_ADDED_IDS] / sizeof(int32_t));
    t->added_ids = fe_section_of(image, FE_S_ADDED_IDS);
    t->all_bytes = true;
    for (int i = 0; i < 256; i++) t->all_bytes = t->all_bytes && t->merges.byte_token[i] >= 0;
}

/* ------------------------------------------------------------------ checking */

static bool is_table(uint64_t length) { /* a power of two, of at least 16 slots of 8 bytes */
    return length >= 16 * sizeof(uint64_t) && !(length & (length - 1));
}

bool fe_flags_valid(uint32_t flags) {
    const uint32_t of_bytes = FE_BYTE_LEVEL | FE_RANKED | FE_WHOLE_FIRST | FE_ADD_SPACE;
    const uint32_t of_chars = FE_PREPEND | FE_SPACE_MARK | FE_CUT | FE_BYTE_FALLBACK;
    if (flags & ~(of_bytes | of_chars | FE_FUSE_UNK | FE_OVERLAP)) return false;
    return !(flags & (flags & FE_BYTE_LEVEL ? of_chars : of_bytes));
}

static bool lengths_valid(const fe_header *h) {
    const uint64_t *const n = h->length;
    const bool bytes = h->flags & FE_BYTE_LEVEL;
    if (h->tokens > FE_MAX_TOKENS || h->vocab > h->tokens || h->ranks > FE_MAX_MERGES) return false;
    if (!fe_flags_valid(h->flags)) return false;
    if (h->all_solid < 0 || h->all_solid > !bytes || h->space_cuts < 0 || h->space_cuts > h->all_solid) return false;
    if (h->flags & FE_RANKED && h->ranks != h->vocab) return false;
    return n[FE_S_TOKEN_OFFSETS] == 4 * (h->tokens + 1) && n[FE_S_TOKEN_BYTES] <= UINT32_MAX &&
           n[FE_S_TOKEN_IDS] == 4 * h->tokens && n[FE_S_SORTED_IDS] == 4 * h->tokens &&
           n[FE_S_SORTED_TOKENS] == 4 * h->tokens && (bytes ? is_table(n[FE_S_LOOKUP]) : n[FE_S_LOOKUP] == 0) &&
           is_table(n[FE_S_PAIRS]) && n[FE_S_FILTER] == n[FE_S_PAIRS] / 64 * FE_FILTER_BITS &&
           n[FE_S_RESULT] == (h->flags & FE_RANKED ? 0 : 4 * h->ranks) && n[FE_S_BYTE_TOKENS] == 4 * 256 &&
           n[FE_S_BYTE_RANKS] == (bytes ? 4 * 65536 : 0) && n[FE_S_CHAR_PAGES] == (bytes ? 0 : 4 * FE_PAGES) &&
           n[FE_S_CHAR_TOKENS] % (4 * FE_PAGE) == 0 && n[FE_S_CUT_PAIRS] == (bytes ? 0 : 8 * FE_PAIR_WORDS) &&
           n[FE_S_CUT_ASCII] == (bytes ? 0 : 8 * 2 * 128) && n[FE_S_EARLY] % sizeof(fe_node) == 0 &&
           n[FE_S_LATE] % sizeof(fe_node) == 0 && n[FE_S_ADDED_IDS] % 4 == 0;
}

static bool header_valid(const uint8_t *image, int64_t size) {
    const fe_header *const h = (const fe_header *)(const void *)image;
    if (size < (int64_t)sizeof *h || (uintptr_t)image % OFFSET) return false;
    if (memcmp(h->magic, FE_MAGIC, sizeof h->magic) != 0 || h->order != FE_ORDER || h->version != FE_VERSION)
        return false;
    if (h->size != (uint64_t)size || h->pattern < FE_PATTERN_NONE || h->pattern > FE_PATTERN_DEEPSEEK_V3) return false;
    for (int i = 0; i < FE_SECTIONS; i++)
        if (h->at[i] < sizeof *h || h->at[i] % FE_LINE || h->at[i] > h->size || h->length[i] > h->size - h->at[i])
            return false;
    return lengths_valid(h) && h->unk >= -1 && h->unk < (int64_t)h->vocab;
}

/* True if all of n numbers are from low up to below high. Without branches inside, so that it is done in vectors. */
static bool all_within(const int32_t *numbers, uint64_t n, int64_t low, int64_t high) {
    bool good = true;
    for (uint64_t i = 0; i < n; i++) good &= (numbers[i] >= low) & (numbers[i] < high);
    return good;
}

static bool tokens_valid(const fe_tokenizer *t) {
    const fe_header *const h = t->image;
    bool good = t->token_offsets[0] == 0 && t->token_offsets[h->tokens] == h->length[FE_S_TOKEN_BYTES];
    for (uint64_t i = 0; i < h->tokens; i++) good &= t->token_offsets[i] <= t->token_offsets[i + 1];
    for (uint64_t i = 1; i < h->tokens; i++) good &= t->sorted_ids[i - 1] < t->sorted_ids[i];
    good &= all_within(t->token_ids, h->tokens, 0, INT32_MAX);
    good &= all_within(t->sorted_ids, h->tokens, 0, INT32_MAX);
    return good && all_within(t->sorted_tokens, h->tokens, 0, (int64_t)h->tokens) &&
           all_within(t->merges.byte_token, 256, -1, (int64_t)h->vocab) &&
           all_within(t->added_ids, (uint64_t)t->added, 0, INT32_MAX);
}

/* No search in a table may be long, and what they hold must be in range. */
static bool tables_valid(const fe_tokenizer *t) {
    const fe_header *const h = t->image;
    const uint64_t *const slots = t->merges.slots;
    const uint64_t pair_slots = h->length[FE_S_PAIRS] / sizeof *slots;
    bool good = fe_runs_are_short(slots, pair_slots, FE_EMPTY_SLOT);
    for (uint64_t i = 0; i < pair_slots; i++)
        good &= (slots[i] == FE_EMPTY_SLOT) | ((slots[i] & FE_MAX_MERGES) < h->ranks);
    if (!(h->flags & FE_RANKED))
        good &= all_within((const int32_t *)fe_section_of(h, FE_S_RESULT), h->ranks, 0, (int64_t)h->vocab);
    if (!(h->flags & FE_BYTE_LEVEL)) return good;
    const uint64_t *const lookup = t->lookup.slots;
    for (uint64_t i = 0; i <= t->lookup.mask; i++)
        good &= (lookup[i] == 0) | ((uint32_t)lookup[i] - UINT32_C(1) < h->vocab);
    good &= fe_runs_are_short(lookup, t->lookup.mask + 1, 0);
    for (uint64_t i = 0; i < 65536; i++)
        good &= (t->merges.byte_rank[i] == FE_NO_RANK) | (t->merges.byte_rank[i] < h->ranks);
    return good;
}

static bool characters_valid(const fe_tokenizer *t) {
    const fe_header *const h = t->image;
    if (h->flags & FE_BYTE_LEVEL) return true;
    const uint64_t tokens = h->length[FE_S_CHAR_TOKENS] / sizeof(int32_t);
    return all_within(t->char_pages, FE_PAGES, -1, (int64_t)(tokens / FE_PAGE)) &&
           all_within(t->char_tokens, tokens, -1, (int64_t)h->vocab);
}

fe_status fe_tokenizer_open(const uint8_t *image, int64_t size, int32_t path, fe_tokenizer **out) {
    *out = NULL;
    if (!header_valid(image, size)) return FE_BAD_FILE;
    const fe_header *const h = (const fe_header *)(const void *)image;
    if (h->check != fe_image_check(h)) return FE_BAD_FILE;
    const fe_node *const early = fe_section_of(h, FE_S_EARLY), *const late = fe_section_of(h, FE_S_LATE);
    const int64_t added = (int64_t)(h->length[FE_S_ADDED_IDS] / sizeof(int32_t));
    if (!fe_added_valid(early, (int64_t)(h->length[FE_S_EARLY] / sizeof *early), added) ||
        !fe_added_valid(late, (int64_t)(h->length[FE_S_LATE] / sizeof *late), added))
        return FE_BAD_FILE;
    fe_tokenizer *const t = calloc(1, sizeof *t);
    if (!t) return FE_NO_MEMORY;
    t->path = path;
    fe_attach(t, h);
    if (!tokens_valid(t) || !tables_valid(t) || !characters_valid(t)) {
        free(t);
        return FE_BAD_FILE;
    }
    *out = t;
    return FE_OK;
}
