/* train_pieces.c: pieces with scores, by expectation maximization and pruning, as SentencePiece has them.
 *
 * From many substrings those are taken away, a part at a time, without which words lose the least probability; between
 * two prunings the probabilities are made those that the words expect of them. What is done to the letter of the
 * paper's authors, and where this goes another way, is said in docs/design/tokenizer_train.md.
 */
#include "train_pieces.h"

#include <math.h>

#include "utf8.h"

static const double PENALTY = 10; /* an unknown character scores so much less than the worst piece */
static const double FEWEST = 0.5; /* what must be expected of a substring; of a character no less is taken */

/* ------------------------------------------------------------------ words */

typedef struct word {
    const uint8_t *p;
    uint64_t count;
    uint32_t size;
} word;

/* By their bytes: sums then do not depend on the order in which words were counted. */
static int by_bytes(const void *a, const void *b) {
    const word *const x = a, *const y = b;
    const int order = memcmp(x->p, y->p, x->size < y->size ? x->size : y->size);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* The number of a character in the text. */
static uint32_t number_of(const fe_pieces_trainer *t, uint32_t code) {
    uint32_t low = 0, high = t->chars;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (t->codes[middle] < code) low = middle + 1;
        else high = middle;
    }
    return low < t->chars && t->codes[low] == code ? low + FE_CHARS : FE_UNKNOWN;
}

static void read_words(fe_pieces_trainer *t, const word *words) {
    uint64_t at = 0;
    for (uint64_t w = 0; w < t->words_count; w++) {
        const uint8_t *p = words[w].p, *const end = p + words[w].size;
        t->words[w] = (uint32_t)at;
        t->counts[w] = (double)words[w].count;
        t->all += t->counts[w];
        while (p < end) {
            uint32_t code;
            p += fe_utf8_read(p, end, &code);
            t->text[at++] = number_of(t, code);
        }
        const uint32_t size = (uint32_t)at - t->words[w];
        t->length += t->counts[w] * size;
        t->suffixes += size;
        t->longest_word = size > t->longest_word ? size : t->longest_word;
        t->text[at++] = FE_BORDER;
    }
    t->words[t->words_count] = (uint32_t)at;
    t->text_size = at;
}

static fe_status take_words(fe_pieces_trainer *t, const fe_tally *tally) {
    t->words_count = tally->pieces.count;
    uint64_t size = 0;
    word *const words = fe_new(t->words_count, sizeof *words);
    if (!words) return FE_NO_MEMORY;
    for (uint64_t i = 0; i < t->words_count; i++, size++) { /* characters, and a border */
        const uint8_t *end, *p = fe_tally_piece(tally, i, &end);
        words[i] = (word){p, tally->counts[i], (uint32_t)(end - p)};
        for (uint32_t code; p < end; size++) p += fe_utf8_read(p, end, &code);
    }
    fe_status status = size < UINT32_MAX ? FE_OK : FE_TOO_LONG;
    t->text = status == FE_OK ? fe_new(size, sizeof *t->text) : NULL;
    t->words = fe_new(t->words_count + 1, sizeof *t->words);
    t->counts = fe_new(t->words_count, sizeof *t->counts);
    if (status == FE_OK && (!t->text || !t->words || !t->counts)) status = FE_NO_MEMORY;
    if (status == FE_OK) {
        qsort(words, (size_t)t->words_count, sizeof *words, by_bytes);
        read_words(t, words);
    }
    free(words);
    return status;
}

/* ------------------------------------------------------------------ made and freed */

static bool is_valid(const fe_pieces_model *model) {
    if (model->pieces < 1 || model->seeds < 1 || model->seeds >= FE_MOST_PIECES || model->longest < 1 ||
        model->longest > 32 || !(model->shrink > 0 && model->shrink < 1) || model->steps < 1 || model->chars < 0 ||
        model->chars >= 0x110000)
        return false;
    for (int64_t i = 1; i < model->chars; i++)
        if (model->char_codes[i] <= model->char_codes[i - 1]) return false;
    return true;
}

