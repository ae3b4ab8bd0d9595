/* scan.c: choosing how pieces are found, and the way around what masks cannot say. */
#include "scan.h"

#include <string.h>

#include "mem.h"
#include "split.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Compilers' names for lzcnt differ, or are missing; without it its code means something else. */
static bool has_lzcnt(void) {
    unsigned a, b, c = 0, d;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && c >> 5 & 1;
}
#endif

int32_t fe_scan_path(int32_t path) {
    int32_t best = FE_PATH_PLAIN;
#if defined(__AARCH64EL__) /* NEON is part of it */
    best = FE_PATH_NEON;
#elif defined(__x86_64__)
    if (path == FE_PATH_NEON) return FE_PATH_PLAIN; /* below the others, but of another kind */
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
        __builtin_cpu_supports("popcnt") && has_lzcnt())
        best = FE_PATH_AVX2;
    if (best == FE_PATH_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
        __builtin_cpu_supports("avx512vbmi2"))
        best = FE_PATH_AVX512;
#endif
    return path < best ? path : best;
}

void fe_scan_start(fe_scan *scan, int32_t pattern, int32_t path, const uint8_t *text, const uint8_t *readable,
                   uint32_t *cuts) {
    scan->text = text;
    scan->readable = readable;
    scan->cuts = cuts;
    scan->count = 1;
    scan->pattern = pattern;
    scan->path = path;
    scan->done = true;
    cuts[0] = 0;
}

void fe_scan_next(fe_scan *scan, const uint8_t *end) {
    scan->base = scan->text + scan->cuts[scan->count - 1];
    scan->end = end;
    scan->fresh = true;
    scan->done = scan->pattern == FE_PATTERN_NONE;
    if (scan->done)
        scan->cuts[scan->count++] = (uint32_t)(end - scan->text);
    else
        memset(&scan->carry, 0, sizeof scan->carry);
}

/* 1 if the last cut given out may still be taken back. */
static int64_t tentative(const fe_scan *scan) { return !scan->done && scan->carry.open_blank && !scan->carry.pending; }

void fe_scan_slowly(fe_scan *scan, const uint8_t *past) {
    scan->count -= tentative(scan);
    const uint8_t *p = scan->text + scan->cuts[scan->count - 1];
    while (p < scan->end && p <= past && scan->count < FE_CUTS_ROOM - 1) {
        p = fe_split_next(scan->pattern, p, scan->end, false);
        scan->cuts[scan->count++] = (uint32_t)(p - scan->text);
    }
    scan->done = p == scan->end;
    scan->base = p;
    scan->fresh = true;
    memset(&scan->carry, 0, sizeof scan->carry);
}

int64_t fe_scan_more(fe_scan *scan) {
    if (!scan->done) {
        switch (scan->path) {
#if defined(__x86_64__)
        case FE_PATH_AVX512: fe_scan_avx512(scan); break;
        case FE_PATH_AVX2: fe_scan_avx2(scan); break;
#elif defined(__AARCH64EL__)
        case FE_PATH_NEON: fe_scan_neon(scan); break;
#endif
        case FE_PATH_SCALAR: fe_scan_slowly(scan, scan->end); break;
        default: fe_scan_plain(scan);
        }
    }
    FE_ASSERT(scan->count >= 1 && scan->count <= FE_CUTS_ROOM);
    for (int64_t i = 1; i < scan->count; i++) FE_ASSERT(scan->cuts[i - 1] < scan->cuts[i]);
    return scan->count - 1 - tentative(scan);
}

void fe_scan_drop(fe_scan *scan, int64_t pieces) {
    scan->count -= pieces;
    memmove(scan->cuts, scan->cuts + pieces, (size_t)scan->count * sizeof *scan->cuts);
}

fe_status fe_split(int32_t pattern, int32_t path, const uint8_t *utf8, int64_t size, int64_t *ends, int64_t capacity,
                   int64_t *count) {
    fe_scan scan;
    uint32_t cuts[FE_CUTS_ROOM];
    *count = 0;
    if (pattern < FE_PATTERN_NONE || pattern >= FE_PATTERN_PROGRAM) return FE_BAD_MODEL;
    if (size >= INT32_MAX) return FE_TOO_LONG;
    if (size <= 0) return FE_OK;
    fe_scan_start(&scan, pattern, fe_scan_path(path), utf8, utf8 + size, cuts);
    fe_scan_next(&scan, utf8 + size);
    for (bool more = true; more;) {
        const int64_t pieces = fe_scan_more(&scan);
        if (pieces > capacity - *count) return FE_FULL;
        for (int64_t i = 0; i < pieces; i++) ends[(*count)++] = cuts[i + 1];
        fe_scan_drop(&scan, pieces);
        more = !scan.done;
    }
    return FE_OK;
}
