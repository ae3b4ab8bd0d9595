/* bpe.c: byte pair encoding of one piece.
 *
 * Two loops give the same answer. Short pieces, nearly all there are, are scanned for the lowest rank
 * after every merge: quadratic, but in 32 numbers that stay in the first cache level. Longer ones keep
 * their pairs in a heap, so a megabyte without a space is still O(n log n).
 */
#include "bpe.h"

#include <stdlib.h>
#include <string.h>

#define SHORT_PIECE 32 /* measured: the heap wins only beyond this length */
#define NO_RANK UINT32_MAX
#define EMPTY_KEY UINT64_MAX /* ids are never negative, so no pair has this key */

struct fe_slot {
    uint64_t key; /* left id << 32 | right id */
    uint32_t rank;
    uint32_t unused;
};

static uint64_t pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* Spreads neighbouring ids over the table: the high half of a product by a large odd number. */
static uint64_t pair_hash(uint64_t key) {
    key *= UINT64_C(0x9E3779B97F4A7C15);
    return key ^ key >> 32;
}

/* The rank at which left and right merge, or NO_RANK. */
static uint32_t pair_rank(const fe_merges *merges, int32_t left, int32_t right) {
    const uint64_t key = pair_key(left, right);
    for (uint64_t i = pair_hash(key) & merges->mask;; i = (i + 1) & merges->mask) {
        const struct fe_slot *slot = &merges->slots[i];
        if (slot->key == key) return slot->rank;
        if (slot->key == EMPTY_KEY) return NO_RANK;
    }
}

fe_status fe_merges_init(fe_merges *merges, const fe_model *model) {
    if (model->merges < 0 || model->merges >= INT32_MAX) return FE_BAD_MODEL;
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)model->merges) slots *= 2;
    merges->slots = malloc(slots * sizeof *merges->slots);
    merges->result = malloc(((size_t)model->merges + 1) * sizeof *merges->result);
    if (!merges->slots || !merges->result) return FE_NO_MEMORY;
    merges->mask = slots - 1;
    for (uint64_t i = 0; i < slots; i++) merges->slots[i].key = EMPTY_KEY;

    for (int64_t rank = 0; rank < model->merges; rank++) {
        const int32_t left = model->merge_left[rank], right = model->merge_right[rank];
        const int32_t result = model->merge_result[rank];
        if (left < 0 || right < 0 || result < 0) return FE_BAD_MODEL;
        merges->result[rank] = result;
        const uint64_t key = pair_key(left, right);
        uint64_t i = pair_hash(key) & merges->mask;
        while (merges->slots[i].key != EMPTY_KEY && merges->slots[i].key != key) i = (i + 1) & merges->mask;
        merges->slots[i].key = key;
        merges->slots[i].rank = (uint32_t)rank; /* a pair listed twice: the last place counts */
    }
    return FE_OK;
}

void fe_merges_clear(fe_merges *merges) {
    free(merges->slots);
    free(merges->result);
}

void fe_scratch_clear(fe_scratch *scratch) {
    free(scratch->rank);
    free(scratch->prev);
    free(scratch->next);
    free(scratch->heap);
}

static fe_status scratch_reserve(fe_scratch *scratch, int64_t n) {
    if (n <= scratch->capacity) return FE_OK;
    const size_t room = (size_t)n + (size_t)n / 2;
    fe_scratch_clear(scratch);
    memset(scratch, 0, sizeof *scratch);
    scratch->rank = malloc(room * sizeof *scratch->rank);
    scratch->prev = malloc(room * sizeof *scratch->prev);
    scratch->next = malloc(room * sizeof *scratch->next);
    /* n - 1 first pairs, then at most two new ones for each of n - 1 merges, each of which took one out */
    scratch->heap = malloc(2 * room * sizeof *scratch->heap);
    if (!scratch->rank || !scratch->prev || !scratch->next || !scratch->heap) return FE_NO_MEMORY;
    scratch->capacity = (int64_t)room;
    return FE_OK;
}

