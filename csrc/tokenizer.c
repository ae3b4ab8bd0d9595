/* tokenizer.c: text → segments between added tokens → pieces → symbols → merged ids. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "added.h"
#include "bpe.h"
#include "cache.h"
#include "cut.h"
#include "fe.h"
#include "split.h"
#include "utf8.h"

#define MARK 0x2581u /* the lower one eighth block, which SentencePiece writes for a space */
#define PAGE 256
#define PAGES (0x110000 / PAGE)
#define MAX_TEXT (INT32_MAX - 64) /* symbols are counted in 32 bits, and there can be a few more than bytes */

struct fe_tokenizer {
    uint32_t flags;
    bool all_solid; /* characters: each one gives symbols that stay where they are */
    int32_t unk_id;
    int32_t byte_ids[256];
    int32_t *pages[PAGES]; /* characters: ids of 256 code points, NULL where none is a symbol */
    int32_t *page_store;
    fe_merges merges;
    fe_pairs pairs;
    uint64_t ascii_cuts[128][2]; /* bit b of row a: a text may be cut between the ASCII characters a and b */
    fe_added early, late;
    int64_t added;
    int32_t *added_ids;
};

/* The state of one call of fe_encode. */
typedef struct encoder {
    const fe_tokenizer *t;
    fe_cache *cache;         /* or NULL */
    const uint8_t *readable; /* the end of the texts */
    const uint8_t *actions;
    int32_t *ids; /* the caller's, or NULL to count only */
    int64_t capacity, written;
    int32_t *symbols; /* of the piece being read */
    int64_t count, room;
    bool unk_pending; /* an unknown symbol was read and waits: more of them may join it */
    fe_match refused; /* behind FE_SPECIAL */
    fe_scratch scratch;
} encoder;

/* ------------------------------------------------------------------ characters and where they part */

static int32_t char_id(const fe_tokenizer *t, uint32_t code) {
    const int32_t *const page = t->pages[code / PAGE];
    return page ? page[code % PAGE] : -1;
}

/* A code point as the vocabulary sees it: a space as the mark. */
static uint32_t seen(const fe_tokenizer *t, uint32_t code) {
    return code == ' ' && t->flags & FE_SPACE_MARK ? MARK : code;
}

/* A character next to which a text may be cut: not one that is unknown, which may fuse with another or
 * vanish, so that what stood apart meets. */
static bool is_solid(const fe_tokenizer *t, uint32_t code) { return t->all_solid || char_id(t, code) >= 0; }

static bool can_cut(const fe_tokenizer *t, uint32_t a, uint32_t b) {
    return !fe_pairs_join(&t->pairs, a, b) && is_solid(t, a) && is_solid(t, b);
}

/* ------------------------------------------------------------------ building a tokenizer */

static fe_status init_chars(fe_tokenizer *t, const fe_model *model) {
    int64_t used = 0;
    bool in_use[PAGES] = {false};
    if (model->chars < 0) return FE_BAD_MODEL;
    for (int64_t i = 0; i < model->chars; i++) {
        if (model->char_codes[i] > 0x10FFFF || model->char_ids[i] < 0) return FE_BAD_MODEL;
        bool *page = &in_use[model->char_codes[i] / PAGE];
        used += !*page;
        *page = true;
    }
    t->page_store = malloc(((size_t)used * PAGE + 1) * sizeof *t->page_store);
    if (!t->page_store) return FE_NO_MEMORY;
    int32_t *free_page = t->page_store;
    for (int64_t i = 0; i < model->chars; i++) {
        int32_t **page = &t->pages[model->char_codes[i] / PAGE];
        if (!*page) {
            *page = free_page;
            free_page += PAGE;
            for (int64_t j = 0; j < PAGE; j++) (*page)[j] = -1;
        }
        (*page)[model->char_codes[i] % PAGE] = model->char_ids[i];
    }
    return FE_OK;
}

static void init_ascii_cuts(fe_tokenizer *t) {
    for (uint32_t a = 0; a < 128; a++)
        for (uint32_t b = 0; b < 128; b++)
            if (can_cut(t, seen(t, a), seen(t, b))) t->ascii_cuts[a][b / 64] |= UINT64_C(1) << b % 64;
}

static bool has_all_bytes(const fe_model *model) {
    for (int32_t i = 0; i < 256; i++)
        if (model->byte_ids[i] < 0) return false;
    return true;
}

