/* ranks.c: reading rank files (.tiktoken): one `base64 SPACE rank` a line. */
#include "fe.h"

/* What a character stands for in base64; BAD has bits that no value has, so one test serves four. */
enum { BAD = 0xC0 };
#define X BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD
static const uint8_t fe_base64_value[256] = {
    X,   X,  BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, 62, BAD, BAD, BAD, 63,  52,  53,  54,  55,
    56,  57, 58,  59,  60,  61,  BAD, BAD, BAD, BAD, BAD, BAD, BAD, 0,  1,   2,   3,   4,   5,   6,   7,   8,
    9,   10, 11,  12,  13,  14,  15,  16,  17,  18,  19,  20,  21,  22, 23,  24,  25,  BAD, BAD, BAD, BAD, BAD,
    BAD, 26, 27,  28,  29,  30,  31,  32,  33,  34,  35,  36,  37,  38, 39,  40,  41,  42,  43,  44,  45,  46,
    47,  48, 49,  50,  51,  BAD, BAD, BAD, BAD, BAD, X,   X,   X,   X,  X,   X,   X,   X};
#undef X

enum { RANK_MAX = INT32_MAX - 1 };

/* Reads base64 at *at up to the first character that is none, and moves *at behind it and its padding.
 * Returns how many bytes it wrote to out, or -1: no base64, or bits set that no byte takes. */
static int64_t read_base64(const uint8_t **at, const uint8_t *end, uint8_t *out) {
    const uint8_t *p = *at;
    uint8_t *q = out;
    while (end - p >= 4) {
        const uint32_t a = fe_base64_value[p[0]];
        const uint32_t b = fe_base64_value[p[1]];
        const uint32_t c = fe_base64_value[p[2]];
        const uint32_t d = fe_base64_value[p[3]];
        if ((a | b | c | d) & BAD) {
            if (((a | b) & BAD) || p[3] != '=') {
                break; /* the end of the token, or junk: the caller tells which */
            }
            *q++ = (uint8_t)(a << 2 | b >> 4);
            p += 4;
            if (p[-2] == '=' ? (b & 15u) : (c & (BAD | 3u))) {
                return -1;
            }
            if (p[-2] != '=') {
                *q++ = (uint8_t)(b << 4 | c >> 2);
            }
            break;
        }
        const uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        q[0] = (uint8_t)(bits >> 16);
        q[1] = (uint8_t)(bits >> 8);
        q[2] = (uint8_t)bits;
        q += 3;
        p += 4;
    }
    *at = p;
    return q - out;
}

/* Reads a decimal rank at *at and moves *at behind it. Returns -1 where there is none that fits. */
static int32_t read_rank(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    int64_t rank = 0;
    for (; p < end && p[0] >= '0' && p[0] <= '9'; p++) {
        rank = 10 * rank + (p[0] - '0');
        if (rank > RANK_MAX) {
            return -1;
        }
    }
    if (p == *at) {
        return -1;
    }
    *at = p;
    return (int32_t)rank;
}

/* Moves *at behind the end of a line, if it stands at one. */
static int32_t skip_line_end(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    if (end - p >= 2 && p[0] == '\r' && p[1] == '\n') {
        p++;
    }
    if (p < end && p[0] != '\n') {
        return 0;
    }
    *at = p < end ? p + 1 : p;
    return 1;
}

fe_status fe_ranks_read(const uint8_t *text, int64_t size, uint8_t *bytes, int64_t *offsets, int32_t *ranks,
                        int64_t capacity, int64_t *count, int64_t *bad_line) {
    const uint8_t *p = text;
    const uint8_t *const end = size > 0 ? text + size : text;
    int64_t used = 0;
    int64_t tokens = 0;
    *count = 0;
    *bad_line = -1;
    offsets[0] = 0;
    for (int64_t line = 1; p < end; line++) {
        if (skip_line_end(&p, end)) {
            continue; /* an empty line */
        }
        if (tokens == capacity) {
            return FE_FULL;
        }
        /* Three bytes for four characters: what is written never overtakes what was read. */
        const int64_t length = read_base64(&p, end, bytes + used);
        int32_t rank = -1;
        if (length > 0 && p < end && p[0] == ' ') {
            p++;
            rank = read_rank(&p, end);
        }
        if (rank < 0 || !skip_line_end(&p, end)) {
            *bad_line = line;
            return FE_BAD_FILE;
        }
        used += length;
        ranks[tokens++] = rank;
        offsets[tokens] = used;
        *count = tokens;
    }
    return FE_OK;
}
