/* spans.c: where tokens stand, against a list of all characters and what each belongs to. */
#include "fuzz.h"

enum { KINDS = 12, SPANS = 200, ROWS = 8 };

typedef struct spans_case {
    uint32_t widths[KINDS];
    uint8_t added[KINDS];
    int32_t spaces[2 * KINDS];
    int32_t ids[SPANS];
    int64_t offsets[ROWS + 1];
    fe_span_job job;
} spans_case;

static void draw(spans_case *c) {
    for (int i = 0; i < KINDS; i++) {
        c->widths[i] = one_in(3) ? 1 : 2 + rnd(9); /* part of a character, or some, of which the first may be begun */
        c->added[i] = one_in(4);
        if (c->added[i]) c->widths[i] = 2 + 2 * rnd(4);
        for (int j = 0; j < 2; j++) c->spaces[2 * i + j] = one_in(2) ? 0 : (int32_t)rnd(4);
    }
    c->widths[0] = 2; /* with this one a segment begins */
    c->added[0] = 0;
    for (int64_t row = 0; row < ROWS; row++) c->offsets[row + 1] = c->offsets[row] + rnd(SPANS / ROWS);
    for (int64_t row = 0; row < ROWS; row++) {
        bool inside = false;
        for (int64_t i = c->offsets[row]; i < c->offsets[row + 1]; i++) {
            c->ids[i] = (int32_t)rnd(KINDS);
            const bool added = c->added[c->ids[i]];
            if (!added && !inside) c->ids[i] = 0;
            inside = !added;
        }
    }
    c->job = (fe_span_job){.ids = KINDS, .widths = c->widths, .spaces = c->spaces, .prepends = one_in(2),
                           .added = c->added};
}

/* Which character of the text each character of a row belongs to, one after another; then every token's. */
static void check_row(const spans_case *c, int64_t row, const int32_t *spans, int64_t sum) {
    int32_t owners[10 * SPANS], raw = 0;
    int64_t count = 0;
    bool inside = false;
    for (int64_t i = c->offsets[row]; i < c->offsets[row + 1]; i++) {
        const uint32_t width = c->widths[c->ids[i]];
        const bool added = c->added[c->ids[i]];
        const int64_t first = count - (width & 1);
        for (uint32_t k = 0; k < width >> 1; k++) {
            owners[count++] = raw;
            if (!(c->job.prepends && !added && !inside && k == 0)) raw++; /* what is put before belongs to the next */
            inside = inside || !added;
        }
        inside = !added;
        CHECK(spans[2 * i] == owners[first]);
        CHECK(spans[2 * i + 1] == owners[count - 1] + 1);
    }
    CHECK(sum == raw);
}

void check_spans(void) {
    spans_case c = {.offsets = {0}};
    draw(&c);
    const int64_t count = c.offsets[ROWS], bytes = count * (int64_t)sizeof(int32_t);
    int32_t *const ids = (int32_t *)(void *)exactly((const uint8_t *)c.ids, bytes);
    int32_t *const spans = malloc((size_t)(2 * bytes) + (bytes == 0));
    CHECK(spans);
    int64_t sums[ROWS];
    CHECK(fe_spans(&c.job, ids, count, c.offsets, ROWS, spans, sums) == FE_OK);
    for (int64_t row = 0; row < ROWS; row++) check_row(&c, row, spans, sums[row]);
    uint8_t firsts[SPANS];
    for (int i = 0; i < SPANS; i++) firsts[i] = one_in(3);
    const bool keeps = one_in(2);
    int32_t before[2 * SPANS];
    memcpy(before, spans, (size_t)(2 * bytes));
    CHECK(fe_trim_spans(&c.job, keeps, ids, count, firsts, spans) == FE_OK);
    for (int64_t i = 0; i < count; i++) {
        int32_t start = before[2 * i], stop = before[2 * i + 1], left = c.spaces[2 * ids[i]];
        if (left == 1 && keeps && (firsts[i] || start == 0)) left = 0;
        while (left-- && start < stop) start++;
        CHECK(spans[2 * i] == start);
        int32_t right = c.spaces[2 * ids[i] + 1];
        if (stop < right) right = 0;
        while (right-- && stop > start) stop--;
        CHECK(spans[2 * i + 1] == stop);
    }
    /* Ids and offsets that are none: an answer, and nothing outside. */
    if (count) ids[rnd((uint32_t)count)] = one_in(2) ? -1 - (int32_t)rnd(9) : KINDS + (int32_t)rnd(INT32_MAX / 2);
    if (count) CHECK(fe_trim_spans(&c.job, keeps, ids, count, firsts, spans) == FE_BAD_ID);
    c.offsets[rnd(ROWS + 1)] = (int64_t)rnd(2 * SPANS) - SPANS / 2;
    const fe_status status = fe_spans(&c.job, ids, count, c.offsets, ROWS, spans, sums);
    CHECK(status == FE_OK || status == FE_BAD_ID || status == FE_BAD_ROWS);
    free(ids);
    free(spans);
}
