/* scan_flags.h: the classes of ASCII, as flags in a table: for processors that look up 128 bytes at once. */
#ifndef FE_SCAN_FLAGS_H
#define FE_SCAN_FLAGS_H

#include <stdint.h>

enum { LETTER = 1, UPPER = 2, NUMBER = 4, SPACE = 8, NEWLINE = 16, BLANK = 32, QUOTE = 64, SLASH = 128 };

#define S SPACE
#define N NEWLINE
#define D NUMBER
#define U (LETTER | UPPER)
#define L LETTER

static const uint8_t fe_flags[128] __attribute__((aligned(64))) = {
    0, 0, 0, 0,     0, 0, 0,     0, 0, S, N,
    S, S, N, 0,     0, 0, 0,     0, 0, 0, 0,
    0, 0, 0, 0,     0, 0, 0,     0, 0, 0, SPACE | BLANK,
    0, 0, 0, 0,     0, 0, QUOTE, 0, 0, 0, 0,
    0, 0, 0, SLASH, D, D, D,     D, D, D, D,
    D, D, D, 0,     0, 0, 0,     0, 0, 0, U,
    U, U, U, U,     U, U, U,     U, U, U, U,
    U, U, U, U,     U, U, U,     U, U, U, U,
    U, U, U, 0,     0, 0, 0,     0, 0, L, L,
    L, L, L, L,     L, L, L,     L, L, L, L,
    L, L, L, L,     L, L, L,     L, L, L, L,
    L, L, 0, 0,     0, 0, 0,
};

#undef N
#undef D
#undef U
#undef L
#undef S

/* What parts BERT's runs (runs.h): ASCII punctuation and white space, in bits 7 and 6. */
enum { RUN_PUNCTUATION = 128, RUN_SPACE = 64 };

#define P RUN_PUNCTUATION
#define S RUN_SPACE

static const uint8_t fe_run_flags[128] __attribute__((aligned(64))) = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, S, S, 0, 0, S, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    S, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, P, P, P, P, P, P,
    P, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, P, P, P, P, P,
    P, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, P, P, P, P, 0,
};

#undef P
#undef S

#endif
