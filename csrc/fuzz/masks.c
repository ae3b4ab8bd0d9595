/* masks.c: the masks of 64 bytes, places from masks, and cuts, as one kind of instructions gives them, against one byte
 * or piece after the other. The kind is chosen when this is compiled, with split.c and scan*.c, by
 * -DSCAN_FILE='"scan_avx2.c"' -DSCAN_PATH=FE_PATH_AVX2. Usage: masks SEED.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "bert.h"
#include "runs.h"
#include "scan.h"

#ifndef SCAN_FILE
#define SCAN_FILE "scan_plain.c"
#define SCAN_PATH FE_PATH_PLAIN
#endif

/* The file is included for what is private to it; its function gets another name than the one that is linked. */
#define fe_scan_plain fe_scan_again
#define fe_scan_neon fe_scan_again
#define fe_scan_avx2 fe_scan_again
#define fe_scan_avx512 fe_scan_again
#define fe_runs_plain fe_runs_again
#define fe_runs_neon fe_runs_again
#define fe_runs_avx2 fe_runs_again
#define fe_runs_avx512 fe_runs_again
void fe_scan_again(fe_scan *scan);
void fe_runs_again(fe_runs *runs);
#include SCAN_FILE

static uint64_t rnd(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void slow_classify(const uint8_t *p, fe_masks64 *m) {
    memset(m, 0, sizeof *m);
    for (int i = 0; i < 64; i++) {
        const uint64_t bit = UINT64_C(1) << i;
        const uint8_t x = p[i];
        if (x >= 0x80) m->high |= bit;
        if (x >= 0xC0) m->lead |= bit;
        if ((x >= 'A' && x <= 'Z') || (x >= 'a' && x <= 'z')) m->letter |= bit;
        if (x >= 'A' && x <= 'Z') m->upper |= bit;
        if (x >= '0' && x <= '9') m->number |= bit;
        if (x == ' ' || x == '\t' || x == '\v' || x == '\f') m->space |= bit;
        if (x == '\r' || x == '\n') m->newline |= bit;
        if (x == ' ') m->blank |= bit;
        if (x == '\'') m->quote |= bit;
        if (x == '/') m->slash |= bit;
    }
}

static TARGET void check_masks(const uint8_t *p) {
    fe_masks64 fast, slow;
    memset(&fast, 0, sizeof fast);
    slow_classify(p, &slow);
    CLASSIFY(p, &fast);
    CHECK(memcmp(&fast, &slow, sizeof slow) == 0);
    fe_run_masks runs;
    RUN_MASKS(p, &runs);
    for (int i = 0; i < 64; i++) {
        const bool punctuation = fe_bert_is_punctuation(p[i]);
        CHECK((runs.punctuation >> i & 1) == punctuation);
        CHECK((runs.word >> i & 1) == (!punctuation && !fe_bert_is_space(p[i])));
    }
}

static TARGET void check_places(uint64_t bits, uint32_t base) {
    uint32_t out[64 + 1];
    out[64] = 0xDEADBEEF;
    FLATTEN(out, bits, base);
    int64_t count = 0;
    for (uint32_t i = 0; i < 64; i++)
        if (bits >> i & 1) CHECK(out[count++] == base + i);
    CHECK(out[64] == 0xDEADBEEF);
}

static void check_cuts(int32_t pattern, const uint8_t *text, int64_t size) {
    enum { MOST = 512 };
    static int64_t slow[MOST], fast[MOST];
    int64_t pieces, count;
    CHECK(fe_split(pattern, FE_PATH_SCALAR, text, size, slow, MOST, &pieces) == FE_OK);
    for (int i = 0; i < 2; i++) {
        CHECK(fe_split(pattern, i ? SCAN_PATH : FE_PATH_PLAIN, text, size, fast, MOST, &count) == FE_OK);
        CHECK(count == pieces && memcmp(fast, slow, (size_t)pieces * sizeof *fast) == 0);
    }
}

/* Every byte at every place of two blocks, and texts of every length up to four. */
static void check_all_cuts(uint64_t *state) {
    enum { PATTERNS = FE_PATTERN_PROGRAM };
    static const char *const around[] = {"ab Cd.", "1 \n/'s", "\xE4\xB8\xAD\xC3\x89 "};
    static const uint8_t some[] = "aZ  '\n\r1/.\xC3\xA9\xE4\xB8\xAD\xFF";
    uint8_t text[256];
    for (int32_t byte = 0; byte < 256; byte++)
        for (int place = 0; place < 128; place++) {
            const char *const words = around[(byte + place) % 3];
            for (size_t i = 0; i < 128; i++) text[i] = (uint8_t)words[i % strlen(words)];
            text[place] = (uint8_t)byte;
            check_cuts((byte + place / 3) % PATTERNS, text, 128);
        }
    for (int64_t size = 1; size <= 256; size++)
        for (int32_t pattern = 0; pattern < PATTERNS; pattern++) {
            uint8_t *const end = text + sizeof text;
            for (uint8_t *p = end - size; p < end; p++) *p = some[rnd(state) % (sizeof some - 1)];
            check_cuts(pattern, end - size, size);
        }
}

int main(int argc, char **argv) {
    uint64_t state = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1) * UINT64_C(0x9E3779B97F4A7C15) + 1;
    if (fe_scan_path(SCAN_PATH) != SCAN_PATH) {
        puts("masks: this processor lacks the instructions");
        return 0;
    }
    uint8_t text[64 + 16];
    for (int32_t around = 0; around < 256; around += 5) /* every byte at every place, among others of one kind */
        for (int32_t byte = 0; byte < 256; byte++)
            for (int place = 0; place < 64; place++) {
                uint8_t *const p = text + (byte & 15); /* at every address */
                memset(p, around, 64);
                p[place] = (uint8_t)byte;
                check_masks(p);
            }
    for (int round = 0; round < 100000; round++) {
        for (int i = 0; i < 64; i += 8) {
            const uint64_t eight = rnd(&state) & (round & 1 ? UINT64_C(0x7F7F7F7F7F7F7F7F) : UINT64_MAX);
            memcpy(text + i, &eight, sizeof eight);
        }
        check_masks(text);
        uint64_t bits = rnd(&state);
        for (int fewer = round & 7; fewer; fewer--) bits &= rnd(&state);
        check_places(round & 8 ? bits : ~bits, (uint32_t)rnd(&state));
    }
    for (int i = 0; i < 64; i++) check_places(UINT64_C(1) << i, UINT32_MAX);
    check_places(0, 0);
    check_all_cuts(&state);
    puts("masks: no error");
    return 0;
}
