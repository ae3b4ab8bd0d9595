/* train_bpe.c: the pair that comes most often is merged next, as Hugging Face's BpeTrainer has it.
 *
 * The queue holds, for every pair, the words in which it came into being in each step: a pair may stand there more than
 * once, where two merges make the same token. Counts in it are those of when an entry was last looked at. They only
 * fall while it lies there, but for a pair that comes into being anew; so an entry at the top whose count is not the
 * pair's own goes down again, and one whose count is true is next. The count of a pair that was merged stays as it
 * was: whoever meets it again merges it again, in words where it is new. docs/design/tokenizer_train.md says why this
 * is the rival's law to the letter.
 */
#include "train_merge.h"

/* True if a is merged before b. Entries of one pair: the older first. */
static inline bool is_before(const fe_entry *a, const fe_entry *b) {
    if (a->count != b->count) return a->count > b->count;
    return a->key != b->key ? a->key < b->key : a->list < b->list;
}

/* Lets an entry sink from place i, which is free, to where it belongs. */
static void sink(fe_entry *heap, uint64_t count, uint64_t i, fe_entry entry) {
    for (uint64_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && is_before(&heap[child + 1], &heap[child])) child++;
        if (!is_before(&heap[child], &entry)) break;
        heap[i] = heap[child];
    }
    heap[i] = entry;
}

static bool push(fe_merger *m, const fe_entry *entry) {
    if (entry->count <= 0) return true;
    if (!fe_array_room((void **)&m->queue, &m->queue_room, m->queue_count, 1, sizeof *m->queue)) return false;
    uint64_t i = m->queue_count++;
    for (; i && is_before(entry, &m->queue[(i - 1) / 2]); i = (i - 1) / 2) m->queue[i] = m->queue[(i - 1) / 2];
    m->queue[i] = *entry;
    return true;
}

fe_status fe_run_by_count(fe_merger *m, int64_t work) {
    if (!m->begun && !fe_merger_begin(m, push)) return FE_NO_MEMORY;
    m->begun = true;
    for (int64_t done = 0; m->names.count < m->vocab && m->queue_count;) {
        fe_entry top = m->queue[0];
        const int64_t count = m->pairs[top.pair].count;
        if (++done >= work) return FE_FULL;
        if (top.count != count) {
            top.count = count;
            sink(m->queue, m->queue_count, 0, top);
            continue;
        }
        if (count < m->min_count) break;
        m->queue_count--;
        if (m->queue_count) sink(m->queue, m->queue_count, 0, m->queue[m->queue_count]);
        uint32_t result;
        int64_t merged = 0;
        if (!fe_merger_name(m, top.key, &result) || !fe_merger_merge(m, &top, result, push, &merged, &done))
            return FE_NO_MEMORY;
    }
    return FE_OK;
}
