/* SPDX-License-Identifier: GPL-2.0-only */
/* Fixed-point rows: loops of loads, stores, shifts, compares, branches and calls. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

/* Primes below 2^20 by Eratosthenes, count times. */
uint64_t row_sieve(uint64_t count)
{
    enum { LIMIT = 1 << 20 };
    unsigned char *composite = allocate(LIMIT);
    uint64_t sum = 0;
    for (uint64_t round = 0; round < count; round++) {
        memset(composite, 0, LIMIT);
        uint64_t primes = 0, last = 0;
        for (uint32_t n = 2; n < LIMIT; n++) {
            if (composite[n])
                continue;
            primes++;
            last = n;
            for (uint64_t multiple = (uint64_t)n * n; multiple < LIMIT; multiple += n)
                composite[multiple] = 1;
        }
        sum = fold(sum, primes << 32 | last);
    }
    free(composite);
    return sum;
}

void crc_init(struct crc *crc)
{
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t value = n;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
        crc->table[n] = value;
    }
}

uint32_t crc_update(const struct crc *crc, uint32_t sum, const void *data, size_t length)
{
    const unsigned char *byte = data, *end = byte + length;
    sum = ~sum;
    while (byte < end)
        sum = crc->table[(sum ^ *byte++) & 255] ^ sum >> 8;
    return ~sum;
}

/* CRC-32 of 1 MiB by a table of bytes, count times. */
uint64_t row_crc32(uint64_t count)
{
    enum { LENGTH = 1 << 20 };
    struct crc crc;
    uint64_t seed = 1;
    uint32_t sum = 0;
    uint64_t *data = allocate(LENGTH);
    for (size_t n = 0; n < LENGTH / sizeof *data; n++)
        data[n] = next_random(&seed);
    crc_init(&crc);
    for (uint64_t round = 0; round < count; round++)
        sum = crc_update(&crc, sum, data, LENGTH);
    free(data);
    return sum;
}

/* FIPS 180-4, section 4.2.2. */
static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t right(uint32_t value, int count)
{
    return value >> count | value << (32 - count);
}

