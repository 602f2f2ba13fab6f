/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two processors: the second is started through RTAS; both count with larx and stcx. under contention; then
 * they send each other interrupts, 100 there and back; then the second stops itself.
 */
	.set ROUNDS, 50000
	.set PINGS, 100

	.macro interrupts_off
	li 3, 2
	mtmsrd 3, 1
	.endm

main:	enter
	addr 4, fdt
	std 14, 0(4)
	li 6, 1
	addr 7, secondary_entry
	li 8, 1
	rtas start-cpu, 3, 1
	bl puthex
	bl count
	/* wait for the other one */
	addr 4, finished
1:	ld 5, 0(4)
	cmpdi 5, 1
	bne 1b
	lwsync
	addr 4, words
	ld 3, 0(4)
	bl puthex
	addr 4, words
	lwz 3, 64(4)
	bl puthex
	addr 4, words
	ld 3, 136(4)
	bl puthex

	/* pings: tell the other one, wait for its answer */
	bl open_for_interrupts
	li 20, PINGS
2:	li 4, 1
	bl ipi
3:	interrupts_off
	addr 5, answers
	ld 6, 0(5)
	cmpdi 6, 0
	bne 4f
	hcall H_CEDE
	b 3b
4:	li 6, 0
	std 6, 0(5)
	addi 20, 20, -1
	cmpwi 20, 0
	bgt 2b
	addr 4, pings
	ld 3, 8(4)
	bl puthex
	addr 4, pings
	ld 3, 0(4)
	bl puthex

	/* it stops */
	li 3, 1
	addr 4, stop
	std 3, 0(4)
	li 4, 1
	bl ipi
5:	li 6, 1
	rtas query-cpu-stopped-state, 1, 2
	lwzb 3, 20, 11
	cmpwi 3, 0
	bne 5b
	print "stopped\n"
	b power_off

secondary:
	addr 4, fdt
	ld 14, 0(4)
	bl count
	lwsync
	li 5, 1
	addr 4, finished
	std 5, 0(4)
	bl open_for_interrupts
1:	interrupts_off
	addr 4, stop
	ld 5, 0(4)
	cmpdi 5, 0
	bne 2f
	hcall H_CEDE
	b 1b
2:	rtas stop-self, 0, 1
	print "not stopped\n"
	b .

/* +1 on a doubleword, +2 on a word, +1 under a lock that is a byte, ROUNDS times */
count:	addr 4, words
	addi 5, 4, 64
	addi 6, 4, 128
	li 7, 0
	ori 7, 7, ROUNDS
	mtctr 7
1:	ldarx 8, 0, 4
	addi 8, 8, 1
	stdcx. 8, 0, 4
	bne 1b
2:	lwarx 8, 0, 5
	addi 8, 8, 2
	stwcx. 8, 0, 5
	bne 2b
	/* a lock around a plain addition */
3:	lbarx 8, 0, 6
	cmpwi 8, 0
	bne 3b
	li 8, 1
	stbcx. 8, 0, 6
	bne 3b
	isync
	ld 9, 8(6)
	addi 9, 9, 1
	std 9, 8(6)
	lwsync
	li 8, 0
	stb 8, 0(6)
	bdnz 1b
	sync
	blr

open_for_interrupts:
	li 4, 0xff
	hcall H_CPPR
	blr

/* r4: processor */
ipi:	li 5, 4
	hcall H_IPI
	blr

/* an interrupt: take it, tell the other one if we are the second */
external:
	mtsprg 0, 3
	mtsprg 1, 4
	mfcr 3
	mtsprg 2, 3
	stdu 1, -256(1)
	.irp n, 0, 5, 6, 7, 8, 9, 10, 11, 12
	std \n, 8 * \n + 32(1)
	.endr
	mflr 3
	std 3, 16(1)
	mfctr 3
	std 3, 24(1)
	hcall H_XIRR
	std 4, 240(1)
	mr 4, 13
	li 5, 0xff			/* its cause is seen */
	hcall H_IPI
	ld 4, 240(1)
	hcall H_EOI
	addr 5, pings
	sldi 6, 13, 3
	ldx 7, 5, 6
	addi 7, 7, 1
	stdx 7, 5, 6
	cmpwi 13, 0
	bne 1f
	li 7, 1
	addr 5, answers
	std 7, 0(5)
	b 2f
1:	li 4, 0
	addr 5, stop
	ld 6, 0(5)
	cmpdi 6, 0
	bne 2f
	bl ipi
2:	ld 3, 16(1)
	mtlr 3
	ld 3, 24(1)
	mtctr 3
	.irp n, 0, 5, 6, 7, 8, 9, 10, 11, 12
	ld \n, 8 * \n + 32(1)
	.endr
	addi 1, 1, 256
	mfsprg 3, 2
	mtcr 3
	mfsprg 4, 1
	mfsprg 3, 0
	rfid

	.data
	.balign 128
words:	.space 256
finished: .quad 0
answers: .quad 0
pings:	.quad 0, 0
stop:	.quad 0
fdt:	.quad 0
