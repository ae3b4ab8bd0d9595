/* words.h: vocabularies whose tokens are words or parts of words: no merging, but a walk down a trie. */
#ifndef FE_WORDS_H
#define FE_WORDS_H

#include "bert.h"
#include "trie.h"

enum { FE_WORD_FLAGS = FE_WORD_PIECES | FE_WORD_LEVEL };

/* Characters of the longest word that can be asked for: so what a walk goes over again is bounded. */
enum { FE_MOST_WORD_CHARS = 1024 };

typedef struct fe_words {
    const fe_unit *units;
    int32_t more; /* the node of the prefix, from which tokens that go on are walked to; -1: none does */
    int32_t most; /* characters of the longest word that is cut */
} fe_words;

/* The token that ends at the longest match from `node`, or -1; *p moves behind it. */
int32_t fe_words_longest(const fe_unit *units, int32_t node, const uint8_t **p, const uint8_t *end);

/* The token that is these bytes, or -1. */
int32_t fe_words_whole(const fe_unit *units, const uint8_t *p, const uint8_t *end);

#endif