fe_status fe_pieces_new(const fe_tally *tally, const fe_pieces_model *model, fe_pieces_trainer **out) {
    *out = NULL;
    if (!is_valid(model)) return FE_BAD_MODEL;
    fe_pieces_trainer *const t = fe_new_zeros(1, sizeof *t);
    if (!t) return FE_NO_MEMORY;
    t->wanted = (uint64_t)model->pieces;
    t->seeds = (uint64_t)model->seeds;
    t->longest = (uint32_t)model->longest;
    t->shrink = model->shrink;
    t->steps = model->steps;
    t->chars = (uint32_t)model->chars;
    t->codes = fe_new(t->chars, sizeof *t->codes);
    t->scripts = fe_new(t->chars, sizeof *t->scripts);
    fe_status status = t->codes && t->scripts ? FE_OK : FE_NO_MEMORY;
    if (status == FE_OK) {
        for (uint32_t i = 0; i < t->chars; i++) {
            t->codes[i] = model->char_codes[i];
            t->scripts[i] = model->char_scripts[i];
        }
        t->mark = number_of(t, model->mark);
        status = take_words(t, tally);
    }
    if (status == FE_OK) {
        const uint64_t room = (t->longest_word > FE_LENGTHS ? t->longest_word : FE_LENGTHS) + (uint64_t)1;
        t->ahead = fe_new(room, sizeof *t->ahead);
        t->behind = fe_new(room, sizeof *t->behind);
        t->back = fe_new(room, sizeof *t->back);
        if (!t->ahead || !t->behind || !t->back) status = FE_NO_MEMORY;
    }
    if (status != FE_OK) {
        fe_pieces_free(t);
        return status;
    }
    if (!t->suffixes) t->stage = FE_STAGE_DONE;
    *out = t;
    return FE_OK;
}

void fe_pieces_free(fe_pieces_trainer *t) {
    if (!t) return;
    void *const parts[] = {t->codes,  t->scripts, t->text,     t->words,    t->counts, t->pieces, t->scores,
                           t->factors, t->expected, t->edges_at, t->edges, t->ahead,  t->behind, t->back};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
    fe_sorting_clear(&t->sorting);
    free(t);
}

/* ------------------------------------------------------------------ expectation maximization */

/* Begins a pass over all words. */
static void go_to(fe_pieces_trainer *t, int32_t stage) {
    t->stage = stage;
    t->word = 0;
    t->sum = 0;
    if (stage == FE_STAGE_EXPECT || stage == FE_STAGE_SEGMENT)
        memset(t->expected, 0, (size_t)t->count * sizeof *t->expected);
}

/* Makes factors of scores: what sums are made of. What is unknown has a worse score than all that is known. */
static void make_factors(fe_pieces_trainer *t) {
    double lowest = INFINITY;
    for (uint64_t i = 0; i < t->count; i++)
        if (t->scores[i] > -INFINITY && i != fe_unknown_piece(t) && t->scores[i] < lowest) lowest = t->scores[i];
    t->scores[fe_unknown_piece(t)] = (lowest < INFINITY ? lowest : 0) - PENALTY;
    t->base = exp(t->loss > 0 ? t->loss * t->all / t->length : 2);
    const double step = log(t->base);
    for (uint64_t i = 0; i < t->count; i++) t->factors[i] = exp(t->scores[i] + step * t->pieces[i].length);
}

/* True of what has no score, or is no piece. */
static inline bool is_missing(const fe_pieces_trainer *t, uint64_t piece) {
    return t->scores[piece] == -INFINITY || piece == fe_unknown_piece(t);
}

/* The derivative of the logarithm of the gamma function: by its recurrence, then by its asymptotic series. */
static double digamma(double x) {
    double sum = 0;
    for (; x < 8; x++) sum -= 1 / x;
    const double square = 1 / (x * x);
    return sum + log(x) - 0.5 / x - square * (1.0 / 12 - square * (1.0 / 120 - square * (1.0 / 252 - square / 240)));
}

/* Scores of what was expected. With the digamma function rare pieces lose more than their share, which makes the model
 * sparse, as is wanted while there are too many; those that stay have the likeliest scores, logarithms of shares. */
