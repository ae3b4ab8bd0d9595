/* letters.h: runs of ASCII letters, eight bytes at a time. */
#ifndef FE_LETTERS_H
#define FE_LETTERS_H

#include <stdbool.h>
#include <stdint.h>

/* The eight bytes at p, the first one lowest; compilers make one load of it. */
static inline uint64_t fe_eight_bytes(const uint8_t *p) {
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

/* Behind the small ASCII letters at p, and the capitals among them where asked, or short of that where fewer than eight
 * bytes are left. The end of most words is found without a branch that depends on their length: a loop's last one is
 * guessed wrongly. */
static inline const uint8_t *fe_ascii_letters(const uint8_t *p, const uint8_t *end, bool capitals) {
    const uint64_t ones = 0x0101010101010101, high = 0x80 * ones;
    const uint64_t fold = capitals ? 0x20 * ones : 0; /* of all bytes it makes only capitals small */
    while (end - p >= 8) {
        const uint64_t bytes = fe_eight_bytes(p);
        const uint64_t low = (bytes | fold) & ~high;
        const uint64_t from_a = low + (0x80 - 'a') * ones, behind_z = low + (0x80 - 'z' - 1) * ones;
        const uint64_t others = (~(from_a & ~behind_z & ~bytes) & high) >> 7; /* 1 in each byte that is not one */
        p += (((others - 1) & ~others & ones) * ones) >> 56;                  /* how many come before the first 1 */
        if (others) break;
    }
    return p;
}

#endif
