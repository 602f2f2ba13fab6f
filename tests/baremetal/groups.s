/* SPDX-License-Identifier: GPL-2.0-only */
/* One or more instructions of each group; what comes out is printed.  Numbers are the same in both byte orders
   unless said otherwise. */
	.machine power9
	.macro show
	bl puthex
	.endm
	.macro halves vr			/* both doublewords of a VR */
	mfvsrd 3, \vr + 32
	show
	xxswapd 40, \vr + 32
	mfvsrd 3, 40
	show
	.endm

main:	enter
	mfmsr 3
	oris 3, 3, 0x280
	ori 3, 3, 0x2000
	mtmsrd 3
	isync
	addr 20, data
	ld 4, 0(20)
	ld 5, 8(20)
	addr 21, room

	/* fixed point */
	mulhd 3, 4, 5
	show
	ld 4, 0(20)
	ld 5, 8(20)
	divdu 3, 5, 4
	show
	ld 4, 0(20)
	ld 5, 8(20)
	rldimi 5, 4, 8, 16
	mr 3, 5
	show
	/* storage: a reversed doubleword; a halfword, and the word behind the first: each order has its own */
	ldbrx 3, 0, 20
	show
	lhz 3, 0(20)
	show
	.if LITTLE
	lwz 29, 4(20)
	.else
	lmw 28, 0(20)
	stmw 28, 0(21)
	lwz 29, 4(21)
	.endif
	mr 3, 29
	show
	/* reservations */
	ld 4, 0(20)
	std 4, 0(21)
	ldarx 5, 0, 21
	addi 5, 5, 1
	stdcx. 5, 0, 21
	bne .
	ld 3, 0(21)
	show
	/* binary floating point: the square root of two, and 3 * 2 + 2 as an integer */
	lfd 1, 16(20)
	lfs 4, 24(20)
	fsqrt 2, 1
	mfvsrd 3, 2
	show
	lfd 1, 16(20)
	lfs 4, 24(20)
	fmadd 2, 4, 1, 1
	fctid 2, 2
	stfd 2, 0(21)
	ld 3, 0(21)
	show
	/* decimal floating point: 12345 squared */
	lfd 1, 32(20)
	dcffix 1, 1
	dmul 1, 1, 1
	dctfix 1, 1
	mfvsrd 3, 1
	show
	/* VMX: a vector in memory has its bytes the other way round in little-endian mode */
	lvx 1, 0, 20
	mfvsrd 3, 33
	show
	/* VMX: a sum of 128 bits, the first round of FIPS 197's appendix B */
	addr 20, data
	ld 4, 0(20)
	ld 5, 8(20)
	mtvsrdd 33, 4, 5
	mtvsrdd 34, 5, 4
	vadduqm 3, 1, 2
	halves 3
	addr 20, aes
	ld 4, 0(20)
	ld 5, 8(20)
	mtvsrdd 33, 4, 5
	ld 4, 16(20)
	ld 5, 24(20)
	mtvsrdd 34, 4, 5
	vcipher 3, 1, 2
	halves 3
	/* VSX: doublewords keep their order, words theirs; the square root of two in quad precision */
	addr 20, data
	lxvd2x 34, 0, 20
	mfvsrd 3, 34
	show
	addr 20, data
	lxvw4x 34, 0, 20
	mfvsrd 3, 34
	show
	addr 20, data
	lxsd 2, 16(20)
	xscvdpqp 2, 2
	xssqrtqp 3, 2
	halves 3
	b power_off

	.data
	.balign 16
data:	.quad 0x0123456789abcdef, 0xfedcba9876543210, 0x4000000000000000
	.long 0x40400000, 0
	.quad 12345
	.balign 16
aes:	.quad 0x193de3bea0f4e22b, 0x9ac68d2ae9f84808, 0xa0fafe1788542cb1, 0x23a339392a6c7605
room:	.space 32
