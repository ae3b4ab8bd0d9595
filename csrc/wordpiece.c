/* wordpiece.c: words, and parts of words by longest match. One trie serves both places of a part: those that begin a
 * word are walked to from the root, those that go on from the node of their prefix. So the text never gets the prefix
 * put before it; and a word that begins with "##" may find a token that goes on, as in the format's own engine. */
#include "image.h"
#include "model.h"
#include "symbols.h"
#include "utf8.h"

/* ------------------------------------------------------------------ what both kinds have */

int32_t fe_words_longest(const fe_unit *units, int32_t node, const uint8_t **p, const uint8_t *end) {
    int32_t token = -1;
    const uint8_t *q = *p;
    while (q < end && (node = fe_trie_next(units, node, *q)) >= 0) {
        q++;
        if (units[node].value < 0) continue;
        token = units[node].value;
        *p = q;
    }
    return token;
}

int32_t fe_words_whole(const fe_unit *units, const uint8_t *p, const uint8_t *end) {
    int32_t node = 0;
    for (; p < end && node >= 0; p++) node = fe_trie_next(units, node, *p);
    return node < 0 ? -1 : units[node].value;
}

/* Every token is where its bytes lead, and of equal ones the last; nothing else is in the trie. */
static bool tokens_are_found(const fe_tokenizer *t, const fe_unit *units, uint64_t count) {
    const uint32_t *const offsets = fe_section_of(t, FE_S_TOKEN_OFFSETS);
    const uint8_t *const bytes = fe_section_of(t, FE_S_TOKEN_BYTES);
    uint64_t values = 0, found = 0;
    for (uint64_t i = 0; i < count; i++) values += units[i].value >= 0;
    for (int64_t i = 0; i < (int64_t)t->image->vocab; i++) {
        const uint32_t first = offsets[i], size = offsets[i + 1] - first;
        if (!size) continue;
        const int32_t token = size > FE_WORD_BYTES ? -1 : fe_words_whole(units, bytes + first, bytes + first + size);
        if (token < i || offsets[token + 1] - offsets[token] != size) return false;
        if (memcmp(bytes + offsets[token], bytes + first, size) != 0) return false;
        found += token == i;
    }
    return found == values;
}

static bool check(const fe_tokenizer *t) {
    const fe_unit *const units = fe_section_of(t, FE_S_WORDS);
    const uint64_t count = fe_section_count(t, FE_S_WORDS);
    const int32_t *const limits = fe_section_of(t, FE_S_WORD_LIMITS);
    return t->image->unk >= 0 && fe_trie_valid(units, count, (int64_t)t->image->vocab) && limits[0] >= -1 &&
           limits[0] < (int64_t)count && limits[1] >= 0 && limits[1] <= FE_MOST_WORD_CHARS &&
           tokens_are_found(t, units, count);
}

static void attach(fe_tokenizer *t) {
    const int32_t *const limits = fe_section_of(t, FE_S_WORD_LIMITS);
    t->words = (fe_words){fe_section_of(t, FE_S_WORDS), limits[0], limits[1]};
}

/* The ids of a piece: by BERT's pattern it is cut further. */
static fe_status piece_of_words(fe_encoder *e, const uint8_t *p, const uint8_t *end, fe_word_sink *sink) {
    e->count = 0;
    fe_status status = FE_OK;
    if (e->t->pattern == FE_PATTERN_BERT) {
        status = fe_bert_words(e->t->flags, p, end, sink, e);
    } else if (p < end) {
        int64_t chars = 0;
        uint32_t code;
        for (const uint8_t *q = p; q < end && chars <= e->t->words.most; chars++) q += fe_utf8_read(q, end, &code);
        status = sink(e, (fe_word){p, end - p, chars});
    }
    if (status == FE_OK) fe_symbols_to_ids(e);
    return status;
}

/* ------------------------------------------------------------------ parts of words */

/* One word: the longest parts from its start on, or the unknown token in place of all of them. */
static fe_status cut_word(void *state, fe_word word) {
    fe_encoder *const e = state;
    const fe_tokenizer *const t = e->t;
    const int64_t before = e->count;
    if (word.chars > t->words.most) return fe_symbol_push(e, t->unk);
    const uint8_t *p = word.bytes, *const end = p + word.size;
    for (int32_t node = 0; p < end; node = t->words.more) {
        const int32_t token = node < 0 ? -1 : fe_words_longest(t->words.units, node, &p, end);
        if (token < 0) {
            e->count = before;
            return fe_symbol_push(e, t->unk);
        }
        const fe_status status = fe_symbol_push(e, token);
        if (status != FE_OK) return status;
    }
    return FE_OK;
}

static fe_status piece(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    (void)front; /* nothing is put before words */
    return piece_of_words(e, p, end, cut_word);
}

const fe_model_kind fe_word_pieces = {.check = check, .attach = attach, .piece = piece, .cut = NULL};

/* ------------------------------------------------------------------ words alone */

static fe_status find_word(void *state, fe_word word) {
    fe_encoder *const e = state;
    const bool known = word.size <= FE_WORD_BYTES;
    const int32_t token = known ? fe_words_whole(e->t->words.units, word.bytes, word.bytes + word.size) : -1;
    return fe_symbol_push(e, token < 0 ? e->t->unk : token);
}

static fe_status piece_whole(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    (void)front;
    return piece_of_words(e, p, end, find_word);
}

const fe_model_kind fe_word_level = {.check = check, .attach = attach, .piece = piece_whole, .cut = NULL};
