/* scan.h: where the pieces of a text begin, found 64 bytes at a time. */
#ifndef FE_SCAN_H
#define FE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "fe.h"

enum {
    FE_PATTERN_SPACES = 100, /* beside fe_pattern, for the inside: a piece begins at every run of spaces */
    FE_CUTS = 2048, /* as many as are looked up together, so that enough of them are new (gaps.h) */
    FE_CUTS_ROOM = FE_CUTS + 160 /* a block of 64 bytes may bring so many more */
};

/* One bit for each of 64 bytes, lowest first: to which class of characters it belongs. Every byte of a character has
 * that character's class. */
typedef struct fe_masks64 {
    uint64_t high; /* not ASCII */
    uint64_t lead; /* 0xC0 and above: where a character that is not ASCII begins */
    uint64_t letter;
    uint64_t upper; /* letters of upper or title case */
    uint64_t both;  /* letters of neither case */
    uint64_t number;
    uint64_t space;   /* white space but CR and LF */
    uint64_t newline; /* CR and LF */
    uint64_t blank;   /* U+0020 alone */
    uint64_t quote;   /* the apostrophe */
    uint64_t slash;
    uint64_t other; /* no letter, number, space or newline; less those slashes that line ends bring with them */
    uint64_t tail;  /* bytes that continue a character */
    uint64_t bad;   /* characters that need fe_split_next */
} fe_masks64;

/* What a block of 64 bytes has to know of the one before. */
typedef struct fe_carry {
    fe_masks64 last;            /* its masks */
    uint64_t cuts;              /* where pieces begin in it: the last bit is not given out yet */
    uint64_t set, clear;        /* cuts that contractions make and unmake in the next block */
    uint64_t taken;             /* line ends, and slashes, that belong to the piece before them */
    uint64_t free_line;         /* line ends that do not */
    uint64_t open_first;        /* the first character of a run of others goes on */
    uint64_t open_blank;        /* a run of white space behind a free line end goes on */
    bool pending;               /* and its cut is the last bit of `cuts` */
    uint32_t digits;            /* how many digits stand behind the last cut of a run that goes on */
    uint32_t over;              /* how many bytes of its last character lie in the next block */
    uint32_t over_class;        /* and of which class it is */
    const uint8_t *contraction; /* where the last contraction ends */
} fe_carry;

/* Texts on their way, one behind the other. cuts[i] is where piece i begins, counted from the start of the first; the
 * last one is tentative while a run of white space behind a line end goes on. */
typedef struct fe_scan {
    const uint8_t *text;       /* where counting starts */
    const uint8_t *base, *end; /* base: of the next block, with `fresh` one where a piece begins */
    const uint8_t *readable;   /* up to where memory may be read */
    uint32_t *cuts;
    int64_t count;
    int32_t pattern, path;
    bool fresh; /* nothing before base matters */
    bool done;
    fe_carry carry;
} fe_scan;

/* The best path that this processor has, at most `path`. */
int32_t fe_scan_path(int32_t path);

/* Starts where the first text does. Places up to `readable`, the end of the last, fit 32 bits; cuts has room for
 * FE_CUTS_ROOM. */
void fe_scan_start(fe_scan *scan, int32_t pattern, int32_t path, const uint8_t *text, const uint8_t *readable,
                   uint32_t *cuts);

/* Goes on with the text that begins at the last cut, where the one before it ended. It is not empty. */
void fe_scan_next(fe_scan *scan, const uint8_t *end);

/* Finds more cuts, until there are about FE_CUTS or the text is at its end: then the last cut is the end, and `done` is
 * set. Returns the number of pieces whose both ends are known. */
int64_t fe_scan_more(fe_scan *scan);

/* Forgets the first `pieces` of them. */
void fe_scan_drop(fe_scan *scan, int64_t pieces);

/* Goes on one piece after the other until a piece ends behind `past`. */
void fe_scan_slowly(fe_scan *scan, const uint8_t *past);

/* The same for kinds of processors: fe_scan_more between start and drop. */
void fe_scan_plain(fe_scan *scan);
void fe_scan_neon(fe_scan *scan);
void fe_scan_avx2(fe_scan *scan);
void fe_scan_avx512(fe_scan *scan);

#endif
