/* files.c: images, whole and damaged. */
#include "fuzz.h"

#include "image.h"

/* Ids, those of the text or others, are placed in it, in memory of just the size that is asked for. */
static void use_places(const fe_tokenizer *tokenizer, const fe_choice *choice, const uint8_t *text, int64_t size,
                       int32_t *ids, int64_t count) {
    const int64_t ends[] = {0, size}, rows[] = {0, count};
    const fe_place_job job = {choice, 1, text, ends, ids, rows};
    int32_t *const spans = malloc((size_t)(3 * count + 1) * sizeof *spans);
    uint8_t placed;
    CHECK(spans);
    for (int64_t i = 0, others = one_in(2) ? rnd(3) : 0; i < others && count; i++)
        ids[rnd((uint32_t)count)] = one_in(2) ? ids[rnd((uint32_t)count)] : (int32_t)rnd(TOKENS);
    CHECK(fe_places(tokenizer, &job, spans, one_in(4) ? NULL : spans + 2 * count, &placed) == FE_OK);
    for (int64_t i = 0; i < count && placed; i++)
        CHECK(spans[2 * i] >= 0 && spans[2 * i] <= spans[2 * i + 1] && spans[2 * i + 1] <= size);
    free(spans);
}

void use_tokenizer(const fe_tokenizer *tokenizer, const uint8_t *text, int64_t size) {
    enum { MOST = 64 };
    fe_contents contents;
    fe_cache *cache;
    fe_choice *choice;
    uint8_t *const exact = exactly(text, size), bytes[256];
    int32_t *const ids = malloc((size_t)(4 * size + 64) * sizeof *ids);
    int64_t chars = 0, end, wide[MOST], length;
    for (int64_t i = 0; i < size; i++) chars += (text[i] & 0xC0) != 0x80;
    if (size && (*text & 0xC0) == 0x80) chars++; /* a wrong count */
    fe_tokenizer_contents(tokenizer, &contents);
    uint8_t *const actions = malloc((size_t)contents.added + 1);
    CHECK(ids && actions && fe_cache_new(0, 1, &cache) == FE_OK);
    for (int64_t i = 0; i < contents.added; i++)
        actions[i] = (uint8_t)(i % 4 == 3 ? FE_TOKEN_PLAIN : i % 64 == 7 ? FE_TOKEN_REFUSE : FE_TOKEN_MATCH);
    CHECK(fe_choice_new(tokenizer, actions, contents.added, &choice) == FE_OK);
    for (int way = 0; way < 4; way++) {
        fe_cache *const some = way & 1 ? cache : NULL;
        const int64_t room = 4 * size + 64;
        const uint8_t *const each[] = {exact};
        const int64_t one = fe_encode_one(tokenizer, some, exact, size, choice, ids, room);
        const fe_job job = {.pattern = FE_PATTERN_OWN, .choice = choice, .limit = INT64_MAX, .texts = 1, .utf8 = exact,
                            .size = size, .char_counts = &chars, .each = way & 2 ? each : NULL, .sizes = &size};
        fe_out done = {.ids = ids, .capacity = room, .row_ends = &end};
        const fe_status status = fe_encode(tokenizer, some, &job, &done);
        CHECK(status != FE_OK || one == end);
        if (status == FE_SPECIAL) CHECK(done.token >= 0 && done.token < contents.added && done.place < size);
        if (status != FE_OK) continue;
        const int64_t count = end < MOST ? end : MOST, between = size < 3 ? size : 3;
        for (int64_t i = 0; i < count; i++) wide[i] = ids[i];
        (void)fe_decode(tokenizer, wide, count, &count, 1, exact, between, bytes, sizeof bytes, &length, &length);
        use_places(tokenizer, choice, exact, size, ids, end);
    }
    for (int64_t i = 0; i < 8; i++) wide[i] = contents.tokens ? contents.sorted_ids[(contents.tokens - 1) * i / 8] : i;
    length = 8;
    (void)fe_decode(tokenizer, wide, length, &length, 1, exact, 0, bytes, sizeof bytes, wide + 8, wide + 9);
    (void)fe_find(tokenizer, exact, size);
    uint64_t sum = 0; /* all that the contents point at can be read */
    for (int64_t i = 0; i < contents.notes_size; i++) sum += contents.notes[i];
    for (int64_t i = 0; i < contents.before; i++) sum += (uint64_t)contents.before_ids[i];
    for (int64_t i = 0; i < contents.after; i++) sum += (uint64_t)contents.after_ids[i];
    for (int64_t i = 0; i < contents.added; i++) {
        CHECK(contents.added_offsets[i] < contents.added_offsets[i + 1] && contents.added_flags[i] <= FE_ADDED_FLAGS);
        sum += contents.added_bytes[contents.added_offsets[i + 1] - 1] + (uint64_t)contents.added_ids[i];
    }
    bytes[0] = (uint8_t)sum;
    fe_choice_free(choice);
    fe_cache_free(cache);
    free(actions);
    free(ids);
    free(exact);
}

