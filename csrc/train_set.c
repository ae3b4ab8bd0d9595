/* train_set.c: arrays and sets of byte strings that grow. */
#include "train_set.h"

bool fe_array_grow(void **array, uint64_t *room, uint64_t used, uint64_t more, size_t size) {
    const uint64_t most = PTRDIFF_MAX / size;
    if (more > most - used) return false;
    uint64_t larger = used + more;
    if (larger < used + used / 2 && used / 2 < most - used) larger = used + used / 2;
    if (larger < 64) larger = 64;
    void *const moved = realloc(*array, (size_t)larger * size);
    if (!moved) return false;
    *array = moved;
    *room = larger;
    return true;
}

static inline bool is_string(const fe_set *set, uint64_t number, const uint8_t *p, uint32_t size) {
    const fe_set_place *const place = &set->places[number];
    return place->size == size && memcmp(set->bytes + place->start, p, size) == 0;
}

int64_t fe_set_find(const fe_set *set, uint64_t hash, const uint8_t *p, uint32_t size) {
    if (!set->mask) return -1;
    for (uint64_t i = hash & set->mask, slot; (slot = set->slots[i]) != 0; i = (i + 1) & set->mask)
        if (!((slot ^ hash) >> 32) && is_string(set, (uint32_t)slot - 1, p, size)) return (uint32_t)slot - 1;
    return -1;
}

static void take_slot(uint64_t *slots, uint64_t mask, uint64_t high, uint32_t low, uint64_t number) {
    uint64_t i = low & mask;
    while (slots[i]) i = (i + 1) & mask;
    slots[i] = high | (number + 1);
}

/* Doubles the slots. The lower half of a hash says where a search begins: more than 2^32 slots are never needed. */
static bool more_slots(fe_set *set) {
    const uint64_t room = set->mask ? 2 * (set->mask + 1) : 64;
    uint64_t *const slots = fe_new_zeros(room, sizeof *slots);
    if (!slots) return false;
    for (uint64_t i = 0; set->mask && i <= set->mask; i++) {
        const uint64_t slot = set->slots[i], number = (uint32_t)slot;
        if (slot) take_slot(slots, room - 1, slot >> 32 << 32, set->places[number - 1].low, number - 1);
    }
    free(set->slots);
    set->slots = slots;
    set->mask = room - 1;
    return true;
}

int64_t fe_set_put(fe_set *set, uint64_t hash, const uint8_t *p, uint32_t size) {
    const int64_t found = fe_set_find(set, hash, p, size);
    if (found >= 0) return found;
    if (set->count >= FE_SET_MOST || (2 * set->count >= set->mask && !more_slots(set))) return -1;
    if (!fe_array_room((void **)&set->bytes, &set->bytes_room, set->used, size, 1) ||
        !fe_array_room((void **)&set->places, &set->places_room, set->count, 1, sizeof *set->places))
        return -1;
    memcpy(set->bytes + set->used, p, size);
    set->places[set->count] = (fe_set_place){set->used, size, (uint32_t)hash};
    set->used += size;
    take_slot(set->slots, set->mask, hash >> 32 << 32, (uint32_t)hash, set->count);
    return (int64_t)set->count++;
}

uint64_t fe_set_memory(const fe_set *set) {
    const uint64_t slots = set->mask ? set->mask + 1 : 0;
    return set->bytes_room + set->places_room * sizeof *set->places + slots * sizeof *set->slots;
}

void fe_set_clear(fe_set *set) {
    free(set->bytes);
    free(set->places);
    free(set->slots);
    *set = (fe_set){.seed = set->seed};
}
