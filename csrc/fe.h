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
    FE_PATTERN_QWEN35 = 8,
    FE_PATTERN_GPT2_DIGITS = 9, /* GPT-2's between single digits, as Hugging Face's Digits cuts them off */
    FE_PATTERN_PROGRAM = 10,    /* by the chain of cutters that a tokenizer brings with it: fe_chain */
    FE_PATTERN_BERT = 32, /* words by themselves only: BERT's normalizer, as FE_BERT_... say, and its pre-tokenizer */
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
                              but for the one with a space that FE_ADD_SPACE puts before it. Characters: of a segment,
                              with FE_SPLIT_MARKS of a piece, mark in front and all, by fe_model.whole_bytes; not with
                              both FE_SPLIT_MARKS and FE_CUT, which would leave parts of pieces */
    FE_ADD_SPACE = 8,       /* byte level: put a space before a segment that does not start with one */
    FE_PREPEND = 16,        /* characters: put U+2581 before every segment that is not empty */
    FE_SPACE_MARK = 32,     /* characters: read a space as U+2581 */
    FE_CUT = 64,            /* characters: byte symbols and the unknown one never merge, so cut by pairs */
    FE_BYTE_FALLBACK = 128, /* characters: one that is no symbol becomes its UTF-8 bytes, if all are symbols */
    FE_FUSE_UNK = 256,      /* a run of unknown symbols is one unknown token */
    FE_OVERLAP = 512,       /* an added token that is plain text does not use up its characters */
    FE_PREPEND_ONCE = 1 << 16,  /* FE_PREPEND: not before a segment that starts with U+2581, or with what is read so */
    FE_PREPEND_FIRST = 1 << 17, /* FE_PREPEND: only before the segment with which the text starts */
    FE_SPLIT_MARKS = 1 << 18,   /* characters: U+2581, and what is read so, begins a piece, wherever it stands */
    FE_AFFIXES = 1 << 19,       /* what token a symbol has depends on whether it is the first and whether it is the last
                                   one of its piece: fe_place. At byte level symbols stay bytes */
    FE_WORD_PIECES = 1 << 20,   /* words: a piece is the longest token it begins with, then the longest that goes on */
    FE_WORD_LEVEL = 1 << 21,    /* words: a piece is a token, or unknown */
    FE_BERT_CLEAN = 1 << 22,    /* FE_PATTERN_BERT: drop what is no text */
    FE_BERT_HAN = 1 << 23,      /* put spaces around Han characters */
    FE_BERT_STRIP = 1 << 24,    /* decompose, and drop accents */
    FE_BERT_LOWER = 1 << 25,    /* lower case */
    FE_UNIGRAM = 1 << 26,       /* a text becomes those pieces, of fe_model.whole_bytes, whose scores have the highest
                                   sum; a run of unknown characters is one. Marks are as with characters. Pieces are
                                   found in all of a segment, with FE_SPLIT_MARKS between marks; with
                                   FE_PATTERN_PROGRAM in each piece of its own, and FE_PREPEND is of those. A job's
                                   pattern takes no place here */
    FE_WHITE_WORDS = 1 << 28,   /* FE_UNIGRAM: white space belongs to no piece, and what stands between it has a mark in
                                   front if it does not begin with one; with FE_SPACE_MARK and FE_SPLIT_MARKS */
    FE_F32_SUMS = 1 << 27,      /* FE_UNIGRAM: sums are rounded to f32, as SentencePiece has them; and a run of unknown
                                   characters is not looked up as a whole, as tokenizer.json's engine does */
    FE_MADE_RANKS = 1 << 29     /* characters: merges side by side that make the same token have one priority, and so
                                   have all from fe_model.tied on: of these the leftmost is first */
};

/* FE_AFFIXES: a symbol at such a place of its piece has the code of the byte or code point and FE_PLACE for each. */
enum fe_place_flags {
    FE_PLACE_FIRST = 1,
    FE_PLACE_LAST = 2,
    FE_PLACES = 4,
    FE_PLACE = 0x110000 /* codes of one place */
};

