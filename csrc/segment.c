/* segment.c: one text → segments between added tokens → pieces. */
#include "chain_walk.h"
#include "classes.h"
#include "model.h"
#include "runs.h"
#include "scan.h"
#include "split.h"
#include "traits.h"
#include "utf8.h"
#include "walk.h"

static fe_status encode_scanned(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    uint32_t cuts[FE_CUTS_ROOM];
    fe_scan scan;
    fe_status status = FE_OK;
    fe_rows none = {NULL, 0, NULL, 0};
    fe_scan_start(&scan, e->pattern, e->t->path, p, e->readable, cuts);
    fe_scan_next(&scan, end);
    for (bool more = true; more && status == FE_OK;) {
        const int64_t pieces = fe_scan_more(&scan);
        status = fe_encode_pieces(e, fe_pieces_between(p, cuts, pieces), &none);
        if (status == FE_OK && e->written >= e->stop) status = FE_ENOUGH;
        more = !scan.done;
        if (more) fe_scan_drop(&scan, pieces);
    }
    return status;
}

bool fe_mark_front(const fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    const uint32_t flags = e->t->flags;
    if (!(flags & FE_PREPEND) || (flags & FE_PREPEND_FIRST && p != e->text)) return false;
    if (!(flags & FE_PREPEND_ONCE)) return true;
    uint32_t code;
    fe_utf8_read(p, end, &code);
    return fe_char_seen(&e->t->chars, code) != FE_MARK;
}

static fe_status encode_segment(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    const uint32_t flags = e->t->flags;
    if (p == end) return FE_OK;
    if (e->t->pattern == FE_PATTERN_BERT) return fe_encode_runs(e, p, end);
    if (e->pattern == FE_PATTERN_PROGRAM) return fe_encode_chain(e, p, end);
    const bool front = flags & FE_BYTE_LEVEL ? flags & FE_ADD_SPACE && *p != ' ' : fe_mark_front(e, p, end);
    if (e->t->kind->segment) return e->t->kind->segment(e, p, end, front);
    if (e->t->chars.wholes && !(flags & FE_SPLIT_MARKS)) {
        const int32_t token = fe_chars_whole(&e->t->chars, p, end, front);
        if (token >= 0) return fe_write_ids(e, &e->t->token_ids[token], 1);
    }
    if (front) { /* the piece with what stands in front of it comes by itself */
        const uint8_t *next;
        if (e->t->kind->cut)
            next = e->t->kind->cut(e->t, p, end, true);
        else
            next = e->pattern == FE_PATTERN_NONE ? end : fe_split_next(e->pattern, p, end, true);
        const fe_status status = fe_encode_piece(e, p, next, true);
        if (status != FE_OK || next == end) return status;
        p = next;
    }
    if (e->pattern == FE_PATTERN_NONE && e->t->kind->cut) return fe_encode_stretch(e, p, end, true);
    return encode_scanned(e, p, end);
}

/* True if neither the character before a match in [p, end) nor the one behind it is part of a word. */
static bool is_single_word(const fe_match *match, const uint8_t *p, const uint8_t *end) {
    uint32_t code;
    if (match->start > p) {
        (void)fe_utf8_before(p, match->start, end, &code);
        if (fe_is_word(code)) return false;
    }
    if (match->end == end) return true;
    (void)fe_utf8_read(match->end, end, &code);
    return !fe_is_word(code);
}

/* The start of the white space in front of `at`, at the lowest p. */
static const uint8_t *white_before(const uint8_t *p, const uint8_t *at, const uint8_t *end) {
    uint32_t code;
    for (int32_t length; at > p; at -= length) {
        length = fe_utf8_before(p, at, end, &code);
        if (fe_class_of(code) != FE_CLASS_SPACE) break;
    }
    return at;
}

/* The end of the white space behind `at`. The run that was read last is not read again: a token may stand, and take
 * what is behind it, anywhere inside a run. */
static const uint8_t *white_behind(const uint8_t *at, const uint8_t *end, const uint8_t *run[2]) {
    int32_t length;
    if (run[0] && at >= run[0] && at <= run[1]) return run[1];
    run[0] = at;
    while (at < end && fe_class_at(at, end, &length) == FE_CLASS_SPACE) at += length;
    return run[1] = at;
}

