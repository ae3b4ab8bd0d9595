/* lists.c: rank files and merge lists, whole and damaged. */
#include "fuzz.h"

/* ------------------------------------------------------------------ rank files */

static int64_t base64(const uint8_t *bytes, int64_t size, char *to) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int64_t n = 0;
    for (int64_t i = 0; i < size; i += 3) {
        const int64_t left = size - i;
        const uint32_t second = left > 1 ? bytes[i + 1] : 0, third = left > 2 ? bytes[i + 2] : 0;
        const uint32_t three = (uint32_t)bytes[i] << 16 | second << 8 | third;
        to[n++] = digits[three >> 18];
        to[n++] = digits[three >> 12 & 63];
        to[n++] = left > 1 ? digits[three >> 6 & 63] : '=';
        to[n++] = left > 2 ? digits[three & 63] : '=';
    }
    return n;
}

void check_ranks(void) {
    enum { LINES = 20, SIZE = 12, ROOM = LINES * 48 };
    char file[ROOM];
    uint8_t bytes[LINES * SIZE];
    int64_t offsets[LINES + 1] = {0}, size = 0, got_offsets[LINES + 1], count, bad_line;
    int32_t ranks[LINES], got_ranks[LINES];
    const int64_t lines = rnd(LINES + 1);
    const char *const end = one_in(4) ? "\r\n" : "\n";
    for (int64_t i = 0; i < lines; i++) {
        offsets[i + 1] = offsets[i] + 1 + rnd(SIZE);
        for (int64_t j = offsets[i]; j < offsets[i + 1]; j++) bytes[j] = (uint8_t)rnd(256);
        ranks[i] = (int32_t)rnd(one_in(8) ? INT32_MAX : 300);
        size += base64(bytes + offsets[i], offsets[i + 1] - offsets[i], file + size);
        size += snprintf(file + size, 16, " %d%s", ranks[i], i + 1 == lines && one_in(2) ? "" : end);
    }
    for (int turn = 0; turn < 8; turn++) { /* as it is, then worse and worse */
        uint8_t *const text = exactly((const uint8_t *)file, size), *const to = malloc((size_t)size + (size == 0));
        CHECK(to);
        const fe_status status = fe_ranks_read(text, size, to, got_offsets, got_ranks, lines, &count, &bad_line);
        CHECK(status == FE_OK || status == FE_BAD_FILE || status == FE_FULL);
        CHECK((status == FE_BAD_FILE) == (bad_line >= 1) && count <= lines && got_offsets[count] <= size);
        if (turn == 0) {
            CHECK(status == FE_OK && count == lines);
            CHECK(memcmp(got_offsets, offsets, (size_t)(lines + 1) * sizeof *offsets) == 0);
            CHECK(lines == 0 || memcmp(got_ranks, ranks, (size_t)lines * sizeof *ranks) == 0);
            CHECK(lines == 0 || memcmp(to, bytes, (size_t)offsets[lines]) == 0);
        }
        free(text);
        free(to);
        if (!size) break;
        const uint32_t at = rnd((uint32_t)size);
        if (one_in(3)) size = at;
        else file[at] = one_in(2) ? "=\n\r 09A+/-"[rnd(10)] : (char)rnd(256);
    }
}

/* ------------------------------------------------------------------ merge lists */

/* The number of the first line of names that is `size` bytes at p; -1 if there is none. */
static int32_t line_of(const uint8_t *names, int64_t names_size, const uint8_t *p, int64_t size) {
    int32_t number = 0;
    for (int64_t at = 0, stop; at <= names_size; at = stop + 1, number++) {
        for (stop = at; stop < names_size && names[stop] != '\n'; stop++) {}
        if (stop - at == size && (!size || memcmp(names + at, p, (size_t)size) == 0)) return number;
    }
    return -1;
}

/* What fe_merges_read has to give, worked out slowly; false where it has to refuse. */
static bool slow_merges(const uint8_t *names, int64_t size, const uint8_t *merges, int64_t merges_size, int64_t count,
                        int32_t (*out)[3]) {
    int64_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t stop = at, space = -1, spaces = 0;
        if (at > merges_size) return false;
        for (; stop < merges_size && merges[stop] != '\n'; stop++)
            if (merges[stop] == ' ') space = stop, spaces++;
        if (spaces != 1) return false;
        uint8_t both[LINE];
        memcpy(both, merges + at, (size_t)(space - at));
        memcpy(both + space - at, merges + space + 1, (size_t)(stop - space - 1));
        out[i][0] = line_of(names, size, merges + at, space - at);
        out[i][1] = line_of(names, size, merges + space + 1, stop - space - 1);
        out[i][2] = line_of(names, size, both, stop - at - 1);
        if (out[i][0] < 0 || out[i][1] < 0 || out[i][2] < 0) return false;
        at = stop + 1;
    }
    return true;
}

static int64_t count_lines(const uint8_t *text, int64_t size) {
    int64_t lines = 1;
    for (int64_t i = 0; i < size; i++) lines += text[i] == '\n';
    return lines;
}

void check_merges(void) {
    static const char *const tokens[] = {"a", "b", "ab", "aab", "", "\xC3\xA9", "abab", "ba"};
    static const char *const lines[] = {"a b",  "a ab", "ab ab", " a",  "b a",
                                        "a  b", "ab",   "a b c", "b b", "a \xC3\xA9"};
    enum { ROOM = 12 * LINE, MOST = 12 };
    uint8_t names[ROOM], merges[ROOM];
    int64_t size = 0, merges_size = 0, count = 1 + rnd(MOST), merges_count = rnd(MOST);
    for (int64_t i = 0; i < count; i++) {
        const char *const token = tokens[i < 8 && one_in(2) ? i : rnd(8)]; /* some twice: the first counts */
        if (i) names[size++] = '\n';
        memcpy(names + size, token, strlen(token));
        size += (int64_t)strlen(token);
    }
    for (int64_t i = 0; i < merges_count; i++) {
        const char *const line = lines[one_in(3) ? rnd(10) : rnd(3)];
        if (i) merges[merges_size++] = '\n';
        memcpy(merges + merges_size, line, strlen(line));
        merges_size += (int64_t)strlen(line);
    }
    for (int turn = 0; turn < 4; turn++) { /* as it is, then worse and worse */
        int32_t got[3][MOST], expected[MOST][3];
        uint8_t *const known = exactly(names, size), *const text = exactly(merges, merges_size);
        const fe_status status =
            fe_merges_read(known, size, count, text, merges_size, merges_count, got[0], got[1], got[2]);
        if (count_lines(names, size) != count) CHECK(status == FE_BAD_FILE);
        else CHECK((status == FE_OK) == slow_merges(names, size, merges, merges_size, merges_count, expected));
        CHECK(status == FE_OK || status == FE_BAD_FILE);
        for (int64_t i = 0; i < merges_count && status == FE_OK; i++)
            for (int j = 0; j < 3; j++) CHECK(got[j][i] == expected[i][j]);
        free(known);
        free(text);
        uint8_t *const damaged = one_in(2) && size ? names : merges;
        const int64_t room = damaged == names ? size : merges_size;
        if (room && one_in(2)) damaged[rnd((uint32_t)room)] = (uint8_t)"\n ab\0"[rnd(5)];
        else if (one_in(3)) merges_count = rnd(MOST);
        else if (one_in(3)) count = rnd(MOST + 1);
        else if (room && damaged == names) size = rnd((uint32_t)room);
        else if (room) merges_size = rnd((uint32_t)room);
    }
}
