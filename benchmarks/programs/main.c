/* SPDX-License-Identifier: GPL-2.0-only */
/* lparbench [-j PROCESSES | -t THREADS] ROW [COUNT]
 *     do a row's work once in each process or thread, all at the same time;
 * lparbench [-c ROOT] run COMMAND [ARGUMENT...]
 *     run a program with nothing to read, in a changed root where told;
 * lparbench cat FILE...
 *     for programs that cannot write to a pipe;
 * lparbench list
 *     the rows and their counts.
 * The one line that a measurement prints:
 *     lparbench row=NAME jobs=N count=N seconds=S sum=HEX
 * with S by CLOCK_MONOTONIC and the sum of the row's result (of what the program prints, its CRC-32). */
#include "bench.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct row {
    const char *name;
    row_fn *fn;
    uint64_t count; /* a second or two of QEMU's time on a machine of 2024 */
};

static const struct row rows[] = {
    {"sieve", row_sieve, 120},         {"crc32", row_crc32, 240},
    {"sha256", row_sha256, 48000},     {"mix", row_mix, 21000},
    {"quicksort", row_quicksort, 100}, {"bytecode", row_bytecode, 24},
    {"matmul", row_matmul, 40},        {"matmul-vsx", row_matmul_vsx, 40},
    {"nbody", row_nbody, 240},         {"fft", row_fft, 180},
    {"memcpy", row_memcpy, 300},       {"chase", row_chase, 4},
    {"faults", row_faults, 150},       {"syscall", row_syscall, 1000},
    {"pipe", row_pipe, 8},             {"forkexec", row_forkexec, 400},
    {"switch", row_switch, 2},
};

enum { ROWS = sizeof rows / sizeof *rows, JOBS = 64 };

_Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

void *allocate(size_t size)
{
    void *memory = malloc(size);
    if (!memory)
        die("malloc");
    memset(memory, 0, size);
    return memory;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

struct job {
    const struct row *row;
    uint64_t count, sum;
    pthread_t thread;
    pid_t process;
};

static void *work(void *data)
{
    struct job *job = data;
    job->sum = job->row->fn(job->count);
    return NULL;
}

static void start_job(struct job *job, int threads)
{
    if (threads) {
        if (pthread_create(&job->thread, NULL, work, job))
            die("pthread_create");
        return;
    }
    pid_t process = fork(); /* both see *job: the child must not write its 0 there */
    if (process < 0)
        die("fork");
    if (!process) {
        work(job);
        _exit(0);
    }
    job->process = process;
}

static void end_job(struct job *job, int threads)
{
    int status = 0;
    if (threads)
        pthread_join(job->thread, NULL);
    else if (waitpid(job->process, &status, 0) < 0 || status)
        die("a process of the row failed");
}

static void measure(const struct row *row, uint64_t count, int jobs, int threads)
{
    struct job *job = mmap(NULL, JOBS * sizeof *job, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (job == MAP_FAILED)
        die("mmap");
    for (int n = 0; n < jobs; n++)
        job[n] = (struct job){.row = row, .count = count};
    double begin = now();
    for (int n = 0; n < jobs; n++)
        start_job(&job[n], threads);
    for (int n = 0; n < jobs; n++)
        end_job(&job[n], threads);
    double seconds = now() - begin;
    for (int n = 1; n < jobs; n++)
        if (job[n].sum != job[0].sum) {
            fprintf(stderr, "lparbench: %s: jobs differ\n", row->name);
            exit(1);
        }
    printf("lparbench row=%s jobs=%d count=%llu seconds=%.6f sum=%llx\n", row->name, jobs,
           (unsigned long long)count, seconds, (unsigned long long)job[0].sum);
}

static uint64_t sum_of(int fd)
{
    static unsigned char data[65536];
    struct crc crc;
    uint32_t sum = 0;
    crc_init(&crc);
    for (ssize_t got; (got = read(fd, data, sizeof data)) > 0;)
        sum = crc_update(&crc, sum, data, (size_t)got);
    return sum;
}

static _Noreturn void become(const char *root, char **command, int output)
{
    int input = open("/dev/null", O_RDONLY);
    if (input < 0)
        die("/dev/null");
    if (root && (chroot(root) || chdir("/")))
        die(root);
    dup2(input, 0);
    dup2(output, 1);
    execv(command[0], command);
    die(command[0]);
}

/* The output's CRC is made of a file's bytes after the end: the clock covers the program alone. */
static int run(const char *root, char **command)
{
    char name[] = "/tmp/lparbench.XXXXXX";
    int status, output = mkstemp(name);
    if (output < 0)
        die(name);
    unlink(name);
    double begin = now();
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (!child)
        become(root, command, output);
    waitpid(child, &status, 0);
    double seconds = now() - begin;
    if (status) {
        fprintf(stderr, "lparbench: %s: status %x\n", command[0], status);
        return 1;
    }
    long long bytes = lseek(output, 0, SEEK_END);
    lseek(output, 0, SEEK_SET);
    printf("lparbench row=run jobs=1 count=%lld seconds=%.6f sum=%llx\n", bytes, seconds,
           (unsigned long long)sum_of(output));
    return 0;
}

static int cat(char **names)
{
    static char data[65536];
    for (; *names; names++) {
        int fd = open(*names, O_RDONLY);
        if (fd < 0)
            die(*names);
        for (ssize_t got; (got = read(fd, data, sizeof data)) > 0;)
            if (write(1, data, (size_t)got) != got)
                die("write");
        close(fd);
    }
    return 0;
}

static int list(void)
{
    for (int n = 0; n < ROWS; n++)
        printf("%s %llu\n", rows[n].name, (unsigned long long)rows[n].count);
    return 0;
}

static const struct row *find(const char *name)
{
    for (int n = 0; n < ROWS; n++)
        if (!strcmp(rows[n].name, name))
            return &rows[n];
    fprintf(stderr, "lparbench: no row %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    int jobs = 1, threads = 0;
    const char *root = NULL;
    for (int option; (option = getopt(argc, argv, "+j:t:c:")) != -1;) {
        if (option == '?')
            return 2;
        if (option == 'c')
            root = optarg;
        else
            jobs = atoi(optarg), threads = option == 't';
    }
    argv += optind;
    if (!*argv || jobs < 1 || jobs > JOBS) {
        fprintf(stderr, "usage: lparbench [-j PROCESSES | -t THREADS] ROW [COUNT] | [-c ROOT] run COMMAND...\n");
        return 2;
    }
    if (!strcmp(*argv, "nothing"))
        return 0;
    if (!strcmp(*argv, "list"))
        return list();
    if (!strcmp(*argv, "cat"))
        return cat(argv + 1);
    if (!strcmp(*argv, "run"))
        return run(root, argv + 1);
    const struct row *row = find(*argv);
    measure(row, argv[1] ? strtoull(argv[1], NULL, 0) : row->count, jobs, threads);
    return 0;
}
