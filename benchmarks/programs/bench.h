/* SPDX-License-Identifier: GPL-2.0-only */
/* The rows of lparbench.  Each does a fixed amount of work, told by a count, and returns a checksum
 * of its result that depends on nothing but that count.  Rows keep no static state that they change:
 * several may run at once in threads. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t row_fn(uint64_t count);

/* integer.c */
row_fn row_sieve, row_crc32, row_sha256, row_mix, row_quicksort, row_bytecode;
/* float.c */
row_fn row_matmul, row_matmul_vsx, row_nbody, row_fft;
/* memory.c */
row_fn row_memcpy, row_chase, row_faults;
/* system.c */
row_fn row_syscall, row_pipe, row_forkexec, row_switch;

struct crc { uint32_t table[256]; };
void crc_init(struct crc *crc);
uint32_t crc_update(const struct crc *crc, uint32_t sum, const void *data, size_t length);

_Noreturn void die(const char *what);
void *allocate(size_t size);

/* A step of xorshift64*: the same numbers on every machine. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Mix a value into a checksum. */
static inline uint64_t fold(uint64_t sum, uint64_t value)
{
    return ((sum << 7 | sum >> 57) ^ value) * UINT64_C(0x9e3779b97f4a7c15);
}

#endif
