/* cache.c: the two tables, growing up to a limit.
 *
 * They start small, since a table that is never touched twice is only page faults, and double while new pieces
 * come. Of the first one half of the entries are taken at most, so nearly all stand in their own bucket, and those
 * that came first, the common ones, certainly do. At the limit a new piece takes the place of an older one in its
 * bucket, and the arena is emptied when it is full. So memory is bounded whatever the text.
 */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* mmap, madvise */
#endif

#include "cache.h"

#include "mem.h"

#ifdef __linux__
#include <sys/mman.h>
#ifdef MADV_HUGEPAGE
#define FE_HUGE_PAGES
#endif
#endif

enum { FIRST_BUCKETS = 1 << 9, FIRST_ARENA = 1 << 14, FIRST_SLOTS = 1 << 10, HUGE = 1 << 21, LEAST_PAGE = 4096 };

/* What the tables may take of the limit at most; while one doubles, old and new exist side by side, so what all take
 * then is looked at as well. */
enum { BUCKET_SHARE = 2, ARENA_SHARE = 4, SLOT_SHARE = 8 };

/* The least and the most bytes of a cache: a quarter of these are the arena, whose places / 8 fit 32 bits. */
#define LEAST (INT64_C(1) << 16)
#define MOST (INT64_C(1) << 36)

#define BITS(n) ((n) >= 8 ? UINT64_MAX : (UINT64_C(1) << 8 * ((n) & 7)) - 1)
#define LOW(n) BITS(n)
#define HIGH(n) ((n) <= 8 ? 0 : BITS((n) - 8))
#define SIXTEEN(F) \
    {F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7), F(8), F(9), F(10), F(11), F(12), F(13), F(14), F(15)}

const fe_key_bits_by_length fe_key_bits = {SIXTEEN(LOW), SIXTEEN(HIGH)};

/* Zeros, aligned to a cache line; to be freed by free_buckets. Large tables are mapped, in huge pages: random probes
 * into small ones would miss the translations of their addresses as well. Fresh pages are zeros already, and each is
 * written to once: one that is read first costs two faults, and growing touches them all anyway. */
static fe_bucket *new_buckets(uint64_t count) {
    const size_t bytes = count * sizeof(fe_bucket);
#ifdef FE_HUGE_PAGES
    if (bytes >= HUGE) {
        /* One huge page more, since mmap aligns to small ones; what is not touched costs nothing. */
        uint8_t *const whole = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (whole == MAP_FAILED) return NULL;
        const size_t before = (HUGE - (uintptr_t)whole % HUGE) % HUGE;
        if (before) (void)munmap(whole, before);
        if (before < HUGE) (void)munmap(whole + before + bytes, HUGE - before);
        (void)madvise(whole + before, bytes, MADV_HUGEPAGE); /* a refusal costs speed, not correctness */
        for (size_t i = 0; i < bytes; i += LEAST_PAGE) ((volatile uint8_t *)whole)[before + i] = 0;
        return (fe_bucket *)(void *)(whole + before);
    }
#endif
    fe_bucket *const buckets = aligned_alloc(sizeof(fe_bucket), bytes);
    if (buckets) memset(buckets, 0, bytes);
    return buckets;
}

static void free_buckets(fe_bucket *buckets, uint64_t count) {
#ifdef FE_HUGE_PAGES
    if (count * sizeof(fe_bucket) >= HUGE) {
        (void)munmap(buckets, count * sizeof(fe_bucket));
        return;
    }
#endif
    (void)count;
    free(buckets);
}

static void set_buckets(fe_cache *cache, fe_bucket *buckets, uint64_t count) {
    cache->buckets = buckets;
    cache->taken = 0;
    cache->room = count; /* half of the entries */
    cache->span = (count - 1) * sizeof *buckets;
}

