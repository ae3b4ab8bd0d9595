/* train_merge.c: words as rows of symbols, and one pair of them merged wherever it stands. */
#include "train_merge.h"

#include "utf8.h"

enum { PORTION = 1 << 21, AHEAD = 8 };

/* ------------------------------------------------------------------ pairs */

static inline uint64_t hash_of(const fe_merger *m, uint64_t key) {
    return fe_fold(key ^ m->seed, UINT64_C(0x9E3779B97F4A7C15));
}

static bool more_slots(fe_merger *m) {
    const uint64_t room = m->mask ? 2 * (m->mask + 1) : 1024;
    uint64_t *const slots = fe_new_zeros(room, sizeof *slots);
    if (!slots) return false;
    for (uint64_t n = 0; n < m->pairs_count; n++) {
        const uint64_t hash = hash_of(m, m->pairs[n].key);
        uint64_t i = hash & (room - 1);
        while (slots[i]) i = (i + 1) & (room - 1);
        slots[i] = hash >> 32 << 32 | (n + 1);
    }
    free(m->slots);
    m->slots = slots;
    m->mask = room - 1;
    return true;
}

uint32_t fe_merger_pair(fe_merger *m, uint32_t left, uint32_t right) {
    const uint64_t key = (uint64_t)left << 32 | right, hash = hash_of(m, key);
    if (2 * m->pairs_count >= m->mask && !more_slots(m)) return UINT32_MAX;
    uint64_t i = hash & m->mask;
    for (uint64_t slot; (slot = m->slots[i]) != 0; i = (i + 1) & m->mask)
        if (!((slot ^ hash) >> 32) && m->pairs[(uint32_t)slot - 1].key == key) return (uint32_t)slot - 1;
    if (m->pairs_count >= INT32_MAX) return UINT32_MAX;
    if (!fe_array_room((void **)&m->pairs, &m->pairs_room, m->pairs_count, 1, sizeof *m->pairs)) return UINT32_MAX;
    m->pairs[m->pairs_count] = (fe_pair){.key = key};
    m->slots[i] = hash >> 32 << 32 | (m->pairs_count + 1);
    return (uint32_t)m->pairs_count++;
}

/* Room for the words of all touched pairs; their `fresh` becomes where the words of each go. */
static bool make_lists(fe_merger *m, uint64_t words) {
    return fe_array_room((void **)&m->lists, &m->lists_room, m->lists_count, words, sizeof *m->lists);
}

/* ------------------------------------------------------------------ at the start */

/* Notes that a pair stands in a word; true if it was not yet noted there. */
static inline bool is_new_in(fe_pair *pair, uint64_t word) {
    const bool is_new = pair->last != (uint32_t)word + 1;
    pair->last = (uint32_t)word + 1;
    pair->fresh += is_new;
    return is_new;
}

bool fe_merger_begin(fe_merger *m, fe_take *take) {
    uint64_t all = 0;
    for (uint64_t w = 0; w < m->words_count; w++) {
        const fe_word *const word = &m->words[w];
        for (uint32_t i = 0; i + 1 < word->size; i++) {
            const uint32_t *const s = m->symbols + word->start + i;
            const uint32_t number = fe_merger_pair(m, s[0], s[1]);
            if (number == UINT32_MAX) return false;
            m->pairs[number].count += word->count;
            all += is_new_in(&m->pairs[number], w);
        }
    }
    if (!make_lists(m, all)) return false;
    uint64_t *const ends = fe_new(m->pairs_count, sizeof *ends); /* of the words of each pair, as they come */
    if (!ends) return false;
    for (uint64_t n = 0, start = 0; n < m->pairs_count; start += m->pairs[n++].fresh) {
        ends[n] = start;
        m->pairs[n].last = 0;
    }
    for (uint64_t w = 0; w < m->words_count; w++) {
        const fe_word *const word = &m->words[w];
        for (uint32_t i = 0; i + 1 < word->size; i++) {
            const uint32_t *const s = m->symbols + word->start + i;
            const uint32_t number = fe_merger_pair(m, s[0], s[1]);
            if (m->pairs[number].last == (uint32_t)w + 1) continue;
            m->pairs[number].last = (uint32_t)w + 1;
            m->lists[ends[number]++] = (uint32_t)w;
        }
    }
    m->lists_count = all;
    bool good = true;
    for (uint32_t n = 0; n < m->pairs_count && good; n++) {
        fe_pair *const pair = &m->pairs[n];
        const fe_entry entry = {pair->count, pair->key, ends[n] - pair->fresh, pair->fresh, n};
        pair->fresh = pair->last = 0;
        good = take(m, &entry);
    }
    free(ends);
    return good;
}

