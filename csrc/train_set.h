/* train_set.h: arrays and sets of byte strings that grow. */
#ifndef FE_TRAIN_SET_H
#define FE_TRAIN_SET_H

#include "fe.h"
#include "hash.h"
#include "mem.h"

/* Makes room for `more` elements of `size` bytes behind the `used` that an array has; false where there is not so much
 * memory, and then it is as it was. It grows by half: large arrays move page by page, and pages not reached are not
 * there. */
bool fe_array_grow(void **array, uint64_t *room, uint64_t used, uint64_t more, size_t size);

static inline bool fe_array_room(void **array, uint64_t *room, uint64_t used, uint64_t more, size_t size) {
    return more <= *room - used || fe_array_grow(array, room, used, more, size);
}

/* Where a string lies among the bytes of its set, and the lower half of its hash, by which it is put anew when the
 * slots become more. */
typedef struct fe_set_place {
    uint64_t start;
    uint32_t size, low;
} fe_set_place;

/* Strings by number, from 0 in the order in which they came, and found by their bytes. Open addressing, at most half
 * full: a slot is the upper half of a hash << 32 | number + 1, or 0 where it is empty. All zero but the seed: an empty
 * set. */
typedef struct fe_set {
    uint8_t *bytes;
    uint64_t used, bytes_room;
    fe_set_place *places;
    uint64_t count, places_room;
    uint64_t *slots;
    uint64_t mask; /* slots - 1, a power of two - 1; 0: there are none yet */
    uint64_t seed;
} fe_set;

enum { FE_SET_MOST = INT32_MAX }; /* strings */

static inline uint64_t fe_set_hash(const fe_set *set, const uint8_t *p, uint64_t size) {
    return fe_hash(p, size, set->seed);
}

/* Asks for the slot where a search for this hash begins. */
static inline void fe_set_prefetch(const fe_set *set, uint64_t hash) {
    if (set->mask) __builtin_prefetch(&set->slots[hash & set->mask]);
}

/* The number of the string that is these bytes, whose hash is known, or -1. */
int64_t fe_set_find(const fe_set *set, uint64_t hash, const uint8_t *p, uint32_t size);

/* The same; a string that is not there is added. -1: no memory, or too many strings. */
int64_t fe_set_put(fe_set *set, uint64_t hash, const uint8_t *p, uint32_t size);

/* The bytes of memory that a set takes. */
uint64_t fe_set_memory(const fe_set *set);

void fe_set_clear(fe_set *set);

#endif