fe_status fe_cache_new(int64_t bytes, uint64_t seed, fe_cache **out) {
    *out = NULL;
    fe_cache *const cache = calloc(1, sizeof *cache);
    if (!cache) return FE_NO_MEMORY;
    cache->limit = bytes < LEAST ? LEAST : bytes > MOST ? MOST : (uint64_t)bytes;
    cache->seed = seed;
    cache->mix_low = fe_fold(seed ^ UINT64_C(0x9E3779B97F4A7C15), UINT64_C(0xC2B2AE3D27D4EB4F));
    cache->mix_high = fe_fold(seed ^ UINT64_C(0xC2B2AE3D27D4EB4F), UINT64_C(0xD6E8FEB86659FD93));
    fe_bucket *const buckets = new_buckets(FIRST_BUCKETS);
    cache->slots = calloc(FIRST_SLOTS, sizeof *cache->slots);
    cache->arena = malloc(FIRST_ARENA);
    if (!buckets || !cache->slots || !cache->arena) {
        free(buckets);
        free(cache->slots);
        free(cache->arena);
        free(cache);
        return FE_NO_MEMORY;
    }
    set_buckets(cache, buckets, FIRST_BUCKETS);
    cache->slot_mask = FIRST_SLOTS - 1;
    cache->arena_size = FIRST_ARENA;
    *out = cache;
    return FE_OK;
}

static uint64_t bucket_count(const fe_cache *cache) { return cache->span / sizeof(fe_bucket) + 1; }

void fe_cache_free(fe_cache *cache) {
    if (!cache) return;
    free_buckets(cache->buckets, bucket_count(cache));
    free(cache->slots);
    free(cache->arena);
    free(cache);
}

int64_t fe_cache_size(const fe_cache *cache) {
    return (int64_t)(sizeof *cache + bucket_count(cache) * sizeof(fe_bucket) +
                     (cache->slot_mask + 1) * sizeof *cache->slots + cache->arena_size);
}

/* ------------------------------------------------------------------ pieces of at most 15 bytes */

/* True if so many bytes more may be taken for a table that is to have `size` of them, by its share of the limit. */
static bool may_take(const fe_cache *cache, uint64_t size, uint64_t share) {
    return size <= cache->limit / share && size <= cache->limit - (uint64_t)fe_cache_size(cache);
}

/* Puts an entry into the first free place for it. False if there is none. */
static bool put(fe_cache *cache, fe_key key, const fe_entry *entry) {
    fe_bucket *bucket = fe_bucket_of(cache, key);
    for (int i = 0; i < FE_BUCKETS; i++, bucket = fe_bucket_after(cache, bucket)) {
        for (int j = 0; j < 2; j++) {
            if (!fe_entry_is_free(&bucket->entries[j])) continue;
            bucket->entries[j] = *entry;
            cache->taken++;
            return true;
        }
    }
    return false;
}

static void put_new(fe_cache *cache, fe_key key, fe_entry entry, const int32_t *ids, int64_t count) {
    entry.key = (fe_key){key.low, key.high | (uint64_t)count << FE_COUNT_SHIFT};
    FE_ASSERT(key.low | key.high && !(key.high >> FE_COUNT_SHIFT) && count <= FE_CACHED_IDS);
    FE_ASSERT(fe_key_is_own(key) && !fe_cache_find(cache, key));
    for (int64_t i = 0; i < count; i++) entry.ids[i] = ids[i];
    if (cache->room != FE_NO_ROOM && put(cache, key, &entry)) return;
    fe_bucket *const bucket = fe_bucket_of(cache, key); /* full, or it becomes so */
    if (!fe_entry_is_free(&bucket->entries[0])) bucket->entries[1] = bucket->entries[0];
    bucket->entries[0] = entry;
}

void fe_cache_put(fe_cache *cache, fe_key key, const int32_t *ids, int64_t count) {
    put_new(cache, key, (fe_entry){.ids = {0}}, ids, count);
}

void fe_cache_put_noted(fe_cache *cache, fe_key key, const int32_t *ids, int64_t count, int32_t note) {
    FE_ASSERT(count < FE_CACHED_IDS);
    fe_entry entry = {.ids = {[FE_CACHED_IDS - 1] = note}};
    memcpy(entry.ids, ids, (FE_CACHED_IDS - 1) * sizeof *ids);
    put_new(cache, key, entry, ids, count);
}

void fe_cache_grow(fe_cache *cache) {
    const uint64_t count = bucket_count(cache);
    fe_bucket *const old = cache->buckets;
    fe_bucket *buckets = NULL;
    if (may_take(cache, 2 * count * sizeof *old, BUCKET_SHARE)) buckets = new_buckets(2 * count);
    if (!buckets) { /* as large as it may become: old pieces give way to new ones */
        cache->room = FE_NO_ROOM;
        return;
    }
    set_buckets(cache, buckets, 2 * count);
    for (uint64_t i = 0; i < count; i++) { /* those in their own buckets stay before those that overflowed into them */
        for (int j = 0; j < 2; j++) {
            const fe_entry *const entry = &old[i].entries[j];
            const fe_key key = {entry->key.low, entry->key.high & ((UINT64_C(1) << FE_COUNT_SHIFT) - 1)};
            if (!fe_entry_is_free(entry)) (void)put(cache, key, entry); /* one without a place is forgotten */
        }
    }
    free_buckets(old, count);
}

