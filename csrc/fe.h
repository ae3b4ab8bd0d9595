/* fe.h: the whole interface of the C core. cffi reads this file as it stands, so it holds plain
 * declarations only: no macros, no conditionals around code.
 *
 * Rules that hold for every function: no globals, no Python, no stdio; a tokenizer is read-only once made,
 * so any number of threads may use one; a cache serves one thread at a time; buffers belong to the caller and
 * come with their capacity; every function answers with a status, and results go through pointers.
 */
#ifndef FE_H
#define FE_H

#include <stddef.h>
#include <stdint.h>

typedef struct fe_tokenizer fe_tokenizer;
typedef struct fe_cache fe_cache;
typedef struct fe_choice fe_choice;

typedef enum fe_status {
    FE_OK = 0,
    FE_NO_MEMORY = 1, /* an allocation failed; nothing is leaked */
    FE_FULL = 2,      /* the output is full: fe_out says which texts are complete; go on after them */
    FE_SPECIAL = 3,   /* a token marked FE_TOKEN_REFUSE stands in text number fe_out.texts */
    FE_TOO_LONG = 4,  /* one text holds 2^31 - 64 bytes or more */
    FE_BAD_MODEL = 5, /* a number of the model is out of its range, or an added token is empty; or a choice does not
                         belong to the tokenizer, or a job names no pattern */
    FE_BAD_TEXT = 6,  /* the character counts do not add up to the UTF-8 given */
    FE_BAD_FILE = 7,  /* rank file: a line that is none; image: no image, of another version, or damaged */
    FE_BAD_ID = 8,    /* an id that stands for no token */
    FE_TWICE = 9,     /* two tokens have the same bytes */
    FE_BAD_ROWS = 10  /* the ends of rows do not ascend to the number of ids */
} fe_status;

/* What cuts a byte-level text into the pieces that merging never crosses. */
enum fe_pattern {
    FE_PATTERN_NONE = 0, /* the text is one piece */
    FE_PATTERN_GPT2 = 1,
    FE_PATTERN_CL100K = 2,
    FE_PATTERN_LLAMA3 = 3,
    FE_PATTERN_QWEN2 = 4,
    FE_PATTERN_O200K = 5,
    FE_PATTERN_TEKKEN = 6,
    FE_PATTERN_DEEPSEEK_V3 = 7,
    FE_PATTERN_OWN = -1 /* fe_job: the tokenizer's own */
};

/* How pieces are found: all ways give the same. */
enum fe_path {
    FE_PATH_SCALAR = 0, /* one character after the other: the ground truth */
    FE_PATH_PLAIN = 1,  /* 64 bytes at a time, in plain C */
    FE_PATH_NEON = 2,
    FE_PATH_AVX2 = 3,
    FE_PATH_AVX512 = 4,
    FE_PATH_BEST = 5 /* the fastest that this processor has */
};

/* How a text becomes symbols, the smallest units that merges join. */
enum fe_flags {
    FE_BYTE_LEVEL = 1,      /* symbols are bytes, and the pattern cuts pieces; else they are characters */
    FE_RANKED = 2,          /* byte level: tokens are ranked, two merge wherever their bytes together are a token */
    FE_WHOLE_FIRST = 4,     /* byte level: a piece that is a token is that token, whether merges make it or not;
                              but for the one with a space that FE_ADD_SPACE puts before it */
    FE_ADD_SPACE = 8,       /* byte level: put a space before a segment that does not start with one */
    FE_PREPEND = 16,        /* characters: put U+2581 before every segment that is not empty */
    FE_SPACE_MARK = 32,     /* characters: read a space as U+2581 */
    FE_CUT = 64,            /* characters: byte symbols and the unknown one never merge, so cut by pairs */
    FE_BYTE_FALLBACK = 128, /* characters: one that is no symbol becomes its UTF-8 bytes, if all are symbols */
    FE_FUSE_UNK = 256,      /* a run of unknown symbols is one unknown token */
    FE_OVERLAP = 512        /* an added token that is plain text does not use up its characters */
};

