/* bpe_affixes.c: byte pair encoding where the name of a symbol says its place in the piece: a prefix on all but the
 * first (continuing_subword_prefix), a suffix on the last (end_of_word_suffix: CLIP's </w>). What merges make stands in
 * the vocabulary's list, so only the symbols differ from the other kinds. They are bytes or characters. */
#include "image.h"
#include "model.h"
#include "symbols.h"
#include "utf8.h"

static bool check(const fe_tokenizer *t) {
    const int64_t pages = (int64_t)(fe_section_count(t, FE_S_CHAR_TOKENS) / FE_PAGE);
    return fe_section_within(t, FE_S_PLACE_PAGES, -1, pages) &&
           fe_section_within(t, FE_S_CHAR_TOKENS, -1, (int64_t)t->image->vocab);
}

static void attach(fe_tokenizer *t) {
    t->chars = (fe_chars){
        .pages = fe_section_of(t, FE_S_PLACE_PAGES),
        .tokens = fe_section_of(t, FE_S_CHAR_TOKENS),
        .flags = t->flags,
    };
}

static fe_status push(fe_encoder *e, uint32_t code, bool first, bool last) {
    const uint32_t place = (first ? FE_PLACE_FIRST : 0) | (last ? FE_PLACE_LAST : 0);
    const int32_t token = fe_char_token(&e->t->chars, code + place * FE_PLACE);
    return token >= 0 ? fe_symbol_known(e, token) : fe_symbol_unknown(e);
}

/* front: at byte level a space. */
static fe_status piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    const bool bytes = e->t->flags & FE_BYTE_LEVEL;
    bool first = !front;
    fe_status status = FE_OK;
    e->count = 0;
    if (front) status = push(e, ' ', true, p == end);
    for (const uint8_t *next; p < end && status == FE_OK; p = next, first = false) {
        uint32_t code = *p;
        next = p + (bytes ? 1 : fe_utf8_read(p, end, &code));
        status = push(e, code, first, next == end);
    }
    if (status == FE_OK) status = fe_symbol_flush(e);
    if (status == FE_OK) status = fe_merge(&e->t->merges, e->symbols, &e->count, &e->scratch);
    if (status == FE_OK) fe_symbols_to_ids(e);
    return status;
}

/* The last symbol of a piece is another one than the same inside: no piece can be cut. */
const fe_model_kind fe_affix_bpe = {.check = check, .attach = attach, .piece = piece, .cut = NULL};
