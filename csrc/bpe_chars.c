/* bpe_chars.c: byte pair encoding of characters, as SentencePiece's vocabularies have it. */
#include "image.h"
#include "model.h"
#include "symbols.h"
#include "utf8.h"

static const uint8_t mark[3] = {0xE2, 0x96, 0x81};

static bool check(const fe_tokenizer *t) {
    const int64_t pages = (int64_t)(fe_section_count(t, FE_S_CHAR_TOKENS) / FE_PAGE);
    const int64_t vocab = (int64_t)t->image->vocab, wholes = (int64_t)fe_section_count(t, FE_S_WHOLE_TOKENS);
    if (t->image->flags & FE_WHOLE_FIRST &&
        !fe_trie_valid(fe_section_of(t, FE_S_WHOLES), fe_section_count(t, FE_S_WHOLES), wholes))
        return false;
    return fe_section_within(t, FE_S_CHAR_PAGES, -1, pages) && fe_section_within(t, FE_S_CHAR_TOKENS, -1, vocab) &&
           fe_section_within(t, FE_S_WHOLE_TOKENS, 0, vocab);
}

static void attach(fe_tokenizer *t) {
    t->space_cuts = t->image->space_cuts;
    t->chars = (fe_chars){
        .pages = fe_section_of(t, FE_S_CHAR_PAGES),
        .tokens = fe_section_of(t, FE_S_CHAR_TOKENS),
        .pairs = fe_section_of(t, FE_S_CUT_PAIRS),
        .ascii = fe_section_of(t, FE_S_CUT_ASCII),
        .wholes = t->flags & FE_WHOLE_FIRST ? fe_section_of(t, FE_S_WHOLES) : NULL,
        .whole_tokens = fe_section_of(t, FE_S_WHOLE_TOKENS),
        .flags = t->flags,
        .all_solid = t->image->all_solid,
        .one_unknown = fe_is_unknown_one(t->flags, t->unk),
    };
}

static int32_t step_bytes(const fe_unit *units, int32_t node, const uint8_t *p, const uint8_t *end) {
    for (; p < end && node >= 0; p++) node = fe_trie_next(units, node, *p);
    return node;
}

int32_t fe_chars_whole(const fe_chars *c, const uint8_t *p, const uint8_t *end, bool front) {
    int32_t node = front ? step_bytes(c->wholes, 0, mark, mark + 3) : 0;
    for (; p < end && node >= 0; p++)
        if (*p == ' ' && c->flags & FE_SPACE_MARK)
            node = step_bytes(c->wholes, node, mark, mark + 3);
        else
            node = fe_trie_next(c->wholes, node, *p);
    return node < 0 || c->wholes[node].value < 0 ? -1 : c->whole_tokens[c->wholes[node].value];
}

/* The code point at p, as the vocabulary sees it; *next receives where it ends. */
static uint32_t read_char(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, const uint8_t **next) {
    uint32_t code;
    *next = p + fe_utf8_read(p, end, &code);
    return fe_char_seen(&t->chars, code);
}

/* The bytes p to q of one character as byte symbols, if all of them are symbols. A waiting unknown goes on waiting
 * behind them: that is the order the format's own engine gives. */
static fe_status push_bytes(fe_encoder *e, const uint8_t *p, const uint8_t *q) {
    const int32_t *const byte_token = e->t->merges.byte_token;
    for (const uint8_t *b = p; b < q; b++)
        if (byte_token[*b] < 0) return fe_symbol_unknown(e);
    fe_status status = FE_OK;
    for (; p < q && status == FE_OK; p++) status = fe_symbol_push(e, byte_token[*p]);
    return status;
}

static fe_status push_chars(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_status status = FE_OK;
    for (const uint8_t *next; p < end && status == FE_OK; p = next) {
        const uint32_t code = read_char(e->t, p, end, &next);
        const int32_t token = fe_char_token(&e->t->chars, code);
        if (token >= 0)
            status = fe_symbol_known(e, token);
        else if (!(e->t->flags & FE_BYTE_FALLBACK))
            status = fe_symbol_unknown(e);
        else if (code == FE_MARK)
            status = push_bytes(e, mark, mark + 3);
        else
            status = push_bytes(e, p, next);
    }
    return status;
}

/* Adds what [p, end), which merging does not cross, becomes. */
static fe_status merge(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    const int64_t first = e->count;
    fe_status status = FE_OK;
    if (front) status = push_chars(e, mark, mark + 3);
    if (status == FE_OK) status = push_chars(e, p, end);
    if (status == FE_OK) status = fe_symbol_flush(e);
    int64_t count = e->count - first;
    if (status == FE_OK && count) status = fe_merge(&e->t->merges, e->symbols + first, &count, &e->scratch);
    e->count = first + count;
    return status;
}

/* FE_SPLIT_MARKS: where the next mark begins, or end. Its three bytes stand inside no other character. */
static const uint8_t *next_mark(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end) {
    const bool spaces = t->flags & FE_SPACE_MARK;
    for (; p < end; p++)
        if ((*p == ' ' && spaces) || (*p == mark[0] && end - p >= 3 && p[1] == mark[1] && p[2] == mark[2])) return p;
    return end;
}

/* Splitters cut at runs of spaces at most, so a piece may hold several of those that marks begin. */
static fe_status piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    const bool splits = e->t->flags & FE_SPLIT_MARKS;
    fe_status status = FE_OK;
    e->count = 0;
    for (const uint8_t *next; (p < end || front) && status == FE_OK; p = next, front = false) {
        next = splits ? next_mark(e->t, front ? p : p + 1, end) : end;
        const int32_t token = splits && e->t->chars.wholes ? fe_chars_whole(&e->t->chars, p, next, front) : -1;
        status = token >= 0 ? fe_symbol_push(e, token) : merge(e, p, next, front);
    }
    if (status == FE_OK) fe_symbols_to_ids(e);
    return status;
}

const uint8_t *fe_chars_cut(const fe_chars *c, const uint8_t *p, const uint8_t *end, bool front) {
    uint32_t before = FE_MARK, code;
    if (!front) {
        p += fe_utf8_read(p, end, &code);
        before = fe_char_seen(c, code);
    }
    while (p < end) {
        const int32_t length = fe_utf8_read(p, end, &code);
        code = fe_char_seen(c, code);
        if (fe_chars_can_cut(c, before, code)) return p;
        before = code;
        p += length;
        /* From one ASCII character to the next the answers lie ready, and nothing is decoded. */
        for (uint8_t a = p[-1], b; p < end && ((b = *p) | a) < 0x80; a = b, p++) {
            if (c->ascii[a][b / 64] >> b % 64 & 1) return p;
            before = b;
        }
        before = fe_char_seen(c, before);
    }
    return end;
}

static const uint8_t *cut(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    return t->flags & (FE_CUT | FE_SPLIT_MARKS) ? fe_chars_cut(&t->chars, p, end, front) : end;
}

const fe_model_kind fe_chars_bpe = {.check = check, .attach = attach, .piece = piece, .cut = cut, .pieces = NULL};
