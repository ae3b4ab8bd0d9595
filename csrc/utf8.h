/* utf8.h: reading UTF-8 one code point at a time, safely on any bytes. */
#ifndef FE_UTF8_H
#define FE_UTF8_H

#include <stdint.h>

/* Reads the code point at p (p < end), stores it and returns its length in bytes, 1 to 4. A byte that
 * starts no well-formed sequence reads as U+FFFD of length 1, so a walk always ends at end exactly. */
static inline int32_t fe_utf8_read(const uint8_t *p, const uint8_t *end, uint32_t *code) {
    const uint32_t a = p[0];
    if (a < 0x80) {
        *code = a;
        return 1;
    }
    const int64_t left = end - p;
    if (a >= 0xC2 && a < 0xE0 && left >= 2 && (p[1] & 0xC0) == 0x80) {
        *code = (a & 0x1F) << 6 | (p[1] & 0x3Fu);
        return 2;
    }
    if (a >= 0xE0 && a < 0xF0 && left >= 3 && (p[1] & 0xC0) == 0x80 && (p[2] & 0xC0) == 0x80) {
        const uint32_t c = (a & 0x0F) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
        if (c >= 0x800 && (c < 0xD800 || c > 0xDFFF)) {
            *code = c;
            return 3;
        }
    }
    if (a >= 0xF0 && a < 0xF5 && left >= 4 && (p[1] & 0xC0) == 0x80 && (p[2] & 0xC0) == 0x80 && (p[3] & 0xC0) == 0x80) {
        const uint32_t c = (a & 0x07) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
        if (c >= 0x10000 && c <= 0x10FFFF) {
            *code = c;
            return 4;
        }
    }
    *code = 0xFFFD;
    return 1;
}

#endif
