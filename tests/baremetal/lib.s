/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small run-time library for bare-metal partitions, the same text for both byte orders (LITTLE).
 *
 * The program is linked at 0 and entered there in big-endian mode with r3 = device tree, as kvmtool's
 * vCPU set-up does; a started processor enters at `secondary_entry` in big-endian mode as well.  Each then
 * goes on at `main` or `secondary` in its own byte order with r1 = stack, r13 = index, r14 = device tree.
 * Calls may change r0, r3 to r12, CR0 and CTR.
 */
	.machine power8
	.abiversion 2
	.set H_PUT_TERM_CHAR, 0x58
	.set H_EOI, 0x64
	.set H_CPPR, 0x68
	.set H_IPI, 0x6c
	.set H_XIRR, 0x74
	.set H_CEDE, 0xe0
	.set H_SET_MODE, 0x31c
	.set H_RTAS, 0xf000
	.set VTY, 0x30000000
	.set EE, 0x8000

	.macro hcall number
	li 3, 0
	ori 3, 3, \number
	sc 1
	.endm
	.macro addr reg, symbol
	lis \reg, \symbol@h
	ori \reg, \reg, \symbol@l
	.endm
	.macro enter
	mflr 0
	stdu 1, -64(1)
	std 0, 16(1)
	.endm
	.macro leave
	ld 0, 16(1)
	addi 1, 1, 64
	mtlr 0
	blr
	.endm
	/* words in big-endian order, whatever ours is */
	.macro lwzb reg, offset, base
	addi \reg, \base, \offset
	.if LITTLE
	lwbrx \reg, 0, \reg
	.else
	lwz \reg, 0(\reg)
	.endif
	.endm
	.macro stwb reg, offset, base
	addi 12, \base, \offset
	.if LITTLE
	stwbrx \reg, 0, 12
	.else
	stw \reg, 0(12)
	.endif
	.endm
	.macro print text
	.pushsection .rodata
9871:	.asciz "\text"
	.popsection
	addr 3, 9871b
	bl puts
	.endm
	/* rtas "name", number of arguments (in r6...), number of return words: the status in r3 */
	.macro rtas name, nargs, nret
	.pushsection .rodata
9872:	.asciz "\name"
	.popsection
	addr 3, 9872b
	li 4, \nargs
	li 5, \nret
	bl rtas_call
	.endm

	.text
	.globl _start
_start:	SWITCH_BYTE_ORDER
	b primary

	.org 0x60
secondary_entry:
	SWITCH_BYTE_ORDER
	mr 13, 3			/* its index */
	addr 1, stacks
	sldi 4, 13, 12
	add 1, 1, 4
	addi 1, 1, 0xf00
	b secondary

	.org 0x500
	b external
	.org 0x900
	b decrementer
	.org 0x1000
primary:
	mr 14, 3
	li 13, 0
	addr 1, stacks + 0xf00
	.if LITTLE			/* our interrupts want our byte order, too */
	li 4, 1
	li 5, 4
	hcall H_SET_MODE
	.endif
	bl main
	print "main returned"
	b .

power_off:
	li 6, -1
	li 7, -1
	rtas power-off, 2, 1
	print "still on"
	b .

/* r3: a string; 8 bytes in one call at most */
puts:	enter
	std 30, 32(1)
	mr 30, 3
1:	li 5, 0
	li 6, 0
2:	lbz 8, 0(30)
	cmpwi 8, 0
	beq 3f
	sldi 6, 6, 8
	or 6, 6, 8
	addi 5, 5, 1
	addi 30, 30, 1
	cmpwi 5, 8
	blt 2b
3:	cmpwi 5, 0
	beq 5f
	subfic 8, 5, 8
	sldi 8, 8, 3
	sld 6, 6, 8
	std 5, 40(1)
	std 6, 48(1)
4:	ld 5, 40(1)
	ld 6, 48(1)
	li 7, 0
	lis 4, VTY@h
	hcall H_PUT_TERM_CHAR
	cmpdi 3, 1			/* H_BUSY: again */
	beq 4b
	b 1b
5:	ld 30, 32(1)
	leave

/* r3: a number; 16 digits and a line end */
puthex:	enter
	addi 4, 1, 32
	li 5, 60
1:	srd 6, 3, 5
	andi. 6, 6, 15
	cmpwi 6, 10
	blt 2f
	addi 6, 6, 39
2:	addi 6, 6, 48
	stb 6, 0(4)
	addi 4, 4, 1
	addi 5, 5, -4
	cmpwi 5, 0
	bge 1b
	li 6, 10
	stb 6, 0(4)
	li 6, 0
	stb 6, 1(4)
	addi 3, 1, 32
	bl puts
	leave

/* r3: a property's name; gives the address of the first one's value, or 0 */
getprop:
	lwzb 4, 8, 14			/* the structure block */
	add 4, 4, 14
	lwzb 5, 12, 14			/* the names */
	add 5, 5, 14
1:	lwzb 6, 0, 4
	addi 4, 4, 4
	cmpwi 6, 1
	beq 2f
	cmpwi 6, 3
	beq 3f
	cmpwi 6, 9
	bne 1b
	li 3, 0
	blr
2:	lbz 7, 0(4)			/* a node: skip its name */
	addi 4, 4, 1
	cmpwi 7, 0
	bne 2b
	addi 4, 4, 3
	clrrdi 4, 4, 2
	b 1b
3:	lwzb 7, 0, 4			/* a property: its length and name */
	lwzb 8, 4, 4
	addi 4, 4, 8
	add 8, 8, 5
	mr 9, 3
4:	lbz 10, 0(8)
	lbz 11, 0(9)
	cmpw 10, 11
	bne 5f
	addi 8, 8, 1
	addi 9, 9, 1
	cmpwi 10, 0
	bne 4b
	mr 3, 4
	blr
5:	add 4, 4, 7
	addi 4, 4, 3
	clrrdi 4, 4, 2
	b 1b

/* r3: name, r4: arguments, r5: return words, r6 to r8: arguments; gives the status in r3, r11 = the block */
rtas_call:
	enter
	addr 11, blocks
	sldi 12, 13, 6
	add 11, 11, 12
	std 11, 32(1)
	std 4, 40(1)
	stwb 4, 4, 11
	stwb 5, 8, 11
	stwb 6, 12, 11
	stwb 7, 16, 11
	stwb 8, 20, 11
	bl getprop
	cmpdi 3, 0
	beq missing
	lwzb 3, 0, 3
	ld 11, 32(1)
	stwb 3, 0, 11
	.if LITTLE
	mr 4, 11
	hcall H_RTAS
	.else
	addr 3, entry_name		/* as Linux does: through the entry point */
	bl getprop
	lwzb 4, 0, 3
	mtctr 4
	ld 3, 32(1)
	bctrl
	.endif
	ld 11, 32(1)
	ld 4, 40(1)
	sldi 4, 4, 2
	add 3, 11, 4
	lwzb 3, 12, 3
	extsw 3, 3
	leave
missing:
	print "no such RTAS call"
	b .

	.section .rodata
entry_name:
	.asciz "linux,rtas-entry"
	.bss
	.balign 4096
stacks:	.space 4096 * 8
blocks:	.space 64 * 8
