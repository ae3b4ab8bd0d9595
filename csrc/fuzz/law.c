/* law.c: what the ids of a text must be, in the plainest form: no tables, no caches, no cutting. */
#include "fuzz.h"
#include "traits.h"
#include "utf8.h"
#include "words.h"

#define MARK 0x2581u

/* The text being encoded. */
typedef struct law {
    const vocabulary *v;
    const uint8_t *actions;
    int32_t pattern;
    int32_t *ids;
    int64_t count;
    int32_t symbols[2 * NORMAL];
    int64_t symbol_count;
    uint8_t seen[4 * TEXT]; /* characters: the piece so far, spaces as marks */
    int64_t seen_size;
    const uint8_t *text;
    bool unk_waits;
    bool refused;
    bool normalizes;
    uint8_t found_bytes[4 * 128]; /* by which each added token is found */
    int64_t found_offsets[ADDED + 1];
} law;

static void symbol(law *l, int32_t token) { l->symbols[l->symbol_count++] = token; }

static void waiting_unk(law *l) {
    if (l->unk_waits) symbol(l, l->v->model.unk);
    l->unk_waits = false;
}

static void known(law *l, int32_t token) {
    waiting_unk(l);
    symbol(l, token);
}

static void unknown(law *l) {
    if (l->v->model.unk < 0) return;
    if (!(l->v->model.flags & FE_FUSE_UNK)) waiting_unk(l);
    l->unk_waits = true;
}

int64_t slow_find(const vocabulary *v, const uint8_t *bytes, int64_t size) {
    for (int64_t i = 0; i < v->model.vocab; i++) {
        const int64_t at = v->token_offsets[i];
        if (v->token_offsets[i + 1] - at == size && memcmp(v->token_bytes + at, bytes, (size_t)size) == 0) return i;
    }
    return -1;
}

/* ------------------------------------------------------------------ merging */

/* The priority of the merge at a place of the list, from 1. */
static int64_t priority(const fe_model *m, int64_t place) {
    if (!(m->flags & FE_MADE_RANKS)) return place;
    while (place > 1 && m->merge_result[place - 1] == m->merge_result[place - 2]) place--;
    return place > m->tied ? m->tied + 1 : place;
}

/* Find the lowest rank, leftmost first; merge; begin again. */
static void merge_by_list(law *l) {
    static int32_t place_of[TOKENS][TOKENS]; /* rank + 1 */
    const fe_model *const m = &l->v->model;
    int32_t *const s = l->symbols;
    for (int32_t i = 0; i < m->merges; i++) place_of[m->merge_left[i]][m->merge_right[i]] = i + 1; /* the last counts */
    for (;;) {
        int64_t at = -1;
        for (int64_t i = 0; i + 1 < l->symbol_count; i++) {
            const int32_t place = place_of[s[i]][s[i + 1]];
            if (place && (at < 0 || priority(m, place) < priority(m, place_of[s[at]][s[at + 1]]))) at = i;
        }
        if (at < 0) break;
        s[at] = m->merge_result[place_of[s[at]][s[at + 1]] - 1];
        memmove(s + at + 1, s + at + 2, (size_t)(--l->symbol_count - at - 1) * sizeof *s);
    }
    for (int64_t i = 0; i < m->merges; i++) place_of[m->merge_left[i]][m->merge_right[i]] = 0;
}

/* tiktoken's law: of any two neighbours whose bytes together are a token, those of the lowest rank, leftmost first. */
static void merge_by_rank(law *l, const uint8_t *piece, int64_t size) {
    static int64_t part[NORMAL + 2]; /* where each part begins */
    static int64_t rank[NORMAL + 2]; /* of the token that part i makes with the next one */
    int64_t parts = size;
    for (int64_t i = 0; i <= size; i++) part[i] = i;
    for (int64_t i = 0; i + 1 < parts; i++) rank[i] = slow_find(l->v, piece + i, 2);
    for (;;) {
        int64_t at = -1;
        for (int64_t i = 0; i + 1 < parts; i++)
            if (rank[i] >= 0 && (at < 0 || rank[i] < rank[at])) at = i;
        if (at < 0) break;
        memmove(part + at + 1, part + at + 2, (size_t)(parts - at - 1) * sizeof *part);
        memmove(rank + at, rank + at + 1, (size_t)(parts - at - 1) * sizeof *rank);
        parts--;
        for (int64_t i = at ? at - 1 : 0; i <= at && i + 1 < parts; i++)
            rank[i] = slow_find(l->v, piece + part[i], part[i + 2] - part[i]);
    }
    for (int64_t i = 0; i < parts; i++) symbol(l, (int32_t)slow_find(l->v, piece + part[i], part[i + 1] - part[i]));
}

