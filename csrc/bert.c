/* bert.c: BERT's normalizer and pre-tokenizer, code point by code point: the ground truth, and all there is for runs
 * that the cache does not know. */
#include "bert.h"

#include <string.h>

#include "mem.h"
#include "unicode_bert.h"
#include "utf8.h"

/* Flags of a code point, as make_unicode_bert.py writes them. */
enum {
    DROPPED = 1,     /* by FE_BERT_CLEAN */
    WHITE = 2,       /* white space */
    HAN = 4,         /* FE_BERT_HAN puts spaces around it */
    PUNCTUATION = 8, /* a word by itself */
    COMBINES = 16,   /* its combining class is not 0 */
    DECOMPOSED = 32, /* FE_BERT_STRIP changes it; but Hangul, which has no table */
    LOWERED = 64     /* FE_BERT_LOWER changes it */
};

enum { BLOCK = 128, HANGUL = 0xAC00, VOWELS = 21, TRAILS = 28, SYLLABLES = 19 * VOWELS * TRAILS };

typedef struct state {
    uint32_t flags;
    fe_word_sink *sink;
    void *to;
    int64_t size, chars; /* of the word that is begun */
    int64_t marks;       /* where its last marks begin, which decomposing sorts by their combining class */
    uint8_t bytes[FE_WORD_BYTES + 4];
    uint8_t classes[FE_WORD_BYTES + 4]; /* of these marks, for each of their bytes */
} state;

static uint8_t flags_of(uint32_t code) { return fe_bert_blocks[fe_bert_index[code / BLOCK] * BLOCK + code % BLOCK]; }

static fe_status end_word(state *s) {
    const fe_word word = {s->bytes, s->size, s->chars};
    s->size = s->chars = s->marks = 0;
    return word.chars ? s->sink(s->to, word) : FE_OK;
}

/* ------------------------------------------------------------------ marks that decomposing sorts */

/* The combining class of a mark that is kept. Few are: nearly all that combine take no space, and go. */
static uint32_t combining(uint32_t code) {
    const uint64_t count = sizeof fe_bert_kept / sizeof *fe_bert_kept;
    for (uint64_t i = 0; i < count; i++)
        if (code <= fe_bert_kept[i][1]) return code >= fe_bert_kept[i][0] ? fe_bert_kept[i][2] : 0;
    return 0;
}

/* Moves the mark that ends the word, of `size` bytes, before those of a higher class, at most as far as a word is
 * long. */
static void sort_mark(state *s, uint32_t code, int64_t size) {
    const uint8_t class = (uint8_t)combining(code);
    const int64_t last = s->size - size;
    int64_t at = last;
    memset(s->classes + last, class, (size_t)size);
    while (at > s->marks && s->classes[at - 1] > class) at--;
    if (at == last) return;
    uint8_t mark[4];
    memcpy(mark, s->bytes + last, (size_t)size);
    memmove(s->bytes + at + size, s->bytes + at, (size_t)(last - at));
    memmove(s->classes + at + size, s->classes + at, (size_t)(last - at));
    memcpy(s->bytes + at, mark, (size_t)size);
    memset(s->classes + at, class, (size_t)size);
}

/* ------------------------------------------------------------------ one code point through the steps */

/* A normalised code point: it parts words, is one, or is a part of one. */
static fe_status put(state *s, uint32_t code) {
    const uint8_t flags = flags_of(code);
    if (flags & (WHITE | PUNCTUATION)) {
        const fe_status status = end_word(s);
        if (status != FE_OK || flags & WHITE) return status;
    }
    s->chars++;
    if (s->size > FE_WORD_BYTES) return FE_OK;
    const int64_t size = fe_utf8_write(s->bytes + s->size, code);
    s->size += size;
    if (!(flags & COMBINES))
        s->marks = s->size;
    else if (s->flags & FE_BERT_STRIP)
        sort_mark(s, code, size);
    return flags & PUNCTUATION ? end_word(s) : FE_OK;
}

