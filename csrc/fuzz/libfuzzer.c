/* libfuzzer.c: libFuzzer's way in: a rank file, a merge list or a damaged image, and a text, all out of the input. */
#include "fuzz.h"
#include "image.h"

enum { BASES = 9, LINES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

/* The input as wounds of one of a few images: where, in 24 bits, of which kind, and a number. In place, and taken back:
 * to copy an image would take most of the time. */
static void image_file(uint8_t base, const uint8_t *data, int64_t size, const uint8_t *text, int64_t text_size) {
    static uint8_t *images[BASES], *intact[BASES];
    static int64_t sizes[BASES];
    const int which = base % BASES;
    if (!images[which]) {
        static vocabulary v;
        fe_tokenizer *tokenizer;
        fe_contents contents;
        int64_t twice;
        seed((uint64_t)which + 1);
        random_vocabulary(&v);
        CHECK(fe_tokenizer_new(&v.model, FE_PATH_BEST, &tokenizer, &twice) == FE_OK);
        fe_tokenizer_contents(tokenizer, &contents);
        images[which] = exactly(contents.image, contents.size);
        intact[which] = exactly(contents.image, contents.size);
        sizes[which] = contents.size;
        fe_tokenizer_free(tokenizer);
    }
    const int64_t whole = sizes[which], header = (int64_t)sizeof(fe_header);
    uint8_t *const image = images[which];
    if (size && data[0] & 0x80) { /* first, while it is intact, the structured ones of mutate.c */
        seed((uint64_t)data[0] << 8 | data[size - 1]);
        damage(image, whole);
    }
    for (const uint8_t *d = data; data + size - d >= 8; d += 8) {
        const uint32_t number = (uint32_t)(d[0] | d[1] << 8 | d[2] << 16);
        /* half of the wounds are in the header: else it would hardly be met */
        const int64_t place = d[3] & 1 ? 8 + number % (header - 8) : number % (whole - 8);
        memcpy(image + (d[3] & 2 ? place : place / 8 * 8), d + 4, d[3] & 4 ? 1 : 4);
    }
    seal(image, whole);
    fe_tokenizer *opened;
    if (fe_tokenizer_open(image, whole, FE_PATH_BEST, &opened) == FE_OK) use_tokenizer(opened, text, text_size);
    fe_tokenizer_free(opened);
    heal(image, intact[which]);
    for (const uint8_t *d = data; data + size - d >= 8; d += 8) {
        const uint32_t number = (uint32_t)(d[0] | d[1] << 8 | d[2] << 16);
        const int64_t place = d[3] & 1 ? 8 + number % (header - 8) : number % (whole - 8);
        memcpy(image + (d[3] & 2 ? place : place / 8 * 8), intact[which] + (d[3] & 2 ? place : place / 8 * 8), 4);
    }
}

/* The input as names and a merge list, of as many lines as there are, or as the first bytes say. */
static void merge_list(uint8_t base, const uint8_t *names, int64_t names_size, const uint8_t *merges, int64_t size) {
    int64_t count = 1, lines = 1;
    for (int64_t i = 0; i < names_size; i++) count += names[i] == '\n';
    for (int64_t i = 0; i < size; i++) lines += merges[i] == '\n';
    if (base & 1) count += base % 5 - 2;
    if (base & 2) lines += base % 7 - 3;
    int32_t *const numbers = malloc((size_t)(lines > 0 ? 3 * lines : 1) * sizeof *numbers);
    CHECK(numbers);
    int32_t *const right = numbers + (lines > 0 ? lines : 0), *const made = right + (lines > 0 ? lines : 0);
    if (fe_merges_read(names, names_size, count, merges, size, lines, numbers, right, made) == FE_OK)
        for (int64_t i = 0; i < lines; i++)
            CHECK(numbers[i] >= 0 && numbers[i] < count && right[i] >= 0 && right[i] < count && made[i] < count);
    free(numbers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    const uint8_t kind = data[0], base = data[1];
    const int64_t left = (int64_t)size - 3, text_size = data[2] < left ? data[2] : left;
    uint8_t *const text = exactly(data + 3, text_size), *const rest = exactly(data + 3 + text_size, left - text_size);
    if (kind & 1) rank_file(base % 8, rest, left - text_size, text, text_size);
    else if (kind & 2) merge_list(base, text, text_size, rest, left - text_size);
    else image_file(base, rest, left - text_size, text, text_size);
    free(text);
    free(rest);
    return 0;
}