static fe_status init(fe_tokenizer *t, const fe_model *model) {
    t->flags = model->flags;
    t->unk_id = model->unk_id;
    memcpy(t->byte_ids, model->byte_ids, sizeof t->byte_ids);
    t->all_solid = model->flags & FE_BYTE_FALLBACK && has_all_bytes(model);
    fe_status status = init_chars(t, model);
    if (status == FE_OK) status = fe_pairs_init(&t->pairs, model);
    if (status == FE_OK) init_ascii_cuts(t);
    if (status == FE_OK) status = fe_merges_init(&t->merges, model);
    if (status == FE_OK) status = fe_added_init(&t->early, model, 0);
    if (status == FE_OK) status = fe_added_init(&t->late, model, 1);
    if (status != FE_OK) return status;
    t->added = model->added;
    t->added_ids = malloc(((size_t)t->added + 1) * sizeof *t->added_ids);
    if (!t->added_ids) return FE_NO_MEMORY;
    if (t->added) memcpy(t->added_ids, model->added_ids, (size_t)t->added * sizeof *t->added_ids);
    return FE_OK;
}

fe_status fe_tokenizer_new(const fe_model *model, fe_tokenizer **out) {
    *out = NULL;
    fe_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return FE_NO_MEMORY;
    const fe_status status = init(t, model);
    if (status == FE_OK)
        *out = t;
    else
        fe_tokenizer_free(t);
    return status;
}

void fe_tokenizer_free(fe_tokenizer *t) {
    if (!t) return;
    fe_merges_clear(&t->merges);
    fe_pairs_clear(&t->pairs);
    fe_added_clear(&t->early);
    fe_added_clear(&t->late);
    free(t->page_store);
    free(t->added_ids);
    free(t);
}

/* ------------------------------------------------------------------ symbols of a piece */

static fe_status push(encoder *e, int32_t id) {
    if (e->count == e->room) {
        const int64_t room = e->room ? 2 * e->room : 256;
        int32_t *symbols = realloc(e->symbols, (size_t)room * sizeof *symbols);
        if (!symbols) return FE_NO_MEMORY;
        e->symbols = symbols;
        e->room = room;
    }
    e->symbols[e->count++] = id;
    return FE_OK;
}

static fe_status push_waiting_unk(encoder *e) {
    if (!e->unk_pending) return FE_OK;
    e->unk_pending = false;
    return push(e, e->t->unk_id);
}

static fe_status push_known(encoder *e, int32_t id) {
    const fe_status status = push_waiting_unk(e);
    return status == FE_OK ? push(e, id) : status;
}

/* A symbol without an id: it waits, since the next one may fuse with it; without an unk it vanishes. */
static fe_status push_unknown(encoder *e) {
    fe_status status = FE_OK;
    if (e->t->unk_id < 0) return status;
    if (!(e->t->flags & FE_FUSE_UNK)) status = push_waiting_unk(e);
    e->unk_pending = true;
    return status;
}

/* The bytes p to q of one character as byte symbols, if all of them are symbols. A waiting unknown
 * goes on waiting behind them: that is the order the format's own engine gives. */
static fe_status push_char_bytes(encoder *e, const uint8_t *p, const uint8_t *q) {
    const int32_t *const byte_ids = e->t->byte_ids;
    for (const uint8_t *b = p; b < q; b++)
        if (byte_ids[*b] < 0) return push_unknown(e);
    fe_status status = FE_OK;
    for (; p < q && status == FE_OK; p++) status = push(e, byte_ids[*p]);
    return status;
}

static fe_status write_id(encoder *e, int32_t id) {
    if (e->ids) {
        if (e->written == e->capacity) return FE_FULL;
        e->ids[e->written] = id;
    }
    e->written++;
    return FE_OK;
}

/* Merges the symbols read so far and writes what is left of them; a piece with a key is remembered. */
static fe_status end_piece(encoder *e, const fe_key *key) {
    fe_status status = push_waiting_unk(e);
    if (status != FE_OK || e->count == 0) return status;
    status = fe_merge(&e->t->merges, e->symbols, &e->count, &e->scratch);
    if (status != FE_OK) return status;
    if (key && e->count <= FE_CACHED_IDS) fe_cache_put(e->cache, *key, e->symbols, e->count);
    if (e->ids) {
        if (e->count > e->capacity - e->written) return FE_FULL;
        memcpy(e->ids + e->written, e->symbols, (size_t)e->count * sizeof *e->ids);
    }
    e->written += e->count;
    e->count = 0;
    return FE_OK;
}

