/* text.h: the texts of a job, in either of its two forms. */
#ifndef FE_TEXT_H
#define FE_TEXT_H

#include <stdbool.h>

#include "fe.h"

/* The texts of a job. */
typedef struct fe_texts {
    const fe_job *job;
    bool ascii; /* as many characters as bytes */
} fe_texts;

/* Some of the texts of a job, behind one that ends at `before`. */
typedef struct fe_some_texts {
    int64_t first, last;
    const uint8_t *before;
} fe_some_texts;

/* The texts of a job, which stays the caller's. Looks at all character counts once; any numbers may stand there. */
fe_texts fe_texts_of(const fe_job *job);

/* Text i; *end receives where it ends, or NULL if the counts do not add up. `p` is where the text before it ended, or
 * the start of the first one. */
const uint8_t *fe_text_at(const fe_texts *all, int64_t i, const uint8_t *p, const uint8_t **end);

#endif
