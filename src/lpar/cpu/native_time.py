# SPDX-License-Identifier: GPL-2.0-only
"""Timebase and decrementer (Book III, chapter 7), native.

The timebase counts 512 MHz ticks of the host's monotonic clock plus an offset.  The decrementer is kept as
the timebase value at which DEC becomes negative; a timer thread of the engine requests a poll when the
earliest deadline of a running vCPU passes.

Rules of this file:
* The timer thread sleeps until ``next_wake``.  Whoever sets a nearer deadline, or begins to run with one,
  writes its eventfd.  While it looks at the vCPUs ``next_wake`` is NEVER, so that nothing goes unnoticed.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu.layout import PEND_DOORBELL, REQ_INTERRUPT, SLOTS
from lpar.cpu.native_shared import shared_field
from lpar.isa.routine import routine
from lpar.isa.values import select

CLOCK_MONOTONIC = 1
POLLIN = 1
NEVER = (1 << 63) - 1
LONGEST = 3600 * 512_000_000  #: ticks of sleep at once
RETRY = 512_000  #: ticks until the timer looks again at a vCPU that was told of its deadline
TIMER_SLACK = 10_240  #: ticks (20 microseconds): a later wake-up by this much is not worth a system call


@routine(args=(), returns=64)
def timebase(cpu: Any) -> Any:
    """Ticks of 512 MHz: nanoseconds * 64 / 125 plus the offset."""
    buffer = cpu.state_address("scratch")
    cpu.libc("clock_gettime", CLOCK_MONOTONIC, buffer)
    seconds, nanos = cpu.scratch[0], cpu.scratch[1]
    return seconds * 512_000_000 + (nanos * 64).udiv(125) + cpu.tb_offset


@routine(args=(), returns=64)
def random64(cpu: Any) -> Any:
    """64 bits from the host's random number generator."""
    buffer = cpu.state_address("scratch") + 32
    cpu.libc("getrandom", buffer, 8, 0)
    return cpu.scratch[4]


@routine(args=(), returns=64)
def read_dec(cpu: Any) -> Any:
    """DEC as a 64-bit signed number of ticks."""
    return cpu.dec_deadline - timebase(cpu)


@routine(args=(64,), returns=None)
def write_dec(cpu: Any, value: Any) -> None:
    """mtdec: set the deadline; tell the timer thread if it would wake up too late."""
    width = cpu.dec_bits
    extended = (value << (64 - width)).sar(64 - width)
    extended = select((cpu.lpcr & (1 << 17)) != 0, extended, value.trunc(32).sext(64))
    now = timebase(cpu)
    deadline = now + extended
    cpu.dec_deadline = deadline
    if extended.slt(0):
        cpu.dec_level = 1
        cpu.raw_atomic("or", cpu.state_address("exit_request"), cpu.const(REQ_INTERRUPT))
    else:
        cpu.dec_level = 0
        cpu.memory_fence()  # the timer thread sees the deadline, or we see that it does not look at it
        wake_timer(cpu, deadline)


def wake_timer(cpu: Any, deadline: Any) -> None:
    """Wake the timer thread if it sleeps beyond ``deadline`` (host ticks, without the offset)."""
    host = deadline - cpu.tb_offset
    next_wake = cpu.raw_load(shared_field(cpu, "next_wake"), 64, 8)
    if (host + TIMER_SLACK).slt(next_wake):
        fd = cpu.raw_load(shared_field(cpu, "timer_fd"), 64, 8)
        one = cpu.state_address("scratch") + 40
        cpu.scratch[5] = cpu.const(1)
        cpu.libc("write", fd, one, 8)


@routine(args=(64, 64), returns=None)
def sleep_on(cpu: Any, fd: Any, ticks: Any) -> None:
    """Sleep until the eventfd is written or the time is over; what was written is taken."""
    left = select(ticks > LONGEST, cpu.const(LONGEST), ticks)
    seconds = left.udiv(512_000_000)
    cpu.scratch[0] = seconds
    cpu.scratch[1] = ((left - seconds * 512_000_000) * 125 + 63) >> 6
    cpu.scratch[2] = fd | (POLLIN << 32)
    at = cpu.state_address("scratch")
    cpu.libc("ppoll", at + 16, 1, at, 0)
    cpu.libc("read", fd, at, 8)


