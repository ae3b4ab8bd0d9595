/* merge_list.c: a merge list as its file writes it → token numbers. */
#include <stdlib.h>
#include <string.h>

#include "image.h"

/* Names of tokens, found by what they are written. */
typedef struct names {
    const uint8_t *text;
    uint32_t *starts; /* of each name, and one behind the last; a line end stands before each but the first */
    uint64_t *slots;  /* half a hash << 32 | number + 1, 0 where empty */
    uint64_t mask;
} names;

static uint64_t size_of(const names *n, uint64_t number) { return n->starts[number + 1] - 1 - n->starts[number]; }

static int32_t find(const names *n, const uint8_t *p, uint64_t size) {
    const uint64_t hash = fe_hash(p, size);
    for (uint64_t i = hash & n->mask; n->slots[i]; i = (i + 1) & n->mask) {
        if ((n->slots[i] ^ hash) >> 32) continue;
        const uint64_t number = (uint32_t)n->slots[i] - 1;
        if (size_of(n, number) == size && memcmp(n->text + n->starts[number], p, size) == 0) return (int32_t)number;
    }
    return -1;
}

/* The end of the line that starts at p. */
static const uint8_t *line_end(const uint8_t *p, const uint8_t *end) {
    const uint8_t *const found = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    return found ? found : end;
}

static bool fill(names *n, int64_t size, int64_t count) {
    const uint8_t *p = n->text, *const end = p + size;
    for (int64_t number = 0; number < count; number++) {
        if (number && p == end) return false; /* fewer lines than names */
        if (number) p++;                      /* over the line end */
        const uint8_t *const stop = line_end(p, end);
        n->starts[number] = (uint32_t)(p - n->text);
        n->starts[number + 1] = (uint32_t)(stop + 1 - n->text);
        const uint64_t hash = fe_hash(p, (uint64_t)(stop - p));
        uint64_t i = hash & n->mask;
        while (n->slots[i]) i = (i + 1) & n->mask;
        n->slots[i] = hash >> 32 << 32 | (uint64_t)(number + 1);
        p = stop;
    }
    return p == end;
}

/* One merge: two names and a space between them. False if it is none, or a name is not known. */
static bool read_merge(const names *n, const uint8_t *p, const uint8_t *end, uint8_t *both, int32_t *out[3],
                       int64_t at) {
    const uint8_t *const space = memchr(p, ' ', (size_t)(end - p));
    if (!space || memchr(space + 1, ' ', (size_t)(end - space - 1))) return false;
    const uint64_t left = (uint64_t)(space - p), right = (uint64_t)(end - space - 1);
    memcpy(both, p, left);
    memcpy(both + left, space + 1, right);
    out[0][at] = find(n, p, left);
    out[1][at] = find(n, space + 1, right);
    out[2][at] = find(n, both, left + right);
    return out[0][at] >= 0 && out[1][at] >= 0 && out[2][at] >= 0;
}

fe_status fe_merges_read(const uint8_t *text, int64_t size, int64_t count, const uint8_t *merges, int64_t merges_size,
                         int64_t merges_count, int32_t *left, int32_t *right, int32_t *result) {
    if (size < 0 || size >= UINT32_MAX - 1 || count < 1 || count > INT32_MAX - 1) return FE_BAD_FILE;
    if (merges_size < 0 || merges_size >= INT64_MAX || (uint64_t)merges_size >= SIZE_MAX) return FE_BAD_FILE;
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)count) slots *= 2;
    names n = {.text = text, .mask = slots - 1};
    n.starts = malloc(((size_t)count + 1) * sizeof *n.starts);
    n.slots = calloc(slots, sizeof *n.slots);
    uint8_t *const both = malloc((size_t)merges_size + 1);
    fe_status status = n.starts && n.slots && both ? FE_OK : FE_NO_MEMORY;
    if (status == FE_OK && !fill(&n, size, count)) status = FE_BAD_FILE;
    const uint8_t *p = merges, *const end = merges + merges_size;
    for (int64_t i = 0; i < merges_count && status == FE_OK; i++) {
        if (i) p++; /* over the line end */
        const uint8_t *const stop = line_end(p, end);
        if (!read_merge(&n, p, stop, both, (int32_t *[3]){left, right, result}, i)) status = FE_BAD_FILE;
        p = stop;
        if (p == end && i + 1 < merges_count) status = FE_BAD_FILE; /* fewer lines than merges */
    }
    free(n.starts);
    free(n.slots);
    free(both);
    return status;
}
