/* mem.h: memory whose size cannot wrap around, and what must hold. */
#ifndef FE_MEM_H
#define FE_MEM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What must hold whatever the input. Looked at where FE_CHECKED is defined, as the fuzzers do; free elsewhere. */
#ifdef FE_CHECKED
#define FE_ASSERT(condition) ((condition) ? (void)0 : abort())
#else
#define FE_ASSERT(condition) ((void)0)
#endif

/* Room for `count` elements of `size` bytes, at least one; NULL where there is not so much memory. */
static inline void *fe_new(uint64_t count, size_t size) {
    if (count >= PTRDIFF_MAX / size) return NULL;
    return malloc((size_t)count * size + !count * size);
}

/* The same, all zero. */
static inline void *fe_new_zeros(uint64_t count, size_t size) {
    return count < PTRDIFF_MAX / size ? calloc((size_t)count + !count, size) : NULL;
}

/* Zeros as well, from the start of a cache line on. */
static inline void *fe_new_lines(uint64_t size) {
    enum { LINE = 64 };
    if (size >= PTRDIFF_MAX - LINE) return NULL;
    const size_t whole = ((size_t)size / LINE + 1) * LINE;
    void *const memory = aligned_alloc(LINE, whole);
    return memory ? memset(memory, 0, whole) : NULL;
}

#endif
