/* merge_list.c: a merge list as its file writes it → token numbers. */
#include "mem.h"
#include "table.h"

/* Names of tokens, found by what they are written. */
typedef struct names {
    fe_table table;
    fe_strings strings;
} names;

static int32_t find(const names *n, const uint8_t *p, uint64_t size) {
    return fe_table_find(&n->table, &n->strings, p, size);
}

/* The end of the line that starts at p. */
static const uint8_t *line_end(const uint8_t *p, const uint8_t *end) {
    const uint8_t *const found = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    return found ? found : end;
}

/* Where each of `count` lines begins, and one place behind the last; false if there are not so many, or more. */
static bool find_lines(const uint8_t *text, int64_t size, int64_t count, uint32_t *starts) {
    const uint8_t *p = text, *const end = p + size;
    for (int64_t number = 0; number < count; number++) {
        if (number && p == end) return false; /* fewer lines than names */
        if (number) p++;                      /* over the line end */
        const uint8_t *const stop = line_end(p, end);
        starts[number] = (uint32_t)(p - text);
        starts[number + 1] = (uint32_t)(stop - text) + 1;
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
    if (merges_size < 0) return FE_BAD_FILE;
    uint32_t *const starts = fe_new((uint64_t)count + 1, sizeof *starts);
    uint64_t *const slots = fe_new(fe_table_slots((uint64_t)count), sizeof *slots);
    uint8_t *const both = fe_new((uint64_t)merges_size, 1);
    names n = {.strings = {text, starts, 1}};
    int64_t twice;
    fe_status status = starts && slots && both ? FE_OK : FE_NO_MEMORY;
    if (status == FE_OK && !find_lines(text, size, count, starts)) status = FE_BAD_FILE;
    if (status == FE_OK && fe_table_fill(&n.table, slots, &n.strings, count, &twice) != FE_OK) status = FE_BAD_FILE;
    const uint8_t *p = merges, *const end = merges + merges_size;
    for (int64_t i = 0; i < merges_count && status == FE_OK; i++) {
        if (i) p++; /* over the line end */
        const uint8_t *const stop = line_end(p, end);
        if (!read_merge(&n, p, stop, both, (int32_t *[3]){left, right, result}, i)) status = FE_BAD_FILE;
        p = stop;
        if (p == end && i + 1 < merges_count) status = FE_BAD_FILE; /* fewer lines than merges */
    }
    free(starts);
    free(slots);
    free(both);
    return status;
}
