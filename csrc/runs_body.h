/* runs_body.h: how runs are found in 64 bytes at once; included once for each kind of processor, behind scan_body.h.
 *
 * The includer defines RUNS, the function's name; RUN_MASKS(p, m), which gives the masks of 64 bytes at p; and what
 * scan_body.h asks for. A piece begins at each punctuation, and at a byte of a word that has none before it; it ends
 * behind each punctuation, and where a word does. Ends are those of the byte before, so none needs the next block. */
TARGET void RUNS(fe_runs *runs) {
    const uint8_t *p = runs->base;
    uint64_t word = runs->word, punctuation = runs->punctuation;
    int64_t started = runs->started, ended = runs->ended;
    for (; p < runs->end && started < FE_RUNS && ended < FE_RUNS; p += 64) {
        const int64_t left = runs->end - p;
        const uint8_t *from = p;
        uint8_t copy[64];
        fe_run_masks m;
        if (runs->readable - p < 64) {
            memset(copy, ' ', sizeof copy);
            memcpy(copy, p, (size_t)left);
            from = copy;
        }
        RUN_MASKS(from, &m);
        if (left < 64) { /* behind the text is white space */
            const uint64_t own = (UINT64_C(1) << left) - 1;
            m.word &= own;
            m.punctuation &= own;
        }
        const uint64_t begins = (m.word & ~(m.word << 1 | word)) | m.punctuation;
        const uint64_t stops = ((m.word << 1 | word) & ~m.word) | (m.punctuation << 1 | punctuation);
        const uint32_t base = (uint32_t)(p - runs->text);
        FLATTEN(runs->starts + started, begins, base);
        FLATTEN(runs->ends + ended, stops, base);
        started += __builtin_popcountll(begins);
        ended += __builtin_popcountll(stops);
        word = m.word >> 63;
        punctuation = m.punctuation >> 63;
    }
    runs->base = p;
    runs->word = word;
    runs->punctuation = punctuation;
    runs->started = started;
    runs->ended = ended;
}
