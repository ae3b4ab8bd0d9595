/* place_words.c: where words and their parts stand. A word's parts are found again: that is one walk down the trie. */
#include <string.h>

#include "bert.h"
#include "chain_walk.h"
#include "place.h"
#include "utf8.h"

/* Places the ids of one word, which begins with character number `first`. */
static fe_status place_parts(fe_placer *pl, fe_word word, int64_t first) {
    const fe_tokenizer *const t = pl->e.t;
    const uint8_t *p = word.bytes, *const end = p + word.size;
    const int64_t at = pl->at;
    const bool parts = t->flags & FE_WORD_PIECES;
    int64_t from = first;
    fe_status status = FE_OK;
    bool known = parts ? word.chars <= t->words.most : word.size <= FE_WORD_BYTES;
    for (int32_t node = 0; known && p < end && status == FE_OK; node = t->words.more) {
        const uint8_t *const start = p;
        const int32_t token = node < 0 ? -1 : parts ? fe_words_longest(t->words.units, node, &p, end)
                                                    : fe_words_whole(t->words.units, p, end);
        known = token >= 0;
        if (!known) break;
        if (!parts) p = end;
        const int64_t to = from + fe_chars_between(start, p);
        /* Ids that belong to a word that turns out to be unknown are none of the row's. */
        if (pl->at == pl->count || pl->ids[pl->at] != t->token_ids[token]) known = false;
        if (!known) break;
        status = fe_place_id(pl, t->token_ids[token], from, to);
        from = to;
    }
    if (known) return status;
    pl->at = at;
    return fe_place_id(pl, t->token_ids[t->unk], first, first + word.chars);
}

static fe_status place_word(fe_placer *pl, fe_word word, int64_t first) {
    const fe_status status = place_parts(pl, word, first);
    pl->word++;
    return status;
}

/* Words of BERT's pattern come without white space; they are copies. */
typedef struct finding {
    fe_placer *pl;
    const uint8_t *p, *end; /* what is not read yet */
} finding;

static fe_status place_found(void *state, fe_word word) {
    finding *const f = state;
    uint32_t code;
    while (f->p < f->end && memcmp(f->p, word.bytes, (size_t)fe_utf8_read(f->p, f->end, &code)) != 0)
        f->p += fe_utf8_read(f->p, f->end, &code);
    const int64_t first = fe_place_number(f->pl, f->p);
    for (int64_t i = 0; i < word.chars && f->p < f->end; i++) f->p += fe_utf8_read(f->p, f->end, &code);
    return place_word(f->pl, word, first);
}

static fe_status place_piece(fe_placer *pl, const uint8_t *p, const uint8_t *end) {
    if (fe_place_cuts_char(p, end)) return FE_UNPLACED;
    const int64_t first = fe_place_number(pl, p);
    const fe_word word = {p, end - p, fe_chars_between(p, end)};
    return p < end ? place_word(pl, word, first) : FE_OK;
}

fe_status fe_place_words(fe_placer *pl, const uint8_t *p, const uint8_t *end) {
    const fe_tokenizer *const t = pl->e.t;
    fe_status status = FE_OK;
    if (t->pattern == FE_PATTERN_BERT) {
        finding f = {pl, p, end};
        return fe_bert_words(0, p, end, place_found, &f);
    }
    if (t->pattern != FE_PATTERN_PROGRAM) return place_piece(pl, p, end);
    fe_cutting cutting;
    fe_cutting_start(&cutting, t->cutters, p);
    fe_cutting_next(&cutting, p, end);
    while (status == FE_OK && !fe_cutting_done(&cutting)) {
        fe_cutting_more(&cutting);
        for (int64_t i = 0; i < cutting.count && status == FE_OK; i++)
            status = place_piece(pl, p + cutting.starts[i], p + cutting.ends[i]);
        cutting.count = 0;
    }
    return status;
}