/* What to do with an added token that stands in the text. */
enum fe_token_action {
    FE_TOKEN_PLAIN = 0, /* its characters are ordinary text */
    FE_TOKEN_MATCH = 1, /* it becomes its id */
    FE_TOKEN_REFUSE = 2 /* encoding stops with FE_SPECIAL */
};

/* What kind of token an added one is. */
enum fe_added_flags {
    FE_ADDED_LATE = 1,       /* looked for only in what the others left over, once that is normalized */
    FE_ADDED_SPECIAL = 2,    /* for the owner alone */
    FE_ADDED_LSTRIP = 4,     /* takes the white space before it, up to the token before */
    FE_ADDED_RSTRIP = 8,     /* takes the white space behind it, in which other tokens are found all the same */
    FE_ADDED_SINGLE_WORD = 16 /* only where neither the character before it nor the one behind is Rust's \w; where one
                                is, it uses up its characters as one that is plain text does */
};

/* What a step of fe_model.normal does. */
enum fe_norm_kind {
    FE_NORM_NFC = 1, /* normalization forms of Unicode 9.0, to which younger characters are unknown */
    FE_NORM_NFD = 2,
    FE_NORM_NFKC = 3,
    FE_NORM_NFKD = 4,
    FE_NORM_LOWERCASE = 5,      /* each character by itself, Unicode 17.0 */
    FE_NORM_STRIP_ACCENTS = 6,  /* M* of Unicode 9.0 go */
    FE_NORM_NMT = 7,            /* some control characters go, others become spaces */
    FE_NORM_BERT_CLEAN = 8,     /* control characters of Unicode 8.0 go, white space becomes spaces */
    FE_NORM_BERT_CJK = 9,       /* spaces around ideographs */
    FE_NORM_BERT_MARKS = 10,    /* Mn of Unicode 8.0 go */
    FE_NORM_STRIP = 11,         /* flags FE_STRIP_LEFT, FE_STRIP_RIGHT: White_Space there goes */
    FE_NORM_PREPEND = 12,       /* `to` before a text that is not empty */
    FE_NORM_REPLACE = 13,       /* `from`, of at most 64 bytes, becomes `to` */
    FE_NORM_RUNS = 14,          /* a run of `least` or more of the character `from`, or with FE_RUNS_WHITE of white
                                   space, becomes `to` */
    FE_NORM_BYTE_LEVEL = 15,    /* each byte becomes the character by which GPT-2's files write it */
    FE_NORM_CHARSMAP = 16,      /* strings of a table are replaced: `from` is the table, `to` are the replacements, as
                                   normal_charsmap.c says; flags FE_CHARSMAP_LONGEST */
    FE_NORM_PIECES = 17,        /* as SentencePiece does it, by fe_pieces_flags: `from` is a charsmap, `to` has 16 bytes
                                   with a bit for each ASCII character at which, before ASCII or the end, nothing is to
                                   be looked for, and a double array of user-defined symbols. The only step there is,
                                   then, and late tokens are looked for as they are */
    FE_NORM_KINDS = 18
};

enum fe_norm_flags {
    FE_STRIP_LEFT = 1,
    FE_STRIP_RIGHT = 2,
    FE_RUNS_WHITE = 1,
    FE_PIECES_TRIM = 1,   /* spaces at the ends go, and all but one of a run of them */
    FE_PIECES_FRONT = 2,  /* a space is put before the text */
    FE_PIECES_BEHIND = 4, /* and behind it */
    FE_PIECES_MARKS = 8,  /* spaces are written as U+2581 */
    FE_PIECES_ESCAPE = 16, /* they are read so: at the end U+2581 goes as a space does */
    FE_PIECES_FLAGS = 31,
    FE_CHARSMAP_LONGEST = 1 /* at each place the longest string, as SentencePiece has it; else by clusters */
};

