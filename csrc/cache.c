/* cache.c: a table of buckets, two pieces each, one cache line a bucket.
 *
 * It never grows: a new piece takes the first place of its bucket, the one that was there takes the second,
 * and what was in the second is forgotten. So memory is bounded whatever the text, and nothing is ever wiped.
 */
#include "cache.h"

#include <stdlib.h>

typedef struct fe_entry {
    fe_key key; /* all zero: empty, since every piece has a length or something in front */
    int32_t ids[FE_CACHED_IDS];
} fe_entry;

typedef struct fe_bucket {
    fe_entry entries[2];
} fe_bucket;

struct fe_cache {
    fe_bucket *buckets;
    uint64_t mask;
    void *memory;
};

enum { LINE = 64 };

fe_status fe_cache_new(int64_t bytes, fe_cache **out) {
    *out = NULL;
    uint64_t count = 4096 / sizeof(fe_bucket);
    while (2 * count * sizeof(fe_bucket) <= (uint64_t)(bytes > 0 ? bytes : 0)) count *= 2;
    fe_cache *cache = malloc(sizeof *cache);
    if (!cache) return FE_NO_MEMORY;
    /* calloc's fresh pages cost nothing until they are touched; aligned by hand, which C11's aligned_alloc
     * would do without the zeros. */
    cache->memory = calloc(count * sizeof(fe_bucket) + LINE, 1);
    if (!cache->memory) {
        free(cache);
        return FE_NO_MEMORY;
    }
    uint8_t *const start = cache->memory;
    cache->buckets = (fe_bucket *)(void *)(start + (LINE - (uintptr_t)start % LINE) % LINE);
    cache->mask = count - 1;
    *out = cache;
    return FE_OK;
}

void fe_cache_free(fe_cache *cache) {
    if (!cache) return;
    free(cache->memory);
    free(cache);
}

static fe_bucket *bucket_of(const fe_cache *cache, fe_key key) {
    uint64_t h = (key.low ^ key.high >> 29) * UINT64_C(0x9E3779B97F4A7C15) + key.high;
    h = (h ^ h >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return &cache->buckets[(h ^ h >> 32) & cache->mask];
}

const int32_t *fe_cache_find(const fe_cache *cache, fe_key key) {
    const fe_entry *const entry = bucket_of(cache, key)->entries;
    if (entry[0].key.low == key.low && entry[0].key.high == key.high) return entry[0].ids;
    if (entry[1].key.low == key.low && entry[1].key.high == key.high) return entry[1].ids;
    return NULL;
}

void fe_cache_put(fe_cache *cache, fe_key key, const int32_t *ids, int64_t count) {
    fe_entry *const entry = bucket_of(cache, key)->entries;
    entry[1] = entry[0];
    entry[0].key = key;
    for (int64_t i = 0; i < FE_CACHED_IDS; i++) entry[0].ids[i] = i < count ? ids[i] : -1;
}
