/* added.h: finding added tokens (special ones and others) in text. */
#ifndef FE_ADDED_H
#define FE_ADDED_H

#include <stdbool.h>

#include "fe.h"

/* A trie over the bytes of the tokens: children are chained as siblings. */
typedef struct fe_added {
    struct fe_node *nodes;
    int32_t count;
    bool starts[256]; /* some token starts with this byte */
    int32_t distinct; /* how many bytes do */
} fe_added;

/* Where an added token stands. */
typedef struct fe_match {
    const uint8_t *start;
    const uint8_t *end;
    int64_t token; /* its number in the model */
} fe_match;

/* Takes those tokens of the model whose added_late is `late`. */
fe_status fe_added_init(fe_added *added, const fe_model *model, uint8_t late);
void fe_added_clear(fe_added *added);

/* True and the match where a token stands in [p, end): the leftmost one, the longest among those. */
bool fe_added_find(const fe_added *added, const uint8_t *p, const uint8_t *end, fe_match *match);

#endif
