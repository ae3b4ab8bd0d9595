/* fuzz.c: random vocabularies and random texts, under ASan and UBSan.
 *
 * Each round makes a small model (sometimes a broken one), encodes random texts with it and holds the
 * answer against a slow, obvious merge loop written anew here, and against itself: counting, little room,
 * and one text at a time must all agree. Usage: fuzz SECONDS SEED.
 */
#define _POSIX_C_SOURCE 199309L
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpe.h"
#include "fe.h"

enum { CHARS = 24, MERGES = 200, ADDED = 6, TEXT = 400, TEXTS = 8 };

static uint64_t state;

static uint32_t rnd(uint32_t below) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 33) % below;
}

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

static int32_t left[MERGES], right[MERGES], result[MERGES], char_ids[CHARS], byte_ids[256], added_ids[ADDED];
static uint32_t char_codes[CHARS], pair_left[12 * 12], pair_right[12 * 12];
static uint8_t added_bytes[64], added_late[ADDED], actions[ADDED];
static int64_t added_offsets[ADDED + 1];

static const char *const alphabet[] = {"a", "b", "c", " ", "  ", "\n", "'s", "1", "\xC3\xA9", "\xE2\x96\x81",
                                       "\xF0\x9F\x98\x80", "<s>", "<", "\xE4\xB8\xAD", "'", "\xC2\xA0"};

static int64_t random_text(uint8_t *text, int64_t room, bool valid) {
    int64_t n = 0;
    const int64_t wish = rnd((uint32_t)room - 8);
    while (n < wish) {
        if (!valid && rnd(4) == 0) {
            text[n++] = (uint8_t)rnd(256);
            continue;
        }
        const char *const piece = alphabet[rnd(sizeof alphabet / sizeof *alphabet)];
        memcpy(text + n, piece, strlen(piece));
        n += (int64_t)strlen(piece);
    }
    return n;
}

static fe_model random_model(void) {
    static const uint32_t codes[] = {'a', 'b', 'c', ' ', '\n', 0x2581, 0xE9, 0x1F600, '<', 's', '>', '1'};
    const bool broken = rnd(16) == 0;
    fe_model model = {.flags = rnd(256), .unk_id = (int32_t)rnd(3) - 1};
    model.chars = rnd(13);
    for (int64_t i = 0; i < model.chars; i++) {
        char_codes[i] = broken && rnd(8) == 0 ? 0x110000 + rnd(99) : codes[i];
        char_ids[i] = (int32_t)i + 300;
    }
    for (int32_t i = 0; i < 256; i++) byte_ids[i] = rnd(40) ? i : -1;
    model.merges = rnd(MERGES + 1);
    for (int32_t i = 0; i < model.merges; i++) {
        const bool of_chars = !(model.flags & FE_BYTE_LEVEL) && rnd(2);
        const int32_t made = (int32_t)rnd((uint32_t)i + 1);
        left[i] = i && rnd(2) ? result[made] : of_chars ? 300 + (int32_t)rnd(12) : (int32_t)"abc \n1"[rnd(6)];
        right[i] = i && rnd(2) ? result[rnd((uint32_t)i)] : of_chars ? 300 + (int32_t)rnd(12) : (int32_t)"abc \n1"[rnd(6)];
        result[i] = broken && rnd(50) == 0 ? -1 : 1000 + i;
    }
    /* Which code points stand side by side is not known here: all pairs, none cut. FE_CUT itself is tested
     * against another engine, where tokens have names. */
    model.pairs = model.flags & FE_CUT ? 12 * 12 : 0;
    for (int64_t i = 0; i < model.pairs; i++) pair_left[i] = codes[i / 12], pair_right[i] = codes[i % 12];
    model.added = rnd(ADDED + 1);
    int64_t n = 0;
    for (int64_t i = 0; i < model.added; i++) {
        static const char *const names[] = {"<s>", "<", "a b", "s>x", "\xC3\xA9", "<s><s>"};
        added_offsets[i] = n;
        if (!broken || rnd(3)) {
            memcpy(added_bytes + n, names[i], strlen(names[i]));
            n += (int64_t)strlen(names[i]);
        }
        added_ids[i] = 2000 + (int32_t)i;
        added_late[i] = (uint8_t)rnd(2);
        actions[i] = (uint8_t)(rnd(8) ? rnd(2) : FE_TOKEN_REFUSE);
    }
    added_offsets[model.added] = n;
    model.merge_left = left, model.merge_right = right, model.merge_result = result;
    model.char_codes = char_codes, model.char_ids = char_ids, model.byte_ids = byte_ids;
    model.pair_left = pair_left, model.pair_right = pair_right;
    model.added_bytes = added_bytes, model.added_offsets = added_offsets;
    model.added_ids = added_ids, model.added_late = added_late;
    return model;
}

/* The law of BPE in its plainest form: find the lowest rank, leftmost first; merge; begin again. */
static int64_t slow_merge(const fe_model *model, int32_t *ids, int64_t n) {
    for (;;) {
        int64_t best = model->merges, at = 0;
        for (int64_t i = 0; i + 1 < n; i++)
            for (int64_t rank = model->merges - 1; rank >= 0; rank--)
                if (model->merge_left[rank] == ids[i] && model->merge_right[rank] == ids[i + 1]) {
                    if (rank < best) best = rank, at = i;
                    break; /* the last of equal pairs is the one that counts */
                }
        if (best == model->merges) return n;
        ids[at] = model->merge_result[best];
        memmove(ids + at + 1, ids + at + 2, (size_t)(n - at - 2) * sizeof *ids);
        n--;
    }
}

