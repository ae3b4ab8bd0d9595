/* train_tally.c: texts → their distinct pieces, and how often each came. */
#include "train_tally.h"

#include "scan.h"
#include "text.h"
#include "utf8.h"
#include "walk.h"

enum { AT_ONCE = 32 }; /* pieces whose slots are asked for before the first of them is looked up */

fe_status fe_tally_new(const fe_tally_model *model, fe_tally **out) {
    *out = NULL;
    if (model->pattern < FE_PATTERN_NONE || model->pattern > FE_PATTERN_PROGRAM) return FE_BAD_MODEL;
    if (model->normal < 0 || !fe_normal_valid(model->normal_bytes, (uint64_t)model->normal)) return FE_BAD_MODEL;
    fe_tally *const tally = fe_new_zeros(1, sizeof *tally);
    if (!tally) return FE_NO_MEMORY;
    tally->pattern = model->pattern;
    tally->path = fe_scan_path(model->path);
    tally->steps = model->normal_bytes;
    tally->steps_size = (uint64_t)model->normal;
    tally->pieces.seed = model->seed;
    if (model->pattern == FE_PATTERN_PROGRAM) {
        const fe_status status = fe_cutters_new(model->chain, &tally->cutters);
        if (status != FE_OK) {
            fe_tally_free(tally);
            return status;
        }
    }
    *out = tally;
    return FE_OK;
}

void fe_tally_free(fe_tally *tally) {
    if (!tally) return;
    free(tally->cutters);
    free(tally->counts);
    fe_normal_clear(&tally->normal);
    fe_set_clear(&tally->pieces);
    free(tally);
}

/* Counts a piece `times` times. */
static bool count_piece(fe_tally *tally, uint64_t hash, const uint8_t *p, uint32_t size, uint64_t times) {
    const uint64_t before = tally->pieces.count;
    if (!fe_array_room((void **)&tally->counts, &tally->counts_room, before, 1, sizeof *tally->counts)) return false;
    const int64_t number = fe_set_put(&tally->pieces, hash, p, size);
    if (number < 0) return false;
    if (tally->pieces.count > before) tally->counts[number] = 0;
    tally->counts[number] += times;
    tally->total += times;
    return true;
}

/* Counts pieces of a text, some at a time: what a look-up waits for is memory, so several are on their way. */
static fe_status count_pieces(fe_tally *tally, const uint8_t *text, const uint32_t *starts, const uint32_t *ends,
                              int64_t count) {
    uint64_t hashes[AT_ONCE];
    for (int64_t first = 0; first < count; first += AT_ONCE) {
        const int64_t some = count - first < AT_ONCE ? count - first : AT_ONCE;
        for (int64_t i = 0; i < some; i++) {
            const uint32_t start = starts[first + i];
            hashes[i] = fe_set_hash(&tally->pieces, text + start, ends[first + i] - start);
            fe_set_prefetch(&tally->pieces, hashes[i]);
        }
        for (int64_t i = 0; i < some; i++) {
            const uint32_t start = starts[first + i];
            if (!count_piece(tally, hashes[i], text + start, ends[first + i] - start, 1)) return FE_NO_MEMORY;
        }
    }
    return FE_OK;
}

static fe_status count_scanned(fe_tally *tally, const uint8_t *p, const uint8_t *end) {
    uint32_t cuts[FE_CUTS_ROOM];
    fe_scan scan;
    fe_scan_start(&scan, tally->pattern, tally->path, p, end, cuts);
    fe_scan_next(&scan, end);
    for (bool more = true; more;) {
        const int64_t pieces = fe_scan_more(&scan);
        const fe_status status = count_pieces(tally, p, cuts, cuts + 1, pieces);
        if (status != FE_OK) return status;
        more = !scan.done;
        if (more) fe_scan_drop(&scan, pieces);
    }
    return FE_OK;
}

