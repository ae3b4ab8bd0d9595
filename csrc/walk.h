/* walk.h: one walk over the texts of a job; what is met goes to the encoder. */
#ifndef FE_WALK_H
#define FE_WALK_H

#include "piece.h"

#define FE_MAX_STREAM (1 << 30) /* bytes of texts whose pieces are counted from the same place */

/* One text by itself. FE_ENOUGH: as many ids as e->stop asks for were written, perhaps a few more; FE_SPECIAL:
 * e->refused says where; FE_TOO_LONG, FE_FULL, FE_NO_MEMORY. */
fe_status fe_encode_text(fe_encoder *e, const uint8_t *p, const uint8_t *end);

#endif
