/* hash.h: hashes by a seed, and how long a search in a table of them may be.
 *
 * Whoever writes a text or a file knows the function, so only two things keep it from making a search long: a seed that
 * the writer does not know (of the cache), or another seed where one does badly (of tables that are built once), and a
 * bound on every search either way.
 */
#ifndef FE_HASH_H
#define FE_HASH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    FE_LONGEST_RUN = 128, /* slots side by side that are taken, in a table that is built once: no search is longer */
    FE_SEEDS = 32         /* that a builder tries before it gives up */
};

/* The n-th seed that a builder tries. */
static inline uint64_t fe_seed(uint64_t n) { return (n + 1) * UINT64_C(0x9FB21C651E98DF25); }

/* The product of two numbers, its upper half put upon the lower one: every bit of both has a say. */
static inline uint64_t fe_fold(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    const wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    const uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX), high = (a >> 32) * (b >> 32);
    const uint64_t one = (a >> 32) * (b & UINT32_MAX), two = (a & UINT32_MAX) * (b >> 32);
    return a * b ^ (high + (one >> 32) + (two >> 32) + (((low >> 32) + (uint32_t)one + (uint32_t)two) >> 32));
#endif
}

/* 8 or 4 bytes, in the order of the machine. */
static inline uint64_t fe_load8(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint64_t fe_load4(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* A hash of some bytes. Both factors of every product hold something of the seed. */
static inline uint64_t fe_hash(const uint8_t *p, uint64_t size, uint64_t seed) {
    uint64_t h = (seed ^ size) * UINT64_C(0x9E3779B97F4A7C15), a = 0, b = 0;
    for (; size > 16; p += 16, size -= 16) h = fe_fold(fe_load8(p) ^ seed, fe_load8(p + 8) ^ h);
    if (size >= 8) { /* what is read twice does no harm */
        a = fe_load8(p);
        b = fe_load8(p + size - 8);
    } else if (size >= 4) {
        a = fe_load4(p);
        b = fe_load4(p + size - 4);
    } else if (size) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[size >> 1] << 8 | p[size - 1];
    }
    h = fe_fold(a ^ seed, b ^ h);
    return fe_fold(h ^ seed, UINT64_C(0xD6E8FEB86659FD93));
}

/* True if no more than FE_LONGEST_RUN slots side by side are taken, of `count`, a power of two; the last slot lies
 * beside the first. */
static inline bool fe_runs_are_short(const uint64_t *slots, uint64_t count, uint64_t empty) {
    uint64_t run = 0, longest = 0;
    for (uint64_t i = 0; i < count + FE_LONGEST_RUN; i++) { /* without branches: which slots are taken, none can tell */
        run = (run + 1) & -(uint64_t)(slots[i & (count - 1)] != empty);
        longest = run > longest ? run : longest;
    }
    return longest <= FE_LONGEST_RUN;
}

#endif
