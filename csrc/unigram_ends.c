/* unigram_ends.c: the states of unigram_ends.h out of a trie (Aho and Corasick's automaton).
 *
 * Of a state of more than three bytes, those steps are kept that lead to another such; a state of two keeps those to
 * three. All other steps lead where the last three bytes lead from nothing, so they are found by these (pairs, and the
 * rows of states of two bytes). Without that there would be four to nine times as many. */
#include "unigram_ends.h"

#include "mem.h"
#include "utf8.h"

enum {
    MOST_NODES = 1 << 17, /* of a larger trie they take too long to make, at every opening */
    MOST_STEPS = 1 << 20,
    MOST_CELLS = 1 << 22, /* rows have 24 bits */
    BLOCK = 256,
    LAST_LEAD = 0xF4, /* no character has a byte above it */
    NO_BYTE = 0xFF
};

/* A node of the trie, in the order of their depths. */
typedef struct node {
    int32_t unit, fail; /* fail: the longest string of the trie that it ends in, but itself */
    int32_t parent;
    int32_t child, children; /* where its children begin, and how many they are */
    int32_t step, steps;     /* the same for its kept steps */
    fe_end_state state;
    uint8_t byte, depth;
} node;

typedef struct step {
    int32_t to;
    uint8_t byte;
} step;

typedef struct maker {
    const fe_unit *units;
    uint32_t none; /* an ending that is none */
    int64_t count; /* of units */
    int32_t *node_of; /* by unit, -1 where there is none */
    int32_t *first, *next; /* chains of children, by units */
    node *nodes;
    int32_t node_count;
    step *steps;
    int64_t step_count, step_room;
    fe_end_cell *cells;
    int64_t cell_count, cell_room;
    uint64_t open[BLOCK / 64], rows[BLOCK / 64]; /* of the newest block: which cells are free, and no row's place */
    uint32_t *endings;
    int64_t ending_count, ending_room;
    bool odd; /* too large, or pieces are not made of characters */
} maker;

/* ------------------------------------------------------------------ the nodes */

static fe_status chain_children(maker *m) {
    m->first = fe_new((uint64_t)m->count, sizeof *m->first);
    m->next = fe_new((uint64_t)m->count, sizeof *m->next);
    m->node_of = fe_new((uint64_t)m->count, sizeof *m->node_of);
    m->nodes = fe_new((uint64_t)(m->count < MOST_NODES ? m->count : MOST_NODES), sizeof *m->nodes);
    if (!m->first || !m->next || !m->node_of || !m->nodes) return FE_NO_MEMORY;
    memset(m->first, 0xFF, (size_t)m->count * sizeof *m->first); /* -1 */
    memset(m->node_of, 0xFF, (size_t)m->count * sizeof *m->node_of);
    for (int64_t i = m->count; i-- > 1;) {
        const int32_t parent = m->units[i].check;
        if (parent < 0 || (m->units[parent].base ^ i) >= BLOCK) continue;
        m->next[i] = m->first[parent];
        m->first[parent] = (int32_t)i;
    }
    return FE_OK;
}

/* All nodes of at most FE_ENDS_BYTES bytes, parents before children. */
static void order_nodes(maker *m) {
    m->nodes[0] = (node){.unit = 0};
    m->node_of[0] = 0;
    m->node_count = 1;
    for (int32_t k = 0; k < m->node_count && !m->odd; k++) {
        node *const n = &m->nodes[k];
        n->child = m->node_count;
        if (n->depth == FE_ENDS_BYTES) continue;
        for (int32_t unit = m->first[n->unit]; unit >= 0; unit = m->next[unit]) {
            const uint8_t byte = (uint8_t)(m->units[n->unit].base ^ unit);
            m->odd = m->node_count == MOST_NODES || byte > LAST_LEAD;
            if (m->odd) return;
            m->node_of[unit] = m->node_count;
            m->nodes[m->node_count++] = (node){.unit = unit, .parent = k, .byte = byte,
                                               .depth = (uint8_t)(n->depth + 1)};
        }
        n->children = m->node_count - n->child;
    }
}

static int32_t child_of(const maker *m, int32_t k, uint8_t byte) {
    const int32_t unit = fe_trie_next(m->units, m->nodes[k].unit, byte);
    return unit < 0 ? -1 : m->node_of[unit];
}

static void find_fails(maker *m) {
    for (int32_t k = 1; k < m->node_count; k++) {
        node *const n = &m->nodes[k];
        int32_t at = n->parent, to = -1;
        while (at && to < 0) {
            at = m->nodes[at].fail;
            to = child_of(m, at, n->byte);
        }
        n->fail = to < 0 ? 0 : to;
    }
}

/* ------------------------------------------------------------------ what ends where */

/* How many bytes the last character of a string has; 0: it is not made of characters. */
static int32_t last_char(const maker *m, const node *n) {
    uint8_t bytes[FE_ENDS_BYTES];
    const uint8_t *const end = bytes + n->depth;
    uint32_t code;
    for (const node *at = n; at->depth; at = &m->nodes[at->parent]) bytes[at->depth - 1] = at->byte;
    return fe_utf8_valid(bytes, end) ? fe_utf8_before(bytes, end, end, &code) : 0;
}

