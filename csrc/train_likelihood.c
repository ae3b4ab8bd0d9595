/* train_likelihood.c: the pair is merged next that comes most often for how often its two tokens come.
 *
 * A merge makes two tokens rarer, and so raises the score of every pair that one of them is of: what lies in a queue
 * does not only fall, and cannot be mended when it comes to the top. So each pair has its place in a heap, and a token
 * knows its pairs; after a merge those of the two tokens, and of the one that they make, are moved to where they
 * belong.
 */
#include "train_merge.h"

enum { NONE = UINT32_MAX };

/* What is known of a pair beside fe_pair. */
typedef struct link_of_pair {
    double score;
    uint32_t place;       /* in the heap; NONE: it is not there */
    uint32_t next[2];     /* of the pairs of its left token, and of its right one */
    uint32_t first, last; /* its stretches of words */
    uint32_t linked;      /* bit 0, 1: it is in the list of its left token, of its right one */
} pair_link;

/* Words in which a pair came into being in one step. */
typedef struct stretch {
    uint64_t list;
    uint32_t size, next;
} stretch;

/* How often a token comes, and the first pair that it is the left or the right one of. */
typedef struct token {
    int64_t count;
    uint32_t first[2];
} token;

struct fe_links {
    pair_link *of;
    uint64_t count, room;
    stretch *stretches;
    uint64_t stretches_count, stretches_room;
    token *tokens;
    uint64_t tokens_count, tokens_room;
    uint32_t *heap;
    uint64_t heap_count, heap_room;
};

void fe_links_free(fe_links *l) {
    if (!l) return;
    free(l->of);
    free(l->stretches);
    free(l->tokens);
    free(l->heap);
    free(l);
}

/* ------------------------------------------------------------------ the heap */

static inline bool is_before(const fe_merger *m, uint32_t a, uint32_t b) {
    const double x = m->links->of[a].score, y = m->links->of[b].score;
    return x != y ? x > y : m->pairs[a].key < m->pairs[b].key;
}

static inline void put_at(fe_links *l, uint64_t place, uint32_t pair) {
    l->heap[place] = pair;
    l->of[pair].place = (uint32_t)place;
}

static void rise(fe_merger *m, uint64_t i, uint32_t pair) {
    fe_links *const l = m->links;
    for (; i && is_before(m, pair, l->heap[(i - 1) / 2]); i = (i - 1) / 2) put_at(l, i, l->heap[(i - 1) / 2]);
    put_at(l, i, pair);
}

static void sink(fe_merger *m, uint64_t i, uint32_t pair) {
    fe_links *const l = m->links;
    for (uint64_t child; (child = 2 * i + 1) < l->heap_count; i = child) {
        if (child + 1 < l->heap_count && is_before(m, l->heap[child + 1], l->heap[child])) child++;
        if (!is_before(m, l->heap[child], pair)) break;
        put_at(l, i, l->heap[child]);
    }
    put_at(l, i, pair);
}

static void leave(fe_merger *m, uint32_t pair) {
    fe_links *const l = m->links;
    const uint64_t place = l->of[pair].place;
    l->of[pair].place = NONE;
    const uint32_t last = l->heap[--l->heap_count];
    if (last == pair) return;
    put_at(l, place, last);
    sink(m, place, last);
    if (l->of[last].place == place) rise(m, place, last);
}

/* Moves a pair to where its score belongs now: into the heap, or out of it. */
static bool settle(fe_merger *m, uint32_t pair) {
    fe_links *const l = m->links;
    pair_link *const link = &l->of[pair];
    const fe_pair *const its = &m->pairs[pair];
    if (its->count < m->min_count) {
        if (link->place != NONE) leave(m, pair);
        return true;
    }
    const double left = (double)l->tokens[its->key >> 32].count, right = (double)l->tokens[(uint32_t)its->key].count;
    const double score = (double)its->count / (left * right), before = link->score;
    link->score = score;
    if (link->place == NONE) {
        if (!fe_array_room((void **)&l->heap, &l->heap_room, l->heap_count, 1, sizeof *l->heap)) return false;
        rise(m, l->heap_count++, pair);
    } else if (score > before) {
        rise(m, link->place, pair);
    } else if (score < before) {
        sink(m, link->place, pair);
    }
    return true;
}

/* ------------------------------------------------------------------ pairs of a token */

static bool more_tokens(fe_merger *m) {
    fe_links *const l = m->links;
    const uint64_t more = m->names.count - l->tokens_count;
    if (!fe_array_room((void **)&l->tokens, &l->tokens_room, l->tokens_count, more, sizeof *l->tokens)) return false;
    while (l->tokens_count < m->names.count) l->tokens[l->tokens_count++] = (token){0, {NONE, NONE}};
    return true;
}

