/* encoding.c: every way to encode gives what the slow law gives; decoding gives the tokens' bytes. */
#include "fuzz.h"

static const uint8_t exactly_none[1];

/* Texts in the two forms that a call takes, and what must come out: of the texts before the first refused token. */
typedef struct job {
    const vocabulary *v;
    const fe_tokenizer *tokenizer;
    int32_t pattern;
    uint8_t actions[ADDED];
    fe_choice *choice;
    int64_t texts, size;
    uint8_t *joined;
    uint8_t *each[TEXTS];
    int64_t sizes[TEXTS], chars[TEXTS];
    int32_t ids[IDS];
    int64_t ends[TEXTS];
    int64_t complete;
    fe_status status;
} job;

static int64_t count_chars(const uint8_t *text, int64_t n) {
    int64_t chars = 0;
    for (int64_t i = 0; i < n; i++) chars += (text[i] & 0xC0) != 0x80;
    return chars;
}

static void make_job(job *j, const vocabulary *v, const fe_tokenizer *tokenizer) {
    static uint8_t block[BLOCK + TEXT];
    const bool bytes = v->model.flags & FE_BYTE_LEVEL, any_pattern = bytes && !(v->model.flags & FE_ADD_SPACE);
    const bool valid = !one_in(4), many = one_in(6), plain = one_in(2);
    const uint32_t longest = many ? 30 : one_in(6) ? TEXT : 100;
    const int32_t pattern = any_pattern && one_in(2) ? (int32_t)rnd(FE_PATTERN_PROGRAM) : FE_PATTERN_OWN;
    *j = (job){.v = v, .tokenizer = tokenizer, .pattern = pattern};
    for (int64_t i = 0; i < v->model.added; i++) j->actions[i] = plain ? FE_TOKEN_PLAIN : v->actions[i];
    if (!plain || one_in(2)) CHECK(fe_choice_new(tokenizer, j->actions, v->model.added, &j->choice) == FE_OK);
    for (int64_t wish = rnd(many ? TEXTS : 9); j->texts < wish && j->size < BLOCK; j->texts++) {
        uint8_t *const text = block + j->size;
        int64_t n = one_in(9) ? 0 : random_text(text, longest, valid);
        /* One that begins with a byte that goes on with a character would begin later in the joined form. */
        if (n) while ((*text & 0xC0) == 0x80) *text = (uint8_t)rnd(256);
        j->sizes[j->texts] = n;
        j->chars[j->texts] = count_chars(text, n);
        j->each[j->texts] = exactly(text, n);
        j->size += n;
    }
    j->joined = exactly(block, j->size);
    int64_t at = 0;
    for (; j->complete < j->texts; at = j->ends[j->complete++]) {
        int64_t count;
        const uint8_t *const text = j->each[j->complete];
        if (!slow_encode(v, j->pattern, j->actions, text, j->sizes[j->complete], j->ids + at, &count)) break;
        j->ends[j->complete] = at + count;
        CHECK(at + count + 2 * TEXT < IDS || j->size < BLOCK);
    }
    j->status = j->complete < j->texts ? FE_SPECIAL : FE_OK;
}

static void end_job(job *j) {
    fe_choice_free(j->choice);
    free(j->joined);
    for (int64_t i = 0; i < j->texts; i++) free(j->each[i]);
}

/* Calls for the texts from `first` on, which begin at byte `from` of the joined ones. */
static fe_status call(const job *j, fe_cache *cache, bool apart, int64_t first, int64_t from, int64_t limit,
                      int32_t *ids, int64_t used, int64_t capacity, int64_t *ends, fe_out *out) {
    fe_job asked = {.pattern = j->pattern, .choice = j->choice, .limit = limit, .texts = j->texts - first};
    *out = (fe_out){.ids = ids, .capacity = capacity, .used = used, .row_ends = ends};
    if (apart) {
        asked.each = (const uint8_t *const *)j->each + first;
        asked.sizes = j->sizes + first;
    } else {
        asked.utf8 = j->joined + from;
        asked.size = j->size - from;
        asked.char_counts = j->chars + first;
    }
    return fe_encode(j->tokenizer, cache, &asked, out);
}

static int64_t bytes_of(const job *j, int64_t texts) {
    int64_t bytes = 0;
    for (int64_t i = 0; i < texts; i++) bytes += j->sizes[i];
    return bytes;
}

