/* place.c: one text → stretches, normalized → segments, and what added tokens there are. */
#include "place.h"

#include "bert.h"
#include "mem.h"
#include "utf8.h"
#include "walk.h"

/* How many characters further p is than `from`: it may be before it, where an added token begins in the white space
 * that the one before has taken. */
static int64_t chars_to(const uint8_t *from, const uint8_t *p) {
    return p < from ? -fe_chars_between(p, from) : fe_chars_between(from, p);
}

int64_t fe_place_number(fe_placer *pl, const uint8_t *p) {
    pl->chars += chars_to(pl->seen, p);
    pl->seen = p;
    return pl->chars;
}

fe_status fe_place_id(fe_placer *pl, int32_t id, int64_t first, int64_t last) {
    if (pl->at == pl->count || pl->ids[pl->at] != id || first >= last) return FE_UNPLACED;
    const fe_span start = fe_span_of(&pl->now, first), end = fe_span_of(&pl->now, last - 1);
    if (pl->words) pl->words[pl->at] = pl->word;
    pl->spans[pl->at++] = (fe_span){start.start, end.end};
    return FE_OK;
}

/* ------------------------------------------------------------------ what is met on the way */

static fe_status place_segment(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_placer *const pl = (fe_placer *)e;
    if (fe_place_cuts_char(p, end)) return FE_UNPLACED; /* behind a late token that ends inside of one */
    return e->t->flags & FE_UNIGRAM ? fe_place_scored(pl, p, end) : fe_place_words(pl, p, end);
}

static fe_status place_late(fe_encoder *e, int64_t token, const uint8_t *p, const uint8_t *end) {
    fe_placer *const pl = (fe_placer *)e;
    const int64_t first = fe_place_number(pl, p);
    const fe_status status = fe_place_id(pl, e->t->added_ids[token], first, fe_place_number(pl, end));
    pl->word++;
    return status;
}

/* The number of the raw character at p. */
static int32_t raw_number(fe_placer *pl, const uint8_t *p) {
    pl->raw_chars += (int32_t)chars_to(pl->raw, p);
    pl->raw = p;
    return pl->raw_chars;
}

static fe_status place_early(fe_encoder *e, int64_t token, const uint8_t *p, const uint8_t *end) {
    fe_placer *const pl = (fe_placer *)e;
    const int32_t first = raw_number(pl, p);
    pl->now = (fe_aligned){p, end, NULL, first};
    const fe_status status = fe_place_id(pl, e->t->added_ids[token], 0, raw_number(pl, end) - first);
    pl->word++;
    return status;
}

/* Text between two early tokens. */
static fe_status place_stretch(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    static const fe_parts parts = {place_segment, place_late};
    fe_placer *const pl = (fe_placer *)e;
    const uint8_t *const whole = e->text;
    if (fe_place_cuts_char(p, end)) return FE_UNPLACED;
    pl->now = (fe_aligned){p, end, NULL, raw_number(pl, p)};
    fe_status status = fe_align(&pl->aligner, pl->steps, pl->steps_size, &pl->now);
    if (status != FE_OK || pl->now.p == pl->now.end) return status;
    pl->seen = pl->now.p;
    pl->chars = 0;
    if (pl->now.p != p) {
        if (p == whole) e->text = pl->now.p; /* the stretch with which the text starts */
        e->late.to = e->late.end = NULL;     /* what it knows was of another text, in the same memory */
    }
    status = e->choice ? fe_cut_added(e, true, pl->now.p, pl->now.end, &parts)
                       : place_segment(e, pl->now.p, pl->now.end);
    e->text = whole;
    return status;
}

static fe_status place_text(fe_placer *pl, const uint8_t *p, const uint8_t *end) {
    static const fe_parts parts = {place_stretch, place_early};
    fe_encoder *const e = &pl->e;
    e->text = pl->raw = p;
    e->early.to = e->early.end = NULL;
    pl->raw_chars = pl->word = 0;
    if (end - p >= FE_MAX_TEXT) return FE_TOO_LONG;
    if (p == end) return FE_OK;
    if (!fe_utf8_valid(p, end)) return FE_UNPLACED; /* characters are counted by their first bytes */
    return e->choice ? fe_cut_added(e, false, p, end, &parts) : place_stretch(e, p, end);
}

/* ------------------------------------------------------------------ many */

enum { BERT_STEPS = 5 };

/* BERT's normalizer, which other calls do together with finding words, as steps. */
static uint64_t bert_steps(uint32_t flags, fe_norm_head steps[BERT_STEPS]) {
    uint64_t count = 0;
    if (flags & FE_BERT_CLEAN) steps[count++] = (fe_norm_head){.kind = FE_NORM_BERT_CLEAN};
    if (flags & FE_BERT_HAN) steps[count++] = (fe_norm_head){.kind = FE_NORM_BERT_CJK};
    if (flags & FE_BERT_STRIP) {
        steps[count++] = (fe_norm_head){.kind = FE_NORM_NFD};
        steps[count++] = (fe_norm_head){.kind = FE_NORM_BERT_MARKS};
    }
    if (flags & FE_BERT_LOWER) steps[count++] = (fe_norm_head){.kind = FE_NORM_LOWERCASE};
    return count * sizeof *steps;
}

static bool can_place(const fe_tokenizer *t) {
    const bool words = t->kind == &fe_word_pieces || t->kind == &fe_word_level;
    /* BERT's flags come behind all else, where no file has anything: there they are taken for a chain. */
    if (t->pattern == FE_PATTERN_BERT && t->flags & FE_BERT_FLAGS && (t->normal_size || t->late.any)) return false;
    const bool cut = t->pattern == FE_PATTERN_BERT || t->pattern == FE_PATTERN_PROGRAM || t->pattern == FE_PATTERN_NONE;
    return cut && (words || (t->flags & FE_UNIGRAM && !(t->flags & FE_F32_SUMS)));
}

fe_status fe_places(const fe_tokenizer *t, const fe_place_job *job, int32_t *spans, int32_t *words, uint8_t *placed) {
    fe_norm_head bert[BERT_STEPS];
    fe_placer pl = {.e = {.t = t, .readable = job->utf8 + job->ends[job->texts], .stop = INT64_MAX}};
    fe_status status = FE_OK;
    if (job->choice && job->choice->tokenizer != t) return FE_BAD_MODEL;
    pl.e.choice = job->choice && job->choice->any ? job->choice : NULL;
    pl.e.pattern = t->pattern;
    pl.steps = t->normal;
    pl.steps_size = t->normal_size;
    if (t->pattern == FE_PATTERN_BERT && !t->normal_size) {
        pl.steps = (const uint8_t *)bert;
        pl.steps_size = bert_steps(t->flags, bert);
    }
    for (int64_t i = 0; i < job->texts && status == FE_OK; i++) {
        pl.ids = job->ids + job->offsets[i];
        pl.spans = (fe_span *)(void *)spans + job->offsets[i];
        pl.words = words ? words + job->offsets[i] : NULL;
        pl.at = 0;
        pl.count = job->offsets[i + 1] - job->offsets[i];
        status = can_place(t) ? place_text(&pl, job->utf8 + job->ends[i], job->utf8 + job->ends[i + 1]) : FE_UNPLACED;
        placed[i] = status == FE_OK && pl.at == pl.count;
        if (status != FE_NO_MEMORY) status = FE_OK; /* the general road says what else there is to say */
    }
    free(pl.e.symbols);
    free(pl.e.early.tokens);
    free(pl.e.late.tokens);
    fe_lattice_clear(&pl.e.lattice);
    fe_aligner_clear(&pl.aligner);
    return status;
}
