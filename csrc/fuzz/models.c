/* models.c: small vocabularies by chance, of each kind, and texts that fit them. */
#include "fuzz.h"

#define MARK 0x2581u

static const char *const parts[] = {"a", "b", "c", "ab", "abc", " ", " a", "  ", "\n", "'s", "1",
                                    "A", "\xC3\xA9", "\xE2\x96\x81",
                                    "\xF0\x9F\x98\x80", "<s>", "<", "s>x", "\xE4\xB8\xAD", "'", "\xC2\xA0", "/", "a b",
                                    "aaaaaaaaaaaaaaaaaaaa", "                ", "\xEF\xBF\xBD", "\r\n",
                                    "AB", "##a", "-", "<0xC3>", "\xCC\x81", "\xC4\xB0", "\x0B", "\xE3\x80\xAE",
                                    "\xF0\x9D\x85\xA5", "\xEA\xB0\x80", "\xE2\x89\xA0",
                                    "=", "\xCC\xB8", "e\xCC\x81", "_", "\t",
                                    "\xCC\x81\xCC\xA3\xCC\x81\xCC\x81\xCC\xA3\xCC\xA3\xCC\x81\xCC\xA3"};
static const uint32_t codes[] = {'a', 'b', 'c', ' ', '\n', MARK, 0xE9, 0x1F600, '<', 's', '>', '1', '\'', 0xFFFD, 'A'};

int64_t write_utf8(uint8_t *to, uint32_t code) {
    if (code < 0x80) return to[0] = (uint8_t)code, 1;
    int64_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    to[0] = (uint8_t)((0xF0u << (3 - more)) | code >> 6 * more);
    for (int64_t i = 1; i <= more; i++) to[i] = (uint8_t)(0x80 | (code >> 6 * (more - i) & 0x3F));
    return more + 1;
}

int64_t random_text(uint8_t *text, int64_t most, bool valid) {
    enum { PARTS = sizeof parts / sizeof *parts, LONGEST_PART = 20 };
    int64_t n = 0;
    const int64_t wish = most > LONGEST_PART ? rnd((uint32_t)(most - LONGEST_PART)) : 0;
    const uint32_t few = one_in(4) ? 3 : PARTS; /* long runs of letters make long pieces, of marks long orders */
    const uint32_t first = one_in(2) ? 0 : rnd(PARTS);
    while (n < wish) {
        if (!valid && one_in(6)) {
            text[n++] = (uint8_t)rnd(256);
            continue;
        }
        const char *const part = parts[(first + rnd(few)) % PARTS];
        memcpy(text + n, part, strlen(part));
        n += (int64_t)strlen(part);
    }
    return n;
}

/* ------------------------------------------------------------------ tokens */

int32_t add_token(vocabulary *v, const uint8_t *bytes, int64_t size) {
    const int64_t token = v->model.tokens++, at = v->token_offsets[token];
    CHECK(token < TOKENS && size <= LONGEST);
    if (size) memcpy(v->token_bytes + at, bytes, (size_t)size);
    v->token_offsets[token + 1] = at + size;
    return (int32_t)token;
}

static int64_t size_of(const vocabulary *v, int64_t token) {
    return v->token_offsets[token + 1] - v->token_offsets[token];
}

static bool same(const uint8_t *a, int64_t a_size, const uint8_t *b, int64_t b_size) {
    return a_size == b_size && memcmp(a, b, (size_t)a_size) == 0;
}

static int32_t find_token(const vocabulary *v, const uint8_t *bytes, int64_t size) {
    for (int64_t i = 0; i < v->model.tokens; i++)
        if (same(v->token_bytes + v->token_offsets[i], size_of(v, i), bytes, size)) return (int32_t)i;
    return -1;
}

