/* bert.h: text → words, as BERT's normalizer and pre-tokenizer make them of it.
 *
 * The steps of the normalizer follow one another, each for every code point by itself: drop what is no text, put
 * spaces around Han characters, decompose and drop accents, lower case. Then white space parts words, and each
 * punctuation is a word. So a text may be cut at any ASCII white space or punctuation, normalised or not: no step
 * reaches across (decomposing sorts marks, but never past an ASCII character). What lies between two such cuts is a
 * *run*: the cache remembers what it became by its bytes as they stand, and it is normalised only when it is new.
 */
#ifndef FE_BERT_H
#define FE_BERT_H

#include <stdbool.h>

#include "fe.h"

/* What is done, of FE_BERT_FLAGS. */
enum { FE_BERT_FLAGS = FE_BERT_CLEAN | FE_BERT_HAN | FE_BERT_STRIP | FE_BERT_LOWER };

/* Bytes of the longest word that is handed on: no token is longer. */
enum { FE_WORD_BYTES = 4096 };

/* One word. Of one of more than FE_WORD_BYTES bytes `size` is only known to be more, and `chars` is right. */
typedef struct fe_word {
    const uint8_t *bytes;
    int64_t size;
    int64_t chars;
} fe_word;

/* What becomes of the words of a text, in order. */
typedef fe_status fe_word_sink(void *state, fe_word word);

/* Hands the words of [p, end) on, until one brings another status than FE_OK. Words are never empty. */
fe_status fe_bert_words(uint32_t flags, const uint8_t *p, const uint8_t *end, fe_word_sink *sink, void *state);

/* True at ASCII white space that parts words whatever the flags are: VT and FF are dropped by FE_BERT_CLEAN. */
static inline bool fe_bert_is_space(uint8_t byte) {
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static inline bool fe_bert_is_punctuation(uint8_t byte) {
    return (byte >= 33 && byte <= 47) || (byte >= 58 && byte <= 64) || (byte >= 91 && byte <= 96) ||
           (byte >= 123 && byte <= 126);
}

#endif
