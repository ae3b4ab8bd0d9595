/* walk.h: one walk over the texts of a job; what is met goes to the encoder. */
#ifndef FE_WALK_H
#define FE_WALK_H

#include "piece.h"

#define FE_MAX_STREAM (1 << 30) /* bytes of texts whose pieces are counted from the same place */

/* One text by itself. FE_ENOUGH: as many ids as e->stop asks for were written, perhaps a few more; FE_SPECIAL:
 * e->refused says where; FE_TOO_LONG, FE_FULL, FE_NO_MEMORY. */
fe_status fe_encode_text(fe_encoder *e, const uint8_t *p, const uint8_t *end);

/* What becomes of a text that is cut at added tokens. */
typedef struct fe_parts {
    fe_status (*text)(fe_encoder *e, const uint8_t *p, const uint8_t *end); /* between two; never empty */
    fe_status (*added)(fe_encoder *e, int64_t token, const uint8_t *p, const uint8_t *end);
} fe_parts;

/* Cuts [p, end) at the added tokens that are late, or at those that are not. There is a choice. FE_SPECIAL: e->refused
 * says where; FE_NO_MEMORY, and what the parts return. */
fe_status fe_cut_added(fe_encoder *e, bool late, const uint8_t *p, const uint8_t *end, const fe_parts *to);

/* Whether a mark that is not in the text stands before a segment of a vocabulary of characters, or of pieces. */
bool fe_mark_front(const fe_encoder *e, const uint8_t *p, const uint8_t *end);

#endif
