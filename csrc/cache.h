/* cache.h: what short pieces became, so that a word is merged once and then copied. */
#ifndef FE_CACHE_H
#define FE_CACHE_H

#include <stdbool.h>
#include <string.h>

#include "fe.h"

enum { FE_KEY_BYTES = 15, FE_CACHED_IDS = 4 };

/* A piece of at most 15 bytes as 16 bytes that differ for different pieces: its bytes, zeros, and at the end
 * its length and whether something that is not in the text stands in front of it. */
typedef struct fe_key {
    uint64_t low, high;
} fe_key;

/* The key of a piece that fits. Up to `readable`, memory may be read. */
static inline fe_key fe_key_of(const uint8_t *p, int64_t length, bool front, const uint8_t *readable) {
    fe_key key;
    const uint64_t tag = (uint64_t)(length | (front ? 16 : 0));
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (readable - p >= 16) { /* two loads and a mask: a copy of unknown length costs more than the probe */
        memcpy(&key, p, sizeof key);
        const uint64_t cut = length < 8 ? 8 * (uint64_t)length : 8 * (uint64_t)(length - 8);
        const uint64_t mask = (UINT64_C(1) << cut) - 1;
        key.high = length < 8 ? 0 : key.high & mask;
        key.low = length < 8 ? key.low & mask : key.low;
        key.high |= tag << 56;
        return key;
    }
#endif
    (void)readable;
    uint8_t bytes[16] = {0};
    memcpy(bytes, p, (size_t)length);
    bytes[15] = (uint8_t)tag;
    memcpy(&key, bytes, sizeof key);
    return key;
}

/* The ids of a piece, FE_CACHED_IDS of them with -1 behind the last; NULL where it is not known. */
const int32_t *fe_cache_find(const fe_cache *cache, fe_key key);

/* Remembers the ids of a piece that was not known; at least one, at most FE_CACHED_IDS. */
void fe_cache_put(fe_cache *cache, fe_key key, const int32_t *ids, int64_t count);

#endif
