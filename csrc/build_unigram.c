/* build_unigram.c: the pieces of a vocabulary whose pieces have scores. */
#include <float.h>
#include <math.h>

#include "build.h"
#include "mem.h"
#include "utf8.h"

static const uint8_t mark[3] = {0xE2, 0x96, 0x81};

/* Writes a name as the trie has it. With FE_SPACE_MARK no text has a space, so a name with one is never found. */
static bool write_name(const uint8_t *name, int64_t size, bool spaces, uint8_t *to, int64_t *written) {
    bool found = true;
    *written = 0;
    for (int64_t i = 0; i < size; i++) {
        const bool is_mark = spaces && size - i >= 3 && memcmp(name + i, mark, 3) == 0;
        found = found && !(spaces && name[i] == ' ');
        to[(*written)++] = is_mark ? ' ' : name[i];
        if (is_mark) i += 2;
    }
    return found;
}

/* True if a way leads through the place before every run of marks, and no run of unknown characters does: the mark is a
 * piece, no piece has one behind anything else, and none that begins with one counts as unknown. */
static bool is_cut_at_spaces(const fe_builder *b, const uint8_t *names, const uint32_t *ends, const uint8_t *flags) {
    const fe_model *const m = b->model;
    const int32_t node = fe_trie_next(b->wholes.units, 0, ' ');
    if (!(m->flags & FE_SPACE_MARK)) return false;
    if (m->flags & FE_SPLIT_MARKS) return true;
    if (node < 0 || b->wholes.units[node].value < 0) return false;
    for (int64_t i = 0; i < m->wholes; i++) {
        if (flags[i]) continue;
        if (names[ends[i]] == ' ' && m->whole_tokens[i] == m->unk) return false;
        for (uint32_t at = ends[i] + 1; at < ends[i + 1]; at++)
            if (names[at] == ' ' && names[at - 1] != ' ') return false;
    }
    return true;
}

/* Requires room for all names, and for an offset and a flag more than there are. */
static fe_status fill(fe_builder *b, uint8_t *names, uint32_t *ends, uint8_t *flags) {
    const fe_model *const m = b->model;
    int64_t used = 0, end = 0;
    ends[0] = 0;
    for (int64_t i = 0; i < m->wholes; i++) {
        const int64_t first = m->whole_offsets[i], last = m->whole_offsets[i + 1];
        int64_t written;
        if (first != end || last <= first || last - first > FE_MOST_PIECE_BYTES || last >= INT32_MAX)
            return FE_BAD_MODEL;
        if (m->whole_tokens[i] < 0 || m->whole_tokens[i] >= m->vocab || !(fabs(m->whole_scores[i]) <= DBL_MAX))
            return FE_BAD_MODEL;
        flags[i] = !write_name(m->whole_bytes + first, last - first, m->flags & FE_SPACE_MARK, names + used, &written);
        used += written;
        ends[i + 1] = (uint32_t)used;
        b->whole_scores[i] = m->whole_scores[i];
        end = last;
    }
    const fe_keys keys = {names, ends, flags, m->wholes, 1, 0, false};
    const fe_status status = fe_trie_build(&keys, &b->wholes);
    if (status == FE_OK) b->header.space_cuts = is_cut_at_spaces(b, names, ends, flags);
    return status;
}

/* The characters of a piece, which is a name of the file: with marks for spaces. */
static void add_chars(const uint8_t *p, const uint8_t *end, fe_char_set *set, uint32_t *codes, uint32_t *left,
                      uint32_t *right) {
    for (bool first = true; p < end; first = false) {
        uint32_t code;
        p += fe_utf8_read(p, end, &code);
        if (!first) {
            left[set->pairs] = codes[set->chars - 1];
            right[set->pairs++] = code;
        }
        codes[set->chars++] = code;
    }
}

/* Which characters are in pieces at all, and which two stand side by side in some: between others every way parts. */
static fe_status build_sides(fe_builder *b) {
    const fe_model *const m = b->model;
    const uint64_t bytes = (uint64_t)(m->wholes ? m->whole_offsets[m->wholes] : 0);
    uint32_t *const codes = fe_new(bytes, sizeof *codes), *const left = fe_new(bytes, sizeof *left),
             *const right = fe_new(bytes, sizeof *right);
    fe_char_set set = {codes, NULL, left, right, 0, 0};
    fe_status status = codes && left && right ? FE_OK : FE_NO_MEMORY;
    for (int64_t i = 0; i < m->wholes && status == FE_OK; i++)
        add_chars(m->whole_bytes + m->whole_offsets[i], m->whole_bytes + m->whole_offsets[i + 1], &set, codes, left,
                  right);
    if (status == FE_OK) status = fe_build_pages(b, &set, 1);
    if (status == FE_OK) status = fe_build_cuts(b, &set, m->flags | FE_CUT, true);
    free(codes);
    free(left);
    free(right);
    return status;
}

/* Scores in 32 bits, which they must fit, beside ids. */
static fe_status build_values(fe_builder *b) {
    const fe_model *const m = b->model;
    b->whole_values = fe_new_zeros((uint64_t)m->wholes + 1, sizeof *b->whole_values);
    if (!b->whole_values) return FE_NO_MEMORY;
    b->counts[FE_S_WHOLE_VALUES] = (uint64_t)m->wholes + 1;
    bool exact = (double)(float)m->unk_score == m->unk_score;
    for (int64_t i = 0; i < m->wholes; i++) {
        b->whole_values[i] = (fe_value){(float)m->whole_scores[i], m->token_ids[m->whole_tokens[i]]};
        exact &= (double)b->whole_values[i].score == m->whole_scores[i];
    }
    return exact ? FE_OK : FE_BAD_MODEL;
}

fe_status fe_build_unigram(fe_builder *b) {
    const fe_model *const m = b->model;
    if (m->unk < 0 || m->wholes < 0 || m->wholes >= INT32_MAX - 1 || !(fabs(m->unk_score) <= DBL_MAX))
        return FE_BAD_MODEL;
    const int64_t bytes = m->wholes ? m->whole_offsets[m->wholes] : 0;
    if (bytes < 0 || bytes >= INT32_MAX) return FE_BAD_MODEL;
    uint8_t *const names = fe_new((uint64_t)bytes, 1), *const flags = fe_new((uint64_t)m->wholes + 1, 1);
    uint32_t *const ends = fe_new((uint64_t)m->wholes + 1, sizeof *ends);
    b->whole_scores = fe_new((uint64_t)m->wholes + 1, sizeof *b->whole_scores);
    fe_status status = names && flags && ends && b->whole_scores ? FE_OK : FE_NO_MEMORY;
    if (status == FE_OK) {
        b->whole_scores[m->wholes] = m->unk_score;
        b->counts[FE_S_WHOLE_SCORES] = (uint64_t)m->wholes + 1;
        status = fill(b, names, ends, flags);
        if (status == FE_OK && fe_sums_run(m->flags)) status = build_sides(b);
        if (status == FE_OK && fe_sums_run(m->flags)) status = build_values(b);
    }
    free(names);
    free(flags);
    free(ends);
    return status;
}
