/* memory.c: every allocation fails once, alone and with all that follow it: the answer is FE_NO_MEMORY or right, and
 * nothing is leaked or freed twice (under ASan). Usage: memory VOCABULARIES SEED. */
#include "fail.h"
#include "fuzz.h"

#undef malloc
#undef calloc
#undef realloc
#undef aligned_alloc
#undef mmap

enum { NEVER = -1, WORDS = 20000, ROOM = 16 * WORDS };

static int64_t allocations, failing = NEVER; /* counted in a scenario; which one fails */
static bool for_good;

static bool fails(void) {
    const int64_t number = allocations++;
    return failing >= 0 && (for_good ? number >= failing : number == failing);
}

void *fail_malloc(size_t size) { return fails() ? NULL : malloc(size); }
void *fail_calloc(size_t count, size_t size) { return fails() ? NULL : calloc(count, size); }
void *fail_realloc(void *old, size_t size) { return fails() ? NULL : realloc(old, size); }
void *fail_aligned(size_t alignment, size_t size) { return fails() ? NULL : aligned_alloc(alignment, size); }
void *fail_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
    return fails() ? MAP_FAILED : mmap(at, size, protection, flags, file, offset);
}

/* A vocabulary and a text, and what has to come out. */
typedef struct scenario {
    const fe_model *model;
    const uint8_t *actions, *text;
    int64_t size, chars, cache, count;
    fe_status status;
    int32_t ids[ROOM], spans[3 * ROOM]; /* and the numbers of pieces behind the places */
    uint8_t placed;
} scenario;

static bool short_of_memory(fe_status status) {
    CHECK(status == FE_OK || status == FE_NO_MEMORY);
    return status == FE_NO_MEMORY;
}

static void encode(scenario *s, const fe_tokenizer *t, const fe_choice *choice, bool first) {
    static int32_t ids[ROOM];
    fe_cache *cache = NULL;
    int64_t end;
    const uint8_t *const each[] = {s->text};
    if (short_of_memory(fe_cache_new(s->cache, 1, &cache))) CHECK(!cache);
    for (int way = 0; way < 3; way++) { /* twice, so that what was remembered is asked for */
        const fe_job job = {.pattern = FE_PATTERN_OWN, .choice = choice, .limit = INT64_MAX, .texts = 1,
                            .utf8 = s->text, .size = s->size, .char_counts = &s->chars, .each = way == 1 ? NULL : each,
                            .sizes = &s->size};
        fe_out out = {.ids = ids, .capacity = ROOM, .row_ends = &end};
        const fe_status status = fe_encode(t, cache, &job, &out);
        if (first && way == 0) {
            s->status = status;
            s->count = out.used;
            memcpy(s->ids, ids, (size_t)out.used * sizeof *ids);
        }
        CHECK(status == s->status || status == FE_NO_MEMORY);
        if (status != FE_OK) continue;
        CHECK(end == s->count && memcmp(ids, s->ids, (size_t)end * sizeof *ids) == 0);
        const int64_t one = fe_encode_one(t, cache, s->text, s->size, choice, ids, ROOM);
        CHECK(one == -1 || (one == s->count && memcmp(ids, s->ids, (size_t)one * sizeof *ids) == 0));
        CHECK(fe_encode_piece_alone(t, s->text, s->size, ids, ROOM) <= s->size);
    }
    fe_cache_free(cache);
}

static void place(scenario *s, const fe_tokenizer *t, const fe_choice *choice, bool first) {
    static int32_t spans[3 * ROOM];
    const int64_t ends[] = {0, s->size}, rows[] = {0, s->count};
    const fe_place_job job = {choice, 1, s->text, ends, s->ids, rows};
    uint8_t placed;
    int32_t *const to = first ? s->spans : spans;
    if (short_of_memory(fe_places(t, &job, to, to + 2 * s->count, &placed))) return;
    if (first) s->placed = placed;
    CHECK(placed == s->placed && (!placed || !memcmp(to, s->spans, 3 * (size_t)s->count * sizeof *to)));
}