static void check_done(const job *j, fe_status status, const fe_out *done, const int64_t *ends, bool apart) {
    const int64_t bytes = bytes_of(j, j->complete);
    CHECK(status == j->status && done->texts == j->complete && done->bytes == bytes);
    CHECK(done->used == (j->complete ? j->ends[j->complete - 1] : 0));
    CHECK(j->complete == 0 || memcmp(ends, j->ends, (size_t)j->complete * sizeof *ends) == 0);
    CHECK((status == FE_SPECIAL) == (done->token >= 0) && (status == FE_SPECIAL) == (done->place >= 0));
    if (status != FE_SPECIAL) return;
    const fe_model *const m = &j->v->model;
    const int64_t size = m->added_offsets[done->token + 1] - m->added_offsets[done->token];
    const int64_t place = done->place - (apart ? 0 : bytes);
    if (m->normal && m->added_flags[done->token] & FE_ADDED_LATE) { /* the stretch that holds it */
        CHECK(j->actions[done->token] == FE_TOKEN_REFUSE && place >= 0 && place < j->sizes[j->complete]);
        return;
    }
    CHECK(j->actions[done->token] == FE_TOKEN_REFUSE && place >= 0 && place + size <= j->sizes[j->complete]);
    CHECK(memcmp(j->each[j->complete] + place, m->added_bytes + m->added_offsets[done->token], (size_t)size) == 0);
}

/* In steps, with so little room at first that hardly a text fits. */
static void check_little_room(const job *j, fe_cache *cache, bool apart) {
    int64_t texts = 0, bytes = 0, used = 0, ends[TEXTS];
    int32_t *ids = NULL;
    for (int64_t more = rnd(40);; more = 2 * more + 1) {
        fe_out done;
        const int64_t capacity = used + more;
        int32_t *const grown = malloc((size_t)(capacity ? capacity : 1) * sizeof *grown); /* ASan sees its end */
        CHECK(grown);
        if (used) memcpy(grown, ids, (size_t)used * sizeof *ids);
        free(ids);
        ids = grown;
        const fe_status status = call(j, cache, apart, texts, bytes, INT64_MAX, ids, used, capacity, ends, &done);
        CHECK(memcmp(ends, j->ends + texts, (size_t)done.texts * sizeof *ends) == 0);
        CHECK(done.bytes == bytes_of(j, texts + done.texts) - bytes);
        texts += done.texts;
        bytes += done.bytes;
        used = done.used;
        if (status == FE_FULL) continue;
        CHECK(status == j->status && texts == j->complete);
        break;
    }
    CHECK(used == (j->complete ? j->ends[j->complete - 1] : 0) && memcmp(ids, j->ids, (size_t)used * sizeof *ids) == 0);
    free(ids);
}

/* At most so many ids of each text. A token that is refused behind them may go unseen. */
static void check_limit(const job *j, fe_cache *cache, bool apart) {
    static int32_t ids[IDS];
    int64_t ends[TEXTS], at = 0;
    fe_out done;
    const int64_t limit = rnd(12);
    const fe_status status = call(j, cache, apart, 0, 0, limit, one_in(4) ? NULL : ids, 0, IDS, ends, &done);
    CHECK(status == FE_OK || status == j->status);
    CHECK(done.texts >= j->complete);
    (void)call(j, cache, apart, 0, 0, limit, ids, 0, IDS, ends, &done);
    for (int64_t i = 0; i < j->complete; i++) {
        const int64_t first = i ? j->ends[i - 1] : 0, count = j->ends[i] - first < limit ? j->ends[i] - first : limit;
        CHECK(ends[i] == at + count && memcmp(ids + at, j->ids + first, (size_t)count * sizeof *ids) == 0);
        at += count;
    }
}

/* Text by text, which knows no other pattern than the tokenizer's own. */
static void check_one(const job *j, fe_cache *cache) {
    if (j->pattern != FE_PATTERN_OWN) return;
    for (int64_t i = 0; i < j->complete; i++) {
        const int64_t first = i ? j->ends[i - 1] : 0, count = j->ends[i] - first;
        int32_t *const ids = malloc((size_t)(count ? count : 1) * sizeof *ids); /* ASan sees its end */
        CHECK(ids);
        CHECK(fe_encode_one(j->tokenizer, cache, j->each[i], j->sizes[i], j->choice, ids, count) == count);
        CHECK(memcmp(ids, j->ids + first, (size_t)count * sizeof *ids) == 0);
        CHECK(!count || fe_encode_one(j->tokenizer, cache, j->each[i], j->sizes[i], j->choice, ids, count - 1) == -1);
        free(ids);
    }
    int32_t none;
    if (j->status == FE_SPECIAL)
        CHECK(fe_encode_one(j->tokenizer, cache, j->each[j->complete], j->sizes[j->complete], j->choice, &none, 0) ==
              -1);
}

