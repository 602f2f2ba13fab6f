/* SPDX-License-Identifier: GPL-2.0-only */
/* Prints, reads data in its own byte order, and powers off. */
main:	enter
	print "Hello from a partition in its own byte order.\n"
	addr 4, number
	ld 3, 0(4)
	bl puthex
	addr 4, number
	lbz 3, 0(4)
	bl puthex
	mfmsr 3
	bl puthex
	b power_off

	.data
	.balign 8
number:	.quad 0x0123456789abcdef
