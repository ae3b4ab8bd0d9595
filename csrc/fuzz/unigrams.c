/* unigrams.c: vocabularies whose pieces have scores, their law, and tables by which strings are replaced. */
#include <math.h>

#include "fuzz.h"
#include "utf8.h"

static const char *const parts[] = {"a", "b", "c", "\xE2\x96\x81", "\xC3\xA9", "\xE4\xB8\xAD", "s", "<", " ", "1", ">",
                                    "\xC3", "\xA9", "<0xC3>"};

/* Scores of which many are equal, or nearly so; or so large that sums become large. */
static double random_score(uint32_t kind) {
    const double few[] = {-0.1, -0.2, -0.3, -0.7}, large[] = {-60000.3, 3e5, -9000.1, 0.5};
    if (kind == 0) return -(double)rnd(3);
    if (kind == 1) return few[rnd(4)];
    return kind == 2 ? large[rnd(4)] : -(double)rnd(1 << 20) / 65536;
}

static double as_kept(const vocabulary *v, double score) {
    return v->model.flags & FE_F32_SUMS ? (double)(float)score : score;
}

static void add_pieces(vocabulary *v) {
    const uint32_t kind = rnd(4), wish = rnd(WHOLES + 1), count = sizeof parts / sizeof *parts,
                   few = one_in(2) ? 4 : count - (one_in(4) ? 0 : 3);
    fe_model *const m = &v->model;
    for (; m->wholes < wish; m->wholes++) {
        uint8_t *const name = v->whole_bytes + v->whole_offsets[m->wholes];
        int64_t size = 0;
        for (uint32_t more = 1 + rnd(3); more; more--) {
            const char *const part = parts[rnd(few)];
            memcpy(name + size, part, strlen(part));
            size += (int64_t)strlen(part);
        }
        v->whole_offsets[m->wholes + 1] = v->whole_offsets[m->wholes] + size;
        v->whole_tokens[m->wholes] = add_token(v, name, size);
        v->whole_scores[m->wholes] = as_kept(v, random_score(kind));
    }
    m->unk_score = as_kept(v, one_in(3) ? random_score(kind) : -100);
}

void random_unigram(vocabulary *v) {
    fe_model *const m = &v->model;
    const bool program = one_in(4);
    m->flags = FE_UNIGRAM | (one_in(2) ? FE_F32_SUMS : 0) | (one_in(4) ? 0 : FE_SPACE_MARK) |
               (one_in(2) ? FE_SPLIT_MARKS : 0) | (one_in(2) ? FE_BYTE_FALLBACK : 0);
    if (program) {
        random_chain(&v->chain);
        m->pattern = FE_PATTERN_PROGRAM;
        m->chain = &v->chain.chain;
        m->flags |= one_in(2) ? FE_PREPEND | FE_PREPEND_ONCE : 0;
    } else if (one_in(4)) {
        m->flags |= FE_WHITE_WORDS | FE_SPACE_MARK | FE_SPLIT_MARKS;
    } else if (one_in(2)) {
        m->flags |= FE_PREPEND | (one_in(2) ? FE_PREPEND_ONCE : 0) | (one_in(2) ? FE_PREPEND_FIRST : 0);
    }
    for (int i = 0; i < 256; i++) v->byte_tokens[i] = -1;
    if (m->flags & FE_BYTE_FALLBACK) add_bytes(v, one_in(2) ? 60 : 0);
    m->unk = add_token(v, (const uint8_t *)"<unk>", 5);
    add_pieces(v);
    for (int64_t i = 0; i < m->wholes; i++) { /* as files have it: the piece that is written so is the byte */
        const int64_t at = v->whole_offsets[i];
        const bool named = v->whole_offsets[i + 1] - at == 6 && memcmp(v->whole_bytes + at, "<0xC3>", 6) == 0;
        if (named && v->byte_tokens[0xC3] >= 0) v->byte_tokens[0xC3] = v->whole_tokens[i];
    }
    if (m->wholes && one_in(2)) v->whole_tokens[rnd((uint32_t)m->wholes)] = m->unk;
}