/* What to do with an added token that stands in the text. */
enum fe_token_action {
    FE_TOKEN_PLAIN = 0, /* its characters are ordinary text */
    FE_TOKEN_MATCH = 1, /* it becomes its id */
    FE_TOKEN_REFUSE = 2 /* encoding stops with FE_SPECIAL */
};

/* What kind of token an added one is. */
enum fe_added_flags {
    FE_ADDED_LATE = 1,   /* looked for only in what the others left over */
    FE_ADDED_SPECIAL = 2 /* for the owner alone */
};

/* Everything fe_tokenizer_new copies out of a vocabulary. All pointers stay the caller's. Tokens are named by
 * their number, from 0: with FE_RANKED that is their order of rank. */
typedef struct fe_model {
    uint32_t flags;
    int32_t pattern;
    int32_t unk; /* the token of an unknown symbol; -1: symbols without a token vanish */
    int64_t tokens;
    int64_t vocab;                /* the first so many can come out of text; the others only decode */
    const uint8_t *token_bytes;   /* what each decodes to, one after another; at byte level also what it is made of */
    const int64_t *token_offsets; /* tokens + 1 */
    const int32_t *token_ids;     /* all different, none negative */
    const int32_t *byte_tokens;   /* 256 tokens, -1 where a byte is no symbol */
    int64_t merges;               /* the priority of a merge is its position; of equal pairs the last counts */
    const int32_t *merge_left;
    const int32_t *merge_right;
    const int32_t *merge_result;
    int64_t chars; /* code points that are symbols, and their tokens */
    const uint32_t *char_codes;
    const int32_t *char_tokens;
    int64_t pairs; /* FE_CUT: code points side by side inside a token that merging makes */
    const uint32_t *pair_left;
    const uint32_t *pair_right;
    int64_t added; /* added tokens: bytes one after another, added + 1 offsets */
    const uint8_t *added_bytes;
    const int64_t *added_offsets;
    const int32_t *added_ids;
    const uint8_t *added_flags;
    int64_t before; /* the ids that the template puts before a text, and behind it; for the owner alone */
    const int32_t *before_ids;
    int64_t after;
    const int32_t *after_ids;
    int64_t notes; /* bytes that the tokenizer keeps for its owner */
    const uint8_t *notes_bytes;
} fe_model;

/* Builds a tokenizer. On any status but FE_OK, *out is NULL; with FE_TWICE *twice is the second of two equal
 * tokens. `path` is an fe_path; one that this processor lacks is replaced by the next best. */
fe_status fe_tokenizer_new(const fe_model *model, int32_t path, fe_tokenizer **out, int64_t *twice);

/* Opens an image, as fe_contents gives it, where it lies: it must stay readable and unchanged as long as the tokenizer
 * lives, and be aligned to 8 bytes. Every number in it that leads anywhere is checked, and those that must agree are
 * compared, so no image, however damaged, leads outside of it or makes a search long. */
fe_status fe_tokenizer_open(const uint8_t *image, int64_t size, int32_t path, fe_tokenizer **out);

/* Frees a tokenizer; NULL is allowed. */
void fe_tokenizer_free(fe_tokenizer *tokenizer);

/* The fe_path that a tokenizer takes. */
int32_t fe_tokenizer_path(const fe_tokenizer *tokenizer);

/* Makes room to remember what pieces became, in at most `bytes` bytes (taken for 65536 if less and for 2^36 if more):
 * it starts small and grows with what it is given. No text can make searches in it long; with a `seed` that whoever
 * writes the texts does not know, none can make it forget either. It may be used with one tokenizer only. On any
 * status but FE_OK, *out is NULL. */
fe_status fe_cache_new(int64_t bytes, uint64_t seed, fe_cache **out);

/* The bytes that a cache takes now. */
int64_t fe_cache_size(const fe_cache *cache);

/* Frees a cache; NULL is allowed. */
void fe_cache_free(fe_cache *cache);