/* ------------------------------------------------------------------ one piece */

static void byte_piece(law *l, const uint8_t *piece, int64_t size) {
    const fe_model *const m = &l->v->model;
    const int64_t whole = m->flags & FE_WHOLE_FIRST ? slow_find(l->v, piece, size) : -1;
    l->symbol_count = 0;
    if (whole >= 0) {
        symbol(l, (int32_t)whole);
    } else if (m->flags & FE_RANKED) {
        merge_by_rank(l, piece, size);
    } else {
        for (int64_t i = 0; i < size; i++)
            if (m->byte_tokens[piece[i]] >= 0) known(l, m->byte_tokens[piece[i]]);
            else unknown(l);
        waiting_unk(l);
        merge_by_list(l);
    }
    for (int64_t i = 0; i < l->symbol_count; i++) l->ids[l->count++] = m->token_ids[l->symbols[i]];
}

static void character(law *l, uint32_t code, const uint8_t *bytes, int64_t size) {
    const fe_model *const m = &l->v->model;
    memcpy(l->seen + l->seen_size, bytes, (size_t)size);
    l->seen_size += size;
    for (int64_t i = 0; i < m->chars; i++)
        if (m->char_codes[i] == code) {
            known(l, m->char_tokens[i]);
            return;
        }
    bool all = m->flags & FE_BYTE_FALLBACK;
    for (int64_t i = 0; i < size; i++) all = all && m->byte_tokens[bytes[i]] >= 0;
    if (!all) unknown(l);
    for (int64_t i = 0; i < size && all; i++) symbol(l, m->byte_tokens[bytes[i]]);
}

/* FE_WHOLE_FIRST: the token that a piece of characters is as a whole, or -1; of equal names the last counts. */
static int32_t whole_token(const law *l) {
    const vocabulary *const v = l->v;
    int32_t token = -1;
    for (int64_t i = 0; i < v->model.wholes; i++)
        if (v->whole_offsets[i + 1] - v->whole_offsets[i] == l->seen_size &&
            memcmp(v->whole_bytes + v->whole_offsets[i], l->seen, (size_t)l->seen_size) == 0)
            token = v->whole_tokens[i];
    return token;
}

static void merge_symbols(law *l) {
    waiting_unk(l);
    const int32_t whole = whole_token(l);
    if (whole >= 0) {
        l->symbols[0] = whole;
        l->symbol_count = 1;
    } else {
        merge_by_list(l);
    }
    l->seen_size = 0;
    for (int64_t i = 0; i < l->symbol_count; i++) l->ids[l->count++] = l->v->model.token_ids[l->symbols[i]];
    l->symbol_count = 0;
}

static void character_piece(law *l, const uint8_t *p, const uint8_t *end) {
    static const uint8_t mark[] = {0xE2, 0x96, 0x81};
    const fe_model *const m = &l->v->model;
    const bool spaces = m->flags & FE_SPACE_MARK, splits = m->flags & FE_SPLIT_MARKS;
    const bool marked = (*p == ' ' && spaces) || (end - p >= 3 && memcmp(p, mark, 3) == 0);
    bool front = m->flags & FE_PREPEND;
    if (m->flags & FE_PREPEND_FIRST) front = front && p == l->text;
    if (m->flags & FE_PREPEND_ONCE) front = front && !marked;
    l->symbol_count = l->seen_size = 0;
    if (front) character(l, MARK, mark, 3);
    for (int32_t length; p < end; p += length) {
        uint32_t code;
        length = fe_utf8_read(p, end, &code);
        if (code == MARK || (code == ' ' && spaces)) {
            if (splits) merge_symbols(l);
            character(l, MARK, mark, 3);
        } else {
            character(l, code, p, length);
        }
    }
    merge_symbols(l);
}

/* The token of a code at its place, or -1; of equal codes the last counts. */
static int32_t token_at_place(const fe_model *m, uint32_t code, bool first, bool last) {
    const uint32_t place = (first ? FE_PLACE_FIRST : 0) | (last ? FE_PLACE_LAST : 0);
    int32_t token = -1;
    for (int64_t i = 0; i < m->chars; i++)
        if (m->char_codes[i] == code + place * FE_PLACE) token = m->char_tokens[i];
    return token;
}

