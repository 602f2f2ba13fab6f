// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on one file against a copy in memory: exercise FILE MODEL SEED COUNT
 *
 * MODEL is a file elsewhere that holds what FILE must have; it is written anew at the end, so that the
 * next run, after a remount, begins by looking at what is on the disk.  Says what differs, status 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIMIT = 1 << 20, MOST = 1 << 17 };

static unsigned char model[LIMIT], buffer[LIMIT];
static size_t size;
static const char *name;
static int file, number;
static uint64_t state;

static uint32_t dice(uint32_t sides)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % sides);
}

static void fail(const char *what, size_t at)
{
	printf("operation %d: %s at %zu of %zu: %s\n", number, what, at, size, strerror(errno));
	exit(1);
}

static void compare(const unsigned char *got, size_t at, size_t length, const char *what)
{
	for (size_t i = 0; i < length; i++)
		if (got[i] != model[at + i]) {
			errno = 0;
			fail(what, at + i);
		}
}

static void check_size(void)
{
	struct stat status;
	if (fstat(file, &status) || (size_t)status.st_size != size)
		fail("size", status.st_size);
}

static void grow(size_t to)
{
	if (to > size) {
		memset(model + size, 0, to - size);
		size = to;
	}
}

static void do_read(size_t at, size_t length)
{
	length = at >= size ? 0 : length > size - at ? size - at : length;
	if (pread(file, buffer, length, at) != (ssize_t)length)
		fail("read", at);
	compare(buffer, at, length, "read");
}

static void fill(size_t length)
{
	for (size_t i = 0; i < length; i++)
		buffer[i] = dice(256);
}

static void do_write(size_t at, size_t length)
{
	fill(length);
	if (pwrite(file, buffer, length, at) != (ssize_t)length)
		fail("write", at);
	grow(at);
	if (at + length > size)
		size = at + length;
	memcpy(model + at, buffer, length);
}

static void do_map(size_t at, size_t length, int writing)
{
	if (at >= size)
		return;
	length = length > size - at ? size - at : length;
	size_t start = at & ~(size_t)0xffff, all = at + length - start;
	unsigned char *map = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED, file, start);
	if (map == MAP_FAILED)
		fail("mmap", at);
	if (writing) {
		fill(length);
		memcpy(map + at - start, buffer, length);
		memcpy(model + at, buffer, length);
		if (dice(2) && msync(map, all, MS_SYNC))
			fail("msync", at);
	} else
		compare(map + at - start, at, length, "mapped read");
	munmap(map, all);
}

static void do_truncate(size_t to)
{
	if (ftruncate(file, to))
		fail("truncate", to);
	grow(to);
	size = to;
}

static void do_allocate(size_t at, size_t length, int mode)
{
	if (mode != 0 && at + length > size)
		return;
	if (fallocate(file, mode, at, length)) {
		if (errno == EOPNOTSUPP)
			return;
		fail("fallocate", at);
	}
	if (mode == 0)
		grow(at + length);
	else
		memset(model + at, 0, length);
}

static void do_sync(void)
{
	if (fsync(file))
		fail("fsync", 0);
	posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
}

static void do_reopen(void)
{
	if (close(file))
		fail("close", 0);
	file = open(name, O_RDWR);
	if (file < 0)
		fail("open", 0);
}

static void operate(void)
{
	size_t at = dice(LIMIT - MOST), length = 1 + dice(dice(4) ? 5000 : MOST - 1);
	switch (dice(12)) {
	case 0: case 1: case 2: do_read(at, length); break;
	case 3: case 4: case 5: do_write(at, length); break;
	case 6: do_map(at, length, 0); break;
	case 7: do_map(at, length, 1); break;
	case 8: do_truncate(at); break;
	case 9: do_allocate(at, length, dice(2) ? 0 : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE); break;
	case 10: do_sync(); break;
	default: do_reopen();
	}
	check_size();
}

static void load(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t got = fd < 0 ? 0 : read(fd, model, LIMIT);
	size = got < 0 ? 0 : got;
	if (fd >= 0)
		close(fd);
}

static void store(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, model, size) != (ssize_t)size || close(fd))
		fail("model", 0);
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	name = argv[1];
	state = strtoull(argv[3], NULL, 0);
	file = open(name, O_RDWR | O_CREAT, 0600);
	if (file < 0)
		fail("open", 0);
	load(argv[2]);
	check_size();
	do_read(0, LIMIT);
	for (number = 1; number <= atoi(argv[4]); number++)
		operate();
	do_read(0, LIMIT);
	store(argv[2]);
	if (fsync(file) || close(file))
		fail("close", 0);
	printf("%d operations, %zu bytes\n", number - 1, size);
	return 0;
}
