/* scan_plain.c: finding pieces in plain C, which works everywhere. */
#include <string.h>

#include "scan.h"

#define SCAN fe_scan_plain
#define TARGET

/* The flags of ASCII characters, a bit each; bytes above have the last one alone. */
enum { LETTER = 1, UPPER = 2, NUMBER = 4, SPACE = 8, NEWLINE = 16, BLANK = 32, QUOTE = 64, HIGH = 128 };

#define S SPACE
#define N NEWLINE
#define D NUMBER
#define U (LETTER | UPPER)
#define L LETTER
#define FOUR(x) x, x, x, x
#define SIXTEEN(x) FOUR(x), FOUR(x), FOUR(x), FOUR(x)

static const uint8_t flags_of[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, S, N, S, S, N, 0, 0, SIXTEEN(0),
    SPACE | BLANK, 0, 0, 0, 0, 0, 0, QUOTE, 0, 0, 0, 0, 0, 0, 0, 0,
    D, D, D, D, D, D, D, D, D, D, 0, 0, 0, 0, 0, 0,
    0, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, 0, 0, 0, 0, 0,
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0,
    SIXTEEN(HIGH), SIXTEEN(HIGH), SIXTEEN(HIGH), SIXTEEN(HIGH), SIXTEEN(HIGH), SIXTEEN(HIGH), SIXTEEN(HIGH), SIXTEEN(HIGH),
};

#undef S
#undef N
#undef D
#undef U
#undef L

/* Turns 8 bytes of 8 flags into 8 bytes of one flag each: a matrix of bits about its diagonal. */
static inline uint64_t transpose(uint64_t x) {
    uint64_t t = (x ^ x >> 7) & UINT64_C(0x00AA00AA00AA00AA);
    x ^= t ^ t << 7;
    t = (x ^ x >> 14) & UINT64_C(0x0000CCCC0000CCCC);
    x ^= t ^ t << 14;
    t = (x ^ x >> 28) & UINT64_C(0x00000000F0F0F0F0);
    return x ^ t ^ t << 28;
}

static inline void classify(const uint8_t *p, fe_masks64 *m) {
    uint64_t of[8] = {0}, slash = 0;
    for (uint32_t i = 0; i < 64; i += 8) {
        uint64_t flags = 0;
        for (uint32_t j = 0; j < 8; j++) flags |= (uint64_t)flags_of[p[i + j]] << 8 * j;
        flags = transpose(flags);
        for (uint32_t k = 0; k < 8; k++) of[k] |= (flags >> 8 * k & 255) << i;
        for (uint32_t j = 0; j < 8; j++) slash |= (uint64_t)(p[i + j] == '/') << (i + j);
    }
    *m = (fe_masks64){.letter = of[0], .upper = of[1], .number = of[2], .space = of[3], .newline = of[4]};
    m->blank = of[5], m->quote = of[6], m->high = of[7], m->slash = slash;
}

static inline void flatten(uint32_t *out, uint64_t bits, uint32_t base) {
    for (; bits; bits &= bits - 1) *out++ = base + (uint32_t)__builtin_ctzll(bits);
}

#define CLASSIFY classify
#define FLATTEN flatten
#include "scan_body.h"
