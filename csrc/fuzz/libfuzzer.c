/* libfuzzer.c: libFuzzer's way in: a rank file or a damaged image, and a text, all out of the input. */
#include "fuzz.h"
#include "image.h"

enum { BASES = 9, LINES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

uint8_t *exactly(const uint8_t *bytes, int64_t size) {
    uint8_t *const copy = malloc((size_t)size);
    CHECK(copy || size == 0);
    if (size) memcpy(copy, bytes, (size_t)size);
    return copy;
}

static uint64_t state = 1;

uint32_t rnd(uint32_t below) { /* for the vocabularies of the images alone: always the same */
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33) % below;
}

/* Encoding with ranks and decoding gives the text back; the image, opened, does so too. */
static void use_ranks(const fe_model *model, const uint8_t *text, int64_t size) {
    fe_tokenizer *tokenizer, *opened;
    fe_contents contents;
    int64_t twice, length, end;
    if (fe_tokenizer_new(model, FE_PATH_BEST, &tokenizer, &twice) != FE_OK) return;
    fe_tokenizer_contents(tokenizer, &contents);
    CHECK(fe_tokenizer_open(contents.image, contents.size, FE_PATH_SCALAR, &opened) == FE_OK);
    int32_t *const ids = malloc((size_t)(2 * size + 1) * sizeof *ids);
    int64_t *const wide = malloc((size_t)(size + 1) * sizeof *wide);
    uint8_t *const bytes = malloc((size_t)size + 1);
    CHECK(ids && wide && bytes);
    const int64_t count = fe_encode_one(tokenizer, NULL, text, size, NULL, ids, size);
    CHECK(count >= 0 && fe_encode_one(opened, NULL, text, size, NULL, ids + size, size) == count);
    CHECK(memcmp(ids, ids + size, (size_t)count * sizeof *ids) == 0);
    for (int64_t i = 0; i < count; i++) wide[i] = ids[i];
    CHECK(fe_decode(opened, wide, count, &count, 1, NULL, 0, bytes, size, &end, &length) == FE_OK);
    CHECK(length == size && memcmp(bytes, text, (size_t)size) == 0);
    free(ids);
    free(wide);
    free(bytes);
    use_tokenizer(opened, text, size);
    fe_tokenizer_free(opened);
    fe_tokenizer_free(tokenizer);
}

/* The input as a rank file; those bytes that have no token get one behind all others. */
static void rank_file(int32_t pattern, const uint8_t *file, int64_t size, const uint8_t *text, int64_t text_size) {
    static int64_t offsets[LINES + 257];
    static int32_t ranks[LINES + 256];
    int32_t byte_tokens[256];
    int64_t count, bad_line;
    uint8_t *const bytes = malloc((size_t)size + 256);
    CHECK(bytes);
    const fe_status status = fe_ranks_read(file, size, bytes, offsets, ranks, LINES, &count, &bad_line);
    if (status == FE_OK) {
        memset(byte_tokens, 0xFF, sizeof byte_tokens);
        for (int32_t i = 0; i < count; i++)
            if (offsets[i + 1] - offsets[i] == 1) byte_tokens[bytes[offsets[i]]] = i;
        for (int i = 0; i < 256; i++) {
            if (byte_tokens[i] >= 0) continue;
            bytes[offsets[count]] = (uint8_t)i;
            byte_tokens[i] = (int32_t)count++;
            offsets[count] = offsets[count - 1] + 1;
        }
        for (int32_t i = 0; i < count; i++) ranks[i] = i;
        fe_model model = {.flags = FE_BYTE_LEVEL | FE_RANKED | FE_WHOLE_FIRST, .pattern = pattern, .unk = -1};
        model.tokens = model.vocab = count;
        model.token_bytes = bytes, model.token_offsets = offsets, model.token_ids = ranks;
        model.byte_tokens = byte_tokens;
        use_ranks(&model, text, text_size);
    }
    free(bytes);
}

/* The input as wounds of one of a few images: where, in 24 bits, which of four kinds, and a number. */
static void image_file(uint8_t base, const uint8_t *data, int64_t size, const uint8_t *text, int64_t text_size) {
    static uint8_t *images[BASES];
    static int64_t sizes[BASES];
    const int which = base % BASES;
    if (!images[which]) {
        static vocabulary v;
        fe_tokenizer *tokenizer;
        fe_contents contents;
        int64_t twice;
        state = (uint64_t)which + 1;
        random_vocabulary(&v);
        CHECK(fe_tokenizer_new(&v.model, FE_PATH_BEST, &tokenizer, &twice) == FE_OK);
        fe_tokenizer_contents(tokenizer, &contents);
        images[which] = exactly(contents.image, contents.size);
        sizes[which] = contents.size;
        fe_tokenizer_free(tokenizer);
    }
    const int64_t whole = sizes[which];
    uint8_t *const image = exactly(images[which], whole);
    for (; size >= 8; data += 8, size -= 8) {
        const uint32_t number = (uint32_t)(data[0] | data[1] << 8 | data[2] << 16);
        /* half of the wounds are in the header: else it would hardly be met */
        const int64_t place = data[3] & 1 ? 8 + number % ((int64_t)sizeof(fe_header) - 8) : number % (whole - 8);
        memcpy(image + (data[3] & 2 ? place : place / 8 * 8), data + 4, data[3] & 4 ? 1 : 4);
    }
    seal(image, whole);
    fe_tokenizer *opened;
    if (fe_tokenizer_open(image, whole, FE_PATH_BEST, &opened) == FE_OK) use_tokenizer(opened, text, text_size);
    fe_tokenizer_free(opened);
    free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    const uint8_t kind = data[0], base = data[1];
    const int64_t left = (int64_t)size - 3, text_size = data[2] < left ? data[2] : left;
    uint8_t *const text = exactly(data + 3, text_size), *const rest = exactly(data + 3 + text_size, left - text_size);
    if (kind & 1) rank_file(base % 8, rest, left - text_size, text, text_size);
    else image_file(base, rest, left - text_size, text, text_size);
    free(text);
    free(rest);
    return 0;
}