/* The bytes of two tokens together; 0 if they are too many. */
static int64_t join(const vocabulary *v, int32_t left, int32_t right, uint8_t *bytes) {
    const int64_t a = size_of(v, left), b = size_of(v, right);
    if (a + b > LONGEST) return 0;
    memcpy(bytes, v->token_bytes + v->token_offsets[left], (size_t)a);
    memcpy(bytes + a, v->token_bytes + v->token_offsets[right], (size_t)b);
    return a + b;
}

void add_bytes(vocabulary *v, uint32_t missing) {
    for (int i = 0; i < 256; i++) {
        const uint8_t byte = (uint8_t)i;
        v->byte_tokens[i] = missing && one_in(missing) ? -1 : add_token(v, &byte, 1);
    }
}

/* Merges of two tokens out of a pool that grows by what they make. */
static void add_merges(vocabulary *v, int32_t *pool, int64_t size, bool any_result) {
    const int64_t wish = size ? rnd(MERGES + 1) : 0;
    for (int64_t i = 0; i < wish; i++) {
        const int32_t left = pool[rnd((uint32_t)size)], right = pool[rnd((uint32_t)size)];
        uint8_t bytes[LONGEST];
        const int64_t length = join(v, left, right, bytes);
        if (!length) continue;
        const int32_t known = one_in(8) ? -1 : find_token(v, bytes, length);
        int32_t made = known >= 0 ? known : add_token(v, bytes, length);
        if (any_result && one_in(20)) made = (int32_t)rnd((uint32_t)v->model.tokens);
        const int64_t merge = v->model.merges++;
        v->left[merge] = left, v->right[merge] = right, v->result[merge] = made;
        pool[size++] = made;
    }
}

static void cut_by_chain(vocabulary *v) {
    random_chain(&v->chain);
    v->model.pattern = FE_PATTERN_PROGRAM;
    v->model.chain = &v->chain.chain;
}

/* One of the first so many, or a chain. */
static void random_pattern(vocabulary *v, uint32_t known) {
    v->model.pattern = (int32_t)rnd(known);
    if (known >= FE_PATTERN_PROGRAM && one_in(4)) cut_by_chain(v);
}

static void byte_level(vocabulary *v) {
    int32_t pool[32 + MERGES];
    int64_t size = 0;
    /* No vocabulary has both: with a space put in front of it, a piece is not looked up as a whole. */
    v->model.flags = FE_BYTE_LEVEL | (one_in(4) ? FE_ADD_SPACE : one_in(2) ? FE_WHOLE_FIRST : 0) |
                     (one_in(2) ? FE_FUSE_UNK : 0);
    random_pattern(v, v->model.flags & FE_ADD_SPACE ? 2 : FE_PATTERN_PROGRAM);
    add_bytes(v, one_in(2) ? 30 : 0);
    for (const char *p = "abc \n1'A\xC3\xA9"; *p; p++)
        if (v->byte_tokens[(uint8_t)*p] >= 0) pool[size++] = v->byte_tokens[(uint8_t)*p];
    add_merges(v, pool, size, true);
}

static void swap_bytes_of(uint8_t (*tokens)[LONGEST], int64_t *sizes, uint32_t a, uint32_t b) {
    uint8_t bytes[LONGEST];
    const int64_t size = sizes[a];
    memcpy(bytes, tokens[a], LONGEST);
    memcpy(tokens[a], tokens[b], LONGEST);
    memcpy(tokens[b], bytes, LONGEST);
    sizes[a] = sizes[b];
    sizes[b] = size;
}

