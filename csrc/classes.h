/* classes.h: the class of a character, as the patterns in split.c see it (Unicode 16.0.0). */
#ifndef FE_CLASSES_H
#define FE_CLASSES_H

#include <stdbool.h>
#include <stdint.h>

#include "unicode_classes.h"
#include "utf8.h"

enum fe_class {
    FE_CLASS_OTHER = 0,       /* Cc Cf Cs Co Cn, but no white space */
    FE_CLASS_SYMBOL = 1,      /* P* S*, and every byte that is not part of valid UTF-8: U+FFFD is So */
    FE_CLASS_MARK = 2,        /* M* */
    FE_CLASS_UPPER = 3,       /* Lu Lt */
    FE_CLASS_LOWER = 4,       /* Ll */
    FE_CLASS_LETTER = 5,      /* Lm Lo: in neither case */
    FE_CLASS_NUMBER = 6,      /* N* */
    FE_CLASS_SPACE = 7,       /* White_Space */
    FE_CLASS_BEYOND_ASCII = 8 /* no class of a character: what fe_byte_classes says of bytes from 0x80 on */
};

/* Sets of classes are words with the bit 1 << class set. */
enum fe_class_set {
    FE_SET_LETTERS = 1 << FE_CLASS_UPPER | 1 << FE_CLASS_LOWER | 1 << FE_CLASS_LETTER,
    FE_SET_MARK = 1 << FE_CLASS_MARK,
    FE_SET_NUMBER = 1 << FE_CLASS_NUMBER,
    FE_SET_SPACE = 1 << FE_CLASS_SPACE
};

/* The class of a code point; 0 beyond U+10FFFF. */
static inline int32_t fe_class_of(uint32_t code) {
    if (code > 0x10FFFF) return FE_CLASS_OTHER;
    return fe_class_blocks[fe_class_index[code >> 7]][(code & 127) >> 1] >> (code & 1) * 4 & 15;
}

/* The class of the character at p (p < end), and its length in bytes. */
static inline int32_t fe_class_at(const uint8_t *p, const uint8_t *end, int32_t *length) {
    const int32_t class = fe_byte_classes[*p];
    *length = 1;
    if (class != FE_CLASS_BEYOND_ASCII) return class;
    uint32_t code;
    *length = fe_utf8_read(p, end, &code);
    return fe_class_of(code);
}

/* Numbers of Unicode 17.0 that 16.0 has not: Hugging Face's Digits cuts them off, too. */
static inline bool fe_is_younger_number(uint32_t code) {
    return (code >= 0x11DE0 && code <= 0x11DE9) || (code >= 0x16FF4 && code <= 0x16FF6);
}

#endif
