/* cache.h: what pieces became, so that a word is merged once and then copied.
 *
 * Two tables. Pieces of at most 15 bytes that became at most 4 ids, nearly all there are: 32 bytes an entry, two
 * entries a bucket, which is a cache line; where a bucket is full, one of the next few has the entry. All others up to
 * some length: records in an arena.
 */
#ifndef FE_CACHE_H
#define FE_CACHE_H

#include <stdbool.h>
#include <string.h>

#include "fe.h"
#include "hash.h"

enum { FE_KEY_BYTES = 15, FE_CACHED_IDS = 4, FE_LONG_BYTES = 1024, FE_BUCKETS = 4, FE_PROBES = 16 };

/* A piece of at most 15 bytes as 16 bytes that differ for different pieces: its bytes, zeros, and at the end
 * its length and whether something that is not in the text stands in front of it. */
typedef struct fe_key {
    uint64_t low, high;
} fe_key;

typedef struct fe_entry {
    fe_key key;                 /* with the number of ids in the three highest bits; all zero: empty */
    int32_t ids[FE_CACHED_IDS]; /* those behind the last are there to be copied, no more */
} fe_entry;

enum { FE_COUNT_SHIFT = 61 };

#define FE_NO_ROOM UINT64_MAX /* fe_cache.room: it has grown as far as it may */

typedef struct fe_bucket {
    fe_entry entries[2]; /* filled in this order; none becomes empty again */
} fe_bucket;

/* A longer piece: its record is a fe_record, its bytes, padding to 4 bytes, its ids. */
typedef struct fe_record {
    uint64_t hash;
    uint32_t length;
    uint32_t ids;
} fe_record;

struct fe_cache {
    fe_bucket *buckets;
    uint64_t span;       /* bytes that they take, a power of two, less one bucket: a mask for places among them */
    uint64_t taken, room; /* entries taken; at `room` it grows, if it may */
    uint64_t *slots;      /* of longer pieces: the upper half of the hash << 32 | place of the record in the arena / 8
                             + 1, 0 where empty; a record is in one of FE_PROBES slots */
    uint64_t slot_mask, records;
    uint8_t *arena;
    uint64_t arena_used, arena_size;
    uint64_t limit;            /* bytes of all of it */
    uint64_t seed, mix_low, mix_high; /* of hashes: what no text can know */
};

/* Which bits of a piece's 16 bytes are its own, by its length. */
typedef struct fe_key_bits_by_length {
    uint64_t low[16], high[16];
} fe_key_bits_by_length;

extern __attribute__((visibility("hidden"))) const fe_key_bits_by_length fe_key_bits; /* without a detour */

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FE_LITTLE_ENDIAN 1
#else
#define FE_LITTLE_ENDIAN 0
#endif

/* The key of a piece of at most FE_KEY_BYTES bytes from 16 bytes that may be read. */
static inline fe_key fe_key_near(const uint8_t *p, uint64_t length) {
    fe_key key; /* two loads and two masks: a copy of unknown length would cost more than the probe */
#if FE_LITTLE_ENDIAN
    memcpy(&key, p, sizeof key);
    key.low &= fe_key_bits.low[length];
    key.high = (key.high & fe_key_bits.high[length]) | length << 56;
#else
    uint8_t bytes[16] = {0};
    memcpy(bytes, p, length);
    memcpy(&key, bytes, sizeof key);
    key.high = key.high >> 8 | length << 56;
#endif
    return key;
}

/* The same where less may be read, up to `readable`, or with something that is not in the text in front. */
static inline fe_key fe_key_of(const uint8_t *p, uint64_t length, bool front, const uint8_t *readable) {
    uint8_t bytes[16] = {0};
    if (readable - p < 16) {
        memcpy(bytes, p, length);
        p = bytes;
    }
    fe_key key = fe_key_near(p, length);
    key.high |= (uint64_t)front << 60;
    return key;
}

/* The key of a piece in lower case, ASCII alone: eight bytes at once, each of which gets bit 5 if it is a capital. The
 * length is below all letters, so it stays. */
static inline uint64_t fe_lower8(uint64_t word) {
    const uint64_t ones = UINT64_C(0x0101010101010101), low = word & 0x7F * ones;
    const uint64_t above = low + (0x7F - 'Z') * ones, from = low + (0x80 - 'A') * ones;
    return word | ((from & ~above & ~word & 0x80 * ones) >> 2);
}

static inline fe_key fe_key_lower(fe_key key) { return (fe_key){fe_lower8(key.low), fe_lower8(key.high)}; }

