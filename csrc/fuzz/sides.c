/* sides.c: pieces merged side by side become what each becomes alone, by every kind of instructions. */
#include "lanes.h"

#include "fuzz.h"
#include "image.h"
#include "scan.h"

/* A piece of 1 to FE_LANE_BYTES bytes: text of the vocabularies' letters, a run of one of them, or any bytes. */
static int64_t fill(uint8_t *piece) {
    uint8_t text[FE_LANE_BYTES + 32];
    int64_t size = 1 + (int64_t)rnd(one_in(4) ? FE_LANE_BYTES : 20);
    const uint32_t kind = rnd(6);
    if (kind == 0) memset(text, "ab 1"[rnd(4)], (size_t)size);
    for (int64_t i = 0; i < size && kind == 1; i++) text[i] = (uint8_t)rnd(256);
    if (kind > 1) {
        const int64_t n = random_text(text, size + 20, kind != 2);
        size = n < 1 ? 1 : n < size ? n : size;
        if (n < 1) *text = 'a';
    }
    memcpy(piece, text, (size_t)size);
    return size;
}

void check_lanes(const fe_tokenizer *t) {
    static uint8_t pieces[FE_LANES][FE_LANE_BYTES];
    static int32_t tokens[FE_LANES][FE_LANE_BYTES], alone[FE_LANE_BYTES];
    static fe_lane_room room;
    fe_scratch scratch = {0};
    fe_lane lanes[FE_LANES];
    if (!t->gathers) return;
    const uint32_t n = 1 + rnd(FE_LANES);
    for (uint32_t i = 0; i < n; i++) lanes[i] = (fe_lane){pieces[i], fill(pieces[i]), tokens[i], -1};
    for (int32_t path = FE_PATH_PLAIN; path <= FE_PATH_BEST; path++) {
        fe_merge_lanes(&t->merges, fe_scan_path(path), lanes, n, &room);
        for (uint32_t i = 0; i < n; i++) {
            int64_t count = lanes[i].size;
            CHECK(fe_merge_bytes(&t->merges, pieces[i], alone, &count, &scratch) == FE_OK);
            CHECK(count == lanes[i].count && memcmp(alone, tokens[i], (size_t)count * sizeof *alone) == 0);
        }
    }
    fe_scratch_clear(&scratch);
}