/* ------------------------------------------------------------------ longer pieces */

static uint64_t record_size(uint64_t length, uint64_t ids) {
    const uint64_t bytes = sizeof(fe_record) + (length + 3) / 4 * 4 + ids * sizeof(int32_t);
    return (bytes + 7) / 8 * 8; /* so that every record is aligned */
}

static fe_record *record_at(const fe_cache *cache, uint64_t slot) {
    return (fe_record *)(void *)(cache->arena + UINT64_C(8) * ((uint32_t)slot - 1));
}

static int32_t *ids_of(fe_record *record) {
    return (int32_t *)(void *)((uint8_t *)(record + 1) + (record->length + 3) / 4 * 4);
}

const int32_t *fe_cache_find_long(const fe_cache *cache, const uint8_t *p, uint64_t length, uint64_t hash,
                                  int64_t *count) {
    uint64_t i = hash & cache->slot_mask;
    for (int step = 0; step < FE_PROBES && cache->slots[i]; step++, i = (i + 1) & cache->slot_mask) {
        if ((cache->slots[i] ^ hash) >> 32) continue;
        fe_record *const record = record_at(cache, cache->slots[i]);
        if (record->hash != hash || record->length != length || memcmp(record + 1, p, length) != 0) continue;
        *count = record->ids;
        return ids_of(record);
    }
    return NULL;
}

/* Takes the first free slot near the hash's own, or its own from another record, so that no search is long. */
static void put_slot(uint64_t *slots, uint64_t mask, uint64_t hash, uint64_t place) {
    uint64_t i = hash & mask;
    for (int step = 1; step < FE_PROBES && slots[i]; step++) i = (i + 1) & mask;
    slots[slots[i] ? hash & mask : i] = hash >> 32 << 32 | place;
}

static bool grow_slots(fe_cache *cache) {
    const uint64_t count = 2 * (cache->slot_mask + 1);
    uint64_t *slots = NULL;
    if (may_take(cache, count * sizeof *slots, SLOT_SHARE)) slots = calloc(count, sizeof *slots);
    if (!slots) return false;
    for (uint64_t i = 0; i <= cache->slot_mask; i++)
        if (cache->slots[i])
            put_slot(slots, count - 1, record_at(cache, cache->slots[i])->hash, (uint32_t)cache->slots[i]);
    free(cache->slots);
    cache->slots = slots;
    cache->slot_mask = count - 1;
    return true;
}

static bool grow_arena(fe_cache *cache) {
    if (!may_take(cache, 2 * cache->arena_size, ARENA_SHARE)) return false;
    uint8_t *const arena = realloc(cache->arena, 2 * cache->arena_size);
    if (!arena) return false;
    cache->arena = arena;
    cache->arena_size *= 2;
    return true;
}

static void forget_long(fe_cache *cache) {
    memset(cache->slots, 0, (cache->slot_mask + 1) * sizeof *cache->slots);
    cache->records = cache->arena_used = 0;
}

void fe_cache_put_long(fe_cache *cache, const uint8_t *p, uint64_t length, uint64_t hash, const int32_t *ids,
                       int64_t count) {
    const uint64_t size = record_size(length, (uint64_t)count);
    if (2 * size > cache->arena_size && !grow_arena(cache)) return;
    while (cache->arena_used + size > cache->arena_size)
        if (!grow_arena(cache)) forget_long(cache);
    if (2 * cache->records > cache->slot_mask && !grow_slots(cache)) forget_long(cache);
    const uint64_t place = cache->arena_used / 8 + 1;
    fe_record *const record = record_at(cache, place);
    *record = (fe_record){hash, (uint32_t)length, (uint32_t)count};
    memcpy(record + 1, p, length);
    if (count) memcpy(ids_of(record), ids, (size_t)count * sizeof *ids);
    cache->arena_used += size;
    cache->records++;
    put_slot(cache->slots, cache->slot_mask, hash, place);
}