/* The text that a map has for a code point; *size receives its length in bytes. */
static const uint8_t *mapped(const uint8_t *index, const uint16_t *places, const uint8_t *texts, uint32_t code,
                             int64_t *size) {
    const uint8_t *const text = texts + places[index[code / BLOCK] * BLOCK + code % BLOCK];
    *size = text[0];
    return text + 1;
}

static fe_status lower(state *s, uint32_t code) {
    if (!(s->flags & FE_BERT_LOWER) || !(flags_of(code) & LOWERED)) return put(s, code);
    int64_t size;
    const uint8_t *p = mapped(fe_bert_lowered_index, fe_bert_lowered_places, fe_bert_lowered_texts, code, &size);
    fe_status status = FE_OK;
    for (const uint8_t *const end = p + size; p < end && status == FE_OK;) {
        p += fe_utf8_read(p, end, &code);
        status = put(s, code);
    }
    return status;
}

/* A Hangul syllable is two or three letters. */
static fe_status strip_hangul(state *s, uint32_t syllable) {
    const uint32_t trail = syllable % TRAILS;
    fe_status status = lower(s, 0x1100 + syllable / (VOWELS * TRAILS));
    if (status == FE_OK) status = lower(s, 0x1161 + syllable % (VOWELS * TRAILS) / TRAILS);
    return status == FE_OK && trail ? lower(s, 0x11A7 + trail) : status;
}

static fe_status strip(state *s, uint32_t code, uint8_t flags) {
    if (!(s->flags & FE_BERT_STRIP)) return lower(s, code);
    if (!(flags & COMBINES)) s->marks = s->size; /* also of one that goes */
    if (code - HANGUL < SYLLABLES) return strip_hangul(s, code - HANGUL);
    if (!(flags & DECOMPOSED)) return lower(s, code);
    int64_t size;
    const uint8_t *p = mapped(fe_bert_stripped_index, fe_bert_stripped_places, fe_bert_stripped_texts, code, &size);
    fe_status status = FE_OK;
    for (const uint8_t *const end = p + size; p < end && status == FE_OK;) {
        p += fe_utf8_read(p, end, &code);
        status = lower(s, code);
    }
    return status;
}

static fe_status normalize(state *s, uint32_t code, uint8_t flags) {
    if (s->flags & FE_BERT_CLEAN && flags & DROPPED) return FE_OK;
    if (!(s->flags & FE_BERT_HAN && flags & HAN)) return strip(s, code, flags);
    fe_status status = end_word(s);
    if (status == FE_OK) status = strip(s, code, flags);
    return status == FE_OK ? end_word(s) : status;
}

fe_status fe_bert_words(uint32_t flags, const uint8_t *p, const uint8_t *end, fe_word_sink *sink, void *to) {
    state s; /* not zeroed: of its bytes those of the word are read, no others */
    s.flags = flags;
    s.sink = sink;
    s.to = to;
    s.size = s.chars = s.marks = 0;
    fe_status status = FE_OK;
    while (p < end && status == FE_OK) {
        const uint8_t letter = *p | 0x20;
        if (letter >= 'a' && letter <= 'z' && s.size <= FE_WORD_BYTES) { /* most: through all steps at once */
            s.bytes[s.size++] = flags & FE_BERT_LOWER ? letter : *p;
            s.chars++;
            s.marks = s.size;
            p++;
            continue;
        }
        uint32_t code;
        const uint8_t *from = p;
        p += fe_utf8_read(p, end, &code);
        const uint8_t kind = flags_of(code);
        if (!kind && code - HANGUL >= SYLLABLES && s.size <= FE_WORD_BYTES) { /* no step changes it */
            for (; from < p; from++) s.bytes[s.size++] = *from;
            s.chars++;
            s.marks = s.size;
        } else if (kind == HAN && flags & FE_BERT_HAN) { /* a word as it stands */
            status = end_word(&s);
            if (status == FE_OK) status = sink(to, (fe_word){from, p - from, 1});
        } else {
            status = normalize(&s, code, kind);
        }
    }
    return status == FE_OK ? end_word(&s) : status;
}
