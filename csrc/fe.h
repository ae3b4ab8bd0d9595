/* fe.h: the whole interface of the C core. cffi reads this file as it stands, so it holds plain
 * declarations only: no macros, no conditionals around code.
 *
 * Rules that hold for every function: no globals, no Python, no stdio; a tokenizer is read-only once made,
 * so any number of threads may use one; a cache serves one thread at a time; buffers belong to the caller and come with their capacity; every
 * function answers with a status, and results go through pointers at the end of the argument list.
 */
#ifndef FE_H
#define FE_H

#include <stddef.h>
#include <stdint.h>

typedef struct fe_tokenizer fe_tokenizer;
typedef struct fe_cache fe_cache;

typedef enum fe_status {
    FE_OK = 0,
    FE_NO_MEMORY = 1, /* an allocation failed; nothing is leaked */
    FE_FULL = 2,      /* the output is full: fe_done says which texts are complete; go on after them */
    FE_SPECIAL = 3,   /* a token marked FE_TOKEN_REFUSE stands in text number fe_done.texts */
    FE_TOO_LONG = 4,  /* one text holds 2^31 - 1 bytes or more */
    FE_BAD_MODEL = 5, /* an id is negative, or an added token is empty */
    FE_BAD_TEXT = 6   /* the character counts do not add up to the UTF-8 given */
} fe_status;

/* How a text becomes symbols, the smallest units that merges join. */
enum fe_flags {
    FE_BYTE_LEVEL = 1,    /* symbols are bytes, pieces are cut by the GPT-2 pattern (GPT-2's own kind) */
    FE_WHOLE = 2,         /* byte level, but the text is one piece: no pattern */
    FE_ADD_SPACE = 4,     /* byte level: put a space before a segment that does not start with one */
    FE_PREPEND = 8,       /* characters: put U+2581 before every segment that is not empty */
    FE_SPACE_MARK = 16,   /* characters: read a space as U+2581 */
    FE_CUT = 32,          /* characters: byte symbols and the unknown one never merge, so cut by pairs */
    FE_BYTE_FALLBACK = 64, /* characters: one that is no symbol becomes its UTF-8 bytes, if all are symbols */
    FE_FUSE_UNK = 128     /* a run of unknown symbols is one unknown token */
};

/* What to do with an added token that stands in the text. */
enum fe_token_action {
    FE_TOKEN_PLAIN = 0,  /* its characters are ordinary text */
    FE_TOKEN_MATCH = 1,  /* it becomes its id */
    FE_TOKEN_REFUSE = 2  /* encoding stops with FE_SPECIAL */
};

/* Everything fe_tokenizer_new copies out of a vocabulary. All pointers stay the caller's. */
typedef struct fe_model {
    uint32_t flags;
    int32_t unk_id;               /* -1: symbols without an id vanish */
    int64_t merges;               /* the priority of a merge is its position; of equal pairs the last counts */
    const int32_t *merge_left;
    const int32_t *merge_right;
    const int32_t *merge_result;
    int64_t chars;                /* code points that are symbols, and their ids */
    const uint32_t *char_codes;
    const int32_t *char_ids;
    const int32_t *byte_ids;      /* 256 ids, -1 where a byte is no symbol */
    int64_t pairs;                /* FE_CUT: code points side by side inside a token that merging makes */
    const uint32_t *pair_left;
    const uint32_t *pair_right;
    int64_t added;                /* added tokens: bytes one after another, added + 1 offsets */
    const uint8_t *added_bytes;
    const int64_t *added_offsets;
    const int32_t *added_ids;
    const uint8_t *added_late;    /* 1: looked for only in what the tokens with 0 left over */
} fe_model;

/* What one call of fe_encode finished. */
typedef struct fe_done {
    int64_t texts; /* texts complete, counted from the first one of this call */
    int64_t bytes; /* bytes of UTF-8 these texts take */
    int64_t ids;   /* ids in the output after these texts: those that were there before, and theirs */
    int64_t token; /* FE_SPECIAL: the added token that was refused; else -1 */
    int64_t place; /* FE_SPECIAL: the byte of utf8 at which it stands; else -1 */
} fe_done;

/* Builds a tokenizer. On any status but FE_OK, *out is NULL. */
fe_status fe_tokenizer_new(const fe_model *model, fe_tokenizer **out);

/* Frees a tokenizer; NULL is allowed. */
void fe_tokenizer_free(fe_tokenizer *tokenizer);

/* Makes room to remember what pieces became, in at most `bytes` bytes (at least 4096): all that it will
 * ever take. It may be used with one tokenizer only. On any status but FE_OK, *out is NULL. */
fe_status fe_cache_new(int64_t bytes, fe_cache **out);

/* Frees a cache; NULL is allowed. */
void fe_cache_free(fe_cache *cache);

/* Encodes texts that lie one after another in utf8; text i has char_counts[i] code points.
 *
 * cache may be NULL: the ids are the same with it and without.
 * actions has one fe_token_action for each added token. ids has room for capacity ids, of which the first
 * `used` are taken: new ones go behind them; ids may be NULL, which counts without writing. row_ends has
 * room for `texts` numbers; row_ends[i] receives the number of ids in the output after text i. With FE_FULL the texts before done->texts are
 * complete and valid: call again from there with more room. Bytes that are no valid UTF-8 are read one by
 * one as U+FFFD would be: never out of bounds, whatever the input.
 */
fe_status fe_encode(const fe_tokenizer *tokenizer, fe_cache *cache, const uint8_t *utf8, int64_t size,
                    const int64_t *char_counts, int64_t texts, const uint8_t *actions, int32_t *ids,
                    int64_t used, int64_t capacity, int64_t *row_ends, fe_done *done);

/* The class of a code point under the GPT-2 pattern: 0 other, 1 letter, 2 number, 3 white space. */
int32_t fe_code_class(uint32_t code);

#endif