/* ------------------------------------------------------------------ one step */

bool fe_merger_name(fe_merger *m, uint64_t key, uint32_t *result) {
    const fe_set_place left = m->names.places[key >> 32], right = m->names.places[(uint32_t)key];
    const bool prefixed = m->prefix_size && right.size >= m->prefix_size &&
                          memcmp(m->names.bytes + right.start, m->prefix, m->prefix_size) == 0;
    const uint32_t skipped = prefixed ? m->prefix_size : 0;
    if (left.size > (uint32_t)INT32_MAX - right.size) return false;
    const uint32_t size = left.size + right.size - skipped;
    uint8_t *const name = fe_new(size, 1);
    if (!name) return false;
    memcpy(name, m->names.bytes + left.start, left.size);
    memcpy(name + left.size, m->names.bytes + right.start + skipped, right.size - skipped);
    const int64_t number = fe_set_put(&m->names, fe_set_hash(&m->names, name, size), name, size);
    free(name);
    *result = (uint32_t)number;
    if (number < 0 || !fe_array_room((void **)&m->merges, &m->merges_room, m->merges_count, 1, sizeof *m->merges))
        return false;
    m->merges[m->merges_count++] = (fe_merge){(uint32_t)(key >> 32), (uint32_t)key, *result};
    return true;
}

static inline bool take_from(fe_merger *m, uint32_t left, uint32_t right, int64_t count) {
    const uint32_t number = fe_merger_pair(m, left, right);
    if (number == UINT32_MAX) return false;
    m->pairs[number].count -= count;
    return true;
}

/* A pair that is new in a word. */
static inline bool add_to(fe_merger *m, uint32_t left, uint32_t right, int64_t count, uint32_t word) {
    const uint32_t number = fe_merger_pair(m, left, right);
    if (number == UINT32_MAX) return false;
    fe_pair *const pair = &m->pairs[number];
    pair->count += count;
    if (pair->last == word + 1) return true;
    if (!fe_array_room((void **)&m->sights, &m->sights_room, m->sights_count, 1, sizeof *m->sights)) return false;
    if (!pair->fresh) {
        if (!fe_array_room((void **)&m->touched, &m->touched_room, m->touched_count, 1, sizeof *m->touched))
            return false;
        m->touched[m->touched_count++] = number;
    }
    m->sights[m->sights_count++] = (fe_sight){number, word};
    return is_new_in(pair, word);
}

/* Merges left and right in a word from its first place `at` on. -1: no memory. */
static int64_t merge_from(fe_merger *m, uint32_t number, uint32_t at, const fe_merge *merge) {
    fe_word *const word = &m->words[number];
    uint32_t *const s = m->symbols + word->start, *const lengths = m->lengths ? m->lengths + word->start : NULL;
    const uint32_t size = word->size, left = merge->left, right = merge->right, made = merge->result;
    int64_t merged = 0;
    uint32_t to = at;
    for (uint32_t i = at; i < size; to++) {
        if (i + 1 == size || s[i] != left || s[i + 1] != right) {
            if (lengths) lengths[to] = lengths[i];
            s[to] = s[i++];
            continue;
        }
        const int64_t length = lengths ? (int64_t)lengths[i] + lengths[i + 1] : 0;
        if (to > 0) {
            if (!take_from(m, s[to - 1], left, word->count)) return -1;
            if (!lengths || lengths[to - 1] + length < m->longest)
                if (!add_to(m, s[to - 1], made, word->count, number)) return -1;
        }
        i += 2;
        if (i < size) {
            if (!take_from(m, right, s[i], word->count)) return -1;
            if (!lengths || length + lengths[i] < m->longest)
                if (!add_to(m, made, s[i], word->count, number)) return -1;
        }
        if (lengths) lengths[to] = (uint32_t)length;
        s[to] = made;
        merged++;
    }
    word->size = to;
    return merged;
}

