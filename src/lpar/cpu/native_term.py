# SPDX-License-Identifier: GPL-2.0-only
"""Console hypercalls (PAPR 14.5.4.7), native: H_PUT_TERM_CHAR into a ring that a thread of Python empties,
H_GET_TERM_CHAR where nothing was typed.

Rules of this file:
* Producers, the vCPUs, hold ``term_lock``; the one consumer (``lpar.cpu.terminal``) moves ``term_tail`` only.
* The consumer sets ``term_idle`` before its last look at the ring, a producer takes it away after it has
  moved ``term_head``, both by atomic operations: one of the two sees the other.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu.native_shared import TERM_RING, release_lock, shared_field, take_lock
from lpar.isa.routine import routine
from lpar.isa.values import select

H_GET_TERM_CHAR, H_PUT_TERM_CHAR = 0x54, 0x58
CALLS = frozenset({H_GET_TERM_CHAR, H_PUT_TERM_CHAR})
MOST = 16  #: bytes of a call


def _ours(cpu: Any) -> Any:
    """Whether the call is for the terminal that we have; unit 0 is the first one."""
    unit = cpu.gpr[4]
    there = cpu.raw_load(shared_field(cpu, "term_fd"), 64, 8) != 0
    return there & ((unit == 0) | (unit == cpu.raw_load(shared_field(cpu, "term_unit"), 64, 8)))


@routine(args=(), returns=64)
def h_put_term_char(cpu: Any) -> Any:
    """H_PUT_TERM_CHAR: (unit, length, bytes 0-7, bytes 8-15); 0: it is for the hypervisor."""
    length = cpu.gpr[5]
    if ~_ours(cpu) | (length > MOST):
        return cpu.const(0)
    take_lock(cpu, "term_lock", cpu.const(1))
    head = cpu.raw_load(shared_field(cpu, "term_head"), 64, 8)
    used = head - cpu.raw_load(shared_field(cpu, "term_tail"), 64, 8)
    room = used + length <= TERM_RING
    if room:
        put_bytes(cpu, head, length)
        cpu.raw_atomic("xchg", shared_field(cpu, "term_head"), head + length)
    release_lock(cpu, "term_lock")
    if ~room:
        return cpu.const(0)
    if cpu.raw_atomic("xchg", shared_field(cpu, "term_idle"), cpu.const(0)) != 0:
        cpu.scratch[5] = cpu.const(1)
        fd = cpu.raw_load(shared_field(cpu, "term_fd"), 64, 8)
        cpu.libc("write", fd, cpu.state_address("scratch") + 40, 8)
    cpu.gpr[3] = 0
    return cpu.const(1)


@routine(args=(64, 64), returns=None)
def put_bytes(cpu: Any, head: Any, length: Any) -> None:
    """Copy the call's bytes to the ring at ``head``."""
    ring = shared_field(cpu, "term_ring")
    n = cpu.const(0)
    while n < length:
        word = select(n < 8, cpu.gpr[6], cpu.gpr[7])
        byte = (word >> (56 - ((n & 7) << 3))).trunc(8)
        cpu.raw_store(ring + ((head + n) & (TERM_RING - 1)), byte)
        n = n + 1


@routine(args=(), returns=64)
def h_get_term_char(cpu: Any) -> Any:
    """H_GET_TERM_CHAR while nothing was typed: no bytes; 0: it is for the hypervisor."""
    if ~_ours(cpu) | (cpu.raw_load(shared_field(cpu, "term_input"), 64, 8) != 0):
        return cpu.const(0)
    for register in range(3, 7):
        cpu.gpr[register] = 0
    return cpu.const(1)


@routine(args=(), returns=64)
def term_idle(cpu: Any) -> Any:
    """For the consumer: it wants to sleep.  Gives what waits in the ring all the same."""
    cpu.raw_atomic("xchg", shared_field(cpu, "term_idle"), cpu.const(1))
    head = cpu.raw_load(shared_field(cpu, "term_head"), 64, 8)
    return head - cpu.raw_load(shared_field(cpu, "term_tail"), 64, 8)