static void use(scenario *s, const fe_tokenizer *t, bool first) {
    fe_choice *choice;
    if (short_of_memory(fe_choice_new(t, s->actions, s->model->added, &choice))) {
        CHECK(!choice);
    } else {
        encode(s, t, choice, first);
        place(s, t, choice, first);
    }
    fe_choice_free(choice);
}

static void play(scenario *s, bool first) {
    fe_tokenizer *made, *opened = NULL;
    fe_contents contents;
    int64_t twice;
    int32_t numbers[3];
    allocations = 0;
    if (short_of_memory(fe_tokenizer_new(s->model, FE_PATH_BEST, &made, &twice))) {
        CHECK(!made);
    } else {
        use(s, made, first);
        fe_tokenizer_contents(made, &contents);
        if (short_of_memory(fe_tokenizer_open(contents.image, contents.size, FE_PATH_BEST, &opened))) CHECK(!opened);
        else use(s, opened, false);
    }
    fe_tokenizer_free(opened);
    fe_tokenizer_free(made);
    const uint8_t *const names = (const uint8_t *)"a\nb\nab", *const merges = (const uint8_t *)"a b";
    const fe_status status = fe_merges_read(names, 6, 3, merges, 3, 1, numbers, numbers + 1, numbers + 2);
    if (!short_of_memory(status)) CHECK(numbers[0] == 0 && numbers[1] == 1 && numbers[2] == 2);
}

static int64_t play_all(scenario *s) {
    failing = NEVER;
    play(s, true);
    const int64_t all = allocations;
    for (int way = 0; way < 2; way++)
        for (failing = 0; failing < all; failing++) {
            for_good = way;
            play(s, false);
        }
    failing = NEVER;
    return 2 * all;
}

static int64_t small(void) {
    static vocabulary v;
    static scenario s;
    uint8_t text[600];
    random_vocabulary(&v);
    s = (scenario){.model = &v.model, .actions = v.actions, .cache = one_in(2) ? 0 : 1 << 20};
    s.size = random_text(text, sizeof text, true);
    if (one_in(2)) memset(text, 'a', 500), s.size = 500; /* a long piece, and the start of a long token */
    uint8_t *const exact = exactly(text, s.size);
    s.text = exact;
    for (int64_t i = 0; i < s.size; i++) s.chars += (text[i] & 0xC0) != 0x80;
    const int64_t runs = play_all(&s);
    free(exact);
    return runs;
}

/* A cache that grows into mapped memory: many words, some longer than the first table takes. */
static int64_t large(void) {
    static vocabulary v;
    static scenario s;
    static uint8_t text[24 * WORDS];
    do random_vocabulary(&v);
    while (!(v.model.flags & FE_RANKED));
    v.model.pattern = FE_PATTERN_CL100K;
    v.model.added = 0;
    s = (scenario){.model = &v.model, .actions = v.actions, .cache = 1 << 28, .text = text};
    for (int i = 0; i < WORDS; i++)
        s.size += sprintf((char *)text + s.size, i % 8 ? "w%x\n" : "word%xwordword%xq\n", i, i);
    s.chars = s.size;
    CHECK(s.size <= ROOM);
    return play_all(&s);
}

/* Every trainer. */
static int64_t training(void) {
    allocations = 0;
    seed(1);
    CHECK(train_without_checks() == FE_OK);
    const int64_t all = allocations;
    for (int way = 0; way < 2; way++)
        for (failing = 0; failing < all; failing++) {
            for_good = way;
            allocations = 0;
            seed(1);
            (void)short_of_memory(train_without_checks());
        }
    failing = NEVER;
    return 2 * all;
}

int main(int argc, char **argv) {
    const int64_t vocabularies = argc > 1 ? atoll(argv[1]) : 10;
    int64_t runs = 0;
    seed(argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
    for (int64_t i = 0; i < vocabularies; i++) runs += small();
    runs += large();
    runs += training();
    printf("memory: %lld runs with a failing allocation, no error\n", (long long)runs);
    return 0;
}
