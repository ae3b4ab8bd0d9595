/* costs.c: what takes how many instructions, counted by valgrind: nothing that somebody else writes may make anything
 * quadratic. Usage: valgrind --tool=callgrind --instr-atstart=no costs CASE N; tests/test_csrc_costs.py compares.
 *
 * The hostile cases know the function and the seed. Of a cache nobody knows the seed outside of the process, so what is
 * counted there is the second line of defence.
 */
#include "fuzz.h"

#include "cache.h"
#include "image.h"

#if defined(__has_include)
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#endif
#endif
#ifndef CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_START_INSTRUMENTATION ((void)0)
#define CALLGRIND_STOP_INSTRUMENTATION ((void)0)
#endif

enum { WORD = 16, CACHE_SEED = 12345 };

static uint64_t state = 1;

static uint32_t next(uint32_t below) {
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33) % below;
}

static void *room_for(int64_t count, size_t size) {
    void *const room = calloc((size_t)count + 1, size);
    CHECK(room);
    return room;
}

/* n words of letters, each with a byte behind it, and where they begin. Hostile: those that all want the same slot of
 * a table of so many. */
static uint8_t *words(int64_t n, uint8_t behind, bool hostile, uint64_t slots, uint64_t hash_seed, int64_t *offsets) {
    uint8_t *const text = room_for(n * (WORD + 1), 1);
    for (int64_t i = 0; i < n; i++) {
        uint8_t *const word = text + i * (WORD + 1);
        do
            for (int j = 0; j < WORD; j++) word[j] = (uint8_t)('a' + next(26));
        while (hostile && fe_hash(word, WORD, hash_seed) & (slots - 1));
        word[WORD] = behind;
        offsets[i] = i * (WORD + 1);
    }
    offsets[n] = n * (WORD + 1);
    return text;
}

/* A tokenizer of single bytes and whatever the model has beside them. */
static fe_tokenizer *tokenizer_of(fe_model *m, bool counts) {
    fe_tokenizer *t;
    int64_t twice;
    if (counts) CALLGRIND_START_INSTRUMENTATION;
    const fe_status status = fe_tokenizer_new(m, FE_PATH_PLAIN, &t, &twice);
    if (counts) CALLGRIND_STOP_INSTRUMENTATION;
    CHECK(status == FE_OK);
    return t;
}

/* Model of 256 bytes and `more` tokens of a word each. */
static fe_model bytes_and(int64_t more, const uint8_t *text, const int64_t *at, int64_t size) {
    static int32_t byte_tokens[256];
    const int64_t n = 256 + more;
    uint8_t *const bytes = room_for(256 + more * size, 1);
    int64_t *const offsets = room_for(n, sizeof *offsets);
    int32_t *const ids = room_for(n, sizeof *ids);
    for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)i, byte_tokens[i] = i;
    for (int64_t i = 0; i < n; i++) {
        ids[i] = (int32_t)i;
        offsets[i + 1] = offsets[i] + (i < 256 ? 1 : size);
        if (i >= 256) memcpy(bytes + offsets[i], text + at[i - 256], (size_t)size);
    }
    return (fe_model){.flags = FE_BYTE_LEVEL, .pattern = FE_PATTERN_GPT2, .unk = -1, .tokens = n, .vocab = n,
                      .token_bytes = bytes, .token_offsets = offsets, .token_ids = ids, .byte_tokens = byte_tokens};
}

/* Words of a text that the cache must remember, met twice. */
static void cached_words(int64_t n, bool hostile) {
    int64_t *const offsets = room_for(n, sizeof *offsets), slots = 1024;
    while (slots < 2 * n) slots *= 2;
    const uint8_t *const text = words(n, '\n', hostile, (uint64_t)slots, CACHE_SEED, offsets);
    int32_t *const ids = room_for(n * (WORD + 1), sizeof *ids);
    fe_model m = bytes_and(0, NULL, NULL, 0);
    const fe_tokenizer *const t = tokenizer_of(&m, false);
    fe_cache *cache;
    CHECK(fe_cache_new(1 << 24, CACHE_SEED, &cache) == FE_OK);
    CALLGRIND_START_INSTRUMENTATION;
    for (int pass = 0; pass < 2; pass++)
        CHECK(fe_encode_one(t, cache, text, offsets[n], NULL, ids, offsets[n]) == offsets[n]);
    CALLGRIND_STOP_INSTRUMENTATION;
}

