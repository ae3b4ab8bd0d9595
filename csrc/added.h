/* added.h: finding added tokens (special ones and others) in text. */
#ifndef FE_ADDED_H
#define FE_ADDED_H

#include <stdbool.h>

#include "fe.h"

/* A node of a trie over the bytes of the tokens. Children are chained as siblings. A child has a higher number than
 * its parent and a lower one than the sibling before it in the chain, so no walk goes in circles. */
typedef struct fe_node {
    int32_t child;   /* first child; -1: none */
    int32_t sibling; /* next child of the same parent */
    int32_t token;   /* the token that ends here */
    uint32_t byte;
} fe_node;

typedef struct fe_added {
    const fe_node *nodes;
    int64_t count;
    bool starts[256]; /* some token starts with this byte */
    int32_t distinct; /* how many bytes do */
} fe_added;

/* Where an added token stands. */
typedef struct fe_match {
    const uint8_t *start;
    const uint8_t *end;
    int64_t token; /* its number among the added tokens */
} fe_match;

/* Fills nodes with those tokens of the model whose added_late is `late`; there is room for one node more than the
 * tokens have bytes. *count receives how many were needed. */
fe_status fe_added_fill(const fe_model *model, uint8_t late, fe_node *nodes, int64_t *count);

/* True if every number in the nodes leads to where it should. */
bool fe_added_valid(const fe_node *nodes, int64_t count, int64_t tokens);

void fe_added_attach(fe_added *added, const fe_node *nodes, int64_t count);

/* True and the match where a token stands in [p, end): the leftmost one, the longest among those. With `actions` only
 * tokens whose action is not FE_TOKEN_PLAIN are looked for. */
bool fe_added_find(const fe_added *added, const uint8_t *p, const uint8_t *end, const uint8_t *actions,
                   fe_match *match);

#endif