/* The endings of a state whose string is a piece: itself, and those of the longest piece that it ends in. */
static fe_status list_piece(maker *m, node *n) {
    const int32_t last = last_char(m, n);
    const int64_t first = m->ending_count, before = m->nodes[n->fail].state.list >> FE_ENDS_SHIFT;
    const uint32_t flags = m->nodes[n->fail].state.list & FE_ENDS_MORE;
    uint32_t found[FE_ENDS_BYTES + 1];
    int32_t count = 0;
    found[count++] = (uint32_t)m->units[n->unit].value << FE_LENGTH_BITS | n->depth;
    for (int64_t i = before; (flags || i < before + FE_ENDS_ALWAYS) && m->endings[i] != m->none; i++)
        found[count++] = m->endings[i];
    const int32_t shortest = (int32_t)(found[count - 1] & ((1 << FE_LENGTH_BITS) - 1));
    const bool more = count > FE_ENDS_ALWAYS;
    m->odd |= !last;
    if (!fe_grow(&m->endings, &m->ending_room, first + count + FE_ENDS_ALWAYS, sizeof *m->endings))
        return FE_NO_MEMORY;
    for (int32_t i = 0; i < count; i++) m->endings[m->ending_count++] = found[i];
    for (int32_t i = more ? FE_ENDS_ALWAYS - 1 : count; i < FE_ENDS_ALWAYS; i++)
        m->endings[m->ending_count++] = m->none;
    n->state.list = (uint32_t)first << FE_ENDS_SHIFT | (more ? FE_ENDS_MORE : 0u) |
                    (last == shortest ? FE_ENDS_SINGLE : 0u);
    return FE_OK;
}

static fe_status list_all(maker *m) {
    if (!fe_grow(&m->endings, &m->ending_room, FE_ENDS_ALWAYS, sizeof *m->endings)) return FE_NO_MEMORY;
    while (m->ending_count < FE_ENDS_ALWAYS) m->endings[m->ending_count++] = m->none;
    fe_status status = FE_OK;
    for (int32_t k = 1; k < m->node_count && status == FE_OK && !m->odd; k++) {
        node *const n = &m->nodes[k];
        n->state.list = m->nodes[n->fail].state.list;
        if (m->units[n->unit].value >= 0) status = list_piece(m, n);
        m->odd |= m->ending_count >= 1 << 24;
    }
    return status;
}

/* ------------------------------------------------------------------ the steps */

/* Which steps of a state are kept: its children, and beside them what its longest ending has. Without children it has
 * these alone, so both share a row. */
static fe_status keep_steps(maker *m, node *n) {
    const node *const fail = &m->nodes[n->fail];
    const int32_t inherited = fail->depth > 2 ? fail->steps : 0;
    if (n->depth < 2) return FE_OK;
    if (!n->children) {
        n->step = fail->step;
        n->steps = inherited;
        n->state.row = inherited ? fail->state.row : 0;
        return FE_OK;
    }
    n->step = (int32_t)m->step_count;
    if (!fe_grow(&m->steps, &m->step_room, m->step_count + inherited + n->children, sizeof *m->steps))
        return FE_NO_MEMORY;
    uint64_t own[BLOCK / 64] = {0};
    for (int32_t i = 0; i < n->children; i++) {
        const uint8_t byte = m->nodes[n->child + i].byte;
        m->steps[n->step + n->steps++] = (step){n->child + i, byte};
        own[byte / 64] |= UINT64_C(1) << byte % 64;
    }
    for (int32_t i = 0; i < inherited; i++) {
        const step s = m->steps[fail->step + i];
        if (!(own[s.byte / 64] >> s.byte % 64 & 1)) m->steps[n->step + n->steps++] = s;
    }
    m->step_count += n->steps;
    m->odd |= m->step_count > MOST_STEPS;
    return FE_OK;
}

static fe_status add_block(maker *m) {
    if (!fe_grow(&m->cells, &m->cell_room, m->cell_count + BLOCK, sizeof *m->cells)) return FE_NO_MEMORY;
    for (int i = 0; i < BLOCK; i++) m->cells[m->cell_count + i] = (fe_end_cell){NO_BYTE, 0};
    memset(m->open, 0xFF, sizeof m->open);
    memset(m->rows, 0xFF, sizeof m->rows);
    m->cell_count += BLOCK;
    m->odd |= m->cell_count > MOST_CELLS;
    return FE_OK;
}

