/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code that changes while it runs: `changing jit`, `changing patch`, `changing bpf`.  Prints "right N" where
 * N counts what was checked, or what was wrong.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

typedef uint64_t (*code)(uint64_t);

static void die(const char *what, uint64_t got, uint64_t wanted)
{
    printf("wrong: %s: %llu in place of %llu\n", what, (unsigned long long)got, (unsigned long long)wanted);
    exit(1);
}

/* Make what was stored at `at` visible to instruction fetches, as the architecture asks for. */
static void synchronize(void *at)
{
    __asm__ volatile("dcbst 0,%0; sync; icbi 0,%0; sync; isync" : : "r"(at) : "memory");
}

static uint32_t *code_page(void)
{
    void *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        die("mmap", 0, 1);
    return page;
}

static uint32_t addi(int to, int from, int value) { return 14u << 26 | to << 21 | from << 16 | (value & 0xffff); }
static const uint32_t BLR = 0x4e800020, MTCTR_R3 = 0x7c6903a6, BDNZ_BACK = 0x4200fffc;

/* sum: li 4,0; mtctr 3; 1: addi 4,4,step; bdnz 1b; mr 3,4; blr */
static void write_sum(uint32_t *at, int step)
{
    const uint32_t words[] = { addi(4, 0, 0), MTCTR_R3, addi(4, 4, step), BDNZ_BACK, 0x7c832378, BLR };
    memcpy(at, words, sizeof words);
    synchronize(at);
}

/* A compiler at work: new functions over old ones, called at once; then one made hot before it changes. */
static uint64_t jit(void)
{
    uint32_t *page = code_page();
    uint64_t checked = 0;
    for (int n = 0; n < 20000; n++) {
        uint32_t *at = page + n % 1000 * 8;
        at[0] = addi(3, 3, n % 30000);
        at[1] = BLR;
        synchronize(at);
        uint64_t got = ((code)at)(5);
        if (got != 5u + n % 30000)
            die("a fresh function", got, 5 + n % 30000);
        checked++;
    }
    for (int step = 1; step < 40; step++) {
        write_sum(page, step);
        for (int n = 0; n < 40; n++) {
            uint64_t got = ((code)page)(20000 + n);
            if (got != (20000u + n) * step)
                die("a hot function", got, (20000 + n) * step);
            checked++;
        }
        page[2] = addi(4, 4, step + 1000); /* one instruction of the hot loop */
        synchronize(page + 2);
        uint64_t got = ((code)page)(1000);
        if (got != 1000u * (step + 1000))
            die("a patched hot function", got, 1000 * (step + 1000));
    }
    return checked;
}

static uint32_t *shared_code;
static volatile uint64_t announced, finished, looked;

/* The other thread looks at least once at each 200 values, whatever the host lets run. */
static void *patch_it(void *nothing)
{
    for (uint64_t value = 1; value <= 20000; value++) {
        shared_code[0] = addi(3, 0, (int)value);
        synchronize(shared_code);
        __atomic_store_n(&announced, value, __ATOMIC_RELEASE);
        if (value % 64 == 0)
            do usleep(50);
            while (looked < value / 200);
    }
    finished = 1;
    return nothing;
}

/* One thread patches the function that the other calls: what was announced is the oldest that may run. */
static uint64_t patch(void)
{
    uint64_t checked = 0, last = 0;
    pthread_t other;
    shared_code = code_page();
    shared_code[0] = addi(3, 0, 0);
    shared_code[1] = BLR;
    synchronize(shared_code);
    pthread_create(&other, NULL, patch_it, NULL);
    while (!finished || last != 20000) {
        uint64_t least = __atomic_load_n(&announced, __ATOMIC_ACQUIRE);
        __asm__ volatile("isync" : : : "memory");
        uint64_t got = ((code)shared_code)(0);
        uint64_t most = __atomic_load_n(&announced, __ATOMIC_ACQUIRE) + 1;
        if (got < least || got > most || got < last)
            die("code that another CPU patched", got, least);
        last = got;
        looked = ++checked;
    }
    pthread_join(other, NULL);
    return checked;
}

/* Filters that the kernel compiles: each gives a length computed from the packet. */
static uint64_t bpf(void)
{
    int pair[2];
    char packet[256], answer[256];
    uint64_t checked = 0;
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
        die("socketpair", 0, 1);
    for (unsigned n = 0; n < 300; n++) {
        struct sock_filter words[] = {
            BPF_STMT(BPF_LD | BPF_B | BPF_ABS, n % 200),
            BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3),
            BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 127),
            BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1 + n % 100),
            BPF_STMT(BPF_RET | BPF_A, 0),
        };
        struct sock_fprog program = { sizeof words / sizeof *words, words };
        if (setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program))
            die("SO_ATTACH_FILTER", 0, 1);
        for (unsigned round = 0; round < 20; round++) {
            for (unsigned at = 0; at < sizeof packet; at++)
                packet[at] = (char)(at * 7 + n + round);
            if (write(pair[0], packet, sizeof packet) != sizeof packet)
                die("write", 0, sizeof packet);
            uint64_t wanted = ((unsigned char)packet[n % 200] * 3 & 127) + 1 + n % 100;
            uint64_t got = (uint64_t)read(pair[1], answer, sizeof answer);
            if (got != wanted || memcmp(answer, packet, got))
                die("a packet's length", got, wanted);
            checked++;
        }
    }
    return checked;
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    uint64_t (*run)(void) = !strcmp(what, "jit") ? jit : !strcmp(what, "patch") ? patch : bpf;
    printf("right %llu\n", (unsigned long long)run());
    return 0;
}