/* ------------------------------------------------------------------ the law */

/* The last piece of these bytes, or -1. */
static int32_t piece_of(const vocabulary *v, const uint8_t *bytes, int64_t size) {
    for (int64_t i = v->model.wholes; i-- > 0;) {
        const int64_t at = v->whole_offsets[i];
        if (v->whole_offsets[i + 1] - at == size && memcmp(v->whole_bytes + at, bytes, (size_t)size) == 0)
            return (int32_t)i;
    }
    return -1;
}

static int64_t unknown_ids(const vocabulary *v, const uint8_t *bytes, int64_t size, int32_t *ids) {
    const fe_model *const m = &v->model;
    const int32_t piece = m->flags & FE_F32_SUMS ? -1 : piece_of(v, bytes, size);
    bool all = m->flags & FE_BYTE_FALLBACK;
    for (int64_t i = 0; i < size; i++) all = all && m->byte_tokens[bytes[i]] >= 0;
    if (piece >= 0 || !all) {
        ids[0] = m->token_ids[piece >= 0 ? m->whole_tokens[piece] : m->unk];
        return 1;
    }
    for (int64_t i = 0; i < size; i++) ids[i] = m->token_ids[m->byte_tokens[bytes[i]]];
    return size;
}

int64_t slow_unigram(const vocabulary *v, const uint8_t *text, int64_t size, int32_t *ids) {
    enum { ROOM = 3 * NORMAL + 4, MOST = 18 }; /* bytes of three parts */
    static double best[ROOM];
    static int64_t start[ROOM];
    static int32_t piece[ROOM];
    const bool f32 = v->model.flags & FE_F32_SUMS;
    int64_t count = 0, reached = 0;
    for (int64_t i = 0; i <= size; i++) start[i] = -1;
    best[0] = 0;
    for (int64_t at = 0, length; at < size; at += length) {
        uint32_t code;
        bool alone = false;
        length = fe_utf8_read(text + at, text + size, &code);
        if (f32 && fabs(best[at]) > 100000) {
            const float large = (float)best[at];
            for (int64_t i = at; i <= reached; i++) best[i] = (double)((float)best[i] - large);
        }
        for (int64_t end = at + 1; end <= size && end - at <= MOST; end++) {
            const int32_t found = piece_of(v, text + at, end - at);
            alone |= found >= 0 && end - at == length;
            if (found < 0) continue;
            const double sum = as_kept(v, best[at] + v->whole_scores[found]);
            if (start[end] >= 0 && sum <= best[end]) continue;
            best[end] = sum, start[end] = at, piece[end] = found;
            if (end > reached) reached = end;
        }
        if (alone) continue;
        const double sum = as_kept(v, best[at] + v->model.unk_score);
        const int64_t end = at + length;
        if (end > reached) reached = end;
        if (start[end] < 0 || sum > best[end]) best[end] = sum, start[end] = at, piece[end] = -1;
    }
    static int64_t ends[ROOM];
    int64_t n = 0;
    for (int64_t at = size; at > 0; at = start[at]) ends[n++] = at;
    for (int64_t from = 0; n; from = ends[n]) {
        const int32_t first = piece[ends[--n]];
        bool unknown = first < 0 || (!f32 && v->whole_tokens[first] == v->model.unk);
        if (!unknown) {
            ids[count++] = v->model.token_ids[v->whole_tokens[first]];
            continue;
        }
        for (; n && unknown; n--) {
            const int32_t next = piece[ends[n - 1]];
            unknown = next < 0 || (!f32 && v->whole_tokens[next] == v->model.unk);
            if (!unknown) break;
        }
        count += unknown_ids(v, text + from, ends[n] - from, ids + count);
    }
    return count;
}

/* ------------------------------------------------------------------ tables of strings */

/* A double array in which the children of node n are from 256 * (n + 1) on. */
typedef struct table {
    uint32_t units[256 * 20];
    uint32_t nodes;
} table;

