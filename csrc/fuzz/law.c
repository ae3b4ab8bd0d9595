/* law.c: what the ids of a text must be, in the plainest form: no tables, no caches, no cutting. */
#include "fuzz.h"
#include "utf8.h"

#define MARK 0x2581u

/* The text being encoded. */
typedef struct law {
    const vocabulary *v;
    const uint8_t *actions;
    int32_t pattern;
    int32_t *ids;
    int64_t count;
    int32_t symbols[2 * TEXT];
    int64_t symbol_count;
    uint8_t seen[4 * TEXT]; /* characters: the piece so far, spaces as marks */
    int64_t seen_size;
    const uint8_t *text;
    bool unk_waits;
    bool refused;
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
            if (place && (at < 0 || place < place_of[s[at]][s[at + 1]])) at = i;
        }
        if (at < 0) break;
        s[at] = m->merge_result[place_of[s[at]][s[at + 1]] - 1];
        memmove(s + at + 1, s + at + 2, (size_t)(--l->symbol_count - at - 1) * sizeof *s);
    }
    for (int64_t i = 0; i < m->merges; i++) place_of[m->merge_left[i]][m->merge_right[i]] = 0;
}

/* tiktoken's law: of any two neighbours whose bytes together are a token, those of the lowest rank, leftmost first. */
static void merge_by_rank(law *l, const uint8_t *piece, int64_t size) {
    static int64_t part[TEXT + 1]; /* where each part begins */
    static int64_t rank[TEXT + 1]; /* of the token that part i makes with the next one */
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

/* ------------------------------------------------------------------ one text */

static void segment(law *l, const uint8_t *p, const uint8_t *end) {
    if (p == end) return;
    const bool affixes = l->v->model.flags & FE_AFFIXES;
    if (!(l->v->model.flags & FE_BYTE_LEVEL)) {
        if (affixes) affixed_piece(l, p, end - p);
        else character_piece(l, p, end);
        return;
    }
    uint8_t text[TEXT + 1];
    int64_t ends[TEXT + 1], size = 0, pieces;
    if (l->v->model.flags & FE_ADD_SPACE && *p != ' ') text[size++] = ' ';
    memcpy(text + size, p, (size_t)(end - p));
    size += end - p;
    CHECK(fe_split(l->pattern, FE_PATH_SCALAR, text, size, ends, TEXT + 1, &pieces) == FE_OK);
    for (int64_t i = 0; i < pieces; i++) {
        const int64_t start = i ? ends[i - 1] : 0;
        if (affixes) affixed_piece(l, text + start, ends[i] - start);
        else byte_piece(l, text + start, ends[i] - start);
    }
}

/* True if a later added token has the same bytes and is late if this one is: of these the last one counts. */
static bool comes_again(const fe_model *m, int64_t token) {
    const int64_t size = m->added_offsets[token + 1] - m->added_offsets[token];
    for (int64_t i = token + 1; i < m->added; i++)
        if (m->added_offsets[i + 1] - m->added_offsets[i] == size &&
            (m->added_flags[i] & FE_ADDED_LATE) == (m->added_flags[token] & FE_ADDED_LATE) &&
            memcmp(m->added_bytes + m->added_offsets[i], m->added_bytes + m->added_offsets[token], (size_t)size) == 0)
            return true;
    return false;
}

/* The longest added token at p, or -1. */
static int64_t added_at(const law *l, const uint8_t *p, const uint8_t *end, uint8_t late) {
    const fe_model *const m = &l->v->model;
    int64_t best = -1, longest = 0;
    for (int64_t i = 0; i < m->added; i++) {
        const int64_t size = m->added_offsets[i + 1] - m->added_offsets[i];
        if ((m->added_flags[i] & FE_ADDED_LATE) != late || size <= longest || size > end - p) continue;
        if (comes_again(m, i)) continue;
        if (m->flags & FE_OVERLAP && l->actions[i] == FE_TOKEN_PLAIN) continue;
        if (memcmp(m->added_bytes + m->added_offsets[i], p, (size_t)size) == 0) best = i, longest = size;
    }
    return best;
}

/* Cuts at the early added tokens, and what lies between at the late ones. */
static void between(law *l, const uint8_t *p, const uint8_t *end, uint8_t late) {
    for (const uint8_t *at = p; !l->refused; at++) {
        const int64_t token = at < end ? added_at(l, at, end, late) : -1;
        if (token < 0 && at < end) continue;
        if (token < 0 || l->actions[token] == FE_TOKEN_MATCH) {
            if (late) segment(l, p, at);
            else between(l, p, at, 1);
            if (token < 0 || l->refused) return;
            l->ids[l->count++] = l->v->model.added_ids[token];
        }
        l->refused = l->actions[token] == FE_TOKEN_REFUSE;
        const int64_t size = l->v->added_offsets[token + 1] - l->v->added_offsets[token];
        if (l->actions[token] == FE_TOKEN_MATCH) p = at + size;
        at += size - 1;
    }
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
    for (int64_t i = 0; i < v->model.added; i++) any |= actions[i] != FE_TOKEN_PLAIN;
    if (any) between(&l, text, text + size, 0);
    else segment(&l, text, text + size);
    *count = l.count;
    return !l.refused;
}