static void looked_up_tokens(int64_t n, bool hostile) {
    int64_t *const offsets = room_for(n, sizeof *offsets);
    const uint64_t slots = fe_table_slots((uint64_t)n + 256);
    const uint8_t *const text = words(n, 0, hostile, slots, fe_seed(0), offsets);
    fe_model m = bytes_and(n, text, offsets, WORD);
    tokenizer_of(&m, true);
}

static void names(int64_t n, bool hostile) {
    int64_t *const offsets = room_for(n, sizeof *offsets);
    const uint64_t slots = fe_table_slots((uint64_t)n);
    const uint8_t *const text = words(n, '\n', hostile, slots, fe_seed(0), offsets);
    int32_t none;
    CALLGRIND_START_INSTRUMENTATION;
    CHECK(fe_merges_read(text, offsets[n] - 1, n, text, 0, 0, &none, &none, &none) == FE_OK);
    CALLGRIND_STOP_INSTRUMENTATION;
}

static void pairs(int64_t n, bool hostile) {
    int64_t *const offsets = room_for(1000, sizeof *offsets);
    const uint8_t *const text = words(1000, 0, false, 0, 0, offsets);
    fe_model m = bytes_and(1000, text, offsets, WORD);
    int32_t *const merges = room_for(3 * n, sizeof *merges);
    uint32_t shift = 64;
    for (uint64_t slots = fe_table_slots((uint64_t)n + 1); slots >>= 1;) shift--;
    for (int64_t i = 0; i < n; i++)
        do
            merges[i] = (int32_t)next(1256), merges[n + i] = (int32_t)next(1256);
        while (hostile && fe_pair_hash(fe_pair_key(merges[i], merges[n + i]), fe_seed(0)) >> shift >= 16);
    m.merges = n;
    m.merge_left = merges, m.merge_right = merges + n, m.merge_result = merges + 2 * n;
    tokenizer_of(&m, true);
}

/* One token of n letters a and a b, and perhaps the token a, in a text of a alone. */
static void long_token(int64_t n, int64_t text_size, bool and_short) {
    uint8_t *const bytes = room_for(n + 2, 1), *const text = room_for(text_size, 1), actions[2] = {1, 1};
    int64_t offsets[3] = {0, n + 1, n + 2};
    int32_t ids[2] = {300, 301}, *const out = room_for(text_size, sizeof *out);
    const uint8_t flags[2] = {0, 0};
    memset(bytes, 'a', (size_t)n + 2);
    bytes[n] = 'b';
    memset(text, 'a', (size_t)text_size);
    fe_model m = bytes_and(0, NULL, NULL, 0);
    m.flags |= FE_OVERLAP;
    m.added = 1 + and_short;
    m.added_bytes = bytes, m.added_offsets = offsets, m.added_ids = ids, m.added_flags = flags;
    const fe_tokenizer *const t = tokenizer_of(&m, false);
    fe_choice *choice;
    CHECK(fe_choice_new(t, actions, m.added, &choice) == FE_OK);
    CALLGRIND_START_INSTRUMENTATION;
    CHECK(fe_encode_one(t, NULL, text, text_size, choice, out, text_size) == text_size);
    CALLGRIND_STOP_INSTRUMENTATION;
}

/* One short text, and n added tokens of which one is to be found. */
static void many_added(int64_t n) {
    int64_t *const offsets = room_for(n, sizeof *offsets);
    const uint8_t *const text = words(n, '>', false, 0, 0, offsets);
    uint8_t *const flags = room_for(n, 1), *const actions = room_for(n, 1);
    int32_t *const ids = room_for(n, sizeof *ids), out[64];
    for (int64_t i = 0; i < n; i++) ids[i] = 300 + (int32_t)i;
    fe_model m = bytes_and(0, NULL, NULL, 0);
    m.added = n;
    m.added_bytes = text, m.added_offsets = offsets, m.added_ids = ids, m.added_flags = flags;
    const fe_tokenizer *const t = tokenizer_of(&m, false);
    fe_choice *choice;
    actions[n / 2] = FE_TOKEN_MATCH;
    CHECK(fe_choice_new(t, actions, n, &choice) == FE_OK);
    CALLGRIND_START_INSTRUMENTATION;
    CHECK(fe_encode_one(t, NULL, (const uint8_t *)"A text, and a token: ", 21, choice, out, 64) == 21);
    CALLGRIND_STOP_INSTRUMENTATION;
}

