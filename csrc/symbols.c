/* symbols.c: the symbols of a piece; what both kinds of BPE have in common. */
#include "symbols.h"

#include "mem.h"

fe_status fe_symbols_reserve(fe_encoder *e, int64_t more) {
    if (e->room - e->count >= more) return FE_OK;
    return fe_grow(&e->symbols, &e->room, e->count + more, sizeof *e->symbols) ? FE_OK : FE_NO_MEMORY;
}

fe_status fe_symbol_flush(fe_encoder *e) {
    if (!e->unk_pending) return FE_OK;
    e->unk_pending = false;
    return fe_symbol_push(e, e->t->unk);
}

fe_status fe_symbol_known(fe_encoder *e, int32_t token) {
    const fe_status status = fe_symbol_flush(e);
    return status == FE_OK ? fe_symbol_push(e, token) : status;
}

fe_status fe_symbol_unknown(fe_encoder *e) {
    fe_status status = FE_OK;
    if (e->t->unk < 0) return status;
    if (!(e->t->flags & FE_FUSE_UNK)) status = fe_symbol_flush(e);
    e->unk_pending = true;
    return status;
}

void fe_symbols_to_ids(fe_encoder *e) {
    const int32_t *const ids = e->t->token_ids;
    for (int64_t i = 0; i < e->count; i++) e->symbols[i] = ids[e->symbols[i]];
}