/* What one item of a program asks of the text, at the place that the items before it have come to. */
enum fe_item_kind {
    FE_ITEM_END = 0,            /* nothing: the alternative has matched */
    FE_ITEM_CLASS = 1,          /* characters of some classes: at least `min`, as many as there are up to `max`; then
                                     fewer, where the items behind it want some of them */
    FE_ITEM_HOLD = 2,           /* the same, and none is given back */
    FE_ITEM_NEXT = 3,           /* the next character is of some of these classes; it is not taken */
    FE_ITEM_NOT_NEXT = 4,       /* it is of none of them, or the text is at its end */
    FE_ITEM_CONTRACTION = 5,    /* 's 't 'm 'd 'll 've 're; with min 0, or nothing */
    FE_ITEM_ANY_CONTRACTION = 6 /* the same, capitals too, and U+017F for an s */
};

/* One item. Classes are bits: which characters have which is said by fe_chain. */
typedef struct fe_item {
    uint32_t bits;
    int32_t kind;
    int32_t min, max; /* max: INT32_MAX where there is no limit */
} fe_item;

/* What becomes of the matches of a step and of the gaps between them. */
enum fe_keep {
    FE_KEEP_ALL = 0,     /* each is a piece */
    FE_KEEP_MATCHES = 1, /* gaps belong to no piece */
    FE_KEEP_GAPS = 2,    /* matches belong to none */
    FE_KEEP_RUNS = 3,    /* matches side by side are one piece */
    FE_KEEP_BEHIND = 4,  /* a piece ends behind each match: a gap and the match behind it are one */
    FE_KEEP_BEFORE = 5   /* and begins before each: a match and the gap behind it are one */
};

/* One step of a chain. */
typedef struct fe_step {
    int32_t pattern;  /* FE_PATTERN_PROGRAM, or a pattern that C knows, all of whose matches are pieces */
    int32_t keep;     /* enum fe_keep */
    int32_t of_bytes; /* 1: each byte is a character, as behind the step of a tokenizer.json that makes text bytes */
    int32_t items;    /* of the program: alternatives, tried in their order, each closed by FE_ITEM_END */
} fe_step;

/* Cutters one behind the other: each cuts the pieces of the one before it, and takes a piece's end for the end of the
 * text. A kind is a set of classes that some characters have in common; kind 0 is that of bytes that there are not.
 * Every alternative takes at least one character. fe.h does not say which programs are refused because some text could
 * make them slow; that is said by program.h. */
typedef struct fe_chain {
    int64_t steps;
    const fe_step *step;
    int64_t items; /* of all steps, in their order */
    const fe_item *item;
    int64_t kinds; /* at most 256 */
    const uint32_t *kind_bits;
    const uint16_t *pages; /* 8704: for each 128 code points, which block says their kinds */
    int64_t blocks;
    const uint8_t *block_kinds; /* 128 for each block */
    const uint8_t *byte_kinds;  /* 256: the kind of each byte where a step is of bytes */
} fe_chain;

/* Everything fe_tokenizer_new copies out of a vocabulary. All pointers stay the caller's. Tokens are named by
 * their number, from 0: with FE_RANKED that is their order of rank. */
typedef struct fe_model {
    uint32_t flags;
    int32_t pattern;
    int32_t unk; /* the token of an unknown symbol; -1: symbols without a token vanish; words need one */
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
    int64_t tied; /* FE_MADE_RANKS; else unused */
    int64_t chars; /* code points that are symbols, and their tokens; FE_AFFIXES: codes as fe_place_flags says */
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
    const fe_chain *chain; /* FE_PATTERN_PROGRAM: what cuts the text; else unused */
    int64_t normal; /* bytes; the steps by which each stretch between early added tokens is normalized: of each a head,
                       { uint8 fe_norm_kind, uint8 fe_norm_flags, uint16 least, uint32 from_size, uint32 to_size }, and
                       the bytes of `from` and `to`, which are UTF-8. The contents of late tokens are normalized too */
    const uint8_t *normal_bytes;
    int64_t prefix; /* FE_WORD_PIECES: what the names of tokens that go on begin with, which the text lacks */
    const uint8_t *prefix_bytes;
    int64_t word_chars; /* FE_WORD_PIECES: characters of the longest word that is cut; a longer one is unknown */
    int64_t wholes; /* FE_WHOLE_FIRST with characters: names, none empty, and their tokens, with marks where
                       FE_SPACE_MARK reads spaces so. Those that merging makes of their names may be missing */
    const uint8_t *whole_bytes;
    const int64_t *whole_offsets; /* wholes + 1 */
    const int32_t *whole_tokens;
    const double *whole_scores; /* FE_UNIGRAM, whose pieces the names are: of two that are equal the last one counts;
                                   none is longer than 4096 bytes */
    double unk_score;           /* FE_UNIGRAM: of an unknown character */
} fe_model;