/* Bit i of the result is bit i ^ (byte % 64) of x. */
static uint64_t turned(uint64_t x, uint8_t byte) {
    static const uint64_t low[6] = {UINT64_C(0x5555555555555555), UINT64_C(0x3333333333333333),
                                    UINT64_C(0x0F0F0F0F0F0F0F0F), UINT64_C(0x00FF00FF00FF00FF),
                                    UINT64_C(0x0000FFFF0000FFFF), UINT64_C(0x00000000FFFFFFFF)};
    for (int k = 0; k < 6; k++) {
        const uint64_t swapped = (x >> (1 << k) ^ x) & low[k] & -(uint64_t)(byte >> k & 1);
        x ^= swapped ^ swapped << (1 << k);
    }
    return x;
}

/* A place in the newest block at which no row is and all steps of a state find free cells, or -1. */
static int32_t find_row(const maker *m, const node *n) {
    for (int32_t word = 0; word < BLOCK / 64; word++) {
        uint64_t good = m->rows[word];
        for (int32_t i = 0; i < n->steps && good; i++) {
            const uint8_t byte = m->steps[n->step + i].byte;
            good &= turned(m->open[word ^ byte >> 6], byte);
        }
        if (good) return 64 * word + __builtin_ctzll(good);
    }
    return -1;
}

static fe_status place_row(maker *m, node *n) {
    if (!n->steps || !n->children) return FE_OK;
    int32_t row = find_row(m, n);
    if (row < 0) {
        if (add_block(m) != FE_OK) return FE_NO_MEMORY;
        row = 0;
    }
    n->state.row = (uint32_t)(m->cell_count - BLOCK + row);
    m->rows[row / 64] &= ~(UINT64_C(1) << row % 64);
    for (int32_t i = 0; i < n->steps; i++) {
        const int32_t cell = row ^ m->steps[n->step + i].byte;
        m->open[cell / 64] &= ~(UINT64_C(1) << cell % 64);
    }
    return FE_OK;
}

static fe_status place_all(maker *m) {
    fe_status status = add_block(m);
    m->rows[0] &= ~UINT64_C(1); /* row 0 is that of states without steps */
    for (int32_t k = 1; k < m->node_count && status == FE_OK && !m->odd; k++) {
        status = keep_steps(m, &m->nodes[k]);
        if (status == FE_OK && !m->odd) status = place_row(m, &m->nodes[k]);
    }
    for (int32_t k = 1; k < m->node_count && status == FE_OK && !m->odd; k++) {
        const node *const n = &m->nodes[k];
        for (int32_t i = 0; i < n->steps && n->children; i++) {
            const step s = m->steps[n->step + i];
            const fe_end_state to = m->nodes[s.to].state;
            m->cells[n->state.row ^ s.byte] = (fe_end_cell){to.row << 8 | s.byte, to.list};
        }
    }
    return status;
}

/* ------------------------------------------------------------------ the last two bytes */

static fe_status fill_pairs(const maker *m, fe_ends *e) {
    e->classes = 1;
    for (int32_t k = 1; k < m->node_count && m->nodes[k].depth <= 2; k++)
        if (!e->class_of[m->nodes[k].byte]) e->class_of[m->nodes[k].byte] = (uint8_t)e->classes++;
    e->pairs = fe_new_zeros((uint64_t)e->classes * e->classes, sizeof *e->pairs);
    if (!e->pairs) return FE_NO_MEMORY;
    for (int32_t k = 1; k < m->node_count && m->nodes[k].depth <= 2; k++) { /* those of one byte first */
        const node *const n = &m->nodes[k];
        const uint32_t last = e->class_of[n->byte];
        if (n->depth == 2)
            e->pairs[e->class_of[m->nodes[n->parent].byte] * e->classes + last] = n->state;
        else
            for (uint32_t i = 0; i < e->classes; i++) e->pairs[i * e->classes + last] = n->state;
    }
    return FE_OK;
}

static fe_status make(maker *m, fe_ends *e) {
    fe_status status = m->odd ? FE_OK : chain_children(m);
    if (status == FE_OK && !m->odd) order_nodes(m);
    if (status != FE_OK || m->odd) return status;
    find_fails(m);
    status = list_all(m);
    if (status == FE_OK && !m->odd) status = place_all(m);
    if (status == FE_OK && !m->odd) status = fill_pairs(m, e);
    return status;
}

fe_status fe_ends_new(const fe_unit *units, uint64_t count, int64_t pieces, fe_ends **out) {
    maker m = {.units = units, .count = (int64_t)count, .none = (uint32_t)pieces << FE_LENGTH_BITS};
    fe_ends *e = fe_new_zeros(1, sizeof *e);
    *out = NULL;
    m.odd = count > INT32_MAX || pieces >= MOST_NODES;
    if (!e) return FE_NO_MEMORY;
    const fe_status status = make(&m, e);
    free(m.first);
    free(m.next);
    free(m.node_of);
    free(m.nodes);
    free(m.steps);
    e->cells = m.cells;
    e->endings = m.endings;
    if (status == FE_OK && !m.odd)
        *out = e;
    else
        fe_ends_free(e);
    return status;
}

void fe_ends_free(fe_ends *ends) {
    if (!ends) return;
    free(ends->cells);
    free(ends->pairs);
    free(ends->endings);
    free(ends);
}
