/* train_suffix.c: suffixes of words in their order, and the substrings that come more than once.
 *
 * A piece has at most 32 characters, so suffixes need be sorted by so many only: by as many as a key of 64 bits holds,
 * then by twice as many in each pass, with the ranks of the pass before for keys. Each pass is a radix sort, so all is
 * linear. Suffixes side by side that have a beginning in common are a range; a substring that can be made longer in one
 * way only is no piece to begin with, for the longer one comes as often.
 */
#include <math.h>

#include "train_pieces.h"

enum { DIGIT = 11 };

void fe_sorting_clear(fe_sorting *s) {
    void *const parts[] = {s->keys, s->spare, s->order, s->spare_order, s->ranks};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
    *s = (fe_sorting){0};
}

/* ------------------------------------------------------------------ sorting */

/* Sorts keys, and the order with them; equal keys stay as they stand. */
static void radix_sort(fe_sorting *s, uint64_t count) {
    static const uint64_t mask = (1 << DIGIT) - 1;
    for (uint32_t shift = 0; shift < 64; shift += DIGIT) {
        uint64_t starts[1 << DIGIT] = {0}, sum = 0;
        for (uint64_t i = 0; i < count; i++) starts[s->keys[i] >> shift & mask]++;
        if (starts[s->keys[0] >> shift & mask] == count) continue; /* all alike */
        for (uint64_t d = 0; d <= mask; d++) {
            const uint64_t here = starts[d];
            starts[d] = sum;
            sum += here;
        }
        for (uint64_t i = 0; i < count; i++) {
            const uint64_t to = starts[s->keys[i] >> shift & mask]++;
            s->spare[to] = s->keys[i];
            s->spare_order[to] = s->order[i];
        }
        uint64_t *const keys = s->keys;
        uint32_t *const order = s->order;
        s->keys = s->spare;
        s->order = s->spare_order;
        s->spare = keys;
        s->spare_order = order;
    }
}

/* The first key of a suffix: `known` characters, of the last of which nothing counts behind the end of the word. */
static uint64_t first_key(const uint32_t *text, uint32_t known, uint32_t bits) {
    uint64_t key = 0;
    bool more = true;
    for (uint32_t i = 0; i < known; i++) {
        more = more && text[i] != FE_BORDER;
        key = key << bits | (more ? text[i] : 0);
    }
    return key;
}

static bool ends_within(const uint32_t *text, uint32_t size) {
    for (uint32_t i = 0; i < size; i++)
        if (text[i] == FE_BORDER) return true;
    return false;
}

static fe_status begin(fe_pieces_trainer *t) {
    fe_sorting *const s = &t->sorting;
    s->keys = fe_new(t->suffixes, sizeof *s->keys);
    s->spare = fe_new(t->suffixes, sizeof *s->spare);
    s->order = fe_new(t->suffixes, sizeof *s->order);
    s->spare_order = fe_new(t->suffixes, sizeof *s->spare_order);
    s->ranks = fe_new_zeros(t->text_size, sizeof *s->ranks);
    if (!s->keys || !s->spare || !s->order || !s->spare_order || !s->ranks) return FE_NO_MEMORY;
    uint32_t bits = 1;
    while ((uint64_t)1 << bits < (uint64_t)t->chars + FE_CHARS) bits++;
    s->known = bits <= 8 ? 8 : bits <= 16 ? 4 : 2;
    uint64_t n = 0;
    for (uint64_t i = 0; i < t->text_size; i++) {
        if (t->text[i] == FE_BORDER) continue;
        s->keys[n] = first_key(t->text + i, s->known, bits);
        s->order[n++] = (uint32_t)i;
    }
    return FE_OK;
}

fe_status fe_sort_suffixes(fe_pieces_trainer *t) {
    fe_sorting *const s = &t->sorting;
    if (!s->known) {
        const fe_status status = begin(t);
        if (status != FE_OK) return status;
    } else {
        for (uint64_t i = 0; i < t->suffixes; i++) {
            const uint32_t place = s->order[i];
            const bool ends = ends_within(t->text + place, s->known);
            s->keys[i] = (uint64_t)s->ranks[place] << 32 | (ends ? 0 : s->ranks[place + s->known]);
        }
        s->known *= 2;
    }
    radix_sort(s, t->suffixes);
    uint32_t rank = 0;
    for (uint64_t i = 0; i < t->suffixes; i++) {
        rank += i == 0 || s->keys[i] != s->keys[i - 1];
        s->ranks[s->order[i]] = rank;
    }
    return s->known < t->longest && rank < t->suffixes ? FE_FULL : FE_OK;
}

