/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory rows: bandwidth, latency beyond the TLB's reach, and the kernel's way to fill a page. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Copy 4 MiB back and forth, count times, by the C library's memcpy. */
uint64_t row_memcpy(uint64_t count)
{
    enum { LENGTH = 4 << 20 };
    uint64_t *one = allocate(LENGTH), *other = allocate(LENGTH), seed = 9, sum = 0;
    for (size_t n = 0; n < LENGTH / sizeof *one; n++)
        one[n] = next_random(&seed);
    for (uint64_t round = 0; round < count; round++) {
        memcpy(other, one, LENGTH);
        other[round % 4096] += round;
        memcpy(one, other, LENGTH);
    }
    for (size_t n = 0; n < LENGTH / sizeof *one; n += 511)
        sum = fold(sum, one[n]);
    free(one);
    free(other);
    return sum;
}

/* Follow a cycle through 32 MiB that jumps about, count millions of steps: the full period of a linear
 * congruential generator, of which each element holds its successor. */
uint64_t row_chase(uint64_t count)
{
    enum { LENGTH = 1 << 22, FACTOR = 1664525, ADD = 1013904223 };
    uint64_t *next = allocate(LENGTH * sizeof *next), at = 0;
    for (uint64_t n = 0; n < LENGTH; n++)
        next[n] = (n * FACTOR + ADD) % LENGTH;
    for (uint64_t n = 0; n < count * 1000000; n++)
        at = next[at];
    free(next);
    return at;
}

/* Map, touch every page of, and unmap 16 MiB, count times. */
uint64_t row_faults(uint64_t count)
{
    enum { LENGTH = 16 << 20, STEP = 65536 };
    uint64_t sum = 0;
    for (uint64_t round = 0; round < count; round++) {
        unsigned char *data = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED)
            die("mmap");
        madvise(data, LENGTH, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < LENGTH; at += STEP)
            data[at] = (unsigned char)(at >> 16);
        for (size_t at = 0; at < LENGTH; at += STEP * 7)
            sum = fold(sum, data[at]);
        munmap(data, LENGTH);
    }
    return sum;
}
