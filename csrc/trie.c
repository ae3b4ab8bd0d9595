/* trie.c: building a double array, level by level, and checking one.
 *
 * Children go to the newest block if they fit there, else to a new one. A block of which few are taken takes nearly
 * every set of children, so at least a sixteenth of all units is used; and nothing is ever searched but one block.
 */
#include "trie.h"

#include <string.h>

#include "mem.h"

/* The state of building; lists of keys are chained by `next`, and begin at the node that they have reached. */
typedef struct builder {
    fe_trie trie;
    int64_t room; /* units */
    int32_t free; /* no unit before this one in the newest block is free */
    int32_t *head, *next;
    int32_t chains[256]; /* of the node that is looked at: its keys by their next byte */
    uint8_t bytes[256];  /* and which bytes there are */
    int32_t byte_count;
} builder;

static fe_status add_block(builder *b) {
    fe_trie *const t = &b->trie;
    if (t->count + FE_TRIE_BLOCK > INT32_MAX) return FE_BAD_MODEL;
    if (t->count + FE_TRIE_BLOCK > b->room) {
        const int64_t room = 2 * b->room + FE_TRIE_BLOCK;
        fe_unit *const units = (uint64_t)room < PTRDIFF_MAX / sizeof *units
                                   ? realloc(t->units, (size_t)room * sizeof *units)
                                   : NULL;
        if (!units) return FE_NO_MEMORY;
        t->units = units;
        b->room = room;
    }
    for (int i = 0; i < FE_TRIE_BLOCK; i++) t->units[t->count + i] = (fe_unit){0, -1, -1};
    b->free = (int32_t)t->count;
    t->count += FE_TRIE_BLOCK;
    return FE_OK;
}

/* The root, though it has no parent, is nobody's child. */
static bool is_free(const builder *b, int32_t unit) { return unit && b->trie.units[unit].check < 0; }

static bool fits(const builder *b, int32_t base) {
    for (int32_t i = 0; i < b->byte_count; i++)
        if (!is_free(b, base ^ b->bytes[i])) return false;
    return true;
}

/* A base under which all children of the node that is looked at are free. */
static fe_status find_base(builder *b, int32_t *base) {
    const int32_t end = (int32_t)b->trie.count;
    while (b->free < end && !is_free(b, b->free)) b->free++;
    for (int32_t unit = b->free; unit < end; unit++) { /* for the first child; the others follow from it */
        *base = unit ^ b->bytes[0];
        if (fits(b, *base)) return FE_OK;
    }
    const fe_status status = add_block(b);
    *base = (int32_t)b->trie.count - FE_TRIE_BLOCK;
    return status;
}

/* Takes the keys of node number k of the order apart by their next byte. */
static void take_apart(builder *b, const fe_keys *keys, int64_t k, uint32_t depth) {
    fe_unit *const unit = &b->trie.units[b->trie.order[k]];
    b->byte_count = 0;
    for (int32_t key = b->head[k], after; key >= 0; key = after) {
        const uint32_t first = keys->offsets[key], end = keys->offsets[key + 1];
        after = b->next[key];
        if (end - first == depth) {
            if (key > unit->value) unit->value = key;
            continue;
        }
        const uint8_t byte = keys->bytes[keys->reversed ? end - 1 - depth : first + depth];
        if (b->chains[byte] < 0) b->bytes[b->byte_count++] = byte;
        b->next[key] = b->chains[byte];
        b->chains[byte] = key;
    }
}

static fe_status add_children(builder *b, int64_t k) {
    fe_trie *const t = &b->trie;
    int32_t base;
    if (!b->byte_count) return FE_OK;
    const fe_status status = find_base(b, &base);
    if (status != FE_OK) return status;
    t->units[t->order[k]].base = base;
    for (int32_t i = 0; i < b->byte_count; i++) {
        const int32_t child = base ^ b->bytes[i];
        t->units[child].check = t->order[k];
        t->order[t->nodes] = child;
        b->head[t->nodes++] = b->chains[b->bytes[i]];
        b->chains[b->bytes[i]] = -1;
    }
    return FE_OK;
}

static fe_status build(builder *b, const fe_keys *keys) {
    fe_trie *const t = &b->trie;
    int32_t all = -1;
    uint64_t most = 1;
    for (int64_t i = keys->count; i-- > 0;) {
        if ((keys->flags[i] & keys->mask) != keys->want) continue;
        b->next[i] = all;
        all = (int32_t)i;
        most += keys->offsets[i + 1] - keys->offsets[i];
    }
    t->order = fe_new(most, sizeof *t->order);
    b->head = fe_new(most, sizeof *b->head);
    if (!t->order || !b->head) return FE_NO_MEMORY;
    memset(b->chains, 0xFF, sizeof b->chains); /* -1 */
    fe_status status = add_block(b);
    t->order[0] = 0;
    b->head[0] = all;
    t->nodes = 1;
    uint32_t depth = 0;
    for (int64_t k = 0, level = 1; k < t->nodes && status == FE_OK; k++) {
        if (k == level) {
            level = t->nodes;
            depth++;
        }
        take_apart(b, keys, k, depth);
        status = add_children(b, k);
    }
    return status;
}

fe_status fe_trie_build(const fe_keys *keys, fe_trie *trie) {
    builder b = {.next = fe_new((uint64_t)keys->count, sizeof *b.next)};
    const fe_status status = b.next ? build(&b, keys) : FE_NO_MEMORY;
    free(b.next);
    free(b.head);
    if (status != FE_OK) fe_trie_clear(&b.trie);
    *trie = b.trie;
    return status;
}

void fe_trie_clear(fe_trie *trie) {
    free(trie->units);
    free(trie->order);
    memset(trie, 0, sizeof *trie);
}

bool fe_trie_valid(const fe_unit *units, uint64_t count, int64_t values) {
    if (count < FE_TRIE_BLOCK || count % FE_TRIE_BLOCK || count > INT32_MAX) return false;
    bool good = units[0].check == -1 && units[0].value == -1; /* the empty string is none */
    for (uint64_t i = 0; i < count; i++)
        good &= (units[i].base >= 0) & (units[i].base < (int64_t)count) & (units[i].check >= -1) &
                (units[i].check < (int64_t)count) & (units[i].value >= -1) & (units[i].value < values);
    return good;
}