static void maximize(fe_pieces_trainer *t) {
    double sum = 0;
    t->loss = -t->sum / t->all;
    t->expected[fe_unknown_piece(t)] = 0;
    for (uint64_t i = 0; i < t->count; i++) {
        if ((t->last || i < t->chars) && t->expected[i] < FEWEST) t->expected[i] = FEWEST; /* it stays, as is wanted */
        if (!is_missing(t, i) && t->expected[i] >= FEWEST) sum += t->expected[i];
    }
    const double all = digamma(sum > 0 ? sum : 1);
    for (uint64_t i = 0; i < t->count; i++)
        t->scores[i] = is_missing(t, i) || t->expected[i] < FEWEST ? -INFINITY
                       : t->last                                    ? log(t->expected[i]) - log(sum)
                                                                    : digamma(t->expected[i]) - all;
    make_factors(t);
}

/* All characters, and the substrings that have a score. */
static uint64_t count_kept(const fe_pieces_trainer *t) {
    uint64_t kept = t->chars;
    for (uint64_t i = t->chars + (uint64_t)1; i < t->count; i++) kept += !is_missing(t, i);
    return kept;
}

/* ------------------------------------------------------------------ pruning */

typedef struct candidate {
    double loss;
    uint32_t piece;
} candidate;

static int by_loss(const void *a, const void *b) {
    const candidate *const x = a, *const y = b;
    if (x->loss != y->loss) return x->loss < y->loss ? 1 : -1;
    return (x->piece > y->piece) - (x->piece < y->piece);
}

/* Drops the edges of pieces that are no more; numbers[i] is the new number of piece i, or UINT32_MAX. */
static void drop_edges(fe_pieces_trainer *t, const uint32_t *numbers) {
    uint64_t to = 0, e = 0;
    for (uint64_t i = 0; i < t->text_size; i++) {
        const uint64_t end = t->edges_at[i + 1];
        t->edges_at[i] = to;
        for (; e < end; e++) {
            const uint32_t number = numbers[t->edges[e] >> FE_LENGTH_BITS];
            if (number != UINT32_MAX) t->edges[to++] = number << FE_LENGTH_BITS | (t->edges[e] & FE_LENGTHS);
        }
    }
    t->edges_at[t->text_size] = to;
    uint32_t *const smaller = realloc(t->edges, (size_t)(to + !to) * sizeof *smaller);
    if (smaller) t->edges = smaller;
}

/* Keeps the characters, and the pieces that have a number: numbers ascend. */
static void drop_pieces(fe_pieces_trainer *t, const uint32_t *numbers) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < t->count; i++) {
        if (numbers[i] == UINT32_MAX) continue;
        t->pieces[count] = t->pieces[i];
        t->scores[count] = t->scores[i];
        count++;
    }
    t->count = count;
}

/* How much words would lose without a piece: how often it comes, by the difference of its logarithm and of those of the
 * parts that it would become, which then come so often more. -INFINITY: nothing. */
static double loss_without(fe_pieces_trainer *t, uint32_t piece, double sum) {
    const double often = t->expected[piece];
    uint32_t parts;
    if (is_missing(t, piece) || often == 0) return -INFINITY;
    const double other = fe_other_parts(t, piece, &parts);
    if (other > t->scores[piece]) return -INFINITY; /* it is never taken */
    const double log_sum = log(sum + often * (parts - 1.0));
    double there = log(often) - log(sum);
    for (uint32_t i = 0; i < parts; i++) {
        const double its = t->expected[t->back[FE_LENGTHS - i]];
        there -= log(its + often) - log_sum;
    }
    return often * there;
}

static fe_status prune(fe_pieces_trainer *t) {
    candidate *const found = fe_new(t->count, sizeof *found);
    uint32_t *const numbers = fe_new(t->count, sizeof *numbers);
    if (!found || !numbers) {
        free(found);
        free(numbers);
        return FE_NO_MEMORY;
    }
    uint64_t kept = t->chars, count = 0;
    double sum = 0;
    for (uint64_t i = 0; i < t->count; i++) sum += i == fe_unknown_piece(t) ? 0 : t->expected[i];
    for (uint32_t i = 0; i < t->count; i++) {
        numbers[i] = UINT32_MAX;
        if (i <= t->chars) {
            numbers[i] = i;
            continue;
        }
        const double loss = loss_without(t, i, sum);
        if (loss > -INFINITY) found[count++] = (candidate){loss, i};
    }
    const double share = t->shrink * (double)count_kept(t);
    const uint64_t most = share > (double)t->wanted ? (uint64_t)share : t->wanted;
    t->last = most == t->wanted;
    qsort(found, (size_t)count, sizeof *found, by_loss);
    for (uint64_t i = 0; i < count && kept < most; i++, kept++) numbers[found[i].piece] = 0;
    uint32_t next = t->chars + 1;
    for (uint64_t i = next; i < t->count; i++)
        if (numbers[i] == 0) numbers[i] = next++;
    drop_edges(t, numbers);
    drop_pieces(t, numbers);
    make_factors(t);
    free(found);
    free(numbers);
    return FE_OK;
}

