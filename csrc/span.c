/* span.c: where tokens stand in their texts, from their ids alone: one sum along each row, a few instructions an id. */
#include "fe.h"

static int32_t most(int32_t a, int32_t b) {
    return a > b ? a : b;
}

fe_status fe_spans(const fe_span_job *job, const int32_t *ids, int64_t count, const int64_t *offsets, int64_t rows,
                   int32_t *spans, int64_t *sums) {
    int64_t i = offsets[0];
    if (i < 0)
        return FE_BAD_ROWS;
    for (int64_t row = 0; row < rows; row++) {
        const int64_t end = offsets[row + 1];
        if (end < i || end > count)
            return FE_BAD_ROWS;
        /* A row has fewer than 2^31 characters, as its text has; what other ids add up to may wrap around. */
        uint32_t at = 0;
        int32_t least = -1; /* where the segment begins that has something put before it; -1: there is none */
        int inside = 0;     /* of a segment */
        for (; i < end; i++) {
            const int32_t id = ids[i];
            if (id < 0 || id >= job->ids)
                return FE_BAD_ID;
            const uint32_t width = job->widths[id];
            if (job->prepends) {
                const int added = job->added && job->added[id];
                if (added) {
                    least = -1;
                } else if (!inside) {
                    least = (int32_t)at--;
                }
                inside = !added;
            }
            const int32_t start = (int32_t)(at - (width & 1));
            at += width >> 1;
            const int32_t stop = (int32_t)at;
            spans[2 * i] = least < 0 ? start : most(start, least);
            spans[2 * i + 1] = least < 0 ? stop : most(stop, (int32_t)((uint32_t)least + 1));
        }
        sums[row] = (int32_t)at;
    }
    return FE_OK;
}

fe_status fe_trim_spans(const fe_span_job *job, int32_t keeps_first, const int32_t *ids, int64_t count,
                        const uint8_t *firsts, int32_t *spans) {
    for (int64_t i = 0; i < count; i++) {
        const int32_t id = ids[i];
        if (id < 0 || id >= job->ids)
            return FE_BAD_ID;
        int32_t before = job->spaces[2 * (int64_t)id], behind = job->spaces[2 * (int64_t)id + 1];
        if ((before | behind) == 0)
            continue;
        int32_t start = spans[2 * i], stop = spans[2 * i + 1];
        if (before == 1 && keeps_first && (firsts[i] || start == 0)) // may have been put there; one of several was not
            before = 0;
        if (before > 0)
            start = start > stop - before ? stop : start + before;
        if (behind > 0 && stop >= behind)
            stop = most(stop - behind, start);
        spans[2 * i] = start;
        spans[2 * i + 1] = stop;
    }
    return FE_OK;
}
