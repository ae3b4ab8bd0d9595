/* training.c: tallies against a list, mergers and trainers of pieces against what must hold of whatever they find. */
#include <math.h>

#include "fe_near.h"
#include "fe_train.h"
#include "fuzz.h"

enum { MOST_WORDS = 600, NAMES = 300 };

/* ------------------------------------------------------------------ tallies */

/* Distinct pieces found slowly, and how often each came. */
typedef struct list {
    int64_t starts[TEXT], sizes[TEXT];
    uint64_t counts[TEXT];
    int64_t count;
} list;

static void count_slowly(list *l, const uint8_t *text, int64_t start, int64_t size) {
    for (int64_t i = 0; i < l->count; i++)
        if (l->sizes[i] == size && memcmp(text + l->starts[i], text + start, (size_t)size) == 0) {
            l->counts[i]++;
            return;
        }
    l->starts[l->count] = start;
    l->sizes[l->count] = size;
    l->counts[l->count++] = 1;
}

static fe_tally *new_tally(int32_t pattern, fe_status *status) {
    const fe_tally_model model = {.pattern = pattern, .path = (int32_t)rnd(FE_PATH_BEST + 1), .seed = rnd(3)};
    fe_tally *tally;
    *status = fe_tally_new(&model, &tally);
    CHECK((*status == FE_OK) == (tally != NULL));
    return tally;
}

/* The lines of a text in one tally, or in two that are added up, have the pieces of each line. */
static fe_tally *check_tally(const uint8_t *text, int64_t size) {
    static list l;
    static uint8_t bytes[TEXT];
    static int64_t ends[TEXT], offsets[TEXT + 1];
    static uint64_t counts[TEXT];
    const int32_t pattern = (int32_t)rnd(FE_PATTERN_PROGRAM);
    fe_status status;
    fe_tally *const tally = new_tally(pattern, &status), *const other = new_tally(pattern, &status);
    CHECK(tally && other);
    l.count = 0;
    for (int64_t at = 0, stop; at < size; at = stop) {
        for (stop = at; stop < size && text[stop] != '\n'; stop++) {}
        stop += stop < size;
        CHECK(fe_tally_add_lines(one_in(2) ? tally : other, text + at, stop - at) == FE_OK);
        int64_t pieces;
        CHECK(fe_split(pattern, FE_PATH_SCALAR, text + at, stop - at, ends, TEXT, &pieces) == FE_OK);
        for (int64_t i = 0, start = 0; i < pieces; start = ends[i++])
            count_slowly(&l, text, at + start, ends[i] - start);
    }
    CHECK(fe_tally_merge(tally, other) == FE_OK);
    fe_tally_free(other);
    fe_tally_contents has;
    fe_tally_look(tally, &has);
    CHECK(has.pieces == l.count && has.bytes <= TEXT);
    fe_tally_read(tally, bytes, offsets, counts);
    for (int64_t i = 0; i < has.pieces; i++) {
        int64_t j = 0;
        while (j < l.count && (l.sizes[j] != offsets[i + 1] - offsets[i] ||
                               memcmp(text + l.starts[j], bytes + offsets[i], (size_t)l.sizes[j]) != 0))
            j++;
        CHECK(j < l.count && l.counts[j] == counts[i]);
    }
    return tally;
}

/* ------------------------------------------------------------------ mergers */

/* Bytes as symbols, of which a few have no token, and special tokens that merges may make. */
static fe_status merge(const fe_tally *tally, int32_t score, fe_merger **merger, int64_t *vocab) {
    static uint8_t names[NAMES * 2];
    static int64_t offsets[NAMES + 1];
    int32_t bytes[256];
    int64_t tokens = 0, size = 0;
    for (int i = 0; i < 3; i++) { /* "ab", "ac", "ad" */
        names[size++] = 'a';
        names[size++] = (uint8_t)('b' + i);
        offsets[++tokens] = size;
    }
    for (int i = 0; i < 256; i++) {
        bytes[i] = one_in(200) ? -1 : (int32_t)tokens;
        if (bytes[i] < 0) continue;
        names[size++] = (uint8_t)i;
        offsets[++tokens] = size;
    }
    *vocab = tokens + rnd(60);
    const fe_merger_model model = {.score = score,
                                   .vocab = *vocab,
                                   .min_count = rnd(4),
                                   .longest = one_in(2) ? INT64_MAX : 1 + rnd(6),
                                   .tokens = tokens,
                                   .token_bytes = names,
                                   .token_offsets = offsets,
                                   .byte_tokens = bytes,
                                   .prefix = one_in(4),
                                   .prefix_bytes = (const uint8_t *)"#"};
    fe_status status = fe_merger_new(tally, &model, rnd(3), merger);
    CHECK((status == FE_OK) == (*merger != NULL));
    while (status == FE_OK && (status = fe_merger_run(*merger)) == FE_FULL) status = FE_OK;
    return status;
}

