/* runs.h: the runs of a text between ASCII white space and punctuation (bert.h), found 64 bytes at a time, and each
 * punctuation by itself: pieces with gaps between them. */
#ifndef FE_RUNS_H
#define FE_RUNS_H

#include <stdbool.h>

#include "piece.h"

enum {
    FE_RUNS = 512,
    FE_RUNS_ROOM = FE_RUNS + 128 /* a block of 64 bytes may bring so many more, written 64 at a time */
};

/* One bit for each of 64 bytes, lowest first. All others are white space. */
typedef struct fe_run_masks {
    uint64_t word, punctuation;
} fe_run_masks;

/* Texts on their way, one behind the other. Piece i is text + starts[i] up to text + ends[i]; there is one more start
 * than there are ends while a run goes on. */
typedef struct fe_runs {
    const uint8_t *text;       /* where counting starts */
    const uint8_t *base, *end; /* of the next block, and of the text */
    const uint8_t *readable;   /* up to where memory may be read */
    uint64_t word, punctuation; /* 1: so is the byte before base */
    int64_t started, ended;
    int32_t path;
    uint32_t starts[FE_RUNS_ROOM], ends[FE_RUNS_ROOM];
} fe_runs;

/* Starts where the first text does. Places up to the end of the last text fit 32 bits. */
void fe_runs_start(fe_runs *runs, int32_t path, const uint8_t *text, const uint8_t *readable);

/* Goes on with a text; the one before it is done. */
void fe_runs_next(fe_runs *runs, const uint8_t *p, const uint8_t *end);

/* Finds more pieces, until there are FE_RUNS or the text is done; then every one has an end. Returns whether it is. */
bool fe_runs_more(fe_runs *runs);

/* Forgets the pieces that have ended. */
void fe_runs_drop(fe_runs *runs);

/* The pieces that have ended. */
static inline fe_pieces fe_runs_pieces(const fe_runs *runs) {
    return (fe_pieces){runs->text, runs->starts, runs->ends, runs->ended};
}

/* The same for kinds of processors: fe_runs_more but for the end of the text. */
void fe_runs_plain(fe_runs *runs);
void fe_runs_neon(fe_runs *runs);
void fe_runs_avx2(fe_runs *runs);
void fe_runs_avx512(fe_runs *runs);

/* The ids of a text without added tokens, whose pieces are runs. */
fe_status fe_encode_runs(fe_encoder *e, const uint8_t *p, const uint8_t *end);

/* The texts of a job one behind the other, so that the pieces of short ones too come in batches. */
fe_status fe_stream_runs(fe_encoder *e, const fe_job *job, fe_out *out);

/* The pieces of one text, for tests. */
fe_status fe_split_runs(int32_t path, const uint8_t *utf8, int64_t size, int64_t *starts, int64_t *ends,
                        int64_t capacity, int64_t *count);

#endif