/* ------------------------------------------------------------------ substrings */

/* A substring and the suffixes that begin with it, from `first` up to `last`. */
typedef struct range {
    double score;
    uint32_t first, last, length;
} range;

typedef struct ranges {
    range *of;
    uint64_t count, room;
} ranges;

/* Characters that two suffixes have in common, at most `longest`. */
static uint32_t in_common(const fe_pieces_trainer *t, uint32_t a, uint32_t b) {
    uint32_t n = 0;
    while (n < t->longest && t->text[a + n] == t->text[b + n] && t->text[a + n] != FE_BORDER) n++;
    return n;
}

/* True if some characters may be a piece. */
static bool is_piece(const fe_pieces_trainer *t, const uint32_t *text, uint32_t length) {
    int32_t script = -1;
    for (uint32_t i = 0; i < length; i++) {
        if (text[i] == FE_UNKNOWN || (i && text[i] == t->mark)) return false;
        const int32_t its = t->scripts[text[i] - FE_CHARS];
        if (its >= 0 && script >= 0 && its != script) return false;
        if (its >= 0) script = its;
    }
    return true;
}

/* All substrings of two characters or more that come twice or more, as ranges of suffixes; `sums` has the weights of
 * the suffixes before each. */
static bool find_ranges(const fe_pieces_trainer *t, const double *sums, ranges *found) {
    struct open {
        uint32_t first, length;
    } open[FE_LENGTHS + 1] = {{0, 0}};
    const uint32_t *const order = t->sorting.order;
    uint32_t depth = 0; /* open[0] is of no characters, and never closed */
    for (uint64_t i = 1; i <= t->suffixes; i++) {
        const uint32_t length = i < t->suffixes ? in_common(t, order[i - 1], order[i]) : 0;
        uint32_t first = (uint32_t)i - 1;
        while (open[depth].length > length) {
            first = open[depth].first;
            const uint32_t its = open[depth--].length;
            if (its < 2 || !is_piece(t, t->text + order[first], its)) continue;
            if (!fe_array_room((void **)&found->of, &found->room, found->count, 1, sizeof *found->of)) return false;
            const double weight = sums[i] - sums[first];
            found->of[found->count++] = (range){weight * its, first, (uint32_t)i, its};
        }
        if (open[depth].length < length) {
            depth++;
            open[depth].first = first;
            open[depth].length = length;
        }
    }
    return true;
}

/* The score that `most` ranges have or exceed, by taking the numbers apart around one of them again and again. */
static double nth_score(double *scores, uint64_t count, uint64_t most) {
    uint64_t first = 0, last = count;
    while (last - first > 1) {
        const double pivot = scores[first + (last - first) / 2];
        uint64_t higher = first, i = first, lower = last;
        while (i < lower) {
            const double score = scores[i];
            if (score > pivot) {
                scores[i++] = scores[higher];
                scores[higher++] = score;
            } else if (score < pivot) {
                scores[i] = scores[--lower];
                scores[lower] = score;
            } else {
                i++;
            }
        }
        if (most <= higher) last = higher;
        else if (most > lower) first = lower;
        else return pivot;
    }
    return scores[first];
}

/* Keeps the ranges of the highest scores, in their order; of those that tie, the first. */
static bool keep_best(ranges *found, uint64_t most) {
    if (found->count <= most) return true;
    double *const scores = fe_new(found->count, sizeof *scores);
    if (!scores) return false;
    for (uint64_t i = 0; i < found->count; i++) scores[i] = found->of[i].score;
    const double least = most ? nth_score(scores, found->count, most) : INFINITY;
    free(scores);
    uint64_t kept = 0, ties = most;
    for (uint64_t i = 0; i < found->count; i++) ties -= found->of[i].score > least;
    for (uint64_t i = 0; i < found->count; i++) {
        const double score = found->of[i].score;
        if (score < least || (score == least && !ties)) continue;
        ties -= score == least;
        found->of[kept++] = found->of[i];
    }
    found->count = kept;
    return true;
}

/* ------------------------------------------------------------------ seeds */

