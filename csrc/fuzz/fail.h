/* fail.h: in front of every file (gcc -include): allocations go through memory.c, which makes some of them fail. */
#ifndef FAIL_H
#define FAIL_H

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

void *fail_malloc(size_t size);
void *fail_calloc(size_t count, size_t size);
void *fail_realloc(void *old, size_t size);
void *fail_aligned(size_t alignment, size_t size);
void *fail_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);

#define malloc fail_malloc
#define calloc fail_calloc
#define realloc fail_realloc
#define aligned_alloc fail_aligned
#define mmap fail_mmap

#endif
