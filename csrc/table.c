/* table.c: filling a table of strings, by one seed after the other. */
#include "table.h"

uint64_t fe_table_slots(uint64_t strings) {
    uint64_t slots = 16;
    while (slots < 2 * strings + 1) slots *= 2;
    return slots;
}

static bool is_equal(const fe_strings *s, uint32_t number, const uint8_t *p, uint64_t size) {
    const uint32_t first = s->starts[number];
    return s->starts[number + 1] - first - s->gap == size && memcmp(s->bytes + first, p, size) == 0;
}

/* False if a search is too long. */
static bool put(const fe_table *table, uint64_t *slots, const fe_strings *strings, uint32_t number, int64_t *twice) {
    const uint32_t first = strings->starts[number];
    const uint64_t size = strings->starts[number + 1] - first - strings->gap;
    const uint64_t hash = fe_hash(strings->bytes + first, size, table->seed);
    uint64_t i = hash & table->mask;
    for (int steps = 0; slots[i]; i = (i + 1) & table->mask) {
        if (++steps > FE_LONGEST_RUN) return false;
        if ((slots[i] ^ hash) >> 32) continue;
        if (!is_equal(strings, (uint32_t)slots[i] - 1, strings->bytes + first, size)) continue;
        if (*twice < 0) *twice = number;
        return true;
    }
    slots[i] = hash >> 32 << 32 | ((uint64_t)number + 1);
    return true;
}

fe_status fe_table_fill(fe_table *table, uint64_t *slots, const fe_strings *strings, int64_t count, int64_t *twice) {
    const uint64_t room = fe_table_slots((uint64_t)count);
    for (uint64_t n = 0; n < FE_SEEDS; n++) {
        *table = (fe_table){slots, room - 1, fe_seed(n)};
        memset(slots, 0, room * sizeof *slots);
        *twice = -1;
        bool good = true;
        for (int64_t i = 0; i < count && good; i++) good = put(table, slots, strings, (uint32_t)i, twice);
        if (good && fe_runs_are_short(slots, room, 0)) return FE_OK;
    }
    return FE_BAD_MODEL;
}
