# SPDX-License-Identifier: GPL-2.0-only
"""Code that the partition's firmware leaves in guest memory."""

from __future__ import annotations

import struct

#: RTAS is one hypercall: r4 = the argument buffer that r3 pointed to, r3 = KVMPPC_H_RTAS (0xf000).
#: The guest enters it in 32-bit big-endian real mode (kvm__arch_setup_firmware of kvmtool).
RTAS_STUB = struct.pack(
    ">5I",
    0x7C641B78,  # mr   r4,r3
    0x3C600000,  # lis  r3,0
    0x6063F000,  # ori  r3,r3,0xf000
    0x44000022,  # sc   1
    0x4E800020,  # blr
)