/* n times one of a few strings, in turn, normalized by one step. */
static void normalized(enum fe_norm_kind kind, const char *const *parts, int64_t count, int64_t n) {
    uint8_t *const text = room_for(8 * n, 1), *const out = room_for(64 * n, 1), steps[12] = {(uint8_t)kind};
    int64_t size = 0, length;
    for (int64_t i = 0; i < n; i++) {
        const char *const part = parts[i % count];
        memcpy(text + size, part, strlen(part));
        size += (int64_t)strlen(part);
    }
    CALLGRIND_START_INSTRUMENTATION;
    CHECK(fe_normalize(steps, sizeof steps, text, size, out, 64 * n, &length) == FE_OK && length <= 64 * n);
    CALLGRIND_STOP_INSTRUMENTATION;
}

/* Marks of falling classes; vowels that all may become one with what is before; letters with an accent each. */
static void many_marks(const char *name, int64_t n) {
    static const char *const marks[] = {"\xCD\x85", "\xCC\x81", "\xCC\xA3", "\xCC\xB8"};
    static const char *const vowels[] = {"\xE1\x85\xA1", "\xE0\xA6\xBE"}, *const letters[] = {"e", "\xCC\x81"};
    const enum fe_norm_kind kind = strstr(name, "NFD") ? FE_NORM_NFD : FE_NORM_NFC;
    if (strstr(name, "marks")) normalized(kind, marks, 4, n);
    else if (strstr(name, "vowels")) normalized(kind, vowels, 2, n);
    else normalized(kind, letters, 2, n);
}

/* Tokens of a space that take the space behind, or before, in a text of n spaces. */
static void taken_space(int64_t n, uint8_t flag) {
    const uint8_t bytes[2] = {' ', 'x'}, flags[2] = {flag, flag}, actions[2] = {1, 1};
    const int64_t offsets[3] = {0, 1, 2};
    const int32_t ids[2] = {300, 301};
    uint8_t *const text = room_for(n, 1);
    int32_t *const out = room_for(n, sizeof *out);
    memset(text, ' ', (size_t)n);
    fe_model m = bytes_and(0, NULL, NULL, 0);
    m.added = 2;
    m.added_bytes = bytes, m.added_offsets = offsets, m.added_ids = ids, m.added_flags = flags;
    const fe_tokenizer *const t = tokenizer_of(&m, false);
    fe_choice *choice;
    CHECK(fe_choice_new(t, actions, 2, &choice) == FE_OK);
    CALLGRIND_START_INSTRUMENTATION;
    CHECK(fe_encode_one(t, NULL, text, n, choice, out, n) == n);
    CALLGRIND_STOP_INSTRUMENTATION;
}

/* n bytes of text for WordPiece, in words of as many characters as may be: of a, where a token of 2,000 goes on behind
 * every one of them but at the end; or of marks, of which those behind are sorted to the front. */
static void long_words(int64_t n, bool marks) {
    enum { LONG = 2000, MOST = FE_MOST_WORD_CHARS };
    static const char *const kept[] = {"\xE3\x80\xAE", "\xE0\xA3\x94"}; /* classes 224 and 230, the latter first */
    uint8_t *const bytes = room_for(LONG + 16, 1), *const text = room_for(n + 8, 1);
    const int64_t offsets[] = {0, 1, 4, 7 + LONG, 8 + LONG};
    const int32_t ids[] = {0, 1, 2, 3};
    int32_t byte_tokens[256], *const out = room_for(n, sizeof *out);
    int64_t size = 0;
    memset(byte_tokens, 0xFF, sizeof byte_tokens);
    memset(bytes, 'a', LONG + 16);
    memcpy(bytes + 1, "##", 2);
    memcpy(bytes + 4, "##", 2);
    bytes[6 + LONG] = 'b';
    bytes[7 + LONG] = '?';
    for (int64_t i = 0; size < n; i++) {
        const int64_t place = i % (MOST + 1);
        const char *const char_ = place == MOST ? " " : !marks ? "a" : kept[place < MOST / 2];
        memcpy(text + size, char_, strlen(char_));
        size += (int64_t)strlen(char_);
    }
    fe_model m = {.flags = FE_WORD_PIECES | FE_BERT_STRIP, .pattern = FE_PATTERN_BERT, .unk = 3};
    m.tokens = m.vocab = 4;
    m.token_bytes = bytes, m.token_offsets = offsets, m.token_ids = ids, m.byte_tokens = byte_tokens;
    m.added_offsets = (const int64_t[]){0};
    m.prefix = 2, m.prefix_bytes = (const uint8_t *)"##", m.word_chars = MOST;
    const fe_tokenizer *const t = tokenizer_of(&m, false);
    CALLGRIND_START_INSTRUMENTATION;
    CHECK(fe_encode_one(t, NULL, text, size, NULL, out, size) > 0);
    CALLGRIND_STOP_INSTRUMENTATION;
}