static void add_string(table *t, const char *key, uint32_t value) {
    uint32_t at = 0, base = 256;
    for (; *key; key++) {
        at = base + (uint8_t)*key;
        if (!t->units[at]) t->units[at] = (uint8_t)*key | (at ^ 256 * (++t->nodes + 1)) << 10;
        base = at ^ t->units[at] >> 10;
    }
    t->units[at] |= 1 << 8;
    t->units[base] = value | UINT32_C(1) << 31;
}

/* Strings that become no longer, and none of which an added token is made. */
void add_charsmap(vocabulary *v) {
    static const char texts[] = "c\0a\0e\0\xE2\x89\xA0\0"; /* the last one from 6 on */
    static table t;
    memset(&t, 0, sizeof t);
    t.units[0] = 256 << 10;
    add_string(&t, "b", 0);
    add_string(&t, "\xCC\x81", 2);
    add_string(&t, "\xC3\xA9", 4);
    add_string(&t, "=\xCC\xB8", 6);
    add_string(&t, "\xF0\x9F\x98\x80", 2);
    if (one_in(2)) add_string(&t, "\xEF\xBF\xBD", 6); /* what a byte becomes that is none: up to three times as long */
    const uint32_t map[4] = {['b' / 32] = UINT32_C(1) << 'b' % 32};
    const uint32_t sizes[] = {(uint32_t)(sizeof map + 256 * 4 * (t.nodes + 2)), sizeof texts - 1};
    uint8_t *to = v->normal + v->model.normal;
    if (v->model.normal + 12 + sizes[0] + sizes[1] > NORMAL_STEPS) return;
    memset(to, 0, 12);
    to[0] = FE_NORM_CHARSMAP;
    to[1] = (uint8_t)(one_in(3) ? FE_CHARSMAP_LONGEST : 0);
    memcpy(to + 4, sizes, sizeof sizes);
    memcpy(to + 12, map, sizeof map);
    memcpy(to + 12 + sizeof map, t.units, sizes[0] - sizeof map);
    memcpy(to + 12 + sizes[0], texts, sizes[1]);
    v->model.normal += 12 + (int64_t)sizes[0] + (int64_t)sizes[1];
}

/* The same as SentencePiece has it, by any flags, beside symbols that nothing changes. */
void add_sentencepiece(vocabulary *v) {
    static const char texts[] = "c\0 \0\xE2\x89\xA0\0"; /* the last one from 4 on */
    static table rules, symbols;
    memset(&rules, 0, sizeof rules);
    memset(&symbols, 0, sizeof symbols);
    rules.units[0] = symbols.units[0] = 256 << 10;
    add_string(&rules, "b", 0);
    add_string(&rules, "\xC3\xA9", 1); /* nothing */
    add_string(&rules, "\xE4\xB8\xAD", 2);
    add_string(&rules, "=\xCC\xB8", 4);
    add_string(&symbols, "<a", 0);
    add_string(&symbols, " b", 1);
    const uint32_t units[] = {256 * (rules.nodes + 2), 256 * (symbols.nodes + 2)}, trie = 4 * units[0];
    const bool ruled = one_in(2), defined = one_in(2);
    const uint32_t sizes[] = {ruled ? 4 + trie + (uint32_t)sizeof texts - 1 : 0, 16 + (defined ? 4 * units[1] : 0)};
    uint8_t *to = v->normal;
    if (12 + sizes[0] + sizes[1] > NORMAL_STEPS) return;
    memset(to, 0, 12);
    to[0] = FE_NORM_PIECES;
    to[1] = (uint8_t)rnd(FE_PIECES_FLAGS + 1);
    memcpy(to + 4, sizes, sizeof sizes);
    to += 12;
    if (ruled) {
        memcpy(to, &trie, 4);
        memcpy(to + 4, rules.units, trie);
        memcpy(to + 4 + trie, texts, sizeof texts - 1);
        to += sizes[0];
    }
    memset(to, 0xFF, 16);
    for (const char *byte = "b <"; *byte; byte++) to[*byte / 8] &= (uint8_t)~(1u << *byte % 8);
    memcpy(to + 16, symbols.units, sizes[1] - 16);
    v->model.normal = 12 + (int64_t)sizes[0] + (int64_t)sizes[1];
}
