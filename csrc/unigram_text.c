/* unigram_text.c: texts through all of which the sums of scores run.
 *
 * Where a text is not cut at marks, sums run through all of it. Yet it is read word by word wherever no piece reaches
 * into a word from before it: each way leads through the place before the mark (unigram_word.c). */
#include "cache.h"
#include "model.h"
#include "scan.h"
#include "unigram_ways.h"

enum { AHEAD = 16 }; /* words whose cache lines are fetched before they are asked for; a power of two */

/* What is asked of the cache before the answer is looked at. */
typedef struct fe_asked {
    fe_name name;
    const fe_bucket *bucket; /* where a short word would be; NULL: it is longer, or there is no cache */
} fe_asked;

static inline void ask(const fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front, fe_asked *a) {
    const fe_cache *const cache = e->cache;
    const uint64_t size = (uint64_t)(end - p);
    a->bucket = NULL;
    if (!cache) return;
    if (size <= FE_KEY_BYTES) {
        a->name.key = front || e->readable - p < 16 ? fe_key_of(p, size, front, e->readable) : fe_key_near(p, size);
        a->bucket = fe_bucket_of(cache, a->name.key);
        __builtin_prefetch(a->bucket);
    } else if (size <= FE_KEPT_BYTES) {
        a->name.hash = fe_hash(p, size, cache->seed);
        __builtin_prefetch(&cache->slots[a->name.hash & cache->slot_mask]);
    }
}

/* Fetches the record of a longer word, whose slot has come meanwhile. */
static inline void ask_again(const fe_encoder *e, const fe_asked *a, uint32_t size) {
    if (e->cache && size > FE_KEY_BYTES && size <= FE_KEPT_BYTES) fe_cache_prefetch_long(e->cache, a->name.hash);
}

/* Writes the ids of a word of known pieces that its own bucket has, if the sum before it is no further from zero than
 * its limit. False: nothing was done. Behind its values are some that add nothing, so all are always taken: how many
 * there are nobody foretells. */
static inline bool write_kept(fe_encoder *e, const fe_asked *a, float *sum) {
    const fe_value *const values = e->t->unigram.values;
    if (!values || !a->bucket || !e->ids || e->capacity - e->written < FE_WORD_VALUES) return false;
    const fe_entry *const known = fe_bucket_find(a->bucket, a->name.key.low, a->name.key.high);
    if (!known || !(fabsf(*sum) <= fe_limit_of(known->ids[FE_WORD_VALUES]))) return false;
    int32_t *const to = e->ids + e->written;
    for (int i = 0; i < FE_WORD_VALUES; i++) {
        const fe_value value = values[known->ids[i]];
        *sum += value.score;
        to[i] = value.id;
    }
    e->written += fe_entry_count(known);
    return true;
}

/* True if a run of marks goes on behind this place, in a text of which one is written out. */
static inline bool is_inside_run(const uint8_t *p, const uint8_t *to, const uint8_t *end) {
    return to < end && to - p >= 3 && fe_is_mark(to - 3, to);
}

/* The words that begin at cuts, of which the first one goes on from *from. */
static fe_status read_words(fe_encoder *e, const uint8_t *p, const uint8_t *end, const uint32_t *cuts, int64_t count,
                            const uint8_t **from, bool *front, double *score) {
    const bool narrow = e->t->unigram.values;
    float sum = (float)*score;
    fe_asked asked[AHEAD];
    fe_status status = FE_OK;
    if (e->cache && fe_cache_is_full(e->cache)) fe_cache_grow(e->cache); /* before places in it are asked for */
    for (int64_t i = 0; i < AHEAD && i < count; i++)
        ask(e, p + cuts[i], p + cuts[i + 1], *front && !i, &asked[i]);
    for (int64_t i = 0; i < count && status == FE_OK; i++) {
        fe_asked *const a = &asked[i % AHEAD];
        const uint8_t *const to = p + cuts[i + 1];
        if (!is_inside_run(*from, to, end)) {
            if (*from != p + cuts[i]) ask(e, *from, to, *front, a); /* words before were part of this one */
            if (!write_kept(e, a, &sum)) {
                if (narrow) *score = (double)sum;
                status = fe_unigram_word(e, *from, to, *front, a->name, score);
                sum = (float)*score;
            }
            *from = to;
            *front = false;
        }
        if (i + AHEAD / 2 < count)
            ask_again(e, &asked[(i + AHEAD / 2) % AHEAD], cuts[i + AHEAD / 2 + 1] - cuts[i + AHEAD / 2]);
        if (i + AHEAD < count) ask(e, p + cuts[i + AHEAD], p + cuts[i + AHEAD + 1], false, a);
    }
    if (narrow) *score = (double)sum;
    return status;
}

static fe_status segment(fe_encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    uint32_t cuts[FE_CUTS_ROOM];
    fe_scan scan;
    double score = 0;
    fe_status status = FE_OK;
    const uint8_t *from = p;
    if (!e->t->space_cuts) {
        const uint32_t whole[] = {0, (uint32_t)(end - p)};
        return read_words(e, p, end, whole, 1, &from, &front, &score);
    }
    fe_scan_start(&scan, FE_PATTERN_SPACES, e->t->path, p, e->readable, cuts);
    fe_scan_next(&scan, end);
    for (bool more = true; more && status == FE_OK; more = !scan.done) {
        const int64_t pieces = fe_scan_more(&scan);
        status = read_words(e, p, end, cuts, pieces, &from, &front, &score);
        if (status == FE_OK && e->written >= e->stop) status = FE_ENOUGH;
        if (!scan.done) fe_scan_drop(&scan, pieces);
    }
    return status;
}

const fe_model_kind fe_unigram_text = {
    .check = fe_unigram_check, .attach = fe_unigram_attach, .piece = fe_unigram_piece, .segment = segment};
