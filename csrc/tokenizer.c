/* tokenizer.c: what a tokenizer answers besides encoding. */
#include "image.h"
#include "mem.h"

void fe_tokenizer_free(fe_tokenizer *t) {
    if (!t) return;
    fe_added_clear(&t->early);
    fe_added_clear(&t->late);
    free(t->cutters);
    free(t->still);
    fe_ends_free(t->ends);
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
    contents->added = t->added;
    contents->added_bytes = t->added_bytes;
    contents->added_offsets = t->added_offsets;
    contents->added_ids = t->added_ids;
    contents->added_flags = t->added_flags;
    contents->before = (int64_t)fe_section_count(t, FE_S_BEFORE);
    contents->before_ids = fe_section_of(t, FE_S_BEFORE);
    contents->after = (int64_t)fe_section_count(t, FE_S_AFTER);
    contents->after_ids = fe_section_of(t, FE_S_AFTER);
    contents->notes = fe_section_of(t, FE_S_NOTES);
    contents->notes_size = (int64_t)fe_section_count(t, FE_S_NOTES);
    contents->normal = t->normal;
    contents->wholes = t->unigram.pieces;
    contents->whole_tokens = t->unigram.tokens;
    contents->whole_scores = t->unigram.scores;
    contents->unk_score = t->unigram.unk_score;
    contents->normal_size = (int64_t)t->normal_size;
}

fe_status fe_choice_new(const fe_tokenizer *t, const uint8_t *actions, int64_t count, fe_choice **out) {
    *out = NULL;
    if (count != t->added) return FE_BAD_MODEL;
    fe_choice *const choice = fe_new_zeros(sizeof *choice + (uint64_t)count, 1);
    if (!choice) return FE_NO_MEMORY;
    choice->tokenizer = t;
    for (int64_t i = 0; i < count; i++) {
        choice->actions[i] = actions[i];
        choice->any |= actions[i] != FE_TOKEN_PLAIN;
        if (actions[i] > FE_TOKEN_REFUSE) {
            free(choice);
            return FE_BAD_MODEL;
        }
    }
    const bool filtered = t->flags & FE_OVERLAP && choice->any;
    const fe_machine *const early = &t->early.machine, *const late = &t->late.machine;
    if (filtered && early->out) choice->early_out = fe_machine_filter(early, choice->actions);
    if (filtered && late->out) choice->late_out = fe_machine_filter(late, choice->actions);
    if (filtered && ((early->out && !choice->early_out) || (late->out && !choice->late_out))) {
        fe_choice_free(choice);
        return FE_NO_MEMORY;
    }
    *out = choice;
    return FE_OK;
}

void fe_choice_free(fe_choice *choice) {
    if (!choice) return;
    free(choice->early_out);
    free(choice->late_out);
    free(choice);
}

int32_t fe_tokenizer_path(const fe_tokenizer *t) { return t->path; }

int64_t fe_find(const fe_tokenizer *t, const uint8_t *bytes, int64_t size) {
    if (!t->lookup.slots || size < 0) return -1;
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