/* Builds a tokenizer. On any status but FE_OK, *out is NULL; with FE_TWICE *fault is the second of two equal tokens,
 * with FE_TOO_LONG the added token with which those that are late become too long by normalizing. `path` is an fe_path;
 * one that this processor lacks is replaced by the next best. */
fe_status fe_tokenizer_new(const fe_model *model, int32_t path, fe_tokenizer **out, int64_t *fault);

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
    int32_t pattern;         /* FE_PATTERN_OWN, or one that takes its place: then texts are not normalized, too */
    const fe_choice *choice; /* what becomes of added tokens; NULL: their characters are ordinary text */
    int64_t limit;           /* of each text at most so many ids come out, and not much more of it is read */
    int64_t texts;
    const uint8_t *utf8;
    int64_t size;
    const int64_t *char_counts; /* code points of each text; or bytes, of which their sum is `size` */
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
    int64_t place;     /* FE_SPECIAL: the byte of utf8, or of its text of `each`, at which it stands; in text that was
                          normalized that at which the stretch begins that holds it; else -1 */
} fe_out;

/* Encodes texts. cache may be NULL: the ids are the same with it and without. With FE_FULL the texts before out->texts
 * are complete and valid: call again from there with more room. So they are with FE_SPECIAL, FE_TOO_LONG, FE_BAD_TEXT
 * and FE_NO_MEMORY, which are the fault of the text behind them. Bytes that are no valid UTF-8 are read one by one as
 * U+FFFD would be: never out of bounds, whatever the input. */
fe_status fe_encode(const fe_tokenizer *tokenizer, fe_cache *cache, const fe_job *job, fe_out *out);

/* Copies the lines of `size` bytes to utf8 (room for as many bytes), one after another and without their ends, which
 * are \n or \r\n; sizes (room for one more than there are \n) receives the bytes of each. Returns how many lines there
 * are: what stands behind the last end is one only if it is something. */
int64_t fe_lines(const uint8_t *data, int64_t size, uint8_t *utf8, int64_t *sizes);

enum { FE_DECIMAL = 21 }; /* bytes of a number and what parts it from the one before, at most */

/* Writes rows of numbers as text: each by the fewest digits that are read as it again, as Python's repr writes a float,
 * or as NaN, Infinity, -Infinity; ", " between those of a row. ends (room for `rows`) receives where each row ends in
 * out. Returns how many rows were written: it stops before one for which out might not have room. */
int64_t fe_decimals(const float *values, int64_t rows, int64_t columns, uint8_t *out, int64_t capacity, int64_t *ends);

/* One text in the fewest steps: the number of ids written, or -1 where fe_encode has to be asked, which says why (no
 * memory, no room, a token that is refused, a text that is too long). */
int64_t fe_encode_one(const fe_tokenizer *tokenizer, fe_cache *cache, const uint8_t *utf8, int64_t size,
                      const fe_choice *choice, int32_t *ids, int64_t capacity);

/* One piece of at least a byte by a tokenizer of bytes, whatever its pattern says, where nothing is to be remembered:
 * the number of ids written, or -1 where fe_encode has to be asked: no memory, another kind of tokenizer or one that
 * puts a space before a text, or less room than there are bytes. */
int64_t fe_encode_piece_alone(const fe_tokenizer *tokenizer, const uint8_t *utf8, int64_t size, int32_t *ids,
                              int64_t capacity);

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
 * 0, and one that starts at 0, keeps the space of its start where that is its only one. */
