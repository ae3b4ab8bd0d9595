/* mutate.c: damage to an image that knows what an image is.
 *
 * What a section holds is known by fe_sections, so a wound is a number of the right size in the right place that is
 * wrong: just outside, one too many, that of a neighbour, another section's. The damage is done in place and taken
 * back, for an image is large and a wound is small.
 */
#include "fuzz.h"

#include "image.h"

typedef struct wound {
    uint64_t at, length;
} wound;

enum { WOUNDS = 12 };
static wound wounds[WOUNDS];
static int wound_count;

void seal(uint8_t *image, int64_t size) {
    fe_header *const h = (fe_header *)(void *)image;
    if (h->size == (uint64_t)size) h->check = fe_image_check(h); /* a damaged size would lead outside */
}

void heal(uint8_t *image, const uint8_t *intact) {
    for (; wound_count; wound_count--) {
        const wound w = wounds[wound_count - 1];
        memcpy(image + w.at, intact + w.at, (size_t)w.length);
    }
    memcpy(image, intact, sizeof(fe_header));
}

/* Notes what will be changed. False where there is no such place. */
static bool open_wound(int64_t size, uint64_t at, uint64_t length) {
    if (at > (uint64_t)size || length > (uint64_t)size - at || wound_count == WOUNDS) return false;
    wounds[wound_count++] = (wound){at, length};
    return true;
}

static uint64_t random_number(const fe_header *h) {
    const uint64_t own[] = {h->tokens, h->vocab, h->ranks, h->added, h->size, h->sections};
    switch (rnd(7)) {
    case 0: return rnd(64);
    case 1: return UINT64_MAX - rnd(64);
    case 2: return h->size / 64 * rnd(64);
    case 3: return (uint64_t)1 << rnd(64);
    case 4: return (uint64_t)rnd(UINT32_MAX) << 32 | rnd(UINT32_MAX);
    default: return own[rnd(6)] + rnd(5) - 2;
    }
}

static void wound_header(fe_header *h) {
    uint64_t *const wide[] = {&h->tokens, &h->vocab, &h->ranks, &h->added, &h->lookup_seed, &h->pair_seed, &h->size};
    int32_t *const narrow[] = {&h->pattern, &h->unk, &h->all_solid, &h->space_cuts};
    switch (rnd(4)) {
    case 0: *wide[one_in(8) ? 6 : rnd(6)] = random_number(h); break;
    case 1: *narrow[rnd(4)] = (int32_t)random_number(h); break;
    case 2: h->flags ^= 1u << rnd(one_in(2) ? 32 : 20); break;
    default: h->sections += rnd(3) - 1;
    }
}

static void wound_place(fe_header *h) {
    fe_place *const p = &h->places[rnd(FE_SECTIONS)], *const other = &h->places[rnd(FE_SECTIONS)], spare = *p;
    switch (rnd(6)) {
    case 0: p->at = one_in(2) ? random_number(h) : other->at; break;
    case 1: p->length = one_in(2) ? random_number(h) : other->length; break;
    case 2: p->length += (uint64_t)rnd(3) * 4 - 4; break;
    case 3: p->tag = rnd(FE_SECTIONS + 2); break;
    case 4: p->zero = one_in(2); break;
    default:
        *p = *other;
        *other = spare;
    }
}

/* A number that may be wrong in a section of numbers like `now`. */
static uint64_t wrong_number(const fe_header *h, uint64_t now, uint64_t count) {
    switch (rnd(8)) {
    case 0: return now + 1;
    case 1: return now - 1;
    case 2: return UINT64_MAX; /* -1, and what is empty */
    case 3: return INT32_MAX;
    case 4: return count - rnd(2);
    case 5: return now ^ (uint64_t)1 << rnd(64);
    default: return random_number(h);
    }
}

static void wound_element(const fe_header *h, uint8_t *image, int64_t size, const fe_place *p) {
    const uint64_t whole = fe_sections[p->tag].element, element = whole > 8 ? 4 : whole;
    const uint64_t count = p->length / element, at = rnd((uint32_t)count), other = rnd((uint32_t)count);
    uint8_t *const to = image + p->at + at * element;
    uint64_t number = 0;
    if (!open_wound(size, p->at + at * element, element)) return;
    memcpy(&number, to, element);
    number = wrong_number(h, number, count);
    if (one_in(3)) memcpy(to, image + p->at + other * element, element); /* another's, and there are two of it */
    else memcpy(to, &number, element);
}

/* All of a section, or many of its elements side by side, are the same: a table that is full. */
static void wound_run(uint8_t *image, int64_t size, const fe_place *p) {
    const uint64_t element = fe_sections[p->tag].element, count = p->length / element;
    const uint64_t first = one_in(2) ? 0 : rnd((uint32_t)count), most = count - first;
    const uint64_t run = one_in(2) ? most : 1 + rnd((uint32_t)most), from = rnd((uint32_t)count);
    uint8_t copy[16];
    if (!open_wound(size, p->at + first * element, run * element)) return;
    memcpy(copy, image + p->at + from * element, element);
    if (one_in(3)) memset(copy, one_in(2) ? 0 : 0xFF, sizeof copy);
    for (uint64_t i = 0; i < run; i++) memcpy(image + p->at + (first + i) * element, copy, element);
}

void damage(uint8_t *image, int64_t size) {
    fe_header *const h = (fe_header *)(void *)image;
    fe_header intact;
    memcpy(&intact, h, sizeof intact); /* where the sections are, whatever becomes of the header */
    for (uint32_t more = 1 + rnd(4); more; more--) {
        const fe_place *const p = &intact.places[rnd(intact.sections)];
        const uint32_t kind = rnd(12);
        if (kind == 0) wound_header(h);
        else if (kind == 1) wound_place(h);
        else if (kind == 2 && p->length) wound_run(image, size, p);
        else if (kind == 3 && open_wound(size, rnd((uint32_t)size), 1))
            image[wounds[wound_count - 1].at] ^= (uint8_t)(1u << rnd(8));
        else if (p->length) wound_element(&intact, image, size, p);
    }
    seal(image, size);
}
