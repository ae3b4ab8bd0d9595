/* added.h: finding added tokens (special ones and others) in text: the leftmost, and the longest that begins there.
 *
 * From every place where a token could begin the trie is walked, but at most FE_NEAR bytes far. Where a walk goes on
 * beyond that, which takes a token longer than this, a machine reads a stretch of the text once, from its end to its
 * start, and notes for every place the longest token that begins there. So the time grows with the text alone, whatever
 * the tokens have in common with each other and with the text.
 */
#ifndef FE_ADDED_H
#define FE_ADDED_H

#include <stdbool.h>

#include "fe.h"
#include "trie.h"

#ifndef FE_NEAR
#define FE_NEAR 64
#endif

enum {
    FE_ADDED_FLAGS = FE_ADDED_LATE | FE_ADDED_SPECIAL | FE_ADDED_LSTRIP | FE_ADDED_RSTRIP | FE_ADDED_SINGLE_WORD
};

/* A trie of the tokens read from their ends, with fail links (Aho, Corasick). */
typedef struct fe_machine {
    fe_trie trie;
    int32_t *fail; /* by unit; -1: the root's */
    int32_t *out;  /* by unit: the longest token that ends here, read from its end, or -1 */
} fe_machine;

/* Those added tokens that are looked for at the same time. */
typedef struct fe_added {
    const fe_unit *units;
    bool any;
    bool starts[256]; /* some token starts with this byte */
    int32_t distinct; /* how many bytes do */
    uint8_t first;    /* one of these */
    uint32_t longest;
    fe_machine machine; /* empty where no token is longer than FE_NEAR */
} fe_added;

/* What the machine found: for each place from `from` up to `to` the longest token, or -1. */
typedef struct fe_window {
    const uint8_t *from, *to, *end;
    int32_t *tokens;
    int64_t room;
} fe_window;

/* Where an added token stands. */
typedef struct fe_match {
    const uint8_t *start;
    const uint8_t *end;
    int64_t token; /* its number among the added tokens; -1: there is none */
} fe_match;

/* What to look for: of no actions, every token; else only those whose action is not FE_TOKEN_PLAIN. out is that of the
 * machine, or what fe_machine_filter made of it for these actions. */
typedef struct fe_wanted {
    const uint8_t *actions;
    const int32_t *out;
} fe_wanted;

/* Makes ready to find the keys that `units` holds. fe_added_clear frees what it takes, whatever the status. */
fe_status fe_added_attach(fe_added *added, const fe_unit *units, const fe_keys *keys);

void fe_added_clear(fe_added *added);

/* The machine's `out` for those tokens alone whose action is not FE_TOKEN_PLAIN, to be freed; NULL: no memory. */
int32_t *fe_machine_filter(const fe_machine *machine, const uint8_t *actions);

/* Finds the first token in [p, end). `offsets` are those of the keys. FE_NO_MEMORY where the window cannot grow. */
fe_status fe_added_find(const fe_added *added, const uint32_t *offsets, fe_window *window, const uint8_t *p,
                        const uint8_t *end, fe_wanted wanted, fe_match *match);

/* True if every key is where its bytes lead in the units, and nothing else is in them. */
bool fe_added_valid(const fe_unit *units, uint64_t count, const fe_keys *keys);

#endif