static void merge_short(const fe_merges *merges, int32_t *ids, int64_t *count) {
    uint32_t rank[SHORT_PIECE]; /* rank[i]: of the pair (i, i + 1) */
    int64_t n = *count;
    for (int64_t i = 0; i + 1 < n; i++) rank[i] = pair_rank(merges, ids[i], ids[i + 1]);
    for (;;) {
        uint32_t best = NO_RANK;
        int64_t at = 0;
        for (int64_t i = 0; i + 1 < n; i++) {
            if (rank[i] < best) {
                best = rank[i];
                at = i;
            }
        }
        if (best == NO_RANK) break;
        ids[at] = merges->result[best];
        n--;
        for (int64_t i = at + 1; i < n; i++) ids[i] = ids[i + 1];
        for (int64_t i = at + 1; i + 1 < n; i++) rank[i] = rank[i + 1];
        if (at > 0) rank[at - 1] = pair_rank(merges, ids[at - 1], ids[at]);
        if (at + 1 < n) rank[at] = pair_rank(merges, ids[at], ids[at + 1]);
    }
    *count = n;
}

/* A heap of rank << 32 | position: its order is lowest rank, then leftmost, which is the law of BPE. */
static void sift_down(uint64_t *heap, int64_t size, int64_t i) {
    const uint64_t item = heap[i];
    for (int64_t child; (child = 2 * i + 1) < size; i = child) {
        if (child + 1 < size && heap[child + 1] < heap[child]) child++;
        if (item <= heap[child]) break;
        heap[i] = heap[child];
    }
    heap[i] = item;
}

static void heap_push(uint64_t *heap, int64_t *size, uint64_t item) {
    int64_t i = (*size)++;
    for (int64_t parent; i > 0 && heap[parent = (i - 1) / 2] > item; i = parent) heap[i] = heap[parent];
    heap[i] = item;
}

static uint64_t heap_pop(uint64_t *heap, int64_t *size) {
    const uint64_t top = heap[0];
    heap[0] = heap[--(*size)];
    if (*size > 0) sift_down(heap, *size, 0);
    return top;
}

static fe_status merge_long(const fe_merges *merges, int32_t *ids, int64_t *count, fe_scratch *scratch) {
    const int64_t n = *count;
    const fe_status status = scratch_reserve(scratch, n);
    if (status != FE_OK) return status;
    uint32_t *const rank = scratch->rank; /* of the pair (i, next[i]); what the heap says beyond it is old */
    int32_t *const prev = scratch->prev, *const next = scratch->next;
    uint64_t *const heap = scratch->heap;
    int64_t size = 0;

    for (int64_t i = 0; i < n; i++) {
        prev[i] = (int32_t)(i - 1);
        next[i] = (int32_t)(i + 1);
        rank[i] = i + 1 < n ? pair_rank(merges, ids[i], ids[i + 1]) : NO_RANK;
        if (rank[i] != NO_RANK) heap[size++] = (uint64_t)rank[i] << 32 | (uint64_t)i;
    }
    for (int64_t i = size / 2; i-- > 0;) sift_down(heap, size, i);

    while (size > 0) {
        const uint64_t top = heap_pop(heap, &size);
        const int32_t at = (int32_t)(top & UINT32_MAX);
        const uint32_t best = (uint32_t)(top >> 32);
        if (rank[at] != best) continue; /* this pair is gone */
        const int32_t gone = next[at];
        ids[at] = merges->result[best];
        rank[gone] = NO_RANK;
        next[at] = next[gone];
        if (next[at] < n) {
            prev[next[at]] = at;
            rank[at] = pair_rank(merges, ids[at], ids[next[at]]);
            if (rank[at] != NO_RANK) heap_push(heap, &size, (uint64_t)rank[at] << 32 | (uint32_t)at);
        } else {
            rank[at] = NO_RANK;
        }
        const int32_t before = prev[at];
        if (before >= 0) {
            rank[before] = pair_rank(merges, ids[before], ids[at]);
            if (rank[before] != NO_RANK)
                heap_push(heap, &size, (uint64_t)rank[before] << 32 | (uint32_t)before);
        }
    }
    int64_t kept = 0;
    for (int32_t i = 0; i < n; i = next[i]) ids[kept++] = ids[i]; /* position 0 is never merged away */
    *count = kept;
    return FE_OK;
}

fe_status fe_merge(const fe_merges *merges, int32_t *ids, int64_t *n, fe_scratch *scratch) {
    if (*n <= SHORT_PIECE) {
        merge_short(merges, ids, n);
        return FE_OK;
    }
    if (*n >= INT32_MAX) return FE_TOO_LONG; /* positions in the heap are 32 bits */
    return merge_long(merges, ids, n, scratch);
}
