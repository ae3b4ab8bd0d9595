/* text.c: where each text of a job begins and ends. */
#include "text.h"

#include <string.h>

/* The end of the text of `chars` code points that starts at p, counted by the bytes that continue none; NULL
 * if there are fewer. */
static const uint8_t *text_end(const uint8_t *p, const uint8_t *end, int64_t chars) {
    if (chars < 0) return NULL;
    while (end - p > 8 && chars >= 8) { /* eight bytes hold at most eight first ones */
        uint64_t word;
        memcpy(&word, p, sizeof word);
        /* bit 7 of a byte that continues a character is set and bit 6 is not */
        const uint64_t inner = word & ~(word << 1) & UINT64_C(0x8080808080808080);
        chars -= 8 - (int64_t)((inner >> 7) * UINT64_C(0x0101010101010101) >> 56);
        p += 8;
    }
    for (; p < end; p++) {
        const bool first = (*p & 0xC0) != 0x80;
        if (first && chars == 0) break;
        chars -= first;
    }
    return chars == 0 ? p : NULL;
}

fe_texts fe_texts_of(const fe_job *job) {
    uint64_t chars = 0; /* may wrap around: every count is looked at again where its text begins */
    for (int64_t i = 0; i < job->texts && !job->each; i++) chars += (uint64_t)job->char_counts[i];
    return (fe_texts){job, chars == (uint64_t)job->size};
}

const uint8_t *fe_text_at(const fe_texts *all, int64_t i, const uint8_t *p, const uint8_t **end) {
    const fe_job *const job = all->job;
    if (job->each) {
        *end = job->each[i] + job->sizes[i];
        return job->each[i];
    }
    const int64_t left = job->utf8 + job->size - p, chars = job->char_counts[i];
    if (all->ascii)
        *end = chars < 0 || chars > left ? NULL : p + chars;
    else
        *end = text_end(p, p + left, chars);
    return p;
}