static void check_merger(const fe_tally *tally) {
    static uint8_t bytes[1 << 16];
    static int64_t offsets[NAMES + 61];
    static int32_t merges[3 * MOST_WORDS];
    fe_merger *merger;
    int64_t vocab;
    CHECK(merge(tally, (int32_t)rnd(2), &merger, &vocab) == FE_OK);
    fe_merger_contents has;
    fe_merger_look(merger, &has);
    CHECK(has.tokens <= vocab && has.bytes <= (int64_t)sizeof bytes && has.merges <= MOST_WORDS);
    fe_merger_read(merger, bytes, offsets, merges);
    for (int64_t i = 0; i < has.merges; i++) { /* each makes of two tokens that are there what they are together */
        const int32_t *const m = merges + 3 * i;
        CHECK(m[0] >= 0 && m[0] < has.tokens && m[1] >= 0 && m[1] < has.tokens && m[2] >= 0 && m[2] < has.tokens);
        const int64_t left = offsets[m[0] + 1] - offsets[m[0]], right = offsets[m[1] + 1] - offsets[m[1]];
        const int64_t both = offsets[m[2] + 1] - offsets[m[2]];
        CHECK(both == left + right || both == left + right - 1);
        CHECK(memcmp(bytes + offsets[m[2]], bytes + offsets[m[0]], (size_t)left) == 0);
    }
    fe_merger_free(merger);
}

/* ------------------------------------------------------------------ pieces with scores */

static fe_status find_pieces(const fe_tally *tally, fe_pieces_trainer **trainer, fe_pieces_model *model) {
    static const uint32_t codes[] = {'\n', ' ', 'a', 'b', 'c', 'd', 0xE9, 0x2581, 0x65E5, 0x1F600};
    static const int32_t scripts[] = {-1, -1, 1, 1, 1, 2, 1, -1, 3, 4};
    *model = (fe_pieces_model){.seeds = 1 + rnd(400),
                               .longest = 1 + rnd(32),
                               .shrink = 0.3 + 0.06 * rnd(10),
                               .steps = 1 + (int32_t)rnd(3),
                               .mark = one_in(2) ? 0x2581 : ' ',
                               .chars = (int64_t)(sizeof codes / sizeof *codes),
                               .char_codes = codes,
                               .char_scripts = scripts};
    model->pieces = model->chars + rnd(60);
    fe_status status = fe_pieces_new(tally, model, trainer);
    CHECK((status == FE_OK) == (*trainer != NULL));
    while (status == FE_OK && (status = fe_pieces_run(*trainer)) == FE_FULL) status = FE_OK;
    return status;
}

static void check_pieces_trainer(const fe_tally *tally) {
    static uint8_t bytes[1 << 16];
    static int64_t offsets[1 << 10];
    static double scores[1 << 10];
    fe_pieces_trainer *trainer;
    fe_pieces_model model;
    CHECK(find_pieces(tally, &trainer, &model) == FE_OK);
    fe_pieces_contents has;
    fe_pieces_look(trainer, &has);
    CHECK(has.kept <= model.pieces && has.pieces < 1 << 10 && has.bytes <= (int64_t)sizeof bytes);
    if (has.pieces) fe_pieces_read(trainer, bytes, offsets, scores);
    for (int64_t i = 0; i < has.pieces; i++) {
        CHECK(scores[i] <= 1e-9); /* a probability, or none */
        CHECK(i < model.chars || offsets[i + 1] - offsets[i] <= 4 * model.longest);
    }
    fe_pieces_free(trainer);
}