/* As pieces by themselves, in which no token is looked for and which nothing cuts. */
static void check_alone(const job *j) {
    static const uint8_t plain[ADDED];
    static int32_t slow[IDS];
    const bool serves = (j->v->model.flags & (FE_BYTE_LEVEL | FE_ADD_SPACE | FE_AFFIXES)) == FE_BYTE_LEVEL;
    for (int64_t i = 0; i < j->texts; i++) {
        const int64_t size = j->sizes[i];
        int64_t count = -1;
        int32_t *const ids = malloc((size_t)(size ? size : 1) * sizeof *ids); /* ASan sees its end */
        CHECK(ids);
        CHECK(fe_encode_piece_alone(j->tokenizer, j->each[i], size, ids, size - 1) == -1);
        if (serves && size) CHECK(slow_encode(j->v, FE_PATTERN_NONE, plain, j->each[i], size, slow, &count));
        CHECK(fe_encode_piece_alone(j->tokenizer, j->each[i], size, ids, size) == count);
        CHECK(count < 1 || memcmp(ids, slow, (size_t)count * sizeof *ids) == 0);
        free(ids);
    }
}

/* A choice for so many added tokens as there are, of actions that there are, and of this tokenizer. */
static void check_choices(const job *j) {
    const int64_t added = j->v->model.added;
    uint8_t actions[ADDED + 1] = {0}, wrong[ADDED + 1] = {0};
    fe_choice *choice;
    CHECK(fe_choice_new(j->tokenizer, actions, added + 1, &choice) == FE_BAD_MODEL && !choice);
    CHECK(fe_choice_new(j->tokenizer, actions, added - 1, &choice) == FE_BAD_MODEL && !choice);
    if (added) {
        wrong[rnd((uint32_t)added)] = FE_TOKEN_REFUSE + 1;
        CHECK(fe_choice_new(j->tokenizer, wrong, added, &choice) == FE_BAD_MODEL && !choice);
    }
    fe_tokenizer *other;
    fe_out done;
    int64_t twice, end, size = 0;
    CHECK(fe_tokenizer_new(&j->v->model, FE_PATH_BEST, &other, &twice) == FE_OK);
    CHECK(fe_choice_new(other, actions, added, &choice) == FE_OK && choice);
    const uint8_t *const none[] = {exactly_none};
    CHECK(fe_encode_one(j->tokenizer, NULL, exactly_none, 0, choice, NULL, 0) == -1);
    const fe_job asked = {.pattern = FE_PATTERN_OWN, .choice = choice, .limit = INT64_MAX, .texts = 1, .each = none,
                          .sizes = &size};
    done.ids = NULL, done.row_ends = &end, done.used = done.capacity = 0;
    CHECK(fe_encode(j->tokenizer, NULL, &asked, &done) == FE_BAD_MODEL && done.texts == 0);
    fe_job other_pattern = asked;
    other_pattern.choice = NULL;
    other_pattern.pattern = one_in(2) ? FE_PATTERN_OWN - 1 : FE_PATTERN_PROGRAM;
    CHECK(fe_encode(j->tokenizer, NULL, &other_pattern, &done) == FE_BAD_MODEL && done.texts == 0);
    fe_choice_free(choice);
    fe_tokenizer_free(other);
}

/* Counts of characters that do not add up: never out of bounds. */
static void check_bad_counts(job *j, fe_cache *cache) {
    static int32_t ids[IDS];
    int64_t ends[TEXTS];
    fe_out done;
    for (int64_t i = 0; i < j->texts; i++)
        if (one_in(3)) j->chars[i] = (int64_t)rnd(TEXT) - 9;
    const fe_status status = call(j, cache, false, 0, 0, INT64_MAX, ids, 0, IDS, ends, &done);
    CHECK(status == FE_OK || status == FE_BAD_TEXT || status == FE_SPECIAL);
    CHECK(done.texts <= j->texts && done.bytes <= j->size);
}

void check_encoding(const vocabulary *v, const fe_tokenizer *tokenizer, fe_cache *cache) {
    static job j;
    static int32_t ids[IDS];
    int64_t ends[TEXTS];
    fe_out done;
    make_job(&j, v, tokenizer);
    for (int way = 0; way < 8; way++) {
        fe_cache *const some = way & 1 ? cache : NULL;
        const bool apart = way & 2, counts = way & 4;
        const int64_t room = counts ? 0 : IDS;
        const fe_status status = call(&j, some, apart, 0, 0, INT64_MAX, counts ? NULL : ids, 0, room, ends, &done);
        check_done(&j, status, &done, ends, apart);
        CHECK(counts || memcmp(ids, j.ids, (size_t)done.used * sizeof *ids) == 0);
    }
    for (int way = 0; way < 4; way++) {
        check_little_room(&j, way & 1 ? cache : NULL, way & 2);
        check_limit(&j, way & 1 ? cache : NULL, way & 2);
    }
    check_one(&j, cache);
    check_one(&j, NULL);
    check_alone(&j);
    check_bad_counts(&j, cache);
    if (one_in(8)) check_choices(&j);
    end_job(&j);
}

