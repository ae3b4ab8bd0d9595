/* mem.h: memory whose size cannot wrap around, and what must hold. */
#ifndef FE_MEM_H
#define FE_MEM_H

#include <stdbool.h>
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

/* Moves *memory, which points at *room elements of `size` bytes, to where there are at least `least`, and half as many
 * more. False where there is not so much memory; then it is as it was. */
static inline bool fe_grow(void *memory, int64_t *room, int64_t least, size_t size) {
    if (least <= *room) return true;
    const uint64_t more = (uint64_t)least + (uint64_t)least / 2 + 256;
    void *old;
    memcpy(&old, memory, sizeof old); /* a pointer of another type, which is no void * by C's rules */
    void *const grown = more < PTRDIFF_MAX / size ? realloc(old, (size_t)more * size) : NULL;
    if (!grown) return false;
    memcpy(memory, &grown, sizeof grown);
    *room = (int64_t)more;
    return true;
}

#endif
