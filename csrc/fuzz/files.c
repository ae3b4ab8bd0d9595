/* files.c: images and rank files, whole and damaged. */
#include "fuzz.h"

#include "image.h"

void seal(uint8_t *image, int64_t size) {
    fe_header *const h = (fe_header *)(void *)image;
    if (h->size == (uint64_t)size) h->check = fe_image_check(h); /* a damaged size would lead outside */
}

void use_tokenizer(const fe_tokenizer *tokenizer, const uint8_t *text, int64_t size) {
    enum { MOST = 64 };
    fe_contents contents;
    fe_cache *cache;
    fe_done done;
    uint8_t *const exact = exactly(text, size), bytes[256];
    int32_t *const ids = malloc((size_t)(4 * size + 64) * sizeof *ids);
    uint8_t actions[MOST];
    int64_t chars = 0, end, wide[MOST], length;
    for (int64_t i = 0; i < size; i++) chars += (text[i] & 0xC0) != 0x80;
    if (size && (*text & 0xC0) == 0x80) chars++; /* a wrong count */
    fe_tokenizer_contents(tokenizer, &contents);
    CHECK(ids && fe_cache_new(0, 1, &cache) == FE_OK);
    const int64_t added = (int64_t)(((const fe_header *)(const void *)contents.image)->length[FE_S_ADDED_IDS] / 4);
    for (int64_t i = 0; i < MOST; i++) actions[i] = (uint8_t)(i % 4 == 3 ? FE_TOKEN_PLAIN : FE_TOKEN_MATCH);
    for (int way = 0; way < 4 && added <= MOST; way++) {
        fe_cache *const some = way & 1 ? cache : NULL;
        const int64_t room = 4 * size + 64;
        const uint8_t *const each[] = {exact};
        const int64_t one = fe_encode_one(tokenizer, some, exact, size, actions, ids, room);
        const fe_status status = way & 2 ? fe_encode_each(tokenizer, some, FE_PATTERN_OWN, each, &size, 1, actions,
                                                          INT64_MAX, ids, 0, room, &end, &done)
                                         : fe_encode(tokenizer, some, FE_PATTERN_OWN, exact, size, &chars, 1, actions,
                                                     INT64_MAX, ids, 0, room, &end, &done);
        CHECK(status != FE_OK || one == end);
        if (status != FE_OK) continue;
        const int64_t count = end < MOST ? end : MOST;
        for (int64_t i = 0; i < count; i++) wide[i] = ids[i];
        const int64_t between = size < 3 ? size : 3;
        (void)fe_decode(tokenizer, wide, count, &count, 1, exact, between, bytes, sizeof bytes, &length, &length);
    }
    for (int64_t i = 0; i < 8; i++) wide[i] = contents.tokens ? contents.sorted_ids[(contents.tokens - 1) * i / 8] : i;
    length = 8;
    (void)fe_decode(tokenizer, wide, length, &length, 1, exact, 0, bytes, sizeof bytes, wide + 8, wide + 9);
    (void)fe_find(tokenizer, exact, size);
    uint8_t sum = 0; /* all of the notes can be read */
    for (int64_t i = 0; i < contents.notes_size; i++) sum ^= contents.notes[i];
    actions[0] = sum;
    fe_cache_free(cache);
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

static uint64_t random_number(const fe_header *h) {
    switch (rnd(5)) {
    case 0: return rnd(64);
    case 1: return UINT64_MAX - rnd(64);
    case 2: return h->size / 64 * rnd(64);
    case 3: return (uint64_t)1 << rnd(64);
    default: return (uint64_t)rnd(UINT32_MAX) << 32 | rnd(UINT32_MAX);
    }
}

static void damage(uint8_t *image, int64_t size) {
    fe_header *const h = (fe_header *)(void *)image;
    for (uint32_t wounds = 1 + rnd(4); wounds; wounds--) {
        const int section = (int)rnd(FE_SECTIONS);
        const uint32_t word = rnd((uint32_t)size / 4);
        const int32_t values[] = {-1, 0, 1, INT32_MAX, INT32_MIN, (int32_t)h->tokens, (int32_t)h->vocab,
                                  (int32_t)rnd(2000)};
        const bool inside = h->at[section] < (uint64_t)size && h->length[section] >= 4 &&
                            h->length[section] <= (uint64_t)size - h->at[section];
        switch (rnd(9)) {
        case 0: h->length[section] = random_number(h); break;
        case 1: h->at[section] = random_number(h); break;
        case 2: h->at[section] = h->at[rnd(FE_SECTIONS)]; break;
        case 3: image[16 + rnd((uint32_t)sizeof *h - 16)] ^= (uint8_t)(1u << rnd(8)); break;
        case 4: h->flags ^= 1u << rnd(10); break;
        case 5: /* a number of a section */
            if (inside) {
                const uint64_t place = h->at[section] + 4 * (uint64_t)rnd((uint32_t)(h->length[section] / 4));
                memcpy(image + place, &values[rnd(8)], 4);
            }
            break;
        case 6: /* all of one: a table that is full */
            if (inside) memset(image + h->at[section], (uint8_t)values[rnd(5)], (size_t)h->length[section]);
            break;
        case 7: memcpy(image + 4 * (size_t)word, &values[rnd(8)], 4); break;
        default: image[rnd((uint32_t)size)] ^= (uint8_t)(1u << rnd(8));
        }
    }
    seal(image, size);
}

/* Numbers that are wrong under a checksum that is right: refused, or harmless. */
static void check_damage(const fe_contents *contents) {
    for (int i = 0; i < 12; i++) {
        fe_tokenizer *opened;
        uint8_t text[300], *const image = exactly(contents->image, contents->size);
        damage(image, contents->size);
        const fe_status status = fe_tokenizer_open(image, contents->size, (int32_t)rnd(5), &opened);
        CHECK(status == FE_OK || status == FE_BAD_FILE);
        CHECK((status == FE_OK) == (opened != NULL));
        for (int j = 0; opened && j < 3; j++) use_tokenizer(opened, text, random_text(text, sizeof text, one_in(2)));
        fe_tokenizer_free(opened);
        free(image);
    }
}

void check_image(const vocabulary *v, const fe_tokenizer *tokenizer) {
    fe_contents contents;
    fe_tokenizer_contents(tokenizer, &contents);
    check_copy(v, &contents);
    check_sizes(&contents);
    check_bit(&contents);
    check_damage(&contents);
}