/* Row ends that do not fit the ids: refused, and no id behind the last is looked at. */
static void check_row_ends(const fe_tokenizer *tokenizer, const int64_t *ids, int64_t count, const int64_t *row_ends,
                           int64_t rows) {
    int64_t length, *const exact = malloc((size_t)count * sizeof *exact + 1), *const ends = malloc(64), byte_ends[8];
    CHECK(exact && ends && rows < 8);
    if (count) memcpy(exact, ids, (size_t)count * sizeof *exact);
    if (rows) memcpy(ends, row_ends, (size_t)rows * sizeof *ends);
    for (int i = 0; i < 4 && rows; i++) {
        const uint32_t at = rnd((uint32_t)rows);
        const int64_t wrong[] = {-1, count + 1, INT64_MAX, INT64_MIN, (int64_t)1 << 40};
        const int64_t right = ends[at];
        ends[at] = wrong[rnd(5)];
        const fe_status status = fe_decode(tokenizer, exact, count, ends, rows, exactly_none, 0, NULL, 0, byte_ends,
                                           &length);
        CHECK(status == FE_BAD_ROWS);
        ends[at] = right;
    }
    CHECK(fe_decode(tokenizer, exact, count + 1, ends, rows, exactly_none, 0, NULL, 0, byte_ends, &length) ==
          FE_BAD_ROWS);
    free(exact);
    free(ends);
}

void check_decoding(const vocabulary *v, const fe_tokenizer *tokenizer) {
    enum { N = 40, ROWS = 5, ROOM = N * (LONGEST + 3) };
    const fe_model *const m = &v->model;
    int64_t ids[N], row_ends[ROWS], byte_ends[ROWS], length, size = 0, separator = rnd(4);
    uint8_t expected[ROOM];
    const int64_t rows = rnd(ROWS + 1);
    int64_t n = 0;
    for (int64_t row = 0; row < rows; row++) {
        const int64_t first = n;
        for (int64_t wish = rnd(N / ROWS); n - first < wish; n++) {
            const uint32_t token = rnd((uint32_t)m->tokens);
            const int64_t at = v->token_offsets[token], bytes = v->token_offsets[token + 1] - at;
            ids[n] = v->token_ids[token];
            if (n > first) memcpy(expected + size, "---", (size_t)separator), size += separator;
            memcpy(expected + size, v->token_bytes + at, (size_t)bytes);
            size += bytes;
        }
        row_ends[row] = n;
    }
    const int64_t room = one_in(2) ? size : rnd((uint32_t)size + 1);
    uint8_t *const bytes = malloc((size_t)room + (room == 0));
    CHECK(bytes);
    const uint8_t *const dashes = (const uint8_t *)"---";
    CHECK(fe_decode(tokenizer, ids, n, row_ends, rows, dashes, separator, bytes, room, byte_ends, &length) == FE_OK);
    CHECK(length == size && (rows == 0 || byte_ends[rows - 1] == size));
    CHECK(room < size || memcmp(bytes, expected, (size_t)size) == 0);
    if (n) {
        const uint32_t at = rnd((uint32_t)n);
        const int64_t wrong[] = {-1, INT64_MIN, INT64_MAX, INT32_MAX, 1 << 20, INT64_C(1) << 32};
        ids[at] = wrong[rnd(6)];
        const fe_status status =
            fe_decode(tokenizer, ids, n, row_ends, rows, dashes, separator, bytes, room, byte_ends, &length);
        CHECK(status == FE_BAD_ID && length == at);
        ids[at] = v->token_ids[0];
    }
    check_row_ends(tokenizer, ids, n, row_ends, rows);
    free(bytes);
    for (int i = 0; i < 20 && m->flags & FE_BYTE_LEVEL; i++) {
        const uint32_t token = rnd((uint32_t)m->tokens);
        const uint8_t *const p = v->token_bytes + v->token_offsets[token];
        const int64_t most = v->token_offsets[token + 1] - v->token_offsets[token];
        const int64_t some = one_in(2) ? most : rnd((uint32_t)most + 1);
        CHECK(fe_find(tokenizer, p, some) == (m->flags & FE_AFFIXES ? -1 : slow_find(v, p, some)));
    }
}
