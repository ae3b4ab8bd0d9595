/* tokenizer.c: what a tokenizer answers besides encoding. */
#include <stdlib.h>
#include <string.h>

#include "image.h"

void fe_tokenizer_free(fe_tokenizer *t) {
    if (!t) return;
    free(t->memory);
    free(t);
}

void fe_tokenizer_contents(const fe_tokenizer *t, fe_contents *contents) {
    const fe_header *const h = t->image;
    *contents = (fe_contents){.flags = h->flags, .pattern = h->pattern, .unk = h->unk, .tokens = (int64_t)h->tokens};
    contents->vocab = (int64_t)h->vocab;
    contents->merges = (int64_t)(h->flags & FE_RANKED ? h->vocab : h->ranks);
    contents->size = (int64_t)h->size;
    contents->image = (const uint8_t *)h;
    contents->token_bytes = t->token_bytes;
    contents->token_offsets = t->token_offsets;
    contents->token_ids = t->token_ids;
    contents->sorted_ids = t->sorted_ids;
    contents->sorted_tokens = t->sorted_tokens;
    contents->notes = fe_section_of(h, FE_S_NOTES);
    contents->notes_size = (int64_t)h->length[FE_S_NOTES];
}

int32_t fe_tokenizer_path(const fe_tokenizer *t) { return t->path; }

int64_t fe_find(const fe_tokenizer *t, const uint8_t *bytes, int64_t size) {
    if (!(t->flags & FE_BYTE_LEVEL) || size < 0) return -1;
    return fe_table_find(&t->lookup, &t->spelling, bytes, (uint64_t)size);
}

/* The token of an id, or -1. In nearly all vocabularies the ids, sorted, are 0, 1, 2 ... */
static int64_t token_of(const fe_tokenizer *t, int64_t id) {
    if (id < 0 || id > INT32_MAX) return -1;
    if ((uint64_t)id < t->tokens && t->sorted_ids[id] == id) return t->sorted_tokens[id];
    uint64_t low = 0, high = t->tokens;
    while (low < high) {
        const uint64_t middle = (low + high) / 2;
        if (t->sorted_ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->tokens && t->sorted_ids[low] == id ? t->sorted_tokens[low] : -1;
}

fe_status fe_decode(const fe_tokenizer *t, const int64_t *ids, int64_t count, const int64_t *row_ends, int64_t rows,
                    const uint8_t *separator, int64_t separator_size, uint8_t *bytes, int64_t capacity,
                    int64_t *byte_ends, int64_t *length) {
    int64_t at = 0, i = 0;
    *length = 0;
    for (int64_t row = 0; row < rows; row++) {
        const int64_t last = ((const volatile int64_t *)row_ends)[row];
        if (last < i || last > count) return FE_BAD_ROWS;
        for (const int64_t first = i; i < last; i++) {
            const int64_t token = token_of(t, ids[i]);
            if (token < 0) {
                *length = i;
                return FE_BAD_ID;
            }
            const uint32_t start = t->token_offsets[token];
            const int64_t size = t->token_offsets[token + 1] - start, between = i > first ? separator_size : 0;
            if (between + size <= capacity - at) {
                if (between) memcpy(bytes + at, separator, (size_t)between);
                if (size) memcpy(bytes + at + between, t->token_bytes + start, (size_t)size);
            }
            at += between + size;
        }
        byte_ends[row] = at;
    }
    *length = at;
    return i == count ? FE_OK : FE_BAD_ROWS;
}