/* ------------------------------------------------------------------ the stages */

static fe_status next_stage(fe_pieces_trainer *t) {
    fe_status status = FE_OK;
    switch (t->stage) {
    case FE_STAGE_SORT:
        status = fe_sort_suffixes(t);
        if (status == FE_OK) t->stage = FE_STAGE_SEED;
        return status == FE_FULL ? FE_OK : status;
    case FE_STAGE_SEED:
        status = fe_find_seeds(t);
        if (status != FE_OK) return status;
        make_factors(t);
        go_to(t, FE_STAGE_EXPECT);
        return FE_OK;
    case FE_STAGE_EXPECT:
        fe_expect_words(t);
        if (t->word == t->words_count) t->stage = FE_STAGE_MAXIMIZE;
        return FE_OK;
    case FE_STAGE_MAXIMIZE:
        maximize(t);
        if (++t->step < t->steps) {
            go_to(t, FE_STAGE_EXPECT);
        } else {
            t->step = 0;
            go_to(t, count_kept(t) > t->wanted ? FE_STAGE_SEGMENT : FE_STAGE_DONE);
        }
        return FE_OK;
    case FE_STAGE_SEGMENT:
        fe_segment_words(t);
        if (t->word == t->words_count) t->stage = FE_STAGE_PRUNE;
        return FE_OK;
    default:
        status = prune(t);
        if (status == FE_OK) go_to(t, FE_STAGE_EXPECT);
        return status;
    }
}

fe_status fe_pieces_run(fe_pieces_trainer *t) {
    if (t->stage == FE_STAGE_DONE) return FE_OK;
    const fe_status status = next_stage(t);
    return status == FE_OK && t->stage != FE_STAGE_DONE ? FE_FULL : status;
}

/* Writes a piece, if there is where to, and returns how many bytes it takes. A character need not come in any word. */
static int64_t write_piece(const fe_pieces_trainer *t, uint64_t piece, uint8_t *to) {
    uint8_t code[4];
    if (piece < t->chars) return fe_utf8_write(to ? to : code, t->codes[piece]);
    int64_t size = 0;
    for (uint32_t n = 0; n < t->pieces[piece].length && piece > t->chars; n++)
        size += fe_utf8_write(to ? to + size : code, t->codes[t->text[t->pieces[piece].place + n] - FE_CHARS]);
    return size;
}

void fe_pieces_look(const fe_pieces_trainer *t, fe_pieces_contents *contents) {
    int64_t bytes = 0;
    for (uint64_t i = 0; i < t->count; i++) bytes += write_piece(t, i, NULL);
    const uint64_t edges = t->edges_at ? t->edges_at[t->text_size] : 0;
    const uint64_t memory = t->text_size * sizeof *t->text + t->words_count * (sizeof *t->words + sizeof *t->counts) +
                            t->count * (sizeof *t->pieces + 3 * sizeof *t->scores) + edges * sizeof *t->edges +
                            (t->edges_at ? t->text_size * sizeof *t->edges_at : 0) +
                            (t->sorting.keys ? t->suffixes * 28 : 0);
    const int64_t pieces = t->count ? (int64_t)t->count - 1 : 0;
    *contents = (fe_pieces_contents){pieces, bytes, (int64_t)count_kept(t), t->loss, (int64_t)memory};
}

void fe_pieces_read(const fe_pieces_trainer *t, uint8_t *bytes, int64_t *offsets, double *scores) {
    int64_t at = 0, number = 0;
    for (uint64_t i = 0; i < t->count; i++) {
        if (i == fe_unknown_piece(t)) continue;
        offsets[number] = at;
        scores[number++] = is_missing(t, i) ? -INFINITY : t->scores[i];
        at += write_piece(t, i, bytes + at);
    }
    offsets[number] = at;
}
