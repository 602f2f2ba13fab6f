/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code that changes: an instruction patched between calls, with and without icbi (POWER's instruction cache
 * is coherent since POWER8, only isync is needed); a routine copied over another one; code in the page that
 * stores into it; a loop that is hot before it is changed.
 */
	.macro changed reg, where
	stw \reg, 0(\where)
	dcbst 0, \where
	sync
	icbi 0, \where
	isync
	.endm

main:	enter
	/* patch `li 3, n` and sum what the calls give: 1 + ... + 1000 */
	li 20, 0
	li 21, 1
	lis 22, 0x3860			/* li 3, 0 */
	addr 23, patched
1:	or 24, 22, 21
	changed 24, 23
	bl patched
	add 20, 20, 3
	addi 21, 21, 1
	cmpwi 21, 1000
	ble 1b
	mr 3, 20
	bl puthex

	/* the same without icbi */
	li 20, 0
	li 21, 1
1:	or 24, 22, 21
	stw 24, 0(23)
	isync
	bl patched
	add 20, 20, 3
	addi 21, 21, 1
	cmpwi 21, 1000
	ble 1b
	mr 3, 20
	bl puthex

	/* two routines copied to the same place by turns, 200 times: 100 * (5 + 7) */
	li 20, 0
	li 21, 200
1:	addr 4, five
	andi. 5, 21, 1
	beq 2f
	addr 4, seven
2:	addr 5, copied
	ld 6, 0(4)
	ld 7, 8(4)
	std 6, 0(5)
	std 7, 8(5)
	isync
	mtctr 5
	bctrl
	add 20, 20, 3
	addi 21, 21, -1
	cmpwi 21, 0
	bgt 1b
	mr 3, 20
	bl puthex

	/* an instruction that the same straight code changes ahead of itself: addi 20, 20, 1 to 20, 20, 2 */
	li 20, 0
	li 21, 50
	lis 22, 0x3a94
1:	andi. 5, 21, 1
	ori 24, 22, 1
	add 24, 24, 5
	addr 23, ahead
	stw 24, 0(23)
	isync
ahead:	addi 20, 20, 1
	addi 21, 21, -1
	cmpwi 21, 0
	bgt 1b
	mr 3, 20
	bl puthex

	/* a hot loop, then changed: 3,000,000 turns of +1, then as many of +3 */
	li 20, 0
	bl hot
	addr 23, turn
	lis 24, 0x3a94
	ori 24, 24, 3
	changed 24, 23
	bl hot
	mr 3, 20
	bl puthex
	b power_off

hot:	lis 4, 3000000@h
	ori 4, 4, 3000000@l
	mtctr 4
turn:	addi 20, 20, 1
	bdnz turn
	blr

	.balign 4096
patched:
	li 3, 0
	blr
five:	li 3, 5
	blr
	nop
	nop
seven:	nop
	li 3, 7
	nop
	blr
	.balign 4096
copied:	.space 16