/* Tokens that merging reaches and tokens that it does not, in any order. */
static void ranked(vocabulary *v) {
    static uint8_t tokens[TOKENS][LONGEST];
    int64_t sizes[TOKENS];
    uint32_t count = 256;
    v->model.flags = FE_BYTE_LEVEL | FE_RANKED | (one_in(2) ? FE_WHOLE_FIRST : 0);
    random_pattern(v, FE_PATTERN_PROGRAM);
    for (uint32_t i = 0; i < 256; i++) tokens[i][0] = (uint8_t)i, sizes[i] = 1;
    for (uint32_t wish = count + rnd(300), tries = 0; count < wish && tries < 2000; tries++) {
        uint8_t *const to = tokens[count];
        int64_t size = 0;
        if (one_in(3)) {
            const int64_t length = 2 + rnd(7); /* letters by chance */
            while (size < length) to[size++] = (uint8_t)"aabbc 1\n"[rnd(8)];
        } else {
            for (int half = 0; half < 2; half++) {
                const uint32_t from = count > 256 && one_in(2) ? 256 + rnd(count - 256) : (uint32_t)"aabbc 1A"[rnd(8)];
                if (size + sizes[from] > LONGEST / 2) continue;
                memcpy(to + size, tokens[from], (size_t)sizes[from]);
                size += sizes[from];
            }
        }
        bool twice = size < 2;
        for (uint32_t i = 0; i < count && !twice; i++) twice = same(tokens[i], sizes[i], to, size);
        sizes[count] = size;
        count += !twice;
    }
    for (uint32_t swaps = one_in(2) ? rnd(2 * count) : 0; swaps; swaps--)
        swap_bytes_of(tokens, sizes, rnd(count), rnd(count));
    for (uint32_t i = 0; i < count; i++) {
        const int32_t token = add_token(v, tokens[i], sizes[i]);
        if (sizes[i] == 1) v->byte_tokens[tokens[i][0]] = token;
    }
}

static uint32_t next_code(const uint8_t **p) { /* of valid UTF-8 */
    const uint8_t a = *(*p)++;
    uint32_t code = a < 0x80 ? a : a < 0xE0 ? a & 0x1F : a < 0xF0 ? a & 0x0F : a & 0x07;
    for (int more = a < 0x80 ? 0 : a < 0xE0 ? 1 : a < 0xF0 ? 2 : 3; more; more--) code = code << 6 | (*(*p)++ & 0x3F);
    return code;
}

/* FE_CUT: the code points that stand side by side in what merging makes. */
static void add_pairs(vocabulary *v) {
    for (int64_t i = 0; i < v->model.merges; i++) {
        const uint8_t *p = v->token_bytes + v->token_offsets[v->result[i]];
        const uint8_t *const end = v->token_bytes + v->token_offsets[v->result[i] + 1];
        for (uint32_t before = next_code(&p); p < end;) {
            v->pair_left[v->model.pairs] = before;
            before = next_code(&p);
            v->pair_right[v->model.pairs++] = before;
        }
    }
}

/* FE_WHOLE_FIRST: short texts, some twice, that are any token. */
static void add_wholes(vocabulary *v) {
    static const char *const names[] = {"a", "ab", "\xE2\x96\x81", "\xE2\x96\x81" "a", "\xE2\x96\x81" "ab", "abc",
                                        "\xE2\x96\x81\xE2\x96\x81", "a b", "aa"};
    if (!v->model.tokens) return;
    for (v->model.wholes = rnd(ADDED + 1); v->model.wholes && one_in(9);) v->model.wholes = 0;
    for (int64_t i = 0; i < v->model.wholes; i++) {
        const char *const name = names[rnd(sizeof names / sizeof *names)];
        const int64_t at = v->whole_offsets[i], size = (int64_t)strlen(name);
        memcpy(v->whole_bytes + at, name, (size_t)size);
        v->whole_offsets[i + 1] = at + size;
        v->whole_tokens[i] = (int32_t)rnd((uint32_t)v->model.tokens);
    }
}

