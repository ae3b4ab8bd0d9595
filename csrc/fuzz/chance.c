/* chance.c: numbers by chance, and copies that ASan watches. */
#include "fuzz.h"

static uint64_t state;

void seed(uint64_t number) { state = number * UINT64_C(0x9E3779B97F4A7C15) + 1; }

uint32_t rnd(uint32_t below) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 33) % below;
}

uint8_t *exactly(const uint8_t *bytes, int64_t size) {
    uint8_t *const copy = malloc((size_t)size);
    CHECK(copy || size == 0);
    if (size) memcpy(copy, bytes, (size_t)size);
    return copy;
}