/* ------------------------------------------------------------------ words near each other */

enum { NEAR_WORDS = 300, KINDS = 12 };

/* Pairs as a square of sums, found slowly. */
static void add_slowly(uint64_t sums[KINDS][KINDS], const int32_t *words, int64_t size, int64_t window) {
    for (int64_t i = 0; i < size; i++)
        for (int64_t d = 1; words[i] >= 0 && d <= window && d <= i && words[i - d] >= 0; d++) {
            const int32_t a = words[i - d], b = words[i];
            sums[a < b ? a : b][a < b ? b : a] += ((UINT64_C(1) << 32) + (uint64_t)d / 2) / (uint64_t)d;
        }
}

static void take(fe_near *near, uint64_t found[KINDS][KINDS]) {
    static uint64_t pairs[KINDS * KINDS], sums[KINDS * KINDS];
    const int64_t count = fe_near_count(near);
    CHECK(count <= KINDS * KINDS);
    fe_near_take(near, pairs, sums);
    for (int64_t i = 0; i < count; i++) {
        CHECK(pairs[i] >> 32 <= (uint32_t)pairs[i] && (uint32_t)pairs[i] < KINDS);
        found[pairs[i] >> 32][(uint32_t)pairs[i]] += sums[i];
    }
    CHECK(fe_near_count(near) == 0);
}

/* Words counted in one go, or with pairs taken away in between, have the sums of a square. */
static void check_near(void) {
    const int64_t size = rnd(NEAR_WORDS), window = 1 + rnd(9);
    const fe_near_model model = {.window = window, .memory = FE_NEAR_LEAST << rnd(3), .seed = rnd(3)};
    static uint64_t slowly[KINDS][KINDS], found[KINDS][KINDS];
    memset(slowly, 0, sizeof slowly);
    memset(found, 0, sizeof found);
    int32_t *const words = malloc((size_t)size * sizeof *words + 1);
    fe_near *near;
    CHECK(words && fe_near_new(&model, &near) == FE_OK);
    for (int64_t i = 0; i < size; i++) words[i] = one_in(8) ? -1 : (int32_t)rnd(KINDS);
    add_slowly(slowly, words, size, window);
    for (int64_t start = 0, done; start < size; start = done) {
        const int64_t end = start + 1 + rnd((uint32_t)(size - start));
        CHECK(fe_near_add(near, words, start, end, &done) == FE_OK && done == end);
        if (one_in(3)) take(near, found);
    }
    take(near, found);
    CHECK(memcmp(slowly, found, sizeof found) == 0);
    fe_near_free(near);
    free(words);
}

/* ------------------------------------------------------------------ all of it */

void check_training(void) {
    static uint8_t text[TEXT];
    const int64_t size = random_text(text, TEXT, one_in(2));
    if (one_in(2))
        for (int64_t i = 0; i < size; i++) text[i] = (uint8_t)"aaab cd\n"[rnd(8)]; /* that overlaps and ties */
    uint8_t *const exact = exactly(text, size);
    fe_tally *const tally = check_tally(exact, size);
    free(exact);
    check_merger(tally);
    check_pieces_trainer(tally);
    fe_tally_free(tally);
    check_near();
}

fe_status train_without_checks(void) {
    static const uint8_t text[] = "aaab cd aab ab abab\nab ab cd\xE6\x97\xA5 aab\n";
    fe_status status;
    fe_tally *const tally = new_tally(FE_PATTERN_GPT2, &status);
    if (status == FE_OK) status = fe_tally_add_lines(tally, text, sizeof text - 1);
    for (int32_t score = 0; score < 2 && status == FE_OK; score++) {
        fe_merger *merger;
        int64_t vocab;
        status = merge(tally, score, &merger, &vocab);
        fe_merger_free(merger);
    }
    if (status == FE_OK) {
        fe_pieces_trainer *trainer;
        fe_pieces_model model;
        status = find_pieces(tally, &trainer, &model);
        fe_pieces_free(trainer);
    }
    fe_tally_free(tally);
    fe_near *near = NULL;
    if (status == FE_OK) status = fe_near_new(&(fe_near_model){.window = 2, .memory = FE_NEAR_LEAST}, &near);
    fe_near_free(near);
    return status;
}
