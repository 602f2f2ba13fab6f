/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bare program that runs test cases: no libc, no stack.  It is linked at a low address so that
 * its state block is reachable with (RA|0) = 0 and every register belongs to the case.
 *
 * standard input:  one doubleword, the size of the memory buffer, then for each program
 *                  two doublewords, the number of states and the size of the code; the code,
 *                  which ends with a branch to `done` (DONE); for each state its block
 *                  (STATE_SIZE) and the buffer.
 * standard output: for each state the block and the buffer.
 */
	.set GPR, 0
	.set CR, 256
	.set XER, 264
	.set LR, 272
	.set CTR, 280
	.set FPSCR, 288
	.set VSCR, 296
	.set TAR, 304
	.set SIGNAL, 312
	.set NIP, 320
	.set SPARE, 328
	.set VSR, 336
	.set STATE_SIZE, (VSR + 64 * 16)
	.set BUFFER, 0x20000000

	.machine power9
	.abiversion 2
	.section .run, "awx", @progbits
	.globl _start
_start:
	/* signal handlers: SIGILL SIGTRAP SIGBUS SIGFPE SIGSEGV */
	.irp sig, 4, 5, 7, 8, 11
	li 0, 173			/* rt_sigaction */
	li 3, \sig
	la 4, action@l(0)
	li 5, 0
	li 6, 8
	sc
	.endr
	li 0, 185			/* sigaltstack */
	la 3, altstack@l(0)
	li 4, 0
	sc
	li 0, 90			/* mmap */
	lis 3, BUFFER@h
	li 4, 4096
	li 5, 3
	li 6, 0x32			/* private, anonymous, fixed */
	li 7, -1
	li 8, 0
	sc
	li 0, 3				/* read */
	li 3, 0
	la 4, input+24@l(0)
	li 5, 8
	sc
	ld 3, input+24@l(0)
	std 3, output+24@l(0)

program: li 0, 3			/* read */
	li 3, 0
	la 4, count@l(0)
	li 5, 16
	sc
	cmpdi 3, 16
	bne leave
	li 0, 3
	li 3, 0
	la 4, code@l(0)
	ld 5, size@l(0)
	sc
	ld 4, size@l(0)
	addi 4, 4, 31
	srdi 4, 4, 5
	mtctr 4
	la 5, code@l(0)
2:	dcbst 0, 5
	sync
	icbi 0, 5
	addi 5, 5, 32
	bdnz 2b
	isync

next:	ld 3, count@l(0)
	addic. 3, 3, -1
	blt program
	std 3, count@l(0)
	li 0, 145			/* readv */
	li 3, 0
	la 4, input@l(0)
	li 5, 2
	sc
	cmpdi 3, 0
	bgt 1f
leave:	li 0, 234			/* exit_group */
	li 3, 0
	sc
1:	la 3, count@l(0)		/* no reservation is left from the case before */
	lwarx 4, 0, 3
	stwcx. 4, 0, 3

	/* load the state */
	la 3, state+VSR@l(0)
	.irp h, 0, 32
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	.ifeq \n + \h
	.else
	lxvd2x \n + \h, 0, 3
	.endif
	addi 3, 3, 16
	.endr
	.endr
	b load_rest

	.org 0x1000
done:	/* the program ends with a branch to here */
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	std \n, state + GPR + 8 * \n@l(0)
	.endr
	mfcr 3
	std 3, state+CR@l(0)
	mfxer 3
	std 3, state+XER@l(0)
	mflr 3
	std 3, state+LR@l(0)
	mfctr 3
	std 3, state+CTR@l(0)
	li 3, 0
	std 3, state+SIGNAL@l(0)
	std 3, state+NIP@l(0)
save:	/* also from the signal handler, with the integer state saved */
	la 3, state+VSR@l(0)
	.irp h, 0, 32
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	stxvd2x \n + \h, 0, 3
	addi 3, 3, 16
	.endr
	.endr
	mfspr 3, 815
	std 3, state+TAR@l(0)
	ld 3, state+SIGNAL@l(0)
	cmpdi 3, 0
	bne 4f				/* the handler has it from the context */
	mffs 0
	stfd 0, state+FPSCR@l(0)
4:
	mfvscr 0
	la 3, vscr@l(0)
	stxvd2x 32, 0, 3
	ld 4, 8(3)
	std 4, state+VSCR@l(0)
	/* a quiet FPSCR while we are at it */
	li 3, 0
	std 3, state+SPARE@l(0)
	lfd 0, state+SPARE@l(0)
	mtfsf 255, 0, 1, 0
	li 0, 146			/* writev */
	li 3, 1
	la 4, output@l(0)
	li 5, 2
	sc
	b next

load_rest:
	ld 4, state+VSCR@l(0)
	la 3, vscr@l(0)
	std 4, 8(3)
	lxvd2x 32, 0, 3
	mtvscr 0
	lfd 0, state+FPSCR@l(0)
	mtfsf 255, 0, 1, 0
	la 3, state+VSR@l(0)
	lxvd2x 0, 0, 3
	li 4, 512
	lxvd2x 32, 3, 4
	ld 3, state+TAR@l(0)
	mtspr 815, 3
	ld 3, state+CTR@l(0)
	mtctr 3
	ld 3, state+LR@l(0)
	mtlr 3
	ld 3, state+XER@l(0)
	mtxer 3
	ld 3, state+CR@l(0)
	mtcr 3
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	ld \n, state + GPR + 8 * \n@l(0)
	.endr
	b code

	/* handler(signal, info, context): the integer state is in the context's gp_regs */
handler:
	std 3, state+SIGNAL@l(0)
	addi 5, 5, 232
	li 6, 32
	mtctr 6
	la 4, state-8@l(0)
	addi 6, 5, -8
3:	ldu 7, 8(6)
	stdu 7, 8(4)
	bdnz 3b
	ld 7, 8*38(5)
	std 7, state+CR@l(0)
	ld 7, 8*37(5)
	std 7, state+XER@l(0)
	ld 7, 8*36(5)
	std 7, state+LR@l(0)
	ld 7, 8*35(5)
	std 7, state+CTR@l(0)
	ld 7, 8*32(5)
	std 7, state+NIP@l(0)
	ld 7, 8*(48+32)(5)
	std 7, state+FPSCR@l(0)
	b save

	.org 0x2000
code:	.space 0x1000			/* a page of its own: its translation alone is lost when it changes */

	.org 0x5000
state:	.space STATE_SIZE
	.balign 16
vscr:	.space 16
action:	.quad handler, 0x48000004, 0, 0	/* SA_ONSTACK | SA_NODEFER | SA_SIGINFO */
altstack: .quad stack, 0, 32768
count:	.quad 0
size:	.quad 0
input:	.quad state, STATE_SIZE, BUFFER, 0
output:	.quad state, STATE_SIZE, BUFFER, 0
	.balign 16
	.org 0x7000
stack:	.space 32768