/* Codes of bytes or characters at each place of a piece; of some the token is missing. */
static void affixed(vocabulary *v) {
    int32_t pool[CHARS + MERGES];
    int64_t size = 0;
    const bool bytes = one_in(2);
    v->model.flags = FE_AFFIXES | (bytes ? FE_BYTE_LEVEL | (one_in(4) ? FE_ADD_SPACE : 0) : 0) |
                     (one_in(2) ? FE_FUSE_UNK : 0);
    if (bytes) v->model.pattern = (int32_t)rnd(v->model.flags & FE_ADD_SPACE ? 2 : 8);
    for (int i = 0; i < 256; i++) v->byte_tokens[i] = -1;
    for (uint32_t i = 0; i < sizeof codes / sizeof *codes; i++)
        for (uint32_t place = 0; place < FE_PLACES; place++) {
            uint8_t name[5];
            if (one_in(6)) continue;
            const int64_t length = write_utf8(name, codes[i]);
            name[length] = (uint8_t)('w' + place);
            const int32_t token = add_token(v, name, length + 1);
            v->char_codes[v->model.chars] = (bytes ? codes[i] & 0xFF : codes[i]) + place * FE_PLACE;
            v->char_tokens[v->model.chars++] = token;
            pool[size++] = token;
        }
    add_merges(v, pool, size, true);
}

static void characters(vocabulary *v) {
    int32_t pool[CHARS + 32 + MERGES];
    int64_t size = 0;
    const bool splits = one_in(3), wholes = one_in(3), cut = one_in(2) && !(splits && wholes);
    const bool starts = one_in(2); /* the mark is only ever first, as in real vocabularies */
    v->model.flags = (cut ? FE_CUT : 0) | (one_in(2) ? FE_PREPEND : 0) | (one_in(4) ? 0 : FE_SPACE_MARK) |
                     (one_in(3) ? 0 : FE_BYTE_FALLBACK) | (one_in(2) ? FE_FUSE_UNK : 0) |
                     (splits ? FE_SPLIT_MARKS : 0) | (wholes ? FE_WHOLE_FIRST : 0);
    if (v->model.flags & FE_PREPEND)
        v->model.flags |= (one_in(2) ? FE_PREPEND_ONCE : 0) | (one_in(2) ? FE_PREPEND_FIRST : 0);
    for (int i = 0; i < 256; i++) v->byte_tokens[i] = -1;
    if (v->model.flags & FE_BYTE_FALLBACK || one_in(2)) add_bytes(v, one_in(4) ? 40 : 0);
    for (uint32_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        uint8_t bytes[4];
        if (one_in(6)) continue;
        const int32_t token = add_token(v, bytes, write_utf8(bytes, codes[i]));
        v->char_codes[v->model.chars] = codes[i];
        v->char_tokens[v->model.chars++] = token;
        if (!starts || codes[i] != MARK) pool[size++] = token;
    }
    if (!cut && v->byte_tokens['b'] >= 0) pool[size++] = v->byte_tokens['b'];
    add_merges(v, pool, size, !cut);
    if (one_in(3)) { /* some side by side make the same */
        v->model.flags |= FE_MADE_RANKS;
        for (int64_t i = 1; i < v->model.merges && !cut; i++)
            if (one_in(3)) v->result[i] = v->result[i - 1];
        v->model.tied = rnd((uint32_t)v->model.merges + 1);
    }
    if (cut) add_pairs(v);
    if (wholes) add_wholes(v);
}

