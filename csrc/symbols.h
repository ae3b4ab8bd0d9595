/* symbols.h: the symbols of the piece that is being read, and unknown ones among them. */
#ifndef FE_SYMBOLS_H
#define FE_SYMBOLS_H

#include "piece.h"

/* Makes room for `more` symbols behind those there are. */
fe_status fe_symbols_reserve(fe_encoder *e, int64_t more);

/* A symbol, wherever unknown ones wait. */
static inline fe_status fe_symbol_push(fe_encoder *e, int32_t token) {
    if (e->count == e->room) {
        const fe_status status = fe_symbols_reserve(e, 1);
        if (status != FE_OK) return status;
    }
    e->symbols[e->count++] = token;
    return FE_OK;
}

/* The unknown symbol that waits, if one does. */
fe_status fe_symbol_flush(fe_encoder *e);

/* A symbol with a token; the unknown one that waits comes before it. */
fe_status fe_symbol_known(fe_encoder *e, int32_t token);

/* A symbol without a token: it waits, since the next one may fuse with it; without an unk it vanishes. */
fe_status fe_symbol_unknown(fe_encoder *e);

/* Tokens become ids. */
void fe_symbols_to_ids(fe_encoder *e);

#endif