/* Hands on the pairs that this step has made, each with its words. */
static bool take_fresh(fe_merger *m, fe_take *take) {
    const uint64_t first = m->lists_count;
    bool good = make_lists(m, m->sights_count);
    if (!good) return false;
    for (uint64_t n = 0, start = first; n < m->touched_count; n++) {
        fe_pair *const pair = &m->pairs[m->touched[n]];
        const uint32_t words = pair->fresh;
        pair->fresh = (uint32_t)(start - first); /* a step cannot see more words than 32 bits count */
        start += words;
    }
    for (uint64_t n = 0; n < m->sights_count; n++) {
        const fe_sight sight = m->sights[n];
        m->lists[first + m->pairs[sight.pair].fresh++] = sight.word;
    }
    m->lists_count += m->sights_count;
    for (uint64_t n = 0, start = first; n < m->touched_count && good; n++) {
        fe_pair *const pair = &m->pairs[m->touched[n]];
        const uint64_t end = first + pair->fresh;
        const fe_entry entry = {pair->count, pair->key, start, (uint32_t)(end - start), m->touched[n]};
        pair->fresh = pair->last = 0;
        start = end;
        good = take(m, &entry);
    }
    m->sights_count = m->touched_count = 0;
    return good;
}

bool fe_merger_merge(fe_merger *m, const fe_entry *entry, uint32_t result, fe_take *take, int64_t *merged,
                     int64_t *work) {
    const fe_merge merge = {(uint32_t)(entry->key >> 32), (uint32_t)entry->key, result};
    const uint32_t *const list = m->lists + entry->list;
    for (uint32_t n = 0; n < entry->size; n++) {
        if (n + AHEAD < entry->size) __builtin_prefetch(&m->words[list[n + AHEAD]]);
        if (n + AHEAD / 2 < entry->size) __builtin_prefetch(m->symbols + m->words[list[n + AHEAD / 2]].start);
        const fe_word *const word = &m->words[list[n]];
        const uint32_t *const s = m->symbols + word->start;
        uint32_t i = 0;
        while (i + 1 < word->size && (s[i] != merge.left || s[i + 1] != merge.right)) i++;
        *work += 4 + word->size;
        if (i + 1 >= word->size) continue;
        const int64_t times = merge_from(m, list[n], i, &merge);
        if (times < 0) return false;
        *merged += times * word->count;
    }
    return take_fresh(m, take);
}

/* ------------------------------------------------------------------ made and freed */

static fe_status take_names(fe_merger *m, const fe_merger_model *model) {
    for (int64_t i = 0; i < model->tokens; i++) {
        const int64_t size = model->token_offsets[i + 1] - model->token_offsets[i];
        const uint8_t *const name = model->token_bytes + model->token_offsets[i];
        if (size < 0 || size > INT32_MAX) return FE_BAD_MODEL;
        const uint64_t hash = fe_set_hash(&m->names, name, (uint64_t)size);
        const int64_t number = fe_set_put(&m->names, hash, name, (uint32_t)size);
        if (number != i) return number < 0 ? FE_NO_MEMORY : FE_BAD_MODEL;
    }
    return FE_OK;
}

/* The token + 1 of each character at each place, by its code; 0 where it has none. */
static fe_status chars_of(const fe_merger_model *model, uint32_t **out) {
    uint32_t *const of = *out = fe_new_zeros((uint64_t)FE_PLACES * FE_PLACE, sizeof *of);
    if (!of) return FE_NO_MEMORY;
    for (int64_t i = 0; i < model->chars; i++) {
        const int32_t token = model->char_tokens[i];
        if (model->char_codes[i] >= FE_PLACES * FE_PLACE || token < 0 || token >= model->tokens) return FE_BAD_MODEL;
        of[model->char_codes[i]] = (uint32_t)token + 1;
    }
    return FE_OK;
}

/* Appends the symbols of a piece, and returns how many there are. */
static uint32_t read_symbols(const fe_merger_model *model, const uint32_t *of, const uint8_t *p, const uint8_t *end,
                             uint32_t *symbols) {
    uint32_t size = 0;
    if (model->byte_tokens) {
        for (; p < end; p++)
            if (model->byte_tokens[*p] >= 0) symbols[size++] = (uint32_t)model->byte_tokens[*p];
        return size;
    }
    for (uint32_t place = FE_PLACE_FIRST; p < end; place = 0) {
        uint32_t code;
        p += fe_utf8_read(p, end, &code);
        if (p == end) place |= FE_PLACE_LAST;
        const uint32_t token = of[place * FE_PLACE + code];
        if (token) symbols[size++] = token - 1;
    }
    return size;
}