/* Words and parts of words; of equal ones the last counts. */
static void words(vocabulary *v) {
    static const char *const some[] = {"a", "b", "c", "ab", "abc", "A", "AB", "1", "-", "\xC3\xA9", "e", "#",
                                       "\xE4\xB8\xAD", "aaaaaaaa", "i", "\xCC\x87", "\xE2\x96\x81", "s", " ",
                                       "\xC3", "\xA9"};
    static const char *const prefixes[] = {"##", "", "#", "a"};
    const uint32_t count = sizeof some / sizeof *some - (one_in(4) ? 0 : 2); /* few have parts of characters */
    const char *const prefix = prefixes[one_in(2) ? 0 : rnd(4)];
    v->model.flags = one_in(4) ? FE_WORD_LEVEL : FE_WORD_PIECES;
    v->model.pattern = one_in(3) ? (int32_t)rnd(8) : FE_PATTERN_BERT;
    if (v->model.pattern == FE_PATTERN_BERT) v->model.flags |= rnd(16) * FE_BERT_CLEAN;
    else if (one_in(2)) cut_by_chain(v);
    v->model.prefix = (int64_t)strlen(prefix);
    v->model.prefix_bytes = (const uint8_t *)prefix;
    v->model.word_chars = one_in(3) ? rnd(20) : one_in(2) ? 100 : 1024;
    for (int i = 0; i < 256; i++) v->byte_tokens[i] = -1;
    for (uint32_t wish = rnd(120); wish; wish--) {
        uint8_t bytes[LONGEST];
        int64_t size = 0;
        if (one_in(2)) memcpy(bytes, prefix, strlen(prefix)), size = (int64_t)strlen(prefix);
        for (uint32_t more = one_in(30) ? 0 : 1 + rnd(3); more; more--) {
            const char *const part = some[rnd(count)];
            memcpy(bytes + size, part, strlen(part));
            size += (int64_t)strlen(part);
        }
        add_token(v, bytes, size);
    }
    v->model.unk = add_token(v, (const uint8_t *)"<unk>", 5);
}

/* ------------------------------------------------------------------ what all kinds have */

static void number_ids(vocabulary *v) {
    const int64_t n = v->model.tokens;
    const int32_t first = one_in(2) ? 0 : (int32_t)rnd(1000), step = one_in(2) ? 1 : 1 + (int32_t)rnd(5);
    for (int64_t i = 0; i < n; i++) v->token_ids[i] = first + step * (int32_t)i;
    for (uint32_t swaps = one_in(2) ? rnd(50) : 0; swaps; swaps--) {
        const uint32_t a = rnd((uint32_t)n), b = rnd((uint32_t)n);
        const int32_t id = v->token_ids[a];
        v->token_ids[a] = v->token_ids[b];
        v->token_ids[b] = id;
    }
}

static void add_added(vocabulary *v) {
    static const char *const names[ADDED] = {"<s>", "<", "a b", "s>x", "\xC3\xA9", "<s><s>", "aaaaaaaaaaaa", "aaaa"};
    const int64_t count = one_in(3) ? 0 : rnd(ADDED + 1), first = rnd(ADDED);
    if (one_in(2)) v->model.flags |= FE_OVERLAP;
    for (int64_t i = 0; i < count; i++) {
        const bool part = one_in(40); /* of a character: behind the token no other begins */
        const char *const name = part ? "a\xC3" : names[(i + first) % (one_in(9) ? 3 : ADDED)]; /* some twice */
        const int64_t at = v->added_offsets[i], size = (int64_t)strlen(name);
        memcpy(v->added_bytes + at, name, (size_t)size);
        v->added_offsets[i + 1] = at + size;
        v->added_ids[i] = (int32_t)add_token(v, (const uint8_t *)name, size); /* its token; below, its id */
        v->added_flags[i] = (uint8_t)rnd(one_in(2) ? 4 : 32);
        v->actions[i] = (uint8_t)(one_in(8) ? FE_TOKEN_REFUSE : rnd(2));
    }
    v->model.added = count;
}

static void add_step(vocabulary *v, uint8_t kind, uint8_t flags, uint8_t least, const char *from, const char *to) {
    const uint32_t sizes[] = {(uint32_t)strlen(from), (uint32_t)strlen(to)};
    uint8_t *const step = v->normal + v->model.normal;
    const uint8_t head[4] = {kind, flags};
    const uint16_t number = least;
    memcpy(step, head, 4);
    memcpy(step + 2, &number, 2);
    memcpy(step + 4, sizes, sizeof sizes);
    memcpy(step + 12, from, sizes[0]);
    memcpy(step + 12 + sizes[0], to, sizes[1]);
    v->model.normal += 12 + sizes[0] + sizes[1];
}