fe_status fe_trim_spans(const fe_span_job *job, int32_t keeps_first, const int32_t *ids, int64_t count,
                        const uint8_t *firsts, int32_t *spans);

/* Texts and their ids, of which fe_places says where they stand. */
typedef struct fe_place_job {
    const fe_choice *choice; /* as the ids were made with */
    int64_t texts;
    const uint8_t *utf8;    /* the texts one behind the other */
    const int64_t *ends;    /* texts + 1, from 0 on: text i is from byte ends[i] up to ends[i + 1] */
    const int32_t *ids;     /* of row i from offsets[i] up to offsets[i + 1], which ascend from 0 or more */
    const int64_t *offsets; /* texts + 1 */
} fe_place_job;

/* Where ids stand whose texts have to be walked for that: words and their parts, and pieces that have scores,
 * behind any normalizers but FE_NORM_BYTE_LEVEL and SentencePiece's own. spans: two numbers an id, in characters,
 * by the rules of the format's own engine. words, unless it is NULL: of each id the number of the piece of its
 * text that it is of, where an added token is a piece by itself. placed[i] receives 1 if all ids of text i have
 * their places, and 0 where this walk does not come to these ids, or the text is no UTF-8; then some of what is
 * said of its ids may be written, and nothing else. FE_NO_MEMORY; FE_BAD_MODEL: the choice is another
 * tokenizer's. */
fe_status fe_places(const fe_tokenizer *tokenizer, const fe_place_job *job, int32_t *spans, int32_t *words,
                    uint8_t *placed);

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
    const uint8_t *normal; /* as in fe_model */
    int64_t normal_size;
    int64_t wholes; /* FE_UNIGRAM: how many pieces there are; their tokens and scores, and that of an unknown one */
    const int32_t *whole_tokens;
    const double *whole_scores;
    double unk_score;
} fe_contents;

void fe_tokenizer_contents(const fe_tokenizer *tokenizer, fe_contents *contents);

/* The token's number whose bytes are these, among those that come out of text; -1 if there is none, or if tokens are
 * not found by their bytes: with characters, and with FE_AFFIXES. */
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

/* What a text becomes by steps as fe_model.normal has them. *length receives its bytes; they are written only if
 * capacity suffices. A byte that is no part of valid UTF-8 is treated as U+FFFD would be, and stays that byte where
 * U+FFFD stays. FE_BAD_MODEL: the steps are none, or could make a text too much longer; FE_TOO_LONG, FE_NO_MEMORY. */
fe_status fe_normalize(const uint8_t *steps, int64_t steps_size, const uint8_t *utf8, int64_t size, uint8_t *bytes,
                       int64_t capacity, int64_t *length);

/* The pieces of one text, for tests: ends[i] receives the byte at which piece i ends. */
fe_status fe_split(int32_t pattern, int32_t path, const uint8_t *utf8, int64_t size, int64_t *ends, int64_t capacity,
                   int64_t *count);

/* The pieces of one text under a chain: piece i is from starts[i] up to ends[i], and what lies between two of them
 * belongs to none. FE_BAD_MODEL: the chain is none that a tokenizer can have. With capacity 0 and a text of no bytes
 * nothing but that is found out. */
fe_status fe_chain_cut(const fe_chain *chain, const uint8_t *utf8, int64_t size, int64_t *starts, int64_t *ends,
                       int64_t capacity, int64_t *count);

/* The same under a tokenizer's own chain; FE_BAD_MODEL where it has none. */
fe_status fe_tokenizer_cut(const fe_tokenizer *tokenizer, const uint8_t *utf8, int64_t size, int64_t *starts,
                           int64_t *ends, int64_t capacity, int64_t *count);

/* The class of a code point: 0 other, 1 punctuation or symbol, 2 mark, 3 upper case, 4 lower case, 5 another letter,
 * 6 number, 7 white space. */
int32_t fe_code_class(uint32_t code);

#endif
