/* build_words.c: the trie of a vocabulary of words. */
#include "build.h"
#include "mem.h"

fe_status fe_build_words(fe_builder *b) {
    const fe_model *const m = b->model;
    if (m->unk < 0 || m->prefix < 0 || m->word_chars < 0 || m->word_chars > FE_MOST_WORD_CHARS) return FE_BAD_MODEL;
    b->word_flags = fe_new_zeros((uint64_t)m->vocab, 1);
    if (!b->word_flags) return FE_NO_MEMORY;
    for (int64_t i = 0; i < m->vocab; i++) {
        if (b->offsets[i + 1] - b->offsets[i] > FE_WORD_BYTES) return FE_BAD_MODEL;
        b->word_flags[i] = b->offsets[i] == b->offsets[i + 1];
    }
    const fe_keys keys = {m->token_bytes, b->offsets, b->word_flags, m->vocab, 1, 0, false};
    const fe_status status = fe_trie_build(&keys, &b->words);
    if (status != FE_OK) return status;
    b->counts[FE_S_WORDS] = (uint64_t)b->words.count;
    int32_t more = 0;
    for (int64_t i = 0; i < m->prefix && more >= 0; i++) more = fe_trie_next(b->words.units, more, m->prefix_bytes[i]);
    b->word_limits[0] = more;
    b->word_limits[1] = (int32_t)m->word_chars;
    return FE_OK;
}
