/* traits.c: the tables, and searching the sorted ones. */
#include "traits.h"

#include "unicode_normal.h"

static uint32_t compose_hangul(uint32_t first, uint32_t second) {
    const uint32_t l = first - FE_JAMO_L, v = second - FE_JAMO_V, syllable = first - FE_HANGUL, t = second - FE_JAMO_T;
    if (l < FE_JAMO_LS && v < FE_JAMO_VS) return FE_HANGUL + (l * FE_JAMO_VS + v) * FE_JAMO_TS;
    if (syllable < FE_HANGULS && syllable % FE_JAMO_TS == 0 && t - 1 < FE_JAMO_TS - 1) return first + t;
    return 0;
}

uint32_t fe_compose(uint32_t first, uint32_t second) {
    uint32_t low = 0, high = FE_COMPOSITIONS;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        const fe_composition *const c = &fe_compositions[middle];
        if (c->first == first && c->second == second) return c->made;
        if (c->first < first || (c->first == first && c->second < second))
            low = middle + 1;
        else
            high = middle;
    }
    return compose_hangul(first, second);
}

bool fe_is_word(uint32_t code) {
    uint32_t low = 0, high = FE_WORD_RANGES;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (fe_word_ranges[middle][1] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < FE_WORD_RANGES && fe_word_ranges[low][0] <= code;
}
