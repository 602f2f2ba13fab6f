// SPDX-License-Identifier: GPL-2.0-only
// Bytes by TCP between the guest and a server of the benchmark on the host's loopback:
//   lparnet down|up MEBIBYTES STREAMS
// The port is lpar.port= of the kernel's command line.  Prints the sum of all bytes that arrived (down),
// or the server's of those that it got (up), which must be the same on every machine.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK (256 << 10)

struct job {
	pthread_t thread;
	int port, up, error;
	long size;
	uint64_t sum;
};

static uint64_t summed(const unsigned char *bytes, long size)
{
	uint64_t sum = 0;
	for (long i = 0; i < size; i += 4096)
		sum += bytes[i];
	return sum;
}

static int port_of_command_line(void)
{
	char text[4096] = "";
	FILE *file = fopen("/proc/cmdline", "r");
	if (file && fgets(text, sizeof text, file)) {
		char *found = strstr(text, "lpar.port=");
		return found ? atoi(found + 10) : 0;
	}
	return 0;
}

static int all(int fd, unsigned char *buffer, long size, int up)
{
	while (size > 0) {
		long done = up ? write(fd, buffer, size) : read(fd, buffer, size);
		if (done <= 0)
			return 1;
		buffer += done;
		size -= done;
	}
	return 0;
}

static void *work(void *given)
{
	struct job *job = given;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(job->port) };
	unsigned char *buffer = malloc(CHUNK);
	char line[64];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	inet_aton("10.0.2.2", &to.sin_addr);
	memset(buffer, 1, CHUNK);
	if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
		job->error = 1;
		return NULL;
	}
	int length = sprintf(line, "%s %ld\n", job->up ? "up" : "down", job->size);
	job->error = all(fd, (unsigned char *)line, length, 1);
	for (long left = job->size; left > 0 && !job->error; left -= CHUNK) {
		job->error = all(fd, buffer, CHUNK, job->up);
		job->sum += summed(buffer, CHUNK);
	}
	if (job->up && !job->error)
		job->error = all(fd, (unsigned char *)&job->sum, 8, 0);
	close(fd);
	free(buffer);
	return NULL;
}

int main(int argc, char **argv)
{
	int streams = argc == 4 ? atoi(argv[3]) : 0, failed = 0;
	struct job jobs[16] = { 0 };
	uint64_t sum = 0;
	if (streams < 1 || streams > 16)
		return 2;
	for (int i = 0; i < streams; i++) {
		jobs[i] = (struct job){ .port = port_of_command_line(), .up = !strcmp(argv[1], "up"),
			.size = (atol(argv[2]) << 20) / streams };
		pthread_create(&jobs[i].thread, NULL, work, &jobs[i]);
	}
	for (int i = 0; i < streams; i++) {
		pthread_join(jobs[i].thread, NULL);
		sum += jobs[i].sum;
		failed |= jobs[i].error;
	}
	if (failed) {
		fprintf(stderr, "lparnet: no connection\n");
		return 1;
	}
	printf("%016lx\n", (unsigned long)sum);
	return 0;
}