/* Steps by which no added token becomes nothing, and a text at most NORMAL bytes. */
static void add_steps(vocabulary *v) {
    if (one_in(6)) add_sentencepiece(v);
    for (uint32_t count = v->model.normal || one_in(2) ? 0 : 1 + rnd(3), grows = 0; count; count--)
        switch (rnd(12)) {
        case 0: add_step(v, FE_NORM_NFC, 0, 0, "", ""); break;
        case 1: add_step(v, FE_NORM_LOWERCASE, 0, 0, "", ""); break;
        case 2: add_step(v, FE_NORM_STRIP_ACCENTS, 0, 0, "", ""); break;
        case 3: add_step(v, FE_NORM_STRIP, (uint8_t)rnd(4), 0, "", ""); break;
        case 4: add_step(v, FE_NORM_PREPEND, 0, 0, "", one_in(2) ? "<" : "\xE2\x96\x81"); break;
        case 5: add_step(v, FE_NORM_REPLACE, 0, 0, "ab", one_in(2) ? "c" : ""); break;
        case 6: add_step(v, FE_NORM_RUNS, FE_RUNS_WHITE, 1, "", " "); break;
        case 7: add_step(v, FE_NORM_RUNS, 0, 2, one_in(2) ? "a" : "\xE4\xB8\xAD", "b"); break;
        case 8: add_step(v, one_in(2) ? FE_NORM_NMT : FE_NORM_BERT_CLEAN, 0, 0, "", ""); break;
        case 9: add_step(v, FE_NORM_NFD, 0, 0, "", ""); break;
        case 10: add_charsmap(v); break;
        default:
            if (grows++) break;
            if (one_in(2)) add_step(v, FE_NORM_REPLACE, 0, 0, " ", "\xE2\x96\x81");
            else add_step(v, FE_NORM_BERT_CJK, 0, 0, "", "");
        }
}

void random_vocabulary(vocabulary *v) {
    memset(v, 0, sizeof *v);
    v->model.unk = -1;
    switch (rnd(6)) {
    case 0: byte_level(v); break;
    case 1: ranked(v); break;
    case 2: affixed(v); break;
    case 3: words(v); break;
    case 4: random_unigram(v); break;
    default: characters(v);
    }
    const bool has_unk = v->model.flags & FE_RANKED || v->model.unk >= 0;
    if (!has_unk && one_in(2)) v->model.unk = add_token(v, (const uint8_t *)"<unk>", 5);
    v->model.vocab = v->model.tokens;
    add_added(v);
    number_ids(v);
    for (int64_t i = 0; i < v->model.added; i++) v->added_ids[i] = v->token_ids[v->added_ids[i]];
    add_steps(v);
    v->model.notes = rnd(64);
    for (int64_t i = 0; i < v->model.notes; i++) v->notes[i] = (uint8_t)rnd(256);
    fe_model *const m = &v->model;
    m->token_bytes = v->token_bytes, m->token_offsets = v->token_offsets, m->token_ids = v->token_ids;
    m->byte_tokens = v->byte_tokens;
    m->merge_left = v->left, m->merge_right = v->right, m->merge_result = v->result;
    m->char_codes = v->char_codes, m->char_tokens = v->char_tokens;
    m->pair_left = v->pair_left, m->pair_right = v->pair_right;
    m->added_bytes = v->added_bytes, m->added_offsets = v->added_offsets;
    m->added_ids = v->added_ids, m->added_flags = v->added_flags;
    m->before = rnd(3), m->after = rnd(3);
    for (int i = 0; i < 4; i++) v->template[i] = (int32_t)rnd(INT32_MAX);
    m->before_ids = v->template, m->after_ids = v->template + 2;
    m->notes_bytes = v->notes, m->normal_bytes = v->normal;
    m->whole_bytes = v->whole_bytes, m->whole_offsets = v->whole_offsets, m->whole_tokens = v->whole_tokens;
    m->whole_scores = v->whole_scores;
}