/* True if the piece was known and its ids are written; false, with nothing written, if it has to be merged. */
static bool write_known(encoder *e, fe_key key) {
    const int32_t *const known = fe_cache_find(e->cache, key);
    if (!known) return false;
    if (e->ids) {
        if (e->capacity - e->written < FE_CACHED_IDS) return false; /* merging finds out what is full */
        memcpy(e->ids + e->written, known, FE_CACHED_IDS * sizeof *known); /* all at once; the rest is overwritten */
    }
    e->written += 1 + (known[1] >= 0) + (known[2] >= 0) + (known[3] >= 0);
    return true;
}

/* ------------------------------------------------------------------ a segment between added tokens */

static fe_status push_bytes(encoder *e, const uint8_t *p, const uint8_t *end) {
    fe_status status = FE_OK;
    for (; p < end && status == FE_OK; p++) {
        const int32_t id = e->t->byte_ids[*p];
        status = id >= 0 ? push_known(e, id) : push_unknown(e);
    }
    return status;
}

/* The code point at p, as seen; *next receives where it ends. */
static uint32_t read_char(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, const uint8_t **next) {
    uint32_t code;
    *next = p + fe_utf8_read(p, end, &code);
    return seen(t, code);
}

static fe_status push_chars(encoder *e, const uint8_t *p, const uint8_t *end) {
    static const uint8_t mark_bytes[3] = {0xE2, 0x96, 0x81};
    fe_status status = FE_OK;
    for (const uint8_t *next; p < end && status == FE_OK; p = next) {
        const uint32_t code = read_char(e->t, p, end, &next);
        const int32_t id = char_id(e->t, code);
        if (id >= 0)
            status = push_known(e, id);
        else if (!(e->t->flags & FE_BYTE_FALLBACK))
            status = push_unknown(e);
        else if (code == MARK)
            status = push_char_bytes(e, mark_bytes, mark_bytes + 3);
        else
            status = push_char_bytes(e, p, next);
    }
    return status;
}

/* The first place at or behind p where no token reaches across; with `front`, a mark stands before p. */
static const uint8_t *cut_chars(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    if (!(t->flags & FE_CUT)) return end;
    const uint8_t *next = p;
    uint32_t before = front ? MARK : read_char(t, p, end, &next);
    for (p = next; p < end; p = next) {
        const uint32_t code = read_char(t, p, end, &next);
        if (can_cut(t, before, code)) return p;
        before = code;
        /* From one ASCII character to the next the answers lie ready, and nothing is decoded. */
        for (uint8_t a = next[-1], b; next < end && ((b = *next) | a) < 0x80; a = b, next++) {
            if (t->ascii_cuts[a][b / 64] >> b % 64 & 1) return next;
            before = b;
        }
        before = seen(t, before);
    }
    return end;
}

/* Encodes one piece; with `front` a space or mark that is not in the text stands before it. */
static fe_status encode_piece(encoder *e, const uint8_t *p, const uint8_t *end, bool front) {
    static const uint8_t space[1] = {' '}, mark[3] = {0xE2, 0x96, 0x81};
    const bool bytes = e->t->flags & FE_BYTE_LEVEL, keyed = e->cache && end - p <= FE_KEY_BYTES;
    fe_status status = FE_OK;
    fe_key key;
    if (keyed) {
        key = fe_key_of(p, end - p, front, e->readable);
        if (write_known(e, key)) return FE_OK;
    }
    if (front) status = bytes ? push_bytes(e, space, space + 1) : push_chars(e, mark, mark + 3);
    if (status == FE_OK) status = bytes ? push_bytes(e, p, end) : push_chars(e, p, end);
    return status == FE_OK ? end_piece(e, keyed ? &key : NULL) : status;
}

/* The end of the piece that starts at p, or with what stands in front of it. */
static const uint8_t *piece_end(const fe_tokenizer *t, const uint8_t *p, const uint8_t *end, bool front) {
    if (!(t->flags & FE_BYTE_LEVEL)) return cut_chars(t, p, end, front);
    return t->flags & FE_WHOLE ? end : fe_split_gpt2(p, end, front);
}