static void sha_schedule(uint32_t w[64], const uint32_t block[16])
{
    for (int t = 0; t < 16; t++)
        w[t] = __builtin_bswap32(block[t]);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = right(w[t - 15], 7) ^ right(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = right(w[t - 2], 17) ^ right(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
}

static void sha_block(uint32_t h[8], const uint32_t block[16])
{
    uint32_t w[64], v[8];
    sha_schedule(w, block);
    memcpy(v, h, sizeof v);
    for (int t = 0; t < 64; t++) {
        uint32_t s1 = right(v[4], 6) ^ right(v[4], 11) ^ right(v[4], 25);
        uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha_k[t] + w[t];
        uint32_t s0 = right(v[0], 2) ^ right(v[0], 13) ^ right(v[0], 22);
        uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int n = 0; n < 8; n++)
        h[n] += v[n];
}

/* The compression function of SHA-256 over count KiB. */
uint64_t row_sha256(uint64_t count)
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint32_t data[256];
    uint64_t seed = 2;
    for (int n = 0; n < 256; n++)
        data[n] = (uint32_t)next_random(&seed);
    for (uint64_t round = 0; round < count; round++)
        for (int n = 0; n < 256; n += 16)
            sha_block(h, data + n);
    return (uint64_t)h[0] << 32 | h[1];
}

/* What Dhrystone is made of: records, pointers, strings, enumerations, small calls. */
struct record {
    struct record *next;
    int kind;
    long number;
    char name[32];
};

static int __attribute__((noinline)) compare_names(const char *one, const char *other)
{
    while (*one && *one == *other) {
        one++;
        other++;
    }
    return (unsigned char)*one - (unsigned char)*other;
}

static void __attribute__((noinline)) copy_record(struct record *to, const struct record *from)
{
    *to = *from;
    to->number += from->kind;
}

static long __attribute__((noinline)) step(struct record *record, long n)
{
    switch (record->kind) {
    case 0: record->number += n; break;
    case 1: record->number ^= n << 3; break;
    case 2: record->number -= record->number / 7; break;
    case 3: record->number = record->number * 5 + (n & 15); break;
    default: record->number = -record->number; break;
    }
    record->name[n & 15] = (char)('a' + (record->number & 15));
    return record->number;
}

/* count thousands of rounds of the mix. */
uint64_t row_mix(uint64_t count)
{
    struct record records[8], scratch;
    uint64_t sum = 0;
    for (int n = 0; n < 8; n++) {
        memset(&records[n], 0, sizeof records[n]);
        memcpy(records[n].name, "a record of a fixed length here", 32);
        records[n].next = &records[(n + 3) & 7];
        records[n].kind = n % 5;
    }
    struct record *record = records;
    for (uint64_t n = 0; n < count * 1000; n++) {
        long value = step(record, (long)n);
        copy_record(&scratch, record);
        if (compare_names(scratch.name, record->next->name) > 0)
            record->next->number += scratch.number & 0xff;
        sum += (uint64_t)value;
        record = value & 1 ? record->next : record->next->next;
    }
    return fold(sum, (uint64_t)record->number);
}

static void quicksort(uint32_t *first, uint32_t *last)
{
    while (last - first > 12) {
        uint32_t pivot = first[(last - first) / 2];
        uint32_t *low = first, *high = last;
        while (low <= high) {
            while (*low < pivot)
                low++;
            while (*high > pivot)
                high--;
            if (low <= high) {
                uint32_t kept = *low;
                *low++ = *high;
                *high-- = kept;
            }
        }
        if (high - first < last - low) {
            quicksort(first, high);
            first = low;
        } else {
            quicksort(low, last);
            last = high;
        }
    }
    for (uint32_t *at = first + 1; at <= last; at++) {
        uint32_t value = *at, *hole = at;
        for (; hole > first && hole[-1] > value; hole--)
            *hole = hole[-1];
        *hole = value;
    }
}

/* Sort 64 Ki random words, count times. */
uint64_t row_quicksort(uint64_t count)
{
    enum { LENGTH = 1 << 16 };
    uint32_t *data = allocate(LENGTH * sizeof *data);
    uint64_t seed = 3, sum = 0;
    for (uint64_t round = 0; round < count; round++) {
        for (size_t n = 0; n < LENGTH; n++)
            data[n] = (uint32_t)next_random(&seed);
        quicksort(data, data + LENGTH - 1);
        for (size_t n = 0; n < LENGTH; n += 1024)
            sum = fold(sum, data[n]);
    }
    free(data);
    return sum;
}

/* An interpreter: one byte of operation, then operands; r is a file of 16 registers. */
enum op { ADD, SUB, MUL, XOR, LOADI, ROTATE, STORE, LOAD, LOOP, END };

static const unsigned char program[] = {
    LOADI, 0, 0,    /* r0: sum */
    LOADI, 1, 250,  /* r1: rounds */
    LOADI, 2, 3,    /* r2, r3: working values */
    LOADI, 3, 17,
    ADD, 2, 3,      /* 12: the loop */
    MUL, 3, 2,
    ROTATE, 3, 13,
    XOR, 2, 3,
    STORE, 2, 1,
    SUB, 3, 1,
    LOAD, 4, 2,
    ADD, 0, 4,
    ADD, 0, 2,
    LOOP, 1, 12,
    END, 0, 0,
};

static uint64_t __attribute__((noinline)) interpret(const unsigned char *code, uint64_t *memory, uint64_t start)
{
    uint64_t r[16] = {0};
    const unsigned char *at = code;
    for (;; at += 3) {
        uint64_t *a = &r[at[1] & 15], *b = &r[at[2] & 15];
        switch ((enum op)at[0]) {
        case ADD: *a += *b; break;
        case SUB: *a -= *b; break;
        case MUL: *a *= *b | 1; break;
        case XOR: *a ^= *b; break;
        case LOADI: *a = at[2] + start; break;
        case ROTATE: *a = *a << at[2] | *a >> (64 - at[2]); break;
        case STORE: memory[*b & 255] = *a; break;
        case LOAD: *a = memory[*b & 255]; break;
        case LOOP:
            if (--*a & 255)
                at = code + at[2] - 3;
            break;
        case END: return r[0];
        }
    }
}

/* count thousands of runs of the program, about 2500 operations each. */
uint64_t row_bytecode(uint64_t count)
{
    uint64_t memory[256] = {0}, sum = 0;
    for (uint64_t n = 0; n < count * 1000; n++)
        sum = fold(sum, interpret(program, memory, n & 3));
    return sum;
}