/* A text of one character: n spaces, each of them a mark; or with `affixes` one word of n letters. */
static void characters(int64_t n, uint32_t flags) {
    const bool affixes = flags & FE_AFFIXES;
    uint8_t *const text = room_for(n, 1);
    int32_t *const ids = room_for(n + 1, sizeof *ids), byte_tokens[256];
    const int64_t name_ends[] = {0, 1, 2}, whole_ends[] = {0, 3};
    const int32_t numbers[] = {0, 1}, left[] = {0}, right[] = {1};
    const uint32_t marks[] = {FE_MARK, 'a'}, letters[] = {'a', 'a' + FE_PLACE_LAST * FE_PLACE};
    memset(text, affixes ? 'a' : ' ', (size_t)n);
    memset(byte_tokens, 0xFF, sizeof byte_tokens);
    fe_model m = {.flags = flags, .unk = -1, .tokens = 2, .vocab = 2, .token_bytes = (const uint8_t *)"ab",
                  .token_offsets = name_ends, .token_ids = numbers, .byte_tokens = byte_tokens, .merges = 1,
                  .merge_left = left, .merge_right = right, .merge_result = numbers, .chars = 2,
                  .char_codes = affixes ? letters : marks, .char_tokens = numbers,
                  .wholes = flags & FE_WHOLE_FIRST ? 1 : 0, .whole_bytes = (const uint8_t *)"\xE2\x96\x81",
                  .whole_offsets = whole_ends, .whole_tokens = numbers};
    const fe_tokenizer *const t = tokenizer_of(&m, false);
    CALLGRIND_START_INSTRUMENTATION;
    CHECK(fe_encode_one(t, NULL, text, n, NULL, ids, n + 1) > 0);
    CALLGRIND_STOP_INSTRUMENTATION;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    const char *const name = argv[1];
    const int64_t n = atoll(argv[2]);
    const bool hostile = name[0] == '+';
    if (strstr(name, "cached words")) cached_words(n, hostile);
    else if (strstr(name, "tokens")) looked_up_tokens(n, hostile);
    else if (strstr(name, "names")) names(n, hostile);
    else if (strstr(name, "pairs")) pairs(n, hostile);
    else if (strstr(name, "prefix and short")) long_token(n, 20000, true);
    else if (strstr(name, "prefix of text")) long_token(1000, n, true);
    else if (strstr(name, "prefix")) long_token(n, 20000, false);
    else if (strstr(name, "added")) many_added(n);
    else if (strstr(name, "parts of words")) long_words(n, false);
    else if (strstr(name, "marks of words")) long_words(n, true);
    else if (strstr(name, "NF")) many_marks(name, n);
    else if (strstr(name, "space behind")) taken_space(n, FE_ADDED_RSTRIP);
    else if (strstr(name, "space before")) taken_space(n, FE_ADDED_LSTRIP);
    else if (strstr(name, "split marks")) characters(n, FE_SPACE_MARK | FE_PREPEND | FE_PREPEND_ONCE | FE_SPLIT_MARKS);
    else if (strstr(name, "whole marks")) characters(n, FE_SPACE_MARK | FE_SPLIT_MARKS | FE_WHOLE_FIRST);
    else if (strstr(name, "marks")) characters(n, FE_SPACE_MARK | FE_WHOLE_FIRST);
    else if (strstr(name, "one word")) characters(n, FE_AFFIXES);
    else CHECK(!"a case");
    return 0;
}