static fe_status encode_segment(encoder *e, const uint8_t *p, const uint8_t *end) {
    const uint32_t flags = e->t->flags;
    if (p == end) return FE_OK;
    bool front = flags & FE_BYTE_LEVEL ? flags & FE_ADD_SPACE && *p != ' ' : flags & FE_PREPEND;
    fe_status status = FE_OK;
    while (p < end && status == FE_OK) {
        const uint8_t *const next = piece_end(e->t, p, end, front);
        status = encode_piece(e, p, next, front);
        front = false;
        p = next;
    }
    return status;
}

/* ------------------------------------------------------------------ added tokens and texts */

/* Cuts [p, end) at the tokens of one trie; what lies between goes to `inner`. A token whose action is
 * PLAIN still uses up its characters, as in the format's own engine, so none overlaps it. */
static fe_status encode_between(encoder *e, const fe_added *added, const uint8_t *p, const uint8_t *end,
                                fe_status (*inner)(encoder *, const uint8_t *, const uint8_t *)) {
    fe_match match;
    fe_status status = FE_OK;
    for (const uint8_t *from = p; fe_added_find(added, from, end, &match); from = match.end) {
        const uint8_t action = e->actions[match.token];
        if (action == FE_TOKEN_PLAIN) continue;
        if (action == FE_TOKEN_REFUSE) {
            e->refused = match;
            return FE_SPECIAL;
        }
        status = inner(e, p, match.start);
        if (status == FE_OK) status = write_id(e, e->t->added_ids[match.token]);
        if (status != FE_OK) return status;
        p = match.end;
    }
    return inner(e, p, end);
}

/* Text between two early tokens: late ones cut it further. */
static fe_status encode_late(encoder *e, const uint8_t *p, const uint8_t *end) {
    return encode_between(e, &e->t->late, p, end, encode_segment);
}

/* The end of the text of `chars` code points that starts at p, counted by the bytes that continue none; NULL
 * if there are fewer. */
static const uint8_t *text_end(const uint8_t *p, const uint8_t *end, int64_t chars) {
    if (chars < 0) return NULL;
    while (end - p > 8 && chars >= 8) { /* eight bytes hold at most eight first ones */
        uint64_t word;
        memcpy(&word, p, sizeof word);
        /* bit 7 of a byte that continues a character is set and bit 6 is not */
        const uint64_t inner = word & ~(word << 1) & UINT64_C(0x8080808080808080);
        chars -= 8 - (int64_t)((inner >> 7) * UINT64_C(0x0101010101010101) >> 56);
        p += 8;
    }
    for (; p < end; p++) {
        const bool first = (*p & 0xC0) != 0x80;
        if (first && chars == 0) break;
        chars -= first;
    }
    return chars == 0 ? p : NULL;
}

fe_status fe_encode(const fe_tokenizer *t, fe_cache *cache, const uint8_t *utf8, int64_t size, const int64_t *char_counts,
                    int64_t texts, const uint8_t *actions, int32_t *ids, int64_t used,
                    int64_t capacity, int64_t *row_ends, fe_done *done) {
    const uint8_t *p = utf8, *const end = utf8 + size;
    encoder e = {.t = t, .cache = cache, .readable = end, .actions = actions, .ids = ids};
    e.capacity = capacity;
    e.written = used;
    fe_status status = FE_OK;
    *done = (fe_done){0, 0, used, -1, -1};
    for (int64_t i = 0; i < texts; i++) {
        const uint8_t *const next = text_end(p, end, char_counts[i]);
        e.count = 0;
        e.unk_pending = false;
        if (!next)
            status = FE_BAD_TEXT;
        else if (next - p >= MAX_TEXT)
            status = FE_TOO_LONG;
        else
            status = encode_between(&e, &t->early, p, next, encode_late);
        if (status != FE_OK) break;
        row_ends[i] = e.written;
        p = next;
        *done = (fe_done){i + 1, p - utf8, e.written, -1, -1};
    }
    if (status == FE_SPECIAL) {
        done->token = e.refused.token;
        done->place = e.refused.start - utf8;
    }
    free(e.symbols);
    fe_scratch_clear(&e.scratch);
    return status;
}
