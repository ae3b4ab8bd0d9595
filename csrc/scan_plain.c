/* scan_plain.c: finding pieces in plain C, which works everywhere. */
#include <string.h>

#include "runs.h"
#include "scan.h"

#if defined(__SSE2__) /* every x86-64 has it */
#include <emmintrin.h>
#endif

#define SCAN fe_scan_plain
#define TARGET

enum { ALL = 0xFF };

/* Bit i tells whether byte i of 64 is ALL or 0. */
static inline uint64_t bits_of(const uint8_t *bytes) {
    uint64_t bits = 0;
#if defined(__SSE2__)
    for (int i = 0; i < 64; i += 16)
        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_loadu_si128((const void *)(bytes + i))) << i;
#else
    for (int i = 0; i < 64; i += 8) {
        uint64_t eight = 0;
        for (int j = 0; j < 8; j++)
            eight |= (uint64_t)(bytes[i + j] & 1) << 8 * j; /* one load where bytes lie that way */
        bits |= (eight * UINT64_C(0x0102040810204080) >> 56) << i;
    }
#endif
    return bits;
}

/* One class at a time over all 64 bytes, without branches: compilers make vectors of this. */
#define EACH(condition)                \
    for (int i = 0; i < 64; i++) {     \
        const uint8_t x = p[i];        \
        is[i] = (condition) ? ALL : 0; \
    }

#define IN(x, first, last) ((uint8_t)((x) - (first)) <= (last) - (first))

static inline void classify(const uint8_t *p, fe_masks64 *m) {
    uint8_t is[64];
    EACH(x >= 0x80)
    m->high = bits_of(is);
    m->lead = 0;
    if (m->high) {
        EACH(x >= 0xC0)
        m->lead = bits_of(is);
    }
    EACH(IN((uint8_t)(x | 0x20), 'a', 'z'))
    m->letter = bits_of(is);
    EACH(IN(x, 'A', 'Z'))
    m->upper = bits_of(is);
    EACH(IN(x, '0', '9'))
    m->number = bits_of(is);
    EACH((x == '\n') | (x == '\r'))
    m->newline = bits_of(is);
    EACH(x == ' ')
    m->blank = bits_of(is);
    EACH(IN(x, '\t', '\r'))
    m->space = (bits_of(is) & ~m->newline) | m->blank;
    EACH(x == '\'')
    m->quote = bits_of(is);
    EACH(x == '/')
    m->slash = bits_of(is);
}

static inline void flatten(uint32_t *out, uint64_t bits, uint32_t base) {
    for (; bits; bits &= bits - 1) *out++ = base + (uint32_t)__builtin_ctzll(bits);
}

#define CLASSIFY classify
#define FLATTEN flatten
#include "scan_body.h"

static inline void run_masks(const uint8_t *p, fe_run_masks *m) {
    uint8_t is[64];
    EACH(IN(x, '!', '/') | IN(x, ':', '@') | IN(x, '[', '`') | IN(x, '{', '~'))
    m->punctuation = bits_of(is);
    EACH((x == ' ') | IN(x, '\t', '\n') | (x == '\r'))
    m->word = ~(m->punctuation | bits_of(is));
}

#define RUNS fe_runs_plain
#define RUN_MASKS run_masks
#include "runs_body.h"
