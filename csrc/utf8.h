/* utf8.h: reading UTF-8 one code point at a time, safely on any bytes. */
#ifndef FE_UTF8_H
#define FE_UTF8_H

#include <stdbool.h>
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

/* Reads the code point that ends at p (from < p <= end), as fe_utf8_read does forwards, and returns its length. */
static inline int32_t fe_utf8_before(const uint8_t *from, const uint8_t *p, const uint8_t *end, uint32_t *code) {
    for (int32_t length = 1; length <= 4 && length <= p - from; length++) {
        if ((p[-length] & 0xC0) == 0x80) continue;
        if (fe_utf8_read(p - length, end, code) == length) return length;
        break;
    }
    *code = 0xFFFD;
    return 1;
}

/* True if some bytes are characters and nothing else. */
static inline bool fe_utf8_valid(const uint8_t *p, const uint8_t *end) {
    uint32_t code;
    for (int32_t length; p < end; p += length) {
        length = fe_utf8_read(p, end, &code);
        if (length == 1 && *p >= 0x80) return false;
    }
    return true;
}

/* Writes a code point of at most U+10FFFF, and returns its length in bytes. */
static inline int32_t fe_utf8_write(uint8_t *p, uint32_t code) {
    if (code < 0x80) {
        p[0] = (uint8_t)code;
        return 1;
    }
    const int32_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    p[0] = (uint8_t)(0xF0u << (3 - more) | code >> 6 * more);
    for (int32_t i = 1; i <= more; i++) p[i] = (uint8_t)(0x80 | (code >> 6 * (more - i) & 0x3F));
    return more + 1;
}

#endif