@routine(args=(64, 64), returns=64)
def look_at(cpu: Any, state: Any, now: Any) -> Any:
    """Request a poll of the vCPU at ``state`` if its deadline has passed; when to look again (host ticks)."""
    idle = cpu.raw_load(state + SLOTS["ceded"].offset, 64, 8) | cpu.raw_load(
        state + SLOTS["dec_level"].offset, 64, 8
    )
    wake = cpu.const(NEVER)
    if (cpu.raw_load(state + SLOTS["running"].offset, 64, 8) != 0) & (idle == 0):
        deadline = cpu.raw_load(state + SLOTS["dec_deadline"].offset, 64, 8)
        wake = deadline - cpu.raw_load(state + SLOTS["tb_offset"].offset, 64, 8)
        if ~now.slt(wake):
            more = cpu.raw_load(shared_field(cpu, "tick_requests"), 64, 8)
            cpu.raw_atomic("or", state + SLOTS["exit_request"].offset, more | REQ_INTERRUPT)
            wake = now + RETRY
    return wake


@routine(args=(), returns=64)
def look_at_all(cpu: Any) -> Any:
    """Request polls of all vCPUs whose deadlines have passed; ticks until the next, from now on published."""
    next_wake = shared_field(cpu, "next_wake")
    cpu.raw_atomic("xchg", next_wake, cpu.const(NEVER))
    now, nearest = timebase(cpu), cpu.const(NEVER)
    total = cpu.raw_load(shared_field(cpu, "vcpus"), 64, 8)
    n = cpu.const(0)
    while n < total:
        wake = look_at(cpu, cpu.raw_load(shared_field(cpu, "states") + n * 8, 64, 8), now)
        nearest = select(wake < nearest, wake, nearest)
        n = n + 1
    cpu.raw_atomic("xchg", next_wake, nearest)
    return nearest - now


@routine(args=(), returns=None)
def timer_loop(cpu: Any) -> None:
    """The timer thread, on a state block of its own, until the shared ``stop``."""
    while cpu.raw_load(shared_field(cpu, "stop"), 64, 8) == 0:
        left = look_at_all(cpu)
        sleep_on(cpu, cpu.raw_load(shared_field(cpu, "timer_fd"), 64, 8), left)


@routine(args=(64,), returns=None)
def doorbell(cpu: Any, rb: Any) -> None:
    """msgsndp: message type 5 to the thread of this core whose TIR is in RB[57:63]."""
    if ((rb >> 27) & 31) == 5:
        target = cpu.index - cpu.tir + (rb & 0x7F)
        if target < cpu.raw_load(shared_field(cpu, "vcpus"), 64, 8):
            state = cpu.raw_load(shared_field(cpu, "states") + target * 8, 64, 8)
            if cpu.raw_load(state + SLOTS["tir"].offset, 64, 8) == (rb & 0x7F):  # else of another core
                cpu.raw_atomic("or", state + SLOTS["pending"].offset, cpu.const(PEND_DOORBELL))
                cpu.raw_atomic("or", state + SLOTS["exit_request"].offset, cpu.const(REQ_INTERRUPT))
                wake_vcpu(cpu, state)


@routine(args=(64,), returns=None)
def wake_vcpu(cpu: Any, state: Any) -> None:
    """End the sleep of the vCPU at ``state``, if it may be asleep; what it is to see is there already."""
    if cpu.raw_load(state + SLOTS["in_guest"].offset, 64, 8) == 0:
        cpu.scratch[5] = cpu.const(1)
        fd = cpu.raw_load(state + SLOTS["wake_fd"].offset, 64, 8)
        cpu.libc("write", fd, cpu.state_address("scratch") + 40, 8)