static fe_status take_words(fe_merger *m, const fe_tally *tally, const fe_merger_model *model) {
    uint32_t *of = NULL;
    fe_status status = model->byte_tokens ? FE_OK : chars_of(model, &of);
    for (int i = 0; status == FE_OK && model->byte_tokens && i < 256; i++)
        if (model->byte_tokens[i] >= model->tokens) status = FE_BAD_MODEL;
    if (status == FE_OK && !(m->symbols = fe_new(tally->pieces.used, sizeof *m->symbols))) status = FE_NO_MEMORY;
    for (uint64_t i = 0; i < tally->pieces.count && status == FE_OK; i++) {
        const uint8_t *end, *const p = fe_tally_piece(tally, i, &end);
        const uint32_t size = read_symbols(model, of, p, end, m->symbols + m->symbols_count);
        const int64_t count = tally->counts[i] > INT64_MAX ? INT64_MAX : (int64_t)tally->counts[i];
        if (size < 2 && model->score == FE_SCORE_COUNT) continue; /* nothing to merge */
        if (!fe_array_room((void **)&m->words, &m->words_room, m->words_count, 1, sizeof *m->words))
            status = FE_NO_MEMORY;
        else
            m->words[m->words_count++] = (fe_word){m->symbols_count, count, size};
        m->symbols_count += size;
    }
    free(of);
    if (status != FE_OK || model->longest == INT64_MAX) return status;
    m->lengths = fe_new(m->symbols_count, sizeof *m->lengths);
    if (!m->lengths) return FE_NO_MEMORY;
    for (uint64_t i = 0; i < m->symbols_count; i++) m->lengths[i] = 1;
    return FE_OK;
}

fe_status fe_merger_new(const fe_tally *tally, const fe_merger_model *model, uint64_t seed, fe_merger **out) {
    *out = NULL;
    if (model->score < FE_SCORE_COUNT || model->score > FE_SCORE_LIKELIHOOD || model->vocab < 0 || model->tokens < 0 ||
        model->chars < 0 || model->prefix < 0 || model->prefix > INT32_MAX)
        return FE_BAD_MODEL;
    fe_merger *const m = fe_new_zeros(1, sizeof *m);
    if (!m) return FE_NO_MEMORY;
    m->score = model->score;
    m->vocab = (uint64_t)model->vocab;
    m->min_count = model->min_count < 1 ? 1 : model->min_count;
    m->longest = model->longest;
    m->seed = m->names.seed = seed;
    m->prefix_size = (uint32_t)model->prefix;
    m->prefix = fe_new(m->prefix_size, 1);
    if (m->prefix && m->prefix_size) memcpy(m->prefix, model->prefix_bytes, m->prefix_size);
    fe_status status = m->prefix ? take_names(m, model) : FE_NO_MEMORY;
    if (status == FE_OK) status = take_words(m, tally, model);
    if (status != FE_OK) {
        fe_merger_free(m);
        return status;
    }
    *out = m;
    return FE_OK;
}

void fe_merger_free(fe_merger *m) {
    if (!m) return;
    void *const parts[] = {m->prefix, m->words, m->symbols, m->lengths, m->pairs, m->slots,
                           m->merges, m->lists, m->sights,  m->touched, m->queue};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
    fe_set_clear(&m->names);
    fe_links_free(m->links);
    free(m);
}

fe_status fe_merger_run(fe_merger *m) {
    return m->score == FE_SCORE_COUNT ? fe_run_by_count(m, PORTION) : fe_run_by_likelihood(m, PORTION);
}

void fe_merger_look(const fe_merger *m, fe_merger_contents *contents) {
    const uint64_t slots = m->mask ? m->mask + 1 : 0;
    const uint64_t memory = fe_set_memory(&m->names) + m->words_room * sizeof *m->words +
                            m->symbols_count * sizeof *m->symbols * (m->lengths ? 2 : 1) +
                            m->pairs_room * sizeof *m->pairs + slots * sizeof *m->slots +
                            m->merges_room * sizeof *m->merges + m->lists_room * sizeof *m->lists +
                            m->sights_room * sizeof *m->sights + m->touched_room * sizeof *m->touched +
                            m->queue_room * sizeof *m->queue;
    *contents = (fe_merger_contents){(int64_t)m->names.count, (int64_t)m->names.used, (int64_t)m->merges_count,
                                     (int64_t)memory};
}

void fe_merger_read(const fe_merger *m, uint8_t *bytes, int64_t *offsets, int32_t *merges) {
    if (m->names.used) memcpy(bytes, m->names.bytes, (size_t)m->names.used);
    for (uint64_t i = 0; i < m->names.count; i++) offsets[i] = (int64_t)m->names.places[i].start;
    offsets[m->names.count] = (int64_t)m->names.used;
    for (uint64_t i = 0; i < m->merges_count; i++) {
        merges[3 * i] = (int32_t)m->merges[i].left;
        merges[3 * i + 1] = (int32_t)m->merges[i].right;
        merges[3 * i + 2] = (int32_t)m->merges[i].result;
    }
}
