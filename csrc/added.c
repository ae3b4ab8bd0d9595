/* added.c: a byte trie, walked from every place where some token could start. */
#include "added.h"

#include <string.h>

#define NONE (-1)

static int32_t child_of(const fe_node *nodes, int32_t node, uint32_t byte) {
    int32_t child = nodes[node].child;
    while (child != NONE && nodes[child].byte != byte) child = nodes[child].sibling;
    return child;
}

static int32_t new_node(fe_node *nodes, int64_t *count, int32_t parent, uint32_t byte) {
    const int32_t node = (int32_t)(*count)++;
    nodes[node] = (fe_node){NONE, NONE, NONE, byte};
    if (parent != NONE) {
        nodes[node].sibling = nodes[parent].child;
        nodes[parent].child = node;
    }
    return node;
}

fe_status fe_added_fill(const fe_model *model, uint8_t late, fe_node *nodes, int64_t *count) {
    const int64_t bytes = model->added ? model->added_offsets[model->added] : 0;
    *count = 0;
    new_node(nodes, count, NONE, 0);
    for (int64_t token = 0, end = 0; token < model->added; token++) {
        const int64_t first = model->added_offsets[token], last = model->added_offsets[token + 1];
        if (first != end || last <= first || last > bytes || model->added_ids[token] < 0) return FE_BAD_MODEL;
        end = last;
        if (model->added_late[token] != late) continue;
        int32_t node = 0;
        for (int64_t i = first; i < last; i++) {
            const int32_t child = child_of(nodes, node, model->added_bytes[i]);
            node = child != NONE ? child : new_node(nodes, count, node, model->added_bytes[i]);
        }
        nodes[node].token = (int32_t)token;
    }
    return FE_OK;
}

bool fe_added_valid(const fe_node *nodes, int64_t count, int64_t tokens) {
    if (count < 1) return false;
    for (int64_t i = 0; i < count; i++) {
        const fe_node node = nodes[i];
        if (node.child != NONE && (node.child <= i || node.child >= count)) return false;
        if (node.sibling != NONE && (node.sibling < 0 || node.sibling >= i)) return false;
        if (node.token != NONE && (node.token < 0 || node.token >= tokens)) return false;
        if (node.byte > 255) return false;
    }
    return nodes[0].token == NONE; /* the empty text is no token */
}

void fe_added_attach(fe_added *added, const fe_node *nodes, int64_t count) {
    memset(added, 0, sizeof *added);
    added->nodes = nodes;
    added->count = count;
    for (int32_t child = nodes[0].child; child != NONE; child = nodes[child].sibling) {
        added->distinct += !added->starts[nodes[child].byte];
        added->starts[nodes[child].byte] = true;
    }
}

/* The first byte at or behind p with which some token starts; NULL if there is none. */
static const uint8_t *find_start(const fe_added *added, const uint8_t *p, const uint8_t *end) {
    /* Most vocabularies write all of theirs as <...>: memchr looks at many bytes at once. */
    if (added->distinct == 1)
        return p < end ? memchr(p, (int)added->nodes[added->nodes[0].child].byte, (size_t)(end - p)) : NULL;
    while (p < end && !added->starts[*p]) p++;
    return p < end ? p : NULL;
}

bool fe_added_find(const fe_added *added, const uint8_t *p, const uint8_t *end, const uint8_t *actions,
                   fe_match *match) {
    if (added->count <= 1) return false;
    for (; (p = find_start(added, p, end)); p++) {
        bool found = false;
        int32_t node = 0;
        for (const uint8_t *q = p; q < end && (node = child_of(added->nodes, node, *q)) != NONE; q++) {
            const int32_t token = added->nodes[node].token;
            if (token == NONE || (actions && actions[token] == FE_TOKEN_PLAIN)) continue;
            *match = (fe_match){p, q + 1, token};
            found = true;
        }
        if (found) return true;
    }
    return false;
}