/* In Hugging Face's engine a token whose action is PLAIN, or that is to be a word by itself and is none, still uses up
 * its characters, so none overlaps it; in tiktoken it does not. White space that a token takes is not used up: the next
 * token is looked for right behind this one's own characters, and may begin in that space or hold it again. */
fe_status fe_cut_added(fe_encoder *e, bool late, const uint8_t *p, const uint8_t *end, const fe_parts *to) {
    const fe_tokenizer *const t = e->t;
    const fe_added *const added = late ? &t->late : &t->early;
    fe_window *const window = late ? &e->late : &e->early;
    const int32_t *const out = late ? e->choice->late_out : e->choice->early_out;
    const fe_wanted wanted = {t->flags & FE_OVERLAP ? e->choice->actions : NULL, out ? out : added->machine.out};
    const uint32_t *const offsets = late ? t->late_offsets : t->added_offsets;
    const uint8_t *const begin = p, *run[2] = {NULL, NULL};
    fe_match match;
    fe_status status;
    for (const uint8_t *from = p;; from = match.end) {
        status = fe_added_find(added, offsets, window, from, end, wanted, &match);
        if (status != FE_OK) return status;
        if (match.token < 0) break;
        const uint8_t action = e->choice->actions[match.token], flags = t->added_flags[match.token];
        if (action == FE_TOKEN_PLAIN) continue;
        if (flags & FE_ADDED_SINGLE_WORD && !is_single_word(&match, begin, end)) continue;
        if (action == FE_TOKEN_REFUSE) {
            e->refused = match;
            return FE_SPECIAL;
        }
        const uint8_t *start = flags & FE_ADDED_LSTRIP ? white_before(p, match.start, end) : match.start;
        const uint8_t *const stop = flags & FE_ADDED_RSTRIP ? white_behind(match.end, end, run) : match.end;
        if (start < p && flags & FE_ADDED_LSTRIP) start = p;
        status = p < start ? to->text(e, p, start) : FE_OK;
        if (status == FE_OK && start < stop) status = to->added(e, match.token, start, stop);
        if (status != FE_OK) return status;
        p = stop;
    }
    return p < end ? to->text(e, p, end) : FE_OK;
}

static fe_status write_added(fe_encoder *e, int64_t token, const uint8_t *p, const uint8_t *end) {
    (void)p;
    (void)end;
    const fe_status status = fe_write_ids(e, &e->t->added_ids[token], 1);
    return status == FE_OK && e->written >= e->stop ? FE_ENOUGH : status;
}

/* Normalized text between two early tokens: late ones cut it further. */
static fe_status encode_late(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    static const fe_parts parts = {encode_segment, write_added};
    return e->choice ? fe_cut_added(e, true, p, end, &parts) : encode_segment(e, p, end);
}

/* Text between two early tokens. */
static fe_status encode_stretch(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    if (!e->normal_size) return encode_late(e, p, end);
    const uint8_t *const readable = e->readable, *const raw = p;
    fe_status status = fe_normal_apply(&e->normal, e->t->normal, e->normal_size, &p, &end);
    if (status != FE_OK || p == raw) return status == FE_OK ? encode_late(e, p, end) : status;
    const uint8_t *const whole = e->text;
    e->readable = end + FE_BEHIND;
    if (raw == whole) e->text = p; /* the stretch with which the text starts */
    e->late.to = e->late.end = NULL; /* what it knows was of another text, in the same memory */
    status = encode_late(e, p, end);
    if (status == FE_SPECIAL) e->refused.start = e->refused.end = raw;
    e->readable = readable;
    e->text = whole;
    return status;
}

fe_status fe_encode_text(fe_encoder *e, const uint8_t *p, const uint8_t *end) {
    e->unk_pending = false;
    e->text = p;
    if (end - p >= FE_MAX_TEXT) return FE_TOO_LONG;
    static const fe_parts parts = {encode_stretch, write_added};
    return e->choice ? fe_cut_added(e, false, p, end, &parts) : encode_stretch(e, p, end);
}
