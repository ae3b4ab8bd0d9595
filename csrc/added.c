/* added.c: short walks forwards, and where they do not suffice one long walk backwards. */
#include "added.h"

#include <string.h>

#include "mem.h"

enum { LEAST_WINDOW = 64 * FE_NEAR };

/* ------------------------------------------------------------------ the machine */

/* The node behind `node` by a byte: the longest end of what was read that some token begins with, from its end. */
static inline int32_t step(const fe_unit *units, const int32_t *fail, int32_t node, uint8_t byte) {
    for (int32_t next; node >= 0; node = fail[node])
        if ((next = fe_trie_next(units, node, byte)) >= 0) return next;
    return 0;
}

static fe_status machine_build(fe_machine *m, fe_keys keys) {
    keys.reversed = true;
    const fe_status status = fe_trie_build(&keys, &m->trie);
    if (status != FE_OK) return status;
    m->fail = fe_new((uint64_t)m->trie.count, sizeof *m->fail);
    m->out = fe_new((uint64_t)m->trie.count, sizeof *m->out);
    if (!m->fail || !m->out) return FE_NO_MEMORY;
    const fe_unit *const units = m->trie.units;
    m->fail[0] = m->out[0] = -1;
    for (int64_t k = 1; k < m->trie.nodes; k++) {
        const int32_t node = m->trie.order[k], parent = units[node].check;
        m->fail[node] = step(units, m->fail, m->fail[parent], (uint8_t)(units[parent].base ^ node));
        m->out[node] = units[node].value >= 0 ? units[node].value : m->out[m->fail[node]];
    }
    return FE_OK;
}

int32_t *fe_machine_filter(const fe_machine *m, const uint8_t *actions) {
    int32_t *const out = fe_new((uint64_t)m->trie.count, sizeof *out);
    if (!out) return NULL;
    out[0] = -1;
    for (int64_t k = 1; k < m->trie.nodes; k++) {
        const int32_t node = m->trie.order[k], value = m->trie.units[node].value;
        out[node] = value >= 0 && actions[value] != FE_TOKEN_PLAIN ? value : out[m->fail[node]];
    }
    return out;
}

/* ------------------------------------------------------------------ making ready */

fe_status fe_added_attach(fe_added *added, const fe_unit *units, const fe_keys *keys) {
    memset(added, 0, sizeof *added);
    added->units = units;
    for (int64_t i = 0; i < keys->count; i++) {
        if ((keys->flags[i] & keys->mask) != keys->want) continue;
        const uint32_t size = keys->offsets[i + 1] - keys->offsets[i];
        const uint8_t first = keys->bytes[keys->offsets[i]];
        added->any = true;
        added->longest = size > added->longest ? size : added->longest;
        added->distinct += !added->starts[first];
        added->starts[first] = true;
        added->first = first;
    }
    return added->longest > FE_NEAR ? machine_build(&added->machine, *keys) : FE_OK;
}

void fe_added_clear(fe_added *added) {
    fe_trie_clear(&added->machine.trie);
    free(added->machine.fail);
    free(added->machine.out);
}

static int32_t value_of(const fe_unit *units, const uint8_t *p, const uint8_t *end) {
    int32_t node = 0;
    for (; p < end && node >= 0; p++) node = fe_trie_next(units, node, *p);
    return node < 0 ? -1 : units[node].value;
}

bool fe_added_valid(const fe_unit *units, uint64_t count, const fe_keys *keys) {
    if (!fe_trie_valid(units, count, keys->count)) return false;
    uint64_t values = 0, found = 0;
    for (uint64_t i = 0; i < count; i++) values += units[i].value >= 0;
    for (int64_t i = 0; i < keys->count; i++) {
        const uint32_t *const of = keys->offsets;
        const uint8_t *const p = keys->bytes + of[i];
        const uint32_t size = of[i + 1] - of[i];
        if ((keys->flags[i] & keys->mask) != keys->want) continue;
        const int32_t value = value_of(units, p, p + size);
        if (value < 0 || of[value + 1] - of[value] != size || memcmp(keys->bytes + of[value], p, size) != 0)
            return false;
        found += value == i; /* of equal ones the last */
    }
    return found == values;
}

/* ------------------------------------------------------------------ finding */

/* The first byte at or behind p with which some token starts; NULL if there is none. */
static const uint8_t *find_start(const fe_added *added, const uint8_t *p, const uint8_t *end) {
    /* Most vocabularies write all of theirs as <...>: memchr looks at many bytes at once. */
    if (added->distinct == 1) return p < end ? memchr(p, added->first, (size_t)(end - p)) : NULL;
    while (p < end && !added->starts[*p]) p++;
    return p < end ? p : NULL;
}

/* Reads the text backwards, from where no token that begins before `to` ends any more, to p. */
static fe_status read_window(const fe_added *added, fe_window *w, const uint8_t *p, const uint8_t *end,
                             const int32_t *out) {
    const fe_machine *const m = &added->machine;
    const int64_t size = added->longest > LEAST_WINDOW ? added->longest : LEAST_WINDOW;
    if (w->room < size) {
        free(w->tokens);
        w->tokens = fe_new((uint64_t)size, sizeof *w->tokens);
        w->room = w->tokens ? size : 0;
        if (!w->tokens) return FE_NO_MEMORY;
    }
    w->from = p;
    w->to = end - p > size ? p + size : end;
    w->end = end;
    int32_t node = 0;
    for (const uint8_t *q = end - w->to > size ? w->to + size : end; q-- > p;) {
        node = step(m->trie.units, m->fail, node, *q);
        if (q < w->to) w->tokens[q - p] = out[node];
    }
    return FE_OK;
}

/* The longest token that begins at p, or -1. */
static fe_status longest_at(const fe_added *added, fe_window *w, const uint8_t *p, const uint8_t *end,
                            fe_wanted wanted, int32_t *token) {
    const bool known = w->end == end && p >= w->from && p < w->to;
    const uint8_t *const near = end - p > FE_NEAR ? p + FE_NEAR : end, *q = p;
    *token = -1;
    for (int32_t node = 0; !known; q++) {
        if (q == near) {
            if (q == end || added->longest <= FE_NEAR) return FE_OK;
            break;
        }
        node = fe_trie_next(added->units, node, *q);
        if (node < 0) return FE_OK;
        const int32_t value = added->units[node].value;
        if (value >= 0 && !(wanted.actions && wanted.actions[value] == FE_TOKEN_PLAIN)) *token = value;
    }
    const fe_status status = known ? FE_OK : read_window(added, w, p, end, wanted.out);
    if (status == FE_OK) *token = w->tokens[p - w->from];
    return status;
}

fe_status fe_added_find(const fe_added *added, const uint32_t *offsets, fe_window *window, const uint8_t *p,
                        const uint8_t *end, fe_wanted wanted, fe_match *match) {
    match->token = -1;
    if (!added->any) return FE_OK;
    for (; (p = find_start(added, p, end)); p++) {
        int32_t token;
        const fe_status status = longest_at(added, window, p, end, wanted, &token);
        if (status != FE_OK) return status;
        if (token < 0) continue;
        *match = (fe_match){p, p + (offsets[token + 1] - offsets[token]), token};
        FE_ASSERT(match->end <= end);
        return FE_OK;
    }
    return FE_OK;
}