/* True if it is the key of some piece: behind the piece there is nothing but zeros and the length. */
static inline bool fe_key_is_own(fe_key key) {
    const uint64_t length = key.high >> 56 & 15;
    return !FE_LITTLE_ENDIAN || (!(key.low & ~fe_key_bits.low[length]) &&
                                 !(key.high & (UINT64_MAX >> 8) & ~fe_key_bits.high[length]));
}

/* The bucket of a key. One product of both halves, each changed by something of the seed, mixes all of its bytes. */
static inline fe_bucket *fe_bucket_of(const fe_cache *cache, fe_key key) {
    const uint64_t h = fe_fold(key.low ^ cache->mix_low, key.high ^ cache->mix_high);
    return (fe_bucket *)(void *)((uint8_t *)cache->buckets + (h & cache->span));
}

/* The bucket behind this one; behind the last is the first. */
static inline fe_bucket *fe_bucket_after(const fe_cache *cache, const fe_bucket *bucket) {
    const uint64_t at = (uint64_t)((const uint8_t *)(bucket + 1) - (const uint8_t *)cache->buckets);
    return (fe_bucket *)(void *)((uint8_t *)cache->buckets + (at & cache->span));
}

static inline bool fe_entry_is_free(const fe_entry *entry) { return !(entry->key.low | entry->key.high); }

/* The entry of a piece in its own bucket; NULL where it is not there. */
static inline const fe_entry *fe_bucket_find(const fe_bucket *bucket, uint64_t low, uint64_t high) {
    const fe_entry *const e = bucket->entries;
    const bool first = ((e[0].key.low ^ low) | (e[0].key.high ^ high) << 3) == 0;
    const bool second = ((e[1].key.low ^ low) | (e[1].key.high ^ high) << 3) == 0;
    return (first | second) ? &e[second] : NULL;
}

/* The same in the buckets behind it, as long as those before are full: at most FE_BUCKETS in all. */
static inline const fe_entry *fe_cache_find_behind(const fe_cache *cache, const fe_bucket *bucket, uint64_t low,
                                                   uint64_t high) {
    const fe_entry *known = NULL;
    for (int i = 1; i < FE_BUCKETS && !known && !fe_entry_is_free(&bucket->entries[1]); i++) {
        bucket = fe_bucket_after(cache, bucket);
        known = fe_bucket_find(bucket, low, high);
    }
    return known;
}

/* The entry of a piece; NULL where the first table does not know it. */
static inline const fe_entry *fe_cache_find(const fe_cache *cache, fe_key key) {
    const fe_bucket *const bucket = fe_bucket_of(cache, key);
    const fe_entry *const known = fe_bucket_find(bucket, key.low, key.high);
    return known ? known : fe_cache_find_behind(cache, bucket, key.low, key.high);
}

static inline int64_t fe_entry_count(const fe_entry *entry) { return (int64_t)(entry->key.high >> FE_COUNT_SHIFT); }

/* Puts a piece that is not known into the first table; it has at most FE_CACHED_IDS ids, perhaps none. Where the
 * table may grow no more, or FE_BUCKETS buckets are full, an older one of its bucket is forgotten. Buckets stay where
 * they are. */
void fe_cache_put(fe_cache *cache, fe_key key, const int32_t *ids, int64_t count);

/* The same with a note, in the place of the last id: of at most FE_CACHED_IDS - 1 ids. What stands in `ids` behind
 * them, up to so many, is kept as well. */
void fe_cache_put_noted(fe_cache *cache, fe_key key, const int32_t *ids, int64_t count, int32_t note);

/* Grows the first table if it has become too full, as far as the limit allows. Buckets move. */
void fe_cache_grow(fe_cache *cache);

static inline bool fe_cache_is_full(const fe_cache *cache) { return cache->taken > cache->room; }

/* The ids of a longer piece and their number; NULL where it is not known. They stay until the next put. */
const int32_t *fe_cache_find_long(const fe_cache *cache, const uint8_t *p, uint64_t length, uint64_t hash,
                                  int64_t *count);

/* Fetches what fe_cache_find_long will look at first. */
static inline void fe_cache_prefetch_long(const fe_cache *cache, uint64_t hash) {
    const uint64_t slot = cache->slots[hash & cache->slot_mask];
    if (!slot || (slot ^ hash) >> 32) return;
    const uint8_t *const record = cache->arena + UINT64_C(8) * ((uint32_t)slot - 1);
    __builtin_prefetch(record);
    __builtin_prefetch(record + 64);
}

/* Remembers the ids of a longer piece that was not known. When the arena is full and may not grow, all are forgotten;
 * where FE_PROBES slots in a row are taken, one is. */
void fe_cache_put_long(fe_cache *cache, const uint8_t *p, uint64_t length, uint64_t hash, const int32_t *ids,
                       int64_t count);

#endif
