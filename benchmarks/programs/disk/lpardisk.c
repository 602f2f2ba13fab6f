// SPDX-License-Identifier: GPL-2.0-only
// Reads and writes of a disk past the guest's page cache, sequential or at random places, by some
// threads at a time:  lpardisk read|write|randread|randwrite FILE BLOCK COUNT THREADS
// Prints the sum of what was read, which must be the same on every machine.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
	pthread_t thread;
	int fd, number, threads, random, writes;
	long block, count, blocks;
	uint64_t sum;
	int error;
};

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t summed(const uint64_t *words, long size)
{
	uint64_t sum = 0;
	for (long i = 0; i < size / 8; i += 64)
		sum = sum * 31 + words[i];
	return sum;
}

static void *work(void *given)
{
	struct job *job = given;
	uint64_t state = 88172645463325252u + job->number, *buffer;
	if (posix_memalign((void **)&buffer, 65536, job->block)) {
		job->error = ENOMEM;
		return NULL;
	}
	memset(buffer, 0x5a, job->block);
	for (long i = job->number; i < job->count; i += job->threads) {
		long at = (job->random ? (long)(next(&state) % job->blocks) : i % job->blocks) * job->block;
		long done = job->writes ? pwrite(job->fd, buffer, job->block, at) : pread(job->fd, buffer, job->block, at);
		if (done != job->block) {
			job->error = done < 0 ? errno : EIO;
			break;
		}
		job->sum += job->writes ? 1 : summed(buffer, job->block);
	}
	free(buffer);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	int writes = strstr(argv[1], "write") != NULL, random = !strncmp(argv[1], "rand", 4), threads = atoi(argv[5]);
	int fd = open(argv[2], (writes ? O_RDWR : O_RDONLY) | O_DIRECT);
	long size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END), block = atol(argv[3]);
	struct job jobs[64] = { 0 };
	uint64_t sum = 0;
	if (size <= 0 || threads < 1 || threads > 64 || block < 512) {
		perror(argv[2]);
		return 1;
	}
	for (int i = 0; i < threads; i++) {
		jobs[i] = (struct job){ .fd = fd, .number = i, .threads = threads, .random = random, .writes = writes,
			.block = block, .count = atol(argv[4]), .blocks = size / block };
		pthread_create(&jobs[i].thread, NULL, work, &jobs[i]);
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(jobs[i].thread, NULL);
		sum += jobs[i].sum;
		if (jobs[i].error) {
			fprintf(stderr, "%s: %s\n", argv[2], strerror(jobs[i].error));
			return 1;
		}
	}
	if (writes && fsync(fd)) {
		perror("fsync");
		return 1;
	}
	printf("%016lx\n", (unsigned long)sum);
	return 0;
}
