/* fuzz.c: random vocabularies, texts and files, under ASan and UBSan.
 *
 * Each round makes a small vocabulary (sometimes a broken one) and holds what the library answers against the slow
 * law of law.c, and against itself: every way to call it must give the same. Usage: fuzz SECONDS SEED.
 */
#define _POSIX_C_SOURCE 199309L
#include <time.h>

#include "fuzz.h"

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* True if the vocabulary was refused. */
static bool one_round(void) {
    static vocabulary v;
    random_vocabulary(&v);
    if (one_in(8)) break_vocabulary(&v);
    fe_tokenizer *tokenizer;
    int64_t twice;
    const fe_status status = fe_tokenizer_new(&v.model, (int32_t)rnd(FE_PATH_BEST + 1), &tokenizer, &twice);
    CHECK((status == FE_OK) == (tokenizer != NULL));
    CHECK(v.broken ? status == FE_BAD_MODEL || status == FE_TWICE : status == FE_OK);
    CHECK((status == FE_TWICE) == (twice >= 0));
    if (tokenizer) {
        fe_cache *cache;
        /* small, so that pieces are forgotten */
        CHECK(fe_cache_new(one_in(2) ? 0 : rnd(1 << 20), rnd(3), &cache) == FE_OK);
        for (int i = 0; i < 4; i++) check_encoding(&v, tokenizer, cache);
        check_lanes(tokenizer);
        check_decoding(&v, tokenizer);
        check_places(&v, tokenizer);
        if (one_in(4)) check_image(&v, tokenizer);
        fe_cache_free(cache);
    }
    fe_tokenizer_free(tokenizer);
    return status != FE_OK;
}

int main(int argc, char **argv) {
    const double seconds = argc > 1 ? atof(argv[1]) : 10, start = now();
    const uint64_t number = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    seed(number);
    unsigned long long rounds = 0, refused = 0;
    do {
        refused += one_round();
        check_pieces();
        check_programs();
        check_ranks();
        check_merges();
        check_spans();
        check_ends();
        check_training();
        rounds++;
    } while (now() - start < seconds);
    printf("fuzz: seed %llu, %llu rounds, %llu broken vocabularies refused, no error\n", (unsigned long long)number,
           rounds, refused);
    return 0;
}