static void check_merges(const fe_model *model) {
    static int32_t fast[TEXT], slow[TEXT];
    fe_merges merges = {0};
    fe_scratch scratch = {0};
    if (fe_merges_init(&merges, model) == FE_OK) {
        for (int round = 0; round < 4; round++) {
            int64_t n = rnd(round & 1 ? 60 : 150), m = n;
            for (int64_t i = 0; i < n; i++) fast[i] = slow[i] = (int32_t)"abc \n1"[rnd(6)];
            CHECK(fe_merge(&merges, fast, &n, &scratch) == FE_OK);
            m = slow_merge(model, slow, m);
            CHECK(n == m && memcmp(fast, slow, (size_t)n * sizeof *fast) == 0);
        }
    }
    fe_merges_clear(&merges);
    fe_scratch_clear(&scratch);
}

static int64_t count_chars(const uint8_t *text, int64_t n) {
    int64_t chars = 0;
    for (int64_t i = 0; i < n; i++) chars += (text[i] & 0xC0) != 0x80;
    return chars;
}

static void check_encode(const fe_tokenizer *tokenizer, fe_cache *cache) {
    static uint8_t block[TEXT * TEXTS];
    static int32_t ids[4 * TEXT * TEXTS], again[4 * TEXT * TEXTS];
    int64_t chars[TEXTS], ends[TEXTS], ends_again[TEXTS], size = 0;
    const bool valid = rnd(4) != 0;
    const int64_t texts = rnd(TEXTS + 1);
    for (int64_t i = 0; i < texts; i++) {
        const int64_t n = random_text(block + size, TEXT, valid);
        chars[i] = valid ? count_chars(block + size, n) : rnd(TEXT);
        size += n;
    }
    uint8_t *const exact = malloc((size_t)size + 1); /* ends where the text ends: ASan sees a read beyond */
    CHECK(exact);
    memcpy(exact, block, (size_t)size);
    fe_done done, counted, part;
    const int64_t room = 4 * TEXT * TEXTS;
    const fe_status status = fe_encode(tokenizer, NULL, exact, size, chars, texts, actions, ids, 0, room, ends, &done);
    CHECK(status == FE_OK || status == FE_SPECIAL || (!valid && status == FE_BAD_TEXT));
    CHECK(status == FE_OK ? done.texts == texts : done.texts < texts);
    CHECK((status == FE_SPECIAL) == (done.token >= 0));
    CHECK((status == FE_SPECIAL) == (done.place >= done.bytes) && done.place < size);
    CHECK(fe_encode(tokenizer, cache, exact, size, chars, texts, actions, NULL, 0, 0, ends_again, &counted) == status);
    CHECK(counted.ids == done.ids && counted.texts == done.texts && counted.bytes == done.bytes);

    int64_t texts_done = 0, bytes_done = 0, ids_done = 0; /* again, with a cache and hardly any room */
    for (int64_t more = rnd(40);; more = 2 * more + 1) {
        const int64_t capacity = ids_done + more < room ? ids_done + more : room;
        const fe_status s = fe_encode(tokenizer, cache, exact + bytes_done, size - bytes_done, chars + texts_done,
                                      texts - texts_done, actions, again, ids_done, capacity, ends_again, &part);
        CHECK(s == FE_FULL || s == status);
        CHECK(memcmp(ends + texts_done, ends_again, (size_t)part.texts * sizeof *ends) == 0);
        texts_done += part.texts, bytes_done += part.bytes, ids_done = part.ids;
        if (s != FE_FULL) break;
    }
    CHECK(texts_done == done.texts && ids_done == done.ids);
    CHECK(memcmp(ids, again, (size_t)ids_done * sizeof *ids) == 0);
    free(exact);
}

int main(int argc, char **argv) {
    const double seconds = argc > 1 ? atof(argv[1]) : 10;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    uint64_t rounds = 0, refused = 0;
    do {
        const fe_model model = random_model();
        fe_tokenizer *tokenizer;
        const fe_status status = fe_tokenizer_new(&model, &tokenizer);
        CHECK((status == FE_OK) == (tokenizer != NULL));
        CHECK(status == FE_OK || status == FE_BAD_MODEL);
        refused += status != FE_OK;
        check_merges(&model);
        fe_cache *cache; /* small, so that pieces are forgotten */
        CHECK(fe_cache_new(rnd(9000), &cache) == FE_OK);
        for (int i = 0; tokenizer && i < 6; i++) check_encode(tokenizer, cache);
        fe_cache_free(cache);
        fe_tokenizer_free(tokenizer);
        rounds++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - start.tv_sec) + 1e-9 * (double)(now.tv_nsec - start.tv_nsec) < seconds);
    printf("fuzz: seed %llu, %llu rounds, %llu broken vocabularies refused, no error\n",
           (unsigned long long)seed, (unsigned long long)rounds, (unsigned long long)refused);
    return 0;
}