static void affixed_piece(law *l, const uint8_t *piece, int64_t size) {
    const fe_model *const m = &l->v->model;
    l->symbol_count = 0;
    for (int64_t at = 0, next; at < size; at = next) {
        uint32_t code = piece[at];
        next = at + (m->flags & FE_BYTE_LEVEL ? 1 : fe_utf8_read(piece + at, piece + size, &code));
        const int32_t token = token_at_place(m, code, at == 0, next == size);
        if (token >= 0) known(l, token);
        else unknown(l);
    }
    merge_symbols(l);
}

/* ------------------------------------------------------------------ words */

/* From the left: the longest token, found by trying all lengths. What goes on has the prefix before it. */
static fe_status whole_word(void *state, fe_word word) {
    law *const l = state;
    const fe_model *const m = &l->v->model;
    const int64_t before = l->count;
    const bool pieces = m->flags & FE_WORD_PIECES;
    bool known = word.size <= FE_WORD_BYTES && (!pieces || word.chars <= m->word_chars);
    for (int64_t at = 0, end; known && at < word.size; at = end) {
        int64_t token = -1;
        for (end = word.size; end > at && token < 0; end--) {
            uint8_t bytes[FE_WORD_BYTES + 4];
            const int64_t prefix = at ? m->prefix : 0;
            if (prefix) memcpy(bytes, m->prefix_bytes, (size_t)prefix);
            memcpy(bytes + prefix, word.bytes + at, (size_t)(end - at));
            for (int64_t i = 0; i < m->vocab; i++) { /* of equal ones the last */
                const int64_t first = l->v->token_offsets[i], size = l->v->token_offsets[i + 1] - first;
                if (size == prefix + end - at && !memcmp(l->v->token_bytes + first, bytes, (size_t)size)) token = i;
            }
            if (token >= 0 || !pieces) break;
        }
        known = token >= 0;
        if (known) l->ids[l->count++] = m->token_ids[token];
    }
    if (!known) l->count = before, l->ids[l->count++] = m->token_ids[m->unk];
    return FE_OK;
}

static void word_segment(law *l, const uint8_t *p, const uint8_t *end) {
    if (l->v->model.pattern == FE_PATTERN_BERT) {
        CHECK(fe_bert_words(l->v->model.flags, p, end, whole_word, l) == FE_OK);
        return;
    }
    static int64_t starts[2 * NORMAL], ends[2 * NORMAL];
    const bool program = l->pattern == FE_PATTERN_PROGRAM;
    int64_t pieces = program ? slow_cut(l->v->model.chain, p, end - p, starts, ends) : 0;
    if (!program) CHECK(fe_split(l->pattern, FE_PATH_SCALAR, p, end - p, ends, 2 * NORMAL, &pieces) == FE_OK);
    for (int64_t i = 0; i < pieces; i++) {
        const int64_t start = program ? starts[i] : i ? ends[i - 1] : 0;
        int64_t chars = 0;
        uint32_t code;
        for (int64_t at = start; at < ends[i]; chars++) at += fe_utf8_read(p + at, p + ends[i], &code);
        CHECK(whole_word(l, (fe_word){p + start, ends[i] - start, chars}) == FE_OK);
    }
}

/* ------------------------------------------------------------------ pieces that have scores */

static bool is_white(uint32_t code) { return fe_code_class(code) == 7; }

/* A stretch that is one piece to other cutters; of programs a piece has a front of its own. */
static void scored_piece(law *l, const uint8_t *p, const uint8_t *end, bool front) {
    static const uint8_t mark[] = {0xE2, 0x96, 0x81};
    static uint8_t text[3 * NORMAL + 3];
    const fe_model *const m = &l->v->model;
    const bool spaces = m->flags & FE_SPACE_MARK, splits = m->flags & FE_SPLIT_MARKS;
    int64_t size = 0;
    if (front) memcpy(text, mark, 3), size = 3;
    while (p < end) {
        const bool is_mark = end - p >= 3 && memcmp(p, mark, 3) == 0, begins = is_mark || (*p == ' ' && spaces);
        if (begins && splits && size) l->count += slow_unigram(l->v, text, size, l->ids + l->count), size = 0;
        if (begins) memcpy(text + size, mark, 3), size += 3;
        else text[size++] = *p;
        p += is_mark ? 3 : 1;
    }
    l->count += slow_unigram(l->v, text, size, l->ids + l->count);
}

