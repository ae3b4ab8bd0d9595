/* gaps.c: pieces that are not known are found together, and put where they belong. */
#include "gaps.h"

#include "mem.h"
#include "model.h"
#include "symbols.h"

enum { SEEN = 2 * FE_GAPS };

fe_gaps *fe_gaps_new(void) {
    fe_gaps *const gaps = aligned_alloc(_Alignof(fe_gaps), sizeof *gaps);
    if (gaps) gaps->count = gaps->bytes = 0; /* the rest is written before it is read */
    return gaps;
}

static bool is_same(const fe_gap *a, const fe_gap *b) {
    return a->key.low == b->key.low && a->key.high == b->key.high && a->size == b->size &&
           (a->key.high != FE_LONG_KEY || memcmp(a->bytes, b->bytes, a->size) == 0);
}

static void take(fe_gap *gap, const int32_t *ids, int64_t count) {
    gap->count = count;
    if (count) memcpy(gap->ids, ids, (size_t)count * sizeof *ids);
}

/* Asks the first table once more, its other buckets as well: it may have grown since. Those that it does not know go to
 * g->left, one of each piece. Returns how many. */
static int64_t ask_first(fe_encoder *e, fe_gaps *g) {
    int32_t *room = e->symbols;
    memset(g->seen, 0, sizeof g->seen); /* by their hashes: a gap, from 1 */
    int64_t n = 0;
    for (int64_t i = 0; i < g->count; i++) {
        fe_gap *const gap = &g->all[i];
        gap->ids = room;
        gap->same = -1;
        room += gap->size;
        if (gap->key.high == FE_LONG_KEY) {
            gap->hash = gap->key.low;
        } else {
            const fe_entry *const known = fe_cache_find(e->cache, gap->key);
            if (known) {
                take(gap, known->ids, fe_entry_count(known));
                continue;
            }
            gap->hash = fe_hash(gap->bytes, gap->size, e->cache->seed);
            __builtin_prefetch(&e->cache->slots[gap->hash & e->cache->slot_mask]);
        }
        uint16_t *const last = &g->seen[gap->hash % SEEN];
        if (*last && is_same(&g->all[*last - 1], gap)) {
            gap->same = *last - 1;
            continue;
        }
        *last = (uint16_t)(i + 1);
        g->left[n++] = gap;
    }
    return n;
}

/* Asks the second table. Keeps those in `left` that it does not know, and returns how many. */
static int64_t ask_second(const fe_encoder *e, fe_gap **left, int64_t n) {
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (left[i]->key.high != FE_LONG_KEY) fe_cache_prefetch_long(e->cache, left[i]->hash);
    for (int64_t i = 0; i < n; i++) {
        fe_gap *const gap = left[i];
        int64_t count;
        const int32_t *const known = fe_cache_find_long(e->cache, gap->bytes, gap->size, gap->hash, &count);
        if (known)
            take(gap, known, count);
        else
            left[kept++] = gap;
    }
    return kept;
}

/* Where two pieces had the same place among those seen, one may come a second time: it is known by then. */
static void remember(fe_cache *cache, const fe_gap *gap) {
    int64_t count;
    if (gap->key.high == FE_LONG_KEY || gap->count > FE_CACHED_IDS) {
        if (!fe_cache_find_long(cache, gap->bytes, gap->size, gap->hash, &count))
            fe_cache_put_long(cache, gap->bytes, gap->size, gap->hash, gap->ids, gap->count);
        return;
    }
    if (fe_cache_is_full(cache)) fe_cache_grow(cache);
    if (!fe_cache_find(cache, gap->key)) fe_cache_put(cache, gap->key, gap->ids, gap->count);
}

fe_status fe_gaps_fill(fe_encoder *e, fe_gaps *g) {
    e->count = 0;
    fe_status status = fe_symbols_reserve(e, g->bytes);
    if (status != FE_OK) return status;
    int64_t n = ask_first(e, g);
    n = ask_second(e, g->left, n);
    status = e->t->kind->pieces(e, g->left, n);
    if (status != FE_OK) return status;
    for (int64_t i = 0; i < n; i++) remember(e->cache, g->left[i]);
    for (int64_t i = 0; i < g->count; i++) {
        fe_gap *const gap = &g->all[i];
        if (gap->same < 0) continue;
        gap->ids = g->all[gap->same].ids;
        gap->count = g->all[gap->same].count;
    }
    return FE_OK;
}

void fe_gaps_close(fe_encoder *e, fe_gaps *g, fe_rows *rows, int64_t row) {
    int64_t gap = 0, shift = 0, end = e->written;
    for (; rows->complete < row; rows->complete++) {
        for (; gap < g->count && g->all[gap].row <= rows->complete; gap++) shift += g->all[gap].count;
        rows->row_ends[rows->complete] += shift;
    }
    for (; gap < g->count; gap++) shift += g->all[gap].count;
    e->written += shift;
    for (int64_t i = g->count; i-- > 0 && e->ids;) { /* from the end on: everything moves to the right */
        const fe_gap *const x = &g->all[i];
        int32_t *const behind = e->ids + x->before;
        if (end > x->before) memmove(behind + shift, behind, (size_t)(end - x->before) * sizeof *behind);
        shift -= x->count;
        if (x->count) memcpy(behind + shift, x->ids, (size_t)x->count * sizeof *behind);
        end = x->before;
    }
    g->count = g->bytes = 0;
}
