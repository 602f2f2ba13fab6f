# SPDX-License-Identifier: GPL-2.0-only
# The smallest kernel: H_PUT_TERM_CHAR(0, 8, "lpar-run") by its first instructions, then nothing.
# Entered big-endian, in real mode, by lpar and by QEMU's firmware alike.
        .globl  _start
_start:
        li      3, 0x58
        li      4, 0
        li      5, 8
        lis     6, 0x6c70
        ori     6, 6, 0x6172
        sldi    6, 6, 32
        oris    6, 6, 0x2d72
        ori     6, 6, 0x756e
        li      7, 0
        sc      1
1:      b       1b