static bool more_links(fe_merger *m) {
    fe_links *const l = m->links;
    if (l->count >= m->pairs_count) return true;
    if (!fe_array_room((void **)&l->of, &l->room, l->count, m->pairs_count - l->count, sizeof *l->of)) return false;
    while (l->count < m->pairs_count) l->of[l->count++] = (pair_link){0, NONE, {NONE, NONE}, NONE, NONE, 0};
    return true;
}

/* Takes a pair that has come into being in some words. */
static bool take(fe_merger *m, const fe_entry *entry) {
    fe_links *const l = m->links;
    if (!more_links(m)) return false;
    if (!fe_array_room((void **)&l->stretches, &l->stretches_room, l->stretches_count, 1, sizeof *l->stretches))
        return false;
    pair_link *const link = &l->of[entry->pair];
    const uint32_t number = (uint32_t)l->stretches_count++;
    l->stretches[number] = (stretch){entry->list, entry->size, NONE};
    if (link->first == NONE) link->first = number;
    else l->stretches[link->last].next = number;
    link->last = number;
    const uint32_t tokens[] = {(uint32_t)(entry->key >> 32), (uint32_t)entry->key};
    for (uint32_t side = 0; side < 2; side++) {
        if (link->linked >> side & 1) continue;
        link->linked |= UINT32_C(1) << side;
        link->next[side] = l->tokens[tokens[side]].first[side];
        l->tokens[tokens[side]].first[side] = entry->pair;
    }
    return true;
}

/* Settles the pairs of a token; those that stand nowhere any more leave its lists. */
static bool settle_all(fe_merger *m, uint32_t number, int64_t *work) {
    fe_links *const l = m->links;
    for (uint32_t side = 0; side < 2; side++) {
        for (uint32_t *at = &l->tokens[number].first[side]; *at != NONE; ++*work) {
            const uint32_t pair = *at;
            if (!settle(m, pair)) return false;
            if (m->pairs[pair].count > 0) {
                at = &l->of[pair].next[side];
            } else {
                *at = l->of[pair].next[side];
                l->of[pair].linked &= ~(UINT32_C(1) << side);
            }
        }
    }
    return true;
}

/* ------------------------------------------------------------------ the steps */

static bool begin(fe_merger *m) {
    fe_links *const l = m->links = fe_new_zeros(1, sizeof *l);
    if (!l || !more_tokens(m)) return false;
    for (uint64_t w = 0; w < m->words_count; w++) {
        const fe_word *const word = &m->words[w];
        for (uint32_t i = 0; i < word->size; i++) l->tokens[m->symbols[word->start + i]].count += word->count;
    }
    if (!fe_merger_begin(m, take) || !more_links(m)) return false;
    for (uint32_t n = 0; n < m->pairs_count; n++)
        if (!settle(m, n)) return false;
    return true;
}

/* Merges the pair that is next. */
static bool step(fe_merger *m, int64_t *work) {
    fe_links *const l = m->links;
    const uint32_t pair = l->heap[0];
    const uint64_t key = m->pairs[pair].key;
    uint32_t result, next = l->of[pair].first;
    int64_t merged = 0;
    leave(m, pair);
    l->of[pair].first = l->of[pair].last = NONE;
    if (!fe_merger_name(m, key, &result) || !more_tokens(m)) return false;
    for (; next != NONE; next = l->stretches[next].next) {
        const fe_entry entry = {0, key, l->stretches[next].list, l->stretches[next].size, pair};
        if (!fe_merger_merge(m, &entry, result, take, &merged, work)) return false;
    }
    if (!more_links(m)) return false;
    m->pairs[pair].count = 0; /* it stands nowhere any more */
    l->tokens[key >> 32].count -= merged;
    l->tokens[(uint32_t)key].count -= merged;
    l->tokens[result].count += merged;
    return settle_all(m, (uint32_t)(key >> 32), work) && settle_all(m, (uint32_t)key, work) &&
           settle_all(m, result, work);
}

fe_status fe_run_by_likelihood(fe_merger *m, int64_t work) {
    if (!m->begun && !begin(m)) return FE_NO_MEMORY;
    m->begun = true;
    for (int64_t done = 0; m->names.count < m->vocab && m->links->heap_count;) {
        if (++done >= work) return FE_FULL;
        if (!step(m, &done)) return FE_NO_MEMORY;
    }
    return FE_OK;
}
