/* chain_walk.h: the texts of a job cut by a chain; the counterpart of what segment.c and walk.c do with a scan. */
#ifndef FE_CHAIN_WALK_H
#define FE_CHAIN_WALK_H

#include "piece.h"
#include "text.h"

/* The pieces of a segment. FE_ENOUGH as fe_encode_text. */
fe_status fe_encode_chain(fe_encoder *e, const uint8_t *p, const uint8_t *end);

/* Texts that are nothing but pieces, as one stream: short ones too come in batches. */
fe_status fe_encode_chain_stream(fe_encoder *e, const fe_texts *all, fe_some_texts some, fe_out *out);

#endif