/* Decides what becomes of the added tokens: actions has one fe_token_action for each of them. A choice is made once and
 * serves any number of calls and threads, so that none of them looks at all added tokens; it must not outlive the
 * tokenizer. FE_BAD_MODEL: `count` is not the number of added tokens, or an action is none. On any status but FE_OK,
 * *out is NULL. */
fe_status fe_choice_new(const fe_tokenizer *tokenizer, const uint8_t *actions, int64_t count, fe_choice **out);

/* Frees a choice; NULL is allowed. */
void fe_choice_free(fe_choice *choice);

/* What fe_encode is asked to do. The texts lie one after another in utf8, or, with `each`, every one by itself. */
typedef struct fe_job {
    int32_t pattern;         /* FE_PATTERN_OWN, or one that takes its place */
    const fe_choice *choice; /* what becomes of added tokens; NULL: their characters are ordinary text */
    int64_t limit;           /* of each text at most so many ids come out, and not much more of it is read */
    int64_t texts;
    const uint8_t *utf8;
    int64_t size;
    const int64_t *char_counts; /* code points of each text */
    const uint8_t *const *each; /* or NULL: where each text lies */
    const int64_t *sizes;       /* and of how many bytes it is */
} fe_job;

/* Where fe_encode writes, and what it finished. */
typedef struct fe_out {
    int32_t *ids; /* room for `capacity` ids; NULL: they are counted, and none is written */
    int64_t capacity;
    int64_t *row_ends; /* for each text of the job; receives the number of ids in the output after this text */
    int64_t used;      /* ids: before the call those that are there, behind which new ones go; then those, and the ids
                          of the texts that are complete */
    int64_t texts;     /* receives how many texts are complete, counted from the first one of the job */
    int64_t bytes;     /* receives how many bytes these texts take */
    int64_t token;     /* FE_SPECIAL: the added token that was refused; else -1 */
    int64_t place;     /* FE_SPECIAL: the byte of utf8, or of its text of `each`, at which it stands; else -1 */
} fe_out;

/* Encodes texts. cache may be NULL: the ids are the same with it and without. With FE_FULL the texts before out->texts
 * are complete and valid: call again from there with more room. So they are with FE_SPECIAL, FE_TOO_LONG, FE_BAD_TEXT
 * and FE_NO_MEMORY, which are the fault of the text behind them. Bytes that are no valid UTF-8 are read one by one as
 * U+FFFD would be: never out of bounds, whatever the input. */
fe_status fe_encode(const fe_tokenizer *tokenizer, fe_cache *cache, const fe_job *job, fe_out *out);

/* One text in the fewest steps: the number of ids written, or -1 where fe_encode has to be asked, which says why (no
 * memory, no room, a token that is refused, a text that is too long). */
int64_t fe_encode_one(const fe_tokenizer *tokenizer, fe_cache *cache, const uint8_t *utf8, int64_t size,
                      const fe_choice *choice, int32_t *ids, int64_t capacity);

/* Writes what rows of `count` ids decode to, one after another, and `separator` between two ids of a row; row i ends
 * with id row_ends[i] and, as bytes, at byte_ends[i]. *length receives the number of bytes of the whole; they are all
 * written only if capacity suffices. FE_BAD_ID: *length is the position of the first id that is no token. FE_BAD_ROWS:
 * the row ends do not ascend from 0 or more to `count`; each is read once, so one that another thread changes
 * meanwhile leads nowhere either. */
fe_status fe_decode(const fe_tokenizer *tokenizer, const int64_t *ids, int64_t count, const int64_t *row_ends,
                    int64_t rows, const uint8_t *separator, int64_t separator_size, uint8_t *bytes, int64_t capacity,
                    int64_t *byte_ends, int64_t *length);