static void scored_segment(law *l, const uint8_t *p, const uint8_t *end) {
    static const uint8_t mark[] = {0xE2, 0x96, 0x81};
    static int64_t starts[2 * NORMAL], ends[2 * NORMAL];
    const fe_model *const m = &l->v->model;
    const bool program = m->pattern == FE_PATTERN_PROGRAM;
    uint32_t code;
    for (const uint8_t *to; m->flags & FE_WHITE_WORDS && p < end; p = to) {
        to = p + fe_utf8_read(p, end, &code);
        if (is_white(code)) continue;
        while (to < end) {
            const int32_t length = fe_utf8_read(to, end, &code);
            if (is_white(code)) break;
            to += length;
        }
        scored_piece(l, p, to, to - p < 3 || memcmp(p, mark, 3) != 0);
    }
    if (p == end) return;
    const int64_t pieces = program ? slow_cut(m->chain, p, end - p, starts, ends) : 1;
    for (int64_t i = 0; i < pieces; i++) {
        const uint8_t *const from = program ? p + starts[i] : p, *const to = program ? p + ends[i] : end;
        const bool marked = (*from == ' ' && m->flags & FE_SPACE_MARK) || (to - from >= 3 && !memcmp(from, mark, 3));
        bool front = m->flags & FE_PREPEND;
        if (m->flags & FE_PREPEND_FIRST) front = front && from == l->text;
        if (m->flags & FE_PREPEND_ONCE) front = front && !marked;
        scored_piece(l, from, to, front);
    }
}

/* ------------------------------------------------------------------ one text */

static void segment(law *l, const uint8_t *p, const uint8_t *end) {
    if (p == end) return;
    const bool affixes = l->v->model.flags & FE_AFFIXES;
    if (l->v->model.flags & FE_WORD_FLAGS) {
        word_segment(l, p, end);
        return;
    }
    if (l->v->model.flags & FE_UNIGRAM) {
        scored_segment(l, p, end);
        return;
    }
    if (!(l->v->model.flags & FE_BYTE_LEVEL)) {
        if (affixes) affixed_piece(l, p, end - p);
        else character_piece(l, p, end);
        return;
    }
    static uint8_t text[NORMAL + 1];
    static int64_t starts[2 * NORMAL], ends[2 * NORMAL];
    int64_t size = 0, pieces;
    if (l->v->model.flags & FE_ADD_SPACE && *p != ' ') text[size++] = ' ';
    memcpy(text + size, p, (size_t)(end - p));
    size += end - p;
    if (l->pattern == FE_PATTERN_PROGRAM) {
        pieces = slow_cut(l->v->model.chain, text, size, starts, ends);
    } else {
        CHECK(fe_split(l->pattern, FE_PATH_SCALAR, text, size, ends, NORMAL + 1, &pieces) == FE_OK);
        for (int64_t i = 0; i < pieces; i++) starts[i] = i ? ends[i - 1] : 0;
    }
    for (int64_t i = 0; i < pieces; i++) {
        if (affixes) affixed_piece(l, text + starts[i], ends[i] - starts[i]);
        else byte_piece(l, text + starts[i], ends[i] - starts[i]);
    }
}

/* What normalizing makes of some bytes, for which there is room. */
static int64_t normalize(const law *l, const uint8_t *p, int64_t size, uint8_t *to, int64_t room) {
    int64_t length;
    const fe_model *const m = &l->v->model;
    CHECK(fe_normalize(m->normal_bytes, m->normal, p, size, to, room, &length) == FE_OK && length <= room);
    return length;
}

/* By which bytes added tokens are found: late ones as normalizing leaves them. */
static void find_by(law *l) {
    const fe_model *const m = &l->v->model;
    for (int64_t i = 0; i < m->added; i++) {
        const int64_t at = l->found_offsets[i], from = m->added_offsets[i], size = m->added_offsets[i + 1] - from;
        const int64_t room = (int64_t)sizeof l->found_bytes - at;
        CHECK(size <= room);
        memcpy(l->found_bytes + at, m->added_bytes + from, (size_t)size);
        l->found_offsets[i + 1] = at + size;
        if (m->added_flags[i] & FE_ADDED_LATE && !(m->normal && *m->normal_bytes == FE_NORM_PIECES))
            l->found_offsets[i + 1] = at + normalize(l, m->added_bytes + from, size, l->found_bytes + at, room);
    }
}

static int64_t found_size(const law *l, int64_t token) { return l->found_offsets[token + 1] - l->found_offsets[token]; }

/* True if a later added token has the same bytes and is late if this one is: of these the last one counts. */
static bool comes_again(const law *l, int64_t token) {
    const uint8_t *const flags = l->v->model.added_flags;
    for (int64_t i = token + 1; i < l->v->model.added; i++)
        if (found_size(l, i) == found_size(l, token) && !((flags[i] ^ flags[token]) & FE_ADDED_LATE) &&
            memcmp(l->found_bytes + l->found_offsets[i], l->found_bytes + l->found_offsets[token],
                   (size_t)found_size(l, i)) == 0)
            return true;
    return false;
}

