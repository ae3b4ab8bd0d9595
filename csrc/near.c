/* near.c: words that stand near each other, counted in a table of bounded size. */
#include "fe_near.h"

#include "hash.h"
#include "mem.h"

/* Open addressing, at most half full. `pair` is one more than what the owner is given, so that 0 is an empty slot: the
 * lower of two words is at most INT32_MAX, so that nothing is carried away. */
typedef struct slot {
    uint64_t pair, sum;
} slot;

struct fe_near {
    slot *slots;
    uint64_t mask, most; /* slots - 1 now, and at most; powers of two less one */
    uint64_t count, seed;
    int64_t window;
    uint64_t weights[FE_NEAR_FARTHEST + 1]; /* 2^32 / distance, rounded */
};

enum { FIRST = FE_NEAR_LEAST / sizeof(slot) }; /* slots of a new counter */

fe_status fe_near_new(const fe_near_model *model, fe_near **out) {
    *out = NULL;
    if (model->window < 1 || model->window > FE_NEAR_FARTHEST || model->memory < FE_NEAR_LEAST) return FE_BAD_MODEL;
    fe_near *const near = fe_new_zeros(1, sizeof *near);
    if (!near) return FE_NO_MEMORY;
    near->slots = fe_new_zeros(FIRST, sizeof *near->slots);
    if (!near->slots) {
        free(near);
        return FE_NO_MEMORY;
    }
    near->mask = near->most = FIRST - 1;
    /* While it grows, the old table stands beside one of twice its size. */
    while ((near->most + 1) * 3 * sizeof(slot) <= (uint64_t)model->memory) near->most = 2 * near->most + 1;
    near->seed = model->seed;
    near->window = model->window;
    for (uint64_t d = 1; d <= (uint64_t)model->window; d++) near->weights[d] = ((UINT64_C(1) << 32) + d / 2) / d;
    *out = near;
    return FE_OK;
}

void fe_near_free(fe_near *near) {
    if (!near) return;
    free(near->slots);
    free(near);
}

static slot *find(slot *slots, uint64_t mask, uint64_t seed, uint64_t pair) {
    uint64_t at = fe_fold(pair ^ seed, UINT64_C(0x9E3779B97F4A7C15)) & mask;
    while (slots[at].pair && slots[at].pair != pair) at = (at + 1) & mask;
    return &slots[at];
}

/* Doubles the table; false where it may not grow, or there is no memory, and then it is as it was. */
static bool grow(fe_near *near) {
    if (near->mask >= near->most) return false;
    const uint64_t mask = 2 * near->mask + 1;
    slot *const slots = fe_new_zeros(mask + 1, sizeof *slots);
    if (!slots) return false;
    for (uint64_t i = 0; i <= near->mask; i++)
        if (near->slots[i].pair) *find(slots, mask, near->seed, near->slots[i].pair) = near->slots[i];
    free(near->slots);
    near->slots = slots;
    near->mask = mask;
    return true;
}

fe_status fe_near_add(fe_near *near, const int32_t *words, int64_t start, int64_t size, int64_t *done) {
    for (int64_t i = start; i < size; i++) {
        *done = i;
        if (words[i] < 0) continue;
        while (2 * (near->count + (uint64_t)near->window) > near->mask)
            if (!grow(near)) return FE_FULL;
        const uint64_t right = (uint64_t)words[i];
        for (int64_t d = 1; d <= near->window && d <= i && words[i - d] >= 0; d++) {
            const uint64_t left = (uint64_t)words[i - d];
            const uint64_t pair = (left < right ? left << 32 | right : right << 32 | left) + 1;
            slot *const here = find(near->slots, near->mask, near->seed, pair);
            near->count += !here->pair;
            here->pair = pair;
            here->sum += near->weights[d];
        }
    }
    *done = size;
    return FE_OK;
}

int64_t fe_near_count(const fe_near *near) { return (int64_t)near->count; }

void fe_near_take(fe_near *near, uint64_t *pairs, uint64_t *sums) {
    uint64_t n = 0;
    for (uint64_t i = 0; i <= near->mask; i++) {
        if (!near->slots[i].pair) continue;
        pairs[n] = near->slots[i].pair - 1;
        sums[n++] = near->slots[i].sum;
    }
    memset(near->slots, 0, (near->mask + 1) * sizeof *near->slots);
    near->count = 0;
}
