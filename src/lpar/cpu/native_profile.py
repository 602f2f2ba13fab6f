# SPDX-License-Identifier: GPL-2.0-only
"""A guest's profile: where a vCPU is, and by which calls it came there, noted at a poll.

The buffer at ``profile`` has a count and ``SLOTS_KEPT`` samples of ``WORDS`` doublewords: pc, lr, PIDR, MSR,
number of return addresses, the addresses.  The stack is walked by the ABI's back chain (ELFv2, 2.2.2.2: back
chain at 0, link register save word at 16), in whatever memory the vCPU may read now.

Rules of this file: a sample changes nothing that the guest can see.  A walk that faults ends, and DAR and
DSISR are put back.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu.native_memory import fill_load
from lpar.isa.routine import routine
from lpar.isa.values import select

SAMPLES = 256  #: kept until Python takes them; a power of two
DEPTH = 32  #: return addresses
WORDS = 5 + DEPTH
BUFFER = 8 * (1 + SAMPLES * WORDS)  #: bytes
LINK = 16  #: offset of the link register's save word in a frame


@routine(args=(), returns=None)
def note_profile(cpu: Any) -> None:
    """Take a sample; ``pc`` is valid and all registers are in the state."""
    buffer = cpu.profile
    if buffer != 0:
        count = cpu.raw_load(buffer, 64, 8)
        at = buffer + 8 + (count & (SAMPLES - 1)) * (8 * WORDS)
        cpu.raw_store(at, cpu.pc, 8)
        cpu.raw_store(at + 8, cpu.lr, 8)
        cpu.raw_store(at + 16, cpu.pidr, 8)
        cpu.raw_store(at + 24, cpu.msr, 8)
        dar, dsisr = cpu.dar, cpu.dsisr
        cpu.raw_store(at + 32, walk_stack(cpu, at + 40), 8)
        cpu.dar, cpu.dsisr, cpu.fault = dar, dsisr, 0
        cpu.memory_fence()
        cpu.raw_store(buffer, count + 1, 8)


@routine(args=(64,), returns=64)
def walk_stack(cpu: Any, to: Any) -> Any:
    """Store the return addresses of the frames from r1 on at ``to``; how many."""
    frame, depth = cpu.gpr[1], cpu.const(0)
    above, ok = peek(cpu, frame)
    while (ok != 0) & (above > frame) & (depth < DEPTH):
        address, ok = peek(cpu, above + LINK)
        if ok != 0:
            cpu.raw_store(to + depth * 8, address, 8)
            depth = depth + 1
            frame = above
            above, ok = peek(cpu, frame)
    return depth


@routine(args=(64,), returns=(64, 64))
def peek(cpu: Any, ea: Any) -> Any:
    """A doubleword of the guest's memory: (value, whether it could be had); not across pages."""
    value, found = cpu.const(0), cpu.const(0)
    if ((ea & 7) == 0) & cpu.sf:
        host = fill_load(cpu, ea)
        if host != 0:
            raw = cpu.raw_load(host, 64, 8)
            value = select(cpu.le, raw, raw.bswap())
            found = cpu.const(1)
    return value, found
