/* added.c: a byte trie, walked from every place where some token could start. */
#include "added.h"

#include <stdlib.h>
#include <string.h>

#define NONE (-1)

struct fe_node {
    int32_t child;   /* first child */
    int32_t sibling; /* next child of the same parent */
    int32_t token;   /* the token that ends here */
    uint8_t byte;
};

static int32_t child_of(const fe_added *added, int32_t node, uint8_t byte) {
    int32_t child = added->nodes[node].child;
    while (child != NONE && added->nodes[child].byte != byte) child = added->nodes[child].sibling;
    return child;
}

static int32_t new_node(fe_added *added, int32_t parent, uint8_t byte) {
    const int32_t node = added->count++;
    added->nodes[node] = (struct fe_node){NONE, NONE, NONE, byte};
    if (parent != NONE) {
        added->nodes[node].sibling = added->nodes[parent].child;
        added->nodes[parent].child = node;
    }
    return node;
}

fe_status fe_added_init(fe_added *added, const fe_model *model, uint8_t late) {
    memset(added, 0, sizeof *added);
    if (model->added < 0 || model->added >= INT32_MAX) return FE_BAD_MODEL;
    const int64_t bytes = model->added ? model->added_offsets[model->added] : 0;
    if (bytes < 0 || bytes >= INT32_MAX - 1) return FE_BAD_MODEL;
    added->nodes = malloc(((size_t)bytes + 1) * sizeof *added->nodes);
    if (!added->nodes) return FE_NO_MEMORY;
    new_node(added, NONE, 0);
    for (int64_t token = 0, end = 0; token < model->added; token++) {
        const int64_t first = model->added_offsets[token], last = model->added_offsets[token + 1];
        if (first != end || last <= first || last > bytes || model->added_ids[token] < 0) return FE_BAD_MODEL;
        end = last;
        if (model->added_late[token] != late) continue;
        int32_t node = 0;
        for (int64_t i = first; i < last; i++) {
            const uint8_t byte = model->added_bytes[i];
            const int32_t child = child_of(added, node, byte);
            node = child != NONE ? child : new_node(added, node, byte);
        }
        added->nodes[node].token = (int32_t)token;
        added->distinct += !added->starts[model->added_bytes[first]];
        added->starts[model->added_bytes[first]] = true;
    }
    return FE_OK;
}

void fe_added_clear(fe_added *added) { free(added->nodes); }

/* The first byte at or behind p with which some token starts; NULL if there is none. */
static const uint8_t *find_start(const fe_added *added, const uint8_t *p, const uint8_t *end) {
    /* Most vocabularies write all of theirs as <...>: memchr looks at many bytes at once. */
    if (added->distinct == 1) return p < end ? memchr(p, added->nodes[added->nodes[0].child].byte, (size_t)(end - p)) : NULL;
    while (p < end && !added->starts[*p]) p++;
    return p < end ? p : NULL;
}

bool fe_added_find(const fe_added *added, const uint8_t *p, const uint8_t *end, fe_match *match) {
    if (added->count <= 1) return false;
    for (; (p = find_start(added, p, end)); p++) {
        bool found = false;
        int32_t node = 0;
        for (const uint8_t *q = p; q < end && (node = child_of(added, node, *q)) != NONE; q++) {
            if (added->nodes[node].token == NONE) continue;
            *match = (fe_match){p, q + 1, added->nodes[node].token};
            found = true;
        }
        if (found) return true;
    }
    return false;
}