/* The image opened gives the ids that the vocabulary gives. */
static void check_copy(const vocabulary *v, const fe_contents *contents) {
    uint8_t *const image = exactly(contents->image, contents->size);
    fe_tokenizer *opened;
    fe_contents again;
    CHECK(fe_tokenizer_open(image, contents->size, (int32_t)rnd(5), &opened) == FE_OK);
    check_encoding(v, opened, NULL);
    check_decoding(v, opened);
    fe_tokenizer_contents(opened, &again);
    CHECK(again.image == image && again.size == contents->size && again.tokens == v->model.tokens);
    CHECK(again.vocab == v->model.vocab && again.unk == v->model.unk && again.pattern == v->model.pattern);
    CHECK(again.flags == v->model.flags && again.notes_size == v->model.notes);
    CHECK(memcmp(again.notes, v->notes, (size_t)again.notes_size) == 0);
    const fe_model *const m = &v->model;
    CHECK(again.added == m->added && again.before == m->before && again.after == m->after);
    CHECK(memcmp(again.before_ids, m->before_ids, (size_t)m->before * sizeof *m->before_ids) == 0);
    CHECK(memcmp(again.after_ids, m->after_ids, (size_t)m->after * sizeof *m->after_ids) == 0);
    for (int64_t i = 0; i <= m->added; i++) CHECK(again.added_offsets[i] == m->added_offsets[i]);
    CHECK(memcmp(again.added_bytes, m->added_bytes, (size_t)m->added_offsets[m->added]) == 0);
    CHECK(memcmp(again.added_ids, m->added_ids, (size_t)m->added * sizeof *m->added_ids) == 0);
    CHECK(memcmp(again.added_flags, m->added_flags, (size_t)m->added) == 0);
    fe_tokenizer_free(opened);
    free(image);
}

/* A part of it is never taken for the whole, nor with something behind it. */
static void check_sizes(const fe_contents *contents) {
    fe_tokenizer *opened;
    const int64_t sizes[] = {0, 1, 8, (int64_t)sizeof(fe_header) - 1, (int64_t)sizeof(fe_header), contents->size - 1,
                             contents->size - FE_LINE, (int64_t)rnd((uint32_t)contents->size)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *const part = exactly(contents->image, sizes[i]);
        CHECK(fe_tokenizer_open(part, sizes[i], FE_PATH_BEST, &opened) == FE_BAD_FILE && !opened);
        free(part);
    }
    uint8_t *const more = calloc(1, (size_t)contents->size + FE_LINE);
    CHECK(more);
    memcpy(more, contents->image, (size_t)contents->size);
    CHECK(fe_tokenizer_open(more, contents->size + FE_LINE, FE_PATH_BEST, &opened) == FE_BAD_FILE && !opened);
    free(more);
}

/* One bit anywhere behind the header: the checksum tells. */
static void check_bit(const fe_contents *contents) {
    fe_tokenizer *opened;
    uint8_t *const image = exactly(contents->image, contents->size);
    const uint32_t at = (uint32_t)sizeof(fe_header) + rnd((uint32_t)contents->size - (uint32_t)sizeof(fe_header));
    image[at] ^= (uint8_t)(1u << rnd(8));
    CHECK(fe_tokenizer_open(image, contents->size, FE_PATH_BEST, &opened) == FE_BAD_FILE && !opened);
    free(image);
}

/* Numbers that are wrong under a checksum that is right: refused, or harmless. */
static void check_damage(const fe_contents *contents) {
    uint8_t *const image = exactly(contents->image, contents->size);
    for (int i = 0; i < 24; i++) {
        fe_tokenizer *opened;
        uint8_t text[300];
        damage(image, contents->size);
        const fe_status status = fe_tokenizer_open(image, contents->size, (int32_t)rnd(5), &opened);
        CHECK(status == FE_OK || status == FE_BAD_FILE);
        CHECK((status == FE_OK) == (opened != NULL));
        for (int j = 0; opened && j < 2; j++) use_tokenizer(opened, text, random_text(text, sizeof text, one_in(2)));
        fe_tokenizer_free(opened);
        heal(image, contents->image);
    }
    CHECK(memcmp(image, contents->image, (size_t)contents->size) == 0);
    free(image);
}

void check_image(const vocabulary *v, const fe_tokenizer *tokenizer) {
    fe_contents contents;
    fe_tokenizer_contents(tokenizer, &contents);
    check_copy(v, &contents);
    check_sizes(&contents);
    check_bit(&contents);
    check_damage(&contents);
}