/* The weights of the suffixes in their order, summed up; sums has one more than there are. */
static bool sum_weights(const fe_pieces_trainer *t, double *sums) {
    double *const weights = fe_new(t->text_size, sizeof *weights);
    if (!weights) return false;
    for (uint64_t w = 0; w < t->words_count; w++)
        for (uint32_t i = t->words[w]; i < t->words[w + 1]; i++) weights[i] = t->counts[w];
    sums[0] = 0;
    for (uint64_t i = 0; i < t->suffixes; i++) sums[i + 1] = sums[i] + weights[t->sorting.order[i]];
    free(weights);
    return true;
}

/* The characters and the substrings as pieces, the former by how often they come. */
static bool make_pieces(fe_pieces_trainer *t, const ranges *found) {
    t->count = (uint64_t)t->chars + 1 + found->count;
    t->pieces = fe_new_zeros(t->count, sizeof *t->pieces);
    t->scores = fe_new_zeros(t->count, sizeof *t->scores);
    t->factors = fe_new_zeros(t->count, sizeof *t->factors);
    t->expected = fe_new_zeros(t->count, sizeof *t->expected);
    if (!t->pieces || !t->scores || !t->factors || !t->expected) return false;
    for (uint64_t w = 0; w < t->words_count; w++)
        for (uint32_t i = t->words[w]; t->text[i] != FE_BORDER; i++) {
            const uint32_t piece = t->text[i] == FE_UNKNOWN ? fe_unknown_piece(t) : t->text[i] - FE_CHARS;
            t->pieces[piece] = (fe_stretch){i, 1};
            t->scores[piece] += t->counts[w];
        }
    t->scores[fe_unknown_piece(t)] = 0;
    double sum = 0;
    for (uint64_t i = 0; i < t->count; i++) {
        if (i > t->chars) {
            const range *const its = &found->of[i - t->chars - 1];
            t->pieces[i] = (fe_stretch){t->sorting.order[its->first], its->length};
            t->scores[i] = its->score;
        }
        sum += t->scores[i];
    }
    for (uint64_t i = 0; i < t->count; i++) t->scores[i] = log(t->scores[i]) - log(sum); /* -INFINITY: it never comes */
    return true;
}

/* The edges of all places: their own characters, then the substrings in the order of their numbers. */
static bool make_edges(fe_pieces_trainer *t, const ranges *found) {
    const uint32_t *const order = t->sorting.order;
    uint64_t *const at = t->edges_at = fe_new_zeros(t->text_size + 1, sizeof *at);
    if (!at) return false;
    for (uint64_t i = 0; i < t->text_size; i++) at[i] = t->text[i] != FE_BORDER;
    for (uint64_t n = 0; n < found->count; n++)
        for (uint32_t i = found->of[n].first; i < found->of[n].last; i++) at[order[i]]++;
    uint64_t all = 0;
    for (uint64_t i = 0; i <= t->text_size; i++) { /* each becomes the end of the edges before it */
        const uint64_t here = at[i];
        at[i] = all;
        all += here;
    }
    t->edges = fe_new(all, sizeof *t->edges);
    if (!t->edges) return false;
    for (uint64_t i = 0; i < t->text_size; i++) {
        if (t->text[i] == FE_BORDER) continue;
        const uint32_t piece = t->text[i] == FE_UNKNOWN ? fe_unknown_piece(t) : t->text[i] - FE_CHARS;
        t->edges[at[i]++] = piece << FE_LENGTH_BITS | 1;
    }
    for (uint64_t n = 0; n < found->count; n++) {
        const uint32_t edge = (uint32_t)(n + t->chars + 1) << FE_LENGTH_BITS | found->of[n].length;
        for (uint32_t i = found->of[n].first; i < found->of[n].last; i++) t->edges[at[order[i]]++] = edge;
    }
    memmove(at + 1, at, (size_t)t->text_size * sizeof *at); /* they are where the next ones begin now */
    at[0] = 0;
    return true;
}

fe_status fe_find_seeds(fe_pieces_trainer *t) {
    ranges found = {0};
    const uint64_t chars = (uint64_t)t->chars + 1;
    double *const sums = fe_new(t->suffixes + 1, sizeof *sums);
    bool good = sums && sum_weights(t, sums) && find_ranges(t, sums, &found);
    free(sums);
    good = good && keep_best(&found, t->seeds > chars ? t->seeds - chars : 0) && make_pieces(t, &found) &&
           make_edges(t, &found);
    free(found.of);
    fe_sorting_clear(&t->sorting);
    return good ? FE_OK : FE_NO_MEMORY;
}
