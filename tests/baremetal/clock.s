/* SPDX-License-Identifier: GPL-2.0-only */
/* 200 decrementer interrupts, 1 ms apart: half of them while spinning, half of them while ceded. */
	.set TICKS, 512000

main:	enter
	li 31, 0
	li 30, 0
	mftb 29
	bl arm
	mfmsr 3
	ori 3, 3, EE
	mtmsrd 3, 1
1:	addi 30, 30, 1
	cmpwi 31, 100
	blt 1b
2:	hcall H_CEDE
	cmpwi 31, 200
	blt 2b
	mftb 28
	lis 4, 0x7fff
	mtdec 4
	subf 3, 29, 28
	bl puthex
	print "ticks\n"
	b power_off

arm:	lis 4, TICKS@h
	ori 4, 4, TICKS@l
	mtdec 4
	blr

decrementer:
	mtsprg 0, 4
	mfcr 4
	mtsprg 1, 4
	lis 4, TICKS@h
	ori 4, 4, TICKS@l
	mtdec 4
	addi 31, 31, 1
	mfsprg 4, 1
	mtcr 4
	mfsprg 4, 0
	rfid
