/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Linux's use of the debug facilities: a hardware watchpoint on a child by ptrace, single steps through it.
 * Prints "right N" with what was counted, or says what was wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <asm/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 50

static volatile long watched[2] __attribute__((aligned(512)));

static void fail(const char *what, long value)
{
	printf("wrong %s %ld %s\n", what, value, strerror(errno));
	exit(1);
}

static void child(int writes)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	for (long n = 0; n < ROUNDS; n++) {
		watched[1] = n;		/* not watched */
		if (writes)
			watched[0] = n;
		else
			watched[1] += watched[0];
	}
	_exit(7);
}

static pid_t start(int writes)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		child(writes);
	waitpid(pid, &status, 0);
	if (!WIFSTOPPED(status))
		fail("start", status);
	return pid;
}

/* Stops of the child: each must be for the watched address. */
static long watch(int writes)
{
	struct ppc_hw_breakpoint how = {
		.version = 1,
		.trigger_type = writes ? PPC_BREAKPOINT_TRIGGER_WRITE : PPC_BREAKPOINT_TRIGGER_READ,
		.addr_mode = PPC_BREAKPOINT_MODE_EXACT,
		.condition_mode = PPC_BREAKPOINT_CONDITION_NONE,
		.addr = (unsigned long)&watched[0],
	};
	long stops = 0;
	siginfo_t about;
	int status;
	pid_t pid = start(writes);
	long slot = ptrace(PPC_PTRACE_SETHWDEBUG, pid, 0, &how);

	if (slot < 0)
		fail("set", slot);
	for (;;) {
		ptrace(PTRACE_CONT, pid, 0, 0);
		waitpid(pid, &status, 0);
		if (WIFEXITED(status))
			break;
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			fail("stop", status);
		if (ptrace(PTRACE_GETSIGINFO, pid, 0, &about) || about.si_code != TRAP_HWBKPT)
			fail("code", about.si_code);
		if (about.si_addr != (void *)&watched[0])
			fail("address", (long)about.si_addr);
		stops++;
		/* one-shot: set it again behind the access */
		if (ptrace(PPC_PTRACE_DELHWDEBUG, pid, 0, slot) && errno != ENOENT)
			fail("delete", slot);
		ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
		waitpid(pid, &status, 0);
		if (!WIFSTOPPED(status))
			fail("step", status);
		slot = ptrace(PPC_PTRACE_SETHWDEBUG, pid, 0, &how);
		if (slot < 0)
			fail("set again", slot);
	}
	return stops;
}

/* Single steps until the child ends: the program counter moves each time. */
static long steps(void)
{
	long count = 0, last = 0, nip;
	int status;
	pid_t pid = start(1);

	for (;;) {
		ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
		waitpid(pid, &status, 0);
		if (WIFEXITED(status))
			return WEXITSTATUS(status) == 7 ? count : 0;
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			fail("stop", status);
		nip = ptrace(PTRACE_PEEKUSER, pid, 32 * sizeof(long), 0);
		if (nip == last)
			fail("at", nip);
		last = nip;
		count++;
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "write"))
		printf("right %ld\n", watch(1));
	else if (!strcmp(what, "read"))
		printf("right %ld\n", watch(0));
	else
		printf("right %ld\n", steps());
	return 0;
}