static fe_status count_chain(fe_tally *tally, const uint8_t *p, const uint8_t *end) {
    fe_cutting cutting;
    fe_cutting_start(&cutting, tally->cutters, p);
    fe_cutting_next(&cutting, p, end);
    while (!fe_cutting_done(&cutting)) {
        fe_cutting_more(&cutting);
        const fe_status status = count_pieces(tally, p, cutting.starts, cutting.ends, cutting.count);
        if (status != FE_OK) return status;
        cutting.count = 0;
    }
    return FE_OK;
}

static fe_status count_text(fe_tally *tally, const uint8_t *p, const uint8_t *end) {
    if (end - p >= FE_MAX_TEXT) return FE_TOO_LONG;
    if (tally->steps_size) {
        const fe_status status = fe_normal_apply(&tally->normal, tally->steps, tally->steps_size, &p, &end);
        if (status != FE_OK) return status;
        if (end - p >= FE_MAX_TEXT) return FE_TOO_LONG;
    }
    if (p == end) return FE_OK;
    return tally->cutters ? count_chain(tally, p, end) : count_scanned(tally, p, end);
}

fe_status fe_tally_add(fe_tally *tally, const fe_job *job) {
    const fe_texts all = fe_texts_of(job);
    const uint8_t *before = job->utf8;
    for (int64_t i = 0; i < job->texts; i++) {
        const uint8_t *end, *const p = fe_text_at(&all, i, before, &end);
        const fe_status status = end ? count_text(tally, p, end) : FE_BAD_TEXT;
        if (status != FE_OK) return status;
        before = end;
    }
    return FE_OK;
}

fe_status fe_tally_add_lines(fe_tally *tally, const uint8_t *utf8, int64_t size) {
    for (const uint8_t *p = utf8, *const end = utf8 + size, *stop; p < end; p = stop) {
        const uint8_t *const feed = memchr(p, '\n', (size_t)(end - p));
        stop = feed ? feed + 1 : end;
        const fe_status status = count_text(tally, p, stop);
        if (status != FE_OK) return status;
    }
    return FE_OK;
}

fe_status fe_tally_merge(fe_tally *tally, const fe_tally *other) {
    for (uint64_t i = 0; i < other->pieces.count; i++) {
        const uint8_t *end, *const p = fe_tally_piece(other, i, &end);
        const uint32_t size = (uint32_t)(end - p);
        if (!count_piece(tally, fe_set_hash(&tally->pieces, p, size), p, size, other->counts[i])) return FE_NO_MEMORY;
    }
    return FE_OK;
}

void fe_tally_look(const fe_tally *tally, fe_tally_contents *contents) {
    *contents = (fe_tally_contents){
        .pieces = (int64_t)tally->pieces.count,
        .bytes = (int64_t)tally->pieces.used,
        .total = (int64_t)tally->total,
        .memory = (int64_t)(fe_set_memory(&tally->pieces) + tally->counts_room * sizeof *tally->counts),
    };
}

void fe_tally_read(const fe_tally *tally, uint8_t *bytes, int64_t *offsets, uint64_t *counts) {
    const fe_set *const pieces = &tally->pieces;
    if (pieces->used) memcpy(bytes, pieces->bytes, (size_t)pieces->used);
    for (uint64_t i = 0; i < pieces->count; i++) offsets[i] = (int64_t)pieces->places[i].start;
    offsets[pieces->count] = (int64_t)pieces->used;
    if (pieces->count) memcpy(counts, tally->counts, (size_t)pieces->count * sizeof *counts);
}

void fe_tally_chars(const fe_tally *tally, uint64_t *counts) {
    for (uint64_t i = 0; i < tally->pieces.count; i++) {
        const uint8_t *end, *p = fe_tally_piece(tally, i, &end);
        for (uint32_t place = FE_PLACE_FIRST; p < end; place = 0) {
            uint32_t code;
            p += fe_utf8_read(p, end, &code);
            if (p == end) place |= FE_PLACE_LAST;
            counts[place * FE_PLACE + code] += tally->counts[i];
        }
    }
}