/* What is known of tokens by their ids, for fe_spans and fe_trim_spans. */
typedef struct fe_span_job {
    int64_t ids;            /* one more than the highest id */
    const uint32_t *widths; /* by id: twice the characters that begin in a token, and 1 if it begins inside one */
    const int32_t *spaces;  /* by id, two each: characters of white space at the start and at the end of its name */
    int32_t prepends;       /* a character that is not in the text stands before every segment between added tokens */
    const uint8_t *added;   /* by id: whether it is an added token, which is of no segment; NULL: none is */
} fe_span_job;

/* Where the ids of rows stand in their texts, in characters: two numbers an id, its start and its end. Row r has the
 * ids from offsets[r] to offsets[r + 1], of `count`. What is put before a segment belongs to the first character of the
 * segment. sums[r] receives how many characters of its text a row is: if the text has another number of them, the row
 * has tokens that stand for something else than their bytes, and its places are wrong. FE_BAD_ID, FE_BAD_ROWS: an id is
 * none, or offsets do not ascend in 0 .. count; some of the output may then be written, and nothing outside of it. */
fe_status fe_spans(const fe_span_job *job, const int32_t *ids, int64_t count, const int64_t *offsets, int64_t rows,
                   int32_t *spans, int64_t *sums);

/* Takes the white space at the ends of tokens out of their places. With keeps_first a token for which `firsts` has no
 * 0, and one that starts at 0, keeps the first space of its start. */
fe_status fe_trim_spans(const fe_span_job *job, int32_t keeps_first, const int32_t *ids, int64_t count,
                        const uint8_t *firsts, int32_t *spans);

/* What a tokenizer is made of; the pointers are good as long as it lives. */
typedef struct fe_contents {
    uint32_t flags;
    int32_t pattern;
    int32_t unk; /* a token, or -1 */
    int64_t tokens;
    int64_t vocab;
    int64_t merges;
    int64_t size; /* bytes of the image */
    const uint8_t *image;
    const uint8_t *token_bytes;
    const uint32_t *token_offsets;
    const int32_t *token_ids;
    const int32_t *sorted_ids;    /* ascending */
    const int32_t *sorted_tokens; /* the tokens of those */
    int64_t added; /* as in fe_model */
    const uint8_t *added_bytes;
    const uint32_t *added_offsets;
    const int32_t *added_ids;
    const uint8_t *added_flags;
    int64_t before, after;
    const int32_t *before_ids;
    const int32_t *after_ids;
    const uint8_t *notes;
    int64_t notes_size;
} fe_contents;

void fe_tokenizer_contents(const fe_tokenizer *tokenizer, fe_contents *contents);

/* The token's number whose bytes are these, among those that come out of text; -1 if there is none. */
int64_t fe_find(const fe_tokenizer *tokenizer, const uint8_t *bytes, int64_t size);

/* Reads a rank file: lines of a token in base64, a space and its rank. bytes has room for `size` bytes, ranks for
 * capacity tokens, offsets for one more; as many as there are lines are enough. FE_BAD_FILE: *bad_line is the line,
 * from 1. */
fe_status fe_ranks_read(const uint8_t *text, int64_t size, uint8_t *bytes, int64_t *offsets, int32_t *ranks,
                        int64_t capacity, int64_t *count, int64_t *bad_line);

/* Reads a merge list: `merges_count` lines of two names and a space between them, where names are the `count` lines of
 * `names`. left, right and result receive the numbers of the two names and of what they are together. FE_BAD_FILE: some
 * line is none, or has a name that there is not. */
fe_status fe_merges_read(const uint8_t *names, int64_t size, int64_t count, const uint8_t *merges, int64_t merges_size,
                         int64_t merges_count, int32_t *left, int32_t *right, int32_t *result);

/* The pieces of one text, for tests: ends[i] receives the byte at which piece i ends. */
fe_status fe_split(int32_t pattern, int32_t path, const uint8_t *utf8, int64_t size, int64_t *ends, int64_t capacity,
                   int64_t *count);

/* The class of a code point: 0 other, 1 punctuation or symbol, 2 mark, 3 upper case, 4 lower case, 5 another letter,
 * 6 number, 7 white space. */
int32_t fe_code_class(uint32_t code);

#endif