/* The longest added token at p, or -1. */
static int64_t added_at(const law *l, const uint8_t *p, const uint8_t *end, uint8_t late) {
    const fe_model *const m = &l->v->model;
    int64_t best = -1, longest = 0;
    for (int64_t i = 0; i < m->added; i++) {
        const int64_t size = found_size(l, i);
        if ((m->added_flags[i] & FE_ADDED_LATE) != late || size <= longest || size > end - p) continue;
        if (comes_again(l, i)) continue;
        if (m->flags & FE_OVERLAP && l->actions[i] == FE_TOKEN_PLAIN) continue;
        if (memcmp(l->found_bytes + l->found_offsets[i], p, (size_t)size) == 0) best = i, longest = size;
    }
    return best;
}

/* Where the character before `at` begins, read from the start of the text. */
static const uint8_t *character_before(const uint8_t *p, const uint8_t *at, const uint8_t *end, uint32_t *code) {
    for (const uint8_t *next; ; p = next) {
        next = p + fe_utf8_read(p, end, code);
        if (next >= at) return p;
    }
}

static bool stands_alone(const uint8_t *p, const uint8_t *from, const uint8_t *to, const uint8_t *end) {
    uint32_t before = ' ', behind = ' ';
    if (from > p) (void)character_before(p, from, end, &before);
    if (to < end) (void)fe_utf8_read(to, end, &behind);
    return !fe_is_word(before) && !fe_is_word(behind);
}

static void between(law *l, const uint8_t *p, const uint8_t *end, uint8_t late);

/* A stretch between two early tokens. */
static void stretch(law *l, const uint8_t *p, const uint8_t *end, bool any) {
    uint8_t *const text = malloc(NORMAL);
    CHECK(text);
    const int64_t size = l->normalizes ? normalize(l, p, end - p, text, NORMAL) : end - p;
    if (!l->normalizes) memcpy(text, p, (size_t)size);
    const uint8_t *const whole = l->text;
    if (p == whole) l->text = text;
    if (any) between(l, text, text + size, 1);
    else segment(l, text, text + size);
    l->text = whole;
    free(text);
}

/* Cuts at the early added tokens, and what lies between at the late ones. */
static void between(law *l, const uint8_t *p, const uint8_t *end, uint8_t late) {
    const uint8_t *const begin = p;
    for (const uint8_t *at = p, *behind; at < end; at = behind) {
        const int64_t token = added_at(l, at, end, late);
        behind = token < 0 ? at + 1 : at + found_size(l, token);
        if (token < 0 || l->actions[token] == FE_TOKEN_PLAIN) continue;
        const uint8_t flags = l->v->added_flags[token], *first = at, *last = behind;
        if (flags & FE_ADDED_SINGLE_WORD && !stands_alone(begin, at, behind, end)) continue;
        if (l->actions[token] == FE_TOKEN_REFUSE) {
            l->refused = true;
            return;
        }
        uint32_t code;
        while (flags & FE_ADDED_LSTRIP && first > begin) {
            const uint8_t *const before = character_before(begin, first, end, &code);
            if (!is_white(code)) break;
            first = before;
        }
        if (flags & FE_ADDED_LSTRIP && first < p) first = p;
        while (flags & FE_ADDED_RSTRIP && last < end) {
            const int32_t length = fe_utf8_read(last, end, &code);
            if (!is_white(code)) break;
            last += length;
        }
        if (p < first && late) segment(l, p, first);
        if (p < first && !late) stretch(l, p, first, true);
        if (l->refused) return;
        if (first < last) l->ids[l->count++] = l->v->model.added_ids[token];
        p = last;
    }
    if (p >= end) return;
    if (late) segment(l, p, end);
    else stretch(l, p, end, true);
}

bool slow_encode(const vocabulary *v, int32_t pattern, const uint8_t *actions, const uint8_t *text, int64_t size,
                 int32_t *ids, int64_t *count) {
    static law l;
    bool any = false;
    l.v = v;
    l.actions = actions;
    l.pattern = pattern == FE_PATTERN_OWN ? v->model.pattern : pattern;
    l.ids = ids;
    l.text = text;
    l.count = 0;
    l.unk_waits = l.refused = false;
    l.normalizes = pattern == FE_PATTERN_OWN;
    for (int64_t i = 0; i < v->model.added; i++) any |= actions[i] != FE_TOKEN_PLAIN;
    find_by(&l);
    if (any) between(&l, text, text + size, 0);
    else stretch(&l, text, text + size, false);
    *count = l.count;
    return !l.refused;
}
