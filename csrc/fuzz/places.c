/* places.c: ids that a tokenizer made of texts are placed in these by walking them again: all of them, inside of the
 * text; where nothing changes places, in order. What the places are is held against the general road in Python. */
#include "fuzz.h"
#include "utf8.h"

enum { PLACED_TEXTS = 6 };

typedef struct places_case {
    uint8_t *utf8;
    int64_t ends[PLACED_TEXTS + 1], chars[PLACED_TEXTS], offsets[PLACED_TEXTS + 1];
    int32_t ids[IDS], spans[2 * IDS], words[IDS];
    uint8_t placed[PLACED_TEXTS];
} places_case;

/* Whether such a vocabulary is placed at all. */
static bool is_walked(const vocabulary *v) {
    const fe_model *const m = &v->model;
    const uint32_t words = FE_WORD_PIECES | FE_WORD_LEVEL;
    const uint32_t bert = FE_BERT_CLEAN | FE_BERT_HAN | FE_BERT_STRIP | FE_BERT_LOWER;
    bool late = false;
    for (int64_t i = 0; i < m->added; i++) late |= m->added_flags[i] & FE_ADDED_LATE;
    if (m->pattern == FE_PATTERN_BERT && m->flags & bert && (m->normal || late)) return false;
    const bool cut = m->pattern == FE_PATTERN_BERT || m->pattern == FE_PATTERN_PROGRAM || m->pattern == FE_PATTERN_NONE;
    return cut && (m->flags & words || (m->flags & (FE_UNIGRAM | FE_F32_SUMS)) == FE_UNIGRAM);
}

/* Whether a step is of those whose places are not known. */
static bool has_odd_step(const fe_model *m) {
    for (int64_t at = 0; at < m->normal;) {
        uint32_t sizes[2];
        const uint8_t kind = m->normal_bytes[at], flags = m->normal_bytes[at + 1];
        memcpy(sizes, m->normal_bytes + at + 4, sizeof sizes);
        if (kind == FE_NORM_BYTE_LEVEL || kind == FE_NORM_PIECES) return true;
        if (kind == FE_NORM_CHARSMAP && flags & FE_CHARSMAP_LONGEST) return true;
        at += 12 + (int64_t)sizes[0] + (int64_t)sizes[1];
    }
    return false;
}

static bool are_characters(const uint8_t *bytes, const int64_t *offsets, int64_t count) {
    bool all = true;
    for (int64_t i = 0; i < count; i++) all &= fe_utf8_valid(bytes + offsets[i], bytes + offsets[i + 1]);
    return all;
}

/* Whether some token that is looked for in texts has a part of a character, which no file's has. */
static bool has_parts(const vocabulary *v) {
    const fe_model *const m = &v->model;
    const bool words = m->flags & (FE_WORD_PIECES | FE_WORD_LEVEL);
    return !are_characters(v->added_bytes, v->added_offsets, m->added) ||
           !are_characters(v->whole_bytes, v->whole_offsets, m->wholes) ||
           (words && !are_characters(v->token_bytes, v->token_offsets, m->tokens));
}

static void check_text(const places_case *c, int64_t i) {
    int64_t chars = 0;
    for (int64_t k = c->ends[i]; k < c->ends[i + 1]; k++) chars += (c->utf8[k] & 0xC0) != 0x80;
    for (int64_t k = c->offsets[i]; k < c->offsets[i + 1]; k++) {
        CHECK(c->spans[2 * k] >= 0 && c->spans[2 * k] <= c->spans[2 * k + 1] && c->spans[2 * k + 1] <= chars);
        CHECK(k == c->offsets[i] ? c->words[k] >= 0 : c->words[k] >= c->words[k - 1]);
    }
}

void check_places(const vocabulary *v, const fe_tokenizer *tokenizer) {
    static uint8_t block[PLACED_TEXTS * TEXT];
    static places_case c;
    fe_choice *choice;
    uint8_t actions[ADDED];
    const bool valid = !one_in(4), other = one_in(8);
    const bool cuts = v->model.pattern == FE_PATTERN_PROGRAM || has_parts(v); /* perhaps inside of characters */
    for (int64_t i = 0; i < v->model.added; i++) actions[i] = one_in(3) ? FE_TOKEN_PLAIN : FE_TOKEN_MATCH;
    CHECK(fe_choice_new(tokenizer, actions, v->model.added, &choice) == FE_OK);
    for (int64_t i = 0; i < PLACED_TEXTS; i++) {
        const int64_t size = one_in(9) ? 0 : random_text(block + c.ends[i], one_in(6) ? TEXT : 60, valid);
        if (size) while ((block[c.ends[i]] & 0xC0) == 0x80) block[c.ends[i]] = (uint8_t)rnd(256);
        c.chars[i] = 0;
        for (int64_t k = 0; k < size; k++) c.chars[i] += (block[c.ends[i] + k] & 0xC0) != 0x80;
        c.ends[i + 1] = c.ends[i] + size;
    }
    c.utf8 = exactly(block, c.ends[PLACED_TEXTS]);
    const fe_job job = {.pattern = FE_PATTERN_OWN, .choice = choice, .limit = INT64_MAX, .texts = PLACED_TEXTS,
                        .utf8 = c.utf8, .size = c.ends[PLACED_TEXTS], .char_counts = c.chars};
    fe_out out = {.ids = c.ids, .capacity = IDS, .row_ends = c.offsets + 1};
    if (fe_encode(tokenizer, NULL, &job, &out) == FE_OK) {
        const int64_t all = c.offsets[PLACED_TEXTS];
        if (other && all) c.ids[rnd((uint32_t)all)] = (int32_t)rnd(TOKENS); /* ids of another text */
        const fe_place_job place = {choice, PLACED_TEXTS, c.utf8, c.ends, c.ids, c.offsets};
        CHECK(fe_places(tokenizer, &place, c.spans, one_in(3) ? NULL : c.words, c.placed) == FE_OK);
        CHECK(fe_places(tokenizer, &place, c.spans, c.words, c.placed) == FE_OK);
        for (int64_t i = 0; i < PLACED_TEXTS; i++) {
            if (c.placed[i]) check_text(&c, i);
            if (!other && valid && is_walked(v) && !has_odd_step(&v->model) && !cuts) CHECK(c.placed[i]);
            if (!is_walked(v)) CHECK(!c.placed[i]);
        }
    }
    free(c.utf8);
    fe_choice_free(choice);
}
