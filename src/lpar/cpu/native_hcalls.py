# SPDX-License-Identifier: GPL-2.0-only
"""Hypercalls that the engine answers itself, in place of an exit (PAPR 14.5.4, 14.11): see ``Natives``.

``hcalls`` in the state has a bit for each number (a multiple of 4 below 0x200) that may be answered here; it
is empty until the hypervisor allows it.  Whatever is unusual is left to the hypervisor: an answer of 0 is an
exit as ever.  Both sides must do the same; ``tests/cpu/test_hcalls.py`` compares them.

Rules of this file:
* A hypercall is outside guest code (``in_guest`` 0): it may wait for other vCPUs.
* Who sleeps clears ``in_guest`` before its last look at what wakes it, and who wakes sets that before its
  look at ``in_guest``: both by atomic operations, so that one of the two sees the other.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu import native_hpt, native_term, native_time
from lpar.cpu.layout import REQ_KICK, SLOTS
from lpar.cpu.native_shared import shared_field
from lpar.isa.routine import routine
from lpar.isa.values import select

H_CEDE, H_CONFER, H_PROD = 0xE0, 0xE4, 0xE8
CALLS = frozenset({H_CEDE, H_PROD, H_CONFER}) | native_hpt.CALLS | native_term.CALLS
MSR_EE = 1 << 15
SPIN = 10_240  #: ticks (20 microseconds) that a vCPU of several looks around before it sleeps


@routine(args=(), returns=64)
def answer_hcall(cpu: Any) -> Any:
    """Answer the hypercall in r3; 0: it is for the hypervisor."""
    number = cpu.gpr[3]
    if (number > 0x1FF) | ((number & 3) != 0):
        return cpu.const(0)
    if ((cpu.hcalls[number >> 8] >> ((number >> 2) & 63)) & 1) == 0:
        return cpu.const(0)
    cpu.raw_atomic("xchg", cpu.state_address("in_guest"), cpu.const(0))
    done = cpu.const(0)
    if number == H_CEDE:
        done = cede(cpu)
    elif number == H_PROD:
        done = prod(cpu)
    elif number == H_CONFER:
        done = confer(cpu)
    elif number == native_term.H_PUT_TERM_CHAR:
        done = native_term.h_put_term_char(cpu)
    elif number == native_term.H_GET_TERM_CHAR:
        done = native_term.h_get_term_char(cpu)
    elif cpu.hpt_base != 0:
        done = cpu.const(1)
        if number == native_hpt.H_ENTER:
            native_hpt.h_enter(cpu)
        elif number == native_hpt.H_REMOVE:
            native_hpt.h_remove(cpu)
        elif number == native_hpt.H_PROTECT:
            native_hpt.h_protect(cpu)
        else:
            native_hpt.h_bulk_remove(cpu)
    cpu.raw_atomic("xchg", cpu.state_address("in_guest"), cpu.const(1))
    return done


@routine(args=(), returns=64)
def cede(cpu: Any) -> Any:
    """H_CEDE: enable interrupts and sleep until there is one, or H_PROD, or somebody wants us in Python."""
    cpu.msr = cpu.msr | MSR_EE
    count = leave_processor(cpu)
    cpu.raw_atomic("xchg", cpu.state_address("ceded"), cpu.const(1))
    start = native_time.timebase(cpu)
    limit = select(cpu.smp != 0, cpu.const(SPIN), 0)
    while ~woken(cpu):
        if native_time.timebase(cpu) - start >= limit:
            sleep(cpu)
    cpu.prodded = 0
    cpu.raw_atomic("xchg", cpu.state_address("ceded"), cpu.const(0))
    native_time.wake_timer(cpu, cpu.dec_deadline)
    take_processor(cpu, count)
    cpu.gpr[3] = 0
    return cpu.const(1)


@routine(args=(), returns=1)
def woken(cpu: Any) -> Any:
    """Whether a vCPU that ceded must go on."""
    cpu.memory_fence()
    if (cpu.dec_level == 0) & native_time.read_dec(cpu).slt(0):
        cpu.dec_level = 1
    return (cpu.pending | cpu.prodded | cpu.dec_level | (cpu.exit_request & REQ_KICK)) != 0


@routine(args=(), returns=None)
def sleep(cpu: Any) -> None:
    """Sleep until the eventfd is written or DEC passes zero."""
    left = native_time.read_dec(cpu)
    native_time.sleep_on(cpu, cpu.wake_fd, select(left.slt(0), 0, left))


def _yield_count(cpu: Any, state: Any) -> tuple[Any, Any]:
    """(host address, value) of the dispatch counter in the VPA of the vCPU at ``state``; address 0: none."""
    at = cpu.raw_load(state + SLOTS["yield_at"].offset, 64, 8)
    value = cpu.const(0)
    if at != 0:
        value = cpu.raw_load(at, 32).bswap().zext(64)
    return at, value


@routine(args=(), returns=64)
def leave_processor(cpu: Any) -> Any:
    """Where the guest knows of shared processors, our dispatch count becomes odd; gives the next even one."""
    at, count = _yield_count(cpu, cpu.own_address())
    if (at != 0) & (cpu.shares != 0):
        cpu.raw_store(at, (count | 1).trunc(32).bswap())
    return (count | 1) + 1


@routine(args=(64,), returns=None)
def take_processor(cpu: Any, count: Any) -> None:
    """Our dispatch count becomes even again."""
    at = cpu.yield_at
    if (at != 0) & (cpu.shares != 0):
        cpu.raw_store(at, count.trunc(32).bswap())


@routine(args=(), returns=64)
def prod(cpu: Any) -> Any:
    """H_PROD: wake a vCPU that has ceded (one that joined, or runs, is the hypervisor's)."""
    target = cpu.gpr[4]
    if target >= cpu.raw_load(shared_field(cpu, "vcpus"), 64, 8):
        return cpu.const(0)
    state = cpu.raw_load(shared_field(cpu, "states") + target * 8, 64, 8)
    if cpu.raw_load(state + SLOTS["ceded"].offset, 64, 8) == 0:
        return cpu.const(0)
    cpu.raw_atomic("xchg", state + SLOTS["prodded"].offset, cpu.const(1))
    native_time.wake_vcpu(cpu, state)
    cpu.gpr[3] = 0
    return cpu.const(1)


@routine(args=(), returns=64)
def confer(cpu: Any) -> Any:
    """H_CONFER to another vCPU (its dispatch count unchanged) or to all: let others have the host's CPU."""
    target = cpu.gpr[4]
    if target == cpu.index:
        return cpu.const(0)
    if target != -1:
        if target >= cpu.raw_load(shared_field(cpu, "vcpus"), 64, 8):
            return cpu.const(0)
        state = cpu.raw_load(shared_field(cpu, "states") + target * 8, 64, 8)
        _, count = _yield_count(cpu, state)
        if count == (cpu.gpr[5] & 0xFFFFFFFF):
            cpu.libc("sched_yield")
    else:
        cpu.libc("sched_yield")
    cpu.gpr[3] = 0
    return cpu.const(1)
