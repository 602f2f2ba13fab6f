/* SPDX-License-Identifier: GPL-2.0-only */
/* System rows: entries to the kernel, wake-ups, address spaces that come, go and take turns. */
#include "bench.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* count thousands of getppid, the cheapest of calls. */
uint64_t row_syscall(uint64_t count)
{
    uint64_t same = 0;
    long parent = syscall(SYS_getppid);
    for (uint64_t n = 0; n < count * 1000; n++)
        same += (uint64_t)(syscall(SYS_getppid) == parent);
    return same;
}

static uint32_t take(int fd)
{
    uint32_t value;
    if (read(fd, &value, sizeof value) != sizeof value)
        die("read");
    return value;
}

static void give(int fd, uint32_t value)
{
    if (write(fd, &value, sizeof value) != sizeof value)
        die("write");
}

static pid_t start(void)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    return pid;
}

static void reap(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || status)
        die("child");
}

/* A word to a child and back, count thousand times. */
uint64_t row_pipe(uint64_t count)
{
    int to[2], from[2];
    uint64_t sum = 0;
    if (pipe(to) || pipe(from))
        die("pipe");
    pid_t child = start();
    if (!child) {
        for (uint64_t n = 0; n < count * 1000; n++)
            give(from[1], take(to[0]) * 3 + 1);
        _exit(0);
    }
    for (uint64_t n = 0; n < count * 1000; n++) {
        give(to[1], (uint32_t)n);
        sum = fold(sum, take(from[0]));
    }
    reap(child);
    close(to[0]), close(to[1]), close(from[0]), close(from[1]);
    return sum;
}

/* fork, exec of this very program, exit, wait: count times. */
uint64_t row_forkexec(uint64_t count)
{
    uint64_t done = 0;
    for (uint64_t n = 0; n < count; n++) {
        pid_t child = start();
        if (!child) {
            execl("/proc/self/exe", "lparbench", "nothing", (char *)NULL);
            _exit(127);
        }
        reap(child);
        done++;
    }
    return done;
}

/* A token round a ring of eight processes, count thousand times; each touches memory of its own. */
uint64_t row_switch(uint64_t count)
{
    enum { RING = 8, PAGES = 16, PAGE = 65536 };
    int link[RING][2];
    pid_t child[RING];
    for (int n = 0; n < RING; n++)
        if (pipe(link[n]))
            die("pipe");
    for (int n = 1; n < RING; n++) {
        child[n] = start();
        if (child[n])
            continue;
        unsigned char *own = allocate(PAGES * PAGE);
        for (uint64_t round = 0; round < count * 1000; round++) {
            uint32_t token = take(link[n - 1][0]);
            own[token % PAGES * PAGE] += 1;
            give(link[n][1], token * 5 + own[token % PAGES * PAGE]);
        }
        _exit(0);
    }
    uint64_t sum = 0;
    for (uint64_t round = 0; round < count * 1000; round++) {
        give(link[0][1], (uint32_t)round);
        sum = fold(sum, take(link[RING - 1][0]));
    }
    for (int n = 1; n < RING; n++)
        reap(child[n]);
    for (int n = 0; n < RING; n++)
        close(link[n][0]), close(link[n][1]);
    return sum;
}
