/* pieces.c: every way to find pieces gives those of the plain one, wherever a text ends in memory. */
#define _DEFAULT_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "runs.h"

static const char *const parts[] = {
    "a", "b", "Z", "word", "WORD", "Word", "s", "t", "re", "LL", "'", "'s", "'S", "'ll", "'Re", "'\xC5\xBF",
    "\xC5\xBF", " ", " ", "  ", "\t", "\n", "\r", "\r\n", "\n\n", "\x0B", "\x1C", "\x85", "\xC2\x85", "\xC2\xA0",
    "\xE3\x80\x80", "\xE2\x80\xA8", "0", "1", "12", "123", "1234567", "\xD9\xA1", "\xC2\xB2", "\xE2\x85\xA7",
    "\xF0\x9D\x9F\x98", "/", "//", "!", "...", "_", "<|", "|>", "\xCC\x81", "\xCD\x8F", "\xE2\x83\x9D",
    "\xD8\xA7\xD9\x91", "\xC3\xA9", "\xC3\x89", "\xC7\x85", "\xCA\xB0", "\xD0\x96", "\xD0\xB6", "\xE4\xB8\xAD",
    "\xE6\x96\x87", "\xE3\x81\x82", "\xE3\x82\xA2", "\xED\x95\x9C", "\xE4\xB8\x80\xEF\xBC\x8C", "\xF0\x9F\x98\x80",
    "\xE2\x80\x8D", "\xEF\xB8\x8F", "\xEF\xBF\xBD", "\xEE\x80\x80", "\xF3\xA0\x80\x81", "\xF0\x9D\x95\xB3", "\x01",
    "\x7F", "$", "+", "`"};

static int64_t fill(uint8_t *text, int64_t size, bool valid) {
    enum { PARTS = sizeof parts / sizeof *parts };
    const uint32_t first = one_in(2) ? 0 : rnd(PARTS), few = one_in(2) ? PARTS : 1 + rnd(6);
    int64_t n = 0;
    while (n < size) {
        uint8_t code[4];
        const char *part = parts[(first + rnd(few)) % PARTS];
        int64_t length = (int64_t)strlen(part);
        const uint8_t *from = (const uint8_t *)part;
        if (one_in(30)) {
            uint32_t number = rnd(0x110000);
            if (number >= 0xD800 && number < 0xE000) number = 0xFFFD;
            length = write_utf8(code, number);
            from = code;
        } else if (!valid && one_in(8)) {
            code[0] = (uint8_t)rnd(256);
            length = 1;
            from = code;
        }
        if (length > size - n && valid && !one_in(4)) { /* one in four ends in the middle of a character */
            text[n++] = (uint8_t)" a1\n.'"[rnd(6)];
            continue;
        }
        for (int64_t i = 0; i < length && n < size; i++) text[n++] = from[i];
    }
    return n;
}

static void compare(const uint8_t *text, int64_t size) {
    enum { MOST = 4096 };
    static int64_t plain[MOST], fast[MOST];
    for (int32_t pattern = FE_PATTERN_NONE; pattern < FE_PATTERN_PROGRAM; pattern++) {
        int64_t pieces, count;
        CHECK(fe_split(pattern, FE_PATH_SCALAR, text, size, plain, MOST, &pieces) == FE_OK);
        CHECK(pieces <= size && (size == 0 ? pieces == 0 : pieces > 0 && plain[pieces - 1] == size));
        for (int64_t i = 0; i < pieces; i++) CHECK(plain[i] > (i ? plain[i - 1] : 0));
        for (int32_t path = FE_PATH_PLAIN; path <= FE_PATH_BEST; path++) {
            CHECK(fe_split(pattern, path, text, size, fast, pieces, &count) == FE_OK);
            CHECK(count == pieces && memcmp(fast, plain, (size_t)pieces * sizeof *fast) == 0);
            if (pieces && one_in(8)) CHECK(fe_split(pattern, path, text, size, fast, pieces - 1, &count) == FE_FULL);
        }
    }
}

/* The same for runs, whose ground truth goes byte by byte. */
static void compare_runs(const uint8_t *text, int64_t size) {
    enum { MOST = 4096 };
    static int64_t plain[2][MOST], fast[2][MOST];
    int64_t pieces, count;
    CHECK(fe_split_runs(FE_PATH_SCALAR, text, size, plain[0], plain[1], MOST, &pieces) == FE_OK);
    int64_t at = 0;
    for (int64_t i = 0; i < pieces; at = plain[1][i++]) {
        for (; at < plain[0][i]; at++) CHECK(fe_bert_is_space(text[at]));
        for (; at < plain[1][i]; at++) CHECK(!fe_bert_is_space(text[at]));
        for (int64_t j = plain[0][i]; j < at; j++)
            CHECK(!fe_bert_is_punctuation(text[j]) || at - plain[0][i] == 1);
        CHECK(at == size || at - plain[0][i] == 1 || fe_bert_is_space(text[at]) || fe_bert_is_punctuation(text[at]));
    }
    for (; at < size; at++) CHECK(fe_bert_is_space(text[at]));
    for (int32_t path = FE_PATH_PLAIN; path <= FE_PATH_BEST; path++) {
        CHECK(fe_split_runs(path, text, size, fast[0], fast[1], pieces, &count) == FE_OK && count == pieces);
        CHECK(memcmp(fast[0], plain[0], (size_t)pieces * sizeof **fast) == 0);
        CHECK(memcmp(fast[1], plain[1], (size_t)pieces * sizeof **fast) == 0);
        if (pieces && one_in(8))
            CHECK(fe_split_runs(path, text, size, fast[0], fast[1], pieces - 1, &count) == FE_FULL);
    }
}

/* A page behind which nothing may be read. */
static uint8_t *guarded_end(int64_t room) {
    static uint8_t *end;
    if (end) return end;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = ((size_t)room + page - 1) / page * page;
    uint8_t *const start = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(start != MAP_FAILED);
    CHECK(mprotect(start + size, page, PROT_NONE) == 0);
    return end = start + size;
}

void check_pieces(void) {
    enum { MOST = 1400 };
    static const int64_t near[] = {0, 16, 32, 64, 128, 192, 256, 512, 1024};
    static uint8_t text[MOST];
    for (int i = 0; i < 3; i++) {
        int64_t size = one_in(2) ? rnd(300) : near[rnd(sizeof near / sizeof *near)] + (int64_t)rnd(9) - 4;
        if (size < 0) size = 0;
        fill(text, size, !one_in(3));
        uint8_t *const exact = exactly(text, size), *const guarded = guarded_end(MOST) - size;
        memcpy(guarded, text, (size_t)size);
        compare(exact, size);
        compare(guarded, size);
        compare_runs(exact, size);
        compare_runs(guarded, size);
        free(exact);
    }
}
